"""Commands and pipelines: how dcmds are called, once, in a loop, and with what another one hands on.

A stage of a pipeline runs to its end before the next one begins, as in mdb: what it hands on are addresses. A command
that yields records hands them on as such; what a command writes instead is read as text, one expression a line. Records
of the last stage are shown one at a time, as they come.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from kdbg.dcmds.registry import Call, Dcmd, Need, Options, Table, View, Word
from kdbg.errors import Error, ParseError, UsageError
from kdbg.lang.errors import ABORTED, FAILED, OK, USAGE, Abort, PipeBroken, Quit
from kdbg.lang.options import parse_options
from kdbg.lang.output import Output
from kdbg.lang.source import PipeSource

if TYPE_CHECKING:
    from kdbg.lang.session import Session
    from kdbg.lang.variables import Variable

FULL = 1024
"""Characters in a pipe at which its reader is given a turn."""

Bindings = tuple[tuple["Variable", int], ...]


class Command:
    """A dcmd with what stands behind it: one stage of a pipeline."""

    __slots__ = ("bindings", "dcmd", "values", "walked", "words")

    def __init__(self, dcmd: Dcmd, words: list[Word]) -> None:
        self.dcmd = dcmd
        self.words = words
        self.values: list[int] = []
        """Addresses that the pipe has brought."""
        self.bindings: list[Bindings] = []
        """For each of them: the variables that walks to the left keep in step with it."""
        self.walked: list[Variable] = []
        """Variables that the command to the left sets to each value."""

    def reset(self) -> None:
        """Forget what the pipe has brought."""
        self.values = []
        self.bindings = []
        self.walked = []


class Pipe:
    """Between two commands: takes text or addresses from the left one and keeps addresses for the right one."""

    def __init__(self, session: Session, reader: Command) -> None:
        self._session = session
        self._reader = reader
        self._text = ""
        self.binding = False
        """Whether variables are to be kept in step from here on."""
        self._source = PipeSource()
        self.current: Bindings = ()
        """The bindings under which the left command runs at the moment."""
        self.dot: int | None = None
        """The last value."""

    def emit(self, text: str) -> None:
        """Take text, as a sink of output."""
        self._text += text
        if len(self._text) >= FULL:
            self.drain()

    def drain(self) -> None:
        """Read what has been written, whole lines of it. Raises `PipeBroken` where it is no expression."""
        text, self._text = self._text, ""
        if text:
            self._source.feed(text)
            self._session.read_pipe(self, self._source)

    def value(self, value: int) -> None:
        """Take an address."""
        if self._text:
            self.drain()
        reader = self._reader
        reader.values.append(value)
        reader.bindings.append(self.current + tuple((variable, value) for variable in reader.walked))
        self.dot = value

    def replace(self, values: Sequence[int]) -> None:
        """Hand on these addresses and no others, without variables."""
        self._text = ""
        self._reader.reset()
        for value in values:
            self.value(value)

    def bind(self, variable: Variable) -> None:
        """Have the variable set to each value, for all commands to the right."""
        self.binding = True
        if variable not in self._reader.walked:
            self._reader.walked.append(variable)


def call(session: Session, commands: Sequence[Command], address: int, count: int, explicit: bool, loop: bool) -> None:
    """Run a pipeline. Raises `ParseError` where the statement is to be given up, and `Quit`."""
    last = len(commands) - 1
    for number, command in enumerate(commands):
        command_loop = Loop(session, command, address, count, explicit, loop)
        if number == last:
            session.status = command_loop.run()
            command.reset()
            return
        following = commands[number + 1]
        if not _into_pipe(session, command_loop, following) or not following.values:
            return
        command.reset()
        address, count, explicit, loop = session.dot, 1, False, False


def _into_pipe(session: Session, loop: Loop, following: Command) -> bool:
    """Run a command that has another behind it; False where the pipeline ends here."""
    pipe = Pipe(session, following)
    outer = session.out, session.pipe, session.presenter
    session.out, session.pipe = Output(pipe, FULL, wrappable=False), pipe
    session.presenter = PipePresenter()
    loop.pipe = pipe
    try:
        status = session.status = loop.run()
        pipe.drain()
    except PipeBroken:
        return False
    except ParseError as error:
        session.complain(error)
        return False
    finally:
        session.out, session.pipe, session.presenter = outer
    if pipe.dot is not None:
        session.dot = pipe.dot
    return status not in (USAGE, ABORTED)


class Loop:
    """The calls of one command: for one address, for a count of them, or for all that a pipe has brought."""

    def __init__(
        self, session: Session, command: Command, address: int, count: int, explicit: bool, loop: bool
    ) -> None:
        self._session = session
        self._command = command
        self._address = address
        self._count = count
        self._explicit = explicit
        self._loop = loop
        self.pipe: Pipe | None = None
        """What the command writes into, if another one stands behind it."""
        self._kept: dict[str, Any] = {}
        self._taken = False

    def run(self) -> int:
        """Do all calls; how the last one ended."""
        session = self._session
        session.dot = session.address = self._address
        session.count = self._count
        if self._command.dcmd.name == "$<":
            session.set_variable("9", self._count)
        if self._count == 0:
            return OK
        status = self._over_values() if self._command.values else self._over_count()
        session.out.end_line()
        return status

    def _over_values(self) -> int:
        command, session = self._command, self._session
        status = OK
        first = True
        while command.values:
            values, command.values = command.values, []
            bindings, command.bindings = command.bindings, []
            for value, bound in zip(values, bindings, strict=True):
                session.dot = value
                for variable, bound_value in bound:
                    variable.set(bound_value)
                status = self._once(value, explicit=True, first=first, piped=True, batch=values, bound=bound)
                if status in (USAGE, ABORTED):
                    return status
                first = False
                if self._taken:
                    break
        return status

    def _over_count(self) -> int:
        session = self._session
        address = self._address
        status = self._once(address, self._explicit, first=True)
        if status in (USAGE, ABORTED) or self._command.dcmd.name == "$<":
            return status
        for _ in range(1, self._count):
            address = session.next_dot(",")
            session.dot = address
            status = self._once(address, self._explicit, first=False)
            if status in (USAGE, ABORTED):
                break
        return status

    def _once(
        self,
        address: int,
        explicit: bool,
        first: bool,
        piped: bool = False,
        batch: Sequence[int] = (),
        bound: Bindings = (),
    ) -> int:
        command, pipe = self._command, self.pipe
        if pipe is not None:
            pipe.current = bound
        made = Call(
            session=self._session,
            name=command.dcmd.name,
            address=address,
            explicit=explicit,
            options=_NO_OPTIONS,
            words=command.words,
            first=first or not (self._loop or piped),
            loop=self._loop or piped,
            piped_in=piped,
            piped_out=pipe is not None,
            batch=batch,
            count=self._count,
            kept=self._kept,
        )
        status = invoke(command.dcmd, made)
        self._taken = made.taken
        if pipe is not None and (bound or pipe.binding):
            pipe.drain()
        return status


_NO_OPTIONS = Options(())


def invoke(dcmd: Dcmd, made: Call) -> int:
    """Do one call: check how it is called, run it, show its records; say what went wrong. Returns the status."""
    session = made.session
    try:
        prepare(dcmd, made)
        records = dcmd.run(made)
        if records is not None:
            session.presenter.present(dcmd, made, records)
    except UsageError as error:
        if str(error):
            session.warn(str(error))
        session.error_output.write(usage(session, dcmd))
        return USAGE
    except (ParseError, Quit):
        raise
    except Abort as error:
        if str(error):
            session.warn(str(error))
        return ABORTED
    except Error as error:
        if str(error):
            session.warn(str(error))
        return FAILED
    except (PipeBroken, BrokenPipeError):
        raise
    except RecursionError:
        session.warn(f"::{dcmd.name}: nested too deeply")
        return ABORTED
    except Exception as error:
        session.internal_error(dcmd.name, error)
        return FAILED
    return FAILED if made.failed else OK


def prepare(dcmd: Dcmd, made: Call) -> None:
    """Check address, options and words, and put the options into the call. Raises `UsageError`, `CommandError`."""
    if made.explicit:
        if dcmd.address is Need.NONE:
            raise UsageError("")
    elif dcmd.address is Need.REQUIRED:
        raise UsageError(dcmd.missing)
    if dcmd.options:
        parsed = made.kept.get("options")
        if parsed is None:
            parsed = parse_options(made.session, dcmd.options, made.words, dcmd.lenient)
            made.kept["options"] = parsed
        made.options, made.words = parsed
    if dcmd.address is Need.REQUIRED_AFTER_OPTIONS and not made.explicit:
        raise UsageError("")
    if dcmd.words is not None and len(made.words) > dcmd.words:
        raise UsageError("")
    if dcmd.needs:
        made.session.require(dcmd.needs)


def usage(session: Session, dcmd: Dcmd) -> str:
    """The usage lines of a dcmd."""
    name = dcmd.name
    prefix = {Need.NONE: "", Need.OPTIONAL: "[address]"}.get(dcmd.address, "address")
    if dcmd.plain_usage:
        prefix = ""
    elif dcmd.strict_usage:
        prefix = "address"
    if prefix and name[0] not in ":$":
        prefix += "::"
    lines = f"Usage: {prefix}{name} {dcmd.synopsis}\n"
    if dcmd.help if dcmd.hint is None else dcmd.hint:
        lines += f"{session.program}: try '::help {name}' for more information\n"
    return lines


class TextPresenter:
    """Shows records as text, one at a time."""

    def present(self, dcmd: Dcmd, made: Call, records: Iterable[Any]) -> None:
        """Show the records of one call."""
        out = made.session.out
        view = made.session.view
        render, heading = renderer(dcmd, made, view)
        titled = not made.first
        for record in records:
            if not titled:
                titled = True
                if (title := heading()) is not None:
                    out.write(title + "\n")
            if record is None:
                continue
            text = render(record)
            if text is None:
                continue
            if out.wrapping:
                out.words(text)
                out.newline()
            else:
                out.write(text + "\n")


class PipePresenter:
    """Hands the records of a command on into the pipe behind it."""

    def present(self, dcmd: Dcmd, made: Call, records: Iterable[Any]) -> None:
        """Hand on the records of one call."""
        session = made.session
        pipe, out, view = session.pipe, session.out, session.view
        assert pipe is not None
        to_value = dcmd.pipe or _address_of
        render, _ = renderer(dcmd, made, view)
        for record in records:
            if record is None:
                continue
            value = to_value(record)
            if isinstance(value, int):
                pipe.value(value)
            elif value is not None and (text := render(record)) is not None:
                out.write(text + "\n")


class RecordPresenter:
    """Keeps records."""

    def __init__(self) -> None:
        self.records: list[Any] = []

    def present(self, dcmd: Dcmd, made: Call, records: Iterable[Any]) -> None:
        """Keep the records of one call."""
        self.records.extend(record for record in records if record is not None)


_TEXT = object()


def _address_of(record: Any) -> Any:
    return getattr(record, "address", _TEXT)


def renderer(dcmd: Dcmd, made: Call, view: View) -> tuple[Any, Any]:
    """How a dcmd shows a record, and its heading: two functions that return text or None."""
    table = dcmd.table
    if table is not None and not isinstance(table, Table):
        table = table(made)
    heading = dcmd.heading
    if dcmd.text is not None:
        text = dcmd.text
        return (lambda record: text(record, view)), (lambda: heading(made, view) if heading is not None else None)
    if table is not None:
        shown = table
        return (
            lambda record: shown.row(record, view),
            lambda: heading(made, view) if heading is not None else shown.heading(view),
        )
    return _plain, lambda: None


def _plain(record: Any) -> str:
    return str(getattr(record, "text", record))
