"""torch's own Transformer layers with other residual connections: nothing of the model's code changes."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from surefoot.nn.mgt.connections import Erase, MGTConnection


class _Rewired(nn.Module):
    """Takes a layer over, with its weights; its norms become those of the branches."""

    def __init__(self, layer: Any, gate: bool = True, erase: Erase | None = "rank1", beta_init: float = 0.2) -> None:
        super().__init__()
        weight = layer.linear1.weight
        self.connections = nn.ModuleList()
        for name in ("norm1", "norm2", "norm3"):
            if hasattr(layer, name):
                made = MGTConnection(weight.shape[1], gate, erase, beta_init, device=weight.device, dtype=weight.dtype)
                made.norm = getattr(layer, name)
                setattr(layer, name, nn.Identity())
                self.connections.append(made)
        self.layer = layer

    @property
    def self_attn(self) -> nn.MultiheadAttention:
        """That of the layer: torch's stacks ask it for ``batch_first``."""
        attention: nn.MultiheadAttention = self.layer.self_attn
        return attention


class RewiredEncoderLayer(_Rewired):
    """A :class:`torch.nn.TransformerEncoderLayer` whose two sublayers write by :class:`MGTConnection`.

    Called as that layer is; pre-norm, whatever it was before.

    Parameters
    ----------
    layer : is taken over, with its weights
    gate, erase, beta_init : of the connections

    Source: arXiv 2601.01014.
    """

    def forward(
        self,
        src: Tensor,
        src_mask: Tensor | None = None,
        src_key_padding_mask: Tensor | None = None,
        is_causal: bool = False,
    ) -> Tensor:
        attend, feed = self.connections
        src = attend(src, lambda x: self.layer._sa_block(x, src_mask, src_key_padding_mask, is_causal))
        out: Tensor = feed(src, self.layer._ff_block)
        return out


class RewiredDecoderLayer(_Rewired):
    """A :class:`torch.nn.TransformerDecoderLayer` whose three sublayers write by :class:`MGTConnection`.

    Parameters are those of :class:`RewiredEncoderLayer`.

    Source: arXiv 2601.01014.
    """

    def forward(
        self,
        tgt: Tensor,
        memory: Tensor,
        tgt_mask: Tensor | None = None,
        memory_mask: Tensor | None = None,
        tgt_key_padding_mask: Tensor | None = None,
        memory_key_padding_mask: Tensor | None = None,
        tgt_is_causal: bool = False,
        memory_is_causal: bool = False,
    ) -> Tensor:
        attend, look, feed = self.connections
        tgt = attend(tgt, lambda x: self.layer._sa_block(x, tgt_mask, tgt_key_padding_mask, tgt_is_causal))
        tgt = look(
            tgt, lambda x: self.layer._mha_block(x, memory, memory_mask, memory_key_padding_mask, memory_is_causal)
        )
        out: Tensor = feed(tgt, self.layer._ff_block)
        return out


def rewire_(
    model: nn.Module, gate: bool = True, erase: Erase | None = "rank1", beta_init: float = 0.2
) -> tuple[str, ...]:
    """Rewire each encoder and decoder layer of torch's that a model holds; the names of those that were.

    Call it before the optimiser is made, which must know the new parameters. New weights are drawn from torch's
    generator.

    Raises
    ------
    ValueError
        If the model itself is such a layer, which nothing can hold in its place.

    Source: arXiv 2601.01014.
    """
    if isinstance(model, nn.TransformerEncoderLayer | nn.TransformerDecoderLayer):
        raise ValueError(
            f"model: is itself a {type(model).__name__}; give RewiredEncoderLayer the layer, or its parent"
        )
    kinds = {nn.TransformerEncoderLayer: RewiredEncoderLayer, nn.TransformerDecoderLayer: RewiredDecoderLayer}
    mine = {module.layer for module in model.modules() if isinstance(module, _Rewired)}
    found = [(name, module) for name, module in model.named_modules() if type(module) in kinds and module not in mine]
    for name, module in found:
        parent, _, last = name.rpartition(".")
        setattr(model.get_submodule(parent), last, kinds[type(module)](module, gate, erase, beta_init))
    for module in model.modules():
        if isinstance(module, nn.TransformerEncoder):
            module.use_nested_tensor = False  # its fast path computes plain layers from their weights
    return tuple(name for name, _ in found)
