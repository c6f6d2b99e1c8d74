"""The memory of a Linux kernel: slabs, pages, areas, held against drgn with full DWARF and the kernel's own counts.

The sample is a part of a dump of Debian's 6.12 (samples/real/README.md), which hardens its lists of free objects.
"""

from __future__ import annotations

import hashlib
import json
import lzma
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import kdbg
from kdbg.dump import Dump
from kdbg.errors import CommandError
from kdbg.kernels.linux.pages import DirectMap
from kdbg.kernels.linux.whatis import MOST_USERS
from kdbg.lang.output import ListSink
from kdbg.lang.session import Session

FOLDER = Path(__file__).parents[3] / "samples" / "real"
TOLD: dict[str, Any] = json.loads((FOLDER / "lx612-memory.json").read_text())


def digest(addresses: list[int]) -> str:
    """The first digits of a digest of addresses, as the sample's facts have them."""
    return hashlib.sha256(" ".join(f"{one:x}" for one in sorted(addresses)).encode()).hexdigest()[:16]


@pytest.fixture(scope="module")
def sample_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("memory") / "lx612-memory.elf"
    path.write_bytes(lzma.decompress((FOLDER / "lx612-memory.elf.xz").read_bytes()))
    return path


@pytest.fixture(scope="module")
def dump(sample_path: Path) -> Iterator[Dump]:
    with kdbg.open(sample_path) as target:
        yield target


def said(target: Any, command: str) -> tuple[str, str]:
    """What a command prints, and says on the error stream."""
    out, errors = ListSink(), ListSink()
    Session(target, out, errors).execute(command)
    return out.text(), errors.text()


def cache(target: Any, name: str) -> Any:
    return next(one for one in target.run("::kmem_cache") if one.name == name)


# slabs


def test_every_object_handed_out_is_one_of_drgn_s(dump: Dump) -> None:
    from kdbg.kernels.linux.slub import SlabPages

    swept = dump.kernel.part(SlabPages)  # type: ignore[union-attr]
    found = {}
    for name, (address, count, _) in TOLD["caches"].items():
        objects = [at for slab in swept.of(address) for at in swept.slubs.allocated(slab)]
        found[name] = [address, len(objects), digest(objects)]
        assert len(set(objects)) == count
    assert found == TOLD["caches"]
    assert len(found) == 189


def test_caches_have_the_slabs_that_the_kernel_counts(dump: Dump) -> None:
    rows = {row.name: row for row in dump.run("::kmastat") if hasattr(row, "name")}
    assert {name: [row.slabs, row.total] for name, row in rows.items()} == TOLD["slabs"]
    assert {name: row.in_use for name, row in rows.items()} == {name: one[1] for name, one in TOLD["caches"].items()}


def test_kmastat_sums_up(dump: Dump) -> None:
    *rows, total = dump.run("::kmastat -z")
    assert (total.memory, total.slabs) == (sum(row.memory for row in rows), sum(row.slabs for row in rows))
    assert all(row.slabs for row in rows)
    [one] = dump.run(f"{rows[0].address:x}::kmastat")
    assert one == rows[0]


def test_walkers_split_a_cache_s_objects(dump: Dump) -> None:
    address = cache(dump, "task_struct").address
    used, free = dump.walk("kmem", address), list(dump.walk("freemem", address))
    assert digest(list(used)) == TOLD["caches"]["task_struct"][2]
    slabs = dump.run(f"{address:x}::kmem_slabs")
    assert sum(slab.objects - slab.in_use for slab in slabs) == len(free)
    assert [slab.address for slab in slabs] == list(dump.walk("slab", address))
    assert digest(list(dump.walk("task_struct"))) == TOLD["caches"]["task_struct"][2]


def test_every_task_is_an_object_of_its_cache(dump: Dump) -> None:
    objects = set(dump.walk("task_struct"))
    tasks = {thread.address for thread in dump.threads()}
    static = {dump.symbol("init_task").address}
    assert tasks - static <= objects


def test_sound_slabs_are_clean(dump: Dump) -> None:
    rows = dump.run("::kmem_verify")
    assert len(rows) == 189
    assert [row for row in rows if row.problems] == []


def test_no_cache_at_an_address_is_said(dump: Dump) -> None:
    with pytest.raises(CommandError, match=r"kmem_cache|not mapped|not in the dump"):
        dump.run("ffff889d00000000::kmastat")


