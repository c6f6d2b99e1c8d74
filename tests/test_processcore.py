"""Cores of processes: registers, mappings, symbols and stacks as gdb tells them, with programs' files and without."""

from __future__ import annotations

import lzma
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from processes import FILES, process, truth, unpacked

import kdbg
from kdbg.kernels.process.stacks import NULL_CALL, SIGNAL, UNCHECKED
from kdbg.kernels.stackscan import CALL, CALLED
from kdbg.processcore import ProcessTarget

NAMES = {"fs_base": "fsbase", "gs_base": "gsbase", "eflags": "rflags"}
GDBS_OWN = {"k0", "k1", "k2", "k3", "k4", "k5", "k6", "k7"}


def bits(found: ProcessTarget) -> int:
    return (1 << found.bits) - 1


@pytest.mark.parametrize("name", FILES)
def test_registers_of_every_thread_are_gdbs(name: str) -> None:
    found = process(name)
    threads = {thread.tid: thread for thread in found.threads()}
    told = truth()[name]["threads"]
    assert set(threads) == {one["tid"] for one in told}
    for one in told:
        registers = found.registers(threads[one["tid"]])
        for register, value in one["registers"].items():
            ours = NAMES.get(register, register) if found.bits == 64 else register
            if register not in GDBS_OWN:
                assert registers[ours] == value & bits(found), register


@pytest.mark.parametrize("name", FILES)
def test_mappings_of_files_are_gdbs(name: str) -> None:
    found = process(name)
    ours = [
        [one.base, one.base + one.size, os.path.basename(one.name)] for one in found.mappings() if one.name[0] == "/"
    ]
    assert ours == [[start, end, file] for start, end, _, file in truth()[name]["mappings"]]


@pytest.mark.parametrize("name", FILES)
def test_program_signal_and_address_are_gdbs(name: str) -> None:
    found, told = process(name), truth()[name]
    (status,) = found.run("::status")
    assert (status.pid, status.arguments) == (told["pid"], told["arguments"])
    if told["address"] is not None:
        assert status.address == told["address"] & bits(found)
    assert found.lwp().signal == told["signal"]


@pytest.mark.parametrize("name", FILES)
def test_symbols_are_where_gdb_finds_them(name: str) -> None:
    found = process(name)
    for symbol, address in truth()[name]["symbols"].items() if FILES[name] else ():
        assert found.symbol(symbol).address == address & bits(found)
        assert found.symbol_at(found.symbol(symbol).address)[0].name == symbol


EXACT = ("cut", "bare", "bare32", "handler", "whole", "gcore", "bare-arm")


@pytest.mark.parametrize("name", EXACT)
def test_stacks_are_gdbs(name: str) -> None:
    frames = process(name).stack()
    told = truth()[name]["threads"][0]["frames"]
    assert [frame.pc for frame in frames] == [pc for pc, _ in told]
    for frame, (_, function) in zip(frames, told, strict=True):
        if function == "<signal>":
            assert frame.note == SIGNAL
        else:
            assert frame.symbol == function


@pytest.mark.parametrize("name", ["cut", "whole"])
def test_stacks_without_any_file_have_the_same_places(name: str) -> None:
    told = [pc for pc, _ in truth()[name]["threads"][0]["frames"]]
    assert [frame.pc for frame in process(name, with_files=False).stack()] == told


def test_a_shared_objects_names_are_found_in_its_memory() -> None:
    frame = process("cut", with_files=False).stack()[0]
    assert (frame.module, frame.symbol, frame.offset) == ("libtable.so.1", "fill", 0x28)


@pytest.mark.parametrize("name", ["smash", "smash32", "smash-arm"])
def test_a_smashed_stack_is_scanned_and_says_so(name: str) -> None:
    first, *guessed = process(name).stack()
    assert first.pc == 0
    callers = [] if name == "smash-arm" else ["serve"]
    assert [frame.symbol for frame in guessed] == [*callers, "main", "_start"]
    assert [frame.note for frame in guessed] == [CALL] + [CALLED] * (len(guessed) - 1)


