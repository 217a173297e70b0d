"""Derivative operators shared by all rooms (Hessian-vector products, Lanczos, …), one implementation each."""
