"""The session of the README, played: `make demo`.

Unpacks the sample domain core, shows each command as it would be typed with its answer, and leaves the person at the
prompt if there is a terminal.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from samples.unpack import unpack

COMMANDS = (
    "::status",
    "::cpuinfo",
    "::evtchns",
    "::cpustack -c 0",
    "::threadlist -t",
    "ffffff01d6f09c00::whatis",
    "fffffffffbc4b7f0::vatopfn",
    "fffffffffbc4b7f0::ptwalk",
    "::ptescan -l kernel-user",
    "::walk thread | ::findstack -v",
)
FOLDER = Path(__file__).resolve().parent.parent / "build" / "demo"


def main() -> None:
    """Unpack, play, hand over."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    core = FOLDER / "core.domu"
    unpack("domu-sxc16.core", FOLDER).replace(core)
    os.chdir(FOLDER)
    print(f"$ kdbg {core.name}", flush=True)
    play(core.name)
    if sys.stdin.isatty() and sys.stdout.isatty():
        print(
            f"\nIt is yours now: the same dump, at the prompt. ::help helps, $q leaves.\nThe dump: {core}\n",
            flush=True,
        )
        os.execv(sys.executable, [sys.executable, "-m", "kdbg.cli", core.name])
    print(f"\nTry it yourself: {Path(sys.executable).parent / 'kdbg'} {core}")


def play(core: str) -> None:
    """Run the session's commands, each shown behind a prompt."""
    import kdbg
    from kdbg.lang.session import Session

    with kdbg.open(core) as target:
        session = Session(target)
        for command in COMMANDS:
            print(f"> {command}", flush=True)
            session.execute(command)
            session.flush()
    print(flush=True)


if __name__ == "__main__":
    main()
