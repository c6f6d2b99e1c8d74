"""Help at the terminal, as pleasant as a manual page: made of what the dcmds and walkers declare.

The plain text that a pipe gets is `::help`'s own; here are the same facts with headings, fitted to the window.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from kdbg.dcmds import group_of
from kdbg.dcmds.registry import Dcmd, Need, Type
from kdbg.repl.screen import visible

if TYPE_CHECKING:
    from kdbg.repl.vocabulary import Vocabulary

WIDEST = 100
"""Columns of a line of prose at most."""
ADDRESS = {
    Need.NONE: "",
    Need.OPTIONAL: "[address]",
    Need.REQUIRED: "address",
    Need.REQUIRED_AFTER_OPTIONS: "address",
}

PLACES = {"solaris": "cpu0_disp", "linux": "init_task"}
"""A variable that every kernel of a family has."""
PIPELINES = {"solaris": "::walk proc | ::print proc_t p_user.u_comm"}

FIRST_STEPS = (
    ("{place}=K", "the value of an expression, in hexadecimal"),
    ("{place}/2K", "memory at an address: two pointers"),
    ("::status", 'a command (a "dcmd")'),
    ("{place}::dump", "one that takes an address"),
    ("{pipeline}", "a pipeline: for each address of the left one"),
    ("::nm ! less", "into a command of the shell"),
)
WHERE_TO_FIND = """\
  ::help NAME    what a dcmd or walker does, its options, an example
  ::dcmds        all dcmds that there are here     ::walkers  all walkers
  Tab            completes names, options, types   Ctrl-R     finds old lines
  Ctrl-C         stops a command                   $q Ctrl-D  leave
"""


class Style:
    """Headings and the like: with escape codes, or plain."""

    def __init__(self, coloured: bool) -> None:
        self._coloured = coloured

    def bold(self, text: str) -> str:
        """A heading."""
        return f"\033[1m{text}\033[0m" if self._coloured else text

    def code(self, text: str) -> str:
        """Something to type."""
        return f"\033[36m{text}\033[0m" if self._coloured else text


def page(dcmd: Dcmd, width: int, style: Style) -> str:
    """The manual page of a dcmd."""
    prefix = ADDRESS[dcmd.address]
    named = dcmd.name if dcmd.name[:1] in "$:/\\?@=>" else f"::{dcmd.name}"
    flags = "".join(option.letter for option in dcmd.options if option.type is Type.FLAG)
    synopsis = f"{prefix}{named} {dcmd.synopsis or (f'[-{flags}]' if flags else '')}".rstrip()
    parts = [
        _section("NAME", f"{dcmd.name} - {dcmd.summary}", width, style),
        style.bold("SYNOPSIS") + "\n" + _fit(synopsis, width, 4, style.code),
    ]
    if description := dcmd.help or _first_words(dcmd):
        parts.append(_section("DESCRIPTION", description, width, style))
    if dcmd.options:
        parts.append(style.bold("OPTIONS") + "\n" + _options(dcmd, width))
    if dcmd.example:
        lines = "\n".join("    " + style.code(visible(line)) for line in dcmd.example.splitlines())
        parts.append(style.bold("EXAMPLE") + "\n" + lines)
    return "\n\n".join(parts) + "\n"


def _first_words(dcmd: Dcmd) -> str:
    """What the function's own docstring says first, for a dcmd without a help text."""
    text = textwrap.dedent(dcmd.run.__doc__ or "").strip()
    return re.split(r"\n\s*\n|\s+(?:Raises|Source)\b", text)[0].replace("``", "").replace("`", "")


def _section(heading: str, text: str, width: int, style: Style) -> str:
    return style.bold(heading) + "\n" + prose(text, width)


def prose(text: str, width: int, indent: int = 4) -> str:
    """Paragraphs filled to the width; lines that are indented stay as they are."""
    out: list[str] = []
    for paragraph in re.split(r"\n\s*\n", visible(textwrap.dedent(text)).strip("\n")):
        if any(line.startswith((" ", "\t")) for line in paragraph.splitlines()):
            out.append(textwrap.indent(paragraph, " " * indent))
        else:
            out.append(_fit(" ".join(paragraph.split()), width, indent))
    return "\n\n".join(out)


def _fit(text: str, width: int, indent: int, dress: object = None) -> str:
    room = max(20, min(width, WIDEST) - 1)
    lines = textwrap.wrap(
        text, room, initial_indent=" " * indent, subsequent_indent=" " * indent, break_on_hyphens=False
    )
    if callable(dress):
        lines = [" " * indent + dress(line[indent:]) for line in lines]
    return "\n".join(lines)


def _options(dcmd: Dcmd, width: int) -> str:
    rows = [(f"-{option.letter} {option.metavar}".rstrip(), option.help) for option in dcmd.options]
    return "\n".join(pairs(rows, width))


