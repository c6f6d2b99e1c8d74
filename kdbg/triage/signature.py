"""The signature of a failure: the same for the same cause on another boot, build or machine. Version 1.

1. The kind of the failure (`kdbg.triage.report.Kind`); what did not fail has no frames.
2. The functions of the stack that matters, the innermost first: of a failure that of the failing thread, of a deadlock
   those of the threads in the circle (in the order that begins with the smallest), of a hang that of the CPU.
3. Without the crash path: the functions of the family's list that stand before the first one that does not
   (panic, dump and NMI code, the entry of the trap), and those at which threads wait for a lock.
4. Without what compilers append (``.isra.0``, ``.part.3``, ``.constprop.0``, ``.cold``, ``.llvm.1234``), without
   offsets, modules and addresses; a frame without a name is left out.
5. At most `FRAMES` of them; frames that the unwinder only guessed (their note says so) end the list unless it is empty.
6. The digest: the first 16 digits of the SHA-256 of the lines ``1``, kind, cause and frames joined by newlines.
"""

from __future__ import annotations

import hashlib
import itertools
import re
from collections.abc import Collection, Iterable, Sequence

from kdbg.triage.report import Kind, Signature, StackFrame

VERSION = 1
FRAMES = 5
_SUFFIX = re.compile(r"(\.(isra|part|constprop|cold|llvm|lto_priv|clone|ctfn)(\.\d+)*|\.\d+)+$")
GUESSED = "guess"
"""In the note of a frame that was found by a scan of the stack."""


def bare(function: str) -> str:
    """A function's name without what a compiler appends."""
    return _SUFFIX.sub("", function) or function


def reliable(frames: Sequence[StackFrame], crash_path: Collection[str]) -> tuple[str, ...]:
    """The functions that tell what happened: see the module's text, 3 to 5."""
    named = ((bare(frame.function), frame.note or "") for frame in frames if frame.function)
    chosen: list[str] = []
    for name, note in itertools.dropwhile(lambda one: one[0] in crash_path, named):
        if chosen and GUESSED in note:
            break
        chosen.append(name)
        if len(chosen) == FRAMES:
            break
    return tuple(chosen)


def signature(kind: Kind, frames: Iterable[str] = (), cause: str | None = None) -> Signature:
    """The signature of a failure of that kind in these functions."""
    chosen = tuple(frames)
    words = [str(VERSION), kind.value, cause or "", *chosen]
    digest = hashlib.sha256("\n".join(words).encode("utf-8", "replace")).hexdigest()[:16]
    head = f"{kind.value} ({cause})" if cause else kind.value
    return Signature(VERSION, kind.value, chosen, f"{head}: {' < '.join(chosen)}" if chosen else head, digest)
