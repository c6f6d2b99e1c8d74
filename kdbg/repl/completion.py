"""Completion: from what stands at the cursor to the names that may stand there."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from functools import partial

from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document

from kdbg.dcmds.registry import Dcmd, Option, Type
from kdbg.repl.context import Context, Place, at_cursor
from kdbg.repl.vocabulary import TAGS, Vocabulary

WORDS: dict[str, tuple[str, ...]] = {
    "walk": ("walker", "variable"),
    "help": ("dcmd",),
    "which": ("dcmd", "..."),
    "cat": ("file", "..."),
    "load": ("file",),
    "log": ("file",),
    "nm": ("object",),
    "typedef": ("type", "type"),
    "map": ("symbol",),
    "grep": ("symbol",),
    "$<": ("file",),
    "$<<": ("file",),
    "$>": ("file",),
}
"""What the words of a dcmd are, where its synopsis does not say so."""

KINDS = {"type": "type", "enum": "type", "member": "member", "member|offset": "member", "object": "object",
         "walker": "walker", "dcmd": "dcmd", "file": "file", "filename": "file", "symbol": "symbol", "addr": "symbol",
         "address": "symbol", "expr": "symbol", "variable": "variable", "var": "variable", "...": "..."}  # fmt: skip
"""Words of synopses, and what is completed for them."""


FEW = 8
"""Names whose meaning is looked up before they are shown, at most."""


def word_kinds(dcmd: Dcmd) -> tuple[str, ...]:
    """What the words behind a dcmd are, one after the other; ``...``: more of the last."""
    if dcmd.name in WORDS:
        return WORDS[dcmd.name]
    synopsis = re.sub(r"\[[-+][^\]]*\]", " ", dcmd.synopsis)
    return tuple(KINDS.get(word, "") for word in re.findall(r"\.\.\.|[A-Za-z|_]+", synopsis))


class Described(Completion):
    """One whose meaning is to stand beside it: such are shown in one column."""

    def new_completion_from_position(self, position: int) -> Completion:
        """Return one like it, as the editor makes when it has inserted what all have in common."""
        return Described(self.text[position - self.start_position :], 0, self.display, self._display_meta)


class LanguageCompleter(Completer):
    """Completes lines of the language."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.vocabulary = vocabulary
        self._by_kind: dict[str, Callable[[Context], Iterable[Completion]]] = {
            "symbol": self._symbols,
            "variable": self._variables,
            "walker": self._walkers,
            "dcmd": self._dcmds,
            "object": self._objects,
            "file": self._files,
        }

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterable[Completion]:
        """What may stand at the cursor; nothing where a damaged dump or a mistake of ours prevents it."""
        try:
            return list(self._completions(at_cursor(document.text_before_cursor)))
        except Exception:
            return ()

    def _completions(self, context: Context) -> Iterable[Completion]:
        if context.place is Place.DCMD:
            return self._dcmds(context)
        if context.place is Place.EXPRESSION:
            return self._symbols(context) if context.word else ()
        if context.place is Place.VARIABLE:
            return self._variables(context)
        if context.place is Place.FORMAT:
            return self._letters(context)
        if context.place is Place.ARGUMENT:
            return self._argument(context)
        return ()

    # names

    def _dcmds(self, context: Context) -> Iterator[Completion]:
        found = self.vocabulary.dcmds().matches(context.word)
        if context.place is Place.DCMD:
            found = [name for name in found if name[0].isalpha() or name[0] == "_"]
        return _with_meaning(context.word, found, self._summary)

    def _summary(self, name: str) -> str:
        dcmd = self.vocabulary.dcmd(name)
        return dcmd.summary if dcmd else ""

    def _walkers(self, context: Context) -> Iterator[Completion]:
        return _with_meaning(context.word, self.vocabulary.walkers().matches(context.word), self._walker_summary)

    def _walker_summary(self, name: str) -> str:
        walker = self.vocabulary.walker(name)
        return walker.summary if walker else ""

    def _symbols(self, context: Context) -> Iterator[Completion]:
        return (_completion(context.word, name) for name in self.vocabulary.symbol_matches(context.word))

    def _variables(self, context: Context) -> Iterator[Completion]:
        names = sorted(variable.name for variable in self.vocabulary.session.variables)
        return (_completion(context.word, name) for name in names if name.startswith(context.word))

    def _objects(self, context: Context) -> Iterator[Completion]:
        return (_completion(context.word, name) for name in self.vocabulary.modules() if name.startswith(context.word))

    def _files(self, context: Context) -> Iterator[Completion]:
        from prompt_toolkit.completion import PathCompleter

        inner = Document(context.word, len(context.word))
        return iter(PathCompleter(expanduser=True).get_completions(inner, CompleteEvent()))

    def _letters(self, context: Context) -> Iterator[Completion]:
        from kdbg.lang.formats_letters import LETTERS

        return (
            Described(letter.char, 0, display_meta=letter.help) for letter in LETTERS.values() if letter.writes is False
        )

    # words behind a command

    def _argument(self, context: Context) -> Iterable[Completion]:
        dcmd = self.vocabulary.dcmd(context.dcmd)
        if dcmd is None:
            return ()
        words, waiting = _without_options(dcmd, context.words)
        if waiting is not None:
            return self._of_kind(KINDS.get(waiting.metavar, ""), context, words, dcmd)
        if context.word.startswith("-") and not words:
            return self._options(dcmd, context)
        kinds = word_kinds(dcmd)
        return self._of_kind(_kind_at(kinds, self._position(kinds, words)), context, words, dcmd)

    def _options(self, dcmd: Dcmd, context: Context) -> Iterator[Completion]:
        for option in dcmd.options:
            if option.letter not in context.word:
                text = context.word + option.letter
                shown = f"-{option.letter}" + (f" {option.metavar}" if option.metavar else "")
                yield Described(text, -len(context.word), display=shown, display_meta=option.help)

    def _position(self, kinds: tuple[str, ...], words: list[str]) -> int:
        """Which of the words comes next: a type of two words is one, and a type that may be left out may be missing."""
        position = len(words)
        if "type" in kinds:
            at = kinds.index("type")
            if len(words) > at and words[at] in TAGS:
                position -= 1
            elif len(words) > at and self.vocabulary.type(words[at]) is None:
                position += 1
        return position

    def _of_kind(self, kind: str, context: Context, words: list[str], dcmd: Dcmd) -> Iterable[Completion]:
        if kind == "type":
            return self._types(context, words, dcmd)
        if kind == "member":
            base = self._base_type(words, dcmd, context)
            return self._members(context, base) if base is not None else ()
        by_kind = self._by_kind.get(kind)
        return by_kind(context) if by_kind is not None else ()

    def _types(self, context: Context, words: list[str], dcmd: Dcmd) -> Iterator[Completion]:
        tag = words[-1] if words and words[-1] in TAGS else ""
        if not tag and "member" in word_kinds(dcmd):
            base = self.vocabulary.type_at(context.address)
            if base is not None:
                yield from self._members(context, base)
        for name in self.vocabulary.type_matches(context.word, tag):
            yield _completion(context.word, name)

    def _base_type(self, words: list[str], dcmd: Dcmd, context: Context) -> object:
        kinds = word_kinds(dcmd)
        at = kinds.index("type") if "type" in kinds else 0
        if len(words) > at:
            name = " ".join(words[at : at + 2]) if words[at] in TAGS else words[at]
            found = self.vocabulary.type(name)
            if found is not None:
                return found
        return self.vocabulary.type_at(context.address)

    def _members(self, context: Context, base: object) -> Iterator[Completion]:
        for path in self.vocabulary.member_matches(base, context.word):  # type: ignore[arg-type]
            start = max(path.rfind("."), path.rfind(">")) + 1
            yield Completion(path, -len(context.word), display=path[start:] or path)


