"""A terminal for tests: kdbg runs on a pseudo terminal, and what it writes is drawn on a screen of characters.

The emulation knows what prompt-toolkit, rich and the shell's echo send: moves, erasing, scrolling, the question where
the cursor is. Everything else fails the test.
"""

from __future__ import annotations

import os
import re
import sys
import time
from pathlib import Path

import pexpect

ROOT = Path(__file__).parents[2]
_TOKEN = re.compile(
    r"\x1b\[([?>=]?)([0-9;]*)([@-~])|\x1b([=>78c])|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|([\x00-\x1f])|([^\x00-\x1f])"
)


class Screen:
    """Rows of characters, and a cursor."""

    def __init__(self, columns: int, lines: int) -> None:
        self.columns, self.lines = columns, lines
        self.rows = [[" "] * columns for _ in range(lines)]
        self.x = self.y = 0
        self.asked = 0
        self.scrolled: list[str] = []
        self.colours = 0
        self._pending = ""

    def feed(self, text: str) -> None:
        text = self._pending + text
        at = 0
        while at < len(text):
            found = _TOKEN.match(text, at)
            if found is None:
                assert len(text) - at < 64, f"not known: {text[at : at + 40]!r}"
                break
            at = found.end()
            if found[3]:
                self._control(found[1], found[2], found[3])
            elif found[5]:
                self._act(found[5])
            elif found[6]:
                self._put(found[6])
        self._pending = text[at:]

    def _put(self, char: str) -> None:
        if self.x >= self.columns:
            self.x = 0
            self._down()
        self.rows[self.y][self.x] = char
        self.x += 1

    def _down(self) -> None:
        if self.y == self.lines - 1:
            self.scrolled.append("".join(self.rows.pop(0)).rstrip())
            self.rows.append([" "] * self.columns)
        else:
            self.y += 1

    def _act(self, char: str) -> None:
        if char == "\n":
            self._down()
        elif char == "\r":
            self.x = 0
        elif char == "\b":
            self.x = max(0, min(self.x, self.columns - 1) - 1)
        elif char == "\t":
            self.x = min(self.columns - 1, (self.x + 8) // 8 * 8)
        else:
            assert char == "\a", f"a control character reached the terminal: {char!r}"

    def _control(self, private: str, parameters: str, letter: str) -> None:
        numbers = [int(part) if part else 0 for part in parameters.split(";")]
        count = max(numbers[0], 1)
        if private or letter in "hlqt":
            return
        if letter == "A":
            self.y = max(0, self.y - count)
        elif letter == "B":
            self.y = min(self.lines - 1, self.y + count)
        elif letter == "C":
            self.x = min(self.columns - 1, self.x + count)
        elif letter == "D":
            self.x = max(0, min(self.x, self.columns - 1) - count)
        elif letter == "G":
            self.x = count - 1
        elif letter == "H":
            self.y = min(self.lines, count) - 1
            self.x = (max(numbers[1], 1) if len(numbers) > 1 else 1) - 1
        elif letter == "J":
            self._erase_line(numbers[0])
            if numbers[0] in (0, 2):
                start = self.y + 1 if numbers[0] == 0 else 0
                for row in range(start, self.lines):
                    self.rows[row] = [" "] * self.columns
        elif letter == "K":
            self._erase_line(numbers[0])
        elif letter == "n":
            self.asked += 1
        elif letter == "m":
            self.colours += any(30 <= number <= 49 or number >= 90 for number in numbers)
        else:
            raise AssertionError(f"not known: CSI {parameters}{letter}")

    def _erase_line(self, how: int) -> None:
        start, end = {0: (self.x, self.columns), 1: (0, self.x + 1), 2: (0, self.columns)}[how]
        self.rows[self.y][start:end] = [" "] * (end - start)

    def text(self) -> str:
        return "\n".join("".join(row).rstrip() for row in self.rows).rstrip()

    def line(self, number: int) -> str:
        return "".join(self.rows[number]).rstrip()


class Terminal:
    """kdbg on a pseudo terminal. ``home`` is the person's; nothing of the real one is read."""

    def __init__(
        self, home: Path, *arguments: str, columns: int = 80, lines: int = 24, term: str = "xterm-256color", **more: str
    ) -> None:
        environment = {key: value for key, value in os.environ.items() if key not in ("NO_COLOR", "XDG_STATE_HOME")}
        environment |= {"HOME": str(home), "TERM": term, "PYTHONPATH": str(ROOT), "LC_ALL": "C.UTF-8"}
        environment["SHELL"] = "/bin/sh"
        self.screen = Screen(columns, lines)
        self.raw = ""
        self.process = pexpect.spawn(
            sys.executable, ["-m", "kdbg.cli", *arguments], env=environment | more, dimensions=(lines, columns),
            encoding="latin-1", timeout=20,
        )  # fmt: skip
        self.process.delaybeforesend = None

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *exc: object) -> None:
        self.process.close(force=True)

    def read(self) -> bool:
        """Draw what has come; False at the end."""
        try:
            text = self.process.read_nonblocking(65536, timeout=0.05)
        except pexpect.TIMEOUT:
            return True
        except pexpect.EOF:
            return False
        self.raw += text
        self.screen.feed(text.encode("latin-1").decode("utf-8", "replace"))
        while self.screen.asked:
            self.screen.asked -= 1
            self.process.send(f"\x1b[{self.screen.y + 1};{self.screen.x + 1}R")
        return True

    def wait(self, pattern: str, seconds: float = 20) -> str:
        """Wait until the screen shows it; what it shows then."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            alive = self.read()
            if re.search(pattern, self.screen.text(), re.MULTILINE):
                return self.screen.text()
            if not alive:
                break
        raise AssertionError(f"{pattern!r} did not come; the screen:\n{self.screen.text()}")

    def settle(self, seconds: float = 0.3) -> str:
        """Wait until nothing more comes."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            before = len(self.raw)
            if not self.read():
                break
            if len(self.raw) != before:
                end = time.monotonic() + seconds
        return self.screen.text()

    def keys(self, text: str) -> None:
        self.process.send(text)

    def ready(self) -> None:
        """Wait for a prompt with nothing behind it."""
        self.wait(r"^>$(?![\s\S]*^> \S)")

    def enter(self, line: str) -> str:
        """Type a line and wait for the next prompt; what the screen shows then."""
        self.ready()
        self.keys(line)
        self.wait(re.escape(line[-20:]))
        self.keys("\r")
        self.settle(0.15)
        self.ready()
        return self.screen.text()

    def left(self, seconds: float = 10) -> int:
        """Wait until kdbg has ended; its exit status."""
        end = time.monotonic() + seconds
        while time.monotonic() < end and self.read():
            pass
        self.process.close()
        return int(self.process.exitstatus or 0)
