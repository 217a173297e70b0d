"""Reports of a recorded run: :func:`surefoot.report.terminal.render` and :func:`surefoot.report.html.write`."""
