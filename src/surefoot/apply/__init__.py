"""Remedies put into a running script that was not written for them: one file a remedy.

:mod:`surefoot.apply.catalogue` says which there are and reads them from the command line; it loads the standard library
only, for it is needed before the script. :class:`surefoot.apply.interpose.Interposer` puts them in place.
"""

from surefoot.apply.catalogue import parse as parse
from surefoot.apply.settings import Choice as Choice
