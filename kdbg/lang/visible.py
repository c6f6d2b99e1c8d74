r"""Text out of a dump made harmless: what could act on a terminal, a page or a parser is shown as ``\ooo``."""

from __future__ import annotations

import re

_ODD = re.compile(r"[^\t\n -~]+")
_SEQUENCE = re.compile(r"[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}|.", re.DOTALL)


def visible(text: str, unicode: bool = True) -> str:
    r"""A text with everything escaped that could act on a terminal.

    Characters up to 0xff stand for bytes, as in `kdbg.lang.output`. With ``unicode``, bytes that are the UTF-8 of a
    printable character show as that character. What is not printable (controls C0 and C1, overrides of the direction of
    writing, other invisible ones) shows as the ``\ooo`` of its bytes.
    """
    return _ODD.sub(lambda found: _escaped(found[0], unicode), text)


def _escaped(text: str, unicode: bool) -> str:
    return "".join(_shown(piece, unicode) for piece in _SEQUENCE.findall(text))


def _shown(piece: str, unicode: bool) -> str:
    data = piece.encode("utf-8", "surrogatepass") if ord(piece[0]) > 0xFF else piece.encode("latin-1")
    if unicode and len(data) > 1:
        try:
            character = data.decode("utf-8")
        except UnicodeDecodeError:
            pass
        else:
            if character.isprintable():
                return character
    return "".join(f"\\{byte:03o}" for byte in data)
