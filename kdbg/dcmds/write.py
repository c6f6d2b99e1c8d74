"""``::write``: a value into memory, of a file that is open for writing."""

from __future__ import annotations

from kdbg.dcmds.registry import OPTIONAL, Call, dcmd, flag, number
from kdbg.errors import CommandError, UsageError
from kdbg.lang.formats_numbers import digits
from kdbg.lang.formats_write import NotWritten, write_checked, write_typed
from kdbg.target import Space


@dcmd(
    "write",
    "write a value",
    address=OPTIONAL,
    synopsis="[-op] [-l len] value",
    lenient=True,
    options=[
        flag("o", "into the object file"),
        flag("p", "at a physical address"),
        number("l", "len", "so many bytes: 1, 2, 4 or 8; else as many as the type of the symbol there has"),
    ],
    words=None,
    help="Files opened with -w can be written to, dumps never.",
    example="10::write -l 4 2a",
)
def write(call: Call) -> None:
    """Write a value and show what it replaces."""
    options, session = call.options, call.session
    if not call.explicit:
        raise UsageError("")
    if options.p and options.o:
        raise UsageError("-o and -p are incompatible")
    if not call.words:
        raise UsageError("")
    word = call.words[0]
    value = word if isinstance(word, int) else session.number(word)
    space = Space.PHYSICAL if options.p else Space.OBJECT if options.o else Space.VIRTUAL
    try:
        if options.l is None:
            write_typed(session, space, call.address, value)
        else:
            write_checked(session, space, call.address, value, options.l)
    except NotWritten as error:
        where = f"{call.address:#x}" if call.address else "0"
        raise CommandError(
            f"failed to write {digits(value, session.radix)} at address {where}: {error.reason}"
        ) from None
