"""Damage at random, from a seed: what becomes of a core's bytes, and the questions that it is then asked."""

from __future__ import annotations

import random
import resource
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import kdbg
from kdbg.dump import Dump
from kdbg.lang.output import ListSink
from kdbg.lang.session import Session

SECONDS = 2
MEGABYTES = 500

COMMANDS = (
    "::status", "::cpuinfo -v", "::cpustack -c 0", "::cpuregs -c 0", "::threadlist -v", "::ps -ft", "::ptree",
    "::modinfo", "::evtchns", "::interrupts", "::ptescan", "::msgbuf", "::stacks", "::taskq", "::panicinfo",
    "::kmem_cache", "::walk kmem", "::walk freemem", "::walk vmem_alloc", "::walk kmem_slab_partial", "::nm ! true",
    "$r", "$C", "allthreads/4J", "p0::print proc_t p_user", "::walk thread | ::findstack -v", "::vmem",
    "kas::walk seg", "::walk taskq_thread", "::walk memseg | ::print struct memseg", "::walk wchan", "::walk allpages",
    "::walk bufctl | ::bufctl -v", "::walk thread | ::whatis -a", "thread_start::dis", "p0::print proc_t",
    "::walk thread | ::thread -bdfimps", "::walk modctl | ::print modctl_t", "::ptescan -l writable-text",
    "::ptescan -p 0t565 -l user-not-global", "::ps -T", "::stacks -a", "modules::list modctl_t mod_next", "utsname/s",
    "linux_banner/s", "_text::dis", "_text::ptwalk", "_text::whatis", "::cpustack", "::cpustack -v", "::objects -v",
)  # fmt: skip
"""Commands of the language; one that does not exist here gives an error like any other."""


class StrictSession(Session):
    """A session that hides no bug of a dcmd behind a message."""

    def internal_error(self, name: str, error: Exception) -> None:
        """What a person would see as an internal error is a failure here."""
        raise error


Mutation = Callable[[random.Random, bytearray], None]


class TooSlow(BaseException):
    """The watchdog; no handler of kdbg's may take it for one of its own errors."""


def _bark(number: int, frame: FrameType | None) -> None:
    raise TooSlow


@contextmanager
def watchdog(seconds: float = SECONDS, megabytes: int = MEGABYTES) -> Iterator[None]:
    """Raise `TooSlow` after so many seconds, `MemoryError` where the process grows by more than so much.

    The seconds are the processor's, so that a busy machine fails no test; ten times as many on the clock are too many.
    """
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    before = resource.getrlimit(resource.RLIMIT_AS)
    timers = ((signal.SIGPROF, signal.ITIMER_PROF, seconds), (signal.SIGALRM, signal.ITIMER_REAL, 10 * seconds))
    handlers = [(number, signal.signal(number, _bark)) for number, _, _ in timers]
    resource.setrlimit(resource.RLIMIT_AS, (used + (megabytes << 20), before[1]))
    for _, timer, limit in timers:
        signal.setitimer(timer, limit)
    try:
        yield
    finally:
        for _, timer, _ in timers:
            signal.setitimer(timer, 0)
        resource.setrlimit(resource.RLIMIT_AS, before)
        for number, handler in handlers:
            signal.signal(number, handler)


# --- mutations ------------------------------------------------------------------------------------


def cut(choose: random.Random, data: bytearray) -> None:
    """Cut the file short, anywhere."""
    del data[choose.randrange(len(data)) :]


def flip(choose: random.Random, data: bytearray) -> None:
    """Change single bytes, anywhere."""
    for _ in range(choose.choice((1, 4, 64, 1024))):
        data[choose.randrange(len(data))] = choose.randrange(256)


