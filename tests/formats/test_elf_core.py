"""ELF dumps of machines: layouts of every writer, overlaps, exclusions, registers of three machines."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from formats.dumps import PAGE, holds, misses, opened, page, pages
from hypothesis import given, settings
from hypothesis import strategies as st

import kdbg
from samples.dump_notes import EM_386, EM_AARCH64, EM_X86_64, note, notes, status
from samples.elf_dump import ElfDump, Load

INFO = {"OSRELEASE": "6.1.0-sample", "PAGESIZE": "4096", "CRASHTIME": "1700000000"}


def run(first: int, count: int) -> bytes:
    """Pages that follow each other, as one range."""
    return b"".join(page(frame) for frame in range(first, first + count))


def frames(first: int, count: int) -> dict[int, bytes]:
    """The same by frame."""
    return pages(*range(first, first + count))


@pytest.mark.parametrize("bits", [64, 32])
@pytest.mark.parametrize("qemu", [False, True])
@pytest.mark.parametrize("unaligned", [0, 1, 0x4A0, 0x4C4])
@pytest.mark.parametrize("many", [False, True])
def test_every_layout(tmp_path: Path, bits: int, qemu: bool, unaligned: int, many: bool) -> None:
    """QEMU's header of 8 bytes with section headers before the program headers; memory at odd places of the file."""
    loads = [Load(0x100000, run(0x100, 5)), Load(0x1000, run(1, 2)), Load(0xFFFC0000, run(0xFFFC0, 3))]
    machine = EM_X86_64 if bits == 64 else EM_386
    dump = ElfDump(loads, notes(machine, [{"rip": 7, "eip": 7}], INFO), machine, bits, qemu, unaligned, many)
    image = opened(tmp_path / "dump", dump.data())
    holds(image, frames(0x100, 5) | frames(1, 2) | frames(0xFFFC0, 3))
    assert dict(image.vmcoreinfo) == INFO
    told = image.describe()
    assert (told.cpus, told.bits, told.complete, told.time) == (1, bits, True, 1_700_000_000.0)
    misses(image, 0x50, "does not hold")


def test_more_segments_than_the_header_can_count(tmp_path: Path) -> None:
    """PN_XNUM: 70,000 program headers."""
    loads = [Load(frame * 2 * PAGE, b"", memory=PAGE) for frame in range(70_000)]
    loads[69_999] = Load(69_999 * 2 * PAGE, page(5))
    image = opened(tmp_path / "dump", ElfDump(loads, many=True).data())
    assert list(image.pages) == [69_999 * 2]
    assert bytes(image.page(69_999 * 2) or b"") == page(5)
    misses(image, 2, "excluded")


def test_memory_that_was_excluded(tmp_path: Path) -> None:
    """makedumpfile -E: p_memsz is more than p_filesz, or p_filesz is 0."""
    loads = [Load(0x10000, run(0x10, 2), memory=5 * PAGE), Load(0x20000, b"", memory=3 * PAGE)]
    image = opened(tmp_path / "dump", ElfDump(loads).data())
    holds(image, frames(0x10, 2))
    misses(image, 0x12, "excluded")
    misses(image, 0x21, "excluded")
    misses(image, 0x15, "does not hold")
    told = image.describe()
    assert (told.missing, told.missing_why, told.memory_size) == (6, {"excluded": 6}, 8 * PAGE)
    assert told.complete


def test_memory_that_was_excluded_up_to_within_a_page(tmp_path: Path) -> None:
    """As makedumpfile leaves out the memory below 640K, which ends in a page: that page counts as excluded too."""
    dump = ElfDump([Load(0, b"", memory=0x9FC00), Load(0x100000, run(0x100, 2))])
    told = opened(tmp_path / "dump", dump.data()).describe()
    assert (told.pages, told.missing, told.missing_why) == (2, 160, {"excluded": 160})


def test_a_32_bit_file_with_the_64_bit_size_of_program_headers(tmp_path: Path) -> None:
    """As test dumps of other projects have it; the file ends behind headers of 32 bytes."""
    data = bytearray(ElfDump([Load(0x1000, memory=0x1000)], machine=EM_386, bits=32).data())
    data[42:44] = (56).to_bytes(2, "little")
    image = opened(tmp_path / "dump", bytes(data))
    misses(image, 1, "excluded")