@pytest.mark.parametrize("name", ["smash", "smash32", "smash-arm"])
def test_a_smashed_stack_is_scanned_without_the_program_too(name: str) -> None:
    whole = {frame.pc for frame in process(name).stack()}
    guessed = process(name, with_files=False).stack()[1:]
    assert {frame.note for frame in guessed} == {UNCHECKED}
    assert whole - {0} <= {frame.pc for frame in guessed}


def test_a_call_through_a_null_pointer_has_a_caller() -> None:
    first, second, *_ = process("handler").stack()
    assert (first.pc, first.note) == (0, NULL_CALL)
    assert second.symbol == "notify"


def test_threads_have_their_states() -> None:
    found = process("threads")
    assert [thread.state for thread in found.threads()] == ["terminated", "stopped", "stopped"]
    assert {thread.pid for thread in found.threads()} == {truth()["threads"]["pid"]}
    assert {thread.name for thread in found.threads()} == {"threads"}


# files


def test_text_that_the_core_left_out_comes_from_the_file() -> None:
    with process("cut", with_files=False) as alone, pytest.raises(kdbg.ReadError, match="left out of the core"):
        alone.read(truth()["cut"]["symbols"]["main"], 4)
    assert process("cut").read(truth()["cut"]["symbols"]["main"], 4) == b"\x55\x48\x89\xe5"


def test_status_says_that_the_program_is_not_there() -> None:
    (alone,), (both,) = process("cut", with_files=False).run("::status"), process("cut").run("::status")
    assert alone.notes[-1].startswith("the file of the program is not here")
    assert "`kdbg cut.core PROGRAM`" in alone.notes[-1]
    assert both.notes == ()


def test_a_file_of_another_build_is_named_and_not_read(tmp_path: Path) -> None:
    other = tmp_path / "cut"
    data = bytearray(Path(unpacked("cut")).read_bytes())
    at = data.index(b"GNU\0", data.index(b"\x04\0\0\0\x14\0\0\0\x03\0\0\0")) + 4
    data[at] ^= 1
    other.write_bytes(data)
    process("cut", with_files=False)
    found = kdbg.open(unpacked("cut.core"), other)
    assert isinstance(found, ProcessTarget)
    with pytest.raises(kdbg.ReadError):
        found.read(truth()["cut"]["symbols"]["main"], 4)
    assert any("is not used: it has build id" in note for note in found.notes)


