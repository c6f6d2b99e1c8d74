"""What tasks wait for, who holds their locks, timers, work, interrupts, sockets: the guest's plan, its /proc, and drgn.

The sample is a part of a dump of Debian's 6.12 in which samples/real/lx612-locks.c runs; lx612-locks.json has what the
guest printed of itself and what drgn 0.3 with full DWARF finds in the whole dump.
"""

from __future__ import annotations

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
from kdbg.lang.output import ListSink
from kdbg.lang.session import Session

FOLDER = Path(__file__).parents[3] / "samples" / "real"
TOLD: dict[str, Any] = json.loads((FOLDER / "lx612-locks.json").read_text())
PLAN = {
    "kl-rw-write": ("rwsem", "write", "kl-rw-owner"),
    "kl-rw-read": ("rwsem", "read", "kl-rw-owner"),
    "kl-mx-one": ("mutex", None, "kl-mx-owner"),
    "kl-mx-two": ("mutex", None, "kl-mx-owner"),
    "kl-pi-wait": ("rt_mutex", None, "kl-pi-owner"),
    "kl-frozen": ("percpu rwsem", None, None),
    "kl-rw-owner": ("queue", None, None),
    "kl-wq-user": ("completion", None, None),
    "kd-dstate": ("completion", None, None),
    "kd-flockwait": ("file lock", None, "kd-flock"),
    "kd-plockwait": ("file lock", None, "kd-posixlock"),
}
"""Task -> what it waits for, how it wants it, and who holds it: as the programs in the guest are written."""


@pytest.fixture(scope="module")
def sample_data() -> bytes:
    return lzma.decompress((FOLDER / "lx612-locks.elf.xz").read_bytes())


@pytest.fixture(scope="module")
def dump(sample_data: bytes, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dump]:
    path = tmp_path_factory.mktemp("locks") / "lx612-locks.elf"
    path.write_bytes(sample_data)
    with kdbg.open(path) as target:
        yield target


def said(target: Any, command: str) -> tuple[str, str]:
    """What a command prints, and says on the error stream."""
    out, errors = ListSink(), ListSink()
    Session(target, out, errors).execute(command)
    return out.text(), errors.text()


def task(name: str) -> tuple[int, int]:
    """(tid, address of the task) by drgn."""
    tid, address, _ = TOLD["locks"][name]
    return tid, int(address, 16)


# tasks that wait


def test_blocked_tells_what_each_waits_for_and_who_has_it(dump: Dump) -> None:
    found = {one.name: (one.kind, one.mode, one.owner_name) for one in dump.run("::blocked")}
    assert {name: found.get(name) for name in PLAN} == PLAN


def test_blocked_leaves_out_who_waits_for_nobody_unless_all_are_asked_for(dump: Dump) -> None:
    some, everything = ({one.name for one in dump.run(command)} for command in ("::blocked", "::blocked -a"))
    assert {"kl-mx-owner", "kl-pi-owner", "kl-main", "kd-pipe"} & some == set()
    assert {"kl-mx-owner", "kl-pi-owner", "kl-main", "kd-pipe", *PLAN} <= everything


def test_blocked_tells_since_when(dump: Dump) -> None:
    found = {one.name: one for one in dump.run("::blocked -a")}
    latest = max(queue[4] for queue in TOLD["runqueues"])
    for name, (_, _, arrived) in TOLD["locks"].items():
        assert found[name].since == pytest.approx(arrived / 1e9)
        assert found[name].waited == pytest.approx((latest - arrived) / 1e9)


def test_the_longest_wait_comes_first(dump: Dump) -> None:
    waited = [one.waited for one in dump.run("::blocked")]
    assert waited == sorted(waited, reverse=True)


def test_functions_are_those_of_proc_wchan(dump: Dump) -> None:
    found = {str(one.tid): one.function for one in dump.run("::blocked -a")}
    assert {tid: found.get(tid) for tid in TOLD["wchan"]} == TOLD["wchan"]


