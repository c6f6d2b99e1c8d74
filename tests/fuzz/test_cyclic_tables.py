"""Page tables whose entries all lead back to themselves: 512 to the fifth leaves, and no command walks them all."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from fuzz.mutations import StrictSession, watchdog

import kdbg
from kdbg.dump import Dump
from kdbg.lang.output import ListSink
from samples.dump_notes import EM_386, EM_AARCH64, EM_X86_64, notes
from samples.elf_dump import ElfDump, Load

PAGE = 4096
X86_64 = {"rip": 0xFFFFFFFF81000000, "rsp": 0xFFFFFFFF81000000, "cr0": 0x80050033, "cr3": 0x1000, "cr4": 0x20}
I386 = {"eip": 0xC1000000, "esp": 0xC1000000, "cr0": 0x80050033, "cr3": 0x1000, "cr4": 0}
MACHINES = {
    "x86-64": (EM_X86_64, X86_64, "Q", 0x1067),
    "x86-64-five-levels": (EM_X86_64, X86_64 | {"cr4": 0x1020}, "Q", 0x1067),
    "x86-64-large": (EM_X86_64, X86_64, "Q", 0x10E7),
    "i386": (EM_386, I386, "I", 0x1067),
    "pae": (EM_386, I386 | {"cr4": 0x20}, "Q", 0x1067),
    "arm64": (EM_AARCH64, {"pc": 0xFFFF800010000000, "sp": 0xFFFF800010000000}, "Q", 0x1703),
}
INFO = {"OSRELEASE": "6.1.0", "PAGESIZE": "4096", "NUMBER(phys_base)": "0"}
TABLES = {
    "told": INFO | {"SYMBOL(swapper_pg_dir)": "ffffffff81001000", "SYMBOL(_stext)": "ffffffff81000000"},
    "searched": {},
}
COMMANDS = (
    "::status", "::cpuregs -c 0", "::cpustack -c 0", "0::ptwalk", "$c",
    "ffffffff81000000::ptwalk", "::threadlist", "::ps", "::msgbuf", "::modinfo", "linux_banner/s", "<rip::dis",
    "<rip::whatis", "::mappings", "0,1000::dump", "::walk thread", "ffffffff81000000,1000/J",
)  # fmt: skip


def dump(path: Path, machine: str, info: dict[str, str]) -> Path:
    number, registers, form, entry = MACHINES[machine]
    table = struct.pack(f"<{PAGE // struct.calcsize(form)}{form}", *[entry] * (PAGE // struct.calcsize(form)))
    told = notes(number, [registers], info, qemu=number != EM_AARCH64)
    return ElfDump([Load(PAGE, table), Load(2 * PAGE, bytes(PAGE))], told, number).write(path)


@pytest.mark.parametrize("tables", TABLES)
@pytest.mark.parametrize("machine", MACHINES)
def test_no_command_walks_round_and_round(tmp_path: Path, machine: str, tables: str) -> None:
    path = dump(tmp_path / "dump", machine, TABLES[tables])
    with kdbg.open(path) as target:
        session = StrictSession(target, ListSink(), ListSink())
        for command in COMMANDS:
            with watchdog():
                session.execute(command)


@pytest.mark.parametrize("machine", MACHINES)
def test_a_scan_ends(tmp_path: Path, machine: str) -> None:
    with kdbg.open(dump(tmp_path / "dump", machine, {})) as target, watchdog():
        StrictSession(target, ListSink(), ListSink()).execute("::ptescan")


@pytest.mark.parametrize("machine", ["x86-64", "pae", "i386"])
def test_a_walk_ends_at_the_lowest_level(tmp_path: Path, machine: str) -> None:
    with kdbg.open(dump(tmp_path / "dump", machine, {})) as target:
        assert isinstance(target, Dump)
        found = target.space.walk(0x12345)
        assert (found.page_address, found.level) == (PAGE, 0)
        assert len(found.steps) == len(target.space.mode.levels)
