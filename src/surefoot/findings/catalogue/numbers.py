"""Explanations of the findings on numbers: what floating point can hold, and what it loses."""

from __future__ import annotations

from surefoot.findings.catalogue import Explanation

ENTRIES: tuple[Explanation, ...] = (
    Explanation(
        id="non-finite",
        title="NaN or infinity in the loss or the weights",
        what=(
            "A NaN or an infinity spreads through every operation that reads it. Once a weight holds a NaN, every "
            "later output that uses the weight is NaN, and the run is lost from there on. Surefoot looks for the first "
            "culprit, module and operation, while the weights are still intact."
        ),
        mathematics=(
            "IEEE 754: NaN ∘ x = NaN for every arithmetic operation; ∞ − ∞, 0 · ∞, 0/0 and the logarithm of a negative "
            "number are NaN; log 0 is −∞, and so is the result of an overflow (3.4e38 in float32, 65504 in float16).\n"
            "Judged: loss, weight_rms, gradient_nonfinite (share of a module's parameters with a non-finite gradient).\n"
            "Threshold: one NaN in loss or weights; two infinite losses in a row."
        ),
        source="IEEE 754; dynamic loss scaling: Micikevicius et al. 2018 (arXiv 1710.03740)",
        not_this=(
            "Dynamic loss scaling tries scales until a gradient overflows and skips those steps; scripts that guard "
            "their step do the same. A non-finite gradient alone is an info as long as loss and weights stay finite."
        ),
        remedies=("torch.autograd.set_detect_anomaly", "skip steps with a non-finite gradient"),
        severities="critical for NaN in loss or weights and for a second infinite loss in a row; warning for one "
        "infinite loss; info for gradients alone",
    ),
)
"""What is said of each id of this family."""
