"""Variables of the language, kept in the order in which mdb's hash table gives them."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from kdbg.lang.formats_numbers import MASK

NAME_LIMIT = 30
"""Characters of a name at most."""

RESERVED = 1000
"""Variables that may be defined late."""

_BUCKETS = 211

_BAD = frozenset("#%^&*-+=,:$/\\?<>;|!`'\"[]\n\t() {}")


def bad_character(name: str) -> str | None:
    """The first character of a name that may not stand in one, or None."""
    return next((char for char in name if char in _BAD), None)


class Variable:
    """A name with a 64-bit value."""

    __slots__ = ("before", "fetch", "name", "persistent", "read_only", "store", "tagged", "value")

    def __init__(
        self,
        name: str,
        value: int = 0,
        persistent: bool = False,
        read_only: bool = False,
        fetch: Callable[[], int] | None = None,
        store: Callable[[int], None] | None = None,
        before: Callable[[int], None] | None = None,
    ) -> None:
        self.name = name
        self.value = value
        self.persistent = persistent
        """Whether it cannot be unset."""
        self.read_only = read_only
        self.tagged = False
        """Marked by ``::typeset -t``."""
        self.fetch = fetch
        """Where the value comes from, if not from here."""
        self.store = store
        """What is to be done when it is assigned to, if not to keep the value."""
        self.before = before
        """What gets the old value when a new one comes."""

    def get(self) -> int:
        """The value."""
        return self.fetch() if self.fetch is not None else self.value

    def set(self, value: int) -> None:
        """Assign, whatever the flags say."""
        if self.before is not None:
            self.before(self.value)
        if self.store is not None:
            self.store(value & MASK)
        else:
            self.value = value & MASK


def _elf_hash(name: str) -> int:
    """The hash function of ELF's symbol tables (System V ABI)."""
    value = 0
    for char in name:
        value = (value << 4) + ord(char)
        high = value & 0xF0000000
        if high:
            value ^= high >> 24
        value &= ~high & 0xFFFFFFFF
    return value


class Variables:
    """The variables of a session."""

    def __init__(self) -> None:
        self._by_name: dict[str, Variable] = {}
        self._age = 0
        self._order: dict[str, tuple[int, int]] = {}
        self._late: Callable[[], None] | None = None
        self._late_age = 0

    def __contains__(self, name: str) -> bool:
        return name in self._by_name

    def get(self, name: str) -> Variable | None:
        """The variable of that name, or None."""
        found = self._by_name.get(name)
        if found is None and self._late is not None:
            self._define_late()
            found = self._by_name.get(name)
        return found

    def define_later(self, define: Callable[[], None]) -> None:
        """Have more variables defined when a name is not found or all are asked for; they count as defined now."""
        self._late, self._late_age = define, self._age
        self._age += RESERVED

    def _define_late(self) -> None:
        if self._late is None:
            return
        late, self._late = self._late, None
        age, self._age = self._age, self._late_age
        late()
        self._age = age

    def add(self, variable: Variable) -> Variable:
        """Define a variable; one of the same name goes."""
        self._by_name[variable.name] = variable
        self._age += 1
        self._order[variable.name] = (_elf_hash(variable.name) % _BUCKETS, -self._age)
        return variable

    def define(self, name: str, value: int = 0) -> Variable:
        """The variable of that name, made if there is none, with that value."""
        found = self.get(name)
        if found is None:
            return self.add(Variable(name, value & MASK))
        found.set(value)
        return found

    def remove(self, name: str) -> None:
        """Forget a variable."""
        self._by_name.pop(name, None)
        self._order.pop(name, None)

    def __iter__(self) -> Iterator[Variable]:
        """In mdb's order: by bucket, the newest first within one."""
        self._define_late()
        for name in sorted(self._by_name, key=self._order.__getitem__):
            yield self._by_name[name]
