"""::whatis, ::bufctl, ::vmem_seg and the walkers, as mdb shows them (its recorded answers on the sample cores)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.dcmds.texts import said


@pytest.fixture
def sxc16(sample: Callable[[str], Any]) -> Any:
    return sample("domu-sxc16.elf")


@pytest.fixture
def panicked(sample: Callable[[str], Any]) -> Any:
    return sample("domu-panic.elf")


HEADINGS = (
    "            ADDR TYPE            START              END             SIZE\n"
    "                                THREAD        TIMESTAMP                 \n"
)


@pytest.mark.parametrize(
    ("command", "text"),
    [
        ("p0::whatis", "fffffffffbcc00c0 is p0, in genunix's data segment\n"),
        ("p0+8::whatis", "fffffffffbcc00c8 is p0+8, in genunix's data segment\n"),
        ("1::whatis", "1 is unknown\n"),
        ("ffffff01c800d780+10::whatis", "ffffff01c800d790 is ffffff01c800d780+10, allocated as a thread structure\n"),
        ("ffffff01c800d780::print kthread_t t_stk | ::whatis",
         "ffffff0001682f10 is in thread ffffff01c800d780's stack\n"),
        ("ffffff00016c4f10-1000::whatis", "ffffff00016c3f10 is in thread ffffff01c80122c0's stack (below sp)\n"),
        ("ffffff01c8064030::whatis", "ffffff01c8064030 is allocated from kmem_alloc_48\n"),
        ("ffffff01c8064780+3::whatis", "ffffff01c8064783 is ffffff01c8064780+3, freed from kmem_alloc_48\n"),
        ("ffffff01c8064fb8::whatis",
         "ffffff01c8064fb8 is ffffff01c8064000+fb8, allocated from the kmem_default vmem arena:\n" + HEADINGS
         + "ffffff01d00312d0 ALLC ffffff01c8064000 ffffff01c8065000             4096\n"),
        ("ffffff01c8064fb8::whatis -q",
         "ffffff01c8064fb8 is ffffff01c8064000+fb8, vmem_seg ffffff01d00312d0 allocated from the kmem_default "
         "vmem arena\n"),
    ],
)  # fmt: skip
def test_what_an_address_is(sxc16: Any, command: str, text: str) -> None:
    assert said(sxc16, command) == text


def test_everything_that_an_address_is(sxc16: Any) -> None:
    lines = said(sxc16, "ffffff01c8064030::whatis -a").splitlines()
    assert [line for line in lines if " is " in line] == [
        "ffffff01c8064030 is allocated from kmem_alloc_48",
        "ffffff01c8064030 is ffffff01c8064000+30, allocated from the kmem_default vmem arena:",
        "ffffff01c8064030 is ffffff01c8000000+64030, allocated from the kmem_va vmem arena:",
        "ffffff01c8064030 is ffffff01c8000000+64030, allocated from the heap vmem arena:",
        "ffffff01c8064030 is in kvseg [ffffff01c0000000,ffffff01e0000000)",
    ]


def test_a_search_tells_its_way(sxc16: Any) -> None:
    lines = said(sxc16, "ffffff01c8064780::whatis -v").splitlines()
    assert lines[:5] == [
        "Searching genunix`modules...",
        "Searching genunix`threads...",
        "Searching genunix`pages...",
        "Searching genunix`kmem...",
        "Searching kmem_alloc_8...",
    ]
    found = lines.index("ffffff01c8064780 is freed from kmem_alloc_48")
    assert lines[found - 1] == "Searching kmem_alloc_48 for free memory..."
    # The passes that follow name their caches although nothing is left to be found.
    assert lines[found + 1] == "Searching kmem_magazine_1..."
    assert lines[-1] == "Searching kmem_bufctl_audit_cache..."


BUFCTL = """\
            ADDR          BUFADDR        TIMESTAMP           THREAD
                            CACHE          LASTLOG         CONTENTS
ffffff01d1002180 ffffff01c800da40       1cbedfc240 ffffff0001593c80
                 ffffff01d0016480 ffffff01d0026240                0
                 kmem_cache_free_debug+0x60
                 kmem_cache_free+0x4f
                 kmem_free+0x33

