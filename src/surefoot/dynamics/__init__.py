"""Iterated maps and recurrent networks: how a gradient grows or shrinks on its way back through time."""

from surefoot.dynamics.gradient_growth import growth_rate, predicted_factor
from surefoot.dynamics.recurrent import final_state, state_gradients, unroll

__all__ = ["final_state", "growth_rate", "predicted_factor", "state_gradients", "unroll"]
