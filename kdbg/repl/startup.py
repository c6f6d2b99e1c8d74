"""The first words at a terminal: what is looked at, what was found in it and what not; the person's own commands."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Iterator
from pathlib import Path

from kdbg.errors import Error
from kdbg.lang.session import Session
from kdbg.lang.source import FileSource
from kdbg.repl.screen import visible
from kdbg.repl.vocabulary import declared_groups
from kdbg.target import Target

RC = ".kdbgrc"
NOTES = 4
"""Notes that are shown at most."""


def greeting(target: Target, width: int) -> Iterator[str]:
    """Lines to show before the first prompt."""
    told = what_it_is(target)
    if told:
        yield from _wrapped(told, width)
    groups = declared_groups(target)
    if groups:
        yield from _wrapped(f"Loading modules: [ {' '.join(groups)} ]", width)
    for note in target.notes[:NOTES]:
        yield from _wrapped(f"note: {note}", width)
    if len(target.notes) > NOTES:
        yield f"note: and {len(target.notes) - NOTES} more"


def _wrapped(text: str, width: int) -> list[str]:
    return textwrap.wrap(visible(text), max(20, width - 1), subsequent_indent="  ", break_on_hyphens=False)


def what_it_is(target: Target) -> str:
    """One sentence on a target; empty where there is none."""
    if target.kind == "none":
        return ""
    name = os.path.basename(target.name)
    if target.kind != "dump":
        kind = "ELF file" if target.kind == "object" else "raw bytes"
        return f"{name}: {kind}"
    info = target.info  # type: ignore[attr-defined]
    size = f", {info.memory_size / (1 << 20):.0f} MB" if info.memory_size else ""
    cpus = f", {info.cpus} CPU{'s' if info.cpus != 1 else ''}" if info.cpus else ""
    kernel = f"; {info.kernel}" if info.kernel else "; no kernel that kdbg knows"
    host = f" on {info.host}" if info.host else ""
    return f"{name}: {info.format}, {info.bits}-bit{size}{cpus}{kernel}{host}"


def in_short(target: Target) -> tuple[str, str]:
    """Name of what is looked at and of its kernel, for the bottom line."""
    name = os.path.basename(target.name)
    kernel = getattr(target, "kernel", None)
    if kernel is None:
        return visible(name), {"object": "ELF file", "raw": "raw bytes"}.get(target.kind, "")
    try:
        return visible(name), visible(str(kernel.describe()))
    except Error:
        return visible(name), ""


def rc_path() -> Path | None:
    """The person's ``~/.kdbgrc``, if there is one that nobody else can write to."""
    path = Path.home() / RC
    try:
        found = path.stat()
    except OSError:
        return None
    trusted = found.st_uid in (os.getuid(), 0) and not found.st_mode & 0o022
    return path if trusted and os.access(path, os.R_OK) else None


def run_rc(session: Session) -> None:
    """Run the person's own commands. Raises `Quit`."""
    path = Path.home() / RC
    if not path.exists():
        return
    if rc_path() is None:
        session.warn(f"{path} is not read: it is not yours, or others can write to it")
        return
    try:
        session.run(FileSource(str(path)))
    except OSError as error:
        session.warn(f"{path}: {error.strerror}")
