"""The published schema is current, and what `kdbg triage` says of any dump is valid by it: whole, real and damaged."""

from __future__ import annotations

import json
import lzma
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from fuzz.mutations import mutated
from processes import unpacked as process

import kdbg
from kdbg.triage import triage
from kdbg.triage.report import SCHEMA, Report
from kdbg.triage.schema import plain, schema
from kdbg.triage.views import FORMATS, view
from samples import unpack
from triage.reports import deadlock
from triage.schemas import check_json, check_junit, check_sarif

ROOT = Path(__file__).parent.parent.parent
PUBLISHED = ROOT / "docs" / "triage.schema.json"
REAL = ROOT / "samples" / "real"
SEEDS = 12


def check(report: Report) -> Any:
    """All views of a report, each held against its schema; the JSON as it is read back."""
    made = {form: view(form)(report) for form in FORMATS}
    check_junit(made["junit"])
    check_sarif(made["sarif"])
    return check_json(made["json"])


def of(path: Path) -> Any:
    """What a triage of a file says."""
    with kdbg.open(path) as target:
        return check(target.triage(budget=5))


# The schema


def test_the_published_schema_is_current() -> None:
    told = json.loads(PUBLISHED.read_text())
    assert told == schema(), f"python -m kdbg.triage.schema > {PUBLISHED.relative_to(ROOT)}"


def test_the_schema_is_one_and_has_its_version() -> None:
    jsonschema.Draft202012Validator.check_schema(schema())
    assert schema()["properties"]["schema"] == {"const": SCHEMA}
    assert str(SCHEMA) in schema()["$id"]


@pytest.mark.parametrize(
    "change",
    [
        lambda told: told.pop("verdict"),
        lambda told: told["verdict"].update(kind="boredom"),
        lambda told: told["findings"][0].update(threads=[12]),
        lambda told: told["findings"][0].update(threads=["ffff"]),
        lambda told: told["findings"][0].update(severity="fatal"),
        lambda told: told["identity"].update(pages="many"),
        lambda told: told.update(schema=SCHEMA + 1),
        lambda told: told["memory"].update(cells=None),
    ],
)
def test_what_is_wrong_is_not_valid(change: Callable[[Any], Any]) -> None:
    told = plain(Report, deadlock())
    jsonschema.validate(told, schema())
    change(told)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(told, schema())


def test_a_report_may_get_fields_and_lack_those_that_came_later() -> None:
    told = plain(Report, deadlock())
    told["mood"] = "gloomy"
    del told["findings"][0]["analyser"], told["memory"]["table_cells"]
    jsonschema.validate(told, schema())


def test_numbers_of_any_size_are_addresses() -> None:
    told = plain(
        Report,
        replace(deadlock(), stacks=(), locks=(), findings=(replace(deadlock().findings[0], threads=(-1, 1 << 70)),)),
    )
    assert told["findings"][0]["threads"] == ["0xffffffffffffffff", "0x0"]
    jsonschema.validate(told, schema())


# Dumps


@pytest.mark.parametrize("name", unpack.names())
def test_samples(unpacked: Callable[[str], Path], name: str) -> None:
    told = of(unpacked(name))
    assert told["identity"]["file"].endswith(name)
    assert told["verdict"]["kind"] == ("panic" if "panic" in name else told["verdict"]["kind"])
    assert told["memory"]["present"] == told["identity"]["pages"]


def test_threads_that_a_report_has_are_named(unpacked: Callable[[str], Path]) -> None:
    told = of(unpacked("domu-panic.elf"))
    names = {one["address"]: one["name"] for one in told["threads"]}
    assert names[told["cpus"][0]["thread"]].startswith("bash")
    assert names[told["thread"]["address"]] == told["thread"]["name"]


@pytest.mark.parametrize("packed", sorted(REAL.glob("*.xz")), ids=lambda path: path.stem)
def test_real_dumps(tmp_path: Path, packed: Path) -> None:
    path = tmp_path / packed.stem
    path.write_bytes(lzma.decompress(packed.read_bytes()))
    assert of(path)["identity"]["kernel"].startswith("Linux ")


@pytest.mark.parametrize("name", ["smash.core", "cut.core", "threads.core"])
def test_cores_of_processes(name: str) -> None:
    told = of(process(name))
    assert told["memory"] is None


@pytest.mark.parametrize("name", ["domu-panic.elf", "domu32.core", "hvm.elf", "xen-tiny-pvh.core"])
def test_damaged_dumps(unpacked: Callable[[str], Path], tmp_path: Path, name: str) -> None:
    whole, path = unpacked(name).read_bytes(), tmp_path / "dump"
    opened = 0
    for seed in range(SEEDS):
        path.write_bytes(mutated(whole, seed))
        try:
            target = kdbg.open(path)
        except kdbg.Error:
            continue
        with target:
            check(triage(target, budget=1))
            opened += 1
    assert opened > SEEDS / 4


@pytest.mark.parametrize("share", [0.2, 0.5, 0.9])
def test_dumps_that_are_cut_off(unpacked: Callable[[str], Path], tmp_path: Path, share: float) -> None:
    whole, path = unpacked("domu-sxc16.elf").read_bytes(), tmp_path / "dump"
    path.write_bytes(whole[: int(len(whole) * share)])
    told = of(path)
    assert not told["identity"]["complete"]
    assert "." in told["memory"]["cells"]