# damage


def patched(sample_path: Path, folder: Path, changes: dict[int, bytes], name: str = "damaged.elf") -> Path:
    """The sample with bytes at virtual addresses changed."""
    data = bytearray(sample_path.read_bytes())
    offset, _, _, _, size, count = struct.unpack_from("<QQIHHH", data, 0x20)
    with kdbg.open(sample_path) as target:
        for address, new in changes.items():
            place = target.translate(address).physical
            assert place is not None
            for at in range(offset, offset + size * count, size):
                kind, _, start, _, first, length = struct.unpack_from("<IIQQQQ", data, at)
                if kind == 1 and first <= place < first + length:
                    data[start + place - first : start + place - first + len(new)] = new
    path = folder / name
    path.write_bytes(data)
    return path


def with_free(target: Any) -> tuple[Any, list[int], Any]:
    """(slab, its own free objects, its cache) of some slab with several free objects."""
    from kdbg.kernels.linux.slub import SlabPages

    swept = target.kernel.part(SlabPages)
    for address in swept.caches():
        for slab in swept.of(address):
            free = swept.slubs.own_free(slab)
            if len(free) > 3 and not slab.frozen:
                return slab, free, swept.slubs.cache(address)
    raise AssertionError("no slab has several free objects")


def encoded(of: Any, pointer: int, place: int) -> bytes:
    """A pointer of a list of free objects as it is stored at a place (mm/slub.c: freelist_ptr_encode)."""
    stored = pointer ^ of.random ^ int.from_bytes(place.to_bytes(8, "little"), "big")
    return (stored & (1 << 64) - 1).to_bytes(8, "little")


@pytest.mark.parametrize("kind", ["wild", "loop", "short"])
def test_a_damaged_list_of_free_objects_is_said(sample_path: Path, dump: Dump, tmp_path: Path, kind: str) -> None:
    slab, free, of = with_free(dump)
    place = free[1] + of.offset
    wrong = {"wild": 0xFFFF889D00000123, "loop": free[0], "short": 0}[kind]
    words = {"wild": "which is no object of it", "loop": "back to", "short": "objects are in use by its count"}[kind]
    with kdbg.open(patched(sample_path, tmp_path, {place: encoded(of, wrong, place)})) as target:
        [row] = [row for row in target.run("::kmem_verify") if row.problems]
        assert row.address == of.address
        assert len(row.problems) == 1
        assert words in row.problems[0]
        assert f"{slab.address:x}" in row.problems[0]
        # what is not on a list any more counts as handed out; the walk goes on to the other slabs
        assert set(target.walk("kmem", of.address)) >= set(dump.walk("kmem", of.address))


def test_a_slab_of_no_cache_is_said(sample_path: Path, dump: Dump, tmp_path: Path) -> None:
    slab, _, of = with_free(dump)
    where = slab.address + dump.type("struct slab").member("slab_cache").offset
    wrong = cache(dump, "pid").address + 8
    with kdbg.open(patched(sample_path, tmp_path, {where: wrong.to_bytes(8, "little")})) as target:
        rows = [row for row in target.run("::kmem_verify") if row.problems]
        assert any("it is no cache" in text for row in rows for text in row.problems)
        [lost] = [row for row in rows if row.address == of.address]
        assert any("its nodes count" in text for text in lost.problems)


def test_counts_of_a_node_are_held_against_what_is_found(sample_path: Path, dump: Dump, tmp_path: Path) -> None:
    of = cache(dump, "task_struct")
    value = dump.kernel.at("struct kmem_cache", of.address)  # type: ignore[union-attr]
    node = int(value.node[0])
    where = node + dump.type("struct kmem_cache_node").member("nr_partial").offset
    count = int.from_bytes(dump.read(where, 8), "little")
    with kdbg.open(patched(sample_path, tmp_path, {where: (count + 1).to_bytes(8, "little")})) as target:
        [row] = [row for row in target.run("::kmem_verify") if row.problems]
        assert (row.name, len(row.problems)) == ("task_struct", 1)
        assert f"{count + 1} partial slabs by its count, and its list has {count}" in row.problems[0]


