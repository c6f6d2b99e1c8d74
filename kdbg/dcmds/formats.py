r"""``/ \ ? @ =``: memory, or a value, by a list of letters (`kdbg.lang.formats` does the work)."""

from __future__ import annotations

from kdbg.dcmds.registry import OPTIONAL, Call, dcmd
from kdbg.lang.errors import Abort
from kdbg.lang.formats import Status, show_memory, show_value
from kdbg.target import Space

_SPACES = {"/": Space.VIRTUAL, "?": Space.OBJECT, "\\": Space.PHYSICAL, "@": Space.PHYSICAL}


@dcmd(
    "/,\\,?,@", "show, search or write memory", address=OPTIONAL, synopsis="format ...", words=None,
    help=(
        "Shows memory at an address by a list of letters, each with a count before it if wanted (::formats "
        "lists them). / reads memory by virtual address, \\ by physical address, ? the object file. Without "
        "letters it shows an int and the instruction there. l, L and M search for a value; v, w, W and Z "
        "write, where the target can be written to."
    ),
    hint=False,
    example="cpu0_disp/2K",
)  # fmt: skip
def memory(call: Call) -> None:
    """Show memory by a list of letters."""
    header = call.first and not call.piped_out
    status = show_memory(call.session, _SPACES[call.name], call.words, header)
    if status is Status.FAILED:
        call.fail()
    elif status is Status.ENDED and not call.piped_in:
        raise Abort("")


@dcmd(
    "=", "show a value", address=OPTIONAL, synopsis="format ...", words=None,
    help="Shows the value before it by a list of letters (::formats lists them), each in a column.",
    hint=False,
    example="0t100=XOD",
)  # fmt: skip
def value(call: Call) -> None:
    """Show dot by a list of letters."""
    show_value(call.session, call.words)
