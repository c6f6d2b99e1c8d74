"""A sign of life on the error stream when a command is silent for more than a second.

rich draws it; it is imported when there is first something to draw. Whoever writes to the terminal calls
`Progress.clear` before; a second of silence later the sign comes again.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.live import Live

DELAY = 1.0
"""Seconds of silence."""


class Progress:
    """Watches one command at a time. ``stream``: a terminal; None: nothing is ever drawn."""

    def __init__(self, stream: IO[str] | None, delay: float = DELAY) -> None:
        self._stream = stream
        self._delay = delay
        self._lock = threading.Lock()
        self._wake = threading.Condition(self._lock)
        self._live: Live | None = None
        self._spinner: Any = None
        self._label = ""
        self._began = self._quiet_since = 0.0
        self._watching = self._suspended = False
        self._thread: threading.Thread | None = None

    @contextmanager
    def watch(self, label: str) -> Iterator[None]:
        """Watch a command."""
        if self._stream is None:
            yield
            return
        with self._lock:
            self._label = label
            self._began = self._quiet_since = time.monotonic()
            self._watching, self._suspended = True, False
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="progress", daemon=True)
                self._thread.start()
            self._wake.notify()
        try:
            yield
        finally:
            with self._lock:
                self._watching = False
                self._erase()

    def label(self, text: str) -> None:
        """Say how far what is watched has come."""
        self._label = text

    def relabel(self, label: str) -> None:
        """Say something else of what is watched."""
        with self._lock:
            self._label = label

    @contextmanager
    def suspended(self) -> Iterator[None]:
        """Draw nothing: the terminal is somebody else's."""
        with self._lock:
            self._suspended = True
            self._erase()
        try:
            yield
        finally:
            with self._lock:
                self._suspended = False
                self._quiet_since = time.monotonic()

    def clear(self) -> None:
        """Something is about to be written: take the sign off the screen."""
        if not self._watching:
            return
        self._quiet_since = time.monotonic()
        if self._live is not None:
            with self._lock:
                self._erase()

    def _erase(self) -> None:
        live, self._live = self._live, None
        if live is not None:
            live.stop()

    def _work(self) -> None:
        while True:
            with self._lock:
                while not self._watching:
                    self._wake.wait()
                now = time.monotonic()
                if not self._suspended and now - self._quiet_since >= self._delay:
                    self._draw(now)
            time.sleep(0.1)

    def _draw(self, now: float) -> None:
        from rich.console import Console
        from rich.live import Live
        from rich.spinner import Spinner
        from rich.text import Text

        text = Text(f"{now - self._began:.0f} s  (Ctrl-C stops)  {self._label}", no_wrap=True, overflow="ellipsis")
        if self._live is not None:
            self._spinner.update(text=text)
            return
        self._spinner = Spinner("line", text)
        console = Console(file=self._stream, markup=False, highlight=False)
        self._live = Live(self._spinner, console=console, transient=True, redirect_stdout=False, redirect_stderr=False)
        self._live.start()
