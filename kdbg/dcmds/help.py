"""What there is: ``::help``, ``::dcmds``, ``::walkers``, ``::dmods``, ``::which``, ``::formats``, ``::load``."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from kdbg.dcmds import declared, found_names, group_of, load_file
from kdbg.dcmds.registry import NONE, Call, Dcmd, Need, Table, Walker, Word, dcmd, flag, text, word
from kdbg.errors import CommandError, Error, UsageError
from kdbg.lang.errors import Abort, Silent
from kdbg.lang.source import file_name

BUILT_IN = "kdbg"
"""The group of the language's own dcmds."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A dcmd, a walker or a format letter, in one line."""

    name: str
    group: str
    summary: str


LISTING = Table([text("NAME", "name", 24), text("GROUP", "group", 12), text("WHAT IT DOES", "summary", 0)])
_PATTERNS = "A pattern without wildcards is looked for anywhere in the name."
_PATTERN = [word("n", "pattern", "names that contain this, with * and ? as wildcards")]


def _entries(call: Call, attribute: str) -> Iterator[Entry]:
    pattern = call.options.n if call.options.n is not None else call.words[0] if call.words else None
    for name in sorted(found_names(call.session, attribute)):
        if _matches(name, pattern):
            found = _describe(call, name, attribute)
            if found is not None:
                yield found


def _matches(name: str, pattern: Word | None) -> bool:
    if pattern is None:
        return True
    from fnmatch import fnmatchcase

    shape = str(pattern)
    return fnmatchcase(name, shape if any(char in shape for char in "*?[") else f"*{shape}*")


def _describe(call: Call, name: str, attribute: str) -> Entry | None:
    session = call.session
    found: Dcmd | Walker
    try:
        found = session.find_dcmd(name) if attribute == "DCMDS" else session.find_walker(name)
    except Error:
        return None
    return Entry(name, group_of(found), found.summary)


@dcmd(
    "dcmds",
    "list the dcmds",
    address=NONE,
    synopsis="[[-n] pattern]",
    options=_PATTERN,
    words=1,
    lenient=True,
    table=LISTING,
    hint=True,
    help=_PATTERNS,
    example="::dcmds thread",
)
def dcmds(call: Call) -> Iterator[Entry]:
    """The dcmds for this target, by name."""
    return _entries(call, "DCMDS")


@dcmd(
    "walkers",
    "list the walkers",
    address=NONE,
    synopsis="[[-n] pattern]",
    options=_PATTERN,
    words=1,
    lenient=True,
    table=LISTING,
    hint=True,
    help=_PATTERNS,
    example="::walkers kmem",
)
def walkers(call: Call) -> Iterator[Entry]:
    """The walkers for this target, by name."""
    return _entries(call, "WALKERS")


@dcmd(
    "dmods", "list the groups of dcmds and walkers", address=NONE, synopsis="[-l] [mod]",
    options=[flag("l", "with what is in each")], words=1,
    help="Groups are named after what they are for: the language, dumps, a kernel.",
    hint=False,
    example="::dmods -l",
)  # fmt: skip
def dmods(call: Call) -> None:
    """The groups, one a line; with ``-l`` their dcmds and walkers below each."""
    wanted = str(call.words[0]) if call.words else None
    groups: dict[str, list[tuple[str, str]]] = {}
    for attribute, kind in (("DCMDS", "dcmd"), ("WALKERS", "walker")):
        for name in sorted(found_names(call.session, attribute)):
            found = _describe(call, name, attribute)
            if found is not None:
                groups.setdefault(found.group, []).append((kind, name))
    if wanted is not None and wanted not in groups:
        raise CommandError(f"{wanted} module not loaded")
    for group in sorted(groups):
        if wanted in (None, group):
            call.session.out.line(group)
            for kind, name in groups[group] if call.options.l else ():
                call.session.out.line(f"  {kind:<8}{name}")


@dcmd(
    "which,whence", "tell where a dcmd or walker comes from", plain_usage=True, synopsis="[-v] name ...",
    options=[flag("v", "with what it does")], words=None, lenient=True,
    help="Names the group that a dcmd or walker comes from.",
    hint=False,
    example="::which print",
)  # fmt: skip
def which(call: Call) -> None:
    """Where names come from."""
    for name in call.words:
        if isinstance(name, str):
            _which(call, name.removeprefix("$<") or name)


def _which(call: Call, name: str) -> None:
    from kdbg.dcmds.macros import ALIASES

    session = call.session
    known = False
    for kind, find in (("dcmd", session.find_dcmd), ("walker", session.find_walker)):
        try:
            found = find(name)
        except Error:
            continue
        known = True
        group = group_of(found)
        built_in = group == BUILT_IN
        session.out.line(f"{name} is a built-in {kind}" if built_in else f"{name} is a {kind} from module {group}")
        if call.options.v:
            session.out.line(f"   >  {found.summary}")
    if name in ALIASES:
        known = True
        session.out.line(f"{name} is a macro alias for '{ALIASES[name]}'")
    if not known:
        session.warn(f"{name} not found")


