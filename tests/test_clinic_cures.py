"""The clinic's cures: snippets pasted by machine into scripts, and when a script is well."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

import cure
import score
from metric import limit
from paste import NoPlace, paste
from patients import case, finding, outcome
from surefoot.findings.catalogue.cures import cures

# -- pasting ----------------------------------------------------------------------------------------------------------

FLAT = '''"""A script."""
from __future__ import annotations

import torch
from torch import nn

torch.manual_seed(0)
model = nn.Sequential(
    nn.Linear(4, 8),
    nn.ReLU(),
    nn.Linear(8, 3),
)
model = model.float()
loss_fn = nn.CrossEntropyLoss()
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 100)
inputs, targets = torch.randn(16, 4), torch.randint(3, (16,))
for _ in range(3):
    loss = loss_fn(model(inputs), targets)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    scheduler.step()
print("loss", loss.item())
'''
INSIDE = FLAT.partition("torch.manual_seed")[0] + (
    "\n\ndef build():\n    model = nn.Identity()\n    return model\n\n\ndef main():\n"
    + "".join(f"    {line}\n" for line in FLAT[FLAT.index("torch.manual_seed") :].splitlines())
    + "\n\nmain()\n"
)


@pytest.mark.parametrize("text", [FLAT, INSIDE], ids=["flat", "in a function"])
@pytest.mark.parametrize("remedy", cures().values(), ids=lambda remedy: remedy.name)
def test_every_remedy_can_be_pasted_and_runs(text: str, remedy, capsys: pytest.CaptureFixture[str]) -> None:
    pasted = paste(text, remedy.how)
    head, _, body = remedy.how.partition("\n")
    for line in body.splitlines():
        assert line.strip() in pasted
    above = {"model": "model.float()\n", "optimizer": "lr=0.1)\n", "loss": "EntropyLoss()\n"}.get(head.split(": ")[1])
    if above is not None:
        own = next(line for line in body.splitlines() if line.strip() and "import " not in line)
        assert own in pasted.partition(above)[2].partition("for _ in range(3)")[0]
    other = ("surefoot.nn.binary.set_sharpness", "torch.nn.functional.binary_cross_entropy", "torch.nn.HuberLoss")
    if remedy.name in other:
        return  # these want another model than this one, or other targets
    names: dict[str, object] = {"__name__": "__main__"}
    try:
        exec(compile(pasted, remedy.name, "exec"), names)
    finally:
        torch.autograd.set_detect_anomaly(False)
        names.clear()  # a hook on a loss's graph holds them, and they the loss: no collector would find the model
    assert "loss" in capsys.readouterr().out


HOW = "# after: model\nimport math\nmodel.gain = math.pi\n"


def test_a_snippet_goes_below_what_it_names() -> None:
    assert "model = model.float()\nimport math\nmodel.gain = math.pi\nloss_fn" in paste(FLAT, HOW)
    # In a function the import goes to the top of the file: below it would make the name local to the function.
    inside = paste(INSIDE, HOW)
    assert "from __future__ import annotations\nimport math\n\nimport torch" in inside
    assert "    model = model.float()\n    model.gain = math.pi\n    loss_fn" in inside
    assert "    model = nn.Identity()\n    return model" in inside  # of two functions, the one that trains
    late = FLAT.replace("inputs, targets", "model = torch.compile(model)\ninputs, targets")
    assert "model.gain = math.pi\nloss_fn" in paste(late, HOW)  # before the optimiser is made
    loss = "# after: loss\nloss_fn = torch.nn.MSELoss()\n"
    function = FLAT.replace("loss_fn = nn.CrossEntropyLoss()", "def loss_fn(a, b):\n    return (a - b).mean()\n")
    assert "    return (a - b).mean()\nloss_fn = torch.nn.MSELoss()\n" in paste(function, loss)
    imported = FLAT.replace("loss_fn = nn.Cross", "from torch.nn.functional import nll_loss as loss_fn\n# nn.Cross")
    assert "as loss_fn\nloss_fn = torch.nn.MSELoss()\n" in paste(imported, loss)


def test_of_several_that_are_made_the_one_of_a_class_is_meant() -> None:
    """A fit by Adam and a polish by L-BFGS, each in a function that trains."""
    how = "# after: optimizer = LBFGS\noptimizer.found = True\n"
    stage = "def {0}(p):\n    optimizer = torch.optim.{0}(p)\n    optimizer.step()\n"
    pasted = paste(stage.format("Adam") + stage.format("LBFGS"), how)
    assert "optimizer = torch.optim.LBFGS(p)\n    optimizer.found = True\n" in pasted and pasted.count("found") == 1
    assert "optimizer = torch.optim.Adam(p)\n    optimizer.found = True\n" in paste(stage.format("Adam"), how)


def test_a_statement_is_replaced_wherever_it_is() -> None:
    how = "# replace: optimizer.step()\nif True:\n    optimizer.step()\noptimizer.zero_grad()\n"
    twice = FLAT.replace("print(", "if loss > 0:\n    optimizer.step()  # once more\nprint(")
    pasted = paste(twice, how)
    once = "    if True:\n        optimizer.step()\n    optimizer.zero_grad()\n    scheduler.step()\n"
    assert f"{once}if loss > 0:\n    if True:\n" in pasted
    assert pasted.count("zero_grad") == 3


def test_neighbours_are_replaced_together_and_nothing_else() -> None:
    how = "# replace: x = x[p]; y = y[q]\nx, y = x[p], y[p]\n"
    text = "y = y[q]\nif x:\n    x = x[p]  # rows\n    y = y[q]\nx = x[p]\nz = 0\ny = y[q]\n"
    assert paste(text, how) == "y = y[q]\nif x:\n    x, y = x[p], y[p]\nx = x[p]\nz = 0\ny = y[q]\n"


@pytest.mark.parametrize(
    ("text", "how", "told"),
    [
        ("net = 1\n", "# after: model\npass\n", "nothing makes 'model'"),
        ("scaler.step(optimizer)\n", "# replace: optimizer.step()\npass\n", "no statement 'optimizer.step()'"),
        ("if x: optimizer.step()\n", "# replace: optimizer.step()\npass\n", "more than the one statement"),
        ("model = 1; y = 2\n", "# after: model\npass\n", "more than the one statement"),
    ],
)
def test_what_cannot_be_pasted_is_not(text: str, how: str, told: str) -> None:
    with pytest.raises(NoPlace, match=re.escape(told)):
        paste(text, how)


def test_a_snippet_wants_a_head() -> None:
    with pytest.raises(ValueError, match=re.escape("its first line is 'model.eval()'")):
        paste(FLAT, "model.eval()\n")


# -- cures ------------------------------------------------------------------------------------------------------------


def patient(tmp_path: Path, *findings: dict, text: str = FLAT) -> score.Patient:
    path = tmp_path / "x.py"
    path.write_text(text, encoding="utf-8")
    return score.Patient(case("faulty", "x", "dead-units", path=path), outcome(*findings), (outcome(),) * 3)


def remedy(how: str = HOW, apply: str | None = None) -> dict:
    return {"name": "a remedy", "why": "it helps", "how": how, "apply": apply}


def test_the_first_remedy_of_rank_one_is_tried(tmp_path: Path) -> None:
    def prepared(*findings: dict, text: str = FLAT):
        return cure.prepare(patient(tmp_path, *findings, text=text), tmp_path)

    first = prepared(finding("dead-units", 1, 5, remedies=[remedy(), remedy("nonsense")]), finding("divergence", 2, 6))
    assert first.options == () and "model.gain" in first.script.read_text()
    assert prepared(finding("dead-units", 1, 5, remedies=[remedy(apply="warmup")])).options == ("--apply", "warmup")
    assert prepared().why_not == "nothing was found"
    assert prepared(finding("dead-units", 1, 5, "info", remedies=[remedy()])).why_not == "nothing was found"
    assert prepared(finding("dead-units", 1, 5)).why_not == "dead-units names no remedy"
    assert prepared(finding("dead-units", 1, 5, remedies=[remedy()]), text="net = 1\n").why_not.startswith("cannot be")


def test_well_is_as_good_as_the_twin_and_nothing_found(tmp_path: Path) -> None:
    sick = patient(tmp_path, finding("dead-units", 1, 5))
    bound = limit([twin.badness for twin in sick.twins])
    assert cure.judge(sick, "r", outcome(values=(2.0, *[bound] * 15))).cured
    assert "the twin's bound is" in cure.judge(sick, "r", outcome(values=(bound + 1e-6,) * 15)).why_not
    assert cure.judge(sick, "r", outcome(finding("loss-spike", 1, 5))).why_not == "found: loss-spike"
    assert cure.judge(sick, "r", outcome(finding("loss-spike", 1, 5, "info"))).cured
    assert "exit code 1" in cure.judge(sick, "r", outcome(code=1, exception="ValueError: x")).why_not
    assert cure.judge(sick, "r", outcome(trouble="left no diagnosis")).why_not == "left no diagnosis"
