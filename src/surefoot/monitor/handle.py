"""``surefoot.watch``: watch a training loop from inside, in a script or a notebook."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from torch import nn
from torch.optim import Optimizer

from surefoot.apply.catalogue import chosen
from surefoot.findings.ignoring import Ignored
from surefoot.monitor import config, live, ranks, user_rules
from surefoot.monitor.session import Session
from surefoot.monitor.stop import exit_code
from surefoot.runs import Finding, Run, open_run
from surefoot.runs.store import record_path


class Watch:
    """A run being watched; a context manager, or a plain object to :meth:`close`.

    Attributes
    ----------
    path : the run's folder
    findings : what was found so far, ranked
    """

    def __init__(self, session: Session, owned: bool) -> None:
        self._session = session
        self._owned = owned
        self.path = session.folder

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What was found so far, most probable root cause first."""
        if not self._session.closed:
            self._session.observer.catch_up()
        return self._session.findings

    def close(self, exception: BaseException | None = None) -> Run | None:
        """Stop watching, write ``diagnosis.json`` and ``report.html``; returns the finished run.

        None (and nothing is written) when ``surefoot run`` watches the whole script: it closes the run itself.
        """
        if self._owned and not self._session.closed:
            if isinstance(exception, SystemExit):
                code, name = exit_code(exception), None
            else:
                code, name = int(exception is not None), None if exception is None else type(exception).__name__
            self._session.close(code, name)
            live.release(self._session)
        return open_run(self.path) if self._session.closed else None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exception: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close(exception)

    def _repr_html_(self) -> str:
        """The report, rendered in a notebook."""
        report = self.path / "report.html"
        if not report.exists():
            return f"<p>surefoot is watching; the record is in <code>{_escape(str(self.path))}</code></p>"
        page = _escape(report.read_text(encoding="utf-8"))
        return f'<iframe srcdoc="{page}" style="width:100%;height:800px;border:0"></iframe>'

    def __repr__(self) -> str:
        state = "closed" if self._session.closed else "watching"
        return f"Watch({str(self.path)!r}, {state}, steps={self._session.observer.clock.steps})"


def _escape(text: str) -> str:
    from html import escape

    return escape(text, quote=True)


def watch(
    model: nn.Module | Sequence[nn.Module] | None = None,
    optimizer: Optimizer | Sequence[Optimizer] | None = None,
    *,
    out: str | Path | None = None,
    budget: float | None = None,
    look_every: int | None = None,
    look: str | None = None,
    on_finding: Callable[[Finding], None] | None = None,
    ignore: Sequence[str] = (),
    stop_on: str | None = None,
    rules: Sequence[str | Path] = (),
    apply: str | Sequence[str] = (),
) -> Watch:
    """Watch a training loop: as a context manager around it, or from here until :meth:`Watch.close`.

    Nothing of the loop changes: not a number, not the random state. Findings, record and report are those of
    ``surefoot run``. Inside ``surefoot run`` the whole script is watched already, and the handle only reads it.

    Parameters
    ----------
    model : the module(s) that are trained; None finds them from the optimisers
    optimizer : the optimiser(s) to follow; None follows all
    out : the run's folder; default ``surefoot-runs/<script>-<time>``
    budget : share of the steps' time that watching may cost; default 0.02
    look_every : look at every ``look_every``-th step, whatever it costs
    look : force one means of looking at activations: ``"hooks"``, ``"borrow"`` or ``"replay"``
    on_finding : called with each finding that is new or has become more severe
    ignore : findings that are not to be told, as ``"ID"`` or ``"ID@module"``; module is a glob such as ``encoder.*``
    stop_on : ``"critical"``, or ids of findings with commas between: once one is there, ``optimizer.step()`` raises
        :class:`surefoot.TrainingStopped`, which ends the process with exit code 3 unless it is caught
    rules : modules (``"mypackage.rules"``) or files (``"rules.py"``) with rules of your own
    apply : remedies to put in place, as ``surefoot run --apply`` takes them: ``"safe-step"``,
        ``"lr-scale:factor=0.1"``; they do change what the loop does. Inside ``surefoot run`` they are put in place, too

    Notes
    -----
    ``budget``, ``ignore``, ``stop_on`` and ``rules`` can also be set in the ``[tool.surefoot]`` of the nearest
    ``pyproject.toml``, upwards from the script or the working directory. ``ignore`` and ``rules`` add up.

    Raises
    ------
    TypeError
        if ``model`` or ``optimizer`` is something else
    ValueError
        if a number is out of its range, an id is unknown, rules can't be imported, ``out`` holds a run already, or a
        run that has remedies in place is given more
    RuntimeError
        if another ``watch`` is open in this process

    Examples
    --------
    >>> with surefoot.watch(model, optimizer) as run:  # doctest: +SKIP
    ...     train(model, optimizer)
    >>> run.findings  # doctest: +SKIP
    """
    models = _as_list(model, nn.Module, "model")
    optimizers = _as_list(optimizer, Optimizer, "optimizer")
    if budget is not None and not 0 < budget <= 1:
        raise ValueError(f"budget is a share of the steps' time, above 0 and at most 1; got {budget!r}")
    if look_every is not None and look_every < 1:
        raise ValueError(f"look_every counts steps, from 1; got {look_every!r}")
    if look not in (None, "hooks", "borrow", "replay"):
        raise ValueError(f"look must be 'hooks', 'borrow' or 'replay'; got {look!r}")
    choices = chosen([apply] if isinstance(apply, str) else apply)
    current = live.current()
    if current is not None:
        if live.owns_script():
            if choices:
                current.apply(choices, models)
            return Watch(current, owned=False)
        raise RuntimeError(f"this process is watched already, into {current.folder}; close that watch first")
    script = getattr(sys.modules.get("__main__"), "__file__", None) or "notebook"
    settings = config.find((Path(script).parent, Path.cwd()))
    ignore = [*settings.ignore, *ignore]
    stop_on = stop_on if stop_on is not None else settings.stop_on
    sources = list(dict.fromkeys([*settings.rules, *map(str, rules)]))
    for source in sources:
        user_rules.load(source)
    for mistake in live.unknown([*(Ignored.parse(entry).id for entry in ignore), *(stop_on or "critical").split(",")]):
        raise ValueError(mistake)
    folder = Path(out) if out is not None else live.new_folder(Path(), script)
    if record_path(folder, ranks.rank()).exists():
        raise ValueError(f"out={str(out)!r} holds a run already; name another folder or remove it")
    session = Session(
        folder,
        script=Path(script).name,
        argv=sys.argv[1:],
        budget=budget if budget is not None else settings.budget or 0.02,
        look_every=look_every,
        means=look,
        models=models,
        optimizers=optimizers,
        on_finding=on_finding,
        ignore=ignore,
        stop_on=stop_on,
        rules=sources,
        apply=choices,
    )
    live.adopt(session)
    return Watch(session, owned=True)


def _as_list(value: Any, kind: type, name: str) -> list[Any] | None:
    if value is None:
        return None
    values = list(value) if isinstance(value, (list, tuple)) else [value]
    for item in values:
        if not isinstance(item, kind):
            raise TypeError(f"{name} must be a {kind.__module__}.{kind.__name__} or a list of them; got {type(item)}")
    return values
