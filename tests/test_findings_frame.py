"""The frame: causality, ranks, causes, faulty rules, user rules, and the record as a source."""

from __future__ import annotations

import json
import math
import sys
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from histories import FEW_RANDOM, Stream, falling, flat, layered, train
from surefoot.findings import Engine, History, Rule, Sign, all_rules, diagnose, rule
from surefoot.findings import engine as judging
from surefoot.findings.causes import EFFECTS, order
from surefoot.runs import Evidence, Family, Finding, RunWriter, Severity

registry = import_module("surefoot.findings.rule")  # the package has the decorator under the same name
STEP = Family("step", (("loss", ""), ("learning_rate", "")))
EVIDENCE = (Evidence("loss", "", 1, 1.0, 2.0, "a test"),)


def finding(id: str, severity: Severity = "critical", first: int = 1, detected: int | None = None) -> Finding:
    return Finding(id, severity, 0, first, first if detected is None else detected, 9, (), "", None, (), ())


def as_json(findings: tuple[Finding, ...]) -> list[dict]:
    return [f.to_json() for f in findings]  # NaN equals NaN there


# --- causes and ranks --------------------------------------------------------------------------------------------


def ids(findings: tuple[Finding, ...]) -> list[tuple[str, str | None]]:
    return [(f.id, f.because_of) for f in findings]


def test_consequences_name_their_root_and_come_after_it() -> None:
    found = order([finding("non-finite", first=9), finding("divergence", first=5), finding("learning-rate-too-high")])
    assert ids(found) == [
        ("learning-rate-too-high", None),
        ("divergence", "learning-rate-too-high"),
        ("non-finite", "learning-rate-too-high"),
    ]
    assert [f.rank for f in found] == [1, 2, 3]


def test_what_began_first_is_the_cause_where_each_can_be() -> None:
    early = order([finding("exploding-gradient", first=1), finding("learning-rate-too-high", first=1)])
    assert early[0].id == "exploding-gradient" and early[1].because_of == "exploding-gradient"
    late = order([finding("exploding-gradient", first=50), finding("learning-rate-too-high", first=1)])
    assert late[0].id == "learning-rate-too-high" and late[1].because_of == "learning-rate-too-high"


def test_of_two_that_looks_cannot_tell_apart_the_deeper_one_is_the_cause() -> None:
    near = order([finding("learning-rate-too-high", first=201), finding("exploding-gradient", first=203)])
    assert ids(near) == [("exploding-gradient", None), ("learning-rate-too-high", "exploding-gradient")]
    # a step that promised more than there was to gain has a number of its own: what jumped at the next one followed
    promised = Evidence("predicted_decrease / (2 · loss)", "", 201, 448.0, 1.0, "")
    long = replace(finding("learning-rate-too-high", first=201), evidence=(promised,))
    assert ids(order([long, finding("exploding-gradient", first=203)]))[0] == ("learning-rate-too-high", None)
    assert ids(order([long, finding("exploding-gradient", first=201)]))[0] == ("exploding-gradient", None)
    apart = order([finding("learning-rate-too-high", first=100), finding("exploding-gradient", first=203)])
    assert ids(apart) == [("learning-rate-too-high", None), ("exploding-gradient", "learning-rate-too-high")]
    # a softmax that has collapsed moves no logits, which those that drift together do to it
    known = order([finding("softmax-collapse", first=404), finding("output-logit-divergence", first=384)])
    assert ids(known) == [("output-logit-divergence", None), ("softmax-collapse", "output-logit-divergence")]
    # a step that was too long is known by its number; if it is so by a rate that had risen, that is why
    known = order([finding("unsafe-step", first=201), finding("learning-rate-too-high", first=203)])
    assert ids(known) == [("unsafe-step", None), ("learning-rate-too-high", "unsafe-step")]
    risen = Evidence("learning_rate / its largest before", "", 201, 15.0, 2.0, "")
    step = replace(finding("unsafe-step", first=201), evidence=(risen,))
    known = order([step, finding("learning-rate-too-high", first=203)])
    assert ids(known) == [("learning-rate-too-high", None), ("unsafe-step", "learning-rate-too-high")]


