"""The frame of the studies: stacking, judging, keeping, resuming, telling; and every study at smoke scale."""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from surefoot import plots
from surefoot.cli import app
from surefoot.studies import page, runner, store
from surefoot.studies.frame import (
    Claim,
    Figure,
    Measured,
    Scale,
    Study,
    StudyResult,
    advance,
    comparator,
    every,
    find,
    judge,
    stack,
)

CALLS: list[tuple[Scale, int]] = []


def measure(scale: Scale, seed: int) -> StudyResult:
    CALLS.append((scale, seed))
    advance(0.5)
    measured = {"gap": np.array(0.5 + 0.1 * seed), "never": np.array(math.inf), "curve": np.array([1, math.nan, seed])}
    plot = plots.figure([{"type": "scatter", "x": [1, 2], "y": [seed, math.nan]}])
    return StudyResult(measured, (Figure("one-seed", "A <b>seed</b>", plot),), ("a remark",))


def aggregate(measured: Measured) -> tuple[Figure, ...]:
    return (Figure("all-seeds", "All seeds", plots.figure([{"type": "bar", "y": measured["gap"]}])),)


def at_least(limit: float) -> Any:
    return lambda measured: bool(measured["gap"].mean() >= limit)


TOY = Study(
    slug="toy",
    title="A <script>toy</script>",
    paper="Nobody & Co.",
    claims=(
        Claim("The gap is wide", "0.7", "≥ 0.55", at_least(0.55), "gap"),
        Claim("It happens", "at 3", "finite", lambda m: bool(np.isfinite(m["never"]).all()), ("never", "gap")),
    ),
    run=measure,
    figures=aggregate,
    notes=("synthetic",),
)


@pytest.fixture(autouse=True)
def _no_calls() -> None:
    CALLS.clear()


def test_stack_puts_the_seeds_first() -> None:
    stacked = stack([{"a": np.array(1.0), "b": np.zeros((2, 3))}, {"a": np.array(2.0), "b": np.ones((2, 3))}])
    assert stacked["a"].tolist() == [1, 2] and stacked["b"].shape == (2, 2, 3)
    with pytest.raises(ValueError, match="no seed to stack"):
        stack([])
    with pytest.raises(ValueError, match="'a' must be there"):
        stack([{"a": np.zeros(2)}, {"a": np.zeros(3)}])
    with pytest.raises(ValueError, match="'a' must be there"):
        stack([{"a": np.zeros(2)}, {}])
    with pytest.raises(ValueError, match="missing in the first seed"):
        stack([{}, {"b": np.zeros(2)}])


def test_judge_shows_the_values_of_each_seed() -> None:
    measured = stack([measure("small", seed).measured for seed in range(3)])
    wide, happens = judge(TOY, measured)
    assert wide.holds and not happens.holds
    assert wide.values["gap"] == pytest.approx((0.5, 0.6, 0.7))
    assert set(happens.values) == {"never", "gap"}
    del measured["never"]
    with pytest.raises(ValueError, match=r"toy: claim 'It happens' shows \['never'\]"):
        judge(TOY, measured)


def test_comparator_tells_its_source_and_what_it_closes_over() -> None:
    first, second = map(comparator, TOY.claims)
    assert first == "lambda measured: bool(measured['gap'].mean() >= limit); limit = 0.55"
    assert second == "lambda m: bool(np.isfinite(m['never']).all())"


