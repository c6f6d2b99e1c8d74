"""Cores of illumos processes, as samples/illumos_core.py builds them: notes, sections, stacks, types."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from dcmds.texts import said

import kdbg
from kdbg.processcore import ProcessTarget
from samples.illumos_core import ARGUMENTS, DATA, FAULT, LINKER, SHARED, STACK, TEXT, IllumosCore

BITS = [64, 32]


def opened(tmp_path: Path, bits: int, **how: bool) -> tuple[IllumosCore, ProcessTarget]:
    core = IllumosCore(bits, **how)
    target = kdbg.open(core.write(tmp_path / "core"))
    assert isinstance(target, ProcessTarget)
    return core, target


def text(target: ProcessTarget, command: str) -> list[str]:
    return said(target, command).splitlines()


@pytest.mark.parametrize("bits", BITS)
def test_status_is_mdbs(tmp_path: Path, bits: int) -> None:
    _, target = opened(tmp_path, bits)
    assert text(target, "::status") == [
        f"debugging core file of fileserver ({bits}-bit) from fs1",
        "file: /usr/afs/bin/fileserver",
        f"initial argv: {ARGUMENTS}",
        "threading model: native threads",
        f"status: process terminated by SIGSEGV (Segmentation Fault), addr={FAULT[bits]:x}",
    ]


def test_a_core_that_gcore_made_says_so(tmp_path: Path) -> None:
    _, target = opened(tmp_path, 64, gcore=True)
    assert text(target, "::status")[-1] == "status: process core file generated with gcore(1)"


@pytest.mark.parametrize("bits", BITS)
def test_threads_have_registers_names_and_states(tmp_path: Path, bits: int) -> None:
    core, target = opened(tmp_path, bits)
    assert [(one.tid, one.pid, one.name, one.state) for one in target.threads()] == [
        (1, 1234, "fileserver", "O"),
        (2, 1234, "waiter", "S"),
    ]
    for at, planned in enumerate(core.threads, 1):
        assert {name: target.registers(at)[name] for name in planned} == planned
    assert text(target, "$l") == ["1"]
    assert text(target, "$L") == ["lwpids 1 and 2 are in core of process 1234."]
    assert list(target.walk("thread")) == [1, 2]


@pytest.mark.parametrize("bits", BITS)
def test_the_stack_goes_by_frame_pointers(tmp_path: Path, bits: int) -> None:
    _, target = opened(tmp_path, bits)
    assert [(frame.module, frame.symbol, frame.offset) for frame in target.stack()] == [
        ("libc.so.1", "memset", 0x1C),
        ("fileserver", "open_dir", 0x10),
        ("fileserver", "open_file", 0x10),
        ("fileserver", "main", 0x10),
        ("fileserver", "_start", 0x10),
    ]
    arguments = [(), ()] if bits == 64 else [(1, 2), (2, 3)]
    assert [frame.arguments for frame in target.stack()][:2] == arguments
    assert [frame.symbol for frame in target.stack(2)] == ["poll", "_lwp_start"]
    assert all(frame.note is None for frame in target.stack())


@pytest.mark.parametrize("bits", BITS)
def test_a_signals_handler_returns_to_what_it_interrupted(tmp_path: Path, bits: int) -> None:
    _, target = opened(tmp_path, bits, handler=True)
    shown = [(frame.symbol, frame.offset) for frame in target.stack()]
    assert shown == [("on_signal", 4), ("open_dir", 8), ("open_file", 0x10), ("main", 0x10), ("_start", 0x10)]


@pytest.mark.parametrize("bits", BITS)
def test_a_smashed_stack_is_scanned_and_says_so(tmp_path: Path, bits: int) -> None:
    _, target = opened(tmp_path, bits, smashed=True)
    assert text(target, "$c") == ["0x0()", "open_file+0x10()  [scan?]", "main+0x10()  [scan]", "_start+0x10()  [scan]"]


@pytest.mark.parametrize("bits", BITS)
def test_symbols_come_from_the_cores_sections_and_from_memory(tmp_path: Path, bits: int) -> None:
    core, target = opened(tmp_path, bits)
    for name, address in core.symbols.items():
        assert target.symbol(name).address == address
        assert target.symbol_at(address + 1)[0].name == name
    assert target.qualified(target.symbol("main")) == "main"
    assert target.qualified(target.symbol("libc.so.1`memset")) == "libc.so.1`memset"
    assert target.symbol("libc`poll").module == "libc.so.1"
    _, bare = opened(tmp_path, bits, with_sections=False)
    with pytest.raises(kdbg.SymbolNotFound):
        bare.symbol("main")
    assert [frame.symbol for frame in bare.stack()] == ["memset", None, None, None, None]


@pytest.mark.parametrize("bits", BITS)
def test_types_come_from_the_cores_sections(tmp_path: Path, bits: int) -> None:
    _, target = opened(tmp_path, bits)
    assert text(target, "config::print") == ["{", "    next = config", "    value = 0x2a", "}"]
    assert text(target, "opened::print") == ["0x7"]
    assert target.type("struct node").size == 2 * bits // 8
    assert target.type("fileserver`struct node").size == 2 * bits // 8
    _, bare = opened(tmp_path, bits, with_sections=False)
    with pytest.raises(kdbg.TypeNotFound):
        bare.type("struct node")


@pytest.mark.parametrize("bits", BITS)
def test_objects_and_mappings_have_the_dynamic_linkers_names(tmp_path: Path, bits: int) -> None:
    _, target = opened(tmp_path, bits)
    assert [(one.base, one.size, one.name) for one in target.objects()] == [
        (TEXT[bits], 0x1000, "/usr/afs/bin/fileserver"),
        (SHARED[bits], 0x1000, "/lib/libc.so.1"),
        (LINKER[bits], 0x1000, "/lib/ld.so.1"),
    ]
    names = {one.base: one.name for one in target.mappings()}
    assert names[STACK[bits]] == "[ stack ]"
    assert names[DATA[bits]] == "/usr/afs/bin/fileserver"
    assert names[DATA[bits] + 0x1000] == "[ heap ]"


def test_what_the_notes_tell_besides(tmp_path: Path) -> None:
    _, target = opened(tmp_path, 64)
    notes: Any = target.core.notes
    assert (notes.platform, notes.zone, notes.content) == ("i86pc", "global", 0x1BBF)
    assert notes.uname["release"] == "5.11"
    info = target.info
    assert (info.host, info.format) == ("fs1", "core of a process of illumos")
    assert target.run("::status")[0].signal == "SIGSEGV"


def test_the_registers_of_a_thread_are_shown_by_its_id(tmp_path: Path) -> None:
    core, target = opened(tmp_path, 64)
    lines = text(target, "2::regs")
    assert f"%rip = 0x{core.threads[1]['rip']:016x} libc.so.1`poll+0x1a" in lines
    assert text(target, "3::regs") == ["kdbg: failed to get current register set: no thread 3 in the core"]
