"""Energies whose resting point is a network's answer: the protocol, and Hopfield networks in layers and convolutions.

Source: Scellier, Bengio, "Equilibrium Propagation: Bridging the Gap Between Energy-Based Models and Backpropagation",
Front. Comput. Neurosci. 2017, arXiv 1602.05179, sections 2 and 5. Convolutions: Laborieux et al., arXiv 2006.03824.
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
from torch.nn.grad import conv2d_input

State = list[Tensor]
"""The free units: one tensor a layer, samples first; the last layer is the output."""

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


class EnergyModel(nn.Module):
    """An energy E(θ, x, s) whose minimum over the state s is what the model answers.

    A subclass must give :meth:`energy` and :meth:`initial`. Forces and the gradient over θ come by autograd, unless it
    gives them in closed form, which is several times faster.
    """

    smooth: bool = True  # the minimum has no constraint that is active: Newton's method and O(β²) hold

    def energy(self, state: State, x: Tensor) -> Float[Tensor, " batch"]:
        """Energy of each sample."""
        raise NotImplementedError

    def initial(self, x: Tensor) -> State:
        """The state to settle from."""
        raise NotImplementedError

    def clip(self, state: State) -> State:
        """The state within its range."""
        return state

    def prepare(self, x: Tensor) -> Any:
        """What :meth:`force` needs of the input; computed once for a whole settling."""
        return x

    def force(self, state: State, prepared: Any) -> State:
        """−∂E/∂s of each sample."""
        return [-f for f in torch.func.grad(lambda s: self.energy(s, prepared).sum())(list(state))]

    def energy_gradients(self, state: State, x: Tensor) -> dict[str, Tensor]:
        """∂E/∂θ, the mean over the samples, by parameter name."""
        named = dict(self.named_parameters())
        with torch.enable_grad():
            energy = self.energy([s.detach() for s in state], x).mean()
            gradients = torch.autograd.grad(energy, list(named.values()), allow_unused=True)
        return {n: torch.zeros_like(p) if g is None else g for (n, p), g in zip(named.items(), gradients, strict=True)}


class _Hopfield(EnergyModel):
    """What Hopfield networks share: units with a leak of 1 and an activation."""

    def __init__(self, activation: Activation) -> None:
        super().__init__()
        if activation not in _ACTIVATIONS:
            raise ValueError(f"activation: got {activation!r}; use one of {', '.join(_ACTIVATIONS)}")
        self.activation = activation
        self.smooth = activation != "hard_sigmoid"
        self._rho, self._slope = _ACTIVATIONS[activation]

    def rho(self, state: State) -> State:
        """The units' activity."""
        return [self._rho(s) for s in state]

    def clip(self, state: State) -> State:
        """[0, 1] for the hard sigmoid: without this projection a unit that turns negative never comes back."""
        return state if self.smooth else [s.clamp(0, 1) for s in state]

    def _check_range(self, x: Tensor) -> None:
        low, high = (-1.0, 1.0) if self.activation == "tanh" else (0.0, 1.0)
        if not torch.compiler.is_compiling() and (x.min() < low or x.max() > high):
            warnings.warn(
                f"x: values from {x.min():.3g} to {x.max():.3g} lie outside the activation's range [{low:g}, {high:g}]",
                stacklevel=4,
            )

    def _with_leak(self, inputs: State, activity: State, state: State) -> State:
        if self._slope is None:
            return [i - s for i, s in zip(inputs, state, strict=True)]
        return [self._slope(r) * i - s for i, r, s in zip(inputs, activity, state, strict=True)]


class LayeredHopfield(_Hopfield):
    """E = ½ Σ|s_k|² − Σ ρ(s_{k−1})ᵀ W_k ρ(s_k) − Σ b_kᵀ ρ(s_k), with s_0 = x held: layers, no links within.

    Every connection works both ways with one weight; that is what makes it an energy.

    Parameters
    ----------
    sizes : units of the input, of each hidden layer, of the output
    activation : ``"hard_sigmoid"`` clip(s, 0, 1) as in the paper; ``"sigmoid4"`` σ(4(s − ½)) and ``"tanh"`` are smooth
    gain : of the initial weights, Glorot uniform times this; below one the state has one resting point (λ_max of the
        weights between layers < 1). Biases begin at 0
    generator : of the weights

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
        self.weights = nn.ParameterList()
        self.biases = nn.ParameterList()
        for below, above in pairwise(sizes):
            weight = _glorot((below, above), below + above, gain, generator, dtype)
            self.weights.append(nn.Parameter(weight.to(device)))
            self.biases.append(nn.Parameter(torch.zeros(above, device=device, dtype=dtype)))

    def initial(self, x: Float[Tensor, "batch inputs"]) -> State:
        """All units at 0."""
        return [x.new_zeros(len(x), n) for n in self.sizes[1:]]

    def energy(self, state: State, x: Float[Tensor, "batch inputs"]) -> Float[Tensor, " batch"]:
        """Energy of each sample."""
        activity = [x, *self.rho(state)]
        total = sum((0.5 * s.square().sum(1) for s in state), start=x.new_zeros(len(x)))
        for k, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            total = total - ((activity[k] @ weight + bias) * activity[k + 1]).sum(1)
        return total

    def prepare(self, x: Float[Tensor, "batch inputs"]) -> Tensor:
        """x W_1 + b_1: the input's share does not change while the state settles."""
        if x.dim() != 2 or x.shape[1] != self.sizes[0]:
            raise ValueError(f"x: got shape {tuple(x.shape)}; use (batch, {self.sizes[0]})")
        self._check_range(x)
        return torch.addmm(self.biases[0], x, self.weights[0])

    def inputs(self, activity: State, drive: Tensor, only: int | None = None) -> State:
        """What each layer gets from its neighbours and its bias; of layer ``only`` alone if given."""
        last = len(activity) - 1
        found = []
        for k in range(last + 1) if only is None else (only,):
            value = drive if k == 0 else torch.addmm(self.biases[k], activity[k - 1], self.weights[k])
            found.append(value if k == last else torch.addmm(value, activity[k + 1], self.weights[k + 1].T))
        return found

    def force(self, state: State, prepared: Tensor) -> State:
        """−∂E/∂s = ρ′(s)(ρ(s_{k−1}) W_k + ρ(s_{k+1}) W_{k+1}ᵀ + b_k) − s."""
        activity = self.rho(state)
        return self._with_leak(self.inputs(activity, prepared), activity, state)

    def energy_gradients(self, state: State, x: Float[Tensor, "batch inputs"]) -> dict[str, Tensor]:
        """−ρ(s_{k−1})ᵀ ρ(s_k) and −ρ(s_k), means over the samples."""
        activity = [x, *self.rho(state)]
        found: dict[str, Tensor] = {}
        for k in range(len(self.weights)):
            found[f"weights.{k}"] = activity[k].T @ activity[k + 1] / -len(x)
        return found | {f"biases.{k}": -activity[k + 1].mean(0) for k in range(len(self.biases))}


