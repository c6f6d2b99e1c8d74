"""Dcmds that run programs or stop them: a dump or file cannot be run, and they say so as mdb does.

Their options and words are looked at all the same, so that wrong usage is told first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from kdbg.dcmds.registry import NONE, OPTIONAL, REQUIRED, Call, Option, Options, Word, dcmd, flag, number, word
from kdbg.errors import CommandError, UsageError
from kdbg.lang.errors import Abort, Silent
from kdbg.lang.formats_numbers import prefixed
from kdbg.lang.numbers import to_number
from kdbg.lang.options import parse_options

UNSUPPORTED = "operation not supported by target"
NO_EXECUTABLE = "run requires executable to be specified on command-line"

SIGNALS = frozenset((
    "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "EMT", "FPE", "KILL", "BUS", "SEGV", "SYS", "PIPE", "ALRM", "TERM",
    "USR1", "USR2", "CHLD", "PWR", "WINCH", "URG", "POLL", "STOP", "TSTP", "CONT", "TTIN", "TTOU", "VTALRM", "PROF",
    "XCPU", "XFSZ",
))  # fmt: skip

_EVENT_OPTIONS: tuple[Option, ...] = (
    word("c", "cmd", "what to run when it happens"),
    flag("d", "disable it when the limit is reached"),
    flag("D", "delete it when the limit is reached"),
    flag("e", "enable it"),
    number("n", "count", "the limit"),
    flag("s", "stop when the limit is reached"),
    flag("t", "only once"),
    flag("T", "keep it"),
)
_PLUS = frozenset("dDestT")
_HELP = "Dumps and files do not run, so nothing can be traced in them."


def _parse(call: Call, options: tuple[Option, ...]) -> tuple[Options, list[Word]]:
    """Options between which words and ``+x`` may stand. Raises `UsageError`."""
    words = list(call.words)
    rest: list[Word] = []
    given: dict[str, object] = {}
    while True:
        found, words = parse_options(call.session, options, words)
        given.update(found.given())
        if not words:
            return Options(options, given), rest
        head = words.pop(0)
        if isinstance(head, str) and head.startswith("+"):
            wrong = next((letter for letter in head[1:] if letter not in _PLUS), None)
            if wrong is not None:
                raise UsageError(f"illegal option -- +{wrong}")
        elif isinstance(head, str) and head.startswith("-"):
            raise UsageError("")
        else:
            rest.append(head)


def _traced(call: Call, tell: Callable[[Word], str], options: tuple[Option, ...] = _EVENT_OPTIONS) -> None:
    """Say for each word, or the address, that it cannot be traced."""
    _, words = _parse(call, options)
    if call.explicit:
        words.insert(0, call.address)
    if not words:
        raise UsageError("")
    for one in words:
        call.session.warn(tell(one))
    raise Silent


@dcmd("bp", "stop at an address or symbol", address=OPTIONAL, synopsis="[+/-dDestT] [-c cmd] [-n count] sym ...",
      words=None, help=_HELP)  # fmt: skip
def breakpoint_(call: Call) -> None:
    """Fail."""
    radix = call.session.radix

    def tell(one: Word) -> str:
        place = one if isinstance(one, str) else prefixed(one, radix)
        return f"failed to add breakpoint at {place}: {UNSUPPORTED}"

    _traced(call, tell)


def _signal(one: Word) -> str:
    if isinstance(one, str) and one.removeprefix("SIG") not in SIGNALS:
        return f"invalid signal name -- {one}"
    return f"failed to trace signal {one}: {UNSUPPORTED}"


@dcmd("sigbp,:t", "stop on a signal", address=OPTIONAL, synopsis="[+/-dDestT] [-c cmd] [-n count] SIG ...", words=None,
      help=_HELP)  # fmt: skip
def signal(call: Call) -> None:
    """Fail."""
    _traced(call, _signal)


@dcmd("sysbp", "stop on a system call", address=OPTIONAL, synopsis="[+/-dDestT] [-io] [-c cmd] [-n count] syscall ...",
      words=None, help=_HELP)  # fmt: skip
def system_call(call: Call) -> None:
    """Fail."""
    ways = (flag("i", "on entry"), flag("o", "on return"))
    _traced(call, lambda one: f"failed to trace system call {one}: {UNSUPPORTED}", (*_EVENT_OPTIONS, *ways))


@dcmd("fltbp", "stop on a fault", address=OPTIONAL, synopsis="[+/-dDestT] [-c cmd] [-n count] fault ...", words=None,
      help=_HELP)  # fmt: skip
def fault(call: Call) -> None:
    """Fail."""
    _traced(call, lambda one: f"failed to trace fault {one}: {UNSUPPORTED}")


@dcmd("wp", "stop when memory is touched", address=REQUIRED,
      synopsis="[+/-dDelstT] [-rwx] [-c cmd] [-n count] [-L size]", words=None, help=_HELP)  # fmt: skip
def watchpoint(call: Call) -> None:
    """Fail."""
    ways = (flag("r", "read"), flag("w", "written"), flag("x", "executed"), flag("l", "as long as the symbol"),
            flag("i", "an I/O port"), flag("p", "physical"), number("L", "size", "bytes"))  # fmt: skip
    options, words = _parse(call, (*_EVENT_OPTIONS, *ways))
    if options.i or words:
        raise UsageError("")
    if not options.any("rwx"):
        raise UsageError("at least one of -r, -w, or -x must be specified")
    raise Abort(f"failed to set watchpoint at {call.address:x}: {UNSUPPORTED}")


@dcmd(":b", "stop at the address", synopsis="[cmd...]", words=None)
def old_breakpoint(call: Call) -> None:
    """Fail."""
    raise CommandError(f"failed to add breakpoint: {UNSUPPORTED}")


@dcmd(":a,:p,:w", "stop when memory is touched", synopsis="[cmd...]", words=None)
def old_watchpoint(call: Call) -> None:
    """Fail."""
    raise Abort(f"failed to add watchpoint: {UNSUPPORTED}")


@dcmd("evset", "change what is traced", address=OPTIONAL, synopsis="[+/-dDestT] [-c cmd] [-n count] id ...", words=None,
      help=_HELP)  # fmt: skip
def change(call: Call) -> None:
    """Fail."""
    _, words = _parse(call, (*_EVENT_OPTIONS, flag("F", "internal ones, too")))
    ids = [to_number(one, 10) if isinstance(one, str) else one for one in words]
    if call.explicit:
        ids.insert(0, call.address)
    if not ids:
        raise UsageError("expected one or more event IDs to be specified")
    for one in reversed(ids):
        call.session.warn(f"failed to modify event {one}: no such software event specifier")
    raise Silent


_SIGNALS_STOPPED_ON = ("INT", "QUIT", "ILL", "TRAP", "ABRT", "EMT", "FPE", "BUS", "SEGV", "SYS", "XCPU", "XFSZ")
_RULE = f"----- - -- -- -- {'-' * 40} --{'-' * 20}"


def _lines(call: Call) -> Iterator[str]:
    """What is traced: of a program that does not run, the signals it would stop on."""
    verbose = call.options.v
    yield f"   ID S TA HT LM {'Description':<40} {'Status' if verbose else 'Action':<21}"
    if verbose:
        yield f"{'':<17}Action"
    yield _RULE
    for number_, name in enumerate(_SIGNALS_STOPPED_ON, 1) if call.target.kind == "object" else ():
        state = "no process active" if verbose else "-"
        mark = f"[{number_:>2} ]" if number_ < 10 else f"[{number_:>3}]"
        yield f"{mark} - T   0  0 {'stop on SIG' + name:<40} {state:<21}"
        if verbose:
            yield f"{'':<17}-"
            yield _RULE


@dcmd("events,$b", "list what is traced", address=NONE, synopsis="[-av]",
      options=[flag("a", "internal ones, too"), flag("v", "with their state")], hint=True, help=_HELP)  # fmt: skip
def events(call: Call) -> None:
    """What is traced."""
    for line in _lines(call):
        call.session.out.line(line)


@dcmd("delete,:d", "trace no more", address=OPTIONAL, synopsis="[id|all]", words=None)
def delete(call: Call) -> None:
    """There is nothing to delete."""
    words = call.words
    if len(words) > 1 or (words and call.explicit):
        raise UsageError("")
    one = words[0] if words else None
    asked = to_number(one, 10) if isinstance(one, str) and one != "all" else one
    base = call.address if call.explicit or not words else 0
    known = call.target.kind == "object" and asked in range(1, len(_SIGNALS_STOPPED_ON) + 1)
    if (base or isinstance(asked, int)) and not known:
        call.session.warn("no traced events matched description")


@dcmd(":z", "trace nothing any more", address=NONE)
def delete_all(call: Call) -> None:
    """There is nothing to delete."""


def _start(call: Call) -> None:
    """Fail to run the target."""
    if call.target.kind == "none":
        raise CommandError(NO_EXECUTABLE)
    raise CommandError(f"failed to create new target: {UNSUPPORTED}")


@dcmd("run,:r", "run the program", address=NONE, synopsis="[ args ... ]", words=None)
def run(call: Call) -> None:
    """Fail."""
    _start(call)


_STEPS = {":s": "single-step", ":S": "single-step", "next": "step (over)", ":e": "step (over)", ":u": "step (out)"}


def _go_on(call: Call, words: list[Word], what: str) -> None:
    if len(words) > 1:
        raise UsageError("")
    if words and isinstance(words[0], str) and words[0].removeprefix("SIG") not in SIGNALS:
        raise UsageError(f"invalid signal name -- {words[0]}")
    if call.target.kind == "dump":
        raise CommandError(f"failed to {what} target: {UNSUPPORTED}")
    _start(call)


@dcmd("cont,:c,:s,next,:e,:u", "let the program go on", address=NONE, synopsis="[SIG]", words=None)
def go_on(call: Call) -> None:
    """Fail."""
    _go_on(call, call.words, _STEPS.get(call.name, "continue"))


@dcmd("step", "let the program do a step", address=NONE, synopsis="[ over | out ] [SIG]", words=None)
def step(call: Call) -> None:
    """Fail."""
    way = str(call.words[0]) if call.words and call.words[0] in ("over", "out") else ""
    _go_on(call, call.words[1:] if way else call.words, f"step ({way})" if way else "single-step")


@dcmd(":S", "let the program do a step", address=NONE, words=None)
def old_step(call: Call) -> None:
    """Fail."""
    step(call)
