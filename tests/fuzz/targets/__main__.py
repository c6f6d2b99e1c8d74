"""Fuzz one parser: ``python -m fuzz.targets KIND SECONDS`` from tests/, KIND one of `fuzz.dumps.KINDS`.

With atheris its coverage guides the mutations; without it they come from seeds (`fuzz.mutations`) until time is up. The
corpus is an undamaged dump of that kind with few pages, which `samples/` builds, and what lies in ``corpus/KIND/``:
dumps that were answered wrongly once. What is answered wrongly is left in the working directory.
"""

from __future__ import annotations

import sys
import time
from contextlib import AbstractContextManager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

FIRST_SEED = 100_000
CORPUS = Path(__file__).parent.parent / "corpus"


def plain(kind: str, seconds: float, path: Path) -> int:
    """Damage the dump from one seed after the other; how many."""
    from fuzz.dumps import KINDS, probe, small
    from fuzz.mutations import mutated, watchdog

    whole, end, seed = KINDS[kind](small()), time.monotonic() + seconds, FIRST_SEED
    while time.monotonic() < end:
        path.write_bytes(mutated(whole, seed))
        try:
            with watchdog():
                probe(path)
        except BaseException as error:
            error.add_note(f"seed {seed}")
            raise
        seed += 1
    return seed - FIRST_SEED


def guided(kind: str, seconds: float, path: Path, atheris: Any) -> None:
    """Let atheris damage the dump; it ends the process itself."""
    formats: AbstractContextManager[object] = atheris.instrument_imports(include=["kdbg.formats"])
    with formats:  # the modules of a format are imported by the first dump of it
        from fuzz.dumps import KINDS, probe, small
        from fuzz.mutations import watchdog

        whole = KINDS[kind](small())
        path.write_bytes(whole)
        probe(path)
    seeds = path.parent / "seeds"
    seeds.mkdir()
    (seeds / kind).write_bytes(whole)

    def one(data: bytes) -> None:
        path.write_bytes(data)
        with watchdog():
            probe(path)

    options = [f"-max_total_time={int(seconds)}", f"-max_len={2 * len(whole)}", "-rss_limit_mb=2000"]
    folders = [str(seeds), *(str(folder) for folder in [CORPUS / kind] if folder.is_dir())]
    atheris.Setup([sys.argv[0], *options, *folders], one)
    atheris.Fuzz()


def main() -> None:
    """Fuzz the kind that the command line names."""
    kind, seconds = sys.argv[1], float(sys.argv[2])
    with TemporaryDirectory() as folder:
        path = Path(folder) / "dump"
        try:
            import atheris
        except ImportError:
            print(f"{kind}: {plain(kind, seconds, path)} damaged dumps")
        else:
            guided(kind, seconds, path, atheris)


if __name__ == "__main__":
    main()
