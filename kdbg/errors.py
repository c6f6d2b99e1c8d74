"""What can go wrong, as one tree.

    Error
    ├── FormatError            the file is not what it says, or not known          .file .offset .reason
    ├── ReadError              memory that cannot be read                          .address .reason
    │   ├── Unmapped           no translation                                      .level .entry
    │   └── Missing            translated, but the dump does not hold the page     .why
    ├── SymbolNotFound         no symbol (or module) of that name or address       .name
    ├── TypeNotFound           no type or member of that name                      .name
    │   └── WrongType          a type that cannot be used so (a TypeError, too)
    ├── StructureError         a list, tree or table of the kernel is damaged      .address
    └── CommandError           a command could not be done
        ├── UsageError         ... because it was called wrongly
        └── ParseError         ... because the text is not in the language

Every error's text is one sentence for a person; the facts in it are attributes too. ``reason`` is the short form that
the language appends to its own messages ("no mapping for address").
"""

from __future__ import annotations


class Error(Exception):
    """Root of all errors that kdbg raises."""

    reason: str = ""
    """The cause in a few words, as the language appends it to a message."""


class FormatError(Error):
    """A file that cannot be opened as a dump, or is damaged where it must not be."""

    def __init__(self, file: str, reason: str, offset: int | None = None) -> None:
        where = "" if offset is None else f" (offset {offset:#x})"
        super().__init__(f"{file}: {reason}{where}")
        self.file = file
        self.offset = offset
        self.reason = reason


class ReadError(Error):
    """Memory that cannot be read."""

    absent = False
    """Whether the dump lacks the page, or a page table on the way to it: then nothing is known of what lies there."""

    def __init__(self, address: int, detail: str = "", reason: str = "no mapping for address") -> None:
        super().__init__(f"{address:x}: {detail or reason}")
        self.address = address
        self.reason = reason


class Unmapped(ReadError):
    """A virtual address that the page tables do not translate."""

    def __init__(
        self, address: int, detail: str, level: int | None = None, entry: int | None = None, absent: bool = False
    ) -> None:
        super().__init__(address, f"not mapped: {detail}")
        self.absent = absent
        self.level = level
        """Level at which the walk ended (0 = the table of 4K leaves), or None where it never began."""
        self.entry = entry
        """The entry with which it ended."""


class Missing(ReadError):
    """An address that translates to a page which the dump does not hold."""

    absent = True

    def __init__(self, address: int, why: str) -> None:
        super().__init__(address, why)
        self.why = why
        """Why the page cannot be read: not in the dump, excluded, cut off."""


class SymbolNotFound(Error):
    """No symbol of that name or at that address."""

    def __init__(self, name: str, reason: str = "unknown symbol name") -> None:
        super().__init__(f"{name}: {reason}")
        self.name = name
        self.reason = reason


class TypeNotFound(Error):
    """No type of that name, or no such member in it."""

    def __init__(self, name: str, reason: str = "No type information available for that name") -> None:
        super().__init__(f"{name}: {reason}")
        self.name = name
        self.reason = reason


class WrongType(TypeNotFound, TypeError):
    """A type that cannot be used as it is: a number out of a function, elements of what has none.

    Python's own error for that, and one of ours: the types are the dump's, and may be damaged.
    """


class StructureError(Error):
    """A structure of the kernel that contradicts itself: a cycle, a wrong magic number, a count beyond all reason."""

    def __init__(self, address: int, reason: str) -> None:
        super().__init__(f"{address:x}: {reason}")
        self.address = address
        self.reason = reason


class CommandError(Error):
    """A command that could not be done; its text is the message without the program's name."""


class UsageError(CommandError):
    """A command that was called wrongly; its usage is shown after the message, if there is one."""


class ParseError(CommandError):
    """A text that cannot be parsed or evaluated; the rest of its line, or of its string, is lost.

    The text is the whole message without the program's name.
    """


def is_absence(error: BaseException) -> bool:
    """Whether an error came of a page, or a page table, that the dump lacks, whatever was made of it on the way."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, ReadError):
        cause = cause.__context__
    return cause is not None and cause.absent
