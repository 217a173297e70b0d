"""ONLINE: observe a training loop without changing it."""