def test_steps_that_were_skipped_under_a_finite_loss_are_no_effect_of_a_later_nan() -> None:
    """A scale that has come down to zero has no inverse; a loss that is not finite lets every step go."""
    skipped = order([finding("amp-step-skipping", first=193), finding("non-finite", first=194)])
    assert ids(skipped) == [("amp-step-skipping", None), ("non-finite", "amp-step-skipping")]
    lost = order([finding("amp-step-skipping", first=193, detected=194), finding("non-finite", first=194)])
    assert ids(lost) == [("non-finite", None), ("amp-step-skipping", "non-finite")]


def test_units_that_die_later_do_so_by_long_steps_that_were_seen_before_the_deaths_were_told() -> None:
    died = order([finding("dead-units", first=64, detected=112), finding("learning-rate-too-high", first=98)])
    assert ids(died) == [("learning-rate-too-high", None), ("dead-units", "learning-rate-too-high")]
    after = order([finding("dead-units", first=64, detected=80), finding("learning-rate-too-high", first=98)])
    assert [f.because_of for f in after] == [None, None]


def test_an_effect_that_began_long_before_is_not_one() -> None:
    found = order([finding("dead-units", first=1), finding("learning-rate-too-high", first=100)])
    assert [f.because_of for f in found] == [None, None]


def test_a_root_weighs_what_follows_from_it_and_infos_come_last() -> None:
    found = order(
        [
            finding("custom", "warning"),
            finding("missing-zero-grad", "warning", first=2),
            finding("divergence", "critical", first=30),
            finding("saturated-units", "info"),
        ]
    )
    assert [f.id for f in found] == ["missing-zero-grad", "custom", "divergence", "saturated-units"]


def test_infos_bring_about_nothing_loud() -> None:
    found = order([finding("missing-zero-grad", "info"), finding("divergence")])
    assert ids(found)[0] == ("divergence", None)

    # what a schedule does is a fact; how a game goes is a course that may have begun before
    game = order([finding("adversarial-rotation", first=32), finding("scheduler-misuse", first=114)])
    assert ids(game) == [("scheduler-misuse", None), ("adversarial-rotation", None)]


def test_labels_in_order_explain_a_batch_that_is_worse_than_knowing_nothing() -> None:
    found = order([finding("bad-batch", first=366), finding("unshuffled-data", "warning")])
    assert ids(found) == [("unshuffled-data", None), ("bad-batch", "unshuffled-data")]
    # where the order is no more than a remark, the batch stands for itself
    assert ids(order([finding("bad-batch", first=366), finding("unshuffled-data", "info")]))[0] == ("bad-batch", None)


@pytest.mark.parametrize(("place", "root"), [("query", "attention-logit-growth"), ("", "softmax-collapse")])
def test_an_attention_has_no_entropy_but_by_its_logits(place: str, root: str) -> None:
    grown = replace(finding("attention-logit-growth", first=768), where=("query",))
    collapsed = replace(finding("softmax-collapse", first=650), where=(place,) if place else ())
    assert ids(order([collapsed, grown]))[0] == (root, None)


@given(
    st.lists(
        st.tuples(
            st.sampled_from([*EFFECTS, "custom"]), st.sampled_from(["info", "warning", "critical"]), st.integers(1, 99)
        ),
        unique_by=lambda t: t[0],
    ),
    st.randoms(),
)
def test_ranks_and_causes_are_well_formed_whatever_the_order(drawn: list, random) -> None:
    found = [finding(*d) for d in drawn]
    ranked = order(found)
    random.shuffle(found)
    assert order(found) == ranked
    assert [f.rank for f in ranked] == list(range(1, len(ranked) + 1))
    names = {f.id: f for f in ranked}
    for f in ranked:
        seen, at = set(), f
        while at.because_of is not None:
            assert at.because_of in names and at.id not in seen
            seen.add(at.id)
            at = names[at.because_of]
    loud = [f.severity != "info" for f in ranked]
    assert loud == sorted(loud, reverse=True)


# --- engine ------------------------------------------------------------------------------------------------------


def run(engine: Engine, steps: int) -> None:
    for step in range(1, steps + 1):
        engine.feed(step, STEP, np.array([1.0, 0.1], dtype=np.float32))
        engine.end_step(step)


