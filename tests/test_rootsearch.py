"""Page tables found in memory that tells nothing: built kernels, and pieces of real ones."""

from __future__ import annotations

import lzma
from collections.abc import Callable
from pathlib import Path

import pytest

import kdbg
from kdbg import rootsearch
from kdbg.convert import convert
from kdbg.formats import open_image
from samples.dump_notes import note
from samples.elf_dump import ElfDump, Load
from samples.solaris import standard

REAL = Path(__file__).parent.parent / "samples" / "real"


def flat(dump: Path, form: str = "raw") -> Path:
    """The memory of a dump and nothing else, beside it."""
    out = dump.with_name(f"{dump.name}.{form}")
    convert(open_image(str(dump)), str(out), form)
    return out


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A small real dump, unpacked."""
    folder = tmp_path_factory.mktemp("real")

    def unpacked(name: str) -> Path:
        (folder / name).write_bytes(lzma.decompress((REAL / f"{name}.xz").read_bytes()))
        return folder / name

    return unpacked


@pytest.mark.parametrize("form", ["raw", "lime", "avml"])
@pytest.mark.parametrize(("bits", "mode"), [(64, "x86-64, 4 levels"), (32, "PAE")])
def test_solaris_is_found_by_what_its_top_table_holds(tmp_path: Path, form: str, bits: int, mode: str) -> None:
    core = standard(bits, False).build().write(tmp_path, "elf")
    with kdbg.open(core) as before, kdbg.open(flat(core, form), raw=form == "raw") as after:
        assert after.found_root is not None
        assert (after.found_root.kernel, after.found_root.space.mode.name) == ("Solaris", mode)
        assert after.bits == bits
        assert list(after.threads()) == list(before.threads()) != []
        assert [t.name for t in after.processes()] == [t.name for t in before.processes()]


def test_linux_of_five_levels_is_found_though_one_below_looks_the_same(real: Callable[[str], Path]) -> None:
    """The table that its top table's last entry leads to maps the image too, by four levels."""
    dump = real("lx61-panic.elf")
    with kdbg.open(dump) as before, kdbg.open(flat(dump, "lime")) as after:
        assert after.found_root.space.mode.name == "x86-64, 5 levels"
        assert after.kernel.release == before.kernel.release
        told = before.image.vmcoreinfo
        top = int(told["SYMBOL(init_top_pgt)"], 16) - 0xFFFFFFFF80000000 + int(told["NUMBER(phys_base)"])
        assert after.found_root.space.root == top


def test_linux_of_32_bits_is_found_by_its_direct_map(real: Callable[[str], Path]) -> None:
    dump = real("lx61-i386.elf")
    with kdbg.open(dump) as before, kdbg.open(flat(dump, "lime")) as after:
        assert (after.bits, after.image.architecture) == (32, "x86")
        assert after.kernel.release == before.kernel.release
        assert after.kernel.banner_at == before.kernel.banner_at


def test_a_given_root_is_taken(tmp_path: Path) -> None:
    core = standard(64, False).build().write(tmp_path, "elf")
    with kdbg.open(core) as before:
        root = before.space.root
    with kdbg.open(flat(core), raw=True, root=root) as after:
        assert (after.found_root.how, after.found_root.kernel, after.space.root) == ("given", "Solaris", root)
    with kdbg.open(core, root=root) as again:
        assert again.kernel is not None


def test_a_given_root_where_nothing_is_is_refused(tmp_path: Path) -> None:
    core = standard(64, False).build().write(tmp_path, "elf")
    with pytest.raises(kdbg.FormatError, match="no page table at 7fff000000"):
        kdbg.open(core, root=0x7FFF000000)


def test_how_far_it_is_is_told(tmp_path: Path) -> None:
    (tmp_path / "mem").write_bytes(bytes(4 << 20))
    lines: list[str] = []
    with kdbg.open(tmp_path / "mem", raw=True, tell=lines.append) as target:
        assert target.kernel is None
    assert any("looking for page tables in memory: 0 MB" in line for line in lines)


