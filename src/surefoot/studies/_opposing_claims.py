"""The claims of the study of opposing signals; comparators were fixed before the first full run.

What the paper states in words is given as such; the theorem's constants are reconstructed (see the study's notes).
"""

from __future__ import annotations

import numpy as np

from surefoot.studies.frame import Claim

TOY = (
    Claim(
        "Linear model: gradient flow ends at the sharpness α c∞², about α |β|",
        "a stronger signal makes a sharper valley (two-layer linear analysis; form reconstructed)",
        "relative error ≤ 1e-3 against the closed form",
        lambda m: bool((m["toy_flow_error"] <= 1e-3).all()),
        "toy_flow_error",
    ),
    Claim(
        "Linear model: sharpness starts in (α, 3α), falls until t₁ ≤ ln 2/(2|β|), then rises to at least ⅝ α |β|",
        "theorem on progressive sharpening (constants reconstructed)",
        "start 50…150, turn ≤ 0.0347, end ≥ 312.5",
        lambda m: bool(
            (
                (m["toy_start"] > m["toy_alpha"])
                & (m["toy_start"] < 3 * m["toy_alpha"])
                & (m["toy_turn"] <= np.log(2) / (2 * m["toy_beta"]))
                & (m["toy_end"] >= 5 / 8 * m["toy_alpha"] * m["toy_beta"])
            ).all()
        ),
        ("toy_start", "toy_turn", "toy_end"),
    ),
    Claim(
        "Linear model: with 2/η below the flow's end, the loss spikes and descent settles below 2/η; above it, neither",
        "the outlier weight grows once α c² > 2/η, and pushes the sharpness back down",
        "η 0.005, 0.006: end ≤ 1 × 2/η, loss rises again by ≥ 0.2 of its floor; η 0.003: within 1 % of the flow's end",
        lambda m: bool(
            all(
                (m[f"toy_end_{eta}"] <= 1.0).all() and (m[f"toy_spike_{eta}"] >= 0.2).all()
                for eta in ("0.005", "0.006")
            )
            and (abs(m["toy_smooth_end"] - 1) <= 0.01).all()
        ),
        ("toy_end_0.005", "toy_spike_0.005", "toy_end_0.006", "toy_smooth_end"),
    ),
    Claim(
        "Linear model on 4,000 samples: the losses of the two outlier groups are (α/2p)(1 ∓ c s)², one high, one low",
        "the groups' losses alternate in antiphase; their mean hides it",
        "relative error ≤ 0.03 at the peak; peak ratio ≥ 4",
        lambda m: bool((m["toy_sample_error"] <= 0.03).all() and (m["toy_sample_ratio"] >= 4).all()),
        ("toy_sample_error", "toy_sample_ratio"),
    ),
)

PLANTED = (
    Claim(
        "Planted groups are found from loss changes alone",
        "the most positive and most negative changes are two visually consistent groups",
        "precision ≥ 0.95 among as many as were planted (chance 0.05)",
        lambda m: bool((m["precision"] >= 0.95).all()),
        "precision",
    ),
    Claim(
        "The top 5 % of samples carry most of all loss movement",
        "outliers have an outsized effect",
        "≥ 0.8",
        lambda m: bool((m["top5"] >= 0.8).all()),
        "top5",
    ),
    Claim(
        "The two groups swing in antiphase from step to step",
        "their losses oscillate, one up as the other goes down",
        "correlation ≤ −0.5, lag-1 ≤ −0.6; the rule says opposing",
        lambda m: bool((m["correlation"] <= -0.5).all() and (m["lag1"] <= -0.6).all() and m["judged"].all()),
        ("correlation", "lag1", "judged"),
    ),
    Claim(
        "The groups' gradients oppose each other",
        "the groups share one feature and want opposite outputs",
        "cosine ≤ −0.5",
        lambda m: bool((m["gradient_cosine"] <= -0.5).all()),
        "gradient_cosine",
    ),
    Claim(
        "The sharpest Hessian direction is the one the groups disagree on",
        "the valley's walls are the two groups' losses",
        "alignments of opposite sign, each ≥ 0.5 in magnitude",
        lambda m: bool((m["alignment_product"] < 0).all() and (m["alignment_least"] >= 0.5).all()),
        ("alignment_product", "alignment_least"),
    ),
    Claim(
        "One pattern explains the changes, and its two sides are the planted groups",
        "two groups (no quantitative definition in the paper)",
        "energy share ≥ 0.8, purity ≥ 0.95",
        lambda m: bool((m["energy"] >= 0.8).all() and (m["purity"] >= 0.95).all()),
        ("energy", "purity"),
    ),
    Claim(
        "The largest rises are all of one group at one step, and of the other at the next",
        "groups swap roles from step to step",
        "purity of the top 20 in both steps ≥ 0.95",
        lambda m: bool((m["swap"] >= 0.95).all()),
        "swap",
    ),
    Claim(
        "Intervention: without the planted 5 % the sharpness at the same weights falls",
        "not in the paper (a reviewers' question)",
        "≤ 0.5 of the sharpness on all data",
        lambda m: bool((m["sharpness_without"] <= 0.5 * m["sharpness"]).all()),
        ("sharpness", "sharpness_without"),
    ),
    Claim(
        "Control: with nothing planted there is no swing, no finding, and less sharpness",
        "not in the paper",
        "lag-1 ≥ 0.9, the rule is silent, sharpness ≤ 0.5 of the planted run's",
        lambda m: bool(
            (m["bare_lag1"] >= 0.9).all()
            and not m["bare_judged"].any()
            and (m["bare_sharpness"] <= 0.5 * m["sharpness"]).all()
        ),
        ("bare_lag1", "bare_judged", "bare_sharpness"),
    ),
    Claim(
        "Before the edge the sharpness grows with the opposing direction, and more so for a larger feature",
        "opposing signals cause progressive sharpening",
        "growth ≥ 3; alignments of opposite sign, each ≥ 0.9; sharpness ordered by amplitude",
        lambda m: bool(
            (m["slow_growth"] >= 3).all()
            and (m["slow_alignment_product"] < 0).all()
            and (m["slow_alignment_least"] >= 0.9).all()
            and m["slow_order"].all()
        ),
        ("slow_growth", "slow_alignment_least", "slow_strong", "slow_weak"),
    ),
    Claim(
        "Before the edge loss changes show nothing yet, but slopes along the sharpest direction do",
        "not in the paper",
        "precision of changes ≤ 0.1, of slopes ≥ 0.9",
        lambda m: bool((m["slow_precision"] <= 0.1).all() and (m["slow_precision_slopes"] >= 0.9).all()),
        ("slow_precision", "slow_precision_slopes"),
    ),
    Claim(
        "Fed with the feature alone, the network swings between classes from step to step",
        "class probabilities of a patch of sky colour swing (reconstructed)",
        "probability of the class moves by ≥ 0.2 in one step",
        lambda m: bool((m["probe_swing"] >= 0.2).all()),
        "probe_swing",
    ),
)