@pytest.mark.parametrize("part", [0.25, 0.5, 0.75])
def test_a_cut_dump_ends_every_command(sample_path: Path, tmp_path: Path, part: float) -> None:
    path = tmp_path / "cut.elf"
    data = sample_path.read_bytes()
    path.write_bytes(data[: int(len(data) * part)])
    with kdbg.open(path) as target:
        task = 0xFFFF889D04100000
        for command in ("::kmastat", "::kmem_verify", "::memstat", "::vmalloc", "::percpu", f"{task:x}::whatis -a",
                        "::walk kmem", "1a2b::page", f"{task:x}::kgrep", "::ptescan"):  # fmt: skip
            out, errors = said(target, command)
            assert "internal error" not in errors, command
            assert out or errors, command


# pages


def test_memory_is_used_as_the_kernel_counts(dump: Dump) -> None:
    found = {row.kind: row.pages for row in dump.run("::memstat")}
    node = TOLD["node"]
    assert found["page cache"] + found["shmem"] == node["NR_FILE_PAGES"]
    assert found["shmem"] == node["NR_SHMEM"]
    assert found["anon"] == node["NR_ANON_MAPPED"]
    assert found["page table"] == node["NR_PAGETABLE"]
    # a CPU's count of free pages is added to the common one when it has grown
    assert 0 <= found["free"] - TOLD["zone"]["NR_FREE_PAGES"] < 32
    large = node["NR_SLAB_RECLAIMABLE_B"] + node["NR_SLAB_UNRECLAIMABLE_B"] - found["slab"]
    assert 0 <= large < 400  # what kmalloc takes from the page allocator itself counts there too
    assert found["total"] == sum(count for kind, count in found.items() if kind != "total")


def test_a_page_and_its_structure(dump: Dump) -> None:
    [task] = dump.run("0t1::pid2proc")
    pfn = dump.translate(task.address).pfn
    [page] = dump.run(f"{pfn:x}::page")
    assert (page.pfn, page.kind) == (pfn, "slab")
    assert page.virtual == task.address & -4096
    assert dump.run(f"{page.address:x}::page") == [page]
    [same] = dump.run(f"{page.address + 8:x}::whatis")
    assert (same.kind, same.pfn, same.offset) == ("struct page", pfn, 8)


def test_vmalloc_areas_are_drgn_s(dump: Dump) -> None:
    areas = dump.run("::vmalloc")
    text = " ".join(f"{one.start:x}-{one.end:x}" for one in areas)
    assert [len(areas), hashlib.sha256(text.encode()).hexdigest()[:16]] == TOLD["vmalloc"]
    assert dump.run(f"{areas[3].start + 1:x}::vmalloc") == [areas[3]]
    assert set(dump.walk("vmap_area")) == {one.address for one in areas}


def test_per_cpu_copies(dump: Dump) -> None:
    rows = dump.run("::percpu runqueues")
    assert {str(row.cpu): row.address for row in rows} == TOLD["per_cpu"]
    assert list(dump.walk("percpu", dump.symbol("runqueues").address)) == list(TOLD["per_cpu"].values())
    out, errors = said(dump, "::percpu no_such_variable")
    assert (out, "no_such_variable" in errors) == ("", True)


# whatis


def kinds(target: Any, address: int) -> list[str]:
    return [one.kind for one in target.run(f"{address:x}::whatis -a")]


def test_whatis_knows_a_task_and_its_slab(dump: Dump) -> None:
    [task] = dump.run("0t1::pid2proc")
    found = dump.run(f"{task.address + 0x20:x}::whatis -a")
    assert [one.kind for one in found] == ["task", "slab", "page"]
    assert (found[0].name, found[0].offset) == ("init/1", 0x20)
    assert (found[1].name, found[1].state, found[1].base) == ("task_struct", "allocated", task.address)


def test_whatis_knows_free_objects(dump: Dump) -> None:
    _, free, of = with_free(dump)
    [found] = dump.run(f"{free[2] + 1:x}::whatis")
    assert (found.kind, found.name, found.state, found.base, found.offset) == ("slab", of.name, "free", free[2], 1)


def test_whatis_knows_whose_stack(dump: Dump) -> None:
    thread = next(one for one in dump.threads() if one.tid == 1)
    [found] = dump.run(f"{thread.stack + 0x3F00:x}::whatis")  # type: ignore[attr-defined]
    assert (found.kind, found.task, found.end) == ("stack", thread.address, thread.stack + 0x4000)  # type: ignore[attr-defined]


