"""Lines, columns, margins: what a stream of text does."""

from __future__ import annotations

import os

from kdbg.lang.output import FileSink, ListSink, Output


def output(**details) -> tuple[Output, ListSink]:
    sink = ListSink()
    return Output(sink, **details), sink


def test_lines_go_out_when_they_end():
    out, sink = output()
    out.write("one\ntwo")
    assert sink.pieces == ["one\n"]
    out.end_line()
    assert sink.pieces == ["one\n", "two\n"]


def test_tabs_become_blanks():
    out, sink = output()
    out.write("a\tb\n")
    assert sink.text() == "a       b\n"


def test_lines_are_broken_where_that_is_asked_for():
    out, sink = output(columns=10)
    out.wrap = True
    out.write("abcdefghijkl\n")
    assert sink.text() == "abcdefghij\nkl\n"


def test_a_field_goes_whole_to_the_next_line():
    out, sink = output(columns=10)
    out.wrap = True
    for text in ("aaa", "bbb", "ccc"):
        out.field(text, 4, left=True)
    out.newline()
    assert sink.text() == "aaa bbb \nccc \n"


def test_padding_that_would_fill_the_line_ends_it():
    out, sink = output(columns=8)
    out.wrap = True
    out.field("aaa", 8, left=True)
    out.field("b", 8, left=True)
    assert sink.text() == "aaa\nb\n"


def test_indented_lines_begin_with_the_margin_and_a_mere_margin_goes():
    out, sink = output()
    out.indent()
    out.write("a\nb\n")
    out.indent(False)
    out.end_line()
    assert sink.text() == f"{'':16}a\n{'':16}b\n"


def test_margins_add_up():
    out, sink = output()
    out.indent_by(4)
    out.indent_by(4)
    out.write("a\n")
    out.unindent_by(4)
    out.write("b\n")
    out.unindent_by(4)
    out.write("c\n")
    assert sink.text() == "        a\n    b\nc\n"


def test_an_error_comes_before_the_unfinished_line_and_after_the_finished_ones():
    reader, writer = os.pipe()
    standard = FileSink(writer)
    out, errors = Output(standard), Output(FileSink(writer, standard))
    out.write("finished\nunfinished")
    errors.write("kdbg: wrong\n")
    out.end_line()
    standard.flush()
    os.close(writer)
    with os.fdopen(reader) as stream:
        assert stream.read() == "finished\nkdbg: wrong\nunfinished\n"


def test_long_unfinished_lines_are_not_kept_for_ever():
    out, sink = output()
    out.write("x" * 5000)
    assert sum(map(len, sink.pieces)) >= 3000
