"""Threads of built domains and of the samples: all are found, whatever the layout of their structures."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from samples.solaris import SolarisDomain, standard

FORMS = [
    pytest.param(64, True, None, id="pv64"),
    pytest.param(32, True, None, id="pv32"),
    pytest.param(64, False, None, id="hvm64"),
    pytest.param(64, True, 7, id="pv64-shuffled"),
    pytest.param(32, True, 11, id="pv32-shuffled"),
]
"""Width, paravirtual or not, seed of another build's layout."""


@pytest.mark.parametrize(("bits", "paravirtual", "shuffle"), FORMS)
def test_all_threads_are_found(
    bits: int, paravirtual: bool, shuffle: int | None, open_domain: Callable[..., Any]
) -> None:
    domain = open_domain(standard(bits, paravirtual, shuffle=shuffle))
    found = list(domain.threads())
    assert [thread.address for thread in found] == [thread.address for thread in domain.planned.threads]
    for thread, planned in zip(found, domain.planned.threads, strict=True):
        assert (thread.pid, thread.tid, thread.state) == (planned.pid, planned.tid, planned.state)
        assert (thread.stack_base, thread.stack_top) == (planned.stack_base, planned.stack_top)
        assert thread.taskq == planned.taskq


def test_a_thread_is_named_after_process_queue_or_name(domain: Any) -> None:
    names = {thread.address: thread.name for thread in domain.threads()}

    def name(label: str) -> str:
        return str(names[domain.planned.thread(label).address])

    assert (name("shell"), name("shell2")) == ("bash/1", "bash/2")
    assert name("callout_taskq/0") == "tq:callout_taskq"
    assert name("flusher") == "flusher"
    assert name("idle0").endswith("()")


def test_one_thread_by_address(domain: Any) -> None:
    planned = domain.planned.thread("tail")
    (found,) = domain.kernel.threads(planned.address)
    assert (found.state, found.command) == ("stopped", "tail")


def test_a_cyclic_list_ends_with_a_note(open_domain: Callable[..., Any]) -> None:
    built = standard().build()
    built.link("shell", "t_next", "flusher")
    target = open_domain(built)
    found = [thread.address for thread in target.threads()]
    assert len(found) == len(set(found))
    assert found[-1] == target.planned.thread("shell").address
    assert "leads back" in target.notes[-1]


def test_a_list_that_leads_nowhere_ends_with_a_note(open_domain: Callable[..., Any]) -> None:
    built = standard().build()
    built.structure("kthread_t", built.planned.thread("shell").address)["t_next"] = 0x1234
    target = open_domain(built)
    assert list(target.threads())[-1].address == target.planned.thread("shell").address
    assert "1234" in target.notes[-1]


def test_threads_of_one_process(domain: Any) -> None:
    from kdbg.kernels.solaris.threads import Threads

    process = domain.planned.process("bash").address
    found = [address for address, _ in domain.kernel.part(Threads).walk(process)]
    assert found == [thread.address for thread in domain.planned.threads if thread.process == "bash"]


def test_threads_of_a_task_queue(domain: Any) -> None:
    from kdbg.kernels.solaris.threads import taskq_threads

    for queue in domain.planned.taskqs:
        assert set(taskq_threads(domain.kernel, queue.address)) == set(queue.threads)
    assert set(taskq_threads(domain.kernel, 0)) == domain.planned.taskq_threads


@pytest.mark.parametrize("name", ["domu-sxc16.core", "domu-panic.elf", "hvm.core", "domu32.elf"])
def test_threads_of_the_samples(name: str, sample: Callable[[str], Any], facts: Callable[[str], Any]) -> None:
    found = {thread.address: thread for thread in sample(name).threads()}
    for planned in facts(name)["threads"]:
        thread = found[int(planned["addr"], 16)]
        assert (thread.pid, thread.command, thread.state) == (planned["pid"], planned["comm"], planned["state"])
        assert (thread.lwp, thread.priority) == (int(planned["lwp"], 16), planned["pri"])
        assert (thread.sp, thread.pc) == (int(planned["saved_sp"], 16), int(planned["saved_pc"], 16))


def test_threads_that_wait_for_the_same(open_domain: Callable[..., Any], domain_builder: type[SolarisDomain]) -> None:
    target = open_domain(domain_builder().thread("one", name="first").thread("two", name="second"))
    assert {"first", "second"} <= {thread.name for thread in target.threads()}
