"""Elements of HTML, SVG and XML: every string that is not `Markup` already is escaped, so none can be forgotten."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape


class Markup(str):
    """Text that is markup: made by `tag` alone, or written in these modules."""

    __slots__ = ()


Child = str | None | Iterable["Child"]


def tag(name: str, /, *children: Child, **attributes: str | int | float | bool | None) -> Markup:
    """An element. Attributes: ``class_`` is class, ``text_anchor`` text-anchor; None and False are left out.

    Texts are escaped, None is nothing, iterables are their members.
    """
    told = "".join(
        f" {key.rstrip('_').replace('_', '-')}" + ("" if value is True else f'="{escape(_number(value))}"')
        for key, value in attributes.items()
        if value is not None and value is not False
    )
    inner = join(children)
    return Markup(f"<{name}{told}>{inner}</{name}>")


def join(children: Iterable[Child]) -> Markup:
    """Elements and texts behind each other."""
    return Markup("".join(map(_child, children)))


def _child(child: Child) -> str:
    if child is None:
        return ""
    if isinstance(child, Markup):
        return child
    return escape(child) if isinstance(child, str) else join(child)


def _number(value: str | float) -> str:
    return f"{value:.3f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)
