"""The settings of a session: what ``::set`` and the options of the command line change."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field

PROMPT_LIMIT = 35
"""Characters of a prompt at most."""
DEFAULT_PROMPT = "> "

FLAGS = (
    "adb", "autowrap", "ignoreeof", "lmraw", "pager", "repeatlast", "showlmid", "stop_on_bpt_nosym", "write_readback",
    "latest", "noctf", "nomods", "allow_io_access", "nostop",
)  # fmt: skip
"""Options that are on or off. Most of them are remembered only: they concern running programs and mdb's own modules."""

CHOICES = {
    "follow_exec_mode": ("ask", "stop", "follow"),
    "follow_fork_mode": ("ask", "parent", "child"),
}
"""Options with a choice of values."""

LIMITS = ("array_mem_limit", "array_str_limit")
"""Options with a number, or ``none``."""

Warn = Callable[[str], None]


@dataclass(slots=True)
class Settings:
    """What a person may choose; defaults are mdb's."""

    symbols: bool = True
    """Whether addresses are shown as symbol and offset."""
    distance: int = 0
    """How far from a symbol an address may lie to be named by it; 0: within the symbol's size."""
    flags: set[str] = field(default_factory=lambda: {"pager", "stop_on_bpt_nosym", "write_readback"})
    target_flags: set[str] = field(default_factory=set)
    """Those of the flags under which the target was opened."""
    choices: dict[str, str] = field(default_factory=lambda: {name: values[0] for name, values in CHOICES.items()})
    array_limit: int | None = 32
    """Elements of an array that are shown; None: all."""
    string_limit: int | None = 1024
    """Characters of an array that are shown; None: all."""
    prompt: str = DEFAULT_PROMPT
    terminal: str = ""
    macro_path: list[str] = field(default_factory=lambda: ["/usr/lib/adb"])
    """Where macro files are looked for; by default where illumos keeps adb's."""
    module_path: list[str] = field(default_factory=lambda: [os.path.dirname(os.path.dirname(__file__)) + "/dcmds"])
    """Where modules are looked for; by default our own dcmds."""
    safe: bool = False
    """No shell, no writes, no loading of files."""

    @property
    def repeat_last(self) -> bool:
        """Whether an empty line repeats the last command."""
        return "repeatlast" in self.flags

    @property
    def adb(self) -> bool:
        """Whether characters are shown as adb shows them."""
        return "adb" in self.flags

    def set_prompt(self, text: str, warn: Warn) -> bool:
        """Set the prompt; False (and a word to the person) where it is too long."""
        if len(text) > PROMPT_LIMIT:
            warn(f"prompt may not exceed {PROMPT_LIMIT} characters")
            return False
        self.prompt = text.expandtabs()
        return True

    def set_options(self, text: str, enable: bool, warn: Warn) -> bool:
        """Set ``name,name=value,...``; False where one of them is wrong, the others are set."""
        good = True
        for item in filter(None, text.split(",")):
            name, equals, value = item.partition("=")
            complaint = self._set_option(name, value if equals else None, enable)
            if complaint:
                warn(complaint)
                good = False
        return good

    def _set_option(self, name: str, value: str | None, enable: bool) -> str:
        """Set one option; what is wrong, or nothing."""
        if name in FLAGS:
            if value is not None:
                return f"option does not accept an argument -- {name}"
            self._set_flag(name, enable)
            return ""
        if name not in CHOICES and name not in LIMITS and name != "term":
            return f"invalid debugger option -- {name}"
        if value is None:
            return f"option requires an argument -- {name}"
        if name == "term":
            self.terminal = value
            return ""
        if name in CHOICES and value in CHOICES[name]:
            self.choices[name] = value
            return ""
        if name in LIMITS and (value == "none" or (value.isascii() and value.isdigit())):
            self._set_limit(name, None if value == "none" else int(value) & 0xFFFFFFFF)
            return ""
        return f"invalid argument for option {name} -- {value}"

    def _set_limit(self, name: str, limit: int | None) -> None:
        if name == "array_mem_limit":
            self.array_limit = limit
        else:
            self.string_limit = limit

    def _set_flag(self, name: str, enable: bool) -> None:
        change = self.flags.add if enable else self.flags.discard
        change(name)
        if name == "adb":
            change("repeatlast")
            change("nomods")
            (self.flags.discard if enable else self.flags.add)("pager")
            if enable:
                self.prompt = ""
            elif not self.prompt:
                self.prompt = DEFAULT_PROMPT
