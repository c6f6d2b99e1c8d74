"""Cores of small programs (samples/process/), unpacked, and what gdb said of them."""

from __future__ import annotations

import functools
import json
import lzma
import tempfile
from pathlib import Path
from typing import Any

import pytest

import kdbg
from kdbg.processcore import ProcessTarget

HOME = Path(__file__).parent.parent / "samples" / "process"

FILES = {
    "cut": ("cut", "libtable.so.1"),
    "smash": ("smash",),
    "smash32": ("smash32",),
    "bare": ("bare", "libeach.so.1"),
    "bare32": ("bare32", "libeach32.so.1"),
    "handler": ("handler",),
    "whole": ("handler",),
    "gcore": ("handler",),
    "threads": (),
    "smash-arm": ("smash-arm",),
    "bare-arm": ("bare-arm",),
}
"""Core -> the files that belong to it."""

_FOLDER = tempfile.TemporaryDirectory(prefix="kdbg-cores-")


@functools.cache
def unpacked(name: str) -> str:
    """Path of an unpacked file of samples/process."""
    path = Path(_FOLDER.name) / name
    path.write_bytes(lzma.decompress((HOME / f"{name}.xz").read_bytes()))
    return str(path)


@functools.cache
def truth() -> dict[str, Any]:
    """What gdb said, by core."""
    found: dict[str, Any] = json.loads((HOME / "expected.json").read_text())
    return found


def process(name: str, with_files: bool = True) -> ProcessTarget:
    """A core, opened with its files or alone."""
    if not with_files and Path("/tmp/samples").exists():
        pytest.skip("the programs still lie at /tmp/samples, where the cores say they do")
    files = [unpacked(file) for file in FILES[name]] if with_files else []
    target = kdbg.open(unpacked(f"{name}.core"), *files)
    assert isinstance(target, ProcessTarget)
    return target
