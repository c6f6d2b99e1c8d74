"""The commands of their own: ``kdbg info``, ``kdbg slim``, ``kdbg convert``."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

from kdbg.errors import Error, UsageError

USAGE = {
    "info": "kdbg info [--format text|json] [--raw] [--base ADDRESS] FILE ...",
    "slim": "kdbg slim FILE ... -o OUT [--cmd COMMAND] ... [--bare] [--format FORMAT]",
    "convert": "kdbg convert FILE ... -o OUT --format FORMAT",
    "triage": "kdbg triage DUMP ... [--format FORMAT [-o OUT]] ... [--fail-on WHAT]",
    "causes": "kdbg causes TABLE ... [--format text|json] [--html OUT]",
}
HELP = {
    "info": """\
Says what each file is, without looking for a kernel in it: its format, how much
memory it holds, what is missing and why; of a file that is no dump what its
bytes look like, and what to do with it. Exit status 1 if one is no dump.
    --format FORMAT  text or json (an object for each file)
    --raw            take files for physical memory as it is
    --base ADDRESS   where that memory begins, hexadecimal""",
    "slim": """\
Writes a smaller dump: the pages that the commands touch, with all symbols and
types. It is written only when it is whole, and never over another file.
    -o OUT           the file to write
    --cmd COMMAND    a command that the new dump has to answer; several may be
                     given (without any: ::status, ::ps, ::msgbuf and the like)
    --bare           nothing besides what the commands touch
    --format FORMAT  its format; without it, one that keeps all there is""",
    "convert": """\
Writes the same dump in another format. It is written only when it is whole,
and never over another file.
    -o OUT           the file to write
    --format FORMAT  elf, kdump, kdump-zstd, vmcore or xen-elf; raw, lime or
                     avml (the memory alone, without registers)""",
    "triage": """\
Says what happened: a verdict, the thread that matters, what is found to be
wrong, and a signature that is the same for the same cause elsewhere.
    --format FORMAT  text, json, junit, sarif, markdown or html
    -o OUT           write it there, not to standard output: in the format
                     before it, else in the one that its ending tells. Both may
                     be given several times: -o a.html -o b.xml --format text
    --known PATH     known issues: a TOML file, or a directory of them; may be
                     given several times
    --fail-on WHAT   exit status 3 for what is at least that bad: new (an error
                     that is no known issue), error, warning; never (default)
    --budget SECONDS for each analyser, in place of its own
    --progress       say on standard error what is being looked at
Many dumps (directories, 'patterns*', URLs), each in a process of its own:
    --into TABLE     results as a parquet file; what it has and did not change
                     since is not done again (--again: it is)
    --jobs N         so many at a time (without it, as many as there are CPUs)
    --time-limit SECONDS, --memory-limit MIB
                     what one dump may cost (300 s, 2048 MiB)
    --scheduler URL  run on a Dask cluster (tcp://...)""",
    "causes": """\
Groups the dumps of a table, which kdbg triage --into made, by their signature:
how many, when, on which kernels, one to open.
    --format FORMAT  text or json
    --html OUT       write a page of it""",
}


class Given:
    """Words of a command line: files, and options that may stand anywhere; ``flags`` are those without an argument."""

    def __init__(self, words: Sequence[str], wanted: Sequence[str], flags: Sequence[str] = ()) -> None:
        self.files: list[str] = []
        self.options: dict[str, list[str]] = {name: [] for name in wanted}
        self.order: list[tuple[str, str]] = []
        """The options with their arguments as they were given."""
        self.flags: set[str] = set()
        rest = iter(words)
        for word in rest:
            name, equals, value = word.partition("=")
            if name in self.options:
                given = value if equals else next(rest, None)
                if given is None:
                    raise UsageError(f"option {name} wants an argument")
                self.options[name].append(given)
                self.order.append((name, given))
            elif word in flags:
                self.flags.add(word)
            elif word.startswith("-") and word != "-":
                raise UsageError(f"no such option: {word}")
            else:
                self.files.append(word)
        if not self.files:
            raise UsageError("which file?")

    def one(self, name: str, default: str | None = None) -> str | None:
        """The last argument of an option, or the default."""
        return self.options[name][-1] if self.options[name] else default

    def required(self, name: str) -> str:
        """The argument of an option that must be given. Raises `UsageError`."""
        found = self.one(name)
        if found is None:
            raise UsageError(f"option {name} is missing")
        return found


def run(mode: str, words: Sequence[str]) -> int:
    """Run a command; the exit status: 0, 1 where it failed, 2 for wrong usage."""
    if "--help" in words:
        print(f"Usage: {USAGE[mode]}\n\n{HELP[mode]}")
        return 0
    from kdbg.lang.visible import visible

    try:
        return MODES[mode](words)
    except UsageError as error:
        sys.stderr.write(f"kdbg: {mode}: {visible(str(error))}\nUsage: {USAGE[mode]}\n")
        return 2
    except Error as error:
        sys.stderr.write(f"kdbg: {visible(str(error))}\n")
        return 1


def info(words: Sequence[str]) -> int:
    """What each file is, without looking for a kernel in it."""
    from kdbg.repl.info import run as describe

    return describe(words)


def slim(words: Sequence[str]) -> int:
    """A small dump of what some commands touch."""
    import kdbg
    from kdbg.dump import Dump
    from kdbg.errors import FormatError
    from kdbg.slim import slim as make

    given = Given([word for word in words if word != "--bare"], ("-o", "--cmd", "--format"))
    out = given.required("-o")
    with kdbg.open(*given.files) as target:
        if not isinstance(target, Dump):
            raise FormatError(target.name, "the core of a process: only dumps of machines are made smaller")
        pages = make(target, out, given.options["--cmd"], given.one("--format"), "--bare" in words)
    return _written(out, pages)


def convert(words: Sequence[str]) -> int:
    """The same dump in another format."""
    from kdbg.convert import convert as make
    from kdbg.formats import open_images

    given = Given(words, ("-o", "--format"))
    out, form = given.required("-o"), given.required("--format")
    image, _ = open_images(given.files)
    return _written(out, make(image, out, form))


def _written(path: str, pages: int) -> int:
    import os

    print(f"{path}: {pages} pages, {os.path.getsize(path)} bytes")
    return 0


def triage(words: Sequence[str]) -> int:
    """What happened."""
    from kdbg.repl.triage import run as look_over

    return look_over(words)


def causes(words: Sequence[str]) -> int:
    """What the dumps of a fleet died of."""
    from kdbg.repl.fleet import causes as group

    return group(words)


MODES: dict[str, Callable[[Sequence[str]], int]] = {
    "info": info,
    "slim": slim,
    "convert": convert,
    "triage": triage,
    "causes": causes,
}
