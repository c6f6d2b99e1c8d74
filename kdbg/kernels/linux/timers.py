"""The timers of a Linux kernel: those of the wheel, which count ticks, and the high resolution ones, in nanoseconds.

Sources: kernel/time/timer.c (struct timer_base, per CPU: one for timers that must not wait, one for those that may,
since 6.10 a third; ``vectors`` are chains of struct timer_list), include/linux/timer.h (TIMER_*), kernel/time/
hrtimer.c (hrtimer_bases), include/linux/hrtimer_defs.h (struct hrtimer_cpu_base, hrtimer_clock_base: a tree of struct
hrtimer in order of their times); include/linux/workqueue.h (delayed_work), include/linux/hrtimer.h (hrtimer_sleeper),
kernel/time/timer.c (process_timer).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kdbg.errors import Error, ReadError, SymbolNotFound, TypeNotFound
from kdbg.kernels.linux.clock import NANOSECONDS, jiffies, monotonic, ticks_a_second
from kdbg.kernels.linux.lists import offset_of
from kdbg.kernels.linux.trees import in_order
from kdbg.symbols.layouts import Layout

if TYPE_CHECKING:
    from kdbg.kernels.linux.kernel import Linux
    from kdbg.symbols.value import Value

DEFERRABLE, PINNED = 0x80000, 0x100000
MOST_TIMERS = 1 << 20
CLOCKS = ("MONOTONIC", "REALTIME", "BOOTTIME", "TAI")
"""Of a CPU's clock bases, in this order; the second four are those of timers that run in a softirq."""


@dataclass(frozen=True, slots=True)
class Timer:
    """A timer that is set."""

    address: int
    """Of its timer_list or hrtimer."""
    cpu: int
    base: str
    """wheel, or the clock of a high resolution timer: MONOTONIC, REALTIME, BOOTTIME, TAI; with /soft: in a softirq."""
    expires: int
    """Ticks (wheel) or nanoseconds of its clock."""
    remaining: float | None
    """Seconds until then, negative where the time has come; None where the kernel's clock is not found."""
    function: str
    """What it calls."""
    target: str | None
    """What that is about: the work of a delayed_work, the task of one that sleeps."""
    task: int | None
    """Address of the task that sleeps until then."""
    deferrable: bool = False
    pinned: bool = False


