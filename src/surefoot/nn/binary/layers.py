"""``BinaryLinear`` and ``BinaryConv2d``: torch's layers with 1-bit weights and, if wished, 1-bit inputs."""

from __future__ import annotations

from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from surefoot.nn.binary.binarize import apply_sign
from surefoot.nn.binary.estimators import Estimator, estimator_of

Scale = Literal["layer", "channel"]


class BinaryLayer(nn.Module):
    """What binary layers share: the estimator behind sign, its sharpness as a buffer, the scale of the weights."""

    weight: Tensor
    sharpness: Tensor

    def _make_binary(self, binarize_input: bool, scale: Scale | None, estimator: str | Estimator) -> None:
        if scale not in ("layer", "channel", None):
            raise ValueError(f"scale: got {scale!r}; use 'layer', 'channel' or None")
        self.binarize_input = binarize_input
        self.scale = scale
        self.estimator = estimator_of(estimator)
        # in the state_dict, so that a resumed training goes on as sharp as it was
        self.register_buffer("sharpness", torch.tensor(self.estimator.sharpness, device=self.weight.device))

    def binary_input(self, x: Tensor) -> Tensor:
        """The layer's input as it is multiplied with the weights: its signs, unless inputs stay real."""
        return apply_sign(x, self.estimator, self.sharpness) if self.binarize_input else x

    def binary_weight(self) -> Tensor:
        """The weights that are used: signs times their scale. Gradients flow through both."""
        signs = apply_sign(self.weight, self.estimator, self.sharpness)
        return signs if self.scale is None else signs * self.weight_scale()

    def weight_scale(self) -> Tensor:
        """Mean of |W|: over the layer (0-d), or over each output channel (broadcasts over the weight)."""
        size = self.weight.abs()
        return size.mean() if self.scale == "layer" else size.mean(tuple(range(1, size.dim())), keepdim=True)

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, binarize_input={self.binarize_input}, scale={self.scale}, {self.estimator}"


class BinaryLinear(BinaryLayer, nn.Linear):
    """:class:`torch.nn.Linear` with weights sign(W) · mean|W|, and sign(x) for its input.

    Parameters
    ----------
    in_features, out_features, bias, device, dtype : as for :class:`torch.nn.Linear`
    binarize_input : take the signs of the input too (W/A 1/1); False leaves it real (1/32)
    scale : ``"layer"`` multiplies with one mean of |W|, ``"channel"`` with one an output, None with nothing
    estimator : the estimator behind sign in the backward pass, or its name

    Attributes
    ----------
    sharpness : Tensor
        0-d buffer, saved with the weights; moved by :func:`set_sharpness`.

    Source: arXiv 2308.06689; the scale of XNOR-Net, one number a layer as in the authors' code.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        device: Any = None,
        dtype: torch.dtype | None = None,
        *,
        binarize_input: bool = True,
        scale: Scale | None = "layer",
        estimator: str | Estimator = "reste",
    ) -> None:
        super().__init__(in_features, out_features, bias, device, dtype)
        self._make_binary(binarize_input, scale, estimator)

    def forward(self, x: Float[Tensor, "*batch inputs"]) -> Float[Tensor, "*batch outputs"]:
        return F.linear(self.binary_input(x), self.binary_weight(), self.bias)


class BinaryConv2d(BinaryLayer, nn.Conv2d):
    """:class:`torch.nn.Conv2d` with weights sign(W) · mean|W|, and sign(x) for its input.

    Zero padding stands as zeros among the ±1, as in the authors' code. Parameters are those of
    :class:`torch.nn.Conv2d`, and those of :class:`BinaryLinear` by keyword.

    Source: arXiv 2308.06689.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, int],
        stride: int | tuple[int, int] = 1,
        padding: str | int | tuple[int, int] = 0,
        dilation: int | tuple[int, int] = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: Literal["zeros", "reflect", "replicate", "circular"] = "zeros",
        device: Any = None,
        dtype: torch.dtype | None = None,
        *,
        binarize_input: bool = True,
        scale: Scale | None = "layer",
        estimator: str | Estimator = "reste",
    ) -> None:
        super().__init__(
            in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias, padding_mode, device, dtype
        )
        self._make_binary(binarize_input, scale, estimator)

    def forward(self, x: Float[Tensor, "*batch inputs height width"]) -> Float[Tensor, "*batch outputs rows columns"]:
        return self._conv_forward(self.binary_input(x), self.binary_weight(), self.bias)


def binary_layers(module: nn.Module) -> dict[str, BinaryLayer]:
    """The binary layers of a model by name."""
    return {name: layer for name, layer in module.named_modules() if isinstance(layer, BinaryLayer)}


def set_sharpness(module: nn.Module, sharpness: float) -> None:
    """Set the sharpness (``o`` of ReSTE) of every binary layer of a model; call it once an epoch with a schedule.

    Raises
    ------
    ValueError
        If the model has no binary layer, or the number is out of an estimator's range.
    """
    layers = binary_layers(module)
    if not layers:
        raise ValueError("module: it has no BinaryLinear or BinaryConv2d to set the sharpness of")
    for layer in layers.values():
        layer.estimator.check(sharpness)
    for layer in layers.values():
        layer.sharpness.fill_(sharpness)
