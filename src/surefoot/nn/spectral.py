"""Spectral normalisation of chosen layers, and its substitutes on the optimiser's side.

Miyato et al., ICLR 2018; Gogianu et al., "Spectral Normalisation for Deep Reinforcement Learning", ICML 2021 (a chapter
of Rosca's thesis, arXiv 2310.14036): normalising the penultimate layer of a critic is enough, and most of the gain is
an effect on the step that can be had without touching the weights: divide that layer's gradient by its norm σ.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrize

Mode = Literal["always", "at_most"]
_LAYERS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
_CONV = {1: (F.conv1d, F.conv_transpose1d), 2: (F.conv2d, F.conv_transpose2d), 3: (F.conv3d, F.conv_transpose3d)}


class Sigma(nn.Module):
    """The largest singular value of a layer's linear map, by power iteration.

    Of a convolution it is that of the map from images of the size that the layer sees, padding and stride included, and
    not that of its kernel as a matrix. One iteration a call in training mode; the vectors persist.

    Parameters
    ----------
    layer : linear or convolution
    input_size : of a convolution's input, without batch and channels
    start : iterations at once, now
    seed : of the first vectors

    Raises
    ------
    ValueError
        For another layer, a transposed or grouped padding mode other than zeros, a convolution without a size.
    """

    u: Tensor

    def __init__(
        self, layer: nn.Module, input_size: Sequence[int] | None = None, start: int = 15, seed: int = 0
    ) -> None:
        super().__init__()
        if not isinstance(layer, _LAYERS):
            raise ValueError(f"layer: got {type(layer).__name__}; must be Linear or Conv1d, Conv2d, Conv3d")
        self._conv: tuple[Any, ...] | None = None
        if isinstance(layer, nn.Linear):
            shape: tuple[int, ...] = (1, layer.in_features)
        else:
            if input_size is None or len(input_size) != len(layer.kernel_size):
                raise ValueError(
                    f"input_size: got {input_size}; a convolution needs one of {len(layer.kernel_size)} sides"
                )
            if layer.padding_mode != "zeros" or isinstance(layer.padding, str):
                raise ValueError("layer: its padding must be numbers of zeros for the size of its map to be known")
            self._conv = (layer.stride, layer.padding, layer.dilation, layer.groups)
            shape = (1, layer.in_channels, *input_size)
        generator = torch.Generator().manual_seed(seed)
        first = torch.randn(shape, generator=generator, dtype=torch.float64).to(layer.weight)
        self.register_buffer("u", first / first.norm())
        with torch.no_grad():
            for _ in range(start):
                self._iterate(layer.weight)

    def _apply_map(self, weight: Tensor, x: Tensor) -> Tensor:
        if self._conv is None:
            return x @ weight.T
        stride, padding, dilation, groups = self._conv
        return _CONV[weight.dim() - 2][0](x, weight, None, stride, padding, dilation, groups)

    def _transposed(self, weight: Tensor, y: Tensor) -> Tensor:
        if self._conv is None:
            return y @ weight
        # the transpose by autograd: right for every stride, whatever the sizes
        with torch.enable_grad():
            x = torch.zeros_like(self.u, requires_grad=True)
            return torch.autograd.grad(self._apply_map(weight.detach(), x), x, y.detach())[0]

    @torch.no_grad()
    def _iterate(self, weight: Tensor) -> None:
        image = self._transposed(weight, self._apply_map(weight, self.u))
        length = image.norm()
        self.u = torch.where(length > 0, image / length.clamp_min(torch.finfo(image.dtype).tiny), self.u)

    def forward(self, weight: Tensor) -> Float[Tensor, ""]:
        """σ of this weight, with its gradient in the weight."""
        if self.training:
            self._iterate(weight)
        # ‖W u‖ at the right singular vector: its slope in W is that of σ
        return self._apply_map(weight, self.u.clone()).norm()


class _Normalised(nn.Module):
    def __init__(self, sigma: Sigma, k: float, mode: Mode, through: bool) -> None:
        super().__init__()
        self.sigma, self._k, self._mode, self._through = sigma, k, mode, through

    def forward(self, weight: Tensor) -> Tensor:
        value = self.sigma(weight)
        if not self._through:
            value = value.detach()
        ratio = value / self._k
        return weight / (ratio.clamp_min(1) if self._mode == "at_most" else ratio)


def spectral_norm(
    module: nn.Module,
    k: float = 1.0,
    mode: Mode = "at_most",
    layers: str | Sequence[str] = "-2",
    through_sigma: bool | None = None,
    input_sizes: dict[str, Sequence[int]] | None = None,
) -> nn.Module:
    """Keep the spectral norm of chosen layers at (or below) ``k``; returns the module, parametrised in place.

    Parameters
    ----------
    module : holds the layers
    k : the norm to keep
    mode : ``"always"``: W/(σ/k); ``"at_most"``: W/max(σ/k, 1), which leaves small weights as they are
    layers : names, or ``"-2"`` and the like: counted from the end of the linear and convolution layers; the penultimate
        one is what a critic needs
    through_sigma : differentiate σ too; None: for linear layers, not for convolutions
    input_sizes : sides of the input of each convolution, by name

    Raises
    ------
    ValueError
        For k ≤ 0, an unknown mode, layers that are not there.
    """
    if not k > 0:
        raise ValueError(f"k: got {k}; must be positive")
    if mode not in ("always", "at_most"):
        raise ValueError(f"mode: got {mode!r}; must be 'always' or 'at_most'")
    for name, layer in _chosen(module, layers):
        sigma = Sigma(layer, (input_sizes or {}).get(name))
        through = isinstance(layer, nn.Linear) if through_sigma is None else through_sigma
        parametrize.register_parametrization(layer, "weight", _Normalised(sigma, k, mode, through))
    return module


def track_sigma(
    module: nn.Module, layers: str | Sequence[str] = "-2", input_sizes: dict[str, Sequence[int]] | None = None
) -> dict[str, Sigma]:
    """A :class:`Sigma` for each chosen layer, by name; the layers are not changed. ``sigma(layer.weight)`` reads it."""
    return {name: Sigma(layer, (input_sizes or {}).get(name)) for name, layer in _chosen(module, layers)}


@torch.no_grad()
def div_grad_by_sigma(module: nn.Module, sigmas: dict[str, Sigma], k: float = 1.0) -> None:
    """Divide each tracked layer's gradient by max(σ/k, 1), after the backward; the weights are left alone (DivGrad)."""
    modules = dict(module.named_modules())
    for name, sigma in sigmas.items():
        weight = modules[name].weight
        if isinstance(weight, Tensor) and weight.grad is not None:
            weight.grad /= (sigma(weight) / k).clamp_min(1)


