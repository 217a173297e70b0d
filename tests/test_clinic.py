"""The clinic's machinery: headers, harm, score, cures and the page, each in closed form, and one run end to end."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

import cases
import cure
import page
import processes
import run
import runs
import score
import sources
import tables
from harm import Band, Curve, band, harm, running_median
from metric import Printed, badness, final, limit, no_worse, read
from patients import STEPS, case, falling, finding, outcome
from surefoot.findings.catalogue import explanations

ROOT = Path(__file__).parents[1]
GOOD = '''"""A network learns the digits.

condition: {condition}
metric: loss min
{more}"""

import torch

print(torch)
'''


def corpus(folder: Path, **files: str) -> Path:
    """A corpus with a file for each ``kind__name``."""
    for kind in cases.KINDS:
        (folder / kind).mkdir(exist_ok=True)
    for place, text in files.items():
        kind, name = place.split("__")
        (folder / kind / f"{name}.py").write_text(text, encoding="utf-8")
    return folder


def script(condition: str = "healthy", more: str = "") -> str:
    return GOOD.format(condition=condition, more=more)


# -- headers ----------------------------------------------------------------------------------------------------------


def test_a_header_says_what_the_case_is(tmp_path: Path) -> None:
    more = "accepts: divergence\nallows: loss-spike,\n  non-finite\nharm: latent\nranks: 2\n"
    corpus(tmp_path, faulty__a=script("dead-units", more), twins__a=script(), healthy__h=script())
    (faulty, twin, healthy), problems = cases.load(corpus=tmp_path)
    assert not problems
    assert faulty.accepts == ("dead-units", "divergence") and faulty.allows == ("loss-spike", "non-finite")
    assert (faulty.latent, faulty.ranks, faulty.metric, faulty.better) == (True, 2, "loss", "min")
    assert faulty.about == "A network learns the digits."
    assert (twin.kind, twin.condition, twin.accepts) == ("twins", "healthy", ())
    assert (healthy.kind, healthy.name) == ("healthy", "h")


@pytest.mark.parametrize(
    ("kind", "text", "told"),
    [
        ("faulty", "print(1)\n", "is no header"),
        ("faulty", "print(1\n", "line 1 is no Python"),
        ("faulty", script("dead-unit"), "no finding is named 'dead-unit'; did you mean dead-units"),
        ("faulty", script(), "a script in faulty/ wants the id of its fault"),
        ("healthy", script("dead-units"), "a script in healthy/ wants healthy"),
        ("faulty", script("edge-of-stability"), "never more than an info"),
        ("faulty", script("dead-units", "accept: divergence\n"), "no key 'accept'; did you mean accepts"),
        ("faulty", script("dead-units", "accepts: x y\n"), "no finding is named 'x y'"),
        ("faulty", script("dead-units", "infos: edge-of-stability\n"), "infos: is for healthy scripts only"),
        ("healthy", script(more="allows: divergence\n"), "allows: is for faulty scripts only"),
        ("healthy", script().replace("loss min", "loss"), "it wants a name and min or max"),
        ("healthy", script().replace("metric: loss min\n", ""), "metric is missing; it is the name of a number"),
        ("healthy", script(more="metric: loss min\n"), "metric is there twice"),
        ("healthy", script(more="harm: none\n"), "it is 'latent'"),
        ("healthy", script(more="ranks: two\n"), "it wants a number of processes"),
        ("healthy", script(more="no key at all\n"), "cannot read 'no key at all'"),
        ("healthy", script() + "from surefoot import watch\n", "imports surefoot"),
    ],
)
def test_a_bad_header_is_told_in_a_line(tmp_path: Path, kind: cases.Kind, text: str, told: str) -> None:
    path = corpus(tmp_path, **{f"{kind}__x": text}) / kind / "x.py"
    with pytest.raises(ValueError, match=f"^{kind}/x.py: ") as caught:
        cases.read(path, kind)
    assert told in str(caught.value) and "\n" not in str(caught.value)


def test_a_bad_file_leaves_the_others_be(tmp_path: Path) -> None:
    other = script("dead-units").replace("loss min", "accuracy max")
    corpus(
        tmp_path,
        faulty__alone=script("dead-units"),
        faulty__odd=other,
        twins__odd=script(),
        healthy__bad="",
        healthy__h=script(),
    )
    found, problems = cases.load(corpus=tmp_path)
    assert [case.name for case in found] == ["h"]
    assert len(problems) == 3
    assert any("has no twins/alone.py" in line for line in problems)
    assert any("got 'loss min', and faulty/odd.py has 'accuracy max'" in line for line in problems)


def test_a_third_is_held_out_by_its_name(tmp_path: Path) -> None:
    names = [f"case_{i}" for i in range(3000)]
    assert sum(map(cases.held_out, names)) == pytest.approx(1000, abs=100)
    kept = next(name for name in names if not cases.held_out(name))
    held = next(name for name in names if cases.held_out(name))
    assert not cases.held_out("gan_two_rings"), "its result was read: opened.txt"
    corpus(tmp_path, **{f"healthy__{kept}": script(), f"healthy__{held}": script()})
    for split, wanted in {"tuned": {kept}, "held-out": {held}, "all": {kept, held}}.items():
        assert {case.name for case in cases.load(split, corpus=tmp_path)[0]} == wanted
    assert len(cases.load("all", ["case*"], tmp_path)[0]) == 2
    with pytest.raises(ValueError, match=f"'{held}' is held out.*add --split all"):
        cases.load("tuned", [held], tmp_path)
    with pytest.raises(ValueError, match=f"no script is named '{kept}x'; did you mean {kept}"):
        cases.load("tuned", [f"{kept}x"], tmp_path)


# -- the script's own number ------------------------------------------------------------------------------------------


def test_the_number_is_read_from_the_output() -> None:
    output = "loss in nats\nstep 10  loss 0.5312, rest\nstep 20  loss 1e-3.\nstep 30  loss nan\nstep 40  loss -inf\n"
    printed = read(output + "validation_loss 3\n", "loss")
    assert printed.values == pytest.approx((0.5312, 1e-3, float("nan"), -float("inf")), nan_ok=True)
    assert printed.steps == (10, 20, 30, 40)
    assert read("epoch 1  accuracy 0.5\nstep 2 accuracy 0.6\n", "accuracy").steps is None  # not all lines name one
    assert read("", "loss").values == ()


def test_what_a_run_came_to_and_its_bound() -> None:
    rising = badness(np.linspace(0.1, 1.0, 21), "max")
    assert final(rising) == pytest.approx(-0.775)  # the median of the last eleven: the sixteenth value
    twins = [badness([0.0] * 10 + [end] * 11, "max") for end in (0.8, 0.9, 1.0)]
    assert limit(twins) == pytest.approx(-0.8 + 0.1 * 0.9)
    assert no_worse(badness([0.72], "max"), twins) and not no_worse(badness([0.70], "max"), twins)
    assert not no_worse(badness([0.9] * 5 + [float("nan")] * 6, "max"), twins)
    assert not no_worse(badness([], "max"), twins)


# -- harm -------------------------------------------------------------------------------------------------------------


def curves(*values: np.ndarray) -> list[Curve]:
    return [Curve(STEPS, v) for v in values]


TWINS = curves(falling(0.010), falling(0.011), falling(0.012))
NONE: tuple[Curve, list[Curve]] = (Curve(np.empty(0, int), np.empty(0)), [Curve(np.empty(0, int), np.empty(0))] * 3)


def test_the_running_median() -> None:
    median = running_median(Curve(np.arange(1, 14), np.arange(1.0, 14.0)))
    assert median.steps.tolist() == [11, 12, 13] and median.values.tolist() == [6.0, 7.0, 8.0]
    assert running_median(Curve(np.array([2, 5]), np.array([1.0, np.nan]))).values.tolist() == [np.inf]


def test_harm_begins_where_the_loss_leaves_the_band() -> None:
    # A loss that stands still from step 100 on; its median does from step 105 on, and the band's upper end falls away.
    faulty = falling(0.010)
    faulty[100:] = faulty[100]
    upper = 2 * np.exp(-0.010 * (STEPS - 5)) + 0.1 * np.median(
        [2 * (np.exp(-6 * r) - np.exp(-295 * r)) for r in (0.010, 0.011, 0.012)]
    )
    expected = int(STEPS[(STEPS > 105) & (upper < faulty[100])][0])
    assert harm([(Curve(STEPS, faulty), TWINS)], NONE, broke=False, steps=300) == score.Harm(expected, "loss")


def test_no_harm_within_or_below_the_band_nor_in_a_fourth_seed() -> None:
    generator = np.random.default_rng(0)

    def noisy() -> np.ndarray:
        return falling(0.011) + 0.1 * generator.standard_normal(300)

    for _ in range(20):
        losses = (Curve(STEPS, noisy()), curves(noisy(), noisy(), noisy()))
        assert harm([losses], NONE, broke=False, steps=300).step is None
    assert harm([(Curve(STEPS, falling(0.05)), TWINS)], NONE, broke=False, steps=300).by == "nothing"


def test_a_loss_that_is_no_number_is_harm_once_it_is_the_median() -> None:
    faulty = falling(0.011)
    faulty[199:] = np.nan
    assert harm([(Curve(STEPS, faulty), TWINS)], NONE, broke=False, steps=300).step == 205


def test_a_loss_that_measures_nothing_is_not_asked() -> None:
    flat = curves(*(np.full(300, level) for level in (0.9, 1.0, 1.1)))
    assert band([running_median(twin) for twin in flat]) is None
    printed = np.arange(20, 301, 20)
    number = (
        Curve(printed, np.full(15, -0.1)),
        [Curve(printed, -np.linspace(0.1, 0.9 + s, 15)) for s in (0, 0.01, 0.02)],
    )
    found = harm([(Curve(STEPS, np.full(300, 9.0)), flat)], number, broke=False, steps=300)
    assert found.by == "metric" and found.step in range(80, 121, 20)
    assert harm([(Curve(STEPS, np.full(300, 9.0)), flat)], NONE, broke=True, steps=77) == score.Harm(77, "end")


def test_a_number_that_is_learned_before_there_is_a_median_of_it_is_asked_all_the_same() -> None:
    printed = np.arange(12, 901, 12)
    twins = [Curve(printed, np.where(printed < 60, 0.3, end)) for end in (0.12, 0.14, 0.17)]
    assert band([running_median(twin) for twin in twins]) is None
    faulty = Curve(printed, 0.3 + 2e-4 * printed)
    assert harm([], (faulty, twins), broke=False, steps=900) == score.Harm(132, "metric")


def test_steps_that_were_not_recorded_are_bridged() -> None:
    inside = Band(np.array([10, 20]), np.zeros(2), np.array([1.0, 2.0]))
    assert inside.leaves(Curve(np.array([5, 15, 25]), np.array([9.0, 0.9, 2.1]))) == 25  # before the band: not asked


# -- the score --------------------------------------------------------------------------------------------------------


def ward() -> dict[tuple[str, str, int], tuple[cases.Case, runs.Outcome]]:
    """Four faulty scripts with their twins, and two healthy ones."""
    late = falling(0.010)
    late[100:] = 3.0
    early = np.full(300, 3.0)
    bad = (3.0,) * 15
    made: dict = {}
    for name, condition, told in (
        (
            "right",
            "dead-units",
            outcome(finding("dead-units", 1, 60), finding("divergence", 2, 90), loss=late, values=bad),
        ),
        (
            "second",
            "dead-units",
            outcome(finding("loss-spike", 1, 90), finding("dead-units", 2, 101), loss=late, values=bad),
        ),
        ("missed", "divergence", outcome(finding("divergence", 1, 4, "info"), loss=late, values=bad)),
        ("harmless", "loss-spike", outcome(finding("loss-spike", 1, 8), loss=early)),
    ):
        allows = ("divergence",) if name == "right" else ()
        made["faulty", name, 0] = (case("faulty", name, condition, allows=allows), told)
        for seed in range(3):
            alarms = [finding("dead-units", 1, 5)] if (name, seed) == ("missed", 1) else []
            made["twins", name, seed] = (case("twins", name), outcome(*alarms))
    listed = case("healthy", "calm", infos=("edge-of-stability", "loss-spike"))
    made["healthy", "calm", 0] = (listed, outcome(finding("edge-of-stability", 1, 5, "info")))
    made["healthy", "loud", 0] = (case("healthy", "loud"), outcome(finding("divergence", 1, 7)))
    return made


def test_the_score_in_closed_form() -> None:
    found = score.score(ward())
    assert found.recall == (3, 4) and found.rank_one == (2, 4)
    assert found.by_id == {"dead-units": (2, 1, 2), "divergence": (0, 0, 1), "loss-spike": (1, 1, 1)}
    assert found.confusion == {
        ("dead-units", "dead-units"): 1,
        ("dead-units", "loss-spike"): 1,
        ("divergence", "nothing"): 1,
        ("loss-spike", "loss-spike"): 1,
    }
    assert found.alarmed == (1, 2) and found.twins_alarmed == (1, 12)
    assert found.false_alarms == (("healthy/loud seed 0", "divergence", 1, 7),)
    assert found.twin_alarms == (("twins/missed seed 1", "dead-units", 1, 5),)
    assert found.infos == (1, 2)
    assert found.harmless == ("harmless",)
    # Harm is at step 106 in three of them: the sixth of eleven losses is bad. One was warned well ahead.
    assert [p.harm.step for p in found.patients] == [106, 106, 106, 11]
    assert found.ahead == (1, 3) and found.foreseen == (1, 1) and [p.lead for p in found.patients] == [46, 5, None, 3]
    assert [p.strays for p in found.patients] == [(), ("loss-spike",), (), ()]
    assert found.precision == {"dead-units": (2, 3), "divergence": (1, 2), "loss-spike": (1, 2)}
    assert found.overhead["steady"].tolist() == [0.01] * 18


@pytest.mark.parametrize(("harmed_at", "warned_at", "early"), [(200, 170, True), (200, 171, False), (80, 60, True)])
def test_well_ahead_is_thirty_steps_or_a_quarter(harmed_at: int, warned_at: int, early: bool) -> None:
    loss = falling(0.010)
    loss[harmed_at - 6 :] = 3.0
    told = outcome(finding("dead-units", 1, warned_at), loss=loss)
    patient = score.Patient(case("faulty", "x", "dead-units"), told, (outcome(),) * 3)
    assert patient.harm.step == harmed_at and patient.early is early


@pytest.mark.parametrize(("moved_at", "shows"), [(170, True), (171, False), (None, True)])
def test_what_is_the_twin_until_shortly_before_harm_was_not_to_be_foreseen(moved_at: int | None, shows: bool) -> None:
    twin = falling(0.010)
    loss = twin.copy()
    loss[194:] = 3.0  # harm at 200
    if moved_at is not None:
        loss[moved_at - 1 : 194] *= 1.001
    told = outcome(finding("dead-units", 1, 170 if moved_at is None else 200), loss=loss)
    patient = score.Patient(case("faulty", "x", "dead-units"), told, (outcome(loss=twin), outcome(), outcome()))
    assert patient.harm.step == 200 and patient.foreseeable is shows
    assert score.Score((patient,), (), ()).foreseen == (int(moved_at is None), int(shows))


@pytest.mark.parametrize(("taken", "harmed_at"), [(300, 60), (310, 60), (1800, 360)])
def test_harm_by_the_printed_number_is_at_the_step_that_is_recorded(taken: int, harmed_at: int) -> None:
    """A game of 300 rounds with six steps in each: what it prints in round 60 is of step 360."""

    def printed(*values: float) -> Printed:
        return Printed(values, tuple(range(20, 301, 20)))

    well = outcome(loss=np.ones(300), printed=printed(*np.linspace(2.0, 1.0, 15)))
    ill = replace(well, printed=printed(*np.linspace(2.0, 5.0, 15)), steps=taken)
    found = score.Patient(case("faulty", "x", "dead-units"), ill, (well,) * 3).harm
    assert (found.by, found.step) == ("metric", harmed_at)


def test_a_run_that_told_nothing_counts_nowhere() -> None:
    runs_made = ward()
    a_case, told = runs_made["twins", "right", 2]
    runs_made["twins", "right", 2] = (a_case, replace(told, trouble="left no diagnosis"))
    found = score.score(runs_made)
    assert found.troubles == ("twins/right seed 2: left no diagnosis",)
    assert found.recall == (2, 3) and found.twins_alarmed[1] == 11


def test_the_parts_are_side_by_side_and_confidence_is_of_the_held_out(tmp_path: Path) -> None:
    made = run.parts(ward(), "all")
    assert list(made) == ["tuned", "held-out"]
    assert sum(part.recall[1] for part in made.values()) == 4
    assert list(run.parts(ward(), "held-out")) == ["held-out"]
    run.write_confidence(score.score(ward()), tmp_path / "precision.json")
    kept = json.loads((tmp_path / "precision.json").read_text())
    assert kept == {"dead-units": [2, 3], "divergence": [1, 2], "loss-spike": [1, 2]}
    assert set(kept) <= set(explanations())


def test_tables_and_page_tell_everything() -> None:
    made = {"tuned": score.score(ward()), "held-out": score.score({})}
    assert tables.facts(made["tuned"])["recall"] == "3 of 4 (0.75)"
    assert tables.facts(made["held-out"])["recall"] == "–"
    told = tables.attention(made["tuned"])
    console = Console(width=100, record=True, file=StringIO())
    tables.show(made, console)
    shown = console.export_text()
    assert re.search(r"dead-units +loss-spike +1", shown) and re.search(r"divergence +nothing +1", shown)
    assert not re.search(r"dead-units +dead-units", shown)
    assert told["faults not found"] == ["missed (divergence): nothing"]
    assert told["found, but not at rank 1"] == ["second (dead-units): loss-spike@90, dead-units@101"]
    tried = {"right": cure.Cure("less rate (pasted)", ""), "second": cure.Cure("", "loss-spike names no remedy")}
    text = page.page(made, tried)
    for word in ("right", "second", "missed", "harmless", "calm", "loud", "1 of 2 (0.50)", "less rate (pasted)"):
        assert word in text
    assert len(text) < 8e6
    assert "<script>alert" not in page.page(
        {"tuned": score.score({("healthy", "x", 0): (replace(case("healthy", "x"), about="<script>alert"), outcome())})}
    )


# -- runs -------------------------------------------------------------------------------------------------------------


def test_a_record_does_not_depend_on_the_rules() -> None:
    recording = {path.relative_to(sources.PACKAGE).as_posix() for path in sources.files_of_recording()}
    judging = {path.relative_to(sources.PACKAGE).as_posix() for path in sources.files_of_judging()}
    assert {"observe/gather.py", "observe/signals/steps.py", "runs/writer.py", "monitor/session.py"} <= recording
    assert not any(name.startswith(("findings/", "report/")) for name in recording)
    assert {"findings/engine.py", "findings/rules/learning_rate.py", "findings/causes.py"} <= judging
    assert not any(name.startswith("studies/") for name in recording | judging)


TRAINED = '''"""A line is fitted.

