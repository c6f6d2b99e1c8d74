"""kallsyms in all the forms it has had: found by structure or by VMCOREINFO, read by position, name and address."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

import kdbg
from kdbg.errors import SymbolNotFound
from kdbg.kernels.linux import kallsyms
from kdbg.symbols.table import STB_GLOBAL, STB_LOCAL, STB_WEAK, STT_FUNC, STT_NOTYPE, STT_OBJECT
from samples.kallsyms import FORMS, Form
from samples.linux import LinuxGuest

forms = pytest.mark.parametrize("form", FORMS.values(), ids=FORMS.keys())


@forms
def test_all_symbols_as_planned(linux: Callable[..., Any], form: Form) -> None:
    guest = linux(form=form)
    table = guest.kernel.symbols.image
    assert "its structure" in guest.kernel.recognised
    assert [(s.address, s.name) for s in table] == [(address, name) for address, _, name in guest.planned.entries]
    assert list(table.names()) == [name for _, _, name in guest.planned.entries]
    assert [(table[at].address, table[at].name) for at in (0, 255, 256, 511, 600, len(table) - 1)] == [
        guest.planned.entries[at][::2] for at in (0, 255, 256, 511, 600, len(table) - 1)
    ]


@forms
def test_every_name_is_found(linux: Callable[..., Any], form: Form) -> None:
    guest = linux(form=form)
    first = {name: address for address, _, name in reversed(guest.planned.entries)}
    assert {name: guest.symbol(name).address for name in first} == first
    for absent in ("get_page_", "et_page_1", "get_page_1x", "", "Tget_page_1", "Ā"):
        with pytest.raises(SymbolNotFound):
            guest.symbol(absent)


@forms
def test_every_address_is_found(linux: Callable[..., Any], form: Form) -> None:
    guest = linux(form=form)
    entries = [entry for entry in guest.planned.entries if entry[0] >= guest.planned.base]
    following = sorted({address for address, _, _ in entries})
    for address, _, name in entries:
        symbol, offset = guest.symbol_at(address)
        assert (symbol.address, offset) == (address, 0)
        assert name in [n for a, _, n in entries if a == address]
    for address, after in pairwise(following):
        symbol, offset = guest.symbol_at(after - 1)
        if symbol.name == "_etext":
            pytest.fail("what lies behind the end of the text is nobody's")
        if offset:
            assert (symbol.address, symbol.size, offset) == (address, after - address, after - 1 - address)
        if after - address > 1 and guest.kernel.symbols.image.find("_etext").address == after:
            break


def test_the_end_of_the_text_has_no_size(linux: Callable[..., Any]) -> None:
    guest = linux()
    end = guest.symbol("_etext").address
    assert guest.symbol_at(end)[0].name == "_etext"
    with pytest.raises(SymbolNotFound):
        guest.symbol_at(end + 1)


def test_per_cpu_offsets_are_names_but_no_addresses(linux: Callable[..., Any]) -> None:
    guest = linux(form=FORMS["6.1"])
    assert guest.symbol("current_task").address == 0x1FB80
    with pytest.raises(SymbolNotFound):
        guest.symbol_at(0x1FB80)


def test_letters_say_type_and_binding(linux: Callable[..., Any]) -> None:
    guest = linux()
    names = ("alias_one", "digits_0123456789", "alias_two", "panic_cpu", "linux_banner", "__per_cpu_start")
    told = {name: (guest.symbol(name).type, guest.symbol(name).binding) for name in names}
    assert told["alias_one"] == (STT_FUNC, STB_GLOBAL)
    assert told["digits_0123456789"] == (STT_FUNC, STB_LOCAL)
    assert told["alias_two"] == (STT_FUNC, STB_WEAK)
    assert told["panic_cpu"] == told["linux_banner"] == (STT_OBJECT, STB_GLOBAL)
    assert told["__per_cpu_start"] == (STT_NOTYPE, STB_GLOBAL)


@forms
def test_namesakes_are_all_found(linux: Callable[..., Any], form: Form) -> None:
    guest = linux(form=form)
    planned = [address for address, _, name in guest.planned.entries if name == "get_page_0"]
    assert len(planned) == 2
    assert [symbol.address for symbol in guest.kernel.symbols.image.find_all("get_page_0")] == planned


@pytest.mark.parametrize("offset", [0x0, 0x200000, 0x1EA00000], ids=hex)
def test_a_randomised_image(linux: Callable[..., Any], offset: int) -> None:
    guest = linux(offset=offset)
    assert guest.symbol("linux_banner").address == guest.planned.base + 0x400000


@pytest.mark.parametrize("functions", [1, 235, 236, 237, 238, 239, 2000])
@pytest.mark.parametrize("name", ["4.19", "6.1", "6.2", "6.6", "6.6 i386"])
def test_any_number_of_symbols(linux: Callable[..., Any], name: str, functions: int) -> None:
    if name == "6.2" and functions == 1:
        pytest.skip("one block of names, then positions: no kernel has so few symbols")
    guest = linux(form=FORMS[name], functions=functions)
    assert len(guest.kernel.symbols.image) == len(guest.planned.entries)


@forms
def test_by_vmcoreinfo_in_memory_where_the_structure_is_damaged(tmp_path: Path, form: Form) -> None:
    guest = LinuxGuest(form=form, with_vmcoreinfo=True)
    path = guest.write(tmp_path / "guest.core")
    digits = b"".join(b"%d\0" % digit for digit in range(10))
    with kdbg.open(path) as target:
        assert target.kernel.vmcoreinfo.release == target.kernel.release
        told = kallsyms.find(target.kernel.mapping, guest.bits, target.kernel.vmcoreinfo.symbols)
        assert told == target.kernel.layout
    data = path.read_bytes()
    assert data.count(digits) == 2  # a table of strings, and the tokens
    path.write_bytes(data.replace(digits, digits.replace(b"0\x001", b"0\x002")))
    with kdbg.open(path) as target:
        # The tokens of "0" and "1" are gone, so the index does not fit by bytes alone; the tables are where it says.
        assert target.kernel.layout is not None
        assert "VMCOREINFO in memory" in target.kernel.recognised


def test_without_tables_there_are_no_symbols(tmp_path: Path) -> None:
    path = LinuxGuest().write(tmp_path / "guest.core")
    digits = b"".join(b"%d\0" % digit for digit in range(10))
    path.write_bytes(path.read_bytes().replace(digits, bytes(len(digits))))
    with kdbg.open(path) as target:
        assert target.kernel.release
        assert len(list(target.kernel.symbols.tables)) == 0
        assert any("no kallsyms" in note for note in target.notes)


@pytest.mark.parametrize("place", range(0, 0x1C00, 0x137), ids=hex)
def test_damaged_tables_end_in_an_answer(tmp_path: Path, place: int) -> None:
    """A page's worth of rubbish anywhere in the tables: an error of kdbg's own, or symbols, in no time."""
    guest = LinuxGuest(functions=600)
    path = guest.write(tmp_path / "guest.core")
    with kdbg.open(path) as target:
        image = target.image
        position = image.tables.pages_at
        at = guest.places["kallsyms"] + place
        frame = target.translate(at).pfn
        where = position + image.pfns.find(frame) * 4096 + at % 4096
    with path.open("r+b") as file:
        file.seek(where)
        file.write(bytes(number * 37 & 0xFF for number in range(64)))
    with kdbg.open(path) as target:
        try:
            table = target.kernel.symbols.image
            for name in ("cpu_idle", "no such name"):
                _ = target.kernel.symbols.find(name)
            target.kernel.symbols.nearest(guest.places["cpu_idle"] + 4)
            assert table is None or len(table) > 0
        except kdbg.Error:
            pass


@pytest.mark.shared
@pytest.mark.parametrize("name", ["lx61.elf", "lx61-i386.elf", "lx61-arm64.elf"])
def test_all_symbols_of_a_real_kernel(shared: Path, shared_dump: Callable[[str], Path], name: str) -> None:
    """As /proc/kallsyms listed them (addresses, letters, names, order), found by structure alone."""
    import lzma

    stem = name.removesuffix(".elf")
    listing = shared / "dumps" / "linux" / "truth" / f"{stem}.kallsyms.txt.xz"
    with lzma.open(listing, "rt") as lines:
        rows = [line.split() for line in lines]
    planned = [(int(row[0], 16), row[2]) for row in rows if len(row) == 3]
    with kdbg.open(shared_dump(name)) as target:
        kernel = target.kernel
        layout = kallsyms.find(kernel.mapping, kernel.bits)
        assert layout == kernel.layout
        assert dataclasses.asdict(layout)["count"] == len(planned)
        assert [(s.address, s.name) for s in kernel.symbols.image] == planned
