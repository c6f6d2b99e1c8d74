"""Commands against the facts: of the sample cores, and of built domains."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from kdbg.lang.output import ListSink
from kdbg.lang.session import Session
from samples import kernel
from samples.plan import ChannelSpec
from samples.solaris import SolarisDomain, standard

SAMPLES = ["domu-sxc16.core", "domu-panic.elf", "domu32.core", "domu32-tools64.elf"]


@pytest.fixture(params=SAMPLES)
def case(request: pytest.FixtureRequest, sample: Callable[[str], Any], facts: Callable[[str], Any]) -> Any:
    """A sample core and its facts."""
    return sample(request.param), facts(request.param)


def test_event_channels(case: Any) -> None:
    target, facts = case
    found = {row.evtchn: row for row in target.run("::evtchns")}
    for channel in facts["evtchns"]:
        row = found[channel["evtchn"]]
        assert (row.type, row.irq, row.ipl, row.cpu) == tuple(channel[key] for key in ("type", "irq", "ipl", "cpu"))
        assert ",".join(row.handlers) == channel["isr"]


def test_stack_of_a_cpu(case: Any) -> None:
    target, facts = case
    frames = [(f"{f.symbol}+{f.offset:x}", list(f.arguments)) for f in target.run("::cpustack -c 0")]
    if facts["panicked"]:  # the panicking CPU: its stack is that of the panic, without the function it is in
        expected = [(f["at"], f["args"]) for f in facts["panic"]["stack"][1:]]
    else:
        expected = [(f"{f['func']}+{f['off']:x}", f["args"]) for f in facts["cpustack0"]]
    assert frames == [(at, [int(a, 16) for a in arguments]) for at, arguments in expected]


def test_whatis(case: Any) -> None:
    target, facts = case
    for place in facts.get("whatis", []):
        row = next(iter(target.run(f"{place['addr']}::whatis")))
        if "cache" in place:
            assert (row.cache, row.base, row.offset) == (
                place["cache"], int(place["buffer"], 16), int(place["offset"], 16),
            )  # fmt: skip
            assert (row.state, row.bufctl) == (place["state"], int(place["bufctl"], 16))
        else:
            assert (row.kind, row.base, row.offset) == ("thread", int(place["thread"], 16), int(place["offset"], 16))


def test_what_user_mode_may_see(case: Any) -> None:
    target, facts = case
    anomalies = facts["pte_anomalies"]
    exposed = sorted({row.va for row in target.run("::ptescan -l kernel-user")})
    assert exposed == sorted(int(va, 16) for va in anomalies.get("kernel_pages_with_PT_USER", []))
    pages = anomalies.get("user_pages_without_PT_GLOBAL", [])
    for name in {page["process"] for page in pages}:
        pid = facts["translations_user"][name]["pid"]
        found = sorted({row.va for row in target.run(f"::ptescan -p 0t{pid} -l user-not-global")})
        assert found == sorted(int(page["va"], 16) for page in pages if page["process"] == name)


# --- built domains ---------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [None, 11], ids=["layout of 2021", "another build"])
@pytest.mark.parametrize("bits", [64, 32])
class TestBuilt:
    """What was planned, in the layout of 2021 and with every member of every structure moved."""

    @pytest.fixture
    def opened(self, bits: int, seed: int | None, open_domain: Callable[..., Any]) -> Any:
        """The standard domain."""
        return open_domain(standard(bits, shuffle=seed), format="elf")

    def test_threadlist_with_and_without_task_queues(self, opened: Any) -> None:
        everything = [t.address for t in opened.run("::threadlist")]
        shown = {t.address for t in opened.run("::threadlist -t")}
        assert everything == [t.address for t in opened.planned.threads]
        assert set(everything) - shown == opened.planned.taskq_threads

    def test_event_channels(self, opened: Any) -> None:
        rows = {row.evtchn: row for row in opened.run("::evtchns")}
        assert set(rows) == {channel.number for channel in opened.planned.channels}
        for channel in opened.planned.channels:
            row = rows[channel.number]
            assert (row.type, row.irq, row.ipl, row.cpu) == (channel.type, channel.irq, channel.ipl, channel.cpu)
            assert list(row.handlers) == [channel.handler]
            assert (bool(row.masked), bool(row.pending)) == (channel.masked, channel.pending)

    def test_stacks_of_cpus(self, opened: Any) -> None:
        for cpu in opened.planned.cpus:
            frames = opened.run(f"::cpustack -c {cpu.id}")
            assert [(f.pc, f.symbol) for f in frames] == [(f.pc, f.symbol) for f in cpu.frames]

    def test_buffers(self, opened: Any) -> None:
        """Every buffer of every cache is in the state in which it was left, magazines included."""
        for name, cache in opened.built.caches.items():
            allocated = {b.address for b in cache.buffers.values() if b.state == "allocated"}
            free = {b.address for b in cache.buffers.values() if b.state == "free"}
            assert {row.address for row in opened.run(f"{cache.address:x}::walk kmem")} == allocated, name
            assert {row.address for row in opened.run(f"{cache.address:x}::walk freemem")} == free, name

    def test_whatis_a_buffer(self, opened: Any) -> None:
        for name in ("foo_cache", "bar_cache", "audited_cache"):
            for buffer in opened.built.caches[name].buffers.values():
                row = next(iter(opened.run(f"{buffer.address + 8:x}::whatis")))
                assert (row.cache, row.base, row.offset, row.state) == (name, buffer.address, 8, buffer.state)
                assert row.bufctl == buffer.bufctl

    def test_whatis_a_thread_and_its_stack(self, opened: Any) -> None:
        thread = opened.planned.thread("flusher")
        row = next(iter(opened.run(f"{thread.address + 4:x}::whatis")))
        assert (row.kind, row.base, row.offset) == ("thread", thread.address, 4)
        row = next(iter(opened.run(f"{thread.frames[0].fp:x}::whatis")))
        assert (row.kind, row.base, row.thread) == ("stack", thread.stack_base, thread.address)

    def test_walkers(self, opened: Any) -> None:
        planned = opened.planned
        walk = {name: [row.address for row in opened.run(f"::walk {name}")] for name in ("thread", "cpu", "proc")}
        assert walk["thread"] == [t.address for t in planned.threads]
        assert walk["cpu"] == [cpu.address for cpu in planned.cpus]
        assert set(walk["proc"]) == {p.address for p in planned.processes}
        for queue in planned.taskqs:
            assert [row.address for row in opened.run(f"{queue.address:x}::walk taskq_thread")] == list(queue.threads)

    def test_processes(self, opened: Any) -> None:
        assert {(row.pid, row.name) for row in opened.run("::ps")} == {
            (p.pid, p.name) for p in opened.planned.processes
        }


def test_a_kernel_page_that_user_mode_may_see_is_found(open_domain: Callable[..., Any]) -> None:
    built = standard().build()
    exposed = [built.planned.thread("shell").stack_base, built.caches["bar_cache"].slabs[0].base]
    for address in exposed:
        built.expose(address)
    opened = open_domain(built, format="elf")
    assert sorted({row.va for row in opened.run("::ptescan -l kernel-user")}) == sorted(exposed)


def test_a_user_page_without_the_global_bit_is_found(open_domain: Callable[..., Any]) -> None:
    built = standard().build()
    built.forget_global("bash", 0x8051000)
    opened = open_domain(built, format="elf")
    assert {row.va for row in opened.run("::ptescan -p 0t565 -l user-not-global")} == {0x8051000}


def test_kernel_text_that_can_be_written(open_domain: Callable[..., Any]) -> None:
    built = standard().build()
    text = built.image.modules["genunix"].text
    built.image.tables.set_entry(text, built.image.tables.entry(text) | 2)
    opened = open_domain(built, format="elf")
    assert {row.va for row in opened.run("::ptescan -l writable-text")} == {text}


def test_interrupts_of_other_processors(open_domain: Callable[..., Any]) -> None:
    domain = SolarisDomain(cpus=2).channel(ChannelSpec(9, "ipi", 300, 13, "cbe_fire", cpu=1))
    row = next(iter(open_domain(domain).run("::evtchns")))
    assert (row.type, row.evtchn, row.irq, row.ipl, row.cpu) == ("ipi", 9, 300, 13, 1)


@pytest.mark.parametrize("seed", [None, 12], ids=["layout of 2021", "another build"])
@pytest.mark.parametrize("bits", [64, 32])
def test_an_interrupted_thread(bits: int, seed: int | None, open_domain: Callable[..., Any]) -> None:
    """The stack of a CPU goes on in the stack of the thread that was interrupted, which stands below it."""
    domain = (
        SolarisDomain(bits, cpus=2, shuffle=seed)
        .thread("worker", stack=kernel.INTERRUPTED, state="onproc")
        .interrupt("softint", "worker", cpu=1, level=10)
    )
    opened = open_domain(domain)
    cpu, worker = opened.planned.cpus[1], opened.planned.thread("worker")
    assert cpu.thread == opened.planned.thread("softint").address
    assert [f.symbol for f in cpu.frames][:4] == ["av_dispatch_softvect", "dispatch_softint", "switch_sp_and_call",
                                                  "do_interrupt"]  # fmt: skip
    frames = opened.run("::cpustack -c 1")
    assert [(f.pc, f.symbol, f.offset) for f in frames] == [(f.pc, f.symbol, f.offset) for f in cpu.frames]
    assert [f.arguments for f in frames] == [f.arguments for f in cpu.frames]
    out = ListSink()
    Session(opened.target, out, ListSink()).execute("1::cpuinfo -v")
    text = out.text()
    assert text.index(f"10 {cpu.thread:x}") < text.index(f"- {worker.address:x}")
