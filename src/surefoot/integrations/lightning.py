"""A callback for Lightning's ``Trainer``."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from surefoot.integrations.fit import Fit, in_words, level
from surefoot.runs.schema import Finding

try:
    from lightning.pytorch.callbacks import Callback
except ImportError:
    try:
        from pytorch_lightning.callbacks import Callback  # type: ignore[assignment]
    except ImportError as error:
        raise ImportError("lightning isn't installed: pip install 'surefoot[lightning]'") from error

_log = logging.getLogger("lightning.pytorch")


class SurefootCallback(Callback):
    """Watches each ``fit``; training itself is as without, bit for bit.

    Findings go to Python's logger of Lightning, and to the trainer's loggers as a metric ``surefoot/<id>``: 1 info,
    2 warning, 3 critical. The record, ``diagnosis.json`` and ``report.html`` are in :attr:`path`.

    Parameters
    ----------
    **options
        Those of :func:`surefoot.watch`, such as ``out``, ``budget``, ``ignore``, ``stop_on``.

    Examples
    --------
    >>> from lightning import Trainer  # doctest: +SKIP
    >>> Trainer(callbacks=[SurefootCallback(stop_on="critical")]).fit(model, data)  # doctest: +SKIP
    """

    def __init__(self, **options: Any) -> None:
        super().__init__()
        self._fit = Fit(options, self._tell)
        self._trainer: Any = None

    @property
    def path(self) -> Path | None:
        """The folder of the newest run; None before the first."""
        return self._fit.path

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What was found so far in the newest run."""
        return () if self._fit.watch is None else self._fit.watch.findings

    def on_fit_start(self, trainer: Any, pl_module: Any) -> None:
        """Open the watch."""
        self._trainer = trainer
        self._fit.begin(pl_module)

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        """Close it with what ended the fit."""
        self._end(exception)

    def teardown(self, trainer: Any, pl_module: Any, stage: str) -> None:
        """Close it."""
        if stage == "fit":
            self._end(None)

    def _end(self, exception: BaseException | None) -> None:
        self._fit.end(exception)
        self._trainer = None

    def _tell(self, finding: Finding) -> None:
        _log.log(logging.INFO if finding.severity == "info" else logging.WARNING, in_words(finding))
        if self._trainer is not None:
            for logger in self._trainer.loggers:
                logger.log_metrics({f"surefoot/{finding.id}": level(finding)}, step=self._trainer.global_step)
