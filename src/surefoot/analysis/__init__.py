"""Offline instruments: one file or sub-package a question. Pure functions of tensors; no state, no hooks."""
