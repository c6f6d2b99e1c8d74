"""The command line: ``kdbg [options] [file ...]``."""

from __future__ import annotations

import os
import sys

from kdbg.errors import Error


def main(arguments: list[str] | None = None) -> int:
    """Run kdbg; the exit status."""
    from kdbg.repl.batch import run

    words = sys.argv[1:] if arguments is None else arguments
    try:
        status = run(words)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 1
    except Error as error:
        sys.stderr.write(f"kdbg: {error}\n")
        return 1
    return status


if __name__ == "__main__":
    sys.exit(main())
