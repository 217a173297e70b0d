"""Hopfield networks in layers and convolutions: energies in which every connection works both ways with one weight.

Source: Scellier, Bengio, arXiv 1602.05179, section 5. Convolutions: Laborieux et al., arXiv 2006.03824.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.grad import conv2d_input, conv2d_weight

from surefoot.nn.eqprop.energies import EnergyModel, State

Activation = Literal["hard_sigmoid", "sigmoid4", "tanh"]


def _hard_sigmoid(s: Tensor) -> Tensor:
    return s.clamp(0, 1)


def _sigmoid4(s: Tensor) -> Tensor:
    return (4 * (s - 0.5)).sigmoid()


# each with its slope; the hard sigmoid's is 1 on [0, 1], where the projection keeps the state, ends included
_ACTIVATIONS: dict[str, tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor] | None]] = {
    "hard_sigmoid": (_hard_sigmoid, None),
    "sigmoid4": (_sigmoid4, lambda r: 4 * r * (1 - r)),
    "tanh": (torch.tanh, lambda r: 1 - r * r),
}


class HopfieldModel(EnergyModel):
    """E = ½ Σ|s_k|² − Σ ⟨W_k ρ(s_{k−1}), ρ(s_k)⟩ − Σ ⟨b_k, ρ(s_k)⟩ with s_0 = x held: layers, no links within.

    What layered and convolutional networks share; they differ in the linear map W_k.
    """

    weights: nn.ParameterList
    biases: nn.ParameterList
    shapes: list[tuple[int, ...]]  # of the input and each layer, without the samples

    def __init__(self, activation: Activation) -> None:
        super().__init__()
        if activation not in _ACTIVATIONS:
            raise ValueError(f"activation: got {activation!r}; use one of {', '.join(_ACTIVATIONS)}")
        self.activation = activation
        self.smooth = activation != "hard_sigmoid"
        self._rho, self._slope = _ACTIVATIONS[activation]
        self.weights, self.biases = nn.ParameterList(), nn.ParameterList()

    def _up(self, below: Tensor, k: int) -> Tensor:
        """W_k applied to the activity below, plus b_k."""
        raise NotImplementedError

    def _down(self, value: Tensor, above: Tensor, k: int) -> Tensor:
        """``value`` plus the transpose of W_k applied to the activity above."""
        raise NotImplementedError

    def coincidence(self, below: Tensor, above: Tensor, k: int) -> Tensor:
        """∂⟨W_k below, above⟩/∂W_k, the sum over the samples: what a connection sees of its two ends."""
        raise NotImplementedError

    def rho(self, state: State) -> State:
        """The units' activity."""
        return [self._rho(s) for s in state]

    def clip(self, state: State) -> State:
        """[0, 1] for the hard sigmoid: without this projection a unit that turns negative never comes back."""
        return state if self.smooth else [s.clamp(0, 1) for s in state]

    def initial(self, x: Tensor) -> State:
        """All units at 0."""
        return [x.new_zeros(len(x), *shape) for shape in self.shapes[1:]]

    def energy(self, state: State, x: Tensor) -> Float[Tensor, " batch"]:
        """Energy of each sample."""
        activity = [x, *self.rho(state)]
        total = sum((0.5 * s.square().flatten(1).sum(1) for s in state), start=x.new_zeros(len(x)))
        for k in range(len(self.weights)):
            total = total - (self._up(activity[k], k) * activity[k + 1]).flatten(1).sum(1)
        return total

    def prepare(self, x: Tensor) -> Tensor:
        """The input's share of the first layer's drive: it does not change while the state settles.

        Raises
        ------
        ValueError
            If ``x`` has not the shape of the input. Values outside the activation's range are warned of.
        """
        if tuple(x.shape[1:]) != self.shapes[0]:
            raise ValueError(f"x: got shape {tuple(x.shape)}; use (batch, {', '.join(map(str, self.shapes[0]))})")
        low, high = (-1.0, 1.0) if self.activation == "tanh" else (0.0, 1.0)
        if not torch.compiler.is_compiling() and (x.min() < low or x.max() > high):
            warnings.warn(
                f"x: values from {x.min():.3g} to {x.max():.3g} lie outside the activation's range [{low:g}, {high:g}]",
                stacklevel=4,
            )
        return self._up(x, 0)

    def inputs(self, activity: State, drive: Tensor, only: int | None = None) -> State:
        """What each layer gets from its neighbours and its bias; of layer ``only`` alone if given."""
        last = len(activity) - 1
        found = []
        for k in range(last + 1) if only is None else (only,):
            value = drive if k == 0 else self._up(activity[k - 1], k)
            found.append(value if k == last else self._down(value, activity[k + 1], k + 1))
        return found

    def force(self, state: State, prepared: Tensor) -> State:
        """−∂E/∂s = ρ′(s)(W_k ρ(s_{k−1}) + W_{k+1}ᵀ ρ(s_{k+1}) + b_k) − s."""
        activity = self.rho(state)
        inputs = self.inputs(activity, prepared)
        if self._slope is None:
            return [i - s for i, s in zip(inputs, state, strict=True)]
        return [self._slope(r) * i - s for i, r, s in zip(inputs, activity, state, strict=True)]

    def energy_gradients(self, state: State, x: Tensor) -> dict[str, Tensor]:
        """∂E/∂W and ∂E/∂b, means over the samples."""
        activity = [x, *self.rho(state)]
        found = {
            f"weights.{k}": self.coincidence(activity[k], activity[k + 1], k) / -len(x)
            for k in range(len(self.weights))
        }
        for k, above in enumerate(activity[1:]):
            # a bias of a convolution is shared by all places
            found[f"biases.{k}"] = -above.flatten(2).sum(2).mean(0) if above.dim() > 2 else -above.mean(0)
        return found