def scripted(signs: dict[int, Sign]) -> Rule:
    return Rule("custom", ("step",), lambda history: signs.get(history.step))


def test_a_finding_through_its_life() -> None:
    signs = {
        3: Sign("info", "noticed", EVIDENCE, first_step=2),
        5: Sign("warning", "warned", (replace(EVIDENCE[0], step=5),)),
        6: Sign("critical", "failing", (replace(EVIDENCE[0], step=6),), where=("a",)),
        7: Sign("warning", "calmer", (replace(EVIDENCE[0], step=7),)),
    }
    engine = Engine([scripted(signs)])
    run(engine, 4)
    assert (engine.findings[0].severity, engine.findings[0].detected_step) == ("info", 3)
    run(engine, 9)
    (found,) = engine.findings
    assert (found.severity, found.first_step, found.detected_step, found.last_step) == ("critical", 2, 5, 7)
    assert found.cause == "failing" and found.where == ("a",) and [e.step for e in found.evidence] == [6, 5]


def test_a_rule_that_raises_is_switched_off_and_the_others_go_on() -> None:
    def broken(history: History) -> Sign | None:
        raise ZeroDivisionError("oh")

    engine = Engine([Rule("broken", ("step",), broken), scripted({5: Sign("warning", "", EVIDENCE)})])
    run(engine, 9)
    assert [f.id for f in engine.findings] == ["custom"]
    assert engine.notes == ["rule broken is off after ZeroDivisionError: oh"]


def test_rules_run_only_when_their_families_have_a_row() -> None:
    calls: list[int] = []
    engine = Engine([Rule("x", ("weights",), lambda h: calls.append(h.step))])
    run(engine, 5)
    assert calls == []


def test_user_rules_by_decorator(monkeypatch: pytest.MonkeyPatch) -> None:
    all_rules()  # what is built in registers on first use, and must not do so in the copy
    monkeypatch.setattr(registry, "_RULES", dict(registry._RULES))

    @rule("slow-step", needs=("step",))
    def slow(history: History) -> Sign | None:
        return Sign("info", "slow", ()) if history.value("loss") > 0 else None

    assert "slow-step" in [r.id for r in all_rules()]
    engine = Engine()
    run(engine, 3)
    assert [f.id for f in engine.findings] == ["slow-step"]


@pytest.mark.parametrize(("id", "needs"), [("Dead", ("step",)), ("", ("step",)), ("a", "step"), ("a", ())])
def test_bad_arguments_of_the_decorator(id: str, needs: object) -> None:
    with pytest.raises(ValueError, match=r"id is|needs is"):
        rule(id, needs=needs)  # type: ignore[arg-type]


def test_bad_severity() -> None:
    with pytest.raises(ValueError, match="severity is 'fatal'"):
        Sign("fatal", "", ())  # type: ignore[arg-type]


