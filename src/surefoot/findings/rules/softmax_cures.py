"""What holds logits back: cures of the findings in :mod:`surefoot.findings.rules.softmax`."""

from __future__ import annotations

from surefoot.runs.schema import Remedy

STABLEMAX = Remedy(
    name="surefoot.losses.stablemax_cross_entropy",
    why="its tails are polynomial where the softmax's are exponential, so that no logit is absorbed",
    how="# after: loss\nfrom surefoot.losses import stablemax_cross_entropy\nloss_fn = stablemax_cross_entropy\n",
    apply="stablemax",
)
ORTHOGONAL_GRAD = Remedy(
    name="surefoot.optim.OrthogonalGrad",
    why="takes out of each gradient its part along the weights, which only makes the logits grow",
    how=("# after: optimizer\nfrom surefoot.optim import OrthogonalGrad\noptimizer = OrthogonalGrad(optimizer)\n"),
    apply="orthogonal-grad",
)
DOUBLE_SOFTMAX_PRECISION = Remedy(
    name="softmax in float64",
    why="moves the collapse from a lead of 16.6 nats (float32) to one of 36.7; a delay, no cure",
    how=(
        "# after: loss\n"
        "import torch\n"
        "def loss_fn(logits, targets):\n"
        "    return torch.nn.functional.cross_entropy(logits.double(), targets).to(logits.dtype)\n"
    ),
)
FLOAT32_LOGITS = Remedy(
    name="logits in float32",
    why="half precision runs out of bits at a lead of 5.5 nats (bfloat16) or 7.6 (float16), float32 at 16.6",
    how=(
        "# after: model\n"
        "import torch\n"
        "def in_float32(module, args, output):\n"
        "    return output.float() if isinstance(output, torch.Tensor) else output\n"
        "model.register_forward_hook(in_float32)\n"
    ),
    apply="float32-logits",
)
_COEF = 1e-4  # of the z-loss, as in the paper


def z_loss(coef: float) -> Remedy:
    """A z-loss of weight ``coef``, no less than the paper's 1e-4 and no more than 1e-2; rounded to one digit."""
    coef = float(f"{min(1e-2, max(_COEF, coef)):.1g}")
    return Remedy(
        name="surefoot.losses.z_loss",
        why=f"{coef:g} · mean(log Z)² holds the logits as a whole near 0, at little cost (Wortsman et al. 2024, §3.2)",
        how=(
            "# after: loss\n"
            "from surefoot.losses import cross_entropy_with_z_loss\n"
            "def loss_fn(logits, targets):\n"
            f"    return cross_entropy_with_z_loss(logits, targets, coef={coef:g}).total\n"
        ),
        apply="z-loss" if coef == _COEF else f"z-loss:coef={coef:g}",
    )
