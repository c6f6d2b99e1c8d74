"""Reports made by hand for tests of the views: one of a deadlock with everything in it, and one of hostile strings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any

from kdbg.triage.report import (
    Analysis,
    CodeLine,
    CpuState,
    Evidence,
    Finding,
    Identity,
    KeyThread,
    Kind,
    Known,
    Lock,
    LogLine,
    MemoryMap,
    Outcome,
    Report,
    Severity,
    StackFrame,
    StackGroup,
    Sure,
    ThreadName,
    Verdict,
)
from kdbg.triage.signature import signature

THREAD, OTHER, LOCK, NEXT = 0xFFFFFF01D6F09C00, 0xFFFFFF01D6F0A000, 0xFFFFFF01C0000000, 0xFFFFFF01C0000040

STACK = (
    StackFrame(0xFFFFFFFFFB85A1F1, "_resume_from_idle", 0xF1, "unix"),
    StackFrame(0xFFFFFFFFFB85B2A0, "swtch", 0x160, "unix"),
    StackFrame(0xFFFFFFFFFB91C764, "turnstile_block", 0x764, "genunix"),
    StackFrame(0xFFFFFFFFFB8601AA, "strread", 0x10, "genunix", "guess"),
    StackFrame(0xFFFFFFFFFB8601BB, None),
)


def deadlock() -> Report:
    """Two threads that wait for each other, with all that a report can have."""
    return Report(
        1,
        Identity(
            "dumps/deadlock.core", "Xen domain core (ELF)", "x86-64", 64, False, 1000, 100, ("cut off at 0x1000",),
            "SunOS 5.11 onnv", "5.11", "onnv", "sxc16", 1.2e9, 100_000.0, 4, 1 << 30,
        ),
        Verdict(Kind.DEADLOCK, "2 threads wait for each other's locks in a circle", Sure.LIKELY,
                (Evidence("lock.cycle: init and bash", "::locks"),)),
        signature(Kind.DEADLOCK, ("strread", "read")),
        KeyThread(THREAD, 1, 1, "init/1", "sleep", "lock.cycle names it", 0, STACK,
                  {"rip": 0xFFFFFFFFFB85A1F1, "rax": 0},
                  (CodeLine(0xFFFFFFFFFB85A1F1, "movq (%rax),%rdi", True), CodeLine(0xFFFFFFFFFB85A1F4, "ret"))),
        (CpuState(0, THREAD, "init/1", "strread", STACK), CpuState(1, None, "", "idle", STACK[:1])),
        (LogLine(12.5, 6, "root on /xpvd/xdf"), LogLine(1.2e9, 3, "BUG: bad thing")),
        (
            Finding("lock.cycle", Severity.ERROR, "init and bash wait for each other", "::locks",
                    (Evidence("init has a, wants b", f"{LOCK:x}::mutex"),), (THREAD, OTHER), (LOCK, NEXT),
                    analyser="locks"),
            *(Finding("thread.blocked-long", Severity.WARNING, f"thread {number} waits", f"{number}::findstack",
                      analyser="waits") for number in range(5)),
            Finding("log.warning", Severity.WARNING, "the log has a warning, once: BUG: bad thing", "::msgbuf",
                    (Evidence("BUG: bad thing", "::msgbuf"),), analyser="log"),
            Finding("acme.leak", Severity.NOTE, "somebody else's"),
        ),
        (),
        (StackGroup(40, THREAD, ("init",), "sleep", ("swtch", "cv_wait", "thread_start")),
         StackGroup(2, OTHER, ("sshd", "bash"), "sleep", ("swtch", "mutex_vector_enter", "strread", "read")),
         StackGroup(1, 5, ("",), "run", ())),
        (Lock(LOCK, "mutex", "a", (THREAD,), (OTHER, 7)), Lock(NEXT, "mutex", "b", (OTHER,), (THREAD,)),
         Lock(0x99, "rwlock", "", (), (3,))),
        MemoryMap(256, "#" * 70 + "+x." + " " * 40 + "#", 18_000, {"excluded": 300, "cut off": 256}, 30,
                  " " * 60 + "12#", "#" * 70 + "4  " + " " * 40 + "#", " " * 70 + "6#"),
        (Analysis("locks", Outcome.DONE, "", 0.1, 1), Analysis("waits", Outcome.DONE, "", 0.2, 5),
         Analysis("log", Outcome.DONE, "", 0.0, 1), Analysis("memory", Outcome.SKIPPED, "the dump has no types"),
         Analysis("pages", Outcome.CUT_SHORT, "it took longer than 5 s", 5.0),
         Analysis("queues", Outcome.FAILED, "internal error: KeyError: 'x'")),
        ("stack of 17: unreadable",),
        (ThreadName(THREAD, 1, "init/1"), ThreadName(OTHER, 565, "bash/2")),
    )  # fmt: skip


def as_known(report: Report) -> Report:
    """The report with a known issue that fits it."""
    return replace(report, known=(Known("The old race", "https://example.org/17", "Fixed.", "its signature fits"),))


HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(2)>',
    "' onmouseover='alert(3)",
    "]]><x/><![CDATA[",
    "\x00\x01\x07\x1b[31m\x1b]0;title\x07\x7f\x85\x9b",
    "txt\u202egnp.exe\u2066\u200b",
    "\ud800 \udfff \udc80",
    "\ufffe\uffff\U0001fffe\ue000",
    "</style><style>*{display:none}</style><svg onload=alert(4)>",
    "-->&lt;!--&#x3c;script>&amp;",
    "javascript:alert(5)",
    "`code` ```\n# head\n| a | b |\n[x](javascript:alert(6)) ![i](http://e.example/x) @someone #1 <b>",
    "{0} %s ${7*7} {{7*7}} [x](1)",
    "\xc3\xa9\xff\xe2\x82",
    "  \t\n \r\n ",
    "",
)
"""What a dump's strings may hold: markup, ends of sections, controls, turned writing, halves of pairs, bytes."""


def hostile(text: str) -> Report:
    """The report of a deadlock in which every string is ``text``, and behind its findings those of `deadlock`."""
    made: Report = _with(as_known(deadlock()), text)
    return replace(made, findings=(*made.findings, *deadlock().findings))


def _with(value: Any, text: str) -> Any:
    if isinstance(value, str) and type(value) is str:
        return text
    if isinstance(value, tuple):
        return tuple(_with(one, text) for one in value)
    if isinstance(value, Mapping):
        return {_with(key, text): _with(one, text) for key, one in value.items()}
    if is_dataclass(value) and not isinstance(value, type):
        return type(value)(**{one.name: _with(getattr(value, one.name), text) for one in fields(value)})
    return value
