"""What the hypervisor below a domain 0 tells: in the dump of a whole Xen host."""

from __future__ import annotations

from collections.abc import Iterator

from kdbg.dcmds.registry import NONE, Call, dcmd
from kdbg.errors import CommandError
from kdbg.records import LogEntry

_SHOWN = str.maketrans({code: f"\\x{code:02x}" for code in (*range(9), *range(10, 32), *range(127, 160))})


@dcmd("xenlog", "show the messages of the hypervisor below domain 0", address=NONE, needs=("kernel",), module="xen",
      text=lambda record, _: record.text, example="::xenlog",
      help="The buffer of the hypervisor's console, oldest line first: what xl dmesg shows. "
      "It needs the hypervisor's symbols.")  # fmt: skip
def xenlog(call: Call) -> Iterator[LogEntry]:
    """The lines of the buffer; the first may have lost its beginning."""
    below = call.kernel.hypervisor
    data = below.console() if below is not None else b""
    if not data:
        raise CommandError("the hypervisor's messages are not found")
    for line in data.decode("latin-1").replace("\0", "").splitlines():
        yield LogEntry(None, line.translate(_SHOWN))
