"""Damaged cores: what is left is answered, and what is lost is told."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import kdbg
from samples.memory import PAGE
from samples.solaris import Domain, SolarisDomain, standard
from samples.xen_core import ElfShape


@pytest.fixture(scope="module")
def built() -> Domain:
    """The standard domain, undamaged."""
    return standard().build()


@pytest.fixture
def core(built: Domain, tmp_path: Path) -> Path:
    """As an old core."""
    return built.write(tmp_path, "xc_core")


@pytest.fixture
def elf(built: Domain, tmp_path: Path) -> Path:
    """As an ELF core of old writers: the frame table before the pages, so that a cut costs pages only."""
    return built.write(tmp_path, "elf", shape=ElfShape(frames_first=True))


def cut(path: Path, size: int) -> Path:
    """Cut a file short."""
    with path.open("r+b") as file:
        file.truncate(size)
    return path


def overwrite(path: Path, offset: int, data: bytes) -> Path:
    """Overwrite bytes of a file."""
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(data)
    return path


def told_of_damage(path: Path) -> bool:
    """Whether a damaged file opens and says what is wrong, or is refused in one line that names it."""
    try:
        with kdbg.open(path) as target:
            return bool(target.info.damage)
    except kdbg.FormatError as error:
        return str(path) in str(error) and "\n" not in str(error)


# --- cut short ------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["xc_core", "elf"])
@pytest.mark.parametrize("pages", [1, 10, 60])
def test_pages_that_are_cut_off(built: Domain, tmp_path: Path, form: str, pages: int) -> None:
    path = built.write(tmp_path, form, shape=ElfShape(frames_first=True))
    cut(path, path.stat().st_size - pages * PAGE + 100)
    frames = built.image.frames
    lost = sorted(frames.pages)[-pages:]
    with kdbg.open(path) as target:
        assert not target.info.complete
        assert any("cut off" in sentence for sentence in target.info.damage)
        assert target.info.missing >= pages
        assert set(target.pages) == set(frames.pages) - set(lost)
        kept = sorted(frames.pages)[-pages - 1]
        assert target.read_physical(kept * PAGE, PAGE) == frames.pages[kept]
        with pytest.raises(kdbg.Missing, match="cut off"):
            target.read_physical(lost[0] * PAGE, 1)
        assert target.pfn_to_mfn(lost[0]) == frames.mfn(lost[0])


def test_registers_are_left_where_names_and_frame_table_are_cut_off(built: Domain, tmp_path: Path) -> None:
    """Xen 4 writes both behind the pages: without them no page can be found, but the contexts lie before."""
    path = built.write(tmp_path, "elf")
    cut(path, path.stat().st_size // 2)
    with kdbg.open(path) as target:
        assert [cpu.registers["rip"] for cpu in target.cpus()] == [c.registers["rip"] for c in built.planned.cpus]
        assert len(target.pages) == 0
        assert any(".xen_p2m" in sentence for sentence in target.info.damage)
        assert any("names" in sentence for sentence in target.info.damage)


def test_cut_within_the_names(built: Domain, tmp_path: Path) -> None:
    """Nothing but names is lost: everything else is found by its form."""
    path = built.write(tmp_path, "elf")
    cut(path, path.stat().st_size - 40)
    with kdbg.open(path) as target:
        assert target.info.host == "builder"
        assert set(target.pages) == set(built.image.frames.pages)
        assert not target.info.complete


@pytest.mark.parametrize("form", ["xc_core", "elf"])
def test_cut_at_every_kind_of_place(built: Domain, tmp_path: Path, form: str) -> None:
    """Whatever remains, it opens in part or says in one sentence why not."""
    whole = built.write(tmp_path, form).read_bytes()
    path = tmp_path / "cut"
    sizes = {0, 1, 3, 4, 16, 23, 24, 63, 64, 100, 400, 0x200, 0x700, 6000, 12000, len(whole) - 40}
    for size in sorted(sizes | set(range(0, len(whole), len(whole) // 40))):
        path.write_bytes(whole[:size])
        assert told_of_damage(path)


def test_a_cut_off_page_table_is_told_apart_from_unmapped(built: Domain, tmp_path: Path) -> None:
    path = built.write(tmp_path, "xc_core")
    last = max(built.image.frames.pages)
    mapped = {pfn: page for page, pfn in built.image.space.pages.items()}
    tables = set(built.image.tables.tables.values())
    position = next(pfn for pfn in range(last, 0, -1) if pfn in mapped and pfn not in tables)
    cut(path, path.stat().st_size - (last - position + 1) * PAGE)
    with kdbg.open(path) as target:
        found = target.translate(mapped[position] * PAGE)
        assert found.pfn == position
        assert found.missing is not None
        assert "cut off" in found.missing
        with pytest.raises(kdbg.Missing):
            target.read(mapped[position] * PAGE, 1)


# --- headers that lie -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("field", "value"),
    [(4, 0xFFFFFFFF), (4, 0x10000), (8, 0xFFFFFFFF), (12, 0xFFFFFFF0), (16, 0xFFFFFFF0), (16, 0), (20, 0xFFFFFFFF)],
)  # fmt: skip
def test_an_old_header_that_lies(core: Path, field: int, value: int) -> None:
    overwrite(core, field, struct.pack("<I", value))
    assert told_of_damage(core)


@pytest.mark.parametrize(
    ("field", "value"),  # of e_shoff, e_shnum, e_shstrndx
    [(0x28, 0), (0x28, 1), (0x28, 0xFFFF), (0x3C, 1), (0x3C, 3), (0x3E, 0), (0x3E, 5), (0x3E, 0xFFFF)],
)  # fmt: skip
def test_an_elf_header_that_lies(elf: Path, field: int, value: int) -> None:
    overwrite(elf, field, struct.pack("<H", value))
    with pytest.raises(kdbg.FormatError) as raised:
        kdbg.open(elf)
    assert raised.value.file == str(elf)


@pytest.mark.parametrize("name", [".note.Xen", ".xen_pages", ".xen_p2m"])
def test_a_section_that_is_not_there_is_named(built: Domain, tmp_path: Path, name: str) -> None:
    path = built.write(tmp_path, "elf", shape=ElfShape(without=frozenset({name})))
    with pytest.raises(kdbg.FormatError):
        kdbg.open(path)


def test_a_count_of_contexts_that_the_section_does_not_hold(built: Domain, tmp_path: Path) -> None:
    """The number of contexts is that of the section; the note's is a claim."""
    path = built.write(tmp_path, "elf", shape=ElfShape(vcpus=0xFFFFFFFFFFFF))
    with kdbg.open(path) as target:
        assert len(target.cpus()) == len(built.planned.cpus)


