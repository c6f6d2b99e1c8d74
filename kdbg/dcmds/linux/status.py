"""What the dump is of, and the modules of its kernel."""

from __future__ import annotations

from collections.abc import Iterator

from kdbg.dcmds.machine import Status, machine_status, status_text
from kdbg.dcmds.registry import NONE, OPTIONAL, Call, Table, dcmd, hexadecimal, padded_pointer, text
from kdbg.records import Module

MODULE = "linux"


@dcmd("status", "say what is looked at", address=OPTIONAL, words=None, needs=("kernel",), module=MODULE,
      text=status_text, example="::status")  # fmt: skip
def status(call: Call) -> Iterator[Status]:
    """The dump and the system in it, and how its kernel was found."""
    kernel, uname = call.kernel, call.kernel.uname
    image = kernel.symbols.image
    yield machine_status(
        call,
        kernel=kernel.describe(),
        host=uname.get("nodename") or None,
        release=uname["release"],
        version=uname["version"],
        machine=uname["machine"],
        symbols=len(image) if image is not None else 0,
        modules=tuple(module.name for module in kernel.module_images),
        recognised=kernel.recognised,
    )


MODULES = Table((padded_pointer("ADDR", "address"), padded_pointer("BASE", "base"), hexadecimal("SIZE", "size", 8),
                 text("NAME", "name", 0)))  # fmt: skip


@dcmd("modinfo", "list the kernel's modules", address=NONE, needs=("kernel",), module=MODULE, table=MODULES,
      example="::modinfo")  # fmt: skip
def modinfo(call: Call) -> Iterator[Module]:
    """The loaded modules, the newest first: address of struct module, base and size of what it has in memory."""
    yield from call.kernel.modules()
