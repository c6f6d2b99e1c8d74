"""Where the text of the language comes from: standard input, a string, a macro file, a pipe.

The lexer takes whole lines; how far it may give characters back is the source's matter: mdb reads a pipe or file byte
by byte and can give back one character only.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable

CHUNK = 65536


def file_name(word: str) -> str:
    """The name of a file that a word of the language stands for: its characters are bytes."""
    try:
        return os.fsdecode(word.encode("latin-1"))
    except UnicodeEncodeError:  # text that was never bytes: a program's
        return word


class Source:
    """Lines with a name and a number."""

    name = "(string)"
    is_string = True
    """Whether a bare expression only sets dot, and what follows an error is lost."""
    is_pipe = False
    one_back = False
    """Whether only the last character read can be given back."""

    def __init__(self) -> None:
        self.text = ""
        """The line at hand, with its newline."""
        self.position = 0
        self.lineno = 1
        """Newlines read, plus one."""
        self.ended = False

    def next_line(self) -> str:
        """The next line with its newline; empty at the end."""
        return ""

    def fill(self) -> bool:
        """Go on to the next line; whether there is one."""
        if self.ended:
            return False
        self.text = self.next_line()
        self.position = 0
        if not self.text:
            self.ended = True
        return bool(self.text)

    def skip_statement(self) -> None:
        """Throw away what is lost after an error: all of a string, else up to the next ``;`` or newline."""
        if self.is_string or self.is_pipe:
            self.discard()
            return
        while self.position < len(self.text) or self.fill():
            char = self.text[self.position]
            self.position += 1
            if char in ";\n":
                return

    def discard(self) -> None:
        """Throw away everything that is at hand."""
        self.text = ""
        self.position = 0
        self.ended = True

    def before_child(self) -> None:
        """A child process is about to read from the same place."""

    def close(self) -> None:
        """Let go of the file, if there is one."""


class StringSource(Source):
    """A string; a newline is implied at its end."""

    def __init__(self, text: str, name: str = "(string)") -> None:
        super().__init__()
        self.name = name
        self._rest = text if text.endswith("\n") else text + "\n"

    def next_line(self) -> str:
        """Cut the next line off."""
        line, newline, self._rest = self._rest.partition("\n")
        return line + newline

    def discard(self) -> None:
        """Throw away the rest of the string."""
        super().discard()
        self._rest = ""


class PipeSource(Source):
    """What a command wrote into a pipe."""

    name = "(pipeline)"
    is_string = False
    is_pipe = True

    def __init__(self) -> None:
        super().__init__()
        self._rest = ""

    def feed(self, text: str) -> None:
        """Add text: whole lines."""
        self._rest += text
        self.ended = False

    def next_line(self) -> str:
        """Cut the next line off."""
        line, newline, self._rest = self._rest.partition("\n")
        return line + newline


class FileSource(Source):
    """A macro file, or a script."""

    is_string = False
    one_back = True

    def __init__(self, path: str, name: str | None = None) -> None:
        super().__init__()
        self.name = path if name is None else name
        self._stream = open(path, encoding="latin-1", newline="\n")  # noqa: SIM115

    def next_line(self) -> str:
        """Read a line."""
        return self._stream.readline()

    def discard(self) -> None:
        """Read no more."""
        super().discard()
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._stream.close()


class StandardInput(Source):
    """A file descriptor, read so that a child process finds what the language has not read yet.

    ``idle``: called before a read that may have to wait.
    """

    name = "(stdin)"
    is_string = False
    one_back = True

    def __init__(self, descriptor: int = 0, idle: Callable[[], None] | None = None) -> None:
        super().__init__()
        self._descriptor = descriptor
        self._idle = idle
        self._regular = stat.S_ISREG(os.fstat(descriptor).st_mode)
        self._chunk = b""
        self._at = 0
        self._log: Callable[[str], None] | None = None
        self._logged = 0

    def next_line(self) -> str:
        """Read a line."""
        self.tell_log()
        self._logged = 0
        return (self._line_of_file() if self._regular else self._line_of_pipe()).decode("latin-1")

    def log_to(self, log: Callable[[str], None]) -> None:
        """Give a log all that is read from here on."""
        self._log, self._logged = log, self.position

    def tell_log(self) -> None:
        """Give the log what has been read: up to where the language is, and the character behind it."""
        end = min(self.position + 1, len(self.text))
        if self._log is not None and end > self._logged:
            self._log(self.text[self._logged : end])
        self._logged = max(end, self._logged)

    def _line_of_file(self) -> bytes:
        while True:
            start, end = self._at, self._chunk.find(b"\n", self._at) + 1
            if end:
                self._at = end
                return self._chunk[start:end]
            chunk = os.read(self._descriptor, CHUNK)
            self._chunk, self._at = self._chunk[start:] + chunk, 0
            if not chunk:
                line, self._chunk = self._chunk, b""
                return line

    def _line_of_pipe(self) -> bytes:
        if self._idle is not None:
            self._idle()
        read, descriptor = os.read, self._descriptor
        pieces = []
        while piece := read(descriptor, 1):
            pieces.append(piece)
            if piece == b"\n":
                break
        return b"".join(pieces)

    def before_child(self) -> None:
        """Put the file's position where the language is."""
        if self._regular:
            os.lseek(self._descriptor, self._at - len(self._chunk), os.SEEK_CUR)
            self._chunk, self._at = b"", 0