"""


def test_an_audited_buffer_shows_its_stack(panicked: Any) -> None:
    assert said(panicked, "ffffff01c800da40::whatis") == "ffffff01c800da40 is freed from kmem_alloc_40:\n" + BUFCTL
    assert said(panicked, "ffffff01d1002180::bufctl -v") == BUFCTL
    assert said(panicked, "ffffff01c800da40::whatis -q") == (
        "ffffff01c800da40 is bufctl ffffff01d1002180 freed from kmem_alloc_40\n"
    )


def test_a_bufctl_without_history_is_named_on_request(panicked: Any) -> None:
    assert said(panicked, "fffffffec13b7200::whatis", "fffffffec13b7200::whatis -b") == (
        "fffffffec13b7200 is allocated from kmem_alloc_512\n"
        "fffffffec13b7200 is bufctl ffffff01d1009150 allocated from kmem_alloc_512\n"
    )


def test_piped_addresses_are_searched_together(sxc16: Any) -> None:
    assert said(sxc16, "::walk thread | ::whatis -k").count("allocated as a thread structure") == len(
        list(sxc16.threads())
    )
    assert sorted(said(sxc16, "::walk thread | ::whatis").splitlines()) == sorted(
        said(sxc16, "::walk thread | ::whatis -k").splitlines()
    )


def test_whatis_is_not_for_pipes(sxc16: Any) -> None:
    assert said(sxc16, "p0::whatis | ::echo") == "kdbg: whatis: cannot be output into a pipe\n"


def test_usage(sxc16: Any) -> None:
    usage = "Usage: address::whatis [-aikqv]\nkdbg: try '::help whatis' for more information\n"
    assert said(sxc16, "::whatis") == usage
    assert said(sxc16, "p0::whatis -z") == "kdbg: illegal option -- z\n" + usage


def test_records_of_whatis(sxc16: Any, facts: Callable[[str], Any]) -> None:
    for place in facts("domu-sxc16.elf")["whatis"]:
        (found,) = sxc16.run(f"{place['addr']}::whatis")
        assert found.offset == int(place["offset"], 16)
        if "cache" in place:
            assert (found.kind, found.cache, found.state) == ("kmem", place["cache"], place["state"])
            assert (found.base, found.bufctl) == (int(place["buffer"], 16), int(place["bufctl"], 16))
        else:
            assert (found.kind, found.base) == ("thread", int(place["thread"], 16))


WALKS = [
    ("::walk kmem_slab", "kdbg: kmem_slab doesn't support global walks\n"),
    ("::walk vmem_alloc", "kdbg: vmem_alloc does not support global walks\n"),
    ("0::walk seg", "kdbg: seg walk must begin at struct as *\n"),
    ("::walk avl", "kdbg: failed to read avl_tree_t at 0: no mapping for address\n"),
    ("p0::walk memseg", "kdbg: memseg only supports global walks\n"),
    ("::walk task", "kdbg: failed to read task at 0: no mapping for address\n"),
]


@pytest.mark.parametrize(("command", "text"), WALKS)
def test_walks_that_cannot_begin(sxc16: Any, command: str, text: str) -> None:
    assert said(sxc16, command) == text + "kdbg: failed to perform walk: failed to initialize walk\n"


def test_a_cache_s_name_is_a_walker(sxc16: Any, facts: Callable[[str], Any]) -> None:
    for cache in facts("domu-sxc16.elf")["kmem_caches"]:
        found = [record.address for record in sxc16.run(f"::walk {cache['name']}")]
        assert len(found) == cache["allocated"]
        assert found == [record.address for record in sxc16.run(f"{cache['addr']}::walk kmem")]


def test_walks_of_arenas_agree_with_the_facts(sxc16: Any, facts: Callable[[str], Any]) -> None:
    for arena in facts("domu-sxc16.elf")["vmem"]:
        assert len(sxc16.run(f"{arena['addr']}::walk vmem_alloc")) == arena["allocated_segments"]
        assert len(sxc16.run(f"{arena['addr']}::walk vmem_span")) == len(arena["spans"])
    prefix, postfix = sxc16.run("::walk vmem"), sxc16.run("::walk vmem_postfix")
    assert sorted(record.address for record in prefix) == sorted(record.address for record in postfix)
    assert prefix[0] != postfix[0]


def test_the_log_is_walked_from_its_newest_entry(sxc16: Any) -> None:
    times = [sxc16.kernel.at("kmem_bufctl_audit_t", r.address).bc_timestamp for r in sxc16.run("::walk kmem_log")]
    assert times == sorted(times, reverse=True)
    assert times[0] > 0


def test_open_files_of_a_process(sxc16: Any) -> None:
    process = next(process for process in sxc16.processes() if process.name == "bash")
    slots = [record.address for record in sxc16.run(f"{process.address:x}::walk allfile")]
    assert 0 in slots
    assert 0xFFFFFF01C8058000 in slots
    assert [address for address in slots if address] == [
        record.address for record in sxc16.run(f"{process.address:x}::walk file")
    ]


def test_a_page_table_is_known_as_one(sxc16: Any) -> None:
    """By its record; the text stays mdb's, which knows the mapping alone."""
    pfn = sxc16.run("p0::ptwalk")[0].pfn
    address = 0xFFFFFE0000000000 + pfn * 4096 + 8
    (found,) = sxc16.run(f"{address:x}::whatis")
    assert (found.kind, found.base, found.offset) == ("page table", address - 8, 8)
    assert (found.htable.level, found.htable.pfn) == (3, pfn)
    assert said(sxc16, f"{address:x}::whatis") == f"{address:x} is in kpmseg [fffffe0000000000,fffffe0010000000)\n"