def test_notes_of_others_are_passed_over(built: Domain, tmp_path: Path) -> None:
    shape = ElfShape(extra_note=("Other", 0x2000001, b"not a header"))
    with kdbg.open(built.write(tmp_path, "elf", shape=shape)) as target:
        assert target.info.host == "builder"


# --- memory that lies -----------------------------------------------------------------------------


def chain(count: int = 8) -> SolarisDomain:
    """A domain with threads in a row."""
    domain = SolarisDomain()
    for number in range(count):
        domain.thread(f"t{number}")
    return domain


def test_a_cyclic_list_of_threads_ends(open_domain: Callable[..., Any]) -> None:
    damaged = chain().build()
    damaged.link("t6", "t_next", "t3")
    opened = open_domain(damaged)
    before = [t.address for t in damaged.planned.threads]
    assert [t.address for t in opened.threads()] == before[: 1 + 7]
    assert any("leads back" in note for note in opened.notes)


def test_a_link_to_nowhere_ends_the_list_and_is_told(open_domain: Callable[..., Any]) -> None:
    damaged = chain().build()
    third = damaged.planned.thread("t3").address
    damaged.structure("kthread_t", third)["t_next"] = 0xFFFFFF0000001230
    opened = open_domain(damaged)
    found, failure = [], None
    try:
        found.extend(t.address for t in opened.threads())
    except kdbg.Error as error:
        failure = error
    assert found in ([], [t.address for t in damaged.planned.threads[:5]])
    assert failure or opened.notes


