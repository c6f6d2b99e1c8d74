"""Stacks: frames with their arguments, from the saved registers or found anywhere, and how they can end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from kdbg.kernels.solaris.findstack import NOT_FOUND, NOT_IN_MEMORY, StackFinder
from kdbg.kernels.solaris.stacks import CIRCLE, MISALIGNED, UNREADABLE, Unwinder
from samples.solaris import SolarisDomain, standard


def frames_of(stack: list[Any]) -> list[tuple[str, int, tuple[int, ...]]]:
    """Frames as (function, offset, arguments)."""
    return [(frame.symbol, frame.offset, frame.arguments) for frame in stack]


FORMS = [(64, True, None), (32, True, None), (64, False, 5), (32, True, 9)]


@pytest.mark.parametrize(("bits", "paravirtual", "shuffle"), FORMS)
def test_sleeping_threads_have_their_planned_stacks(
    bits: int, paravirtual: bool, shuffle: int | None, open_domain: Callable[..., Any]
) -> None:
    target = open_domain(standard(bits, paravirtual, shuffle=shuffle))
    sleeping = [thread for thread in target.planned.threads if thread.state == "sleep"]
    assert sleeping
    for planned in sleeping:
        found = target.stack(planned.address)
        assert frames_of(found) == [(frame.symbol, frame.offset, frame.arguments) for frame in planned.frames]


@pytest.mark.parametrize("name", ["domu-sxc16.elf", "domu-panic.core", "hvm.elf", "domu32.core"])
def test_stacks_of_the_samples(name: str, sample: Callable[[str], Any], facts: Callable[[str], Any]) -> None:
    target = sample(name)
    for thread in facts(name)["threads"]:
        planned = thread.get("stack") or []
        if not planned:
            continue
        found = target.stack(int(thread["addr"], 16))
        assert [f"{frame.symbol}+{frame.offset:x}" for frame in found] == [frame["at"] for frame in planned]
        assert [list(frame.arguments) for frame in found] == [[int(a, 16) for a in f["args"]] for f in planned]
        assert [frame.sp for frame in found] == [int(frame["fp"], 16) for frame in planned]


def test_the_stack_of_a_panic(sample: Callable[[str], Any], facts: Callable[[str], Any]) -> None:
    target, panic = sample("domu-panic.core"), facts("domu-panic.core")["panic"]
    registers = target.registers()
    found = target.kernel.part(Unwinder).stack(registers["rbp"], registers["rip"])
    assert [f"{frame.symbol}+{frame.offset:x}" for frame in found] == [frame["at"] for frame in panic["stack"]]


def test_frames_are_found_where_the_saved_pointer_is_wrong(open_domain: Callable[..., Any]) -> None:
    built = standard().build()
    planned = built.planned.thread("flusher")
    label = built.structure("kthread_t", planned.address)
    label["t_pcb.val[1]"] = planned.stack_top
    target = open_domain(built)
    found = target.kernel.part(StackFinder).find(planned.address)
    assert (found.failure, found.pc) == (0, 0)
    assert found.pcs[-1] == planned.frames[-1].pc


def test_a_thread_that_is_swapped_out_has_no_stack(open_domain: Callable[..., Any]) -> None:
    built = standard().build()
    address = built.planned.thread("flusher").address
    built.structure("kthread_t", address)["t_schedflag"] = 0
    target = open_domain(built)
    found = target.kernel.part(StackFinder).find(address)
    assert (found.failure, found.problem) == (NOT_IN_MEMORY, f"thread {address:x} isn't in memory")
    assert target.stack(address) == []


def test_a_stack_without_frames_is_not_found(open_domain: Callable[..., Any]) -> None:
    built = standard().build()
    planned = built.planned.thread("flusher")
    built.poke(planned.stack_base, bytes(planned.stack_top - planned.stack_base))
    target = open_domain(built)
    assert target.kernel.part(StackFinder).find(planned.address).failure == NOT_FOUND


@pytest.mark.parametrize("bits", [64, 32])
def test_a_circle_of_frames_ends(bits: int, open_domain: Callable[..., Any]) -> None:
    built = standard(bits).build()
    planned = built.planned.thread("flusher")
    word, first = bits // 8, planned.frames[0].fp
    built.poke(planned.frames[1].fp, first.to_bytes(word, "little"))
    target = open_domain(built)
    last = list(target.kernel.part(Unwinder).frames(first))[-1]
    assert (last.pc, last.note) == (0, CIRCLE)


def test_a_pointer_to_nowhere_ends_the_stack(domain: Any) -> None:
    (end,) = domain.kernel.part(Unwinder).frames(0x10)
    assert (end.sp, end.note) == (0x10, UNREADABLE)


def test_a_misaligned_pointer_ends_a_32_bit_stack(open_domain: Callable[..., Any]) -> None:
    (end,) = open_domain(standard(32)).kernel.part(Unwinder).frames(0x11)
    assert end.note == MISALIGNED


def test_no_thread_no_stack(domain: Any) -> None:
    import kdbg

    with pytest.raises(kdbg.ReadError):
        domain.stack(0x1234)


def test_stacks_need_no_page_that_is_missing(
    open_domain: Callable[..., Any], domain_builder: type[SolarisDomain]
) -> None:
    built = domain_builder().thread("victim").build()
    planned = built.planned.thread("victim")
    built.drop_page(planned.stack_base)
    target = open_domain(built)
    found = target.kernel.part(StackFinder).find(planned.address)
    assert found.problem == f"couldn't read entire stack for thread {planned.address:x}"
