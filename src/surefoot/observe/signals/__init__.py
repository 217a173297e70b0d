"""One file a family of signals: what is read, when. The formulas are in ``surefoot.analysis``."""
