"""The page in a real browser: nothing of a dump runs, and its own style applies. Wants Chromium."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from kdbg.triage.views import view
from triage.reports import HOSTILE, deadlock, hostile

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
RAN = "document.documentElement.dataset.ran = 1"
ATTACKS = [
    f"<script>{RAN}</script>",
    f'"><img src=x onerror="{RAN}">',
    f"' onmouseover='{RAN}' autofocus onfocus='{RAN}",
    f"</style></title></pre></svg><svg onload='{RAN}'><script>{RAN}</script>",
    f"]]><!-- --><iframe srcdoc='<script>parent.{RAN}</script>'>",
    "</style><style>.verdict { display: none }</style>",
]

pytestmark = [
    pytest.mark.skipif(BROWSER is None, reason="there is no Chromium"),
    pytest.mark.slow,
]


def opened(folder: Path, text: str) -> tuple[str, str]:
    """What has become of a page: its elements, after its scripts had their time; and what the browser says of it."""
    (folder / "page.html").write_text(text)
    home = f"--user-data-dir={folder / 'browser'}"
    switches = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        home,
        "--virtual-time-budget=2000",
        "--enable-logging=stderr",
    ]
    command = [str(BROWSER), *switches, "--dump-dom", (folder / "page.html").as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    return done.stdout, "\n".join(line for line in done.stderr.splitlines() if "CONSOLE" in line)


def test_an_attack_would_be_seen(tmp_path: Path) -> None:
    page, _ = opened(tmp_path, f"<!doctype html><html><body>{ATTACKS[0]}{ATTACKS[1][2:]}</body></html>")
    assert 'data-ran="1"' in page[: page.index("<head")]


def test_nothing_of_a_dump_runs(tmp_path: Path) -> None:
    for text in (*ATTACKS, *HOSTILE):
        page, said = opened(tmp_path, view("html")(hostile(text)))
        assert said == "", text
        assert "data-ran" not in page[: page.index("<head")], text
        assert "<script" not in page, text
        assert page.count("<style>") == 1, text


def test_even_what_was_not_escaped_would_not_run(tmp_path: Path) -> None:
    """The page's policy is a second wall: markup that got in all the same neither runs nor loads nor looks."""
    attack = f"{ATTACKS[0]}{ATTACKS[1]}<b style='position: fixed' onclick='{RAN}'>x</b>"
    page, said = opened(tmp_path, view("html")(deadlock()).replace("</body>", f"{attack}</body>"))
    assert "Content Security Policy" in said
    assert "<img" in page
    assert "data-ran" not in page[: page.index("<head")]


def test_its_own_style_is_allowed_and_no_other(tmp_path: Path) -> None:
    text = view("html")(deadlock())
    assert opened(tmp_path, text)[1] == ""
    assert "style-src" in opened(tmp_path, text.replace("<style>", "<style> "))[1]
