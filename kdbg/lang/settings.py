"""The settings of a session: what ``::set`` and the options of the command line change."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class Settings:
    """What a person may choose; defaults are mdb's."""

    symbols: bool = True
    """Whether addresses are shown as symbol and offset."""
    distance: int = 0
    """How far from a symbol an address may lie to be named by it; 0: within the symbol's size."""
    repeat_last: bool = False
    adb: bool = False
    autowrap: bool = False
    pager: bool = True
    write: bool = False
    safe: bool = False
    """No shell, no writes, no loading of files."""
    macro_path: list[str] = field(default_factory=list)
    module_path: list[str] = field(default_factory=list)
    array_limit: int | None = 32
    string_limit: int | None = 1024
    flags: set[str] = field(default_factory=set)
    """Options of mdb that are remembered and do nothing here."""
