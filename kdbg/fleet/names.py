"""Which dumps are meant: files, directories, patterns, URLs."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from kdbg.errors import UsageError

PATTERN = frozenset("*?[")
MOST = 10_000_000
_PAIRED = re.compile(r"(unix|vmcore)\.(\d+)$")
_BESIDE = (".txt", ".md", ".json", ".toml", ".log", ".html", ".xml", ".parquet", ".journal", ".csv", ".py", ".sh")
"""Ends of names that no dump has: passed over in directories."""


@dataclass(frozen=True, slots=True)
class Named:
    """A dump by the names of its files."""

    files: tuple[str, ...]
    size: int
    modified: float

    @property
    def text(self) -> str:
        """The names in one."""
        return " ".join(self.files)


def is_many(words: Sequence[str]) -> bool:
    """Whether words name many dumps: one of them is a directory or a pattern."""
    return any(os.path.isdir(word) or (PATTERN & set(word) and not os.path.exists(word)) for word in words)


def named(words: Sequence[str]) -> list[Named]:
    """The dumps that words mean, each once: of a directory all files in it, below it too. Raises `UsageError`."""
    found: dict[str, None] = {}
    for word in words:
        before = len(found)
        found.update(dict.fromkeys(_expanded(word)))
        if len(found) == before and not _is_known(word, found):
            raise UsageError(f"{word}: no file there")
    return list(_grouped(list(found)))


def _is_known(word: str, found: dict[str, None]) -> bool:
    return word in found or any(name in found for name in _expanded(word))


def _expanded(word: str) -> Iterator[str]:
    if "://" in word:
        yield from _remote(word)
    elif os.path.isdir(word):
        for folder, folders, files in os.walk(word):
            folders.sort()
            for name in sorted(files):
                if not name.startswith(".") and not name.endswith(_BESIDE):
                    yield os.path.join(folder, name)
    elif PATTERN & set(word) and not os.path.exists(word):
        yield from sorted(name for name in glob.iglob(word, recursive=True) if os.path.isfile(name))
    else:
        yield word


def _remote(word: str) -> Iterator[str]:
    if not PATTERN & set(word):
        yield word
        return
    try:
        import fsspec
    except ImportError:
        raise UsageError(f"{word}: patterns of URLs need fsspec: pip install 'kdbg[remote]'") from None
    system, path = fsspec.core.url_to_fs(word)
    for name in sorted(system.glob(path)):
        yield str(system.unstrip_protocol(name))


def _grouped(names: Sequence[str]) -> Iterator[Named]:
    """A kernel's dump with its namelist beside it is one dump; all else is a dump each."""
    present = set(names)
    for name in names:
        folder, base = os.path.split(name)
        paired = _PAIRED.match(base)
        if paired is None:
            yield _measured((name,))
            continue
        beside = os.path.join(folder, f"{'vmcore' if paired[1] == 'unix' else 'unix'}.{paired[2]}")
        if beside not in present:
            yield _measured((name,))
        elif paired[1] == "vmcore":
            yield _measured((beside, name))


def _measured(files: tuple[str, ...]) -> Named:
    size, modified = 0, 0.0
    for name in files:
        try:
            status = os.stat(name)
        except OSError:
            continue  # whoever opens it will say why; of a URL nothing is known before it is opened
        size, modified = size + status.st_size, max(modified, status.st_mtime)
    return Named(files, size, modified)
