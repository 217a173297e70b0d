"""Every snippet that a finding offers: it says where it goes, it runs as it is, and it does what it says."""

from __future__ import annotations

import ast

import pytest
import torch
from torch import nn

from surefoot.apply import parse
from surefoot.findings import remedies
from surefoot.findings.rules.overfitting import DROPOUT
from surefoot.findings.rules.schedule_cures import schedule_for
from surefoot.findings.rules.term_cures import UNIT_TARGETS
from surefoot.runs import Remedy

ALL = [v for v in vars(remedies).values() if isinstance(v, Remedy)] + [
    remedies.lower_rate(37.0),
    remedies.raise_rate(2.5e4),
    remedies.critical_init("relu"),
    remedies.critical_init(""),
    DROPOUT,
    UNIT_TARGETS,
]


def world() -> dict:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 8), nn.Sigmoid(), nn.Linear(8, 3), nn.Softmax(-1))
    optimizer = torch.optim.SGD(list(model.parameters())[:4], lr=0.1)
    names = {"model": model, "optimizer": optimizer, "loss_fn": nn.CrossEntropyLoss()}
    names["loss_fn"](model(torch.randn(5, 4)), torch.tensor([0, 1, 2, 0, 1])).backward()
    return names


def apply(remedy: Remedy) -> dict:
    names = world()
    exec(compile(remedy.how, remedy.name, "exec"), names)
    return names


@pytest.mark.parametrize("remedy", ALL, ids=lambda r: r.name)
def test_snippets_say_where_they_go_and_run(remedy: Remedy) -> None:
    head, *body = remedy.how.splitlines()
    where, _, what = head.removeprefix("# ").partition(": ")
    assert (where == "after" and what in ("model", "optimizer", "loss")) or (where == "replace" and ast.parse(what))
    assert body and remedy.why
    assert remedy.apply is None or parse(remedy.apply)
    torch.autograd.set_detect_anomaly(False)
    try:
        names = apply(remedy)
    finally:
        torch.autograd.set_detect_anomaly(False)
    out = names["model"](torch.randn(5, 4))
    assert torch.isfinite(out).all()


def test_rates_change_by_round_factors() -> None:
    assert apply(remedies.lower_rate(37.0))["optimizer"].param_groups[0]["lr"] == pytest.approx(0.1 / 50)
    assert apply(remedies.raise_rate(2.5e4))["optimizer"].param_groups[0]["lr"] == pytest.approx(0.1 * 5e4)
    assert "/= 10\n" in remedies.lower_rate(float("inf")).how and "/= 2\n" in remedies.lower_rate(0.1).how


def test_what_they_change() -> None:
    assert all(p.grad is None for p in apply(remedies.ZERO_GRAD)["optimizer"].param_groups[0]["params"])
    held = apply(remedies.ALL_PARAMETERS)
    assert sum(len(g["params"]) for g in held["optimizer"].param_groups) == len(list(held["model"].parameters()))
    assert isinstance(apply(remedies.LOGITS_FROM_MODEL)["model"][-1], nn.Identity)
    assert not any(isinstance(m, nn.Sigmoid) for m in apply(remedies.RELU_FOR_SIGMOID)["model"])
    assert not any(isinstance(m, nn.ReLU) for m in apply(remedies.LEAKY)["model"])
    frozen = apply(remedies.FREEZE_EXPLICITLY)["model"]
    assert [p.requires_grad for p in frozen.parameters()] == [True] * 4 + [False] * 2


def test_nll_of_log_is_the_cross_entropy_of_the_logits() -> None:
    logits, targets = torch.randn(6, 3), torch.tensor([0, 1, 2, 2, 1, 0])
    loss = apply(remedies.NLL_OF_LOG)["loss_fn"](logits.softmax(-1), targets)
    assert loss.item() == pytest.approx(nn.functional.cross_entropy(logits, targets).item(), rel=1e-5)


def test_a_non_finite_gradient_skips_the_step() -> None:
    names = world()
    before = [p.detach().clone() for p in names["model"].parameters()]
    names["model"][0].weight.grad[0, 0] = float("nan")
    exec(remedies.SKIP_NONFINITE.how, names)
    assert all(torch.equal(a, b) for a, b in zip(before, names["model"].parameters(), strict=True))


def test_a_schedule_in_the_place_of_one_that_warms_up_begins_at_the_whole_rate() -> None:
    weight = nn.Parameter(torch.zeros(()))
    optimizer = torch.optim.SGD([weight], lr=0.5)
    names = {"optimizer": optimizer, "scheduler": torch.optim.lr_scheduler.LinearLR(optimizer, 0.1, total_iters=3)}
    optimizer.step()
    exec(schedule_for(100).how, names)
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.5, rel=1e-3)
