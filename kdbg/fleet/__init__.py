"""Triage of many dumps: a process each under limits, a table that goes on where it stopped, causes out of it.

`row` is what is kept of a dump, `names` finds the dumps that are meant, `worker` looks one over, `running` many at a
time (here, or on a Dask cluster), `store` keeps the rows, `causes` groups them.
"""

from __future__ import annotations
