"""Look many dumps over: some at a time on this machine, or all over a Dask cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from itertools import islice
from typing import Any

from kdbg.errors import UsageError
from kdbg.fleet.names import Named
from kdbg.fleet.row import KILLED, Row
from kdbg.fleet.worker import Limits, Server, look_over

LACKING = "--scheduler needs Dask: pip install 'kdbg[fleet]'"
AHEAD = 200
"""Tasks for each worker that are given to a cluster in advance."""

Run = Callable[[Sequence[Named], Limits], Iterator[Row]]


def local(jobs: int) -> Run:
    """Run so many at a time here, each in a process of its own."""

    def run(dumps: Sequence[Named], limits: Limits) -> Iterator[Row]:
        rest, servers = iter(dumps), [Server() for _ in range(jobs)]
        free = list(servers)
        with ThreadPoolExecutor(jobs, "fleet") as pool:
            running: dict[Future[Row], Server] = {}
            try:
                while True:
                    for dump in islice(rest, len(free)):
                        server = free.pop()
                        running[pool.submit(server.look_over, dump, limits)] = server
                    if not running:
                        return
                    for ended in wait(running, return_when=FIRST_COMPLETED)[0]:
                        free.append(running.pop(ended))
                        yield ended.result()
            finally:
                for server in servers:
                    server.close()

    return run


def cluster(scheduler: str) -> Run:
    """Run on a Dask cluster, whose workers must have kdbg and see the dumps under the same names.

    What a worker was at when it died is given to another one; a dump that ends several becomes a row that says so.
    Raises `UsageError`.
    """
    try:
        from distributed import Client
    except ImportError:
        raise UsageError(LACKING) from None

    def run(dumps: Sequence[Named], limits: Limits) -> Iterator[Row]:
        try:
            client = Client(scheduler, timeout=10)
        except (OSError, ValueError, TimeoutError) as error:
            raise UsageError(f"--scheduler {scheduler}: {error}") from None
        with client:
            yield from _on(client, dumps, limits)

    return run


def _on(client: Any, dumps: Sequence[Named], limits: Limits) -> Iterator[Row]:
    from distributed import as_completed

    rest = iter(dumps)
    most = AHEAD * max(1, len(client.scheduler_info()["workers"]))
    by_key: dict[str, Named] = {}

    def submit(count: int) -> list[Any]:
        futures = []
        for dump in islice(rest, count):
            future = client.submit(look_over, dump, limits, key=f"kdbg-{dump.text}-{dump.modified}", pure=False)
            by_key[future.key] = dump
            futures.append(future)
        return futures

    waiting = as_completed(submit(most))
    for future in waiting:
        dump = by_key.pop(future.key)
        if future.status == "finished":
            yield future.result()
        else:
            why = f"the cluster gave it up: {type(future.exception()).__name__}"
            yield Row(dump.text, dump.size, dump.modified, KILLED, why)
        waiting.update(submit(1))
