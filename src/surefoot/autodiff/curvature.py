"""The curvature matrices of a model's loss over a data set, by their products: Hessian, GGN, Fisher, covariance.

With L = (1/N) Σ ℓ(f(w, xᵢ), yᵢ) and Jᵢ the Jacobian of the outputs of sample i in the parameters,

    H = G + R,    G = (1/N) Σ Jᵢᵀ (∇²ℓ) Jᵢ,    R = (1/N) Σ Σ_c (∂ℓ/∂f_c) ∇²f_c

(Schraudolph 2002; Sagun et al., arXiv 1706.04454).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Literal

import torch
from torch import Tensor, nn

from surefoot.autodiff.composite import graph_sandwich, graph_vjp
from surefoot.autodiff.jvp import functional
from surefoot.autodiff.loss_operator import Batch, LossOperator
from surefoot.autodiff.parameters import LossFunction, one_number


class HessianOperator(LossOperator):
    """Products with the Hessian, H v = ∇⟨∇L, v⟩ (Pearlmutter 1994).

    ``form="reverse"`` differentiates the gradient's graph, which is kept: a product is one backward pass through it.
    ``form="forward"`` is the derivative of the gradient along v in forward mode; nothing is kept, and layers need
    forward-mode formulas.
    """

    def __init__(self, *args: Any, form: Literal["reverse", "forward"] = "reverse", **kwargs: Any) -> None:
        if form not in ("reverse", "forward"):
            raise ValueError(f"form: got {form!r}; must be 'reverse' or 'forward'")
        super().__init__(*args, **kwargs)
        self._form = form
        if form == "forward":
            if not isinstance(self._model, nn.Module):
                raise ValueError("form: 'forward' needs a module; a function of the inputs serves with 'reverse'")
            self._cache = False

    def _graph(self, batch: Batch) -> Any:
        if self._form == "forward":
            return None
        slopes = torch.autograd.grad(self._loss(batch), self.parameters, create_graph=True, allow_unused=True)
        return self._used(slopes)

    def _joined(self, kept: list[tuple[Batch, Any]]) -> list[tuple[Batch, Any]]:
        """The graph of the whole gradient: one pass of autograd then goes through all batches."""
        total = [sum(batch.weight * slopes[i] for batch, slopes in kept) for i in range(len(self.parameters))]
        return [(replace(kept[0][0], rows=self.rows, weight=1.0), total)]

    def _through(self, graph: Any, batch: Batch, pieces: list[Tensor], keep: bool) -> Sequence[Tensor | None]:
        if self._form == "forward":
            return self._forward(batch, pieces)
        return graph_vjp(graph, self.parameters, pieces, keep)

    def _forward(self, batch: Batch, pieces: list[Tensor]) -> Sequence[Tensor | None]:
        assert isinstance(self._model, nn.Module)
        names = {id(p): name for name, p in self._model.named_parameters()}
        call = functional(self._model, (batch.inputs,), mode=self._mode, random_state=self._random)
        keys = [names[id(p)] for p in self.parameters]

        def loss(values: tuple[Tensor, ...]) -> Tensor:
            return one_number(self._loss_fn(call(dict(zip(keys, values, strict=True))), batch.targets))

        here = tuple(p.detach() for p in self.parameters)
        return torch.func.jvp(torch.func.grad(loss), (here,), (tuple(pieces),))[1]


class _OutputOperator(LossOperator):
    """Σ Jᵢᵀ Mᵢ Jᵢ for a matrix M on the outputs: what GGN and the Fisher matrices are."""

    def _middle(self, outputs: Tensor, batch: Batch) -> Callable[[Tensor], Tensor]:
        """u → M u on outputs, of this batch's own loss."""
        raise NotImplementedError

    def _graph(self, batch: Batch) -> Any:
        outputs = self._outputs(batch)
        if not isinstance(outputs, Tensor):
            raise ValueError(
                f"model: gives {type(outputs).__name__}; must give one tensor, which loss_fn takes (wrap it in a "
                "function that returns the logits)"
            )
        return graph_sandwich(outputs, self.parameters, self._middle(outputs.detach(), batch))

    def _through(self, graph: Any, batch: Batch, pieces: list[Tensor], keep: bool) -> Sequence[Tensor | None]:
        return self._used(graph(pieces))


