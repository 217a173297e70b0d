"""To grok or not to grok: the rule and the wrong labels live in different neurons, and regularisation parts them."""

from __future__ import annotations

import numpy as np

from surefoot.analysis.memorisation import PHASES
from surefoot.studies._grok_corruption_runs import run
from surefoot.studies.frame import Claim, Measured, Study


def _phase(measured: Measured, name: str, phase: str) -> bool:
    return bool((measured[f"phase_{name}"] == PHASES.index(phase)).all())


# Fixed before the first run at small scale; each must hold for every seed.
CLAIMS = (
    Claim(
        "Without regularisation a network fits the wrong labels too and still generalises",
        "abstract (i); authors' notebook: train 0.978, test 0.983 at ξ 0.35",
        "train and memorised ≥ 0.99, test ≥ 0.85",
        lambda m: bool(
            (m["train_decay0"] >= 0.99).all()
            and (m["memorised_decay0"] >= 0.99).all()
            and (m["test_decay0"] >= 0.85).all()
        ),
        ("train_decay0", "memorised_decay0", "test_decay0"),
    ),
    Claim(
        "Pruning the 70 % least periodic neurons removes memorisation and raises test accuracy",
        "abstract (ii): pruning lowers accuracy on corrupted and raises it on uncorrupted data",
        "test gain ≥ 0.03, memorised ≤ 0.10",
        lambda m: bool((m["low70_test_gain"] >= 0.03).all() and (m["low70_memorised"] <= 0.10).all()),
        ("low70_test_gain", "low70_memorised", "low70_recovered"),
    ),
    Claim(
        "Pruning the 20 % most periodic neurons destroys generalisation",
        "periodic neurons carry generalisation",
        "test falls by ≥ 0.7",
        lambda m: bool((m["high20_test_cost"] >= 0.7).all()),
        ("high20_test_cost", "high20_test"),
    ),
    Claim(
        "Pruning 20 % at random costs more than the least and less than the most periodic ones",
        "periodic neurons carry generalisation",
        "test: low > random > high",
        lambda m: bool((m["low20_test"] > m["random20_test"]).all() and (m["random20_test"] > m["high20_test"]).all()),
        ("low20_test", "random20_test", "high20_test"),
    ),
    Claim(
        "Weight decay 15 gives full inversion: only the right labels are fit",
        "abstract (iii); authors' notebook: train 0.654, test 1.000 at ξ 0.35, where 1 − ξ + ξ/p = 0.654",
        "|train − (1 − ξ + ξ/p)| ≤ 0.02, test ≥ 0.99",
        lambda m: bool(
            (np.abs(m["train_decay15"] - m["train_floor"]) <= 0.02).all() and (m["test_decay15"] >= 0.99).all()
        ),
        ("train_decay15", "train_floor", "test_decay15"),
    ),
    Claim(
        "Weight decay makes neurons periodic: mean IPR rises with it",
        "abstract (iv): weight decay forces all neurons to learn generalising representations",
        "IPR(λ 0) < IPR(5) < IPR(8) < IPR(15)",
        lambda m: all(
            bool((m[f"ipr_{a}"] < m[f"ipr_{b}"]).all())
            for a, b in (("decay0", "decay5"), ("decay5", "decay8"), ("decay8", "decay15"))
        ),
        ("ipr_decay0", "ipr_decay5", "ipr_decay8", "ipr_decay15"),
    ),
    Claim(
        "As weight decay grows: coexistence, partial inversion, full inversion, forgetting",
        "λ 0, 5, 15, 20; authors' notebook: test 0.983, 1.000, 1.000, 0.011",
        "phases 1, 2, 3, 5 at λ 0, 8, 15, 20",
        lambda m: (
            _phase(m, "decay0", "coexistence")
            and _phase(m, "decay8", "partial inversion")
            and _phase(m, "decay15", "full inversion")
            and _phase(m, "decay20", "forgetting")
        ),
        ("phase_decay0", "phase_decay8", "phase_decay15", "phase_decay20"),
    ),
    Claim(
        "Two stages under weight decay: first the rule is learnt, then the wrong labels are unlearnt",
        "abstract: first grokking, then train accuracy falls from 100 % to 100 (1 − ξ) %",
        "train passes 0.99; test reaches 0.95 before train falls to 1 − ξ + ξ/p",
        lambda m: bool((m["peak_train_decay15"] >= 0.99).all() and (m["step_grokked"] < m["step_unlearnt"]).all()),
        ("peak_train_decay15", "step_grokked", "step_unlearnt"),
    ),
    Claim(
        "Dropout unlearns wrong labels as well, and makes neurons periodic",
        "abstract (iii), (iv): dropout as well",
        "memorised falls from 0 to 0.3 to 0.6; test ≥ 0.99 at 0.6; IPR rises",
        lambda m: bool(
            (m["memorised_decay0"] > m["memorised_dropout3"]).all()
            and (m["memorised_dropout3"] > m["memorised_dropout6"]).all()
            and (m["test_dropout6"] >= 0.99).all()
            and (m["ipr_dropout3"] > m["ipr_decay0"]).all()
            and (m["ipr_dropout6"] > m["ipr_dropout3"]).all()
        ),
        ("memorised_dropout3", "memorised_dropout6", "test_dropout6", "ipr_dropout6"),
    ),
    Claim(
        "BatchNorm suppresses memorising neurons by small weights",
        "abstract (iv): BatchNorm de-amplifies memorising neurons; authors' notebook: train 0.804, test 1.000",
        "correlation ≥ 0.7, test ≥ 0.99",
        lambda m: bool((m["bn_correlation"] >= 0.7).all() and (m["bn_test"] >= 0.99).all()),
        ("bn_correlation", "bn_test", "bn_train", "bn_gamma_low_ipr", "bn_gamma_high_ipr"),
    ),
    Claim(
        "Over data fraction and corruption, weight decay 15 generalises no less often and leaves no coexistence",
        "phase diagrams over α and ξ: weight decay turns coexistence into inversion",
        "generalising cells: λ 15 ≥ λ 0, all of them inverted; no full inversion at λ 0",
        lambda m: bool(
            (m["grid_generalising_decay15"] >= m["grid_generalising_decay0"]).all()
            and (m["grid_inverted_decay15"] > 0).all()
            and (m["grid_coexistence_decay15"] == 0).all()
            and (m["grid_full_inversion_decay0"] == 0).all()
        ),
        ("grid_generalising_decay0", "grid_generalising_decay15", "grid_inverted_decay15", "grid_coexistence_decay15"),
    ),
)

STUDY = Study(
    slug="grok_corruption",
    title="To grok or not to grok: telling memorising from generalising neurons",
    paper="Doshi, Das, He, Gromov: To grok or not to grok: disentangling generalization and memorization on corrupted "
    "algorithmic datasets. ICLR 2024, arXiv 2310.13061",
    claims=CLAIMS,
    run=run,
    minutes={"smoke": 0.1, "small": 2, "paper": 900},
    notes=(
        "Phases are numbered " + ", ".join(f"{i} {name}" for i, name in enumerate(PHASES)) + ".",
        "Thresholds between the phases are ours; the paper names phases by eye.",
        "Pairs, labels, initial weights and batches follow the seed; the paper fixes the pairs for all runs.",
        "Partial inversion is shown at λ 8: at this size λ 5 still lies in coexistence.",
        "A grid cell without decay may count as partly inverted after 300 steps: its wrong labels are not all fit yet.",
        "At small scale dropout stops at step 400: seed 0 at dropout 0.6 has test 0.989 then, and 0.991 at step 800.",
    ),
)