class ConvHopfield(_Hopfield):
    """Convolutions with stride, then a full layer to the output: each works back by its own transpose.

    Parameters
    ----------
    in_channels, size : of the square input images
    channels : of each convolution's output
    outputs : units of the output
    kernel_size, stride, padding : of every convolution
    activation, gain, generator : as for :class:`LayeredHopfield`

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
    ) -> None:
        super().__init__(activation)
        if not channels:
            raise ValueError("channels: got none; use the output channels of at least one convolution")
        self.stride, self.padding = stride, padding
        self.shapes = [(in_channels, size, size)]
        self.weights, self.biases = nn.ParameterList(), nn.ParameterList()
        for out in channels:
            before, side = self.shapes[-1][0], (self.shapes[-1][1] + 2 * padding - kernel_size) // stride + 1
            if side < 1:
                raise ValueError(f"channels: after {len(self.shapes) - 1} convolutions nothing is left of size {size}")
            fans = (before + out) * kernel_size**2
            self.weights.append(nn.Parameter(_glorot((out, before, kernel_size, kernel_size), fans, gain, generator)))
            self.biases.append(nn.Parameter(torch.zeros(out)))
            self.shapes.append((out, side, side))
        flat = math.prod(self.shapes[-1])
        self.weights.append(nn.Parameter(_glorot((flat, outputs), flat + outputs, gain, generator)))
        self.biases.append(nn.Parameter(torch.zeros(outputs)))
        self.outputs = outputs

    def initial(self, x: Float[Tensor, "batch channels height width"]) -> State:
        """All units at 0."""
        return [x.new_zeros(len(x), *shape) for shape in self.shapes[1:]] + [x.new_zeros(len(x), self.outputs)]

    def _up(self, activity: Tensor, k: int) -> Tensor:
        if k == len(self.weights) - 1:
            return torch.addmm(self.biases[k], activity.flatten(1), self.weights[k])
        return F.conv2d(activity, self.weights[k], self.biases[k], self.stride, self.padding)

    def _down(self, activity: Tensor, k: int) -> Tensor:
        """The transpose of layer k applied to its output's activity."""
        shape = (len(activity), *self.shapes[k])
        if k == len(self.weights) - 1:
            return (activity @ self.weights[k].T).view(shape)
        return conv2d_input(shape, self.weights[k], activity, self.stride, self.padding)

    def energy(self, state: State, x: Tensor) -> Float[Tensor, " batch"]:
        """Energy of each sample."""
        activity = [x, *self.rho(state)]
        total = sum((0.5 * s.square().flatten(1).sum(1) for s in state), start=x.new_zeros(len(x)))
        for k in range(len(self.weights)):
            total = total - (self._up(activity[k], k) * activity[k + 1]).flatten(1).sum(1)
        return total

    def prepare(self, x: Tensor) -> Tensor:
        """The input's share of the first layer's drive."""
        if tuple(x.shape[1:]) != self.shapes[0]:
            raise ValueError(f"x: got shape {tuple(x.shape)}; use (batch, {', '.join(map(str, self.shapes[0]))})")
        self._check_range(x)
        return self._up(x, 0)

    def force(self, state: State, prepared: Tensor) -> State:
        """−∂E/∂s."""
        activity = self.rho(state)
        inputs = []
        for k in range(len(state)):
            value = prepared if k == 0 else self._up(activity[k - 1], k)
            inputs.append(value if k == len(state) - 1 else value + self._down(activity[k + 1], k + 1))
        return self._with_leak(inputs, activity, state)


def _glorot(
    shape: tuple[int, ...], fans: int, gain: float, generator: torch.Generator | None, dtype: torch.dtype | None = None
) -> Tensor:
    bound = gain * math.sqrt(6 / fans)
    return torch.rand(*shape, generator=generator, dtype=dtype) * 2 * bound - bound
