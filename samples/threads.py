"""Threads, their stacks, processes and CPUs of a kernel that is being built.

Facts: sys/thread.h, sys/proc.h, sys/cpuvar.h, sys/disp.h, sys/taskq_impl.h, sys/privregs.h; how a stack ends and where
arguments are found: the findstack and stack code of mdb.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import pairwise

from samples.image import KernelImage, Structure
from samples.kmem import Cache, build_tree
from samples.memory import PAGE, PageTables, Space
from samples.plan import (
    TS_STATES,
    Call,
    PlannedCpu,
    PlannedFrame,
    PlannedProcess,
    PlannedTaskq,
    PlannedThread,
    ProcessSpec,
    ThreadSpec,
)

LBOLT = 50_000
NSEC_PER_TICK = 10_000_000
T_LOAD = 1
"""TS_LOAD of t_schedflag: the thread is in memory."""
T_INTR_THREAD = 1
"""Of t_flag: an interrupt thread."""
PRIORITIES = 170
KERNEL_CS, KERNEL_SS = 0xE033, 0xE02B
KERNEL_CS32, KERNEL_SS32 = 0xE019, 0xE021
HVM_CS, HVM_SS = 0x28, 0x30


def plan_calls(image: KernelImage, stacks: list[tuple[Call, ...]]) -> None:
    """Have every function on a stack call the one above it, with as many arguments as it is shown with."""
    for stack in stacks:
        for newer, older in pairwise(stack):
            caller, callee = image.functions[older[0]], image.functions[newer[0]]
            caller.calls(callee)


def write_stack(
    image: KernelImage, top: int, stack: tuple[Call, ...], user: bool, interrupted: PlannedFrame | None = None
) -> tuple[PlannedFrame, ...]:
    """Write a frame chain that ends at ``top``; returns its frames, newest first.

    A kernel thread's oldest frame lies right below the top and ends the chain with zeros; a user thread's stack ends in
    the saved registers (struct regs) at ``top``, whose first two words do the same. An interrupt thread's chain goes on
    in the stack of the ``interrupted`` thread.
    """
    word, bits = image.word, image.bits
    above = 16 if interrupted is not None and bits == 32 else 0  # the oldest function's own arguments
    fps = [top if user else top - 2 * word - above]
    for newer, older in zip(reversed(stack[:-1]), reversed(stack[1:]), strict=True):
        room = image.functions[older[0]].locals(bits)
        if bits == 32:
            room += 4 * len(newer[1])
        fps.append(fps[-1] - room - 2 * word)
    fps.reverse()
    frames = []
    for number, (name, arguments) in enumerate(stack):
        fp = fps[number]
        older_pc = 0
        if number + 1 < len(stack):
            older_pc = image.pc(stack[number + 1][0], name)
        older_fp = fps[number + 1] if number + 1 < len(stack) else 0
        if number + 1 == len(stack) and interrupted is not None:
            older_fp, older_pc = interrupted.fp, image.pc(interrupted.symbol, name)
        image.space.write(fp, older_fp.to_bytes(word, "little") + older_pc.to_bytes(word, "little"))
        for position, argument in enumerate(arguments):
            at = fp - 8 * (position + 1) if bits == 64 else fp + 8 + 4 * position
            if number + 1 < len(stack) or bits == 64 or above:
                image.space.write(at, argument.to_bytes(word, "little"))
        pc = image.pc(name) if number == 0 else image.pc(name, stack[number - 1][0])
        address = image.functions[name].address
        frames.append(PlannedFrame(pc, fp, name, pc - address, arguments))
    return tuple(frames)


@dataclass
class Process:
    """A process under construction."""

    spec: ProcessSpec
    record: Structure
    address_space: Structure
    tables: PageTables | None
    user_tables: PageTables | None = None
    pages: dict[int, int] = field(default_factory=dict)
    threads: list[Structure] = field(default_factory=list)


class Population:
    """Builds processes, threads, task queues and CPUs, in that order."""

    def __init__(self, image: KernelImage, caches: dict[str, Cache]) -> None:
        self.image = image
        self.caches = caches
        self.processes: dict[str, Process] = {}
        self.taskqs: dict[str, tuple[Structure, list[int]]] = {}
        self.cpus: list[Structure] = []
        self.threads: list[PlannedThread] = []
        self.records: dict[str, Structure] = {}
        """Threads by label."""

    def structure(self, cache: str, type_name: str) -> Structure:
        """A structure from a kmem cache."""
        return self.image.structure(type_name, self.caches[cache].allocate())

    # --- processes -------------------------------------------------------------------------------------------------

    def kernel_process(self, kas: Structure) -> None:
        """Process 0, whose address space is the kernel's."""
        record = self.image.structure("proc_t", self.image.symbols["p0"].address)
        self._process(ProcessSpec("sched", 0, "", "sched"), record, kas, None)

    def process(self, spec: ProcessSpec) -> None:
        """A process with an address space of its own."""
        image = self.image
        tables = PageTables(image.frames, image.paging)
        space = Space(tables, image.user_leaf())
        process_as = self.structure("as_cache", "struct as")
        process = self._process(spec, self.structure("process_cache", "proc_t"), process_as, tables)
        if image.paravirtual and image.bits == 64:
            process.user_tables = PageTables(image.frames, image.paging)
        for va, content in sorted(spec.pages.items()):
            space.write(va, content[:PAGE].ljust(PAGE, b"\0"))
            pfn = process.pages[va] = space.pages[va // PAGE]
            if process.user_tables is not None:
                process.user_tables.map(va, pfn, image.user_leaf())
        self._user_segments(process)

    def _process(
        self, spec: ProcessSpec, record: Structure, address_space: Structure, tables: PageTables | None
    ) -> Process:
        image = self.image
        address_space.update(a_proc=record, a_userlimit=image.map.user_limit)
        slot = len(self.processes)
        pid = image.new("struct pid", pid_id=spec.pid, pid_ref=1)
        # pid_prslot is a bit-field: the upper 24 bits of the first word
        image.space.write(pid.address, (slot << 8).to_bytes(4, "little"))
        cred = image.new("cred_t", cr_uid=spec.uid, cr_ruid=spec.uid, cr_suid=spec.uid, cr_ref=1)
        session = image.new("sess_t", s_sidp=pid)
        parent = self.processes.get(spec.parent)
        record.update(
            p_as=address_space, p_pidp=pid, p_pgidp=pid, p_sessp=session, p_cred=cred, p_stat=2,
            p_flag=0x4A004000 if spec.pid else 1, p_ppid=parent.spec.pid if parent else 0,
            p_task=image.symbols["task0"].address, p_zone=image.symbols["zone0"].address,
        )  # fmt: skip
        record["p_user.u_comm"] = spec.name
        record["p_user.u_psargs"] = spec.arguments or spec.name
        record["p_user.u_start.tv_sec"] = 1_600_000_000 + spec.pid
        if parent is not None:
            record["p_parent"] = parent.record
            record["p_sibling"] = parent.record["p_child"]
            parent.record["p_child"] = record
        process = self.processes[spec.name] = Process(spec, record, address_space, tables)
        return process

    def _user_segments(self, process: Process) -> None:
        image = self.image
        runs: list[list[int]] = []
        for va in sorted(process.pages):
            if runs and runs[-1][1] == va:
                runs[-1][1] += PAGE
            else:
                runs.append([va, va + PAGE])
        segments = []
        for start, end in runs:
            segment = self.structure("seg_cache", "seg_t")
            segment.update(s_base=start, s_size=end - start, s_as=process.address_space,
                           s_ops=image.symbols["segvn_ops"].address)  # fmt: skip
            segments.append(segment.address)
        offset, size = image.layout.offset("seg_t", "s_tree"), image.layout.sizeof("seg_t")
        build_tree(process.address_space, "a_segtree", segments, offset, size)

    def link_processes(self) -> list[PlannedProcess]:
        """Write the lists of processes; returns them as built."""
        image = self.image
        records = [process.record for process in self.processes.values()]
        hash_size = 4
        buckets = [0] * hash_size
        for process in self.processes.values():
            pid = image.structure("struct pid", process.record["p_pidp"])
            bucket = process.spec.pid & hash_size - 1
            pid["pid_link"] = buckets[bucket]
            buckets[bucket] = pid.address
        image.set("pidhash", image.words(buckets))
        image.set("pid_hashsz", hash_size)
        image.set("nproc", len(records))
        image.set("procdir", image.words([r.address for r in records]))
        active = records[1:]
        for here, after in pairwise(active):
            here["p_next"], after["p_prev"] = after, here
        image.set("practive", active[0] if active else 0)
        for process in self.processes.values():
            ring = process.threads
            for here, after in zip(ring, ring[1:] + ring[:1], strict=True):
                here["t_forw"], after["t_back"] = after, here
            process.record["p_tlist"] = ring[0] if ring else 0
            process.record["p_lwpcnt"] = len(ring)
        return [
            PlannedProcess(
                name, process.spec.pid, self.processes[process.spec.parent].spec.pid if process.spec.parent else 0,
                process.record.address, process.address_space.address,
                (process.tables or image.tables).root, process.user_tables.root if process.user_tables else None,
                process.pages,
            )
            for name, process in self.processes.items()
        ]  # fmt: skip

    # --- threads ---------------------------------------------------------------------------------------------------

    def taskq(self, name: str, threads: int) -> None:
        """A task queue; its threads are made by `thread`."""
        record = self.structure("taskq_cache", "taskq_t")
        record.update(tq_name=name, tq_nthreads=threads, tq_nthreads_max=threads, tq_active=0, tq_pri=60)
        for path in ("tq_task.tqent_next", "tq_task.tqent_prev"):
            record[path] = record.at("tq_task")
        self.taskqs[name] = (record, [])

    def thread(self, spec: ThreadSpec) -> None:
        """A thread."""
        image, process = self.image, self.processes[spec.process]
        user = spec.process != "sched"
        record = self.records[spec.label] = self.structure("thread_cache", "kthread_t")
        base = image.stacks.take(spec.stack_size, PAGE)
        image.stacks.next += PAGE  # the red zone
        top = base + spec.stack_size - (image.layout.sizeof("struct regs") + 15 & -16 if user else 0)
        frames: tuple[PlannedFrame, ...] = ()
        sp = pc = top
        if spec.stack:
            interrupted = self.planned(spec.pins).frames[0] if spec.pins else None
            frames = write_stack(image, top, spec.stack, user, interrupted)
            pc, sp = frames[0].pc, frames[0].fp
        process.threads.append(record)
        tid = len(process.threads) if user else 0
        record.update(
            t_stk=top, t_stkbase=base, t_state=TS_STATES[spec.state], t_pri=spec.priority, t_epri=0,
            t_schedflag=T_LOAD, t_procp=process.record, t_tid=tid, t_cred=process.record["p_cred"],
            t_cid=1 if user else 0, t_did=len(self.threads) + 1,
        )  # fmt: skip
        record["t_pcb.val[0]"], record["t_pcb.val[1]"] = pc, sp
        if len(spec.stack) > 1 and not user:
            record["t_startpc"] = image.functions[spec.stack[-2][0]].address
        if spec.name:
            record["t_name"] = image.string(spec.name)
        if spec.interrupt_level:
            assert spec.cpu is not None
            record.update(t_flag=T_INTR_THREAD, t_pil=spec.interrupt_level, t_bound_cpu=self.cpus[spec.cpu])
        if spec.pins:
            record["t_intr"] = self.records[spec.pins]
        record["t_lwpchan.lc_wchan"] = spec.wait_channel
        if spec.sobj:
            record["t_sobj_ops"] = image.symbols[f"{spec.sobj}_sobj_ops"].address
        if user:
            lwp = self.structure("lwp_cache", "klwp_t")
            lwp.update(lwp_thread=record, lwp_procp=process.record, lwp_regs=top)
            record["t_lwp"] = lwp
        queue = None
        if spec.taskq:
            queue = self.taskqs[spec.taskq][0]
            self.taskqs[spec.taskq][1].append(record.address)
            record["t_taskq"] = queue
        self.threads.append(
            PlannedThread(spec.label, record.address, process.spec.pid, tid, spec.process, spec.state, base, top,
                          frames, queue.address if queue else None, spec.cpu)
        )  # fmt: skip

    def planned(self, label: str) -> PlannedThread:
        """A thread as built so far, by its label."""
        return next(thread for thread in self.threads if thread.label == label)

    def link_threads(self) -> list[PlannedTaskq]:
        """Write the ring of all threads and the task queues' lists; returns the queues as built."""
        image = self.image
        ring = [image.structure("kthread_t", thread.address) for thread in self.threads]
        for here, after in zip(ring, ring[1:] + ring[:1], strict=True):
            here["t_next"], after["t_prev"] = after, here
        image.set("allthreads", ring[0])
        image.set("nthread", len(ring))
        queues = []
        for name, (record, threads) in self.taskqs.items():
            single = len(threads) == 1 and record["tq_nthreads_max"] == 1
            record["tq_thr._tq_thread" if single else "tq_thr._tq_threadlist"] = (
                threads[0] if single else image.words(threads)
            )
            queues.append(PlannedTaskq(name, record.address, tuple(threads)))
        return queues

    def fill_sleep_queues(self) -> None:
        """Put every sleeping thread that has a wait channel into its queue (sys/sleepq.h: SQHASHINDEX)."""
        image = self.image
        head_size = image.layout.sizeof("sleepq_head_t")
        for thread in reversed(self.threads):
            structure = image.structure("kthread_t", thread.address)
            channel = structure["t_lwpchan.lc_wchan"] & (1 << image.bits) - 1
            if thread.state == "sleep" and channel:
                bucket = (channel >> 2 ^ channel >> 13 ^ channel >> 24) & 2047
                head = image.structure("sleepq_head_t", image.symbols["sleepq_head"].address + bucket * head_size)
                structure["t_link"] = head["sq_queue.sq_first"]
                head["sq_queue.sq_first"] = thread.address

    # --- CPUs ------------------------------------------------------------------------------------------------------

    def make_cpus(self, count: int) -> None:
        """The CPUs' structures in their ring; CPU 0's is the variable `cpus`."""
        image = self.image
        for number in range(count):
            first = image.structure("cpu_t", image.symbols["cpus"].address)
            record = image.new("cpu_t") if number else first
            queues = image.heap.take(PRIORITIES * image.layout.sizeof("dispq_t"))
            dispatcher = image.new("disp_t", disp_npri=PRIORITIES, disp_q=queues, disp_cpu=record, disp_maxrunpri=-1,
                                   disp_q_limit=queues + PRIORITIES * image.layout.sizeof("dispq_t"))  # fmt: skip
            record.update(cpu_id=number, cpu_seqid=number, cpu_flags=0x1B, cpu_self=record, cpu_disp=dispatcher,
                          cpu_last_swtch=LBOLT - 5)  # fmt: skip
            self.cpus.append(record)
        for here, after in zip(self.cpus, self.cpus[1:] + self.cpus[:1], strict=True):
            here["cpu_next"], after["cpu_prev"] = after, here
            here["cpu_next_onln"], after["cpu_prev_onln"] = after, here
        for number, record in enumerate(self.cpus):
            place = image.symbols["cpu"].address + number * image.word
            image.space.write(place, record.address.to_bytes(image.word, "little"))
        image.set("cpu_list", self.cpus[0])
        image.set("ncpus", count)

    def occupy_cpus(self, roots: dict[str, int], pins: dict[str, str]) -> list[PlannedCpu]:
        """Put the running and the runnable threads on their CPUs; returns the CPUs as built.

        ``roots``: process -> cr3 as its register holds it; "user" + process: the second table. ``pins``: label of an
        interrupt thread -> that of the thread that it has interrupted.
        """
        running = {thread.cpu: thread for thread in self.threads if thread.state == "onproc" and thread.cpu is not None}
        planned = []
        for number, record in enumerate(self.cpus):
            thread = running[number]
            structure = self.image.structure("kthread_t", thread.address)
            structure["t_cpu"] = record
            record.update(cpu_thread=thread.address, cpu_dispthread=thread.address,
                          cpu_dispatch_pri=structure["t_pri"], cpu_lwp=structure["t_lwp"],
                          cpu_idle_thread=self.records[f"idle{number}"])  # fmt: skip
            self._run_queue(number, record)
            registers = self._registers(thread, roots)
            frames = thread.frames[1:]
            if thread.label in pins:
                record["cpu_intr_actv"] = 1 << structure["t_pil"]
                below = self.planned(pins[thread.label])
                self.image.structure("kthread_t", below.address)["t_cpu"] = record
                pc = self.image.pc(below.frames[0].symbol, thread.frames[-1].symbol)
                offset = pc - self.image.functions[below.frames[0].symbol].address
                frames += (replace(below.frames[0], pc=pc, offset=offset), *below.frames[1:])
            planned.append(PlannedCpu(number, record.address, thread.address, registers, frames))
        return planned

    def _run_queue(self, number: int, record: Structure) -> None:
        image = self.image
        waiting = [t for t in self.threads if t.state == "run" and (t.cpu or 0) == number]
        dispatcher = image.structure("disp_t", record["cpu_disp"])
        size = image.layout.sizeof("dispq_t")
        dispatcher["disp_nrunnable"] = len(waiting)
        for thread in reversed(waiting):
            structure = image.structure("kthread_t", thread.address)
            queue = image.structure("dispq_t", dispatcher["disp_q"] + structure["t_pri"] * size)
            structure["t_link"] = queue["dq_first"]
            structure["t_cpu"], structure["t_disp_queue"] = record, dispatcher
            queue["dq_last"] = queue["dq_last"] or thread.address
            queue["dq_first"] = thread.address
            queue["dq_sruncnt"] = queue["dq_sruncnt"] + 1
            dispatcher["disp_maxrunpri"] = max(dispatcher["disp_maxrunpri"], structure["t_pri"])

    def _registers(self, thread: PlannedThread, roots: dict[str, int]) -> dict[str, int]:
        image, newest = self.image, thread.frames[0]
        room = image.functions[newest.symbol].locals(image.bits)
        form32 = image.bits == 32 and image.paravirtual
        prefix = "e" if form32 else "r"
        cs, ss = (KERNEL_CS32, KERNEL_SS32) if image.bits == 32 else (KERNEL_CS, KERNEL_SS)
        if not image.paravirtual:
            cs, ss = HVM_CS, HVM_SS
        names = ("ax", "bx", "cx", "dx", "si", "di")
        registers = {prefix + name: 0x1000 * (number + 1) + thread.address % 0x1000 for number, name in
                     enumerate(names)}  # fmt: skip
        registers |= {prefix + "ip": newest.pc, prefix + "bp": newest.fp, prefix + "sp": newest.fp - room,
                      prefix + "flags": 0x246, "cs": cs, "ss": ss, "cr0": 0x8005003B, "cr4": 0x6F0,
                      "cr3": roots[thread.process]}  # fmt: skip
        if not form32:
            registers |= {f"r{number}": 0x8000 + number for number in range(8, 16)}
        if "user " + thread.process in roots:
            registers["user_cr3"] = roots["user " + thread.process]
        return registers
