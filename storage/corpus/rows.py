"""Conversion between records and Arrow tables: the schema of a record is derived from its annotations."""

import dataclasses
import types
import typing
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from enum import Enum
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa

from voicemill.storage.errors import StoreDamaged

R = TypeVar("R")

_PRIMITIVES: dict[type, pa.DataType] = {
    str: pa.string(),
    int: pa.int64(),
    float: pa.float64(),
    bool: pa.bool_(),
    bytes: pa.large_binary(),
}


def _required(annotation: Any) -> Any:
    """The type X of `X | None`, else the type itself."""
    if typing.get_origin(annotation) in (types.UnionType, typing.Union):
        (annotation,) = (part for part in typing.get_args(annotation) if part is not types.NoneType)
    return annotation


def _arrow_type(annotation: Any) -> pa.DataType:
    annotation = _required(annotation)
    if typing.get_origin(annotation) is tuple:
        return pa.list_(_arrow_type(typing.get_args(annotation)[0]))
    if dataclasses.is_dataclass(annotation):
        return pa.struct(list(schema_of(annotation)))
    if issubclass(annotation, Enum):
        return pa.string()
    return _PRIMITIVES[annotation]


def schema_of(record: Any) -> pa.Schema:
    """The Arrow schema of a record: str, int, float, bool, bytes, enums of str, `X | None`, tuples, nested records."""
    return _schema_of(record)


@cache
def _schema_of(record: Any) -> pa.Schema:
    hints = typing.get_type_hints(record)
    return pa.schema([pa.field(f.name, _arrow_type(hints[f.name])) for f in dataclasses.fields(record)])


def to_table(rows: Iterable[R], record: type[R]) -> pa.Table:
    """Table of records, one row each, in their order."""
    rows = list(rows)
    schema = schema_of(record)
    columns = [pa.array([_plain(getattr(row, f.name)) for row in rows], type=f.type) for f in schema]
    return pa.Table.from_arrays(columns, schema=schema)


def _plain(value: Any) -> Any:
    if isinstance(value, Enum):
        return value.value
    if dataclasses.is_dataclass(value):
        return {f.name: _plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value


def from_table(table: pa.Table, record: type[R]) -> list[R]:
    """Records of a table: the inverse of `to_table`."""
    hints = typing.get_type_hints(record)
    names = [field.name for field in dataclasses.fields(typing.cast(Any, record))]
    columns = [[_revive(value, hints[name]) for value in table.column(name).to_pylist()] for name in names]
    return [record(**dict(zip(names, values, strict=True))) for values in zip(*columns, strict=True)]


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn errors of reading a damaged file of the store into one that names it.

    Raises:
        StoreDamaged: the file is missing, or does not hold what it should.
    """
    try:
        yield
    except FileNotFoundError:
        raise StoreDamaged(path, "is missing") from None
    except (pa.ArrowException, ValueError, KeyError, TypeError) as error:
        raise StoreDamaged(path, f"cannot be read ({error})") from error
    except OSError as error:
        if error.errno is not None:  # the operating system refused it; Arrow raises OSError for data too
            raise
        raise StoreDamaged(path, f"cannot be read ({error})") from error


def completed(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """Columns of `schema` in its order; a column that an older file lacks is null."""
    columns = [table[f.name] if f.name in table.column_names else pa.nulls(len(table), f.type) for f in schema]
    return pa.Table.from_arrays(columns, schema=schema)


def _revive(value: Any, annotation: Any) -> Any:
    if value is None:
        return None
    annotation = _required(annotation)
    if typing.get_origin(annotation) is tuple:
        inner = typing.get_args(annotation)[0]
        return tuple(_revive(item, inner) for item in value)
    if dataclasses.is_dataclass(annotation):
        hints = typing.get_type_hints(annotation)
        return typing.cast(type, annotation)(**{name: _revive(item, hints[name]) for name, item in value.items()})
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return annotation(value)
    return value