condition: healthy
metric: loss min
"""

import argparse

import torch

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
torch.manual_seed(parser.parse_args().seed)
model = torch.nn.Linear(3, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
weights = torch.randn(3, 1)
for step in range(1, 61):
    inputs = torch.randn(32, 3)
    loss = torch.nn.functional.mse_loss(model(inputs), inputs @ weights)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if step % 4 == 0:
        print(f"step {step}  loss {loss.item():.5f}")
'''


@pytest.fixture
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Scripts start with torch imported."""
    monkeypatch.setattr(runs, "subprocess", processes)


@pytest.mark.usefixtures("quickly")
def test_a_script_is_run_once_and_judged_anew(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    home = corpus(tmp_path, healthy__line=TRAINED, healthy__silent=script())
    options = ["--corpus", str(home), "--out", str(tmp_path / "out"), "--split", "all", "--jobs", "1"]
    assert run.main(options) == 1  # one of them told nothing
    out, err = capsys.readouterr()
    assert "0 of 1 (0.00)" in out and "healthy/silent seed 0: took no step" in err
    assert (tmp_path / "out" / "clinic.html").stat().st_size > 1e4
    work = runs.job(cases.read(home / "healthy" / "line.py", "healthy"), 0, tmp_path / "out")
    record = work.folder / "run" / "run.sqlite"
    made = record.stat().st_mtime_ns
    assert runs.is_recorded(work)
    found = runs.outcome(work)
    assert (found.steps, found.code, found.serious, found.trouble) == (60, 0, (), None)
    assert found.metric.steps.tolist() == list(range(4, 61, 4)) and len(found.losses[""].values) > 30
    kept = (work.folder / "kept.json").read_text()
    (work.folder / "kept.json").write_text(json.dumps({**json.loads(kept), "code": -15}))
    assert not runs.is_recorded(work)  # one that was killed is made again
    (work.folder / "kept.json").write_text(kept)
    (work.folder / "judged.json").write_text(json.dumps({"key": "older rules", "findings": [{"id": "x"}]}))
    assert runs.outcome(work).findings == found.findings  # judged anew, not run anew
    assert record.stat().st_mtime_ns == made
    work.case.path.write_text(TRAINED.replace("61", "62"), encoding="utf-8")
    assert not runs.is_recorded(work) and runs.is_recorded(work, any_version=True)


def test_the_corpus_is_well_formed() -> None:
    found, problems = cases.load()
    assert not problems
    assert not [c.path for c in found if c.path.read_text(encoding="utf-8").count("\n") > 120]  # one page


FIXED = (
    "faulty/cantilever_energy",
    "faulty/diabetes_ranked_table",
    "faulty/digits_mlp_adam",
    "faulty/digits_step_budget",
    "faulty/residual_regression",
    "healthy/cyclical_rate_mlp",
    "healthy/frozen_backbone_cnn",
)


@pytest.mark.usefixtures("quickly")
@pytest.mark.parametrize("place", FIXED)
def test_a_script_of_the_clinic_gets_its_diagnosis(place: str, tmp_path: Path) -> None:
    kind = next(kind for kind in cases.KINDS if place.startswith(kind))
    # A fixed rhythm of looks: what the budget affords would depend on what else the machine does.
    work = runs.job(cases.read(cases.CORPUS / f"{place}.py", kind), 0, tmp_path, ("--look-every", "4"))
    found = runs.outcome(work)
    assert found.trouble is None
    if kind == "faulty":
        patient = score.Patient(work.case, found, ())
        assert patient.named and not patient.strays
    else:
        assert found.serious == ()


def test_the_commands_say_what_would_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    where = ["--corpus", str(corpus(tmp_path, healthy__line=TRAINED)), "--out", str(tmp_path), "--split", "all"]
    for main in (run.main, cure.main):
        assert main([*where, "--only", "lin"]) == 2
        assert "no script is named 'lin'; did you mean line" in capsys.readouterr().err
        assert main([*where, "--recorded"]) == 1
        assert "There is no record of any script yet." in capsys.readouterr().err
    with pytest.raises(SystemExit):
        run.main(["--write-confidence", "--only", "line"])
    assert "--split all, and no other option" in capsys.readouterr().err
