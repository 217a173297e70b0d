"""pLSTM: linear recurrence over sequences, grids and directed acyclic graphs that their many paths don't explode."""

from surefoot.nn.plstm.dag import dag_gating_matrix, normalize_transition, path_gains, plstm_dag, propagate
from surefoot.nn.plstm.gates import GridGates, d_mode_closed, d_mode_gates, p_mode_closed, p_mode_gates
from surefoot.nn.plstm.graph import LineGraph, is_multitree, prune_to_multitree
from surefoot.nn.plstm.grid import gating_matrix_2d, plstm_2d
from surefoot.nn.plstm.layers import PLSTM1d, PLSTM2d, PLSTMGraph
from surefoot.nn.plstm.sequence import gating_matrix_1d, plstm_1d
from surefoot.nn.plstm.vision import PLSTMBlock, PLSTMVis

__all__ = [
    "GridGates",
    "LineGraph",
    "PLSTM1d",
    "PLSTM2d",
    "PLSTMBlock",
    "PLSTMGraph",
    "PLSTMVis",
    "d_mode_closed",
    "d_mode_gates",
    "dag_gating_matrix",
    "gating_matrix_1d",
    "gating_matrix_2d",
    "is_multitree",
    "normalize_transition",
    "p_mode_closed",
    "p_mode_gates",
    "path_gains",
    "plstm_1d",
    "plstm_2d",
    "plstm_dag",
    "propagate",
    "prune_to_multitree",
]
