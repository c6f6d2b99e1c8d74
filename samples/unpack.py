"""Unpack the sample dumps: ``python -m samples.unpack DIR [PATTERN ...]``.

What they are and where they come from: ``samples/files/README.md``.
"""

from __future__ import annotations

import fnmatch
import lzma
import os
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path

FILES = Path(__file__).parent / "files"
REAL = Path(__file__).parent / "real"


def names() -> list[str]:
    """The names of the sample dumps, as unpacked, in alphabetical order."""
    return sorted(path.stem for path in FILES.glob("*.xz"))


def facts(name: str) -> Path:
    """The file of facts that belongs to a sample dump (``domu32-tools64.elf`` -> ``domu32.expected.json``)."""
    stem = name.rpartition(".")[0].removesuffix("-tools64")
    for ending in ("expected", "truth"):
        path = FILES / f"{stem}.{ending}.json"
        if path.exists():
            return path
    raise FileNotFoundError(f"no facts beside {name}")


def unpack(name: str, folder: Path) -> Path:
    """Unpack one sample dump into a folder (made where it is missing) and return its path.

    A file that is already there with the right name stays: it is only ever put there whole.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    if not path.exists():
        part = folder / f".{name}.{os.getpid()}"
        source = next(folder for folder in (FILES, REAL) if (folder / f"{name}.xz").exists() or folder is REAL)
        with lzma.open(source / f"{name}.xz") as packed, part.open("wb") as plain:
            shutil.copyfileobj(packed, plain, 1 << 20)
        part.replace(path)
    return path


def unpack_all(folder: Path, patterns: Iterable[str] = ("*",)) -> list[Path]:
    """Unpack every sample dump whose name matches one of the shell patterns."""
    wanted = list(patterns)
    return [unpack(name, folder) for name in names() if any(fnmatch.fnmatch(name, pattern) for pattern in wanted)]


def main(arguments: list[str]) -> int:
    """Command line: prints the path of each file that it unpacks."""
    if not arguments or arguments[0].startswith("-"):
        print("usage: python -m samples.unpack DIR [PATTERN ...]", file=sys.stderr)
        print("samples: " + " ".join(names()), file=sys.stderr)
        return 2
    paths = unpack_all(Path(arguments[0]), arguments[1:] or ["*"])
    for path in paths:
        print(path)
    return 0 if paths else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
