"""What a session can be asked for by name: dcmds, walkers, symbols, types, members; and what a misspelt name may mean.

Made of what the target and the tables of `kdbg.dcmds` tell; of the dump's memory only the tables of names are read.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from kdbg.errors import CommandError, Error
from kdbg.repl.names import LIMIT, LazyIndex, NameIndex, plain
from kdbg.symbols.model import Kind, Type

if TYPE_CHECKING:
    from kdbg.dcmds.registry import Dcmd, Walker
    from kdbg.lang.session import Session
    from kdbg.symbols.model import Member
    from kdbg.target import Target

REFUSING = ("kdbg.dcmds.running", "kdbg.dcmds.unsupported")
"""Modules of dcmds that a dump or file cannot do."""
TAGS = ("struct", "union", "enum")
_PATH = re.compile(r"\[[^\]]*\]|->|\.|[A-Za-z_]\w*")
DEEPEST = 16
"""Anonymous structures within each other that are looked into."""


class Vocabulary:
    """The names that a session knows. ``lock`` is held while the target is used."""

    def __init__(self, session: Session, lock: threading.RLock | None = None) -> None:
        self.session = session
        self.lock = lock or threading.RLock()
        target = session.target
        self.symbols = LazyIndex(target.symbol_names, self.lock)
        self.types = LazyIndex(target.type_names, self.lock)
        self._modules: dict[str, LazyIndex] = {}
        self._commands: dict[str, tuple[int, NameIndex]] = {}

    def indexes(self) -> Sequence[LazyIndex]:
        """The large indexes, for `kdbg.repl.names.make_in_background`."""
        return self.symbols, self.types

    # commands

    def dcmds(self) -> NameIndex:
        """Names of all dcmds."""
        return self._declared("DCMDS", len(self.session.loaded))

    def walkers(self) -> NameIndex:
        """Names of all walkers."""
        return self._declared("WALKERS", len(self.session.loaded_walkers))

    def _declared(self, attribute: str, loaded: int) -> NameIndex:
        """The index of what is declared; made anew when ``::load`` has brought more."""
        known = self._commands.get(attribute)
        if known is None or known[0] != loaded:
            from kdbg.dcmds import found_names

            with self.lock:
                known = self._commands[attribute] = loaded, NameIndex(found_names(self.session, attribute))
        return known[1]

    def refused(self) -> set[str]:
        """Names of dcmds that only say that there is nothing to run or stop: those of mdb for live programs."""
        from kdbg.dcmds import tables

        found: dict[str, str] = {}
        for table in tables(self.session.target, "DCMDS"):
            for path, names in table.items():
                for name in names:
                    found.setdefault(name, path)
        return {name for name, path in found.items() if path in REFUSING}

    def dcmd(self, name: str) -> Dcmd | None:
        """The dcmd of that name, or None."""
        try:
            with self.lock:
                return self.session.find_dcmd(name)
        except (CommandError, ImportError):
            return None

    def walker(self, name: str) -> Walker | None:
        """The walker of that name, or None."""
        try:
            with self.lock:
                return self.session.find_walker(name)
        except (CommandError, ImportError):
            return None

    # symbols

    def symbol_matches(self, prefix: str) -> list[str]:
        """Symbols that begin so, and modules; behind a module's name and a backquote those of that module."""
        module, quote, bare = prefix.rpartition("`")
        if quote:
            return [f"{module}`{name}" for name in self._of_module(module).matches(bare)]
        found = self.symbols.get().matches(prefix)
        if len(found) < LIMIT:
            found += [f"{name}`" for name in self.modules() if name.startswith(prefix)]
        return found

    def has_symbol(self, name: str) -> bool:
        """Whether there is a symbol of that name."""
        module, quote, bare = name.rpartition("`")
        return bare in self._of_module(module) if quote else name in self.symbols.get()

    def modules(self) -> list[str]:
        """Names of the modules or objects."""
        with self.lock:
            return sorted({name for name in self.session.target.object_names() if plain(name)})

    def _of_module(self, module: str) -> NameIndex:
        if module not in self._modules:
            if module not in self.modules():
                return NameIndex()
            target = self.session.target
            self._modules[module] = LazyIndex(lambda: target.symbol_names(module), self.lock)
        return self._modules[module].get()

    # types

    def type(self, name: str) -> Type | None:
        """The type of that name, or None."""
        from kdbg.symbols.synthetic import find_type

        try:
            with self.lock:
                return find_type(self.session.target, name)
        except Error:
            return None

    def type_at(self, expression: str) -> Type | None:
        """The type of the variable that an expression names; None for any other expression."""
        name = expression.strip().lstrip("*").strip()
        if not re.fullmatch(r"[A-Za-z_.][\w.`]*", name):
            return None
        module, _, bare = name.rpartition("`")
        try:
            with self.lock:
                target = self.session.target
                return target.type_of(target.lookup(bare, module or None))
        except Error:
            return None

    def type_matches(self, prefix: str, tag: str = "") -> list[str]:
        """Types that begin so: typedefs and basic ones, or else structures; behind a tag's keyword those with it."""
        index = self.types.get()
        if tag:
            return [name.partition(" ")[2] for name in index.matches(f"{tag} {prefix}")]
        found = [name for name in index.matches(prefix) if name.partition(" ")[0] not in TAGS]
        tags = [tag for tag in TAGS if prefix and tag.startswith(prefix)]
        return found + tags or [name for tag in TAGS for name in index.matches(f"{tag} {prefix}")]

    def member_matches(self, base: Type, path: str) -> list[str]:
        """Paths that begin so, from a type on; a member that is written out is followed by ``.`` or ``->``."""
        head, partial = _split_path(path)
        try:
            with self.lock:
                structure = _follow(base, head)
                members = {member.name: member.type for member in named_members(structure)} if structure else {}
        except Error:
            return []
        found = sorted(head + name for name in members if name.startswith(partial) and plain(name))
        if partial in members and len(found) == 1:
            try:
                with self.lock:
                    found += [found[0] + more for more in _separators(members[partial])]
            except Error:
                pass
        return found

    # what may be meant

    def near_dcmds(self, name: str) -> list[str]:
        """Dcmds that one may have meant."""
        return _near(name, self.dcmds().names)

    def near_walkers(self, name: str) -> list[str]:
        """Walkers that one may have meant."""
        return _near(name, self.walkers().names)

    def near_symbols(self, name: str) -> list[str]:
        """Symbols that one may have meant."""
        module, quote, bare = name.rpartition("`")
        if quote:
            return [f"{module}`{one}" for one in self._of_module(module).near(bare)]
        return self.symbols.get().near(name)

    def near_types(self, name: str) -> list[str]:
        """Types that one may have meant: also one with another tag, or none."""
        index = self.types.get()
        bare = name.partition(" ")[2] if name.partition(" ")[0] in TAGS else name
        forms = (bare, f"{bare}_t", *(f"{tag} {bare}" for tag in TAGS))
        others = [one for one in forms if one in index and one != name]
        return list(dict.fromkeys(others + index.near(name)))[:3]

    def near_members(self, type_name: str, name: str) -> list[str]:
        """Members of a structure that one may have meant."""
        found = self.type(type_name)
        if found is None:
            return []
        try:
            with self.lock:
                return _near(name, [member.name for member in named_members(found.resolved)])
        except Error:
            return []


