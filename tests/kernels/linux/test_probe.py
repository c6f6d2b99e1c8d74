"""Types that are found by their form, held against what the kernels' own types, or DWARF, say of the same members."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import kdbg
from kdbg.kernels.linux.probe import probe
from kdbg.kernels.linux.probe.table import Table
from kdbg.lang.output import ListSink
from kdbg.lang.session import Session

ELSEWHERE = {"mm_context", "kmem_cache_order_objects", "rq"}
"""Named otherwise there (mm_context_t), a union there, known from some member on only."""


@pytest.mark.parametrize("name", ["lx61.elf", "lx61-arm64.elf"])
def test_members_are_found_where_btf_has_them(name: str, shared_dump: Callable[[str], Path]) -> None:
    with kdbg.open(shared_dump(name)) as target:
        table = Table(target.kernel)
        assert probe(table)
        compared = 0
        for structure, found in table.structures.items():
            if structure in ELSEWHERE:
                continue
            of = target.type(f"struct {structure}") if structure != "kuid_t" else target.type("kuid_t")
            for member, (_, offset) in found.members.items():
                holder = target.type("struct slab") if structure == "page" and not of.has(member) else of
                assert holder.member(member).offset == offset, f"{structure}.{member}"
                compared += 1
        assert compared > 100
        assert table.missing in ([], ["runqueues (idle tasks of other CPUs)"])


def test_members_of_a_kernel_without_types_are_where_dwarf_has_them(
    shared: Path, shared_dump: Callable[[str], Path]
) -> None:
    truth = json.loads((shared / "dumps" / "linux" / "truth" / "lx61-i386.truth.json").read_text())
    with kdbg.open(shared_dump("lx61-i386.elf")) as target:
        table = Table(target.kernel)
        assert probe(table)
        assert not table.missing
        compared = 0
        for structure, found in table.structures.items():
            facts = truth["types"].get(f"struct {structure}")
            told = {one["name"]: one["bit"] // 8 for one in facts["members"]} if facts and structure != "rq" else {}
            for member, (_, offset) in found.members.items():
                if told and (structure != "page" or member in told):  # those of slabs are struct slab's there
                    assert offset == told[member], f"{structure}.{member}"
                    compared += 1
        assert compared > 80


def test_a_kernel_without_types_answers_as_others_do(shared: Path, shared_dump: Callable[[str], Path]) -> None:
    truth = json.loads((shared / "dumps" / "linux" / "truth" / "lx61-i386.truth.json").read_text())
    with kdbg.open(shared_dump("lx61-i386.elf")) as target:
        threads = {thread.tid: thread for thread in target.threads() if thread.tid}
        assert {tid: thread.address for tid, thread in threads.items()} == {
            task["pid"]: int(task["addr"], 16) for task in truth["tasks"]
        }
        on_cpu = {entry["pid"] for entry in truth["current"]}
        assert {cpu.id: target.kernel.threads(cpu.thread).__next__().tid for cpu in target.cpus()} == {
            entry["cpu"]: entry["pid"] for entry in truth["current"]
        }
        for pid, frames in truth["stacks"].items():
            if int(pid) in on_cpu or not isinstance(frames, list):
                continue
            told = [int(f["pc"], 16) for f in frames if not f.get("inlined") and f.get("sym")]
            assert [frame.pc for frame in target.stack(threads[int(pid)])][: len(told)] == told, pid


def test_a_size_that_is_not_known_is_said_to_be_none(shared_dump: Callable[[str], Path]) -> None:
    with kdbg.open(shared_dump("lx61-i386.elf")) as target:
        out, complaints = ListSink(), ListSink()
        Session(target, out, complaints).execute("::sizeof struct task_struct")
    assert "it may be longer" in complaints.text()


def test_what_lies_behind_the_structures_is_zero(linux: Callable[..., Any]) -> None:
    """Members that are looked for together may not fit where the first of them is the last word of a damaged size."""
    from kdbg.kernels.linux.probe.samples import Samples

    guest = linux()
    samples = Samples(guest.target.kernel, [guest.planned.places["linux_banner"]], 16)
    assert bytes(samples.words[0].tobytes()) == guest.read(guest.planned.places["linux_banner"], 16)
    assert samples.int_at(16).tolist() == samples.at(16).tolist() == samples.long_at(16).tolist() == [0]
    assert samples.long_at(12).tolist() == samples.int_at(12).tolist()