def test_a_mutex_tells_its_owner_and_who_waits_in_their_order(dump: Dump) -> None:
    place = next(one.object for one in dump.run("::blocked") if one.name == "kl-mx-one")
    [lock] = dump.run(f"{place:x}::mutex")
    assert (lock.held, lock.owner, lock.owner_pid) == (True, task("kl-mx-owner")[1], task("kl-mx-owner")[0])
    assert [one.name for one in lock.waiters] == ["kl-mx-one", "kl-mx-two"]
    assert "waiters" in lock.flags


def test_an_rwsem_tells_how_each_wants_it(dump: Dump) -> None:
    place = next(one.object for one in dump.run("::blocked") if one.name == "kl-rw-read")
    [lock] = dump.run(f"{place:x}::rwsem")
    assert (lock.owner, lock.readers) == (task("kl-rw-owner")[1], 0)
    assert [(one.name, one.mode) for one in lock.waiters] == [("kl-rw-write", "write"), ("kl-rw-read", "read")]
    shown, _ = said(dump, f"{place:x}::rwsem")
    assert f"held by   {task('kl-rw-owner')[1]:x} kl-rw-owner/{task('kl-rw-owner')[0]}" in shown


@pytest.mark.parametrize(("command", "kind"), [("slab_mutex::mutex", "mutex"), ("namespace_sem::rwsem", "rwsem")])
def test_a_lock_that_nobody_holds(dump: Dump, command: str, kind: str) -> None:
    [lock] = dump.run(command)
    assert (lock.kind, lock.held, lock.owner, lock.waiters) == (kind, False, None, ())


def test_a_semaphore_counts(dump: Dump) -> None:
    [lock] = dump.run("console_sem::semaphore")
    assert (lock.held, lock.readers) == (False, 1)


def test_wchan_groups_the_tasks_by_what_they_wait_for(dump: Dump) -> None:
    frozen = next(one.object for one in dump.run("::blocked") if one.name == "kl-frozen")
    [channel] = dump.run(f"{frozen:x}::wchan")
    assert {"kl-frozen"} < {name for _, _, name in channel.waiters}
    assert any(name.startswith("kworker/") for _, _, name in channel.waiters)


def test_futexes_of_two_processes_at_one_address_are_two(dump: Dump) -> None:
    futexes = [one for one in dump.run("::wchan") if one.kind == "futex"]
    assert futexes
    for one in futexes:
        assert len({dump.run(f"{address:x}::threadlist")[0].mm for address, _, _ in one.waiters}) == 1


def test_wchan_of_nothing_says_so(dump: Dump) -> None:
    with pytest.raises(CommandError, match="no task is known to wait for it"):
        dump.run("slab_mutex::wchan")


# stacks


def names(dump: Dump, command: str) -> set[str]:
    known = {one.address: one.name for one in dump.run("::threadlist")}
    return {known[address] for group in dump.run(command) for address in group.threads}


def test_stacks_by_what_is_waited_for(dump: Dump) -> None:
    assert names(dump, "::stacks -s mutex") == {"kl-mx-one", "kl-mx-two"}
    assert names(dump, "::stacks -s rwsem") == {"kl-rw-write", "kl-rw-read"}
    every = names(dump, "::stacks -s ALL")
    assert {"kl-mx-one", "kl-rw-read", "kl-pi-wait", "kd-dstate"} < every
    assert names(dump, "::stacks -S ALL") & every == set()


def test_stacks_by_function_module_and_state(dump: Dump) -> None:
    assert names(dump, "::stacks -c pipe_write") == {"kl-mx-one", "kl-mx-owner", "kd-pipefull"}
    assert all(name.startswith("kworker/") for name in names(dump, "::stacks -m loop"))
    assert names(dump, "::stacks -t D -m loop") == names(dump, "::stacks -m loop") != set()
    assert not {"kl-mx-one"} & names(dump, "::stacks -T D")


def test_stacks_refuses_what_nobody_waits_for(dump: Dump) -> None:
    _, errors = said(dump, "::stacks -s shuttle")
    assert 'sobj "shuttle" not recognized' in errors


def test_stacks_of_a_kernel_that_did_not_panic(dump: Dump) -> None:
    assert dump.run("::stacks -t panic") == []


