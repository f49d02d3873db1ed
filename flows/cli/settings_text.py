"""Settings as TOML that can be read back: every value with its line of help above it."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel


def as_toml(settings: BaseModel) -> str:
    """All settings, those of one table after the other."""
    return "\n".join(_table(settings, "")).lstrip("\n")


def _table(settings: BaseModel, name: str) -> Iterator[str]:
    """Plain values before the tables within: in TOML whatever follows the head of a table belongs to it."""
    if name:
        yield f"[{name}]"
    within: dict[str, BaseModel] = {}
    for field, about in type(settings).model_fields.items():
        value, place = getattr(settings, field), f"{name}.{field}" if name else field
        if isinstance(value, BaseModel):
            within[place] = value
        elif isinstance(value, dict) and any(isinstance(item, BaseModel) for item in value.values()):
            within |= {f"{place}.{json.dumps(key)}": item for key, item in value.items()}
        else:
            yield from (f"# {line}" for line in (about.description or "").splitlines())
            yield f"{field} = {_literal(value)}" if value is not None else f"# {field} is not set"
    yield ""
    for place, table in within.items():
        yield from _table(table, place)


def _literal(value: Any) -> str:
    """JSON's literals are TOML's, for everything that a setting may be, but for objects."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{json.dumps(key)} = {_literal(item)}" for key, item in value.items()) + "}"
    return json.dumps(list(value) if isinstance(value, tuple) else value, ensure_ascii=False)
