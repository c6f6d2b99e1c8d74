"""The log of a session: ``::log``."""

from __future__ import annotations


class Log:
    """A file that gets what a person types, each character behind the prompt (as in mdb), and all that is written.

    ``name``: what it is called in messages; ``path``: where it is.
    """

    def __init__(self, name: str, path: str) -> None:
        self.name = name
        self.enabled = True
        self._stream = open(path, "a", encoding="latin-1", errors="replace", newline="\n")  # noqa: SIM115

    def typed(self, text: str, prompt: str) -> None:
        """Take what was read."""
        if self.enabled:
            self._stream.write("".join(prompt + char for char in text))
            self._stream.flush()

    def written(self, text: str) -> None:
        """Take what was written."""
        if self.enabled:
            self._stream.write(text)
            self._stream.flush()

    def close(self) -> None:
        """Close the file."""
        self.enabled = False
        self._stream.close()
