"""Dcmds that show and change the state of the session."""

from __future__ import annotations

from kdbg.dcmds.registry import NONE, OPTIONAL, Call, dcmd
from kdbg.lang.errors import Quit


@dcmd("quit,$q,$Q,$%", "leave the debugger", address=OPTIONAL, words=None)
def quit_(call: Call) -> None:
    """Leave."""
    raise Quit