def test_stacks_are_those_of_dwarf_through_an_exception(dump: Dump) -> None:
    for name, told in TOLD["stacks"].items():
        # behind the frame in user mode drgn goes on and finds what is no address
        kernel = [pc for pc, _ in told if int(pc, 16) >> 47 == 0x1FFFF]
        assert [hex(frame.pc) for frame in dump.stack(task(name)[1]) if frame.pc >> 63] == kernel, name


def test_an_interrupted_function_is_marked_and_the_stack_goes_on(dump: Dump) -> None:
    frames = dump.stack(task("kl-mx-owner")[1])
    [at] = [at for at, frame in enumerate(frames) if frame.note == "interrupted here"]
    told = [pc for pc, interrupted in TOLD["stacks"]["kl-mx-owner"] if interrupted]
    assert hex(frames[at].pc) == told[0]
    assert frames[at - 1].symbol == "asm_exc_page_fault"
    assert "pipe_write" in [frame.symbol for frame in frames[at:]]


def test_the_stack_of_a_chosen_task(dump: Dump) -> None:
    address = task("kl-mx-one")[1]
    told = [frame.pc for frame in dump.stack(address)]
    assert [frame.pc for frame in dump.run(f"{address:x}$c")] == told
    assert [frame.pc for frame in dump.run(f"{address:x}$C 3")] == told[:3]
    with pytest.raises(CommandError, match="failed to read task_struct"):
        dump.run("8$c")


def test_a_zombie_has_no_stack_and_says_so(dump: Dump) -> None:
    zombie = next(one for one in dump.run("::threadlist") if one.name == "kd-zombie")
    with pytest.raises(CommandError, match="a zombie has no stack"):
        dump.run(f"{zombie.address:x}$c")


# status


def test_status_tells_uptime_load_and_taints(dump: Dump) -> None:
    [status] = dump.run("::status")
    assert status.uptime == pytest.approx((TOLD["jiffies"] - (1 << 32) + 300 * 250) / 250)
    assert list(status.load) == TOLD["avenrun"]
    assert (status.online_cpus, status.taints, status.panic_message) == (2, (), None)
    assert status.complete


def test_time_is_that_of_the_timekeeper(dump: Dump) -> None:
    [told] = dump.run("::time")
    assert told.value // 1_000_000_000 == TOLD["time"][1]
    [ticks] = dump.run("::time -l")
    assert ticks.value == TOLD["jiffies"]


def test_panicinfo_of_a_kernel_that_did_not_panic(dump: Dump) -> None:
    with pytest.raises(CommandError, match="has not panicked"):
        dump.run("::panicinfo")


def test_cpuinfo_tells_the_run_queues(dump: Dump) -> None:
    found = [[hex(one.address), one.runnable, one.switches, one.name] for one in dump.run("::cpuinfo")]
    assert found == [queue[:4] for queue in TOLD["runqueues"]]


def test_registers_hold_the_control_registers(dump: Dump) -> None:
    for cpu in dump.cpus():
        assert {"cr0", "cr2", "cr3", "cr4"} <= set(cpu.registers)
        assert cpu.registers["cr0"] & 0x80000001 == 0x80000001


# interrupts, timers, work, sockets


def test_interrupts_are_those_of_drgn(dump: Dump) -> None:
    found = {
        str(one.irq): [hex(one.address), one.chip, one.depth, one.name, list(one.counts)]
        for one in dump.run("::interrupts -a")
    }
    assert found == TOLD["irqs"]


def test_interrupts_shown_are_those_of_proc(dump: Dump) -> None:
    found = {str(one.irq): (one.name, one.chip) for one in dump.run("::interrupts")}
    assert found == {number: (one[2], one[3]) for number, one in TOLD["interrupts"].items()}


def test_timers_are_those_of_drgn(dump: Dump) -> None:
    timers = dump.run("::timers")
    shown = sorted([one.cpu, hex(one.address), one.expires, one.function] for one in timers if one.base == "wheel")
    assert shown == TOLD["wheel"]
    shown = sorted([one.cpu, hex(one.address), one.expires, one.function] for one in timers if one.base != "wheel")
    assert shown == TOLD["hrtimers"]


