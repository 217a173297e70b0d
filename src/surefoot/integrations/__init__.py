"""Callbacks for training frameworks: :mod:`surefoot.integrations.lightning`, :mod:`surefoot.integrations.huggingface`.

Each is thin: it opens a watch where the framework begins to train and closes it where it ends.
"""