@dcmd(
    "help", "say what a dcmd does, or where to begin", address=NONE, synopsis="[cmd]", words=1,
    help="Without a word: how to begin. With the name of a dcmd or walker: what it does, its options, an example.",
    hint=False,
    example="::help print",
)  # fmt: skip
def help_(call: Call) -> None:
    """Help on a dcmd or walker, or the first words."""
    out = call.session.out
    if not call.words:
        out.write(FIRST_WORDS)
        return
    if not isinstance(call.words[0], str):
        raise UsageError("expected string argument")
    name = call.words[0].removeprefix("::")
    try:
        found = call.session.find_dcmd(name)
    except Error:
        _help_on_walker(call, name)
        return
    out.write(page(found))


def _help_on_walker(call: Call, name: str) -> None:
    try:
        found = call.session.find_walker(name)
    except Error:
        raise CommandError(f"unknown command: {name}") from None
    call.session.out.write(f"NAME\n  {name} - {found.summary}\n\nSYNOPSIS\n  [ addr ] ::walk {name} [variable]\n")


FIRST_WORDS = """\
Commands are expressions and dcmds. An address before a dcmd is what it looks at; a pipe hands addresses on:

  ::status                    what is looked at
  ::dcmds                     all dcmds; ::walkers, ::formats
  ::help name                 what a dcmd does, its options, an example
  10+20=X                     the value of an expression
  address/4K                  memory at an address: here four pointers
  ::walk proc | ::print proc_t p_pidp
                              for each address of a walk: here a member of a structure
  command ! shell             into a command of the shell
  ::quit                      leave
"""


def page(found: Dcmd) -> str:
    """The help on a dcmd as a manual page of plain text."""
    address = {Need.NONE: "", Need.OPTIONAL: "[ addr ] "}.get(found.address, "addr ")
    marker = "" if found.name[0] in ":$/\\?@=>" else "::"
    lines = ["NAME", f"  {found.name} - {found.summary}", "", "SYNOPSIS"]
    lines.append(f"  {address}{marker}{found.name} {found.synopsis}".rstrip())
    if found.help:
        lines += ["", "DESCRIPTION", *(f"  {line}" for line in _folded(found.help))]
    if found.options:
        lines += ["", "OPTIONS"]
        lines += [f"  -{option.letter} {option.metavar:<10} {option.help}" for option in found.options]
    if found.example:
        lines += ["", "EXAMPLE", f"  {found.example}"]
    lines += ["", "GROUP", f"  {group_of(found)}"]
    return "\n".join(lines) + "\n"


def _folded(prose: str) -> list[str]:
    import textwrap

    return [line for paragraph in prose.split("\n\n") for line in [*textwrap.wrap(paragraph, 76), ""]][:-1]


@dcmd(
    "formats", "list the letters of format lists", address=NONE,
    help="Each letter stands for one item behind / \\ ? @ or =: what is read and how it is shown.",
    hint=False,
    example="::formats",
)  # fmt: skip
def formats(call: Call) -> None:
    """The letters with their sizes."""
    from kdbg.lang.formats_letters import LETTERS

    for letter in LETTERS.values():
        size = f" ({letter.size} byte{'s' if letter.size != 1 else ''})" if letter.size else ""
        call.session.out.line(f"{letter.char} - {letter.help}{size}")


@dcmd(
    "version", "tell the version", plain_usage=True, words=None,
    help="Tells which kdbg this is.",
    hint=False,
    example="::version",
)  # fmt: skip
def version(call: Call) -> None:
    """The version."""
    from kdbg import __version__

    call.session.out.line(f"kdbg {__version__}")


@dcmd("load", "add the dcmds and walkers of a Python file", address=NONE, synopsis="[-s] module",
      options=[flag("s", "without a word where there is none")], words=None, hint=True,
      help="The file declares dcmds and walkers as kdbg's own modules do; see docs/plugins.md.",
      example="::load mine.py")  # fmt: skip
def load(call: Call) -> None:
    """Run a Python file and take what it declares."""
    if len(call.words) != 1 or not isinstance(call.words[0], str) or call.words[0][:1] in ("+", "-"):
        raise UsageError("")
    name = call.words[0]
    if call.session.settings.safe:
        raise Abort("modules are not loaded: --safe")
    module = load_file(file_name(name))
    if module is None:
        if call.options.s:
            raise Silent
        raise CommandError(f"no module '{name}' could be found")
    call.session.add_commands(declared(module, "dcmds"), declared(module, "walkers"), group=module.__name__)


@dcmd(
    "unload", "forget what ::load added", plain_usage=True, synopsis="module", words=None,
    help="Takes back what ::load has added.",
    hint=False,
    example="::unload mine",
)  # fmt: skip
def unload(call: Call) -> None:
    """Forget the dcmds and walkers of a loaded file."""
    words = call.words
    if words and isinstance(words[0], str) and words[0][:1] == "-" and len(words[0]) > 1:
        call.session.warn(f"illegal option -- {words[0][1]}")
    if len(words) != 1 or not isinstance(words[0], str):
        raise UsageError("")
    if not call.session.remove_commands(words[0]):
        raise CommandError(f"failed to unload {words[0]}: specified module is not loaded")
