"""Tables in Parquet and Arrow: `metadata.parquet`, the shards of Hugging Face's `datasets`, its `save_to_disk`.

Columns mean what they mean in a CSV (`columns.py`); numbers of a `ClassLabel` become its names, which the schema holds.
A column `audio` with `path` and `bytes` names the file by its path. Recordings whose bytes lie in the table are passed
over: they are no files of the inbox, and one message says how many there are; their rows still say whose they are, so
that an erasure finds them.
Source: Arrow's IPC formats (stream and file); `datasets.Features`, stored in the schema under the key `huggingface`.
"""

import json
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from voicemill.storage.inbox.transcripts.columns import KNOWN, roles_of
from voicemill.storage.inbox.transcripts.delimited import described
from voicemill.storage.inbox.transcripts.rows import Description, MetadataRow, Source

COLUMNAR = (".parquet", ".arrow")
MOST_UNPACKED = 1 << 29
"""Bytes of the columns that are read, unpacked."""
MOST_ROWS = 2_000_000
_READ = frozenset({"file", "text", "speaker", "language", "mixed", "offset", "duration", "end"})


def read_columnar(source: Source, data: bytes) -> Iterator[MetadataRow]:
    """Rows of a table in Parquet or Arrow; the number of a row, from 1, stands for its line.

    Raises:
        ValueError: it is neither, is damaged, or unpacks to more than is read.
    """
    import pyarrow as pa

    try:
        table, inside = _table(data)
    except (pa.ArrowException, OSError, NotImplementedError) as error:
        raise ValueError(f"no table in Parquet or Arrow, or a damaged one ({error})") from error
    roles = roles_of(table.column_names)
    if "file" not in roles or len(roles) < 2:
        names = ", ".join(map(str, table.column_names[:20]))
        source.refuse(1, f"its columns ({names}) do not name files and what is said in them: not read; {KNOWN}", [])
        return
    labels = _labels(table.schema)
    columns = [[_cell(value, labels.get(name)) for value in table[name].to_pylist()] for name in table.column_names]
    lost = 0
    for at in range(table.num_rows):
        row = described(source, roles, {n: column[at] for n, column in enumerate(columns)}, at + 1, at + 2)
        if inside[at] and not (row.file and source.names_audio(row.file)):
            lost += 1
            about = Description(row.description.speaker)
            row = MetadataRow(line=row.line, stop=row.stop, file=row.file, description=about, listed=True)
        yield row
    if lost:
        source.problem(
            0,
            f"{lost:,} recordings lie inside the table, and are passed over: write them as files, with a metadata.csv "
            "beside them, as storage/README.md shows",
            always=True,
        )


def without_rows(data: bytes, rows: Collection[int]) -> bytes:
    """Bytes of the table without these rows, from 1, in its own format; b"" where none is left.

    Raises:
        ValueError: it cannot be read.
    """
    import io

    import pyarrow as pa
    import pyarrow.parquet as pq

    out = io.BytesIO()
    try:
        whole = pq.read_table(pa.BufferReader(data)) if data.startswith(b"PAR1") else _arrow(data)
        kept = whole.take(pa.array([at for at in range(whole.num_rows) if at + 1 not in rows], pa.int64()))
        if not kept.num_rows:
            return b""
        if data.startswith(b"PAR1"):
            group = pq.ParquetFile(pa.BufferReader(data)).metadata.row_group(0)
            packing = group.column(0).compression if group.num_columns else "SNAPPY"
            pq.write_table(kept, out, compression="NONE" if packing == "UNCOMPRESSED" else packing)
        else:
            new = pa.ipc.new_file if data.startswith(b"ARROW1") else pa.ipc.new_stream
            with new(out, kept.schema) as writer:
                writer.write_table(kept)
    except (pa.ArrowException, OSError, NotImplementedError) as error:
        raise ValueError(f"no table in Parquet or Arrow, or a damaged one ({error})") from error
    return out.getvalue()


def _table(data: bytes) -> tuple[Any, list[bool]]:
    """The columns that are read, and of each row whether the bytes of its recording lie in the table."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    if data.startswith(b"PAR1"):
        file = pq.ParquetFile(pa.BufferReader(data))
        wanted = [name for name in file.schema_arrow.names if _READ & roles_of([name]).keys()]
        groups = [file.metadata.row_group(at) for at in range(file.num_row_groups)]
        chunks = [group.column(at) for group in groups for at in range(group.num_columns)]
        parts = [
            c for c in chunks if (path := c.path_in_schema).split(".")[0] in wanted and not path.endswith(".bytes")
        ]
        if file.metadata.num_rows > MOST_ROWS or sum(c.total_uncompressed_size for c in parts) > MOST_UNPACKED:
            raise ValueError(f"over {MOST_ROWS:,} rows, or {MOST_UNPACKED >> 20} MB unpacked: split it")
        table = file.read(sorted({c.path_in_schema for c in parts}))
        held = {c.path_in_schema.split(".")[0] for c in chunks if c.path_in_schema.endswith(".bytes")}
        inside = [False] * table.num_rows
        for name in held & set(wanted):
            column = file.read([f"{name}.bytes"])[name].combine_chunks()
            inside = [a or b for a, b in zip(inside, pc.is_valid(column.field("bytes")).to_pylist(), strict=True)]
    else:
        whole = _arrow(data)
        table = whole.select([name for name in whole.column_names if _READ & roles_of([name]).keys()])
        if table.num_rows > MOST_ROWS:
            raise ValueError(f"over {MOST_ROWS:,} rows: split it")
        inside = [False] * table.num_rows
        for name in table.column_names:
            if pa.types.is_struct(kind := table.schema.field(name).type) and kind.get_field_index("bytes") >= 0:
                column = table[name].combine_chunks()
                inside = [a or b for a, b in zip(inside, pc.is_valid(column.field("bytes")).to_pylist(), strict=True)]
    for at, name in enumerate(table.column_names):
        kind = table.schema.field(name).type
        if pa.types.is_struct(kind) and kind.get_field_index("path") >= 0:
            column = table[name].combine_chunks()
            column = column.chunk(0) if isinstance(column, pa.ChunkedArray) else column
            table = table.set_column(at, name, column.field("path"))
    return table, inside


def _arrow(data: bytes) -> Any:
    import pyarrow as pa

    reader = pa.ipc.open_file if data.startswith(b"ARROW1") else pa.ipc.open_stream
    return reader(pa.BufferReader(data)).read_all()


def _labels(schema: Any) -> Mapping[str, list[str]]:
    """Column -> names of its numbers, of the columns that `datasets` calls ClassLabel."""
    try:
        features = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))["info"]["features"]
        return {name: list(kind["names"]) for name, kind in features.items() if kind.get("_type") == "ClassLabel"}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}


def _cell(value: object, names: list[str] | None) -> str:
    """Value as the text of a cell; "" for bytes, lists, objects and null."""
    if names and isinstance(value, int) and 0 <= value < len(names):
        return str(names[value])
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value) if isinstance(value, str | int | float) else ""
