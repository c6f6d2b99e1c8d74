"""Tasks by their form: init_task is its own parent and leads the ring of all that lead their own group.

Sources: include/linux/sched.h (task_struct: the order of members), init/init_task.c, include/linux/sched/signal.h,
include/uapi/linux/magic.h (STACK_END_MAGIC), include/linux/nsproxy.h, include/linux/fdtable.h.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy

from kdbg.errors import Error
from kdbg.kernels.linux.framepointers import Text
from kdbg.kernels.linux.probe.declared import declare_locks
from kdbg.kernels.linux.probe.samples import Column, Samples, share, some, words_of

if TYPE_CHECKING:
    from kdbg.kernels.linux.kernel import Linux
    from kdbg.kernels.linux.probe.table import Table

TASK = "task_struct"
NAME = re.compile(rb"swapper(/0)?\0+")
NAME_SIZE = 16
"""TASK_COMM_LEN."""
BEFORE = 8192
"""Bytes of task_struct before its name, at most."""
LARGEST = 12288
FEWEST = 4
MOST = 1 << 20
STACK_END = 0x57AC6E9D
KERNEL_THREAD = 0x200000
"""PF_KTHREAD."""
CHILD = 17
"""SIGCHLD, which most processes tell their parent of their end by."""
SLEEPING, IDLE = 1, 0x402
SECOND = 1_000_000_000
CALLEE_SAVED = 80
"""Bytes of cpu_context (arm64), x19 to x28, before fp, sp, pc; thread_struct begins with it."""
TLS = 24
"""Bytes of thread_struct.tls_array (x86), before sp; with 32 bits sp0 stands between them."""
_OF_CPU = re.compile(r"(?:cpuhp|migration|ksoftirqd)/(\d+)")


def probe(table: Table, caches: list[int]) -> bool:
    """Find struct task_struct and what hangs on it; False where no tasks are found. ``caches``: addresses of caches."""
    kernel = table.kernel
    for comm, base, parent in _first(kernel):
        ring = _ring(kernel, base, parent + 6 * table.word, comm)
        if ring is not None:
            tasks_at, table.tasks = ring
            break
    else:
        return False
    table.heads["init_task"] = base
    samples = Samples(kernel, table.tasks, table.limit(TASK, LARGEST))
    put, word = table.member, table.word
    put(TASK, "comm", f"char [{NAME_SIZE}]", comm)
    put(TASK, "tasks", "struct list_head", tasks_at)
    names = (("real_parent", 0), ("parent", 1), ("group_leader", 6))
    for name, at in names:
        put(TASK, name, "struct task_struct *", parent + at * word)
    for name, at in (("children", 2), ("sibling", 4)):
        put(TASK, name, "struct list_head", parent + at * word)
    _numbers(table, samples, parent)
    _running(table, samples)
    _memory(table, samples)
    _behind_name(table, samples, comm)
    return True


def _first(kernel: Linux) -> Iterator[tuple[int, int, int]]:
    """(offset of comm, address, offset of real_parent) of what may be init_task: it is its own parent and leader."""
    word = kernel.bits // 8
    for segment in kernel.mapping.data():
        for hit in kernel.mapping.search(segment, b"swapper"):
            start = max(hit - BEFORE, segment.address)
            try:
                data = kernel.mapping.read(start, hit - start + NAME_SIZE)
            except Error:
                continue
            if not NAME.fullmatch(data[-NAME_SIZE:]):
                continue
            count = (hit - start) // word
            skipped = (hit - start) % word
            words = numpy.frombuffer(data, "<u8" if word == 8 else "<u4", count, skipped)
            inside = (words >= start) & (words < hit) & (words % word == 0)
            same = inside[:-6] & (words[:-6] == words[1:-5]) & (words[:-6] == words[6:])
            for at in numpy.flatnonzero(same).tolist():
                base = int(words[at])
                parent = start + skipped + at * word - base
                if 0 < parent < hit - base:
                    yield hit - base, base, parent


def _ring(kernel: Linux, first: int, leader: int, comm: int) -> tuple[int, list[int]] | None:
    """(offset of the node, addresses) of the ring in which each task leads its own group and has a name."""
    word = kernel.bits // 8

    def is_leader(address: int) -> bool:
        name = kernel.memory.read(address + comm, NAME_SIZE)
        return kernel.word(address + leader) == address and name[-1] == 0

    for offset in range(0, leader, word):
        found, seen = [first], {first}
        try:
            at = kernel.word(first + offset)
            while at != first + offset and len(found) < MOST:
                task = at - offset
                if task in seen or not kernel.in_kernel(at) or not is_leader(task):
                    break
                seen.add(task)
                found.append(task)
                at = kernel.word(at)
            else:
                if len(found) >= FEWEST:
                    return offset, found
        except Error:
            pass
        if len(found) >= 4 * FEWEST:  # a dump that lacks pages, or a damaged ring: as far as it goes
            return offset, found
    return None


def _numbers(table: Table, samples: Samples, parent: int) -> None:
    """Ids, flags and times: what is different for all, or set for the kernel's own threads alone."""
    put = table.member

    def are_ids(at: int) -> bool:
        pids, groups = samples.int_at(at), samples.int_at(at + 4)
        different = len(numpy.unique(pids)) == len(samples)
        return different and int(pids[0]) == 0 and bool((pids == groups).all()) and int(pids.max()) < 1 << 22

    pid = put(TASK, "pid", "int", samples.first_at(are_ids, 0, parent, 4))
    put(TASK, "tgid", "int", pid + 4 if pid is not None else None)
    if pid is None:
        return
    pids, parents = samples.int_at(pid), samples.at(parent)
    keeper = [address for address, number in zip(samples.addresses, pids.tolist(), strict=True) if number == 2]
    of_kernel = (pids == 0) | (pids == 2) | (numpy.isin(parents, numpy.array(keeper, parents.dtype)))

    def are_flags(column: Column) -> bool:
        return bool((((column & KERNEL_THREAD) != 0) == of_kernel).all())

    put(TASK, "flags", "unsigned int", samples.first_int(are_flags, 0, parent))

    def are_times(at: int) -> bool:
        times, boot = samples.long_at(at)[1:], samples.long_at(at + 8)[1:]
        ahead = boot - times  # the time that was slept
        grow = share(times[1:] >= times[:-1]) > 0.95 and len(numpy.unique(times)) > len(times) // 2
        return grow and bool((times < 1 << 60).all() and int(times[0]) > 0 and int(ahead.max() - ahead.min()) < SECOND)

    started = samples.first_at(are_times, parent, samples.size - 16, 4 if table.word == 4 else 8)
    put(TASK, "start_time", "unsigned long long", started)

    def are_priorities(at: int) -> bool:
        now, fixed, normal, real_time = (samples.int_at(at + 4 * step) for step in range(4))
        usual = (real_time == 0) & (normal == fixed) | (real_time > 0) & (real_time < 100) & (normal == 99 - real_time)
        return bool(((fixed >= 100) & (fixed < 140)).all()) and share(usual & (now < 140)) > 0.95

    priority = samples.first_at(are_priorities, 0, parent, 4)
    for step, name in enumerate(("prio", "static_prio", "normal_prio")):
        put(TASK, name, "int", priority + 4 * step if priority is not None else None)
    table.of_kernel = of_kernel