def test_a_run_writes_result_figures_and_page_and_goes_on_where_it_was(tmp_path: Path) -> None:
    told: list[float] = []
    (result,) = runner.run([TOY], seeds=2, out=tmp_path, workers=1, listener=lambda share, what: told.append(share))
    assert CALLS == [("small", 0), ("small", 1)]
    assert told == sorted(told) and told[-1] == 1
    home = tmp_path / "toy" / "small"
    kept = json.loads((home / "result.json").read_text(encoding="utf-8"), parse_constant=pytest.fail)
    assert kept["schema"] == 1 and kept["seeds"] == [0, 1] and kept["changed_claims"] == []
    assert {"torch", "python", "surefoot", "numpy"} <= set(kept["versions"])
    assert {"processor", "cpus", "threads", "platform"} <= set(kept["machine"])
    assert kept["claims"][0]["measured"]["gap"] == {
        "mean": pytest.approx(0.55),
        "spread": pytest.approx(0.1 / math.sqrt(2)),
        "values": pytest.approx([0.5, 0.6]),
    }
    assert kept["claims"][1]["measured"]["never"] == {"mean": "inf", "spread": None, "values": ["inf", "inf"]}
    assert kept["measured"]["curve"][0][1] == "nan"
    assert kept["notes"] == ["synthetic", "a remark"]
    assert [item["name"] for item in kept["figures"]] == ["all-seeds", "one-seed"]
    assert {path.stem for path in (home / "figures").iterdir()} == {"all-seeds", "one-seed"}
    text = (home / "report.html").read_text(encoding="utf-8")
    assert "A &lt;script&gt;toy" in text and "<script>toy" not in text and "Nobody &amp; Co." in text
    assert store.standing(result) == "does not hold"
    # A seed that is there is not run again; a third one is.
    runner.run([TOY], seeds=3, out=tmp_path, workers=1)
    assert CALLS[2:] == [("small", 2)]
    # Nor is one that a stopped run had finished, but one whose file is broken is.
    (home / "result.json").unlink()
    (home / "seeds" / "1.json").write_text("{", encoding="utf-8")
    runner.run([TOY], seeds=3, out=tmp_path, workers=1)
    assert CALLS[3:] == [("small", 1)]


def test_a_changed_study_runs_again_and_a_changed_comparator_is_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runner.run([TOY], seeds=1, out=tmp_path, workers=1)
    easier = replace(TOY, claims=(replace(TOY.claims[0], compare=at_least(0.1)), TOY.claims[1]))
    (result,) = runner.run([easier], seeds=1, out=tmp_path, workers=1)
    assert len(CALLS) == 1
    (change,) = result["changed_claims"]
    assert change["name"] == "The gap is wide" and "0.55" in change["from"] and "0.1" in change["to"]
    assert "Comparator changed" in page.study_page(result, [])
    (again,) = runner.run([easier], seeds=1, out=tmp_path, workers=1)
    assert again["changed_claims"] == [change]
    monkeypatch.setattr(store, "fingerprint", lambda study: {"code": "other"})
    runner.run([easier], seeds=1, out=tmp_path, workers=1)
    assert len(CALLS) == 2


def test_a_seed_that_fails_is_named_and_the_others_are_kept(tmp_path: Path) -> None:
    def stumble(scale: Scale, seed: int) -> StudyResult:
        if seed == 1:
            raise ZeroDivisionError("by nothing")
        return measure(scale, seed)

    with pytest.raises(RuntimeError, match="toy: seed 1 failed: ZeroDivisionError: by nothing"):
        runner.run([replace(TOY, run=stumble)], seeds=3, out=tmp_path, workers=1)
    assert [seed for _, seed in CALLS] == [0, 2]
    assert not (tmp_path / "toy" / "small" / "result.json").exists()


def test_bad_input(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="scale: got 'huge'"):
        runner.run([TOY], scale="huge", out=tmp_path)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="seeds: got 0"):
        runner.run([TOY], seeds=0, out=tmp_path)
    with pytest.raises(ValueError, match="workers: got 0"):
        runner.run([TOY], workers=0, out=tmp_path)
    with pytest.raises(ValueError, match="there is no study 'frame'; there are"):
        find("frame")


def test_the_atlas_tells_what_holds_and_what_was_not_run(tmp_path: Path) -> None:
    (result,) = runner.run([TOY], seeds=1, out=tmp_path, workers=1)
    other = replace(TOY, slug="other", title="Another", claims=TOY.claims[:1])
    (smoke,) = runner.run([other], scale="smoke", seeds=1, out=tmp_path, workers=1)
    assert store.standing(smoke) == "not run"
    plotted = {"toy": store.plots_of(result, tmp_path)}
    text = page.atlas([TOY, other, replace(TOY, slug="third")], {"toy": result, "other": smoke}, plotted)
    assert re.findall(r'<details class="card (\w+)" id="(\w+)"', text) == [
        ("warning", "toy"),
        ("none", "other"),
        ("none", "third"),
    ]
    assert "surefoot study run third" in text and text.count("data-figure") >= 2
    assert "All claims" not in text and "not judged" in text


# -- every study