def test_segments_that_overlap(tmp_path: Path) -> None:
    """The kernel's text twice; QEMU's mappings, several of one range; each page counts once."""
    loads = [
        Load(0, run(0, 16)),
        Load(0x4000, run(4, 3), virtual=0xFFFFFFFF81000000),
        Load(0x2000, virtual=0x7F0000000000, same_as=1, memory=PAGE),
        Load(0xE000, run(14, 6)),
    ]
    loads[2] = Load(0x4000, virtual=0x7F0000000000, same_as=1)
    image = opened(tmp_path / "dump", ElfDump(loads).data())
    holds(image, frames(0, 20))
    assert image.describe().memory_size == 20 * PAGE


def test_a_segment_within_an_excluded_one(tmp_path: Path) -> None:
    loads = [Load(0, b"", memory=10 * PAGE), Load(0x3000, run(3, 2))]
    image = opened(tmp_path / "dump", ElfDump(loads).data())
    holds(image, frames(3, 2))
    misses(image, 2, "excluded")


def test_memory_that_ends_within_a_page(tmp_path: Path) -> None:
    """Firmware's map ends where it likes: what is not memory reads as 0, parts are joined."""
    first, second = bytes(range(1, 201)) * 21, b"\x77" * 0x800
    loads = [Load(0x1000, run(1, 1) + first[:0xC00]), Load(0x2C00, second[:0x400]), Load(0x5100, second[:0x700])]
    image = opened(tmp_path / "dump", ElfDump(loads).data())
    holds(image, {
        1: page(1), 2: first[:0xC00] + second[:0x400], 5: bytes(0x100) + second[:0x700] + bytes(0x800),
    })  # fmt: skip
    misses(image, 3, "does not hold")


def test_cut_off(tmp_path: Path) -> None:
    whole = ElfDump([Load(0, run(0, 4)), Load(0x10000, run(16, 4))]).data()
    image = opened(tmp_path / "dump", whole[: -2 * PAGE + 9])
    told = image.describe()
    assert (told.complete, told.missing, told.missing_why) == (False, 2, {"cut off": 2})
    assert "cut off: memory from 0x10000" in told.damage[0]
    for frame in (0, 1, 2, 3, 16, 17):
        assert bytes(image.page(frame) or b"") == page(frame)
    misses(image, 19, "cut off")


# --- notes ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("machine", [EM_X86_64, EM_386, EM_AARCH64])
def test_registers_of_every_machine(tmp_path: Path, machine: int) -> None:
    choose, names = random.Random(machine), {
        EM_X86_64: ["r15", "rbp", "rax", "rip", "cs", "rflags", "rsp", "ss", "fs_base", "gs_base", "gs"],
        EM_386: ["ebx", "ebp", "eax", "eip", "eflags", "esp", "ss", "gs"],
        EM_AARCH64: ["x0", "x7", "x29", "x30", "sp", "pc", "pstate"],
    }[machine]  # fmt: skip
    cpus = [{name: choose.getrandbits(31) for name in names} for _ in range(5)]
    told = notes(machine, cpus, INFO) + note("LINUX", 0x202, bytes(64)) + note("CORE", 2, bytes(0x210))
    dump = ElfDump([Load(0, page(0))], told, machine, 32 if machine == EM_386 else 64)
    image = opened(tmp_path / "dump", dump.data())
    assert [{name: cpu[name] for name in names} for cpu in image.contexts] == cpus
    assert [cpu["pid"] for cpu in image.contexts] == [1, 2, 3, 4, 5]
    assert image.architecture == {EM_X86_64: "x86-64", EM_386: "x86", EM_AARCH64: "arm64"}[machine]


def test_a_32_bit_machine_in_a_64_bit_file(tmp_path: Path) -> None:
    """QEMU takes a 64-bit file where memory reaches 4 GiB."""
    dump = ElfDump([Load(0, page(0))], notes(EM_386, [{"eip": 0xC1234567}]), EM_386, 64, qemu=True)
    image = opened(tmp_path / "dump", dump.data())
    assert (image.bits, image.contexts[0]["eip"]) == (32, 0xC1234567)


