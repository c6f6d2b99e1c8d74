"""A session: all that the language remembers, and the way in for those who run it.

Dot, variables, radix and options live here and nowhere else. `Session.execute` runs text of the language,
`Session.records` runs it and returns records, `Session.run` works through a source (`kdbg.repl` calls it).
"""

from __future__ import annotations

import os
from _thread import RLock
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from kdbg.dcmds.registry import Call, Dcmd, View, Walker, Word
from kdbg.errors import CommandError, ParseError, SymbolNotFound
from kdbg.lang.errors import OK, Abort, PipeBroken, Quit
from kdbg.lang.formats_numbers import MASK, offset, prefixed
from kdbg.lang.numbers import to_number
from kdbg.lang.output import FileSink, ListSink, Output, Sink, to_bytes
from kdbg.lang.parser import Parser
from kdbg.lang.pipeline import Command, Pipe, RecordPresenter, TextPresenter, call, invoke
from kdbg.lang.reserved import Reserved
from kdbg.lang.settings import Settings
from kdbg.lang.source import PipeSource, Source, StandardInput, StringSource
from kdbg.lang.variables import Variables
from kdbg.target import Nothing, Target

if TYPE_CHECKING:
    from kdbg.lang.log import Log
    from kdbg.lang.structured import Structured
    from kdbg.symbols.table import Symbol

SIGN = 1 << 63


DEEPEST = 60
"""Texts and macro files that may run within each other."""