@pytest.mark.parametrize("slug", every())
def test_every_study_at_smoke_scale(slug: str, tmp_path: Path) -> None:
    study = find(slug)
    assert study.slug == slug and study.claims and set(study.minutes) <= {"smoke", "small", "paper"}
    (result,) = runner.run([study], scale="smoke", seeds=1, out=tmp_path, workers=1)
    assert [claim["name"] for claim in result["claims"]] == [claim.name for claim in study.claims]
    assert len({claim.name for claim in study.claims}) == len(study.claims)
    assert result["figures"], "a study has plots"
    written = tmp_path / slug / "smoke" / "report.html"
    assert written.stat().st_size <= 8_000_000


def test_seeds_in_processes_of_their_own(tmp_path: Path) -> None:
    told: list[float] = []
    study = find("stablemax")
    (result,) = runner.run(
        [study], scale="smoke", seeds=2, out=tmp_path, workers=2, listener=lambda share, what: told.append(share)
    )
    assert result["seeds"] == [0, 1] and result["machine"]["threads"] >= 1
    assert len(told) > 4 and told[-1] == pytest.approx(1)
    (here,) = runner.run([study], scale="smoke", seeds=1, out=tmp_path / "here", workers=1)
    first = [value[0] for value in result["measured"]["curve_ce_loss"]]
    assert here["measured"]["curve_ce_loss"][0][0] == first[0]


# -- the command line


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The command line with the toy for its only study, in an empty folder."""
    from surefoot.studies import frame

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setattr(frame, "every", lambda: {"toy": TOY})
    monkeypatch.setattr(frame, "_study", lambda name: TOY)
    monkeypatch.setattr(runner, "cores", lambda: 1)
    real = frame.pkgutil.iter_modules
    monkeypatch.setattr(
        frame.pkgutil, "iter_modules", lambda *a: [*real(*a), type("Module", (), {"name": "toy"})()], raising=True
    )
    return tmp_path


def test_commands(toy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert app(["study", "list"]) == 0
    assert "not run" in capsys.readouterr().out
    assert app(["study", "show", "toy"]) == 0
    assert "surefoot study run toy" in capsys.readouterr().out
    assert app(["study", "run", "toy", "--seeds", "2"]) == 0
    out, err = capsys.readouterr()
    assert "does not hold" in out and "gap: 0.55 ± 0.071" in out and "about" in err
    assert app(["study", "run", "all", "--scale", "smoke", "--seeds", "1", "--out", "elsewhere"]) == 0
    assert "not judged" in capsys.readouterr().out
    assert app(["study", "list", "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert row["slug"] == "toy" and row["standing"] == "does not hold" and row["scale"] == "small"
    assert app(["study", "show", "toy", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["result"]["seeds"] == [0, 1]
    assert app(["study", "report"]) == 0
    assert capsys.readouterr().out.strip() == str(Path("surefoot-studies") / "atlas.html")
    assert app(["study", "report", "--out", "page.html"]) == 0
    assert (toy / "page.html").read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    capsys.readouterr()
    assert app(["study", "setup", "toy"]) == 0
    assert capsys.readouterr().out == "toy: nothing to fetch\n"


def test_setup_gives_a_folder(toy: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    from surefoot.studies import frame

    monkeypatch.setenv("XDG_CACHE_HOME", str(toy / "cache"))
    fetched = replace(TOY, setup=lambda folder: (folder / "data").write_text("data"))  # type: ignore[arg-type, return-value]
    monkeypatch.setattr(frame, "_study", lambda name: fetched)
    assert app(["study", "setup", "toy"]) == 0
    assert (Path(capsys.readouterr().out.strip()) / "data").read_text() == "data"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["study", "run", "nothing"], "there is no study 'nothing'; there are"),
        (["study", "run", "toy", "--scale", "huge"], "--scale: got 'huge'; use one of smoke, small, paper"),
        (["study", "run", "toy", "--seeds", "0"], "--seeds"),
        (["study", "report", "--out", "."], "--out: '.' is a folder"),
        (["study", "show", "nothing"], "there is no study 'nothing'"),
    ],
)
def test_refusals(
    arguments: list[str],
    words: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert app(arguments) == 2
    out, err = capsys.readouterr()
    assert out == "" and words in err and err.count("\n") == 1