def test_a_timer_tells_whom_it_wakes_and_which_work_it_starts(dump: Dump) -> None:
    timers = dump.run("::timers")
    assert any((one.target or "").startswith("kd-nanosleep/") for one in timers if one.function == "hrtimer_wakeup")
    assert "vmstat_update" in {one.target for one in timers if one.function == "delayed_work_timer_fn"}


def test_work_queues_are_those_of_drgn(dump: Dump) -> None:
    found = {one.name: [hex(one.address), list(one.pools)] for one in dump.run("::workqueues")}
    assert found == {name: [one[0], sorted(set(one[2]))] for name, one in TOLD["workqueues"].items()}
    pools = {
        str(one.id): [hex(one.address), one.workers, one.idle, -1 if one.cpu is None else one.cpu]
        for one in dump.run("::workqueues -p")
    }
    assert pools == TOLD["pools"]


def test_work_that_runs_tells_who_does_it(dump: Dump) -> None:
    [queue] = dump.run("::workqueues -i")
    [work] = queue.works
    assert (queue.name, work.state, work.function) == ("loop1", "running", "loop_rootcg_workfn")
    assert work.worker in {address for group in dump.run("::stacks -m loop") for address in group.threads}


def endpoint(text: str) -> str:
    """127.0.0.1:4242 out of 0100007F:1092."""
    address, port = (int(part, 16) for part in text.split(":"))
    return ".".join(str(byte) for byte in struct.pack("<I", address)) + f":{port or '*'}"


@pytest.mark.parametrize("protocol", ["tcp", "udp"])
def test_sockets_are_those_of_proc_net(dump: Dump, protocol: str) -> None:
    states = {"01": "ESTABLISHED", "07": "UNCONN", "0A": "LISTEN"}
    told = {(endpoint(one[0]), endpoint(one[1]), states[one[2]], int(one[3])) for one in TOLD[protocol]}
    found = dump.run(f"::netstat -P {protocol}")
    assert {(one.local, one.remote, one.state, one.inode) for one in found} == told
    assert all((one.process or "").startswith(f"kd-{protocol}") for one in found)


def test_unix_sockets_are_those_of_proc_net(dump: Dump) -> None:
    found = {(str(one.inode), one.local) for one in dump.run("::netstat -f unix")}
    assert found == {(inode, path) for inode, path in TOLD["unix"]}


def test_sockets_are_found_in_the_tables_alone(dump: Dump) -> None:
    from kdbg.kernels.linux.sockets import Sockets

    part = Sockets(dump.kernel)  # type: ignore[arg-type]
    assert set(part._in_tables([])) == set(part._owners())


@pytest.mark.parametrize("command", ["::interrupts", "::timers", "::netstat", "::workqueues", "::workqueues -p"])
def test_one_by_its_address_and_none(dump: Dump, command: str) -> None:
    first = dump.run(command)[0]
    assert dump.run(f"{first.address:x}{command}") == [first]
    with pytest.raises(CommandError, match="12345678"):
        dump.run(f"12345678{command}")


def test_sockets_of_one_process(dump: Dump) -> None:
    [listening] = dump.run("::netstat -l -f inet")
    assert [one.address for one in dump.run(f"::netstat -p 0t{listening.pid}")] == [listening.address]


# trees, and code without symbol tables


def test_a_maple_tree_by_ranges_and_as_a_walker(dump: Dump) -> None:
    found = {str(one.first): hex(one.address) for one in dump.run("sparse_irqs::maple")}
    assert found == {number: one[0] for number, one in TOLD["irqs"].items()}
    assert [hex(one.address) for one in dump.run("sparse_irqs::walk maple")] == list(found.values())


def test_a_list_as_a_walker_and_by_members(dump: Dump) -> None:
    tasks = [one.address for one in dump.run("init_task::list struct task_struct tasks")]
    assert tasks[1:] == [one.address for one in dump.processes()]
    assert len(dump.run("slab_caches::walk list")) > 100


def test_walkers_need_an_address(dump: Dump) -> None:
    for name in ("list", "rbtree", "xarray", "maple"):
        with pytest.raises(CommandError, match="needs the address"):
            dump.run(f"::walk {name}")