def pairs(rows: Sequence[tuple[str, str]], width: int, indent: int = 4) -> list[str]:
    """Names and what they mean, one below the other; what is long goes on behind the names."""
    room = max(20, min(width, WIDEST) - 1)
    left = min(max((len(name) for name, _ in rows), default=0), max(8, room // 3))
    lines: list[str] = []
    for name, meaning in rows:
        head = " " * indent + name.ljust(left) + "  "
        body = textwrap.wrap(visible(meaning), max(12, room - len(" " * indent) - left - 2)) or [""]
        if len(name) > left:
            lines += textwrap.wrap(name, room, initial_indent=" " * indent, subsequent_indent=" " * (indent + 2))
            head = " " * (indent + left + 2)
        lines.append((head + body[0]).rstrip())
        lines += [" " * (indent + left + 2) + more for more in body[1:]]
    return lines


def columns(names: Iterable[str], width: int, indent: int = 2) -> list[str]:
    """Names in columns that fit the width, read downwards."""
    shown = [visible(name) for name in names]
    if not shown:
        return []
    cell = max(map(len, shown)) + 2
    across = max(1, (width - 1 - indent + 2) // cell)
    down = -(-len(shown) // across)
    return [(" " * indent + "".join(name.ljust(cell) for name in shown[row::down])).rstrip() for row in range(down)]


def all_dcmds(vocabulary: Vocabulary, width: int, style: Style) -> str:
    """All dcmds by group, each with its summary."""
    groups: dict[str, list[tuple[str, str]]] = {}
    refused = vocabulary.refused()
    for name in vocabulary.dcmds().names:
        dcmd = vocabulary.dcmd(name)
        if dcmd is not None and name not in refused:
            groups.setdefault(group_of(dcmd), []).append((name, dcmd.summary))
    listed = _grouped(groups, width, style)
    rest = "\n".join(columns(sorted(refused, key=_words_first), width))
    return f"{listed}\n{style.bold('for running programs, refused here')}\n{rest}\n" if refused else listed


def _words_first(name: str) -> tuple[bool, str]:
    """Order names before signs."""
    return not name[:1].isalpha(), name


def all_walkers(vocabulary: Vocabulary, width: int, style: Style) -> str:
    """All walkers by group, each with its summary."""
    groups: dict[str, list[tuple[str, str]]] = {}
    for name in vocabulary.walkers().names:
        walker = vocabulary.walker(name)
        if walker is not None:
            groups.setdefault(group_of(walker), []).append((name, walker.summary))
    return _grouped(groups, width, style)


def _grouped(groups: dict[str, list[tuple[str, str]]], width: int, style: Style) -> str:
    parts = []
    for group in sorted(groups):
        rows = sorted(groups[group], key=lambda row: _words_first(row[0]))
        lines = "\n".join(pairs(rows, width, indent=2))
        parts.append(f"{style.bold(group)}\n{lines}\n")
    return "\n".join(parts)


def overview(vocabulary: Vocabulary, width: int, style: Style) -> str:
    """What ``::help`` alone says: how to begin, and the names of all dcmds."""
    refused = vocabulary.refused()
    names = [name for name in vocabulary.dcmds().names if name[0].isalpha() and name not in refused]
    listed = "\n".join(columns(names, width))
    family = getattr(vocabulary.session.target.kernel, "family", "")
    place, pipeline = PLACES.get(family, "1000"), PIPELINES.get(family, "::echo 1000 | ::map .+8")
    steps = [(text.format(place=place, pipeline=pipeline), meaning) for text, meaning in FIRST_STEPS]
    keys = [line if len(line) < width else _fit(line.strip(), width, 2) for line in WHERE_TO_FIND.splitlines()]
    first = "\n".join([*pairs(steps, width, indent=2), "", *keys])
    return f"{first}\n\n{style.bold('dcmds')}\n{listed}\n"


def answer(line: str, vocabulary: Vocabulary, width: int, style: Style) -> str | None:
    """What the prompt shows for a line that asks for help and nothing else; None for any other line."""
    found = re.fullmatch(r"\s*::(help|dcmds|walkers)(?:\s+(\S+))?\s*", line)
    if found is None or (found[2] and re.search(r"[|!;]", found[2])):
        return None
    command, name = found[1], found[2]
    if command == "dcmds":
        return all_dcmds(vocabulary, width, style) if not name else None
    if command == "walkers":
        return all_walkers(vocabulary, width, style) if not name else None
    if not name:
        return overview(vocabulary, width, style)
    name = name.removeprefix("::") or name
    dcmd = vocabulary.dcmd(name)
    if dcmd is not None:
        return page(dcmd, width, style)
    walker = vocabulary.walker(name)
    if walker is not None:
        example = f"::walk {name}" if walker.summary else ""
        return "\n".join(
            [_section("NAME", f"{name} - {walker.summary}", width, style), "",
             style.bold("SYNOPSIS"), f"    {style.code(f'[address]::walk {name}')}", "",
             style.bold("EXAMPLE"), f"    {style.code(example)}", ""]
        )  # fmt: skip
    return None
