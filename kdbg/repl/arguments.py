"""The command line's words: mdb's letters, which keep mdb's meaning, and long options, which are ours."""

from __future__ import annotations

import os
from dataclasses import dataclass, field

from kdbg.lang.settings import Settings

FLAGS = frozenset("bfkmuwyACFKMOSUW")
WITH_ARGUMENT = frozenset("eopsDILPRV")

LONG_FLAGS = frozenset({"debuginfod", "no-cache", "raw", "safe", "strict", "explain", "help", "version"})
LONG_WITH_ARGUMENT = frozenset({"base", "format", "root", "script", "symbols"})

USAGE = """\
Usage: kdbg [options] [file ...]
       kdbg info file ...     what a file is
       kdbg triage DUMP ...   what happened (kdbg triage --help), of a fleet too
       kdbg causes TABLE      what the dumps of a fleet died of
       kdbg slim, convert     dumps out of dumps (kdbg slim --help)

files: a crash dump (with its namelist, or all parts of a set), an ELF file, or
any file; N means unix.N and vmcore.N
    -e text      run the text, not standard input (may be given several times)
    -f           take the file as flat bytes, whatever it is
    -u           take it as an ELF file
    -w           open it for writing (never a dump)
    -o option    set an option of ::set (+o option: unset it)
    -s number    how far from a symbol an address may lie to be named by it
    -I path      where macro files are looked for
    -P prompt    the prompt
    -V mode      the mode of the disassembler
    -S           do not read ~/.kdbgrc
    -A           without the commands that know the kernel
    -m, -M       load no symbols of modules, or all of them
    -k, -y, -C, -D, -F, -L, -R, -W, -p, -K, -U
                 as mdb has them, where that means something for a file
    --raw              take the file as physical memory (dd of /dev/mem, .vmem)
    --base address     where that memory begins, hexadecimal (0)
    --root address     where the kernel's top page table is, hexadecimal, for a
                       dump that tells none (without it, it is looked for)
    --symbols path     debug files of Linux kernels (vmlinux, modules), a folder
                       of them: source lines, inlined functions, variables
    --debuginfod       ask the servers of DEBUGINFOD_URLS for them
    --no-cache         keep nothing of kernels on disk from session to session
    --script file      run a file in place of standard input
    --format format    text, json, jsonl or csv
    --safe             no shell, no writing, no reading of other files: for
                       scripts from strangers
    --strict           exit status 1 after any error
    --explain          print the Python that a pipeline stands for
    --version, --help
"""


class ArgumentError(Exception):
    """A command line that cannot be followed; its text is shown, ``usage`` tells whether the usage too."""

    def __init__(self, text: str, usage: bool = False) -> None:
        super().__init__(text)
        self.usage = usage


@dataclass(slots=True)
class Arguments:
    """The command line taken apart."""

    files: list[str] = field(default_factory=list)
    flags: set[str] = field(default_factory=set)
    texts: list[str] = field(default_factory=list)
    """What ``-e`` gives."""
    settings: Settings = field(default_factory=Settings)
    warnings: list[str] = field(default_factory=list)
    kind: str = ""
    """The last of ``-f -k -p -u``."""
    pid: str | None = None
    disassembler: str | None = None
    script: str | None = None
    symbols: list[str] = field(default_factory=list)
    base: int | None = None
    root: int | None = None
    """Physical addresses."""
    format: str = "text"
    long: set[str] = field(default_factory=set)

    def __contains__(self, name: str) -> bool:
        """Whether a flag is given: by its letter or its long name."""
        return name in self.flags or name in self.long


def physical(name: str, text: str) -> int:
    """The physical address that an option gives. Raises `ArgumentError`."""
    try:
        found = int(text, 16)
    except ValueError:
        found = -1
    if not 0 <= found < 1 << 52:
        raise ArgumentError(f"invalid argument for option {name} -- {text}")
    return found


