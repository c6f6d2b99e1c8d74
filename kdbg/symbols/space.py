"""All the types of a target by name: the containers of its modules or objects, loaded when they are needed.

The order of the search is mdb's: the main container (genunix in a kernel, with its children's parent first), then every
object in the order in which the target lists them; a forward declaration is kept only if nothing better comes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Generic, TypeVar

from kdbg.errors import Error, TypeNotFound
from kdbg.symbols.model import Kind, Type

if TYPE_CHECKING:
    from kdbg.symbols.btf import BtfContainer
    from kdbg.symbols.ctf import CtfContainer

    Container = CtfContainer | BtfContainer

C = TypeVar("C", bound="CtfContainer | BtfContainer")


class TypeSpace(Generic[C]):
    """Types of a target.

    ``main``: name of the object that is asked first. ``objects``: names of all objects in the target's order.
    ``load``: makes the container of an object; raises `Error` where it has none (its ``reason`` is told).
    """

    def __init__(self, main: str, objects: Callable[[], Iterable[str]], load: Callable[[str], C]) -> None:
        self.main = main
        self._objects = objects
        self._load = load
        self._loaded: dict[str, C | Error] = {}
        self._known: dict[str, Type] = {}
        self._missing: dict[str, TypeNotFound] = {}

    def container(self, name: str) -> C:
        """The types of one object. Raises `Error`, the same one every time."""
        found = self._loaded.get(name)
        if found is None:
            try:
                found = self._load(name)
                found.complete = self.complete
            except Error as error:
                found = error
            self._loaded[name] = found
        if isinstance(found, Error):
            raise found
        return found

    def containers(self) -> Iterator[tuple[str, C]]:
        """All objects that have types, in order."""
        for name in self._objects():
            try:
                yield name, self.container(name)
            except Error:
                continue

    def lookup(self, name: str) -> Type:
        """The type of that C name; ``object`name`` or ``struct object`name`` for that of one object.

        Raises `TypeNotFound`.
        """
        found = self._known.get(name)
        if found is None:
            if name in self._missing:
                raise self._missing[name]
            try:
                found = self._find(name)
            except TypeNotFound as error:
                self._missing[name] = error
                raise
            self._known[name] = found
        return found

    def _find(self, name: str) -> Type:
        scope, bare = split_scope(name)
        try:
            best: Type | None = self.container(scope or self.main).lookup(bare)
        except Error as error:
            best, failure = None, error
        if scope and best is None:
            raise TypeNotFound(name, failure.reason)
        if scope or (best is not None and best.kind is not Kind.FORWARD):
            assert best is not None
            return best
        for _, container in self.containers():
            try:
                candidate = container.lookup(bare)
            except TypeNotFound:
                continue
            best = candidate
            if candidate.kind is not Kind.FORWARD:
                break
        if best is None:
            raise TypeNotFound(name, failure.reason)
        return best

    def complete(self, name: str) -> Type | None:
        """The type that a forward declaration of that name means, if there is one anywhere."""
        try:
            found = self.lookup(name)
        except TypeNotFound:
            return None
        return None if found.kind is Kind.FORWARD else found


def split_scope(name: str) -> tuple[str, str]:
    """Take a type's name apart: ``genunix`proc_t`` and ``struct genunix`proc`` name an object; "" if none is named."""
    scope, quote, bare = name.rpartition("`")
    if not quote:
        return "", name
    tag, blank, module = scope.partition(" ")
    return (module, f"{tag} {bare}") if blank else (scope, bare)
