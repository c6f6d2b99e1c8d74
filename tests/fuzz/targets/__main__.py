"""Fuzz one parser: ``python -m fuzz.targets KIND SECONDS`` from tests/, KIND one of `fuzz.dumps.KINDS`.

With atheris its coverage guides the mutations; without it they come from seeds (`fuzz.mutations`) until time is up. The
corpus is the undamaged dump of that kind, which `samples/` builds.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from fuzz.dumps import KINDS, probe
from fuzz.mutations import mutated, watchdog

FIRST_SEED = 100_000


def plain(kind: str, seconds: float, path: Path) -> int:
    """Damage the dump from one seed after the other; how many."""
    whole, end, seed = KINDS[kind](), time.monotonic() + seconds, FIRST_SEED
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


def guided(kind: str, seconds: float, path: Path) -> None:
    """Let atheris damage the dump; it ends the process itself."""
    import atheris

    corpus = path.parent / "corpus"
    corpus.mkdir()
    (corpus / kind).write_bytes(KINDS[kind]())

    def one(data: bytes) -> None:
        path.write_bytes(data)
        probe(path)

    atheris.instrument_all()
    atheris.Setup([sys.argv[0], f"-max_total_time={int(seconds)}", "-max_len=4000000", str(corpus)], one)
    atheris.Fuzz()


def main() -> None:
    """Fuzz the kind that the command line names."""
    kind, seconds = sys.argv[1], float(sys.argv[2])
    with TemporaryDirectory() as folder:
        path = Path(folder) / "dump"
        try:
            import atheris  # noqa: F401
        except ImportError:
            print(f"{kind}: {plain(kind, seconds, path)} damaged dumps")
        else:
            guided(kind, seconds, path)


if __name__ == "__main__":
    main()
