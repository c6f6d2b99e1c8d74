"""::thread, ::threadlist, ::findstack, ::stacks and ::whatthread."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from samples.solaris import standard


def test_t_leaves_out_the_threads_of_task_queues(domain: Any) -> None:
    everything, shown = domain.run("::threadlist"), domain.run("::threadlist -t")
    left_out = {row.address for row in everything} - {row.address for row in shown}
    assert left_out == domain.planned.taskq_threads


def test_a_row_of_the_list(say: Any, domain: Any) -> None:
    shell = domain.planned.thread("shell")
    heading, row = say(domain, f"{shell.address:x}::threadlist").splitlines()
    assert heading == "            ADDR             PROC              LWP CMD/LWPID"
    assert row.split()[0] == f"{shell.address:x}"
    assert row.endswith(" bash/1")


def test_v_shows_the_stack_below(say: Any, domain: Any) -> None:
    planned = domain.planned.thread("flusher")
    lines = say(domain, f"{planned.address:x}::threadlist -v").splitlines()
    first = planned.frames[0]
    assert lines[2] == f"  PC: {first.symbol}+{first.offset}"
    assert lines[3] == f"  stack pointer for thread {planned.address:x} (flusher): {first.fp:x}"
    assert [line.strip().partition("+")[0] for line in lines[5:-1]] == [frame.symbol for frame in planned.frames[1:]]
    assert lines[-1] == ""


def test_a_list_goes_on_behind_a_thread_that_has_no_stack(open_domain: Callable[..., Any], say: Any) -> None:
    built = standard().build()
    address = built.planned.thread("shell").address
    built.structure("kthread_t", address)["t_schedflag"] = 0
    text = say(open_domain(built), "::threadlist -v")
    assert f"kdbg: thread {address:x} isn't in memory\n" in text
    assert f"{built.planned.thread('tail').address:x}" in text.partition("isn't in memory")[2]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1234::thread", "kdbg: can't read kthread_t at 0x1234: no mapping for address\n"),
        ("1234::threadlist", "kdbg: failed to read kthread_t at 1234: no mapping for address\n"),
        ("1234::findstack", "kdbg: couldn't read kthread_t from 1234\n"),
        ("1234::stacks", "kdbg: couldn't read thread at 1234\nkdbg: stacks: 1234 not in thread list\n"),
        ("::findstack", "Usage: address::findstack [-v]\n"),
        ("::stacks -i -t SLEEP", "kdbg: stacks: -i is incompatible with -[sStT]\n"),
        ("::stacks -m nosuch", 'kdbg: stacks: module "nosuch" is unknown\n'),
    ],
)
def test_what_cannot_be_done_is_said_in_mdbs_words(text: str, message: str, say: Any, domain: Any) -> None:
    assert message in say(domain, text)


def test_sets_of_columns_stand_below_one_another(say: Any, domain: Any) -> None:
    address = domain.planned.thread("shell").address
    apart = say(domain, f"{address:x}::thread -ip").splitlines()
    together = say(domain, f"{address:x}::thread -ipm").splitlines()
    assert len(apart) == 4
    assert together == [apart[0] + apart[1].lstrip(" ").rjust(len(apart[1]) - 16), apart[2] + apart[3][16:]]


def test_f_leaves_out_free_threads(sample: Callable[[str], Any]) -> None:
    target = sample("domu-panic.core")
    everything, shown = target.run("::thread"), target.run("::thread -f")
    assert {row.state for row in everything} - {row.state for row in shown} == {"free"}
    assert len(everything) > len(shown)


def test_findstack_has_the_frames_behind_the_saved_pc(domain: Any) -> None:
    planned = domain.planned.thread("flusher")
    (found,) = domain.run(f"{planned.address:x}::findstack")
    assert (found.sp, found.pc) == (planned.frames[0].fp, planned.frames[0].pc)
    assert [frame.pc for frame in found.frames] == [frame.pc for frame in planned.frames[1:]]


def test_findstack_runs_a_command_with_the_stack_pointer_as_dot(say: Any, domain: Any) -> None:
    planned = domain.planned.thread("flusher")
    text = say(domain, f"{planned.address:x}::findstack '<.=J'")
    assert text.splitlines()[-1].strip() == f"{planned.frames[0].fp:x}"


def test_stacks_group_threads_that_are_at_the_same_place(domain: Any) -> None:
    groups = domain.run("::stacks")
    threads = [address for group in groups for address in group.threads]
    assert sorted(threads) == sorted(thread.address for thread in domain.planned.threads)
    largest = groups[0]
    stacks = {
        tuple(frame.pc for frame in thread.frames[1:])
        for thread in domain.planned.threads
        if thread.address in largest.threads
    }
    assert stacks == {largest.pcs}


def test_stacks_by_function_and_by_what_they_sleep_on(domain: Any) -> None:
    flusher = domain.planned.thread("flusher").address
    assert [group.threads for group in domain.run("::stacks -s CV")] == [(flusher,)]
    within = {address for group in domain.run("::stacks -c cv_wait") for address in group.threads}
    without = {address for group in domain.run("::stacks -C cv_wait") for address in group.threads}
    assert flusher in within
    assert within | without == {thread.address for thread in domain.planned.threads}
    assert not within & without


def test_a_group_by_one_of_its_threads_is_shown_whole_once_all_are_known(domain: Any) -> None:
    groups = {address: group for group in domain.run("::stacks") for address in group.threads}
    queue = domain.planned.taskqs[0].threads
    (found,) = domain.run(f"{queue[0]:x}::stacks")
    assert found.threads == groups[queue[0]].threads


def test_whatthread_finds_the_stack_that_holds_a_word(say: Any, domain: Any) -> None:
    planned = domain.planned.thread("flusher")
    pointer = planned.frames[1].fp
    assert f"{planned.address:#x}" in say(domain, f"{pointer:x}::whatthread").split()
    assert f"in thread {planned.address:x}'s stack" in say(domain, f"{pointer:x}::whatthread -v")
