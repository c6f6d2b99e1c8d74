"""What a Linux kernel's own types and unwind tables tell, held against the guest, QEMU, and drgn with DWARF."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import kdbg
from kdbg.dump import Dump


class Guest:
    """A real dump with its truth."""

    def __init__(self, target: Dump, truth: dict[str, Any]) -> None:
        self.target, self.truth = target, truth
        self.threads = {thread.tid: thread for thread in target.threads() if thread.tid}


@pytest.fixture(scope="module", params=["lx61.elf", "lx61-novmci.elf", "lx61-arm64.elf"])
def guest(request: pytest.FixtureRequest, shared: Path, shared_dump: Callable[[str], Path]) -> Iterator[Guest]:
    name = request.param.removesuffix(".elf")
    truth = json.loads((shared / "dumps" / "linux" / "truth" / f"{name}.truth.json").read_text())
    with kdbg.open(shared_dump(request.param)) as target:
        yield Guest(target, truth)


def test_types_have_the_sizes_of_dwarf(guest: Guest) -> None:
    told = {name: facts["size"] for name, facts in guest.truth["types"].items() if facts and facts.get("size")}
    assert {name: guest.target.type(name).size for name in told} == told


def test_all_tasks_are_listed(guest: Guest) -> None:
    found = {thread.tid: (thread.name, thread.pid, thread.address) for thread in guest.threads.values()}
    told = {task["pid"]: (task["comm"], task["tgid"], int(task["addr"], 16)) for task in guest.truth["tasks"]}
    assert found == told


def test_whole_names_of_the_kernel_s_threads_are_those_of_proc(guest: Guest) -> None:
    told = {int(tid): status["name"] for tid, status in guest.truth["proc_status"].items()}
    long = {thread.tid: thread.whole_name for thread in guest.threads.values() if len(thread.whole_name) > 15}
    assert len(long) > 1
    assert {tid: told[tid] for tid in long} == long


def test_stacks_are_those_of_dwarf_frame_by_frame(guest: Guest) -> None:
    on_cpu = {entry["pid"] for entry in guest.truth["current"]}
    compared = 0
    for pid, frames in guest.truth["stacks"].items():
        thread = guest.threads[int(pid)]
        if int(pid) in on_cpu or not isinstance(frames, list) or thread.state == "zombie":
            continue
        told = [int(f["pc"], 16) for f in frames if not f.get("inlined") and f.get("sym")]
        told = [pc for pc in told if pc >> 47]
        assert [frame.pc for frame in guest.target.stack(thread)][: len(told)] == told, pid
        compared += 1
    assert compared > 100


def test_a_zombie_has_no_stack_and_says_so(guest: Guest) -> None:
    zombie = next(thread for thread in guest.threads.values() if thread.name == "kd-zombie")
    assert zombie.state == "zombie"
    assert guest.target.stack(zombie) == []


def test_the_log_is_whole(guest: Guest) -> None:
    text = "\n".join(entry.text for entry in guest.target.log())
    lines = [line.partition("] ")[2] for line in guest.truth["dmesg"].splitlines() if line.startswith("[")]
    assert [line for line in lines if line not in text] == []


def test_modules_are_found_with_and_without_names_of_data(guest: Guest) -> None:
    assert {module.name for module in guest.target.modules()} == {one["name"] for one in guest.truth["modules"]}


def test_open_files_and_areas_of_a_process(guest: Guest) -> None:
    pid, told = next((pid, one) for pid, one in guest.truth["processes"].items() if one["comm"] == "kd-mem")
    files = {row.fd: row.path for row in guest.target.run(f"0t{pid}::pid2proc | ::pfiles")}
    assert all(files[one["fd"]] == one["path"] for one in told["files"] if one["path"].startswith("/"))
    areas = {row.start: row.end for row in guest.target.run(f"0t{pid}::pid2proc | ::pmap")}
    assert areas == {int(one["start"], 16): int(one["end"], 16) for one in told["vmas"]}


def test_user_pages_are_where_the_kernel_says(guest: Guest) -> None:
    for start, region in guest.truth["pagemap"].items():
        entry = int(region["entries"][0], 16)
        area_is_none = start.startswith("0x25")  # PROT_NONE: in memory, and no CPU would translate it
        if entry >> 63 and not area_is_none:
            assert guest.target.translate(int(start, 16), process=region["pid"]).pfn == entry & (1 << 55) - 1


def test_mounts_and_slab_caches(guest: Guest) -> None:
    mounts = {(row.source, row.target, row.type) for row in guest.target.run("::mounts")}
    assert mounts == {(one["src"], one["dst"], one["type"]) for one in guest.truth["mounts"]}
    caches = {row.name: (row.address, row.object_size, row.size) for row in guest.target.run("::kmem_cache")}
    for one in guest.truth["slab_caches"]:
        assert caches[one["name"]] == (int(one["addr"], 16), one["object_size"], one["size"])


def test_workers_are_dropped_on_demand(guest: Guest) -> None:
    names = [row.name for row in guest.target.run("::threadlist -t")]
    assert "init" in names
    assert not [name for name in names if name.startswith("kworker/")]


def test_stacks_group_all_tasks(guest: Guest) -> None:
    groups = guest.target.run("::stacks")
    assert sum(group.count for group in groups) == len(list(guest.target.threads()))
    assert [group.count for group in groups] == sorted((group.count for group in groups), reverse=True)
    sleeping = guest.target.run("::stacks -t S")
    assert {group.state for group in sleeping} == {"sleeping"}


def test_print_knows_the_members(guest: Guest) -> None:
    [address] = guest.target.run("0t1::pid2proc")
    [record] = guest.target.run(f"{address.address:x}::print struct task_struct pid")
    assert record.value == 1


@pytest.mark.parametrize("name", ["xen-linux-pv.core", "xen-linux-pvh.core"])
def test_event_channels_of_a_xen_guest(shared: Path, shared_dump: Callable[[str], Path], name: str) -> None:
    truth = json.loads((shared / "dumps" / "xen" / f"{Path(name).stem}.truth.json").read_text())
    with kdbg.open(shared_dump(name)) as target:
        found = {row.evtchn: (row.pending, row.masked) for row in target.run("::evtchns")}
    told = {one["port"]: (bool(one["pending"]), bool(one["masked"])) for one in truth["event_channels"]}
    assert found == told


def test_a_machine_without_xen_says_that_it_has_no_event_channels(guest: Guest) -> None:
    with pytest.raises(kdbg.CommandError, match="event channels"):
        guest.target.run("::evtchns")


def test_timers_of_both_kinds_are_all(guest: Guest) -> None:
    every, wheel, precise = (len(guest.target.run(f"::timers {flags}")) for flags in ("-hw", "-w", "-h"))
    assert every == wheel + precise == len(guest.target.run("::timers"))
    assert wheel
    assert precise


def test_messages_up_to_a_level_by_number_or_name(guest: Guest) -> None:
    by_name, by_number, every = (guest.target.run(f"::msgbuf {level}") for level in ("-l warn", "-l 4", ""))
    assert [row.sequence for row in by_name] == [row.sequence for row in by_number]
    assert [row.sequence for row in by_name] == [row.sequence for row in every if row.level <= 4]
    with pytest.raises(kdbg.CommandError, match="no level is called loud"):
        guest.target.run("::msgbuf -l loud")
