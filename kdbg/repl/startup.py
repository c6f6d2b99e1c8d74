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
    for told in what_it_is(target):
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


def what_it_is(target: Target) -> list[str]:
    """What a target is, and which kernel is in it. Nothing is counted for it: the prompt is to come at once."""
    name = os.path.basename(target.name)
    if target.kind == "process":
        return [f"{name}: {target.in_short()}"]  # type: ignore[attr-defined]
    if target.kind != "dump":
        kind = {"object": "ELF file", "raw": "raw bytes"}.get(target.kind)
        return [f"{name}: {kind}"] if kind else []
    image, kernel = target.image, target.kernel  # type: ignore[attr-defined]
    cpus = len(image.contexts)
    counted = f", {cpus} CPU{'s' if cpus != 1 else ''}" if cpus else ""
    told = f"{name}: {image.format}, {target.bits}-bit{counted}"
    if kernel is None:
        return [f"{told}; no kernel that kdbg knows"]
    host = kernel.uname.get("nodename")
    return [told, (kernel.describe() or f"a {kernel.family.capitalize()} kernel") + (f" on {host}" if host else "")]


def in_short(target: Target) -> tuple[str, str]:
    """Name of what is looked at and of its kernel, for the bottom line."""
    name = os.path.basename(target.name)
    kernel = getattr(target, "kernel", None)
    if kernel is None:
        kinds = {"object": "ELF file", "raw": "raw bytes", "process": "core of a process"}
        return visible(name), kinds.get(target.kind, "")
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
