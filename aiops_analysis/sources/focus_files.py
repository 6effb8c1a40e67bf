"""The files of a billing export, read in parts that fit in memory: CSV, gzip of it, Parquet, or a folder of them.

What a file is, is told by its first bytes. Foreign Parquet is never allowed to bring types of its own (reliability.md H13).
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aiops_analysis.core.errors import UsageError
from aiops_analysis.core.names import visible
from aiops_analysis.sources.focus_columns import columns_of

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["CHUNK", "chunks", "export_files", "shown"]

CHUNK = 1 << 20  # [bytes] of text read at a time; also the longest row
_ROW_BYTES = 128  # [bytes] a Parquet row is reckoned with
_HEADER = 1 << 20  # [bytes] the longest header
_ENDINGS = (".csv", ".csv.gz", ".parquet")
_UTF16 = (b"\xff\xfe", b"\xfe\xff")


def shown(path: Path) -> str:
    """A file's own name, safe to print."""
    return visible(path.name)


def export_files(path: Path) -> list[Path]:
    """The file itself, or every .csv, .csv.gz and .parquet below a folder in the order of their names.

    Hidden files and those that begin with ``_`` are left out. Raises UsageError where there is none.
    """
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise UsageError(f"there is no billing export at {visible(str(path))}")
    inner = [one for one in sorted(path.rglob("*")) if one.is_file() and one.name.lower().endswith(_ENDINGS)]
    files = [one for one in inner if not any(part.startswith((".", "_")) for part in one.relative_to(path).parts)]
    if not files:
        raise UsageError(f"the folder {visible(str(path))} holds no .csv, .csv.gz or .parquet file of a billing export")
    return files


def chunks(path: Path, *, tags: bool, chunk: int = CHUNK) -> Iterator[pa.RecordBatch]:
    """The rows of one file in their order, only the columns that are needed and under our names.

    chunk : bytes of text at a time; a Parquet batch has chunk / 128 rows. Raises UsageError in one line for what cannot be read.
    """
    import pyarrow as pa

    name = shown(path)
    try:
        with path.open("rb") as file:
            begin = file.read(4)
        if not begin:
            raise UsageError(f"{name} is empty (0 bytes)")
        yield from _parquet(path, tags, max(chunk // _ROW_BYTES, 1)) if begin == b"PAR1" else _text(path, begin, tags, chunk)
    except pa.ArrowInvalid as error:
        raise UsageError(f"{name} cannot be read: {_why(str(error))}") from error
    except pa.ArrowException as error:
        raise UsageError(f"{name} cannot be read ({type(error).__name__}): {visible(str(error), 120)}") from error
    except OSError as error:
        raise UsageError(f"{name} cannot be read: {_why(str(error))}") from error


def _why(text: str) -> str:
    """What an error of the reader means for the person who has the file."""
    known = {
        "Truncated compressed": "the gzip file ends too early; download it again",
        "zlib inflate failed": "the gzip file is damaged; download it again",
        "UTF8": "it is not UTF-8 text; export it as UTF-8",
        "straddl": "a row is longer than what is read at a time, or a quote is never closed",
        "Expected ": f"a row has another number of columns than the header ({visible(text[text.find('Expected') :], 60)})",
        "Parquet magic bytes not found": "the Parquet file is cut or damaged; download it again",
    }
    return next((meaning for part, meaning in known.items() if part in text), visible(text.split("\n", 1)[0], 160))


def _text(path: Path, begin: bytes, tags: bool, chunk: int) -> Iterator[pa.RecordBatch]:
    """The record batches of a CSV or of a gzip of one; every value is kept as it is written."""
    import pyarrow as pa
    from pyarrow import csv as arrow_csv

    compressed = begin[:2] == b"\x1f\x8b"
    with _opened(path, compressed) as stream:
        columns = columns_of(_header(stream, shown(path)), shown(path), tags=tags)
    wanted = list(columns.values())
    with _opened(path, compressed) as stream:
        reader = arrow_csv.open_csv(
            stream,
            arrow_csv.ReadOptions(block_size=max(chunk, 1 << 10)),
            arrow_csv.ParseOptions(newlines_in_values=True),
            arrow_csv.ConvertOptions(include_columns=wanted, column_types=dict.fromkeys(wanted, pa.string()), strings_can_be_null=False),
        )
        for batch in reader:
            yield batch.rename_columns(list(columns))


@contextmanager
def _opened(path: Path, compressed: bool) -> Iterator[Any]:
    import pyarrow as pa

    with pa.OSFile(str(path)) as file:
        if not compressed:
            yield file
            return
        with pa.CompressedInputStream(file, "gzip") as stream:
            yield stream


def _header(stream: Any, name: str) -> Sequence[str]:
    """The column names of the first line; raises UsageError for what is not comma-separated UTF-8 text."""
    raw = stream.read(_HEADER)
    if raw[:2] in _UTF16 or b"\x00" in raw[:4096]:
        raise UsageError(f"{name} is not UTF-8 text (UTF-16, or no text at all); export it as comma-separated UTF-8")
    line = raw.split(b"\n", 1)[0].strip()
    if not line:
        raise UsageError(f"{name} has no header; the first line must name the columns")
    try:
        names = next(csv.reader([line.decode("utf-8-sig")]))
    except (UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"{name} has no header of UTF-8 text; is it a FOCUS export?") from error
    if len(names) == 1 and any(mark in names[0] for mark in ";\t|"):
        raise UsageError(f"{name} is not separated by commas: its header begins {visible(names[0], 40)!r}; export it comma-separated")
    return names


def _parquet(path: Path, tags: bool, rows: int) -> Iterator[pa.RecordBatch]:
    """The record batches of a Parquet file; raises UsageError for a column of a type that is not plain."""
    import pyarrow as pa
    from pyarrow import parquet

    with parquet.ParquetFile(path, memory_map=False, pre_buffer=False, buffer_size=1 << 20, page_checksum_verification=True) as file:
        schema = file.schema_arrow
        columns = columns_of(schema.names, shown(path), tags=tags)
        for name in columns.values():
            kind = schema.field(name).type
            if isinstance(kind, pa.BaseExtensionType) or (pa.types.is_nested(kind) and name != "Tags"):
                raise UsageError(f"{shown(path)}: the column {name} is of the type {visible(str(kind), 60)}, which is not read")
        for batch in file.iter_batches(batch_size=rows, columns=list(columns.values())):
            yield batch.select(list(columns.values())).rename_columns(list(columns))
