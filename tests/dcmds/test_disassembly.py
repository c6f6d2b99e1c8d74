"""::dis and the modes of the disassembler."""

from __future__ import annotations

import pytest

from tests.lang.programs import Program, raw, run, session

MAIN = (
    "main:                           pushq  %rbp\n"
    "main+1:                         movq   %rsp,%rbp\n"
    "main+4:                         call   +0x2     <leaf>\n"
    "main+9:                         popq   %rbp\n"
    "main+0xa:                       ret    \n"
)


@pytest.fixture
def program(tmp_path):
    """main: push, mov, call leaf, pop, ret; leaf: ret."""
    return Program().open(tmp_path)


@pytest.mark.parametrize("command", ["main::dis", "::dis main", "::dis 400000", "::dis 0x400000", "main::dis -f"])
def test_a_function_is_shown_whole(program, command):
    assert run(program, command) == MAIN


def test_so_many_instructions(program):
    assert run(program, "main::dis -n 1") == "".join(MAIN.splitlines(keepends=True)[:2])


def test_a_window_begins_at_an_instruction(program):
    assert run(program, "main+4::dis -n 1").splitlines() == MAIN.splitlines()[1:4]


def test_addresses_as_numbers_or_both(program):
    assert run(program, "main::dis -a -n 0") == f"{'400000':32}pushq  %rbp\n"
    assert run(program, "main::dis -b -n 0") == f"{'400000':16}  {'main:':38}pushq  %rbp\n"


def test_dot_is_left_behind_the_last_instruction(program):
    opened, _ = session(program)
    opened.execute("main::dis")
    assert opened.dot == 0x40000B


def test_what_cannot_be_read_is_told(program):
    assert run(program, "500000::dis") == "kdbg: failed to read instruction at 0x500000: no mapping for address\n"


def test_unknown_names(program):
    assert run(program, "::dis nosuch") == "kdbg: symbol 'nosuch' not found\n"


def test_instructions_as_formats(program):
    assert run(program, "main/2i").splitlines() == ["main:", f"{'main:':16}pushq  %rbp", f"{'':16}movq   %rsp,%rbp"]
    assert run(program, "main/I").splitlines()[1] == f"{'main:':16}400000 e5894855: pushq  %rbp"


def test_a_file_of_bytes_is_decoded_only_when_told_how(tmp_path):
    target = raw(tmp_path, bytes.fromhex("5548"))
    assert run(target, "0::dis") == ""
    assert run(target, "::dismode ia32", "0/2i") == (
        f"disassembly mode is ia32 (Intel 32-bit disassembler)\n{'0:':16}pushl  %ebp\n{'':16}decl   %eax\n"
    )


def test_modes(program):
    assert run(program, "$V") == "disassembly mode is amd64 (AMD64 and IA32e 64-bit disassembler)\n"
    assert run(program, "::dismode z80") == "kdbg: failed to set disassembly mode: unknown disassembler name\n"
    assert [line.split()[0] for line in run(program, "::disasms").splitlines()] == ["amd64", "default", "ia16", "ia32"]


def test_a_32_bit_program(tmp_path):
    assert run(Program(bits=32).open(tmp_path), "main/i").endswith("pushl  %ebp\n")
