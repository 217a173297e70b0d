"""Findings speak with the script's own names, and what they say can be pasted there."""

from __future__ import annotations

import gc
import weakref

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from paste import paste
from surefoot.findings import remedies
from surefoot.findings.own_names import in_own_words
from surefoot.observe.own_names import own_names
from surefoot.runs import Event
from watching import watching


def test_names_near_the_step_and_where_things_are_made() -> None:
    def step(network: nn.Module, opt: torch.optim.Optimizer) -> tuple[dict, dict]:
        return (lambda: own_names(network, opt))()

    def main() -> tuple[dict, dict, nn.Module]:
        net = nn.Linear(2, 1)
        solver = torch.optim.SGD(net.parameters(), lr=0.1)
        criterion = nn.MSELoss()
        near, made = step(net, solver)  # (an assert in here would call locals(), by pytest's doing)
        return near, made, criterion

    near, made, _ = main()
    assert near == {"model": "network", "optimizer": "opt", "loss_fn": "criterion"}
    assert made == {"model": "net", "optimizer": "solver", "loss_fn": "criterion"}


def test_attributes_of_a_trainer_and_what_a_script_called_itself() -> None:
    class Trainer:
        def __init__(self) -> None:
            self.net = nn.Linear(2, 1)
            self.opt = torch.optim.SGD(self.net.parameters(), lr=0.1)

        def fit(self) -> tuple[dict, dict]:
            return (lambda: own_names(self.net, self.opt))()

    near, made = Trainer().fit()
    assert near == made == {"model": "self.net", "optimizer": "self.opt"}

    def with_its_own_locals() -> dict:
        net = nn.Linear(2, 1)
        mine = locals()
        later = 1
        (lambda: own_names(net, None))()
        assert later
        return mine

    assert set(with_its_own_locals()) == {"net"}


def test_no_batch_is_kept_by_looking() -> None:
    class Batch:
        pass

    def step() -> bool:
        batch = Batch()
        ref = weakref.ref(batch)
        (lambda: own_names(None, None))()
        del batch
        return ref() is None

    assert step()


def test_a_finding_uses_them() -> None:
    gc.collect()

    def main() -> dict:
        torch.manual_seed(0)
        net = nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 2))
        opt = torch.optim.SGD(net.parameters(), lr=0.01)
        x: Tensor = torch.randn(16, 3)
        y = (x[:, 0] > 0).long()
        with watching(every=1) as kept:
            for _ in range(12):
                F.cross_entropy(net(x), y).backward()
                opt.step()
        return kept.findings()["missing-zero-grad"].remedies[0].how

    assert main() == "# replace: opt.step()\nopt.step()\nopt.zero_grad()\n"


OWN = """import torch
from torch import nn


class Trainer:
    def __init__(self):
        self.net = nn.Linear(2, 1)
        self.opt = torch.optim.SGD(self.net.parameters(), lr=0.1)

    def fit(self, x):
        self.opt.zero_grad()
        self.net(x).sum().backward()
        self.opt.step()
"""


def test_own_names_are_pasted() -> None:
    own = {"model": "self.net", "optimizer": "self.opt"}
    names = Event(1, "names", {"near": own, "made": own})
    after = in_own_words(remedies.ALL_PARAMETERS, names)
    assert after.how.startswith("# after: self.opt\n") and "self.net.parameters()" in after.how
    pasted = paste(OWN, after.how)
    assert "lr=0.1)\n        held = " in pasted and compile(pasted, "x", "exec")
    replaced = paste(OWN, in_own_words(remedies.ZERO_GRAD, names).how)
    assert replaced.count("self.opt.zero_grad()") == 2
    assert in_own_words(remedies.ZERO_GRAD, None) is remedies.ZERO_GRAD
    # a function cannot be defined under an attribute's name
    loss = Event(1, "names", {"near": {}, "made": {"loss_fn": "self.loss"}})
    assert in_own_words(remedies.NLL_OF_LOG, loss) is remedies.NLL_OF_LOG
    loss = Event(1, "names", {"near": {}, "made": {"loss_fn": "criterion"}})
    assert in_own_words(remedies.NLL_OF_LOG, loss).how.startswith("# after: criterion\nimport torch\ndef criterion(")