class GGNOperator(_OutputOperator):
    """Products with the generalised Gauss-Newton matrix Jᵀ (∇²ℓ) J: positive semi-definite for a convex ℓ."""

    def _middle(self, outputs: Tensor, batch: Batch) -> Callable[[Tensor], Tensor]:
        return loss_curvature(self._loss_fn, outputs, batch.targets)


FisherKind = Literal["type2", "mc", "empirical"]
Likelihood = Literal["categorical", "bernoulli", "gaussian"]


class FisherOperator(_OutputOperator):
    """Products with a Fisher matrix, the mean of ∇ℓ ∇ℓᵀ over samples; three kinds, which differ in the labels.

    Parameters
    ----------
    kind : ``"type2"``: the expectation over the model's own labels, equal to the GGN for these losses. ``"mc"``: with
        ``mc_samples`` labels drawn from the model, an unbiased estimate of it. ``"empirical"``: with the labels of the
        data, which is not the GGN (Kunstner et al., arXiv 1905.12558)
    likelihood : what the loss is the negative logarithm of; None finds out for torch's own losses
    mc_samples, seed : labels drawn a sample, and the seed that they are drawn from

    Raises
    ------
    ValueError
        For an unknown kind, or a loss whose likelihood must be told.
    """

    def __init__(
        self,
        *args: Any,
        kind: FisherKind = "type2",
        mc_samples: int = 1,
        likelihood: Likelihood | None = None,
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        if kind not in ("type2", "mc", "empirical"):
            raise ValueError(f"kind: got {kind!r}; must be 'type2', 'mc' or 'empirical'")
        if mc_samples < 1:
            raise ValueError(f"mc_samples: got {mc_samples}; must be at least 1")
        super().__init__(*args, **kwargs)
        self.kind = kind
        self._samples = mc_samples
        self._likelihood = likelihood_of(self._loss_fn, likelihood) if kind != "empirical" else None
        self._seed = seed

    def _middle(self, outputs: Tensor, batch: Batch) -> Callable[[Tensor], Tensor]:
        if self.kind == "type2":
            return loss_curvature(self._loss_fn, outputs, batch.targets)
        each = batch.rows if self._reduction == "mean" else 1
        if self.kind == "empirical":
            slopes = [each * _slope(self._loss_fn, outputs, batch.targets)]
        else:
            # the same labels at every product, whether graphs are kept or not, and others in every batch
            generator = torch.Generator(outputs.device).manual_seed(self._seed + 1_000_003 * batch.first)
            slopes = [self._drawn(outputs, batch.targets, each, generator) for _ in range(self._samples)]

        def product(vector: Tensor) -> Tensor:
            along = [slope * _row_dot(slope, vector) for slope in slopes]
            return torch.stack(along).sum(dim=0) / (len(slopes) * each)

        return product

    def _drawn(self, outputs: Tensor, targets: Tensor, each: int, generator: torch.Generator) -> Tensor:
        """Slopes in the outputs of each row's loss, for labels drawn from the model.

        A loss that is a mean over a row's outputs too is κ times a negative log-likelihood; its curvature is then that
        of slopes √κ times the likelihood's own, not κ times.
        """
        if self._likelihood == "gaussian":
            curvature = loss_curvature(self._loss_fn, outputs, targets)(torch.ones_like(outputs))
            noise = torch.randn(outputs.shape, generator=generator, dtype=outputs.dtype, device=outputs.device)
            return noise * (each * curvature).sqrt()
        if self._likelihood == "bernoulli":
            labels = torch.bernoulli(outputs.sigmoid(), generator=generator)
            score = outputs.sigmoid() - labels
        else:
            classes = _class_dimension(outputs, targets)
            chances = outputs.movedim(classes, -1).softmax(dim=-1)
            drawn = torch.multinomial(chances.reshape(-1, chances.shape[-1]), 1, generator=generator)
            labels = drawn.reshape(targets.shape)
            score = chances.scatter_add(-1, labels.unsqueeze(-1), -torch.ones_like(chances[..., :1]))
            score = score.movedim(-1, classes)
        slope = each * _slope(self._loss_fn, outputs, labels)
        scale = (slope * score).sum() / score.square().sum().clamp_min(torch.finfo(score.dtype).tiny)
        return score * scale.clamp_min(0).sqrt()


class GradientCovarianceOperator(FisherOperator):
    """Products with the covariance of the samples' gradients: the empirical Fisher matrix less ∇L ∇Lᵀ."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, kind="empirical", **kwargs)
        if self._reduction != "mean":
            raise ValueError("reduction: got 'sum'; a covariance is of a mean: use reduction='mean'")
        self._mean = self.gradient()

    def _product(self, vector: Tensor) -> Tensor:
        return super()._product(vector) - self._mean * (self._mean @ vector)


def loss_curvature(loss_fn: LossFunction, outputs: Tensor, targets: Any) -> Callable[[Tensor], Tensor]:
    """u → (∇²ℓ) u for the loss as a function of the outputs, by its own graph."""
    leaf = outputs.detach().requires_grad_()
    with torch.enable_grad():
        (slope,) = torch.autograd.grad(one_number(loss_fn(leaf, targets)), leaf, create_graph=True)
    if not slope.requires_grad:  # a loss linear in the outputs
        return torch.zeros_like
    return lambda u: torch.autograd.grad(slope, leaf, u, retain_graph=True)[0]


def likelihood_of(loss_fn: Any, told: Likelihood | None = None) -> Likelihood:
    """The likelihood whose negative logarithm a loss is.

    Raises
    ------
    ValueError
        If it was not told, and the loss is none of torch's own.
    """
    if told is not None:
        if told not in ("categorical", "bernoulli", "gaussian"):
            raise ValueError(f"likelihood: got {told!r}; must be 'categorical', 'bernoulli' or 'gaussian'")
        return told
    name = getattr(loss_fn, "__name__", type(loss_fn).__name__)
    known: dict[str, Likelihood] = {
        "cross_entropy": "categorical",
        "CrossEntropyLoss": "categorical",
        "binary_cross_entropy_with_logits": "bernoulli",
        "BCEWithLogitsLoss": "bernoulli",
        "mse_loss": "gaussian",
        "MSELoss": "gaussian",
    }
    if name not in known:
        raise ValueError(
            f"likelihood: {name} is none of torch's losses; say 'categorical' (outputs are logits over classes), "
            "'bernoulli' (logits, targets in [0, 1]) or 'gaussian' (squared error)"
        )
    return known[name]


def _slope(loss_fn: LossFunction, outputs: Tensor, targets: Any) -> Tensor:
    leaf = outputs.detach().requires_grad_()
    with torch.enable_grad():
        return torch.autograd.grad(one_number(loss_fn(leaf, targets)), leaf)[0]


def _row_dot(a: Tensor, b: Tensor) -> Tensor:
    return (a * b).flatten(1).sum(dim=1).reshape(-1, *[1] * (a.dim() - 1)) if a.dim() > 1 else a * b


def _class_dimension(outputs: Tensor, targets: Any) -> int:
    for dim in (1, -1):
        if outputs.dim() > 1:
            rest = list(outputs.shape)
            rest.pop(dim)
            if tuple(rest) == tuple(targets.shape):
                return dim
    raise ValueError(
        f"targets: got shape {tuple(targets.shape)} for logits of shape {tuple(outputs.shape)}; must be class indices, "
        "of the logits' shape without the classes"
    )
