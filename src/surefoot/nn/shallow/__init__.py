"""Residual stacks side by side: the same branches in parallel, and fused into one broad layer."""

from surefoot.nn.shallow.broad import BroadConv2d, BroadLayer, BroadMLP, fuse_parallel
from surefoot.nn.shallow.stacks import ParallelStack, ResidualStack

__all__ = ["BroadConv2d", "BroadLayer", "BroadMLP", "ParallelStack", "ResidualStack", "fuse_parallel"]
