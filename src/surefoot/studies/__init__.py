"""One reproducible study a paper: its claims, what was measured here, the verdicts and the plots.

A study is a module of this package with a constant ``STUDY``. ``surefoot study`` lists, shows, runs and reports them;
from Python::

    from surefoot.studies import find
    from surefoot.studies.runner import run

    result = run(find("stablemax"), scale="smoke", seeds=1, out="surefoot-studies")
"""

from surefoot.studies.frame import Claim, Figure, Measured, Scale, Study, StudyResult, advance, every, find

__all__ = ["Claim", "Figure", "Measured", "Scale", "Study", "StudyResult", "advance", "every", "find"]
