"""Prices from a file: which format it is of is told by its content, and what is no price list is refused by what it is."""

from __future__ import annotations

import csv
import gzip
import io
import json
import re
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from aiops_analysis.core.errors import UsageError
from aiops_analysis.core.names import visible
from aiops_analysis.core.pricing import PriceList
from aiops_analysis.sources.price_cells import CellError, currency_code, refuse
from aiops_analysis.sources.price_lists import csv_reader, is_json_list, list_of_json
from aiops_analysis.sources.price_sheet import COLUMNS, UNITS, is_sheet, sheet_of_rows, sheet_of_toml

__all__ = ["read_prices"]

_LARGEST = 64 * 2**20  # bytes, unpacked; the largest public list has 3 MiB
_EXPECTED = "expected a price sheet (TOML or CSV) or a public list (AWS table of Karpenter, Azure, Google Cloud, Oracle, OpenCost)"


def read_prices(path: Path, *, currency: str = "USD") -> PriceList:
    """The price list of a file, which may be packed with gzip; ``currency`` is of a file that names none.

    Raises UsageError of one line: what is wrong and where, or what the file is when it is no price list.
    """
    try:
        code = currency_code(currency)
    except CellError as error:
        raise UsageError(str(error)) from error
    text = _text(path)
    name = visible(path.name, 80)
    if text.lstrip()[:1] == "{" and (data := _json(text)) is not None:
        if not is_json_list(data):
            raise UsageError(f"{name} is JSON, but no price list that is known here; {_EXPECTED}")
        return list_of_json(data, path, code)
    header, lines = _table(text, name)
    try:
        reader = csv_reader(header)
    except UsageError as error:
        raise UsageError(f"{name}: {error}") from error
    if reader is not None:
        return reader(lines(), path, code)
    if len(header) > 1 and is_sheet(header):
        return sheet_of_rows(lines(), header, path, code)
    if _is_toml(text):
        return sheet_of_toml(text, path, code)
    raise UsageError(f"{name} is no price list: {_what(text, header)}; {_EXPECTED}")


def _text(path: Path) -> str:
    """The file's text. Raises UsageError for one that cannot be read, is too large, or is no UTF-8."""
    name = visible(path.name, 80)
    try:
        if not path.is_file():
            raise UsageError(f"the price file {path} is not there" if not path.exists() else f"the price file {path} is not a file")
        with path.open("rb") as file:
            data = file.read(_LARGEST + 1)
        if data[:2] == b"\x1f\x8b":
            with gzip.GzipFile(fileobj=io.BytesIO(data)) as packed:
                data = packed.read(_LARGEST + 1)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise UsageError(f"{name} is a damaged gzip file ({type(error).__name__})") from error
    except OSError as error:
        raise UsageError(f"the price file {path} cannot be read ({error.strerror or type(error).__name__})") from error
    if len(data) > _LARGEST:
        raise UsageError(f"{name} is larger than {_LARGEST // 2**20} MiB, which no price list is")
    if b"\x00" in data:
        raise UsageError(f"{name} is no text file in UTF-8; save it as CSV (UTF-8) or TOML")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError(f"{name} is not UTF-8 text (byte {error.start}); save it as CSV (UTF-8) or TOML") from error


def _json(text: str) -> Any | None:
    """The JSON of a text, None when it is none; a number that JSON does not have is none of a price either."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


class _Lines:
    """The rows of a table, read when they are asked for."""

    def __init__(self, reader: Any, header: Sequence[str], name: str) -> None:
        self._reader, self._header, self._name = reader, header, name

    def __call__(self) -> list[tuple[int, Mapping[str, str]]]:
        """Line number and cells by column. Raises UsageError for rows with more or fewer cells than the header, and for broken CSV."""
        found: list[tuple[int, Mapping[str, str]]] = []
        problems = []
        try:
            for cells in self._reader:
                line = self._reader.line_num
                if not any(cell.strip() for cell in cells):
                    continue
                if len(cells) != len(self._header):
                    hint = "; a decimal comma splits a cell in two" if len(cells) > len(self._header) else ""
                    problems.append((f"{self._name}, line {line}", f"{len(cells)} cells, the header has {len(self._header)}{hint}"))
                else:
                    found.append((line, dict(zip(self._header, cells, strict=True))))
        except csv.Error as error:
            raise UsageError(f"{self._name}, line {self._reader.line_num}: broken CSV ({visible(str(error), 80)})") from error
        refuse(problems)
        if not found:
            raise UsageError(f"{self._name} has a header and no row")
        return found


def _table(text: str, name: str) -> tuple[list[str], _Lines]:
    """The header of a CSV, separated by comma, semicolon or tab, and its rows."""
    first = text[:4096].split("\n", 1)[0]
    separator = max(",;\t", key=first.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    try:
        header = [cell.strip() for cell in next(reader, [])]
    except csv.Error:
        header = []
    twice = sorted({column for column in header if column and header.count(column) > 1})
    if twice and is_sheet(header):
        raise UsageError(f"{name}, line 1: the column {visible(twice[0], 60)!a} is there twice")
    return header, _Lines(reader, header, name)


def _is_toml(text: str) -> bool:
    """Whether a text has a line as a TOML sheet has: a known key, or a table."""
    for line in text.splitlines():
        key = line.split("=", 1)[0].strip() if "=" in line else ""
        if re.match(r"\s*\[{1,2}\s*[\w\"']", line) or (key and (key in (*UNITS, *COLUMNS, "name") or " " not in key)):
            return True
    return False


def _what(text: str, header: Sequence[str]) -> str:
    """What an unknown text looks like."""
    if not text.strip():
        return "it is empty"
    lines = [line.strip() for line in text.splitlines()[:4000]]
    if any(line.startswith(("cpu:", "ram:")) for line in lines) and len(header) < 2:
        return "it is YAML of machine sizes (cpu, ram) without a price"
    if text.lstrip()[:1] == "<":
        return "it is HTML or XML"
    if text.lstrip()[:1] in ("{", "["):
        return "it is broken JSON"
    if len(header) > 1:
        return f"it is a table with the columns {', '.join(ascii(visible(column, 30))[1:-1] for column in header[:6])}"
    return f"it begins with {visible(' '.join(text[:200].split()), 60)!a}"
