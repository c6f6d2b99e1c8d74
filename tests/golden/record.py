"""The matrix: what every dcmd and walker answers on small dumps, failing ones included.

`python -m tests.golden.record` (`make goldens`) writes it anew; a person reads the difference before it is committed.
Of each answer the first lines are kept, and how many more there are.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import kdbg
from kdbg.dcmds import tables
from kdbg.lang.output import ListSink
from kdbg.lang.session import Session
from samples.unpack import unpack

HERE = Path(__file__).parent / "matrix"
DUMPS = (
    "domu-panic.elf", "domu32.elf", "hvm.elf", "xen-tiny.core", "xen-tiny-pvh32.core", "lx612-locks.elf",
    "lx61-arm64.elf", "xen-linux-crash.core", "xen-host.vmcore",
)  # fmt: skip
LINES = 6
LEFT_OUT = frozenset("$< $<< $> cat dmods log set load help $Q $q $% quit ! which".split())
"""What depends on this machine, or ends the session."""


def commands(target: kdbg.dump.Dump) -> Iterator[str]:
    """Each dcmd alone and with the address of a thread; each walker likewise."""
    somewhere = f"{_address(target):x}"
    for attribute in ("DCMDS", "WALKERS"):
        names = {name for table in tables(target, attribute) for some in table.values() for name in some}
        for name in sorted(names - LEFT_OUT):
            prefix = "::walk " if attribute == "WALKERS" else "::" if name[0].isalnum() else ""
            typed = prefix + name
            yield typed
            yield f"{somewhere}{typed}"


def _address(target: kdbg.dump.Dump) -> int:
    with contextlib.suppress(kdbg.Error):
        for thread in target.threads():
            return thread.address
    registers = target.image.contexts[0]
    return next(registers[name] for name in ("rsp", "esp", "sp") if name in registers)


def answers(name: str, folder: Path) -> str:
    """All commands on one dump, with the beginnings of their answers."""
    unpack(name, folder)
    parts = []
    before = os.getcwd()
    os.chdir(folder)
    try:
        with kdbg.open(name) as target:
            for command in list(commands(target)):
                sink = ListSink()
                Session(target, sink, sink).execute(command)
                lines = sink.text().splitlines()
                more = [f"... {len(lines) - LINES} more lines"] if len(lines) > LINES else []
                parts.append("\n".join([f"> {command}", *(f"    {line}".rstrip() for line in lines[:LINES] + more)]))
    finally:
        os.chdir(before)
    return "\n".join(parts) + "\n"


def main() -> None:
    """Write all of them."""
    HERE.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        for name in DUMPS:
            (HERE / f"{name}.txt").write_text(answers(name, Path(folder)), encoding="utf-8")


if __name__ == "__main__":
    main()
