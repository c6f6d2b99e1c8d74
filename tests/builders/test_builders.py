"""The builders against facts that do not come from kdbg: headers, ELF as others read it, code as it disassembles."""

from __future__ import annotations

import struct
import subprocess
import sys
from pathlib import Path

import capstone
import pytest
from elftools.elf.elffile import ELFFile

from samples import unpack
from samples.declarations import FIXED, declarations
from samples.layout import Layout
from samples.memory import LONG, PAE, PAGE, Frames, PageTables
from samples.solaris import standard
from samples.xen_core import CONTEXT32, CONTEXT64, context

SIZES = {
    # type: (bytes in 64-bit kernels, in 32-bit ones), by the headers of illumos and Xen
    "modctl_t": (144, 80),
    "struct debug_info": (64, 36),
    "Ehdr": (64, 52),
    "Shdr": (64, 40),
    "struct vcpu_info": (64, 64),
    "struct utsname": (1285, 1285),
    "struct avl_node": (24, 16),
    "avl_tree_t": (40, 20),
    "list_t": (32, 16),
    "kmem_bufctl_t": (24, 12),
    "kmem_bufctl_audit_t": (192, 100),
    "kmem_slab_t": (72, 44),
    "kmem_cpu_cache_t": (64, 60),
    "vmem_seg_t": (232, 120),
    "mblk_t": (64, 32),
    "htable_t": (72, 40),
    "struct regs": (240, 84),
}


@pytest.mark.parametrize("bits", [64, 32])
def test_sizes_as_the_headers_have_them(bits: int) -> None:
    layout = Layout(declarations(bits), bits)
    assert {name: layout.sizeof(name) for name in SIZES} == {n: s[bits == 32] for n, s in SIZES.items()}


def test_offsets_of_the_shared_page() -> None:
    """xen/public/xen.h: pending at 0x800, mask and wall clock behind it."""
    for bits, mask, clock in ((64, 0xA00, 0xC00), (32, 0x880, 0x900)):
        layout = Layout(declarations(bits), bits)
        offsets = [layout.offset("shared_info_t", n) for n in ("evtchn_pending", "evtchn_mask", "wc_version")]
        assert offsets == [0x800, mask, clock]


def test_another_build_moves_every_member_it_may() -> None:
    here, there = Layout(declarations(64), 64), Layout(declarations(64), 64, 5, FIXED)
    moved = 0
    for ctype in here.order:
        if ctype.kind == "struct" and len(ctype.members) > 2:
            name = f"struct {ctype.name}"
            before, after = list(here.members(name)), list(there.members(name))
            assert sorted(n for n, _ in before) == sorted(n for n, _ in after)
            if ctype.name in FIXED:
                assert before == after
            else:
                moved += before != after
    assert moved >= 40


def test_contexts() -> None:
    """vcpu_guest_context: 5168 and 2800 bytes; the registers where public/arch-x86 puts them."""
    wide = context({"rip": 0x1122, "cr3": 0x3344, "user_cr3": 0x5566, "gs_base": 0x77}, 64)
    assert len(wide) == CONTEXT64 == 5168
    assert struct.unpack_from("<Q", wide, 0x208 + 0x80) == (0x1122,)
    assert struct.unpack_from("<4Q", wide, 0x1378) == (0, 0x5566, 0, 0x3344)
    assert struct.unpack_from("<Q", wide, 0x1420) == (0x77,)
    narrow = context({"eip": 0x1122, "cr3": 0x3344, "esp": 0x99}, 32)
    assert len(narrow) == CONTEXT32 == 2800
    assert struct.unpack_from("<I", narrow, 0x204 + 0x20) == (0x1122,)
    assert struct.unpack_from("<I", narrow, 0x204 + 0x2C) == (0x99,)
    assert struct.unpack_from("<I", narrow, 0xA9C + 12) == (0x3344,)


def test_an_elf_core_as_others_read_it(tmp_path: Path) -> None:
    built = standard().build()
    with built.write(tmp_path, "elf").open("rb") as stream:
        elf = ELFFile(stream)
        names = [section.name for section in elf.iter_sections()]
        assert names[1:] == [".shstrtab", ".note.Xen", ".xen_prstatus", ".xen_shared_info", ".xen_pages", ".xen_p2m"]
        table = elf.get_section_by_name(".xen_p2m").data()
        pages = elf.get_section_by_name(".xen_pages")
        assert pages["sh_offset"] % PAGE == 0
        data = pages.data()
        for position, (pfn, mfn) in enumerate(struct.iter_unpack("<QQ", table)):
            assert mfn == built.image.frames.mfn(pfn)
            assert data[position * PAGE : (position + 1) * PAGE] == built.image.frames.pages[pfn]


@pytest.mark.parametrize("paging", [LONG, PAE], ids=["long", "pae"])
def test_entries_hold_machine_frames(paging: object) -> None:
    frames = Frames(paravirtual=True)
    tables = PageTables(frames, paging)  # type: ignore[arg-type]
    pfn = frames.take()
    tables.map(0x400000, pfn, 0x67)
    assert tables.entry(0x400000) == frames.mfn(pfn) << 12 | 0x67
    assert frames.mfn(pfn) != pfn
    assert len({frames.mfn(p) for p in range(0x80, 0x4000)}) == 0x4000 - 0x80


@pytest.mark.parametrize("bits", [64, 32])
def test_return_addresses_stand_behind_calls(bits: int) -> None:
    """Every saved pc is behind a call instruction whose target is the function that stands above it."""
    built = standard(bits).build()
    engine = capstone.Cs(capstone.CS_ARCH_X86, capstone.CS_MODE_64 if bits == 64 else capstone.CS_MODE_32)
    functions = built.image.functions
    for thread in built.planned.threads:
        for newer, older in zip(thread.frames, thread.frames[1:], strict=False):
            function = functions[older.symbol]
            code = built.image.space.read(function.address, function.size)
            instructions = list(engine.disasm(code, function.address))
            assert sum(i.size for i in instructions) == function.size
            call = next(i for i in instructions if i.address + i.size == older.pc)
            assert call.mnemonic == "call"
            assert int(call.op_str, 16) == functions[newer.symbol].address


def test_stacks_end_at_their_top() -> None:
    built = standard().build()
    for thread in built.planned.threads:
        assert all(frame.fp % 16 == 0 for frame in thread.frames)
        assert thread.frames[-1].fp in (thread.stack_top, thread.stack_top - 16)
        fp = thread.frames[0].fp
        for frame in thread.frames[1:]:
            fp, pc = struct.unpack("<QQ", built.image.space.read(fp, 16))
            assert (fp, pc) == (frame.fp, frame.pc)


def test_a_domain_is_built_once() -> None:
    domain = standard()
    assert domain.build() is domain.build()
    with pytest.raises(ValueError, match="built already"):
        domain.thread("late")


def test_unpacking(tmp_path: Path) -> None:
    path = unpack.unpack("xen-tiny.core", tmp_path)
    assert path.stat().st_size == 8367928
    assert unpack.facts("domu32-tools64.elf").name == "domu32.expected.json"
    assert all(unpack.facts(name).exists() for name in unpack.names())
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-m", "samples.unpack", str(tmp_path), "xen-tiny-pvh*"], cwd=root,
                          capture_output=True, text=True, check=True)  # fmt: skip
    assert [Path(line).name for line in done.stdout.split()] == ["xen-tiny-pvh.core", "xen-tiny-pvh32.core"]
