"""Clusters of unlike workers: pools of jobs, marks that say which pool computes what, and jobs that hand over before their time is up.

>>> from dask_jobqueue import SLURMCluster  # doctest: +SKIP
>>> cluster = Pools(SLURMCluster, io={"queue": "short"}, big={"queue": "gpu"})  # doctest: +SKIP
>>> with on("big"):  # doctest: +SKIP
...     result = array.map_blocks(model)
"""

from __future__ import annotations

from scichunk.cluster.marks import Mark, on
from scichunk.cluster.pools import Pools

__all__ = ["Mark", "Pools", "on"]
