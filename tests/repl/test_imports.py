"""What a run without a terminal leaves alone."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import kdbg

PROGRAM = """
import sys
from kdbg.cli import main
main(["-e", "1=K"])
print(sorted(name for name in ("prompt_toolkit", "rich", "pygments", "asyncio") if name in sys.modules),
      file=sys.stderr)
"""


def test_a_pipe_never_loads_what_is_for_people() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, stdin=subprocess.DEVNULL, check=True
    )
    assert done.stderr.strip() == "[]"


def test_only_the_prompt_imports_what_is_for_people() -> None:
    home = Path(kdbg.__file__).parent
    for path in home.rglob("*.py"):
        if path.parent.name != "repl":
            text = path.read_text()
            assert not re.search(r"(import|from) (prompt_toolkit|rich|pygments)", text), path
