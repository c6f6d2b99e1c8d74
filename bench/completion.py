"""Measure completion on 150,000 symbols and 20,000 types: ``python -m bench.completion``."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

from prompt_toolkit.completion import CompleteEvent
from prompt_toolkit.document import Document

from kdbg.lang.session import Session
from kdbg.repl.completion import LanguageCompleter
from kdbg.repl.vocabulary import Vocabulary
from tests.repl.synthetic import SYMBOLS, TYPES, ManyNames

LINES = (
    "v", "kmem_cache_a", "::sizeof v", "::sizeof struct s1", "::print struct s77 m_next->m_9", "::pri", "::print -",
)  # fmt: skip
ROUNDS = 21


def clock(action: Callable[[], object]) -> float:
    start = time.perf_counter()
    action()
    return 1000 * (time.perf_counter() - start)


def main() -> None:
    vocabulary = Vocabulary(Session(ManyNames()))
    completer = LanguageCompleter(vocabulary)
    for index, count, what in ((vocabulary.symbols, SYMBOLS, "symbols"), (vocabulary.types, TYPES, "types")):
        print(f"index of {count} {what}, once, in the background: {clock(index.get):.0f} ms")
    for line in LINES:
        document = Document(line)
        press = partial(lambda at: list(completer.get_completions(at, CompleteEvent())), document)
        times = [clock(press) for _ in range(ROUNDS)]
        print(f"{line!r:36} best {min(times):6.2f} ms, worst of {ROUNDS} {max(times):6.2f} ms   goal 50 ms")
    times = [clock(lambda: vocabulary.near_symbols("kmem_cahce_alloc_1f")) for _ in range(ROUNDS)]
    print(f"{'did you mean':36} best {min(times):6.2f} ms, worst of {ROUNDS} {max(times):6.2f} ms")


if __name__ == "__main__":
    main()
