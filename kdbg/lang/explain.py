"""``--explain``: the Python that a statement of the language stands for.

A stage of a pipeline is a call of ``run`` for each record that the one before it gave; what cannot be taken apart so
(variables that keep in step with a walk, repeats, formats) is one call.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kdbg.dcmds.registry import Word
from kdbg.errors import CommandError
from kdbg.lang.lexer import Char
from kdbg.lang.parser import Parser
from kdbg.lang.source import Source, StringSource

if TYPE_CHECKING:
    from kdbg.lang.pipeline import Command
    from kdbg.lang.session import Session

BINDING = ("walk", "list", "array")
"""Dcmds whose last word may be a variable that keeps in step."""

_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-+.,:/=@%^*&<>[](){}#~?")


class _Explainer(Parser):
    """Parses statements and keeps what they would have run."""

    def __init__(self, session: Session, source: Source) -> None:
        super().__init__(session, source)
        self.found: list[tuple[list[Command], int, int, bool]] = []

    def _run(self, commands: list[Command], address: int, count: int, explicit: bool, loop: bool) -> None:
        self.found.append((commands, address, count, explicit))


def explain(session: Session, text: str) -> str:
    """The Python of a text's statements, to stand behind ``with kdbg.open(...) as t:``. Raises `ParseError`."""
    parser = _Explainer(session, StringSource(text))
    while parser.statement():
        pass
    return "".join(_statement(*one) for one in parser.found)


def program(session: Session, text: str) -> str:
    """A whole program that does what a text does and prints the records. Raises `ParseError`."""
    body = explain(session, text)
    lines = [f"    {line}\n" for line in body.splitlines()]
    printing = "    for record in records:\n        print(record)\n" if body else "    pass\n"
    return f"import kdbg\n\nwith kdbg.open({session.target.name!r}) as t:\n{''.join(lines)}{printing}"


def _statement(commands: list[Command], address: int, count: int, explicit: bool) -> str:
    prefix = f"{address:#x}" if explicit else ""
    if count != 1:
        prefix += f",{count:#x}"
    stages = [_spelt(command) for command in commands]
    if not all(map(_is_plain, commands)):
        return f"records = t.run({(prefix + ' | '.join(stages))!r})\n"
    lines = [f"records = t.run({prefix + stages[0]!r})\n"]
    for command, stage in zip(commands[1:], stages[1:], strict=True):
        lines.append(_next_stage(command, stage))
    return "".join(lines)


def _is_plain(command: Command) -> bool:
    """Whether a stage may stand for itself."""
    if command.dcmd.name in BINDING and len(command.words) > (1 if command.dcmd.name == "walk" else 2):
        return False
    return command.dcmd.name not in "/\\?@="


def _next_stage(command: Command, stage: str) -> str:
    if command.dcmd.name == "head":
        from kdbg.dcmds.language import limit

        return f"records = records[:{limit(command.words)}]\n"
    quoted = stage.replace("\\", "\\\\").replace("{", "{{").replace("}", "}}").replace('"', '\\"')
    return f'records = [record for one in records for record in t.run(f"{{one.address:#x}}{quoted}")]\n'


def _spelt(command: Command) -> str:
    """A command as it is typed."""
    name = command.dcmd.name
    start = name if name[0] in ":$/\\?@=>" else f"::{name}"
    if name in "/\\?@=":
        return start + "".join(_letter(word) for word in command.words)
    return " ".join([start, *map(_word, command.words)])


def _letter(word: Word) -> str:
    if isinstance(word, int):
        return str(word)
    if isinstance(word, Char):
        return str(word)
    escaped = word.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def _word(word: Word) -> str:
    if isinstance(word, int):
        return f"$[{word:#x}]"
    if word and all(char in _PLAIN for char in word):
        return word
    if "'" not in word and "\n" not in word:
        return f"'{word}'"
    raise CommandError(f"{word}: cannot be quoted")
