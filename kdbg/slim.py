"""``kdbg slim``: a small dump of just the pages that some commands touch, so that a large one's answer can be mailed.

The commands are run over the dump while every page that is read is noted: page tables, symbols and types on the way
included. What was touched is written in the format that keeps all that the dump tells.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from kdbg.convert import convert, natural_format
from kdbg.formats.image import Image

if TYPE_CHECKING:
    from kdbg.dump import Dump

DEFAULT = ("::status", "::cpuinfo", "::panicinfo", "::msgbuf", "::threadlist -v", "::ps", "::modinfo")
"""Commands where none are given: what is looked at first."""


class Touched:
    """Notes which pages of an image are read, as frame numbers that page tables hold."""

    def __init__(self, image: Image) -> None:
        self.frames: set[int] = set()
        self._page, self._page_of_pfn, self._words = image.page, image.page_of_pfn, image.words
        self._image = image
        image.page = self.page  # type: ignore[method-assign]
        image.page_of_pfn = self.page_of_pfn  # type: ignore[method-assign]
        image.words = self.words  # type: ignore[method-assign]
        # Not a format's own short way, which does not come by `page`.
        image.read_physical = partial(Image.read_physical, image)  # type: ignore[method-assign]

    def page(self, frame: int) -> memoryview | None:
        """As `Image.page`."""
        found = self._page(frame)
        if found is not None:
            self.frames.add(frame)
        return found

    def page_of_pfn(self, pfn: int) -> memoryview | None:
        """As `Image.page_of_pfn`."""
        frame = self._image.pfn_to_mfn(pfn) if self._image.paravirtual else pfn
        if frame is not None:
            self.page(frame)
        return self._page_of_pfn(pfn)

    def words(self, frames, indexes, width):  # type: ignore[no-untyped-def]
        """As `Image.words`."""
        import numpy as np

        self.frames.update(np.unique(frames).tolist())
        return self._words(frames, indexes, width)


def slim(target: Dump, path: str, commands: Sequence[str] = (), form: str | None = None, bare: bool = False) -> int:
    """Run the commands and write the pages that they touch; the number of pages. Raises `FormatError`.

    ``target`` must be fresh: what it has read before is not noted. ``bare``: nothing besides, so that commands that
    were not given may lack symbols and types.
    """
    from kdbg.lang.output import ListSink
    from kdbg.lang.session import Session

    touched = Touched(target.image)
    session = Session(target, ListSink(), ListSink())
    for command in commands or DEFAULT:
        session.execute(command)
    kernel = target.kernel
    if kernel is not None and not bare:
        _touch_names(kernel)
    return convert(target.image, path, form or natural_format(target.image), touched.frames)


def _touch_names(kernel: object) -> None:
    """Read all symbols and types, so that any command finds them in the small dump."""
    symbols, types = getattr(kernel, "symbols", None), getattr(kernel, "types", None)
    for _ in symbols or ():
        pass
    for _ in types.containers() if types is not None else ():
        pass
