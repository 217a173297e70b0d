"""A callback for the ``Trainer`` of Hugging Face's transformers, and for those built on it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from surefoot.integrations.fit import Fit, in_words, level
from surefoot.runs.schema import Finding

try:
    from transformers import TrainerCallback
    from transformers.utils import logging
except ImportError as error:
    raise ImportError("transformers isn't installed: pip install 'surefoot[huggingface]'") from error

_log = logging.get_logger(__name__)


class SurefootCallback(TrainerCallback):
    """Watches each ``train()``; training itself is as without, bit for bit.

    Findings go to the logger of transformers, and to ``trainer.state.log_history`` as ``surefoot/<id>``: 1 info,
    2 warning, 3 critical. The record, ``diagnosis.json`` and ``report.html`` are in :attr:`path`. The trainer tells no
    callback of an exception: a run that one ended is closed when the process ends or the next ``train()`` begins.

    Parameters
    ----------
    **options
        Those of :func:`surefoot.watch`, such as ``out``, ``budget``, ``ignore``, ``stop_on``.

    Examples
    --------
    >>> from transformers import Trainer  # doctest: +SKIP
    >>> Trainer(model, args, callbacks=[SurefootCallback()]).train()  # doctest: +SKIP
    """

    def __init__(self, **options: Any) -> None:
        self._fit = Fit(options, self._tell)
        self._state: Any = None

    @property
    def path(self) -> Path | None:
        """The folder of the newest run; None before the first."""
        return self._fit.path

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What was found so far in the newest run."""
        return () if self._fit.watch is None else self._fit.watch.findings

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Open the watch."""
        self._state = state
        self._fit.begin(kwargs["model"])

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Close it."""
        self._fit.end()
        self._state = None

    def _tell(self, finding: Finding) -> None:
        (_log.info if finding.severity == "info" else _log.warning)(in_words(finding))
        if self._state is not None:
            self._state.log_history.append({f"surefoot/{finding.id}": level(finding), "step": self._state.global_step})