def _running(table: Table, samples: Samples) -> None:
    """State, stack, CPU: the stack begins with a magic word, the saved stack pointer points into it."""
    put, kernel = table.member, table.kernel

    def is_stack(column: Column) -> bool:
        pages = column % 4096 == 0
        if share(pages) < 1 or share(samples.of_kernel(column)) < 0.5:
            return False
        bottoms = [address for address in column.tolist() if address][:64]
        ends = [word_ & 0xFFFFFFFF == STACK_END for word_ in words_of(kernel, bottoms)]
        return share(numpy.array(ends)) > 0.9

    stack = put(TASK, "stack", "void *", samples.first_word(is_stack, 0, 256))
    if stack is None:
        return

    def is_state(column: Column) -> bool:  # idle workers are in a state of their own
        usual = (column == SLEEPING) | (column == IDLE)
        return share(usual) > 0.5 and bool((column == IDLE).any()) and bool((column < 1 << 17).all())

    state = put(TASK, "__state", "unsigned int", samples.first_int(is_state, 0, stack))
    flags = table.offset(TASK, "flags") or stack
    limit = table.offset(TASK, "prio") or flags + 512
    cpus = len(kernel.target.image.contexts)

    def is_running(column: Column) -> bool:
        running = (column == 1).sum()
        return bool((column <= 1).all()) and 0 < running <= max(cpus, 1)

    on_cpu = put(TASK, "on_cpu", "int", samples.first_int(is_running, flags + 8, limit))
    comm = table.offset(TASK, "comm") or 0
    named = {}
    for row, address in enumerate(samples.addresses):
        name = kernel.memory.read(address + comm, NAME_SIZE).partition(b"\0")[0].decode("latin-1")
        if found := _OF_CPU.fullmatch(name):
            named[row] = int(found[1])

    def is_cpu(column: Column) -> bool:  # threads of one CPU have its number in their names
        return all(int(column[row]) == cpu for row, cpu in named.items())

    cpu = samples.first_int(is_cpu, 0, limit) if max(named.values(), default=0) > 0 else None
    if cpu is not None and state is not None and cpu < state:
        table.member("thread_info", "cpu", "unsigned int", cpu)
        table.size("thread_info", state)
        put(TASK, "thread_info", "struct thread_info", 0)
    else:
        put(TASK, "cpu", "unsigned int", cpu)
    _saved(table, samples, stack, on_cpu)


