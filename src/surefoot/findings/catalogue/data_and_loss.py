"""Explanations of the findings on data and loss."""

from __future__ import annotations

from surefoot.findings.catalogue import Explanation

ENTRIES: tuple[Explanation, ...] = ()