def test_a_page_left_out_is_missing_not_unmapped(open_domain: Callable[..., Any]) -> None:
    damaged = chain().build()
    thread = damaged.planned.thread("t2")
    damaged.drop_page(thread.stack_base)
    opened = open_domain(damaged, format="elf")
    found = opened.translate(thread.stack_base)
    assert (found.pfn, found.missing is not None) == (None, True)
    with pytest.raises(kdbg.Missing):
        opened.read(thread.stack_base, 8)


def test_a_hole_in_one_page_does_not_fail_a_larger_read(open_domain: Callable[..., Any]) -> None:
    damaged = chain().build()
    thread = damaged.planned.thread("t2")
    damaged.drop_page(thread.stack_base)
    opened = open_domain(damaged, format="elf")
    partial = opened.read_partial(thread.stack_base, 2 * PAGE)
    assert [(at, size) for at, size, _ in partial.missing] == [(thread.stack_base, PAGE)]
    assert partial.data[:PAGE] == bytes(PAGE)
    assert partial.data[PAGE:] == damaged.image.space.read(thread.stack_base + PAGE, PAGE)


def test_an_entry_that_is_not_present_is_unmapped_and_says_where(open_domain: Callable[..., Any]) -> None:
    damaged = chain().build()
    address = damaged.planned.thread("t2").stack_base
    damaged.image.tables.set_entry(address, 0x1234000)  # everything but the present bit
    opened = open_domain(damaged)
    with pytest.raises(kdbg.Unmapped) as raised:
        opened.translate(address)
    assert (raised.value.level, raised.value.entry) == (0, 0x1234000)


def test_a_cyclic_list_of_modules_ends(open_domain: Callable[..., Any]) -> None:
    damaged = chain().build()
    modules = list(damaged.image.modules.values())
    damaged.structure("modctl_t", modules[3].modctl)["mod_next"] = modules[1].modctl
    opened = open_domain(damaged)
    assert [m.name for m in opened.modules()] == [m.name for m in modules[:4]]
    assert any("mod_next" in note for note in opened.notes)


def test_symbols_of_one_module_lost_leave_the_others(open_domain: Callable[..., Any]) -> None:
    damaged = chain().build()
    broken = damaged.image.modules["specfs"]
    damaged.structure("struct module", broken.address)["symhdr"] = 0x10
    opened = open_domain(damaged)
    with pytest.raises(kdbg.SymbolNotFound):
        opened.symbol("specfs`spec_helper")
    assert opened.symbol("genunix`p0").address == damaged.image.symbols["p0"].address
    assert any("specfs" in note for note in opened.notes)


def test_types_that_do_not_unpack_leave_symbols(open_domain: Callable[..., Any]) -> None:
    damaged = chain().build()
    genunix = damaged.structure("struct module", damaged.image.modules["genunix"].address)
    damaged.poke(genunix["ctfdata"] & (1 << 64) - 1, bytes(64))
    opened = open_domain(damaged)
    assert opened.symbol("p0").address == damaged.image.symbols["p0"].address
    with pytest.raises(kdbg.Error):
        opened.type("proc_t")


@pytest.mark.parametrize("member", ["symsize", "nsyms", "ctfsize"])
def test_sizes_beyond_reason_are_refused(member: str, open_domain: Callable[..., Any]) -> None:
    damaged = chain().build()
    damaged.structure("struct module", damaged.image.modules["specfs"].address)[member] = 0x7FFFFFFF
    opened = open_domain(damaged)
    assert opened.symbol("p0").address == damaged.image.symbols["p0"].address


def test_a_stack_that_leads_back_into_itself_ends(open_domain: Callable[..., Any]) -> None:
    damaged = chain().build()
    thread = damaged.planned.thread("t1")
    damaged.poke(thread.frames[3].fp, thread.frames[1].fp.to_bytes(8, "little"))
    opened = open_domain(damaged)
    assert len(opened.stack(thread.address)) < 1000


def test_two_dumps_do_not_know_of_each_other(built: Domain, tmp_path: Path) -> None:
    other = SolarisDomain(32, node="other").write(tmp_path, "elf", name="other")
    with kdbg.open(built.write(tmp_path)) as one, kdbg.open(other) as two:
        assert (one.info.host, two.info.host) == ("builder", "other")
        assert one.symbol("p0").address != two.symbol("p0").address
