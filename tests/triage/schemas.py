"""What outputs are held against: kdbg's own schema, and others' where they are at hand.

JUnit.xsd (Windy Road), junit-10.xsd (Jenkins' xunit plug-in) and sarif-schema-2.1.0.json (OASIS) are their authors' and
not part of this project: they are taken from the folder that KDBG_SCHEMAS names, or ``schemas`` in the shared material.
What they say stands in `check_junit` and `check_sarif` as far as kdbg's outputs go, so that every clone tests it.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from jsonschema import Draft4Validator, Draft202012Validator

from kdbg.triage.schema import schema

DATE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d")
SUITE = {"name", "package", "id", "timestamp", "hostname", "tests", "failures", "errors", "time"}
OUTCOMES = {"failure": "failures", "error": "errors", "skipped": "skipped"}


def folder() -> Path | None:
    """The folder with others' schemas."""
    shared = os.environ.get("KDBG_SHARED")
    named = os.environ.get("KDBG_SCHEMAS") or (shared and str(Path(shared) / "schemas"))
    return Path(named) if named and Path(named).is_dir() else None


def theirs(name: str) -> Path:
    """One of others' schemas; the test is skipped without it."""
    where = folder()
    if where is None or not (where / name).exists():
        pytest.skip(f"{name} is not at hand (KDBG_SCHEMAS)")
    return where / name


def check_json(text: str) -> Any:
    """A report as JSON, strictly read, under the published schema."""

    def refuse(word: str) -> Any:
        raise AssertionError(word)

    told = json.loads(text, parse_constant=refuse)
    Draft202012Validator(schema()).validate(told)
    json.dumps(told, ensure_ascii=False).encode()  # no half of a pair: every strict reader takes it
    return told


def check_junit(text: str) -> list[ElementTree.Element]:
    """The suites of a document that keeps the rules of Windy Road's schema."""
    root = ElementTree.fromstring(text.encode())
    assert (root.tag, root.attrib) == ("testsuites", {})
    for number, suite in enumerate(root):
        assert set(suite.attrib) - {"skipped"} == SUITE
        assert (suite.tag, suite.get("id")) == ("testsuite", str(number))
        assert DATE.fullmatch(suite.get("timestamp", ""))
        assert suite.get("name")
        assert suite.get("hostname")
        cases = suite.findall("testcase")
        assert [one.tag for one in suite] == ["properties", *["testcase"] * len(cases), "system-out", "system-err"]
        for one in suite.iterfind("properties/property"):
            assert (one.get("name"), set(one.attrib)) == (one.get("name") or None, {"name", "value"})
        for case in cases:
            assert set(case.attrib) == {"name", "classname", "time"}
            assert float(case.get("time", "")) >= 0
            assert len(case) <= 1
            assert all(one.tag in OUTCOMES for one in case)
            assert all(one.get("type") is not None for one in case if one.tag != "skipped")
        assert suite.get("tests") == str(len(cases))
        for tag, count in OUTCOMES.items():
            assert suite.get(count) == str(len(suite.findall(f"testcase/{tag}")))
    return list(root)


def check_sarif(text: str) -> list[dict[str, Any]]:
    """The runs of a log that keeps the rules of SARIF 2.1.0 (sections 3.13, 3.14, 3.27) and those of code scanning."""
    log = json.loads(text)
    assert log["version"] == "2.1.0"
    for run in log["runs"]:
        rules = run["tool"]["driver"]["rules"]
        assert len({rule["id"] for rule in rules}) == len(rules)
        for result in run["results"]:
            assert rules[result["ruleIndex"]]["id"] == result["ruleId"]
            assert result["level"] in ("none", "note", "warning", "error")
            assert result["message"]["text"]
            place = result["locations"][0]["physicalLocation"]
            assert (
                run["artifacts"][place["artifactLocation"]["index"]]["location"]["uri"]
                == place["artifactLocation"]["uri"]
            )
            assert place["region"]["startLine"] >= 1
            assert result["partialFingerprints"]["primaryLocationLineHash"]
    return list(log["runs"])


def their_complaints(name: str, text: str) -> Iterator[str]:
    """What is wrong with a text by one of others' schemas."""
    path = theirs(name)
    if path.suffix == ".json":
        told = json.loads(path.read_text())
        yield from (error.message for error in Draft4Validator(told).iter_errors(json.loads(text)))
    else:
        etree = pytest.importorskip("lxml.etree")
        made = etree.XMLSchema(etree.parse(str(path)))
        made.validate(etree.fromstring(text.encode()))
        yield from map(str, made.error_log)