NATURAL = (
    Claim(
        "Natural pictures: at the edge, gradients of rising and falling samples oppose each other, and swing",
        "seen on CIFAR-10 with ResNet-18, VGG-11 and ViT; here Fashion-MNIST and a small network",
        "cosine ≤ −0.5 and lag-1 ≤ −0.9 at a look in the second half",
        lambda m: bool((m["natural_cosine"] <= -0.5).all() and (m["natural_lag1"] <= -0.9).all()),
        ("natural_cosine", "natural_lag1"),
    ),
    Claim(
        "Natural pictures: those two groups lie along the sharpest direction, in opposite senses",
        "sharpness is the groups' doing",
        "alignments of opposite sign, each ≥ 0.7 in magnitude",
        lambda m: bool((m["natural_alignment_product"] < 0).all() and (m["natural_alignment_least"] >= 0.7).all()),
        ("natural_alignment_product", "natural_alignment_least", "natural_span"),
    ),
    Claim(
        "Natural pictures: sharpness passes 2/η",
        "progressive sharpening up to the edge of stability",
        "≥ 6.67",
        lambda m: bool((m["natural_sharpness"] >= 2 / 0.3).all()),
        "natural_sharpness",
    ),
    Claim(
        "Intervention: leaving out the 40 samples found (2 %) lowers the sharpness more than leaving out 40 at random",
        "not in the paper (a reviewers' question)",
        "drop at least twice the magnitude of the random one's change",
        lambda m: bool(
            (
                m["natural_on_all"] - m["natural_without_groups"]
                >= 2 * abs(m["natural_on_all"] - m["natural_without_random"])
            ).all()
        ),
        ("natural_on_all", "natural_without_groups", "natural_without_random"),
    ),
)

OPTIMIZERS = (
    Claim(
        "Adam puts less of its step on the opposing direction than SGD with momentum",
        "Adam's normalisation damps opposing signals",
        "at the best rate of each: Adam's share ≤ 0.5 of SGD's",
        lambda m: bool((m["share_Adam"] <= 0.5 * m["share_SGD"]).all()),
        ("share_SGD", "share_Adam"),
    ),
    Claim(
        "Adam has a lower loss on the opposing samples than SGD with momentum",
        "opposing signals explain part of Adam's advantage",
        "at the best rate of each: Adam's group loss below SGD's",
        lambda m: bool((m["group_loss_Adam"] < m["group_loss_SGD"]).all()),
        ("group_loss_SGD", "group_loss_Adam"),
    ),
    Claim(
        "SplitSGD tracks Adam",
        "SplitSGD tracks Adam on attention models (reconstructed)",
        "end loss ≤ that of the best SGD, and ≤ twice that of the best Adam",
        lambda m: bool(((m["loss_SplitSGD"] <= m["loss_SGD"]) & (m["loss_SplitSGD"] <= 2 * m["loss_Adam"])).all()),
        ("loss_SGD", "loss_Adam", "loss_SplitSGD"),
    ),
)

CLAIMS = (*TOY, *PLANTED, *NATURAL, *OPTIMIZERS)
