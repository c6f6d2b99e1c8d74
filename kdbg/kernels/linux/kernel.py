"""A Linux kernel, found in the image."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kdbg.dump import Dump


class Linux:
    """The kernel of a dump."""

    name = "linux"

    @classmethod
    def detect(cls, target: Dump) -> Linux | None:
        """The kernel, if there is one."""
        return None