def _near(name: str, names: Sequence[str]) -> list[str]:
    from difflib import get_close_matches

    slips = NameIndex(names).near(name)
    more = [one for one in names if len(name) >= 3 and one.startswith(name)]
    return list(dict.fromkeys([*slips, *more, *get_close_matches(name, names, 3, 0.75)]))[:3]


def named_members(structure: Type, depth: int = 0) -> Iterator[Member]:
    """Members with a name, those of anonymous members in their place."""
    for member in structure.members:
        if member.name:
            yield member
        elif depth < DEEPEST:
            yield from named_members(member.type.resolved, depth + 1)


def _split_path(path: str) -> tuple[str, str]:
    found = re.search(r"[A-Za-z_]\w*$", path)
    return (path[: found.start()], path[found.start() :]) if found else (path, "")


def _follow(base: Type, head: str) -> Type | None:
    """The structure that a path ends in, as far as types alone tell; None where it ends in none."""
    found: Type | None = base.resolved
    steps = _PATH.findall(head)
    if not steps or (steps[0] not in (".", "->") and not steps[0].startswith("[")):
        steps.insert(0, ".")  # the first separator may be left out, and stands for either
    for number, step in enumerate(steps):
        if found is None:
            return None
        if step == "->" or step.startswith("["):
            found = _target(found)
        elif step == ".":
            if number == 0 and found.kind is Kind.POINTER:
                found = _target(found)
        elif found.kind in (Kind.STRUCT, Kind.UNION) and found.has(step):
            found = found.member(step).type.resolved
        else:
            return None
    return found if found is not None and found.kind in (Kind.STRUCT, Kind.UNION) else None


def _target(pointer: Type) -> Type | None:
    if pointer.kind not in (Kind.POINTER, Kind.ARRAY) or pointer.reference is None:
        return None
    return pointer.reference.resolved


def _separators(member: Type) -> Iterable[str]:
    """What may follow a member, if it leads to a structure."""
    found = member.resolved
    if found.kind in (Kind.STRUCT, Kind.UNION):
        return (".",)
    target = _target(found)
    if target is None or target.kind not in (Kind.STRUCT, Kind.UNION):
        return ()
    return ("->",) if found.kind is Kind.POINTER else ("[",)


def declared_groups(target: Target) -> list[str]:
    """Names of the groups whose commands hold for the target: ours for all, its kernel's."""
    from kdbg.dcmds import tables

    groups: dict[str, None] = {}
    for attribute in ("DCMDS", "WALKERS"):
        for table in tables(target, attribute):
            for path in table:
                package, _, _ = path.removeprefix("kdbg.dcmds.").rpartition(".")
                groups.setdefault(package or "kdbg")
    return list(groups)