def test_whatis_knows_symbols_and_copies(dump: Dump) -> None:
    [found] = dump.run("schedule+4::whatis")
    assert (found.kind, found.name, found.offset, found.part) == ("symbol", "schedule", 4, "text")
    [copy] = dump.run(f"{TOLD['per_cpu']['1'] + 8:x}::whatis")
    assert (copy.kind, copy.name, copy.cpu, copy.offset) == ("per-CPU", "runqueues", 1, 8)


def test_whatis_says_what_it_does_not_know(dump: Dump) -> None:
    assert kinds(dump, 0xFFFF000000000000) == ["unmapped"]
    assert kinds(dump, 0x7FFFFFFFFFFF0000) == ["unknown"]
    with pytest.raises(CommandError, match="pipe"):
        dump.run("schedule::whatis | ::whatis")


# search


def test_kgrep_finds_what_points_to_a_task(dump: Dump) -> None:
    [task] = dump.run("0t1::pid2proc")
    found = dump.run(f"{task.address:x}::kgrep")
    assert found
    assert {one.value for one in found} == {task.address}
    for one in found:
        assert dump.read(one.address, 8) == task.address.to_bytes(8, "little")
        assert dump.read_physical(one.physical, 8) == task.address.to_bytes(8, "little")
    signal = dump.kernel.load("struct task_struct", task.address).signal  # type: ignore[union-attr]
    head = signal.address_of("thread_head")
    node = task.address + dump.type("struct task_struct").member("thread_node").offset
    assert head in [one.address for one in dump.run(f"{node:x}::kgrep")]