def head(choose: random.Random, data: bytearray) -> None:
    """Overwrite words of the headers with numbers that are often wrong."""
    odd = (0, 1, 0xFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF, 1 << 63, (1 << 64) - 1, len(data), 0x1000)
    for _ in range(choose.choice((1, 2, 8))):
        at = choose.randrange(0, min(len(data), choose.choice((32, 64, 1024, 8192))) - 8)
        size = choose.choice((1, 2, 4, 8))
        value = choose.choice(odd) if choose.random() < 0.7 else choose.getrandbits(64)
        data[at : at + size] = (value & (1 << 8 * size) - 1).to_bytes(size, "little")


def splice(choose: random.Random, data: bytearray) -> None:
    """Put words of memory into the place of others: links that lead astray or round in circles."""
    words = range(0, len(data) - 8, 8)
    taken = [at for at in (choose.choice(words) for _ in range(4000)) if any(data[at : at + 8])]
    for _ in range(choose.choice((4, 64, 512))):
        if len(taken) > 1:
            to, source = choose.choice(taken), choose.choice(taken)
            data[to : to + 8] = data[source : source + 8]


def pages(choose: random.Random, data: bytearray) -> None:
    """Exchange, repeat or empty whole pages."""
    count = len(data) // 4096
    for _ in range(choose.choice((1, 3, 20))):
        one, other = choose.randrange(count) * 4096, choose.randrange(count) * 4096
        here, there = data[one : one + 4096], data[other : other + 4096]
        kind = choose.randrange(4)
        data[one : one + 4096] = there if kind < 2 else bytes(4096) if kind == 2 else b"\xff" * 4096
        if kind == 0:
            data[other : other + 4096] = here


def counts(choose: random.Random, data: bytearray) -> None:
    """Make small numbers in memory large: sizes, counts, depths."""
    for _ in range(choose.choice((10, 200))):
        at = choose.randrange(len(data) // 8 - 1) * 8
        if 0 < int.from_bytes(data[at : at + 8], "little") < 1 << 20:
            data[at : at + 8] = choose.choice((0x7FFFFFFF, 1 << 33, (1 << 64) - 1, 1 << 20)).to_bytes(8, "little")


MUTATIONS: tuple[Mutation, ...] = (cut, flip, head, splice, pages, counts)


def mutated(whole: bytes, seed: int) -> bytes:
    """The core, damaged in one or two ways."""
    choose = random.Random(seed)
    data = bytearray(whole)
    for mutation in choose.sample(MUTATIONS, choose.choice((1, 1, 2))):
        if len(data) > (16384 if mutation in (splice, pages, counts) else 64):
            mutation(choose, data)
    return bytes(data)


# --- questions ----------------------------------------------------------------------------------


def questions(target: Dump) -> Iterator[Callable[[], object]]:
    """What every core is asked, each question by itself."""
    yield lambda: target.info
    yield target.cpus
    yield lambda: list(target.modules())
    yield lambda: list(target.processes())
    yield lambda: [target.stack(thread) for thread in target.threads()]
    yield lambda: list(target.log())
    yield lambda: len(target.pages)
    yield lambda: target.translate(0xFFFFFFFFFB800000)
    yield lambda: target.read(target.symbol("p0").address, 4096)
    yield lambda: target.value("p0").p_user.u_comm.string()
    yield lambda: target.translate(0x8050000, process=565)
    session = StrictSession(target, ListSink(), ListSink())
    for command in COMMANDS:
        yield lambda command=command: session.execute(command)  # type: ignore[misc]
    for name in ("p0", "cpus", "kas"):
        yield lambda name=name: session.execute(f"{name}::whatis; {name}::vatopfn; {name}::ptwalk")  # type: ignore[misc]


def ask(path: Path) -> int:
    """Open a core and ask it everything; the number of questions that had an answer.

    Only kdbg's own errors are caught.
    """
    answered = 0
    try:
        with kdbg.open(path) as target:
            for question in questions(target):
                try:
                    question()
                    answered += 1
                except kdbg.Error:
                    pass
    except kdbg.Error:
        pass
    return answered