def _saved(table: Table, samples: Samples, stack: int, on_cpu: int | None) -> None:
    """Where a task that left its CPU saved its registers: the one word that points into its own stack."""
    word, kernel = table.word, table.kernel
    asleep = (samples.at(stack) != 0) & ((samples.int_at(on_cpu) == 0) if on_cpu is not None else True)
    bottom = samples.at(stack)[asleep]

    def inside(at: int) -> bool:
        column = samples.at(at)[asleep]
        return bool(((column > bottom) & (column < bottom + numpy.array(1 << 14, column.dtype))).all())

    def saved(at: int) -> bool:  # a place to return to lies there
        return inside(at) and all(_returns(kernel, sp) for sp in samples.at(at)[asleep].tolist()[:16])

    start = (table.offset(TASK, "comm") or 0) + NAME_SIZE
    arm = kernel.target.image.architecture == "arm64"
    end = samples.size - 4 * word
    found = samples.first_at(inside if arm else saved, start, end, word) if bool(asleep.any()) else None
    if arm:  # fp, sp, pc of struct cpu_context
        if found is not None and inside(found + word):
            for step, name in enumerate(("fp", "sp", "pc")):
                table.member("cpu_context", name, "unsigned long", CALLEE_SAVED + step * word)
            table.member("thread_struct", "cpu_context", "struct cpu_context", 0)
            found -= CALLEE_SAVED
    elif found is not None:
        before = TLS + (word if word == 4 and share(samples.at(found - word)[asleep] > bottom) > 0.5 else 0)
        table.member("thread_struct", "sp", "unsigned long", before)
        found -= before
    table.member(TASK, "thread", "struct thread_struct", found)


