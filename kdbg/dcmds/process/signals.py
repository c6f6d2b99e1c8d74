"""Numbers of signals and their names, as strsignal(3C) of illumos puts them.

Sources: <sys/iso/signal_iso.h> and <sys/signal.h> of illumos, asm-generic/signal.h of Linux.
"""

from __future__ import annotations

from kdbg.formats.process_notes import LINUX

_TEXTS = {
    "SIGHUP": "Hangup", "SIGINT": "Interrupt", "SIGQUIT": "Quit", "SIGILL": "Illegal Instruction",
    "SIGTRAP": "Trace/Breakpoint Trap", "SIGABRT": "Abort", "SIGEMT": "Emulation Trap",
    "SIGFPE": "Arithmetic Exception",
    "SIGKILL": "Killed", "SIGBUS": "Bus Error", "SIGSEGV": "Segmentation Fault", "SIGSYS": "Bad System Call",
    "SIGPIPE": "Broken Pipe", "SIGALRM": "Alarm Clock", "SIGTERM": "Terminated", "SIGUSR1": "User Signal 1",
    "SIGUSR2": "User Signal 2", "SIGCHLD": "Child Status Changed", "SIGPWR": "Power-Fail/Restart",
    "SIGWINCH": "Window Size Change", "SIGURG": "Urgent Socket Condition", "SIGPOLL": "Pollable Event",
    "SIGSTOP": "Stopped (signal)", "SIGTSTP": "Stopped (user)", "SIGCONT": "Continued",
    "SIGTTIN": "Stopped (tty input)", "SIGTTOU": "Stopped (tty output)", "SIGVTALRM": "Virtual Timer Expired",
    "SIGPROF": "Profiling Timer Expired", "SIGXCPU": "Cpu Limit Exceeded", "SIGXFSZ": "File Size Limit Exceeded",
    "SIGSTKFLT": "Stack Fault",
}  # fmt: skip

_ILLUMOS = dict(enumerate(
    "SIGHUP SIGINT SIGQUIT SIGILL SIGTRAP SIGABRT SIGEMT SIGFPE SIGKILL SIGBUS SIGSEGV SIGSYS SIGPIPE SIGALRM SIGTERM "
    "SIGUSR1 SIGUSR2 SIGCHLD SIGPWR SIGWINCH SIGURG SIGPOLL SIGSTOP SIGTSTP SIGCONT SIGTTIN SIGTTOU SIGVTALRM SIGPROF "
    "SIGXCPU SIGXFSZ".split(), 1))  # fmt: skip
_LINUX = dict(enumerate(
    "SIGHUP SIGINT SIGQUIT SIGILL SIGTRAP SIGABRT SIGBUS SIGFPE SIGKILL SIGUSR1 SIGSEGV SIGUSR2 SIGPIPE SIGALRM "
    "SIGTERM SIGSTKFLT SIGCHLD SIGCONT SIGSTOP SIGTSTP SIGTTIN SIGTTOU SIGURG SIGXCPU SIGXFSZ SIGVTALRM SIGPROF "
    "SIGWINCH SIGPOLL SIGPWR SIGSYS".split(), 1))  # fmt: skip

FAULTS = frozenset({"SIGILL", "SIGTRAP", "SIGFPE", "SIGSEGV", "SIGBUS", "SIGEMT"})
"""Signals with an address."""


def signal_name(number: int, system: str) -> str:
    """SIGSEGV, or SIG and the number where it has no name."""
    return (_LINUX if system == LINUX else _ILLUMOS).get(number, f"SIG{number}")


def signal_text(name: str) -> str:
    """What a signal means, in words."""
    return _TEXTS.get(name, "Unknown Signal")
