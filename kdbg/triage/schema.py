"""The JSON of a report and its JSON Schema (draft 2020-12), both read from the records' own fields.

``docs/triage.schema.json`` is what `schema` gives; ``python -m kdbg.triage.schema`` prints it.
"""

from __future__ import annotations

import enum
import functools
import math
import re
import types
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

from kdbg.lang.visible import visible
from kdbg.triage.report import SCHEMA, Report

IDENT = "https://kdbg.invalid/schema/triage-{version}.json"
DRAFT = "https://json-schema.org/draft/2020-12/schema"
_HALVES = re.compile("[\ud800-\udfff]+")
ADDRESS = {"type": "string", "pattern": "^0x[0-9a-f]+$"}


@functools.cache
def _hints(record: type) -> dict[str, Any]:
    return get_type_hints(record, include_extras=True)


def plain(hint: Any, value: Any) -> Any:
    r"""A value of a field with that type as JSON has it.

    Texts stay as kdbg has them (a character up to U+00FF may stand for a byte); halves of surrogate pairs, which no
    strict reader takes, become the ``\ooo`` of their bytes; numbers that are none (NaN, infinity) become null.
    """
    if value is None:
        return None
    origin = get_origin(hint)
    if origin is Annotated:
        return f"0x{value % (1 << 64):x}"
    if origin in (Union, types.UnionType):
        return plain(next(one for one in get_args(hint) if one is not type(None)), value)
    if origin is tuple:
        return [plain(get_args(hint)[0], one) for one in value]
    if isinstance(value, Mapping):
        return {_text(str(key)): plain(get_args(hint)[1], one) for key, one in value.items()}
    if is_dataclass(hint):
        names = _hints(hint)  # type: ignore[arg-type]
        return {field.name: plain(names[field.name], getattr(value, field.name)) for field in fields(hint)}
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return _text(value) if isinstance(value, str) else value


def _text(text: str) -> str:
    return _HALVES.sub(lambda found: visible(found[0]), text)


def schema() -> dict[str, Any]:
    """The schema of a report."""
    definitions: dict[str, Any] = {}
    root = _of(Report, definitions)
    return {
        "$schema": DRAFT,
        "$id": IDENT.format(version=SCHEMA),
        "title": "The triage of a dump by kdbg",
        **root,
        "description": f"Version {SCHEMA}. It may get further fields without a new version: do not refuse them.",
        "$defs": definitions,
    }


def _of(hint: Any, definitions: dict[str, Any]) -> dict[str, Any]:
    origin = get_origin(hint)
    if origin is Annotated:
        return dict(ADDRESS)
    if origin in (Union, types.UnionType):
        return {"anyOf": [_of(one, definitions) for one in get_args(hint)]}
    if origin is tuple:
        return {"type": "array", "items": _of(get_args(hint)[0], definitions)}
    if origin is not None:  # a mapping
        return {"type": "object", "additionalProperties": _of(get_args(hint)[1], definitions)}
    if is_dataclass(hint):
        return _record(hint, definitions)  # type: ignore[arg-type]
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        return {"type": "string", "enum": [one.value for one in hint]}
    return {"type": {str: "string", bool: "boolean", int: "integer", float: "number", type(None): "null"}[hint]}


def _record(record: type, definitions: dict[str, Any]) -> dict[str, Any]:
    if record.__name__ not in definitions:
        definitions[record.__name__] = {}
        names = _hints(record)
        definitions[record.__name__] = {
            "type": "object",
            "description": (record.__doc__ or "").split("\n")[0],
            "properties": {name: _of(names[name], definitions) for name in names},
            # Those with a default may have come later: a report of an older kdbg lacks them, and is none the worse.
            "required": sorted(
                one.name for one in fields(record) if one.default is MISSING and one.default_factory is MISSING
            ),
        }
    if record is Report:
        made: dict[str, Any] = definitions.pop(record.__name__)
        made["properties"]["schema"] = {"const": SCHEMA}
        return made
    return {"$ref": f"#/$defs/{record.__name__}"}


if __name__ == "__main__":
    import json

    print(json.dumps(schema(), indent=1))
