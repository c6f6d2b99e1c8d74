"""The tables of names hold what the modules declare, and every dcmd says what it is for."""

from __future__ import annotations

import importlib

import pytest

from kdbg.dcmds import DUMP, FILES, KERNELS, LANGUAGE, MACHINE, declared, find_dcmd, find_walker, group_of
from kdbg.errors import CommandError
from kdbg.nothing import NoProcess

TABLES = {"language": LANGUAGE, "dump": DUMP, "machine": MACHINE, "files": FILES} | {
    kernel: importlib.import_module(f"kdbg.dcmds.{kernel}").DCMDS for kernel in KERNELS
}
WALKERS = {kernel: importlib.import_module(f"kdbg.dcmds.{kernel}").WALKERS for kernel in KERNELS}
ROWS = [(path, names) for table in TABLES.values() for path, names in table.items()]
WALKER_ROWS = [(path, names) for table in WALKERS.values() for path, names in table.items()]


@pytest.mark.parametrize(("path", "names"), ROWS, ids=[path for path, _ in ROWS])
def test_each_dcmd_of_a_table_is_declared_and_described(path, names):
    found = {one.name: one for one in declared(importlib.import_module(path), "dcmds")}
    assert set(names) <= set(found)
    for name in names:
        assert found[name].summary
        assert all(option.help for option in found[name].options), name
        letters = [option.letter for option in found[name].options]
        assert len(letters) == len(set(letters)), name


@pytest.mark.parametrize(("path", "names"), WALKER_ROWS, ids=[path for path, _ in WALKER_ROWS])
def test_each_walker_of_a_table_is_declared_and_described(path, names):
    found = {one.name: one for one in declared(importlib.import_module(path), "walkers")}
    assert set(names) <= set(found)
    assert all(found[name].summary for name in names)


def test_nothing_is_declared_that_no_table_has():
    paths = {path for path, _ in ROWS}
    listed = {name for _, names in ROWS for name in names}
    for path in paths:
        assert {one.name for one in declared(importlib.import_module(path), "dcmds")} <= listed, path


def test_no_name_stands_twice_in_a_table():
    for table in (*TABLES.values(), *WALKERS.values()):
        names = [name for group in table.values() for name in group]
        assert len(names) == len(set(names))


def test_unknown_names():
    with pytest.raises(CommandError, match="unknown dcmd name"):
        find_dcmd("nosuch", NoProcess())
    with pytest.raises(CommandError, match="unknown walk name"):
        find_walker("nosuch", NoProcess())


def test_groups():
    assert group_of(find_dcmd("echo", NoProcess())) == "kdbg"