class LayeredHopfield(HopfieldModel):
    """Full layers: E = ½ Σ|s_k|² − Σ ρ(s_{k−1})ᵀ W_k ρ(s_k) − Σ b_kᵀ ρ(s_k).

    Parameters
    ----------
    sizes : units of the input, of each hidden layer, of the output
    activation : ``"hard_sigmoid"`` clip(s, 0, 1) as in the paper; ``"sigmoid4"`` σ(4(s − ½)) and ``"tanh"`` are smooth
    gain : of the initial weights, Glorot uniform times this; below one the state has one resting point (λ_max of the
        weights between layers < 1). Biases begin at 0
    generator : of the weights
    device, dtype : of the parameters

    Raises
    ------
    ValueError
        For fewer than two sizes or an unknown activation.

    Source: arXiv 1602.05179, section 5.
    """

    def __init__(
        self,
        sizes: Sequence[int],
        activation: Activation = "hard_sigmoid",
        *,
        gain: float = 1.0,
        generator: torch.Generator | None = None,
        device: Any = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(activation)
        if len(sizes) < 2 or any(n < 1 for n in sizes):
            raise ValueError(f"sizes: got {list(sizes)}; use the units of the input and of at least one layer more")
        self.sizes = tuple(sizes)
        self.shapes = [(n,) for n in sizes]
        for below, above in pairwise(sizes):
            weight = _glorot((below, above), below + above, gain, generator, dtype)
            self.weights.append(nn.Parameter(weight.to(device)))
            self.biases.append(nn.Parameter(torch.zeros(above, device=device, dtype=dtype)))

    def _up(self, below: Tensor, k: int) -> Tensor:
        return torch.addmm(self.biases[k], below, self.weights[k])

    def _down(self, value: Tensor, above: Tensor, k: int) -> Tensor:
        return torch.addmm(value, above, self.weights[k].T)

    def coincidence(self, below: Tensor, above: Tensor, k: int) -> Tensor:
        """ρ_{k−1}ᵀ ρ_k."""
        return below.T @ above


class ConvHopfield(HopfieldModel):
    """Convolutions with stride, then a full layer to the output: each works back by its own transpose.

    Parameters
    ----------
    in_channels, size : of the square input images
    channels : of each convolution's output
    outputs : units of the output
    kernel_size, stride, padding : of every convolution
    activation, gain, generator, device, dtype : as for :class:`LayeredHopfield`

    Raises
    ------
    ValueError
        For no channels, or where nothing is left of the image.

    Source: Laborieux et al., arXiv 2006.03824 (which pools; here a stride takes its place).
    """

    def __init__(
        self,
        in_channels: int,
        size: int,
        channels: Sequence[int],
        outputs: int,
        *,
        kernel_size: int = 3,
        stride: int = 2,
        padding: int = 1,
        activation: Activation = "hard_sigmoid",
        gain: float = 1.0,
        generator: torch.Generator | None = None,
        device: Any = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(activation)
        if not channels:
            raise ValueError("channels: got none; use the output channels of at least one convolution")
        self.stride, self.padding = stride, padding
        self.shapes = [(in_channels, size, size)]
        for out in channels:
            before, side = self.shapes[-1][0], (self.shapes[-1][1] + 2 * padding - kernel_size) // stride + 1
            if side < 1:
                raise ValueError(f"channels: after {len(self.shapes) - 1} convolutions nothing is left of size {size}")
            fans = (before + out) * kernel_size**2
            weight = _glorot((out, before, kernel_size, kernel_size), fans, gain, generator, dtype)
            self.weights.append(nn.Parameter(weight.to(device)))
            self.biases.append(nn.Parameter(torch.zeros(out, device=device, dtype=dtype)))
            self.shapes.append((out, side, side))
        flat = math.prod(self.shapes[-1])
        self.weights.append(nn.Parameter(_glorot((flat, outputs), flat + outputs, gain, generator, dtype).to(device)))
        self.biases.append(nn.Parameter(torch.zeros(outputs, device=device, dtype=dtype)))
        self.shapes.append((outputs,))

    def _full(self, k: int) -> bool:
        return k == len(self.weights) - 1

    def _up(self, below: Tensor, k: int) -> Tensor:
        if self._full(k):
            return torch.addmm(self.biases[k], below.flatten(1), self.weights[k])
        return F.conv2d(below, self.weights[k], self.biases[k], self.stride, self.padding)

    def _down(self, value: Tensor, above: Tensor, k: int) -> Tensor:
        if self._full(k):
            return value + (above @ self.weights[k].T).view_as(value)
        return value + conv2d_input(value.shape, self.weights[k], above, self.stride, self.padding)

    def coincidence(self, below: Tensor, above: Tensor, k: int) -> Tensor:
        """Σ over the places of ρ_{k−1} in the kernel's reach times ρ_k."""
        if self._full(k):
            return below.flatten(1).T @ above
        return conv2d_weight(below, self.weights[k].shape, above, self.stride, self.padding)


def _glorot(
    shape: tuple[int, ...], fans: int, gain: float, generator: torch.Generator | None, dtype: torch.dtype | None
) -> Tensor:
    bound = gain * math.sqrt(6 / fans)
    return torch.rand(*shape, generator=generator, dtype=dtype) * 2 * bound - bound