class Session:
    """The language at work on one target."""

    program = "kdbg"

    def __init__(self, target: Target | None = None, out: Sink | None = None, errors: Sink | None = None) -> None:
        self.target: Target = target if target is not None else Nothing("")
        output = FileSink(1) if out is None else out
        self._output = output
        self.out = self._main = Output(output)
        """Where commands write: standard output, or the pipe behind them."""
        self.error_output = Output(
            errors if errors is not None else FileSink(2, output if isinstance(output, FileSink) else None)
        )
        self.settings = Settings()
        self.dot: int = 0
        self.increment: int = 0
        """Bytes that the last command consumed: what ``+`` adds to dot."""
        self.address: int = 0
        """``&``: the address of the last command."""
        self.count = 1
        """The repeat count of the last command."""
        self.radix = 16
        self.disassembler = ""
        """Mode of ``::dis``, as `kdbg.disasm.MODES` names them; empty: the one that fits the target."""
        self.status = OK
        """How the last command ended."""
        self.failures = 0
        """Errors and warnings so far."""
        self.pipe: Pipe | None = None
        """The pipe that the command at work writes into."""
        self.presenter: Any = TextPresenter()
        self.view = View(self)
        self.source: Source | None = None
        self.depth = 0
        self._last: list[Command] = []
        self._dcmds: dict[str, Dcmd] = {}
        self._walkers: dict[str, Walker] = {}
        self.scratch: dict[str, Any] = {}
        """What dcmds keep from one call to the next, by name."""
        self._replacement: Source | None = None
        self.loaded: dict[str, Dcmd] = {}
        """Dcmds that ``::load`` added, by name."""
        self.loaded_walkers: dict[str, Walker] = {}
        self.encode_for_shell: Callable[[str], bytes] = to_bytes
        """What makes bytes of the text that a command of the shell reads."""
        self._turn = RLock()
        """Held while records are made: a session does one thing at a time."""
        self.log: Log | None = None
        self.structured: Structured | None = None
        """Where records go when they are not shown as text."""
        self.interrupted = False
        self.variables = Variables()
        self._last_value = Reserved(self).define(self.variables)

    # dot

    def set_dot(self, value: int) -> None:
        """Set dot, and nothing else."""
        self.dot = value

    def next_dot(self, operator: str) -> int:
        """Dot plus the increment. Raises `ParseError` where that overflows."""
        value = (self.dot + self.increment) & MASK
        if (value ^ self.dot) & SIGN:
            raise ParseError(f"'{operator}' would cause '.' to overflow")
        return value

    def previous_dot(self, operator: str) -> int:
        """Dot minus the increment. Raises `ParseError` where that is below 0."""
        value = (self.dot - self.increment) & MASK
        if value > self.dot:
            raise ParseError(f"'{operator}' would cause '.' to underflow")
        return value

    def set_variable(self, name: str, value: int) -> None:
        """Assign to a variable, which is made if there is none."""
        self.variables.define(name, value)

    # names

    def lookup(self, name: str, module: str | None = None) -> Symbol:
        """The symbol of that name. Raises `SymbolNotFound`."""
        return self.target.lookup(name, module)

    def label(self, address: int) -> str:
        """An address as symbol and offset, or as a number with its prefix: mdb's ``%a``."""
        return self.symbol_text(address) or prefixed(address, 16)

    @property
    def symbolic(self) -> bool:
        """Whether addresses are shown as symbol and offset."""
        return self.settings.symbols

    @property
    def distance(self) -> int | None:
        """How far from a symbol an address may lie to be named by it; None: within the symbol's size."""
        return self.settings.distance or None

    @property
    def adb(self) -> bool:
        """Whether characters are shown as adb shows them."""
        return self.settings.adb

    @property
    def array_limit(self) -> int | None:
        """How many elements of an array are shown; None: all."""
        return self.settings.array_limit

    @property
    def string_limit(self) -> int | None:
        """How many characters of an array are shown; None: all."""
        return self.settings.string_limit

    @property
    def last_value(self) -> int:
        """``<0``: the last value that a format showed."""
        return self._last_value.value

    @last_value.setter
    def last_value(self, value: int) -> None:
        self._last_value.value = value & MASK

    def number(self, text: str) -> int:
        """A number in the default radix or with its prefix. Raises `ParseError`."""
        return to_number(text, self.radix)

    def symbol_text(self, address: int) -> str | None:
        """An address as symbol and offset, or None: mdb's ``%A``."""
        if not self.settings.symbols:
            return None
        try:
            symbol, distance = self.target.nearest(address, self.distance)
        except SymbolNotFound:
            return None
        name = self.target.qualified(symbol)
        return name + offset(distance, self.radix) if distance else name

    def find_dcmd(self, name: str) -> Dcmd:
        """The dcmd of that name, for this target. Raises `CommandError`."""
        found = self._dcmds.get(name)
        if found is None:
            from kdbg.dcmds import find_dcmd

            found = self._dcmds[name] = self.loaded.get(name) or find_dcmd(name, self.target)
        return found

    def find_walker(self, name: str) -> Walker:
        """The walker of that name, for this target. Raises `CommandError`."""
        found = self._walkers.get(name)
        if found is None:
            from kdbg.dcmds import find_walker

            found = self._walkers[name] = self.loaded_walkers.get(name) or find_walker(name, self.target)
        return found

    def add_commands(self, dcmds: Iterable[Dcmd], walkers: Iterable[Walker], group: str) -> None:
        """Take dcmds and walkers from elsewhere; they go before all others of their names."""
        self.loaded.update((one.name, replace(one, module=group)) for one in dcmds)
        self.loaded_walkers.update((one.name, replace(one, module=group)) for one in walkers)
        self._dcmds.clear()
        self._walkers.clear()

    def remove_commands(self, group: str) -> bool:
        """Forget what `add_commands` took for a group; whether there was anything."""
        tables: list[dict[str, Any]] = [self.loaded, self.loaded_walkers]
        gone = [(table, name) for table in tables for name, one in table.items() if one.module == group]
        for table, name in gone:
            del table[name]
        self._dcmds.clear()
        self._walkers.clear()
        return bool(gone)

    def require(self, needs: Sequence[str]) -> None:
        """Check what a dcmd needs of the target. Raises `CommandError`."""
        missing = [need for need in needs if need not in self.target.capabilities()]
        if "kernel" in missing:
            self.target.require_kernel()
        elif missing:
            raise CommandError("command is not supported by current target")

    # messages

    def warn(self, text: str) -> None:
        """Say something on the error stream: ``kdbg: text``."""
        self.failures += 1
        self.error_output.write(f"{self.program}: {text}\n")

    def complain(self, error: Exception) -> None:
        """Say what an error says."""
        self.warn(str(error))

    def internal_error(self, name: str, error: Exception) -> None:
        """Own up to a mistake of ours, in one line."""
        where = error.__traceback__
        while where is not None and where.tb_next is not None:
            where = where.tb_next
        place = "" if where is None else f" ({os.path.basename(where.tb_frame.f_code.co_filename)}:{where.tb_lineno})"
        detail = " ".join(str(error).split())
        self.warn(f"internal error in ::{name}: {type(error).__name__}: {detail}{place}")

    def at_terminal(self, source: Source) -> bool:
        """Whether the text comes from a person at a terminal."""
        return getattr(source, "terminal", False)

    # running

    def take_last(self) -> list[Command]:
        """The commands that a bare expression repeats; they are set again when they have run."""
        last, self._last = self._last, []
        return last

    def call(self, commands: list[Command], address: int, count: int, explicit: bool, loop: bool) -> None:
        """Run a pipeline and remember it."""
        try:
            call(self, commands, address, count, explicit, loop)
        finally:
            if self.structured is not None and self.depth == 1:
                self.structured.end()
        self._last = commands

    def call_dcmd(self, name: str, address: int, words: list[Word], like: Call) -> int:
        """Call a dcmd from within another one, in its place in a loop or pipe; how it ended."""
        return invoke(self.find_dcmd(name), replace(like, name=name, address=address, explicit=True, words=words))

    def run(self, source: Source) -> bool:
        """Work through a source, in a frame of its own; False where an error ended it. Raises `Quit`."""
        if self.depth >= DEEPEST:
            raise Abort(f"{source.name}: nested too deeply")
        outer = self.source, self.pipe, self.presenter, self.dot
        self.source, self.depth = source, self.depth + 1
        if not source.is_pipe and self.pipe is not None:
            # A command in a pipe that runs text of its own (::eval): what that writes goes into the pipe as text.
            self.pipe, self.presenter = None, TextPresenter()
        try:
            completed = self._statements(source)
        except Quit:
            self.out.discard()
            self.out.newline()
            raise
        finally:
            dot = self.dot
            self.source, self.pipe, self.presenter, self.dot = outer
            self.depth -= 1
        if completed:
            self.dot = dot
        return completed

    def replace_source(self, source: Source) -> None:
        """Go on with another source in place of the one at hand, which is given up: ``$<`` in a macro."""
        self._replacement = source

    def _statements(self, source: Source) -> bool:
        parser = Parser(self, source)
        while True:
            try:
                while parser.statement():
                    if self._replacement is not None:
                        parser.lexer.source.close()
                        self.source = parser.lexer.source = self._replacement
                        self._replacement = None
            except ParseError as error:
                self.complain(error)
            except KeyboardInterrupt:
                if parser.lexer.source.is_string or parser.lexer.source.is_pipe:
                    raise
                self.interrupted = True
            else:
                if parser.lexer.source.ended:
                    return True
                continue
            parser.recover()
            self.out.discard()
            if self.interrupted:
                self.interrupted = False
                self.out.newline()
            if parser.lexer.source.is_string or parser.lexer.source.is_pipe:
                return False

    def read_pipe(self, pipe: Pipe, source: PipeSource) -> None:
        """Read what a command has written into a pipe. Raises `PipeBroken`."""
        outer = self.dot
        self.pipe = pipe
        if not self.run(source):
            raise PipeBroken
        self.dot = outer

    def execute(self, text: str, name: str = "(string)") -> bool:
        """Run text of the language, output to where commands write; False where it could not be parsed."""
        return self.run(StringSource(text, name))

    def records(self, text: str) -> list[Any]:
        """Run a pipeline; the records of its last command, or its lines as `Text`. Raises `CommandError`.

        ``::quit`` ends the text, and nothing else. Threads that call this at once get their turns.
        """
        with self._turn:
            return self._records(text)

    def _records(self, text: str) -> list[Any]:
        collected = RecordPresenter()
        said = ListSink()
        outer = self.presenter, self.error_output, self.status
        self.presenter, self.error_output, self.status = collected, Output(said), OK
        try:
            with self.captured() as written:
                try:
                    completed = self.execute(text)
                except Quit:
                    completed = True
            failed = not completed or self.status != OK
        finally:
            self.presenter, self.error_output, self.status = outer
        from kdbg.records import Text

        lines = written.text().splitlines()
        if failed and not collected.records:
            first = said.text().partition("\n")[0].removeprefix(f"{self.program}: ")
            raise CommandError(first or f"{text}: failed")
        return collected.records or [Text(line) for line in lines]

    # output

    def careful_with(self, is_terminal: Callable[[int], bool], encode: Callable[[str], bytes]) -> None:
        """Have text that goes straight to a terminal made into bytes by ``encode``."""
        for sink in (self._output, self.error_output.sink):
            if isinstance(sink, FileSink) and is_terminal(sink.descriptor):
                sink.encode = encode

    def shell(self, text: str) -> None:
        """Run a command of the shell."""
        from kdbg.lang.shell import run_shell

        run_shell(self, text)

    def shell_pipe(self, text: str) -> AbstractContextManager[None]:
        """Have everything that is written within go to a command of the shell."""
        from kdbg.lang.shell import shell_pipe

        return shell_pipe(self, text)

    def structure(self, form: str) -> None:
        """Write records in that format from here on: json, jsonl or csv."""
        from kdbg.lang.structured import Structured

        self.structured = self.presenter = Structured(form, self.out.sink)
        self.out.sink = self.structured

    def start_log(self) -> None:
        """Have the log get what is read and written from here on."""
        if self.log is not None:
            self.log.enabled = True
            if isinstance(self.source, StandardInput):
                self.source.log_to(self._log_typed)
            for sink in (self._output, self.error_output.sink):
                if isinstance(sink, FileSink):
                    sink.log = self._log_written

    def tell_log(self) -> None:
        """Give the log what was read so far."""
        if isinstance(self.source, StandardInput):
            self.source.tell_log()

    def _log_written(self, text: str) -> None:
        self.tell_log()
        if self.log is not None:
            self.log.written(text)

    def _log_typed(self, text: str) -> None:
        if self.log is not None:
            self.log.typed(text, self.settings.prompt)

    def apply_settings(self) -> None:
        """Do what changed settings ask for."""
        self._main.wrap = "autowrap" in self.settings.flags

    def flush(self) -> None:
        """Write what waits to be written."""
        if isinstance(self._output, FileSink):
            self._output.flush()

    @contextmanager
    def captured(self) -> Iterator[ListSink]:
        """Have everything that is written within go to a list."""
        sink = ListSink()
        outer, self.out = self.out, Output(sink, self.out.columns)
        try:
            yield sink
        finally:
            self.out.end_line()
            self.out = outer
