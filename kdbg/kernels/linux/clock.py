"""The clocks of a Linux kernel: since when it runs, what time it was, how busy it has been.

Sources: include/linux/timekeeper_internal.h (struct timekeeper; kernel/time/timekeeping.c: tk_core, a sequence counter
before it), kernel/sched/sched.h (rq.clock: nanoseconds as the scheduler last looked), kernel/sched/loadavg.c (avenrun:
fixed point with 11 bits), include/linux/jiffies.h (INITIAL_JIFFIES: five minutes before 32 bits of them are full).
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kdbg.errors import Error, SymbolNotFound, TypeNotFound
from kdbg.symbols.value import Value

if TYPE_CHECKING:
    from kdbg.kernels.linux.kernel import Linux

NANOSECONDS = 1_000_000_000
LOAD_BITS = 11
"""FSHIFT of include/linux/sched/loadavg.h."""
RATES = (100, 250, 300, 1000, 1024, 24, 32, 48, 64, 128, 256, 500, 1200)
"""CONFIG_HZ of the architectures, the usual ones first."""
MOST_UPTIME = 100 * 366 * 86400


@dataclass(frozen=True, slots=True)
class Clocks:
    """The kernel's clocks when the dump was taken; None what is not found."""

    uptime: float | None
    """Seconds since the machine came up, sleep included."""
    time: float | None
    """Seconds since 1970."""
    monotonic: float | None = None
    """Seconds by CLOCK_MONOTONIC: those that the machine slept are not in it."""


def clocks(kernel: Linux) -> Clocks:
    """The kernel's clocks, as the timekeeper was last brought up to date: at the last tick."""
    return kernel.part(_clocks)


def _clocks(kernel: Linux) -> Clocks:
    try:
        keeper = _timekeeper(kernel)
    except Error:
        keeper = None
    if keeper is None:
        now = kernel.part(scheduler_clock)
        return Clocks(now / NANOSECONDS if now else None, None)
    base = keeper.tkr_mono
    fraction = (int(base.xtime_nsec) >> int(base.shift)) / NANOSECONDS
    boot = _nanoseconds(keeper.offs_boot) / NANOSECONDS
    real = int(keeper.xtime_sec) + fraction
    ahead = _nanoseconds(keeper.offs_real) / NANOSECONDS
    return Clocks(real - ahead + boot, real, real - ahead)


def _nanoseconds(value: int | Value) -> int:
    """A ktime_t: a number, before 4.10 a union of one."""
    return value if isinstance(value, int) else int(value.tv64)


def _timekeeper(kernel: Linux) -> Value | None:
    """The timekeeper: behind a sequence counter, as far as the structure's alignment asks for."""
    core, of = kernel.place("tk_core"), kernel.type("struct timekeeper")
    places: tuple[int, ...] = (8, 16, 4, 32, 64)
    with contextlib.suppress(TypeNotFound):  # since 6.13 the whole has a name
        places = (kernel.type("struct tk_data").member("timekeeper").offset,)
    for at in places:
        value = Value(kernel.memory, of, core + at).load()
        clock = int(value.tkr_mono.clock)
        if kernel.in_kernel(clock) and int(value.tkr_raw.clock) == clock and int(value.tkr_mono.shift) <= 32:
            return value
    return None


def scheduler_clock(kernel: Linux) -> int:
    """The latest time in nanoseconds that a CPU's run queue has seen; 0 where none is found."""
    from kdbg.kernels.linux.runqueues import run_queues

    latest = 0
    for address in run_queues(kernel).values():
        try:
            latest = max(latest, int(kernel.at("struct rq", address).clock))
        except Error:
            continue
    return latest


def load_averages(kernel: Linux) -> tuple[float, float, float] | None:
    """Of one, five and fifteen minutes; None where they are not found."""
    size = kernel.bits // 8
    try:
        data = kernel.memory.read(kernel.place("avenrun"), 3 * size)
    except Error:
        return None
    one, five, fifteen = (
        int.from_bytes(data[at : at + size], "little") / (1 << LOAD_BITS) for at in (0, size, 2 * size)
    )
    return one, five, fifteen


def jiffies(kernel: Linux) -> int:
    """The kernel's ticks, as wide as a word; where they have no name, as the timers last saw them.

    Raises `SymbolNotFound`, `TypeNotFound`, `ReadError`.
    """
    try:
        return kernel.word(kernel.place("jiffies"))
    except SymbolNotFound:
        clock = kernel.type("struct timer_base").member("clk").offset
        return max(kernel.word(place + clock) for place in kernel.per_cpu_places("timer_bases"))


def uptime(kernel: Linux) -> float | None:
    """Seconds since the machine came up by its ticks, without a look at types; else by its other clocks.

    Time that a machine slept is not in the ticks.
    """
    rate = _rate_by_tick(kernel)
    try:
        count = int.from_bytes(kernel.memory.read(kernel.place("jiffies_64"), 8), "little")
    except Error:
        rate = None
    return clocks(kernel).uptime if rate is None else _since_start(count, rate, 64)


def monotonic(kernel: Linux) -> float | None:
    """Seconds by CLOCK_MONOTONIC, by the ticks where the timekeeper is not found; None where neither is."""
    found, rate = clocks(kernel).monotonic, ticks_a_second(kernel)
    if found is not None or rate is None:
        return found
    try:
        return _since_start(jiffies(kernel), rate, 32)
    except Error:
        return None


def _since_start(count: int, rate: int, bits: int) -> float | None:
    """Seconds that a number of ticks stands for: they begin five minutes before 32 bits are full (INITIAL_JIFFIES)."""
    found = (count - (1 << 32) + 300 * rate & (1 << bits) - 1) / rate
    return found if found < MOST_UPTIME else None


def ticks_a_second(kernel: Linux) -> int | None:
    """CONFIG_HZ: by the length of a tick, else by how many there have been since the machine came up; None: unknown."""
    return kernel.part(_ticks_a_second)


def _rate_by_tick(kernel: Linux) -> int | None:
    """CONFIG_HZ by the length of a tick in nanoseconds."""
    for name in ("tick_nsec", "tick_period"):
        try:
            length = kernel.word(kernel.place(name))
        except Error:
            continue
        rate = round(NANOSECONDS / length) if length else 0
        if 1 <= rate <= 10_000:
            return rate
    return None


def _ticks_a_second(kernel: Linux) -> int | None:
    rate = _rate_by_tick(kernel)
    if rate is not None:
        return rate
    try:
        count, up = jiffies(kernel), clocks(kernel).uptime
    except Error:
        return None
    if not up or not 1 < up < MOST_UPTIME:
        return None
    for guess in RATES:
        since = _since_start(count, guess, 32)
        if since is not None and abs(since - up) < max(2.0, up * 0.01):
            return guess
    return None