def test_qemu_s_cpu_states(tmp_path: Path) -> None:
    cpus = [{"rip": 0x1000 + at, "cr0": 0x80050033, "cr3": 0x5000 + at, "cr4": 0x1020, "idt_base": 0xFFFFFE0000000000,
             "kernel_gs_base": 0xFFFF888000000000} for at in range(3)]  # fmt: skip
    image = opened(tmp_path / "dump", ElfDump([Load(0, page(0))], notes(EM_X86_64, cpus, qemu=True), qemu=True).data())
    assert [{name: cpu[name] for name in cpus[0]} for cpu in image.contexts] == cpus
    assert "QEMU" in image.describe().format


def test_notes_that_are_cut_or_short(tmp_path: Path) -> None:
    short = note("CORE", 1, bytes(100)) + status(EM_X86_64, {"rip": 5}) + note("VMCOREINFO", 0, b"=x\nA=1\nodd\n B=2\n")
    image = opened(
        tmp_path / "dump", ElfDump([Load(0, page(0))], short + b"\x04\0\0\0\xff\xff\xff\x7f\x01\0\0\0").data()
    )
    assert [cpu.get("rip") for cpu in image.contexts] == [None, 5]
    assert dict(image.vmcoreinfo) == {"A": "1"}


def test_the_core_of_a_process_is_no_machine(tmp_path: Path) -> None:
    from kdbg.formats.elf_core import ElfCore
    from kdbg.formats.source import Source

    told = status(EM_X86_64, {"rip": 5}, 1234) + note("CORE", 3, bytes(136))
    data = ElfDump([Load(0, page(0))], told).data()
    assert "core of a process" in str(ElfCore.recognises(Source.of_bytes("core", data)))


@pytest.mark.parametrize(
    ("at", "value", "words"),
    [
        (4, 3, "ELF class is 3"),
        (5, 2, "encoding is 2"),
        (18, 40, "machine 40"),
        (16, 2, "type 2"),
        (32, 255, "cut off"),
    ],
)
def test_what_is_wrong_with_a_header_is_said(tmp_path: Path, at: int, value: int, words: str) -> None:
    whole = bytearray(ElfDump([Load(0, page(0))]).data())
    whole[at] = value
    if at == 32:
        whole[at + 6] = value
    with pytest.raises(kdbg.FormatError, match=words) as caught:
        opened(tmp_path / "dump", bytes(whole))
    assert str(tmp_path / "dump") in str(caught.value)


def test_a_segment_that_all_others_lie_in_costs_nothing(tmp_path: Path) -> None:
    """Look-ups do not go through the segments one by one."""
    loads = [
        Load(0, run(0, 2), memory=1 << 40),
        *(Load(0x100000 + at * 4 * PAGE, b"", memory=PAGE) for at in range(9000)),
    ]
    image = opened(tmp_path / "dump", ElfDump(loads).data())
    for _ in range(20_000):
        assert image.page(0x90000) is None
    misses(image, 0x90000, "excluded")


@st.composite
def memories(draw: st.DrawFn) -> list[Load]:
    """Segments over a small memory, overlapping at will; each page's bytes are those of its frame."""
    found = []
    for _ in range(draw(st.integers(1, 8))):
        first, held = draw(st.integers(0, 40)), draw(st.integers(0, 6))
        found.append(Load(first * PAGE, run(first, held), memory=(held + draw(st.integers(0, 4))) * PAGE))
    return found


@settings(max_examples=80, deadline=None)
@given(memories(), st.sampled_from([64, 32]), st.booleans(), st.integers(0, 4095), st.booleans())
def test_any_dump_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, loads: list[Load], bits: int, qemu: bool, unaligned: int, many: bool
) -> None:
    machine = EM_X86_64 if bits == 64 else EM_386
    dump = ElfDump(loads, notes(machine, [{}]), machine, bits, qemu, unaligned, many)
    image = opened(tmp_path_factory.mktemp("any") / "dump", dump.data())
    held = {load.address // PAGE + at for load in loads for at in range(len(load.data) // PAGE)}
    told = {load.address // PAGE + at for load in loads for at in range((load.memory or 0) // PAGE)}
    holds(image, pages(*held))
    for frame in told - held:
        misses(image, frame, "excluded")
    described = image.describe()
    assert (described.memory_size, described.missing) == (len(told) * PAGE, len(told - held))
