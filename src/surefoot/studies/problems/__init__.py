"""Toys and data generators that several studies use. A generator takes a seed or a ``torch.Generator``."""