def test_files_that_belong_to_nothing_are_named(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no program")
    found = kdbg.open(unpacked("cut.core"), unpacked("cut"), unpacked("smash"), tmp_path / "text")
    assert isinstance(found, ProcessTarget)
    assert found.stack()[1].symbol == "open_internal"
    assert [note.partition(" is not used: ")[2][:20] for note in found.notes] == [
        "it is no ELF file",
        "nothing in the core ",
    ]


def test_the_program_may_come_first_and_the_core_be_packed(tmp_path: Path) -> None:
    packed = tmp_path / "core.xz"
    packed.write_bytes(lzma.compress(Path(unpacked("smash.core")).read_bytes()))
    found = kdbg.open(unpacked("smash"), packed)
    assert isinstance(found, ProcessTarget)
    assert found.symbol("main").address == truth()["smash"]["symbols"]["main"]


def test_memory_that_was_not_mapped_is_refused() -> None:
    with pytest.raises(kdbg.ReadError, match="no mapping for address"):
        process("smash").read(0, 1)


def test_a_process_has_no_pages(tmp_path: Path) -> None:
    from kdbg.formats import open_image

    with pytest.raises(kdbg.FormatError, match="core of a process, not of a machine"):
        open_image(unpacked("cut.core"))


# the language


def text(name: str, *commands: str, alone: bool = False) -> str:
    files = [] if alone else [unpacked(file) for file in FILES[name]]
    done = subprocess.run(
        [sys.executable, "-m", "kdbg.cli", unpacked(f"{name}.core"), *files],
        input="\n".join(commands) + "\n",
        capture_output=True,
        text=True,
    )
    return done.stdout


def test_status_has_mdbs_form() -> None:
    assert text("cut", "::status").splitlines() == [
        "debugging core file of cut (64-bit) from unknown machine",
        "file: /tmp/samples/cut",
        "initial argv: ./cut some argument",
        "threading model: native threads",
        f"status: process terminated by SIGSEGV (Segmentation Fault), addr={truth()['cut']['address']:x}",
    ]
    pid = truth()["threads"]["pid"]
    assert (
        text("threads", "::status")
        .splitlines()[4]
        .startswith(f"status: process terminated by SIGABRT (Abort), pid={pid} uid=0")
    )


def test_stacks_have_mdbs_form() -> None:
    assert text("cut", "$c") == (
        "libtable.so.1`fill+0x28()\nopen_internal+0x50()\nopen_file+0x1d()\nmain+0x2e()\n_start+0x14()\n"
    )
    assert text("smash", "::stack") == "0x0()\nserve+0x10()  [scan?]\nmain+0x11()  [scan]\n_start+0x14()  [scan]\n"
    rbp = process("cut").registers()["rbp"]
    assert text("cut", "$C").splitlines()[0] == f"{rbp:016x} libtable.so.1`fill+0x28()"
    assert "order+0x23(" in text("bare32", "$c")


def test_a_stack_may_begin_at_a_frame_pointer() -> None:
    frames = process("cut").stack()
    shown = [frame.symbol for frame in process("cut").run(f"{frames[1].sp:x}::stack")]
    assert shown == ["open_file", "main", "_start"]


def test_a_stack_may_be_a_threads() -> None:
    found = process("threads", with_files=False)
    for thread in found.threads():
        (first, *_) = found.run(f"0t{thread.tid}::stack")
        assert first.pc == found.registers(thread)["rip"]
    assert len(found.run("::threads | ::findstack")) == 3


def test_disassembly_shows_the_pointer_that_was_cut() -> None:
    lines = [line.split()[1:] for line in text("cut", "open_internal::dis").splitlines()]
    call = next(at for at, words in enumerate(lines) if words[0] == "call")
    assert lines[call + 1] == ["cltq"]


def test_registers_are_variables_and_memory_has_formats() -> None:
    registers = process("cut").registers()
    assert text("cut", "<rip=K", "<eax=X").split() == [f"{registers['rip']:x}", f"{registers['rax'] & 0xFFFFFFFF:x}"]
    assert text("cut", "opened/D").split() == ["opened:", "opened:", "1"]


def test_mappings_objects_and_threads_are_listed() -> None:
    shown = text("cut", "::mappings", "$l", "$L", "::objects")
    assert "[ stack ]" in shown
    assert f"\n{truth()['cut']['pid']}\n" in shown
    assert "is the only lwp in core of process" in shown
    (first, *_) = process("cut").run("::objects -v")
    assert (first.base, first.file) == (truth()["cut"]["mappings"][0][0], unpacked("cut"))
    assert len(first.build_id) == 40


def test_registers_have_mdbs_form() -> None:
    registers = process("cut").registers()
    lines = text("cut", "::regs").splitlines()
    assert lines[0].split() == ["%rax", "=", f"0x{registers['rax']:016x}", "%r8", "=", f"0x{registers['r8']:016x}"]
    assert f"%rip = 0x{registers['rip']:016x} libtable.so.1`fill+0x28" in lines
    assert f"   %esp = 0x{process('smash32').registers()['esp']:08x}" in text("smash32", "$r").splitlines()


def test_info_says_what_it_is() -> None:
    found: Any = process("cut").info
    assert (found.format, found.bits, found.architecture) == ("core of a process of Linux", 64, "x86-64")
    done = subprocess.run(
        [sys.executable, "-m", "kdbg.cli", "info", unpacked("cut.core")], capture_output=True, text=True
    )
    assert "core of a process of Linux" in done.stdout