def parse(words: list[str]) -> Arguments:
    """Take a command line apart, from left to right. Raises `ArgumentError` at the first thing that is wrong."""
    parser = _Parser(words)
    parser.run()
    return parser.made


class _Parser:
    def __init__(self, words: list[str]) -> None:
        self.words = list(words)
        self.made = Arguments()
        self.complaint = ""

    def run(self) -> None:
        while self.words:
            word = self.words.pop(0)
            if word == "--":
                if self.words:
                    self._operand(self.words.pop(0))
            elif word.startswith("--"):
                self._long(word[2:])
            elif word.startswith("-") and word != "-":
                self._letters(word[1:])
            else:
                self._operand(word)

    def _operand(self, word: str) -> None:
        if len(word) == 2 and word[0] == "+":
            if word != "+o":
                raise ArgumentError(f"illegal option -- {word}")
            if not self.words:
                raise ArgumentError(f"option requires an argument -- {word}")
            self._set(self.words.pop(0), False)
        else:
            self.made.files.append(word)

    def _letters(self, letters: str) -> None:
        while letters:
            letter, letters = letters[0], letters[1:]
            if letter in FLAGS:
                self.made.flags.add(letter)
                self._flag(letter)
            elif letter in WITH_ARGUMENT:
                if not letters and not self.words:
                    raise ArgumentError(f"option requires an argument -- {letter}", usage=True)
                self._argument(letter, letters or self.words.pop(0))
                return
            else:
                raise ArgumentError(f"illegal option -- {letter}", usage=True)

    def _flag(self, letter: str) -> None:
        if letter in "fku":
            self.made.kind = letter
        if letter == "A":
            self._set("nomods", True)
        elif letter == "C":
            self._set("noctf", True)
        elif letter == "W":
            self._set("allow_io_access", True)

    def _argument(self, letter: str, value: str) -> None:
        made = self.made
        if letter == "e":
            made.texts.append(os.fsencode(value).decode("latin-1"))  # as of a file: a character is a byte
        elif letter == "o":
            self._set(value, True)
        elif letter == "p":
            made.pid, made.kind = value, letter
        elif letter == "s":
            if not (value.isascii() and value.isdigit()):
                raise ArgumentError("expected integer following -s")
            made.settings.distance = int(value) & 0xFFFFFFFF
        elif letter == "D":
            made.warnings.append(f'unknown debug option "{value}"')
        elif letter in "IL":
            self._path(letter, value)
        elif letter == "P":
            if not made.settings.set_prompt(value, self._complain):
                raise ArgumentError(self.complaint)
        elif letter == "V":
            made.disassembler = value

    def _path(self, letter: str, value: str) -> None:
        name = "macro" if letter == "I" else "module"
        if ";" in value:
            raise ArgumentError(f"{name} path cannot contain semicolons")
        setattr(self.made.settings, f"{name}_path", [part for part in value.split(":") if part])
        self.made.flags.add(letter)

    def _set(self, text: str, enable: bool) -> None:
        if not self.made.settings.set_options(text, enable, self._complain):
            raise ArgumentError(self.complaint)

    def _complain(self, text: str) -> None:
        self.complaint = self.complaint or text

    def _long(self, word: str) -> None:
        name, equals, value = word.partition("=")
        if name in LONG_FLAGS and not equals:
            self.made.long.add(name)
        elif name in LONG_WITH_ARGUMENT:
            if not equals:
                if not self.words:
                    raise ArgumentError(f"option requires an argument -- {name}", usage=True)
                value = self.words.pop(0)
            self._long_argument(name, value)
        else:
            raise ArgumentError(f"illegal option -- {name}", usage=True)

    def _long_argument(self, name: str, value: str) -> None:
        if name == "script":
            self.made.script = value
            return
        if name == "symbols":
            self.made.symbols.append(value)
            return
        if name in ("base", "root"):
            setattr(self.made, name, physical(name, value))
            return
        from kdbg.lang.structured import FORMATS

        if value not in FORMATS:
            raise ArgumentError(f"invalid argument for option format -- {value}")
        self.made.format = value