def _kind_at(kinds: tuple[str, ...], position: int) -> str:
    if position < len(kinds) and kinds[position] != "...":
        return kinds[position]
    if kinds and kinds[-1] == "..." and position >= len(kinds) - 1:
        return kinds[-2] if len(kinds) > 1 else ""
    return ""


def _without_options(dcmd: Dcmd, words: tuple[str, ...]) -> tuple[list[str], Option | None]:
    """The words behind the options, and the option that waits for its argument if one does."""
    options = {option.letter: option for option in dcmd.options}
    at = 0
    while at < len(words) and len(words[at]) > 1 and words[at][0] == "-":
        last = options.get(words[at][-1])
        at += 1
        if last is not None and last.type is not Type.FLAG:
            if at == len(words):
                return [], last
            at += 1
    return list(words[at:]), None


def _with_meaning(word: str, names: list[str], meaning: Callable[[str], str]) -> Iterator[Completion]:
    """Names with what they mean: of a few it is shown beside them, of many only for the one that is chosen."""
    for name in names:
        if len(names) <= FEW:
            yield Described(name, -len(word), display_meta=meaning(name))
        else:
            yield _completion(word, name, partial(meaning, name))


def _completion(word: str, name: str, meta: Callable[[], str] | None = None) -> Completion:
    return Completion(name, -len(word), display_meta=meta)