class Timers:
    """The timers of one kernel."""

    def __init__(self, kernel: Linux) -> None:
        self.kernel = kernel
        self._word = kernel.bits // 8
        self._pointer = struct.Struct("<Q" if self._word == 8 else "<I")

    def walk(self) -> Iterator[Timer]:
        """All timers CPU by CPU, the wheel's first, each in order of their times. Raises `Error`."""
        wheel: dict[int, list[Timer]] = {}
        precise: dict[int, list[Timer]] = {}
        for number, place in enumerate(self.kernel.per_cpu_places("timer_bases")):
            wheel[number] = list(self._wheel(number, place))
        for number, place in enumerate(self.kernel.per_cpu_places("hrtimer_bases")):
            precise[number] = list(self._precise(number, place))
        for number in sorted(wheel | precise):
            yield from sorted(wheel.get(number, ()), key=lambda timer: timer.expires)
            yield from precise.get(number, ())

    # the wheel

    def _wheel(self, cpu: int, place: int) -> Iterator[Timer]:
        kernel = self.kernel
        base, timer = kernel.type("struct timer_base"), kernel.type("struct timer_list")
        layout = Layout(timer, {"expires": "expires", "function": "function", "flags": "flags?"})
        entry = timer.member("entry").offset
        try:
            now, rate = jiffies(kernel), ticks_a_second(kernel)
        except Error:
            now, rate = 0, None
        for number in range(self._bases()):
            for address in self._chains(place + number * base.size, entry):
                try:
                    told = layout.read(kernel.memory.read, address)
                except ReadError as error:
                    kernel.target.note(f"timer {address:x}: {error.reason}")
                    continue
                remaining = self._signed(told["expires"] - now) / rate if rate else None
                flags = told["flags"] or 0
                name = self._function(told["function"])
                target, task = self._target(name, address)
                yield Timer(address, cpu, "wheel", told["expires"], remaining, name, target, task,
                            bool(flags & DEFERRABLE), bool(flags & PINNED))  # fmt: skip

    def _bases(self) -> int:
        """How many timer_bases a CPU has: elements of the per-CPU array."""
        try:
            of = self.kernel.type_of(self.kernel.image_symbol("timer_bases")).resolved
        except (SymbolNotFound, TypeNotFound):
            return 2
        return of.count or 1

    def _chains(self, base: int, entry: int) -> Iterator[int]:
        """Timers of all chains of a timer_base. What cannot be read ends a chain with a note."""
        kernel, of = self.kernel, self.kernel.type("struct timer_base")
        member = of.member("vectors")
        try:
            heads = kernel.memory.read(base + member.offset, member.type.size)
        except ReadError as error:
            kernel.target.note(f"timers: timer_base {base:x}: {error.reason}")
            return
        seen = set[int]()
        for [node] in self._pointer.iter_unpack(heads):
            while node:
                if node in seen or len(seen) > MOST_TIMERS:
                    kernel.target.note(f"timers: a chain of timer_base {base:x} leads back to {node:x}")
                    break
                seen.add(node)
                yield node - entry
                try:
                    node = kernel.word(node)
                except ReadError as error:
                    kernel.target.note(f"timers: a chain of timer_base {base:x} ends at {node:x}: {error.reason}")
                    break

    def _signed(self, difference: int) -> int:
        """From one count of ticks to another, as wide as a word."""
        difference &= (1 << self.kernel.bits) - 1
        return difference - (1 << self.kernel.bits) if difference >> self.kernel.bits - 1 else difference

    # high resolution

    def _precise(self, cpu: int, place: int) -> Iterator[Timer]:
        kernel = self.kernel
        of = kernel.type("struct hrtimer")
        node = offset_of(of, "node.node")
        now = monotonic(kernel)
        try:
            bases = list(kernel.load("struct hrtimer_cpu_base", place).clock_base)
        except ReadError as error:
            kernel.target.note(f"timers: hrtimer_cpu_base {place:x}: {error.reason}")
            return
        for number, base in enumerate(bases):
            name = CLOCKS[number % len(CLOCKS)] + ("/soft" if number >= len(CLOCKS) else "")
            offset = nanoseconds(base.offset)
            for at in in_order(kernel, _root(base.active), f"timers of CPU {cpu}"):
                try:
                    yield self._hrtimer(at - node, cpu, name, offset, now)
                except Error as error:
                    kernel.target.note(f"hrtimer {at - node:x}: {error}")

    def _hrtimer(self, address: int, cpu: int, base: str, offset: int, now: float | None) -> Timer:
        value = self.kernel.load("struct hrtimer", address)
        expires = nanoseconds(value.node.expires)
        name = self._function(int(value.function))
        remaining = None if now is None else (expires - offset) / NANOSECONDS - now
        target, task = self._target(name, address)
        return Timer(address, cpu, base, expires, remaining, name, target, task)

    # what they are about

    def _function(self, pointer: int) -> str:
        found = self.kernel.symbols.nearest(pointer)
        if found is None:
            return f"{pointer:#x}"
        return found[0].name + (f"+{found[1]:#x}" if found[1] else "")

    def _target(self, function: str, address: int) -> tuple[str | None, int | None]:
        """(what a timer of a known function is about, the task): by the structure that it lies in."""
        kernel = self.kernel
        try:
            if function == "delayed_work_timer_fn":
                of = kernel.type("struct delayed_work")
                work = kernel.at("struct delayed_work", address - of.member("timer").offset).work
                return self._function(int(work.func)), None
            if function == "hrtimer_wakeup":
                return self._sleeper(int(kernel.at("struct hrtimer_sleeper", address).task))
            if function == "process_timeout":
                return self._sleeper(int(kernel.at("struct process_timer", address).task))
        except Error:
            pass
        return None, None

    def _sleeper(self, task: int) -> tuple[str | None, int | None]:
        from kdbg.kernels.linux.tasks import Tasks

        try:
            told = self.kernel.part(Tasks).record(task)
        except Error:
            return None, task or None
        return f"{told.name}/{told.tid}", task


def nanoseconds(value: int | Value) -> int:
    """A ktime_t: a number, before 4.10 a union of one."""
    return value if isinstance(value, int) else int(value.tv64)


def _root(active: Value) -> int:
    """Address of a timerqueue's topmost node: struct timerqueue_head had another root up to 5.3."""
    if active.has("rb_root"):
        return int(active.rb_root.rb_root.rb_node)
    return int(active.head.rb_node)
