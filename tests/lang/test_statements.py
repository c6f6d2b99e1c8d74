"""Statements: repeats, what an error costs, line numbers, comments, quotes, the shell."""

from __future__ import annotations

from pathlib import Path

import pytest

from kdbg.lang.output import ListSink
from kdbg.lang.session import Session
from kdbg.lang.settings import Settings
from tests.lang.programs import raw
from tests.lang.typed import piped


@pytest.fixture
def target(tmp_path: Path):
    return raw(tmp_path, bytes(range(64)))


def test_a_bare_expression_repeats_the_last_command(target):
    assert piped("0/B\n4\n", target) == "0:              0       \n4:              4       \n"


def test_a_count_goes_on_by_the_increment(target):
    assert piped("0,3/B\n", target) == "0:              0       1       2       \n"
    assert piped("10,0/B\n.=J\n", target).strip() == "10"


def test_a_comma_alone_goes_on_from_dot(target):
    assert piped("0/B\n,2/B\n", target).splitlines()[1] == "0:              0       1       "


def test_an_empty_line_repeats_only_if_asked_to(target):
    assert piped("0/B\n\n", target).count("\n") == 1
    sink = ListSink()
    session = Session(target, sink, sink)
    session.settings = Settings(flags={"repeatlast"})
    piped("0/B\n\n\n", session=session)
    assert sink.text() == "0:              0       \n1:              1       \n2:              2       \n"


def test_in_a_string_a_bare_expression_only_sets_dot(target):
    assert piped("0/B\n::eval '4'\n.=J\n", target).splitlines()[1:] == [f"{'':16}{'4':16}"]


def test_an_overflow_of_dot_ends_the_line_and_its_output(target):
    assert piped("7ffffffffffffff8,3/8+;1=J\n", target) == "kdbg: ',' would cause '.' to overflow\n"


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("1 2;3=J\n4=J\n", ['kdbg: syntax error on line 1 of (stdin) near "2"', "3", "4"]),
        ("nosuch=K;2=J\n", ["kdbg: failed to dereference symbol: operation not supported by target", "2"]),
        ("::nosuch;2=J\n", ["kdbg: invalid command '::nosuch': unknown dcmd name", "2"]),
        ("1 +\n2=J\n3=J\n", ['kdbg: syntax error on line 2 of (stdin) near "\\n"', "3"]),
        ("1 +;2=J\n3=J\n", ['kdbg: syntax error on line 1 of (stdin) near ";"', "3"]),
        ("-//x\n1=J\n2=J\n", ['kdbg: syntax error on line 2 of (stdin) near "//x\\n"', "2"]),
    ],
)
def test_an_error_costs_the_rest_of_its_statement(target, text, answer):
    assert [line.strip() for line in piped(text, target).splitlines()] == answer


def test_in_a_string_an_error_costs_all_the_rest(target):
    assert piped("::eval 'nosuch=K;2=J'\n3=J\n", target).splitlines()[1:] == [f"{'':16}{'3':16}"]


def test_only_one_character_can_be_given_back_on_a_pipe(target):
    # The lexer reads "0x=" before it knows that there is no number behind the x: the x is lost.
    assert piped("0x=J\n", target).strip() == "0"
    assert piped("::eval '0x=J'\n", target) == 'kdbg: syntax error on line 1 of (string) near "x"\n'


def test_comments(target):
    assert piped("1=J // one\n// two\n::echo a // three\n::echo a//b\n", target).splitlines()[1:] == ["a ", "a//b "]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ('a"b c"\'d\'', "ab cd "), (r'"\x41\t|"', "\\x41    | "), (r"'a\tb'", r"a\tb "), (r"a\;", "a\\ "),
        ("$[1+1]", "2 "),
        ("x$[1]y", "x 1 y "),
    ],
)  # fmt: skip
def test_words(target, text, shown):
    assert piped(f"::echo {text}\n", target).splitlines()[0] == shown


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("'a\n", "syntax error: ' unmatched on line 1 of (stdin) near \"'a\""),
        ('::echo "a\n', 'syntax error: " unmatched on line 1 of (stdin) near "\\"a"'),
        ("::echo $x\n", 'syntax error on line 1 of (stdin) near "$"'),
        ("::echo $[1\n", 'syntax error: $[ unmatched on line 2 of (stdin) near "\\n"'),
        ("0/'\n", 'syntax error on line 1 of (stdin) near "\'"'),
    ],
)
def test_quotes_that_do_not_close(target, text, said):
    assert piped(text, target).splitlines()[0] == f"kdbg: {said}"


def test_leaving_prints_an_empty_line_for_each_input(target):
    assert piped("$q\n1=J\n", target) == "\n<left>"
    assert piped("::eval '$q'\n", target) == "\n\n<left>"


def test_an_exception_of_ours_is_one_line(target):
    sink = ListSink()
    session = Session(target, sink, sink)

    def broken(call):
        raise ZeroDivisionError("of ours\nsecond line")

    from kdbg.dcmds.registry import Dcmd

    session.add_commands([Dcmd("broken", "breaks", broken)], [], "test")
    piped("::broken\n1=J\n", session=session)
    first, second = sink.text().splitlines()
    assert first.startswith("kdbg: internal error in ::broken: ZeroDivisionError: of ours second line")
    assert second.strip() == "1"


def test_an_interrupt_ends_the_command_and_the_session_goes_on(target):
    sink = ListSink()
    session = Session(target, sink, sink)

    def interrupted(call):
        raise KeyboardInterrupt

    from kdbg.dcmds.registry import Dcmd

    session.add_commands([Dcmd("forever", "never ends", interrupted)], [], "test")
    piped("::forever\n\n1=J\n", session=session)
    assert sink.text() == f"\n{'':16}{'1':16}\n"