class SigmaScheduledAdam(torch.optim.Adam):
    """Adam whose ε is multiplied by the product of the tracked σ at every step (MulEps; form reconstructed).

    Parameters
    ----------
    params, options : of :class:`torch.optim.Adam`
    module, sigmas : what :func:`track_sigma` was given, and what it gave
    """

    def __init__(self, params: Iterable[Tensor], module: nn.Module, sigmas: dict[str, Sigma], **options: Any) -> None:
        super().__init__(params, **options)
        self._sigmas = [(dict(module.named_modules())[name], sigma) for name, sigma in sigmas.items()]
        self._eps = [float(group["eps"]) for group in self.param_groups]

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One step of Adam."""
        with torch.no_grad():
            product = 1.0
            for layer, sigma in self._sigmas:
                product *= float(sigma(layer.weight))
        for group, eps in zip(self.param_groups, self._eps, strict=True):
            group["eps"] = eps * product
        return super().step(closure)


def _chosen(module: nn.Module, layers: str | Sequence[str]) -> list[tuple[str, nn.Module]]:
    found = [(name, m) for name, m in module.named_modules() if isinstance(m, _LAYERS)]
    if isinstance(layers, str) and layers.startswith("-") and layers[1:].isdigit():
        try:
            return [found[int(layers)]]
        except IndexError:
            raise ValueError(
                f"layers: there is no layer {layers} among {len(found)} linear and convolution layers"
            ) from None
    wanted = [layers] if isinstance(layers, str) else list(layers)
    known = dict(found)
    missing = [name for name in wanted if name not in known]
    if missing:
        raise ValueError(f"layers: {', '.join(missing)} not among {', '.join(known)}")
    return [(name, known[name]) for name in wanted]