def test_memory_full_of_what_looks_like_tables_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every page a top table whose last entry leads to another: none is believed, and few are tried."""
    count = 2000
    words = [bytes(4080) + (3 | (n + 1) % count << 12).to_bytes(8, "little") * 2 for n in range(count)]
    (tmp_path / "mem").write_bytes(b"".join(words))
    tried: list[int] = []
    monkeypatch.setattr(rootsearch, "kernel_seen", lambda space, bits: tried.append(space.root) or "")
    with kdbg.open(tmp_path / "mem", raw=True) as target:
        assert target.found_root is None
    assert len(tried) <= 2 * rootsearch.MOST_CANDIDATES


def test_real_memory_whole(shared_dump: Callable[[str], Path], tmp_path: Path) -> None:
    """All of a guest's memory: tasks and messages as in the dump with registers and notes."""
    pytest.importorskip("cramjam")
    dump = shared_dump("lx61.elf")
    for form in ("raw", "avml"):
        out = tmp_path / form
        convert(open_image(str(dump)), str(out), form)
        with kdbg.open(dump) as before, kdbg.open(out) as after:
            assert after.found_root is not None
            assert after.found_root.how.startswith("found in the first megabyte")
            assert list(after.threads()) == list(before.threads())
            assert list(after.log()) == list(before.log())


def test_an_elf_dump_without_notes_is_looked_through(tmp_path: Path) -> None:
    """As VirtualBox writes it: memory in PT_LOADs, and notes of its own that say nothing to us."""
    core = standard(64, False).build().write(tmp_path, "elf")
    image = open_image(str(core))
    loads = [Load(frame << 12, bytes(image.page(frame) or b"")) for frame in image.pages]
    (tmp_path / "vbox").write_bytes(ElfDump(loads, note("VBCORE", 0xB00, bytes(24))).data())
    with kdbg.open(core) as before, kdbg.open(tmp_path / "vbox") as after:
        assert after.found_root.kernel == "Solaris"
        assert list(after.threads()) == list(before.threads())


def with_kernel_above(domain: Path, below: int) -> bytes:
    """A domain's memory as a file without the hole that the machine has below 4 GB: its last page lies behind it.

    The page is the table of the last GB, moved: only who knows of the hole finds it.
    """
    image = open_image(str(domain))
    with kdbg.open(domain) as target:
        top = target.space.root >> 12
    memory = bytearray(below + 4096)
    for frame in image.pages:
        memory[frame << 12 : (frame << 12) + 4096] = image.page(frame) or b""
    moved = int.from_bytes(memory[(top << 12) + 4088 : (top << 12) + 4096], "little")
    frame = moved & 0xFFFFFFFFFF000
    memory[below:] = memory[frame : frame + 4096]
    memory[frame : frame + 4096] = b"\xa5" * 4096
    for at in range(0, below, 4096):  # all top tables know it by its new place
        if memory[at + 4088 : at + 4096] == moved.to_bytes(8, "little"):
            memory[at + 4088 : at + 4096] = (moved - frame + (1 << 32)).to_bytes(8, "little")
    return bytes(memory)


def test_a_file_without_the_hole_below_4_gb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    core = standard(64, False).build().write(tmp_path, "elf")
    below = 32 << 20
    assert max(open_image(str(core)).pages) << 12 < below
    monkeypatch.setattr(rootsearch, "BELOW", (16 << 20, below))
    (tmp_path / "mem").write_bytes(with_kernel_above(core, below))
    with kdbg.open(core) as before, kdbg.open(tmp_path / "mem", raw=True) as after:
        assert after.image.below == below
        assert list(after.threads()) == list(before.threads()) != []
        assert after.info.details["hole"] == f"from {below:x} to 100000000"