def test_bpf_programs_are_named(dump: Dump) -> None:
    [[address, name]] = TOLD["bpf"]
    symbol, offset = dump.symbol_at(int(address, 16) + 8)
    assert (symbol.name, symbol.module, offset) == (name, "bpf", 8)


# damage


class Damaged:
    """Makes dumps out of the sample with other bytes at some addresses of the kernel's."""

    def __init__(self, data: bytes, whole: Dump, folder: Path) -> None:
        self.data, self.whole, self.folder = data, whole, folder
        self.opened: list[Dump] = []

    def __call__(self, changes: dict[int, int]) -> Dump:
        changed = bytearray(self.data)
        for address, value in changes.items():
            at = self._place(address)
            changed[at : at + 8] = struct.pack("<Q", value)
        path = self.folder / f"damaged-{len(self.opened)}.elf"
        path.write_bytes(changed)
        self.opened.append(kdbg.open(path))
        return self.opened[-1]

    def _place(self, address: int) -> int:
        """Where the byte of an address lies in the file, by its program headers."""
        physical = self.whole.translate(address).physical
        assert physical is not None
        [table] = struct.unpack_from("<Q", self.data, 32)
        size, count = struct.unpack_from("<HH", self.data, 54)
        for at in range(table, table + size * count, size):
            kind, _, offset, _, start, length = struct.unpack_from("<IIQQQQ", self.data, at)
            if kind == 1 and start <= physical < start + length:
                return offset + physical - start
        raise AssertionError(hex(address))


@pytest.fixture
def damaged(sample_data: bytes, dump: Dump, tmp_path: Path) -> Iterator[Callable[[dict[int, int]], Dump]]:
    maker = Damaged(sample_data, dump, tmp_path)
    yield maker
    for one in maker.opened:
        one.close()


def members(dump: Dump, name: str, path: str) -> int:
    from kdbg.kernels.linux.lists import offset_of

    return offset_of(dump.type(name), path)


def test_a_list_of_tasks_that_goes_in_a_circle_ends(dump: Dump, damaged: Callable[..., Dump]) -> None:
    links = [one.address + members(dump, "struct task_struct", "tasks") for one in dump.processes()]
    target = damaged({links[20]: links[5]})
    assert len(list(target.processes())) == 21
    assert "leads from" in " ".join(target.notes)
    assert said(target, "::blocked -a")[0]


def test_a_list_of_tasks_that_leads_nowhere_ends(dump: Dump, damaged: Callable[..., Dump]) -> None:
    links = [one.address + members(dump, "struct task_struct", "tasks") for one in dump.processes()]
    for value, word in ((0x1234, "no address of the kernel's"), (0xFFFF800000001000, "ends at")):
        target = damaged({links[20]: value})
        assert len(list(target.processes())) >= 20
        assert word in " ".join(target.notes)


def test_waiters_in_a_circle_end(dump: Dump, damaged: Callable[..., Dump]) -> None:
    lock = next(one.object for one in dump.run("::blocked") if one.name == "kl-mx-one")
    head = lock + members(dump, "struct mutex", "wait_list")
    first = dump.kernel.word(head)
    target = damaged({first: first})
    [found] = target.run(f"{lock:x}::mutex")
    assert [one.name for one in found.waiters] == ["kl-mx-one"]
    assert f"back to {first:x}" in " ".join(target.notes)


def test_an_owner_that_is_no_task_is_said(dump: Dump, damaged: Callable[..., Dump]) -> None:
    lock = next(one.object for one in dump.run("::blocked") if one.name == "kl-mx-one")
    target = damaged({lock: 0xFFFF800000001000 | 1})
    [found] = target.run(f"{lock:x}::mutex")
    assert (found.owner, found.owner_name) == (0xFFFF800000001000, "?")
    shown, _ = said(target, "::blocked")
    assert "kl-mx-one" in shown


def test_a_deadlock_is_marked(dump: Dump, damaged: Callable[..., Dump]) -> None:
    # The reader of the pipe gets the directory's lock, the one that waits for that the pipe's.
    known = {one.name: one for one in dump.run("::blocked")}
    assert not any(one.deadlock for one in known.values())
    owner = known["kl-rw-write"].object + members(dump, "struct rw_semaphore", "owner")
    target = damaged({known["kl-mx-one"].object: task("kl-rw-read")[1] | 1, owner: task("kl-mx-two")[1]})
    circle = {one.name for one in target.run("::blocked") if one.deadlock}
    assert circle == {"kl-mx-two", "kl-rw-read"}
    assert said(target, "::blocked")[0].count("a deadlock") == 2


