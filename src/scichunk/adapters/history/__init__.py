"""``scichunk.history``: what each ``compute()`` read and cost, kept in a file of the user when processes and clusters are gone.

>>> import scichunk
>>> scichunk.history.start()  # doctest: +SKIP
>>> scichunk.from_file("scene.tif").mean().compute()  # doctest: +SKIP
>>> print(scichunk.history.report())  # doctest: +SKIP

``start`` keeps what the schedulers of this process compute, and what the current client of distributed does: there the scheduler writes,
into a file on its machine. On the command line: ``scichunk history``.
"""

from __future__ import annotations

from scichunk.adapters.history.pages import report, to_html
from scichunk.adapters.history.recording import start, stop
from scichunk.adapters.history.store import default_path, runs

__all__ = ["default_path", "report", "runs", "start", "stop", "to_html"]