def test_kgrep_options(dump: Dump) -> None:
    [task] = dump.run("0t1::pid2proc")
    exact = [one.physical for one in dump.run(f"{task.address:x}::kgrep")]
    assert [one.physical for one in dump.run(f"{task.address:x}::kgrep -m ffffffffffffffff")] == exact
    assert [one.physical for one in dump.run(f"{task.address:x}::kgrep -d 1")] == exact
    near = {one.value for one in dump.run(f"{task.address:x}::kgrep -d 2000")}
    assert near > {task.address}
    assert all(task.address <= value < task.address + 0x2000 for value in near)
    masked = {one.value for one in dump.run(f"{task.address & -4096:x}::kgrep -M fff")}
    assert masked == {value for value in near if value & -4096 == task.address & -4096}
    middle = exact[len(exact) // 2]
    below = [one.physical for one in dump.run(f"{task.address:x}::kgrep -A {middle:x}")]
    above = [one.physical for one in dump.run(f"{task.address:x}::kgrep -a {middle:x}")]
    assert below + above == exact
    halves = dump.run(f"{task.address & 0xFFFFFFFF:x}::kgrep -s 4")
    assert set(exact) <= {one.physical for one in halves}
    for wrong in ("-s 3", "-d 1 -m 1"):
        with pytest.raises(CommandError, match="kgrep"):
            dump.run(f"1::kgrep {wrong}")


# translation


def test_addresses_of_processes_translate(dump: Dump) -> None:
    [task] = dump.run("0t1::pid2proc")
    mm = int(dump.kernel.load("struct task_struct", task.address).mm)  # type: ignore[union-attr]
    by_pid, by_mm = dump.run("400000::vtop -p 0t1"), dump.run(f"400000::vtop -a {mm:x}")
    assert by_pid == by_mm
    assert by_pid[0].physical == dump.translate(0x400000, process=1).physical
    assert dump.run("400000::vatopfn -p 0t1")[-1].pfn == by_pid[0].pfn
    with pytest.raises(CommandError, match="only one of"):
        dump.run(f"400000::vtop -p 1 -a {mm:x}")
    with pytest.raises(CommandError, match="not mapped"):
        dump.run("400000::vtop")


def test_entries_that_are_not_present_tell_what_they_hold(dump: Dump) -> None:
    """The entry is that of a PROT_NONE page: pfn 296e, as /proc/PID/pagemap had it (facts of another dump)."""
    [none] = dump.run("ffffffd691960::pte")
    assert (none.frame, none.valid, none.note) == (0x296E, False, "in memory, PROT_NONE")
    [present] = dump.run("8000000006ad0867::pte")
    assert (present.frame, present.valid) == (0x6AD0, True)
    assert {"write", "user", "noexec"} <= set(present.flags)


def test_no_kernel_page_is_writable_and_executable(dump: Dump) -> None:
    findings = {row.finding: row.count for row in dump.run("::ptescan") if hasattr(row, "finding")}
    assert (findings["writable-text"], findings["writable-executable"]) == (0, 0)


# the shown dumps, whole


@pytest.mark.parametrize("name", ["lx61.elf", "lx61-arm64.elf", "xen-linux-pv.core"])
def test_pages_of_files_lead_back_to_their_processes(shared_dump: Callable[[str], Path], name: str) -> None:
    """From an area of a process to a page, and by whatis from the page to the file, the place in it and the process."""
    with kdbg.open(shared_dump(name)) as target:
        pages = target.kernel.part(DirectMap)  # type: ignore[union-attr]
        compared = 0
        for process in target.processes():
            areas = target.run(f"{process.address:x}::pmap") if process.mm else []  # type: ignore[attr-defined]
            for area in areas:
                if not area.path or not area.path.startswith("/") or "w" in area.flags:
                    continue
                try:
                    found = target.translate(area.start, process=process.pid)
                except kdbg.Error:
                    continue
                assert found.pfn is not None
                what = target.run(f"{pages.address_of(found.pfn):x}::whatis -a")[-1]
                assert (what.part, what.name, what.file_offset) == ("shmem", area.path, area.offset)
                users = {(user.pid, user.address) for user in what.users}
                assert (process.pid, area.start) in users or len(what.users) == MOST_USERS
                compared += 1
        assert compared > 10


@pytest.mark.parametrize("name", ["lx61.elf", "lx61-arm64.elf", "xen-linux-pv.core"])
def test_whole_dumps_are_clean(shared_dump: Callable[[str], Path], name: str) -> None:
    with kdbg.open(shared_dump(name)) as target:
        assert [row for row in target.run("::kmem_verify") if row.problems] == []
        tasks = {thread.address for thread in target.threads()}
        objects = set(target.walk("task_struct"))
        assert len(tasks - objects) == 1  # init_task belongs to the image
        assert target.notes == []


def test_slabs_of_a_kernel_without_types(shared_dump: Callable[[str], Path]) -> None:
    """What a slab keeps in its struct page, and the cache's random number, by their form (`probe.pages`)."""
    with kdbg.open(shared_dump("lx61-i386.elf")) as target:
        assert [row for row in target.run("::kmem_verify") if row.problems] == []
        tasks, objects = {thread.address for thread in target.threads()}, set(target.walk("task_struct"))
        assert (len(tasks - objects), objects - tasks) == (1, set())
        kinds = {row.kind: row.pages for row in target.run("::memstat")}
        told = target.kernel.vmcoreinfo  # type: ignore[union-attr]
        offsets, size = told.of_kind("OFFSET", 10), told.of_kind("SIZE", 10)["zone"]
        node = target.kernel.place("contig_page_data")  # type: ignore[union-attr]
        count = target.kernel.word(node + offsets["pglist_data.nr_zones"])  # type: ignore[union-attr]
        zones = (node + offsets["pglist_data.node_zones"] + at * size for at in range(count))
        assert kinds["free"] == sum(target.kernel.word(at + offsets["zone.vm_stat"]) for at in zones)  # type: ignore[union-attr]


@pytest.mark.parametrize("name", ["lx61.elf", "lx61-arm64.elf"])
def test_slabs_are_the_same_with_the_types_taken_away(
    shared_dump: Callable[[str], Path], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is found by form alone is what BTF tells: every object of every cache."""
    from kdbg.kernels.linux import types

    def objects(path: Path) -> dict[str, set[int]]:
        with kdbg.open(path) as target:
            return {row.name: set(target.walk("kmem", row.address)) for row in target.run("::kmem_cache")}

    told = objects(shared_dump(name))

    def none(*_: object) -> None:
        raise kdbg.TypeNotFound("vmlinux", types.NONE)

    monkeypatch.setattr(types, "_of_image", none)
    monkeypatch.setattr(types, "_of_module", none)
    assert objects(shared_dump(name)) == told
    assert len(told) > 100