def test_timers_in_a_circle_end(dump: Dump, damaged: Callable[..., Dump]) -> None:
    timer = next(one for one in dump.run("::timers -w") if one.cpu == 0)
    target = damaged({timer.address: timer.address})
    assert len(target.run("::timers -w")) <= len(dump.run("::timers -w"))
    assert f"leads back to {timer.address:x}" in " ".join(target.notes)


def test_a_tree_of_timers_in_a_circle_ends(dump: Dump, damaged: Callable[..., Dump]) -> None:
    timer = next(one for one in dump.run("::timers -h") if one.cpu == 0)
    node = timer.address + members(dump, "struct hrtimer", "node.node")
    target = damaged({node + 8: node})
    assert len(target.run("::timers -h")) <= len(dump.run("::timers -h"))
    assert "the tree leads back" in " ".join(target.notes)


def test_sockets_in_a_circle_end(dump: Dump, damaged: Callable[..., Dump]) -> None:
    listening = dump.run("::netstat -l -f unix")[0]
    node = listening.address + members(dump, "struct sock_common", "skc_node")
    target = damaged({node: node})
    assert {one.address for one in target.run("::netstat")} == {one.address for one in dump.run("::netstat")}
    assert "leads back to" in " ".join(target.notes)


def test_pending_work_is_found(dump: Dump, damaged: Callable[..., Dump]) -> None:
    # The work of a timer is hung onto the list of a pool, as queue_work would have done.
    pool = next(one for one in dump.run("::workqueues -p") if one.cpu == 0 and not one.flags)
    timer = next(one for one in dump.run("::timers") if one.target == "psi_avgs_work")
    queue = next(one for one in dump.run("::workqueues") if one.name == "events")
    serving = dump.kernel.word(queue.address + members(dump, "struct workqueue_struct", "pwqs"))
    serving -= members(dump, "struct pool_workqueue", "pwqs_node")
    work = timer.address - members(dump, "struct delayed_work", "timer")
    entry = work + members(dump, "struct work_struct", "entry")
    head = pool.address + members(dump, "struct worker_pool", "worklist")
    target = damaged({head: entry, head + 8: entry, entry: head, entry + 8: head, work: serving | 5})
    found = next(one for one in target.run("::workqueues -p") if one.address == pool.address)
    assert [(one.state, one.function, one.queue) for one in found.pending] == [("pending", "psi_avgs_work", "events")]


def test_works_that_lead_nowhere_are_said(dump: Dump, damaged: Callable[..., Dump]) -> None:
    pool = dump.run("::workqueues -p")[-1]
    target = damaged({pool.address + members(dump, "struct worker_pool", "worklist"): 0xFFFF800000001000})
    assert len(target.run("::workqueues")) == len(dump.run("::workqueues"))
    assert "ends at" in " ".join(target.notes)


def test_interrupts_behind_a_broken_tree_are_said(dump: Dump, damaged: Callable[..., Dump]) -> None:
    [root] = struct.unpack("<Q", dump.read(dump.symbol("sparse_irqs").address + 8, 8))
    node = root & ~0xFF
    target = damaged({node + members(dump, "struct maple_arange_64", "slot"): root})
    said(target, "::interrupts")
    assert target.notes


def test_a_dump_that_is_cut_off_says_what_cannot_be_read(sample_data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "cut.elf"
    path.write_bytes(sample_data[: len(sample_data) * 2 // 3])
    commands = ("::status", "::blocked", "::wchan", "::netstat", "::interrupts", "::timers", "::workqueues -v",
                "::workqueues -p", "::cpuinfo -v", "::stacks", "::threadlist -v", "::time")  # fmt: skip
    with kdbg.open(path) as target:
        assert target.notes
        for command in commands:
            shown, errors = said(target, command)
            assert shown or errors, command
            assert "internal error" not in errors
