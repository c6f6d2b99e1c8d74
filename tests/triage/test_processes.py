"""Cores of processes: their signal, a pointer of which a half got lost, a stack that was written over.

The programs are in ``samples/process``; what gdb says of their cores is held against elsewhere.
"""

from __future__ import annotations

import lzma
from pathlib import Path

import pytest

import kdbg
from kdbg.triage.report import Report

CORES = Path(__file__).parents[2] / "samples" / "process"


def triage(name: str, folder: Path) -> Report:
    path = folder / name
    path.write_bytes(lzma.decompress((CORES / f"{name}.xz").read_bytes()))
    with kdbg.open(path) as target:
        return target.triage()


def test_a_pointer_cut_to_32_bits_is_told_with_what_it_was(tmp_path: Path) -> None:
    report = triage("cut.core", tmp_path)
    (cut,) = report.found("pointer.cut")
    address, whole = cut.addresses
    assert report.verdict.kind == "crash"
    assert "SIGSEGV" in report.verdict.sentence
    assert address % (1 << 32) == whole % (1 << 32)
    assert address != whole
    assert report.signature.frames == ("fill",)


@pytest.mark.parametrize("name", ["smash.core", "smash32.core", "smash-arm.core"])
def test_a_stack_that_was_written_over_is_told(name: str, tmp_path: Path) -> None:
    report = triage(name, tmp_path)
    (corrupt,) = report.found("stack.corrupt")
    assert corrupt.addresses == (0,)
    assert not report.found("pointer.cut")


def test_the_program_is_part_of_the_signature(tmp_path: Path) -> None:
    one, other = (triage(name, tmp_path).signature for name in ("smash.core", "handler.core"))
    assert one.digest != other.digest


def test_what_a_kernel_leaves_out_of_a_core_is_no_loss(tmp_path: Path) -> None:
    assert not triage("cut.core", tmp_path).found("dump.incomplete")
