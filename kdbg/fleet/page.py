"""The causes of a fleet as one self-contained HTML page."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from kdbg.fleet.causes import Cause, day

STYLE = """
:root { color-scheme: light dark; --line: #8884; --bar: #3b7dd8; }
body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 70rem; padding: 0 1rem; }
table { border-collapse: collapse; width: 100%; }
th { text-align: left; font-weight: 600; }
th, td { padding: .45rem .6rem; border-bottom: 1px solid var(--line); vertical-align: top; overflow-wrap: anywhere; }
.count { text-align: right; white-space: nowrap; }
.bar { height: .5rem; background: var(--bar); border-radius: 2px; min-width: 2px; }
.small { font-size: .85em; opacity: .75; }
code { font: .9em ui-monospace, monospace; }
@media (max-width: 40rem) { .wide { display: none; } }
"""


def render(found: Sequence[Cause]) -> str:
    """The page. All that comes from a dump is escaped; nothing on it is a script."""
    total, most = sum(one.count for one in found), max((one.count for one in found), default=1)
    rows = "\n".join(_row(one, most) for one in found)
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>Causes of {total} dumps</title>
<style>{STYLE}</style>
</head>
<body>
<h1>{total} dumps, {len(found)} causes</h1>
<table>
<thead><tr><th class="count">dumps</th><th>cause</th><th class="wide">first</th><th class="wide">last</th></tr></thead>
<tbody>
{rows}
</tbody>
</table>
</body>
</html>
"""


def _row(one: Cause, most: int) -> str:
    share = 100 * one.count / most
    details = [f"signature <code>{escape(one.signature)}</code>" if one.signature else "", *map(_known, one.known)]
    details += [f"kernels: {_text(', '.join(one.kernels[:5]))}" if one.kernels else ""]
    details += [f"findings: {_text(', '.join(one.findings[:8]))}" if one.findings else ""]
    details += [f"open: <code>kdbg {_text(one.example)}</code>"]
    shown = "<br>".join(detail for detail in details if detail)
    return (
        f'<tr><td class="count">{one.count}<div class="bar" style="width:{share:.0f}%"></div></td>'
        f'<td>{_text(one.text)}<div class="small">{shown}</div></td>'
        f'<td class="wide">{day(one.first)}</td><td class="wide">{day(one.last)}</td></tr>'
    )


def _known(name: str) -> str:
    return f"known: {_text(name)}"


def _text(text: str) -> str:
    """Harmless in a page: markup, and characters that steer the direction of writing, are shown and not obeyed."""
    printable = "".join(one if one.isprintable() else f"\\u{ord(one):04x}" for one in text)
    return escape(printable.encode("utf-8", "backslashreplace").decode())