def _returns(kernel: Linux, sp: int) -> bool:
    """Whether a place in the kernel's code is among the first words of a stack."""
    text = kernel.part(Text)
    return any(text.holds(one) for one in words_of(kernel, [sp + at * kernel.bits // 8 for at in range(8)]))


def _memory(table: Table, samples: Samples) -> None:
    """The address space: the kernel's own threads have none; and how a task ended."""
    put, word = table.member, table.word
    tasks = table.offset(TASK, "tasks") or 0
    if table.of_kernel is None:
        return
    user = ~table.of_kernel

    def is_space(at: int) -> bool:
        own, active = samples.at(at), samples.at(at + word)
        alive = user & (own != 0)
        good = share(samples.of_kernel(own)[user]) > 0.5 if bool(user.any()) else False
        return good and not bool(own[~user].any()) and bool((own[alive] == active[alive]).all())

    mm = put(TASK, "mm", "struct mm_struct *", samples.first_at(is_space, tasks, samples.size - word, word))
    put(TASK, "active_mm", "struct mm_struct *", mm + word if mm is not None else None)

    def is_end(at: int) -> bool:  # exit_state, exit_code, exit_signal
        state, signal = samples.int_at(at), samples.int_at(at + 8)
        return bool(numpy.isin(state, (0, 16, 32)).all()) and share(signal == CHILD) > 0.6

    put(TASK, "exit_state", "int", samples.first_at(is_end, mm or tasks, samples.size - 12, 4))


def _behind_name(table: Table, samples: Samples, comm: int) -> None:
    """What lies around the name: credentials before it; files, namespaces, signals behind it."""
    put, word, kernel = table.member, table.word, table.kernel

    def are_credentials(at: int) -> bool:
        real, own = samples.at(at), samples.at(at + word)
        return bool(samples.of_kernel(real).all() and (real == own).all())

    pairs = (at for at in (comm - 2 * word, comm - 3 * word, comm - 4 * word) if are_credentials(at))
    real = put(TASK, "real_cred", "struct cred *", next(pairs, None))
    put(TASK, "cred", "struct cred *", real + word if real is not None else None)
    if real is not None:
        _credentials(table, words_of(kernel, samples.addresses[:1], real)[0])
    rows = [row for row, held in enumerate(samples.addresses) if row]
    behind = range(comm + NAME_SIZE, min(comm + NAME_SIZE + 256, samples.size), word)
    files = next((at for at in behind if _are_files(table, [int(samples.at(at)[row]) for row in rows])), None)
    put(TASK, "files", "struct files_struct *", files)
    put(TASK, "fs", "struct fs_struct *", files - word if files is not None else None)
    spaces = next((at for at in behind if _are_namespaces(table, int(samples.at(at)[0]))), None)
    put(TASK, "nsproxy", "struct nsproxy *", spaces)
    signal = next((at for at in behind if _are_signals(table, samples, at)), None)
    put(TASK, "signal", "struct signal_struct *", signal)
    put(TASK, "sighand", "struct sighand_struct *", signal + word if signal is not None else None)


def _credentials(table: Table, first: int) -> None:
    """Init's credentials: eight ids of zero, securebits, then the sets of capabilities, of which most are full."""
    data = some(table.kernel, first, 256)
    full = re.search(rb"(?:[\xff]{4}[\x01-\xff][\x00-\x03]\0\0){2}", data)
    if full is None or full.start() % 4:
        table.missing.append("cred.uid")
        return
    inheritable = full.start() - 8  # cap_inheritable is empty, cap_permitted the first that is full
    start = min(inheritable - 4 - 32, 8)  # behind the count of users; securebits may be filled up
    if start < 4 or any(data[start:inheritable]):
        table.missing.append("cred.uid")
        return
    for step, name in enumerate(("uid", "gid", "suid", "sgid", "euid", "egid", "fsuid", "fsgid")):
        table.member("cred", name, "struct kuid_t", start + 4 * step)


def _are_files(table: Table, addresses: list[int]) -> bool:
    """Whether these are files_structs: ``fdt`` points to the table inside, which points to its own array of files."""
    kernel, word = table.kernel, table.word
    distinct = [address for address in dict.fromkeys(addresses) if address]
    if not distinct or not all(map(kernel.in_kernel, distinct)):
        return False
    for address in distinct[-8:]:
        data = some(kernel, address, 512)
        words = [int.from_bytes(data[at : at + word], "little") for at in range(0, len(data) - word, word)]
        for at in range(len(words) - 4):
            inner = words[at] - address
            if inner != (at + 1) * word or words[at + 1] & 0xFFFFFFFF != kernel.bits:
                continue
            if address < words[at + 2] < address + len(data):
                table.member("files_struct", "fdt", "struct fdtable *", at * word)
                table.member("files_struct", "fdtab", "struct fdtable", inner)
                table.member("files_struct", "fd_array", f"struct file * [{kernel.bits}]", words[at + 2] - address)
                return True
    return False


def _are_namespaces(table: Table, address: int) -> bool:
    """Whether this is the first nsproxy: its second word points to init_uts_ns, whose names begin it."""
    kernel, word = table.kernel, table.word
    pointers = words_of(kernel, [address + at * word for at in range(1, 6)]) if kernel.in_kernel(address) else [0]
    name = some(kernel, pointers[0], 32).find(b"Linux\0") if kernel.in_kernel(pointers[0]) else -1
    if not 0 <= name <= 16:
        return False
    kinds = ("uts_ns", "uts_namespace"), ("ipc_ns", "ipc_namespace"), ("mnt_ns", "mnt_namespace"), \
            ("pid_ns_for_children", "pid_namespace"), ("net_ns", "net")  # fmt: skip
    for at, (member, kind) in enumerate(kinds, 1):
        table.member("nsproxy", member, f"struct {kind} *", at * word)
    table.member("uts_namespace", "name", "struct new_utsname", name)
    return True


def _locks(table: Table, signals: list[int], place: int) -> None:
    """Whether locks are plain: signal_struct.wait_chldexit is a lock and a list, empty where nobody waits."""
    word = table.word
    following = words_of(table.kernel, signals, place + word)
    empty = [one == signal + place + word for one, signal in zip(following, signals, strict=True)]
    if share(numpy.array(empty)) > 0.5:
        declare_locks(table)
        table.member("signal_struct", "wait_chldexit", "struct wait_queue_head", place)


def _are_signals(table: Table, samples: Samples, at: int) -> bool:
    """Whether these are signal_structs: a ring near their start goes through one place of all their tasks."""
    kernel, word = table.kernel, table.word
    holders = samples.at(at)
    if not bool(samples.of_kernel(holders).all()) or len(numpy.unique(holders)) < len(samples):
        return False
    for head in range(word, 64, word):
        following = words_of(kernel, holders.tolist(), head)
        places = {node - task for node, task in zip(following, samples.addresses, strict=True)}
        most = [place for place in places if 0 < place < samples.size]
        if len(most) != 1 or len(places) > max(1, len(samples) // 20 + 1):
            continue
        place = most[0]
        single = [task + place for task, node in zip(samples.addresses, following, strict=True) if node - task == place]
        if (
            words_of(kernel, single[:8], word)
            != [
                holder + head
                for holder, node, task in zip(holders.tolist(), following, samples.addresses, strict=True)
                if node - task == place
            ][:8]
        ):
            continue
        table.member("signal_struct", "thread_head", "struct list_head", head)
        _locks(table, holders.tolist(), head + 2 * word)
        table.member(TASK, "thread_node", "struct list_head", place)
        return True
    return False