def test_broken_entry_points_are_told_once(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    def load() -> None:
        raise ImportError("no such module")

    monkeypatch.setattr(registry, "_entry_points_loaded", False)
    monkeypatch.setattr(registry, "entry_points", lambda group: [SimpleNamespace(name="p", value="q", load=load)])
    assert len(all_rules()) >= 12 and len(all_rules()) >= 12
    assert capsys.readouterr().err.count("no such module") == 1


def test_causes_and_effects_are_ids_of_rules() -> None:
    known = {r.id for r in all_rules()}
    assert known >= set(EFFECTS) and all(known >= effects for effects in EFFECTS.values())


def test_confidence_is_what_was_measured_and_null_until_then(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judging, "_precision", lambda: {"non-finite": 0.9})
    found = train([2.3, 9.0, math.nan], constant=2.3).findings()
    assert {id: f.confidence for id, f in found.items()} == dict.fromkeys(found) | {"non-finite": 0.9}


def test_measured_precisions_are_shares_of_ids_that_there_are() -> None:
    measured = judging._precision()
    assert measured.keys() <= {rule.id for rule in all_rules()}
    assert all(0 < share < 1 for share in measured.values())
    counts = json.loads(Path(judging.__file__).with_name("precision.json").read_text())
    assert measured == {id: (right + 1) / (told + 2) for id, (right, told) in counts.items()}
    assert all(0 <= right <= told > 0 for right, told in counts.values())


# --- causality ---------------------------------------------------------------------------------------------------


@st.composite
def streams(draw: st.DrawFn) -> Stream:
    """Short runs of any kind: losses, steps and layers over many orders of magnitude, with gaps."""
    value = st.sampled_from([0.0, 1e-9, 1e-3, 0.5, 1.0, 2.3, 40.0, 1e9, math.nan, math.inf, -1.0])
    losses = draw(st.lists(value, min_size=1, max_size=30))
    stream = train(
        losses,
        rate=draw(st.sampled_from([1e-7, 1e-3, 0.5])),
        overshoot=draw(st.sampled_from([1e-7, 1e-3, 3.0])),
        elasticity=draw(st.sampled_from([1e-3, 1.0, 5e3])),
        constant=draw(st.sampled_from([math.nan, 0.0, 2.3])),
        looks=draw(st.sets(st.integers(1, len(losses)))),
    )
    for family, signal in FEW_RANDOM:
        steps = draw(st.sets(st.integers(1, len(losses)), max_size=8))
        rows = {s: draw(st.lists(value, min_size=6, max_size=6)) for s in sorted(steps)}
        layered(stream, family, signal, rows.__getitem__, rows, [f"m{i}" for i in range(6)])
    return stream


@settings(max_examples=60, deadline=None)
@given(streams())
def test_prefixes_never_use_what_comes_after(stream: Stream) -> None:
    engine = Engine()
    by_step: dict[int, list] = {}
    for step, family, values in stream.rows():
        by_step.setdefault(step, []).append((family, values))
    for step, rows in by_step.items():
        for family, values in rows:
            engine.feed(step, family, values)
        engine.end_step(step)
        assert as_json(stream.engine(until=step).findings) == as_json(engine.findings)
        for found in engine.findings:
            assert found.first_step <= found.detected_step <= found.last_step <= step
            assert all(e.step <= step for e in found.evidence)
    assert engine.notes == []


def test_what_was_detected_stays_as_the_run_goes_on() -> None:
    stream = train([*falling(60), *np.geomspace(0.3, 1e6, 40), *[math.nan] * 5], constant=2.3, rate=0.3, overshoot=2.0)
    final = stream.findings()
    for until in range(1, 106, 5):
        for id, early in stream.findings(until).items():
            assert final[id].first_step == early.first_step
            if early.severity != "info":
                assert final[id].detected_step == early.detected_step


# --- records -----------------------------------------------------------------------------------------------------


def test_a_record_gives_what_the_live_engine_gave(tmp_path: Path) -> None:
    stream = train([2.3, 2.4, 9.0, 14.0, math.nan, math.nan], rate=0.5, overshoot=4.0, constant=2.3)
    stream.event(5, "nonfinite", kind="loss", where="", operation="exp", value="nan")
    live = Engine()
    rows = stream.rows()
    writer = RunWriter(tmp_path / "run")
    for at in range(0, len(rows), 3):
        steps = {r[0] for r in rows[at : at + 3]}
        for row in rows[at : at + 3]:
            writer.row(*row)
        for event in stream.events:
            if event.step in steps:
                writer.event(event.step, event.kind, **event.data)
    for step in sorted({r[0] for r in rows}):
        live.feed_all([r for r in rows if r[0] == step], [e for e in stream.events if e.step == step])
    writer.close()
    assert as_json(diagnose(tmp_path / "run")) == as_json(live.findings) == as_json(stream.engine().findings)
    assert live.findings[0].id == "learning-rate-too-high"


def test_importing_the_rules_does_not_import_torch() -> None:
    import subprocess

    code = "import sys, surefoot.findings; surefoot.findings.all_rules(); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_a_learning_rate_is_followed_at_every_row_of_scalars() -> None:
    stream = train(flat(200), lr=lambda s: 1e-3 if s < 60 else 1e-8, looks=[1, 2, 4, 8])
    rates = stream.engine().history.rates[""]
    assert (rates.peak, rates.newest) == (pytest.approx(1e-3), pytest.approx(1e-8)) and rates.faded_step == 60
    unread = train(flat(60), lr=lambda s: 1e-3 if s % 2 else math.nan, looks=[1, 2, 4, 8])
    assert unread.engine().history.rates[""].faded_step is None
