"""Values of a FOCUS export as they are meant: NULL in words, numbers in text, times without a zone (methods.md B6).

A value that cannot be one is refused with its row; nothing is guessed.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np

from aiops_analysis.core.errors import UsageError
from aiops_analysis.core.names import visible

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Values"]

_NOTHING = ("", "NULL", "null", "Null")
_KNOWN = 200_000  # times remembered; an export of hours has 744 a month


class Values:
    """Reads the columns of one file's batches; ``where`` names the file in errors."""

    def __init__(self, where: str) -> None:
        self.where, self._times = where, {}  # type: tuple[str, dict[str, int]]

    def texts(self, batch: pa.RecordBatch, name: str) -> pa.Array:
        """A column as text, null where nothing is written; all null where the export has no such column."""
        import pyarrow as pa
        import pyarrow.compute as pc

        if name not in batch.schema.names:
            return pa.nulls(len(batch), pa.string())
        column = batch.column(name)
        if pa.types.is_nested(column.type):
            return pa.array([None if one is None else json.dumps(dict(one)) for one in column.to_pylist()], pa.string())
        plain = pc.utf8_trim_whitespace(column.cast(pa.string()))
        return pc.if_else(pc.is_in(plain, value_set=pa.array(_NOTHING)), pa.scalar(None, pa.string()), plain)

    def numbers(self, batch: pa.RecordBatch, name: str, first: int) -> np.ndarray:
        """A column as float64, NaN where nothing is written.

        first : number of the batch's first row. Raises UsageError with the row for what is no number, or not finite.
        """
        import pyarrow as pa
        import pyarrow.compute as pc

        column = batch.column(name)
        number = pa.types.is_floating(column.type) or pa.types.is_integer(column.type) or pa.types.is_decimal(column.type)
        plain = column if number else self.texts(batch, name)
        try:
            values = pc.cast(plain, pa.float64(), safe=False)
        except pa.ArrowInvalid:
            raise self._no_number(plain, name, first) from None
        out = values.to_numpy(zero_copy_only=False).astype(float)
        wrong = ~np.isfinite(out) & values.is_valid().to_numpy(zero_copy_only=False)
        if wrong.any():
            place = int(np.flatnonzero(wrong)[0])
            raise UsageError(f"{self.where}: {name} in row {first + place + 1} is {visible(str(plain[place]), 40)!r}, which is no amount")
        return out

    def _no_number(self, plain: pa.Array, name: str, first: int) -> UsageError:
        """The error that names the first value that is no number."""
        import pyarrow as pa

        for place, text in enumerate(plain):
            try:
                text.cast(pa.float64())
            except pa.ArrowInvalid:
                hint = "; a decimal mark is a point" if "," in text.as_py() else ""
                where, value = f"{self.where}: {name} in row {first + place + 1}", visible(text.as_py(), 40)
                return UsageError(f"{where} is {value!r}, which is no number{hint}")
        return UsageError(f"{self.where}: {name} holds a value that is no number, after row {first}")

    def times(self, batch: pa.RecordBatch, name: str, rows: np.ndarray) -> np.ndarray:
        """A column as Unix seconds; a time without a zone is UTC.

        rows : the numbers of the batch's rows in the file. Raises UsageError with the row for what is no time.
        """
        import pyarrow as pa
        import pyarrow.compute as pc

        column = batch.column(name)
        if pa.types.is_date(column.type) or pa.types.is_timestamp(column.type):
            stamps = pc.cast(pc.cast(column, pa.timestamp("s"), safe=False), pa.int64())
            return self._whole(stamps.to_numpy(zero_copy_only=False).astype(float), name, rows)
        coded = self.texts(batch, name).dictionary_encode()
        known = np.array([self._second(text) for text in coded.dictionary.to_pylist()] or [np.nan], float)
        codes = coded.indices.fill_null(-1).to_numpy(zero_copy_only=False)
        stamps = np.where(codes < 0, np.nan, known[codes])
        wrong = np.flatnonzero(np.isnan(stamps) & (codes >= 0))
        if len(wrong):
            text = coded.dictionary[int(codes[wrong[0]])].as_py()
            raise UsageError(f"{self.where}: {name} in row {rows[wrong[0]]} is {visible(text, 40)!r}, which is no time in ISO 8601")
        return self._whole(stamps, name, rows)

    def _whole(self, stamps: np.ndarray, name: str, rows: np.ndarray) -> np.ndarray:
        none = np.flatnonzero(np.isnan(stamps))
        if len(none):
            raise UsageError(f"{self.where}: {name} in row {rows[none[0]]} is empty; every charge has a period")
        return stamps.astype(np.int64)

    def _second(self, text: str) -> float:
        """The Unix second of a text, NaN when it is no time."""
        if text not in self._times:
            if len(self._times) > _KNOWN:
                self._times.clear()
            try:
                moment = datetime.fromisoformat(text.removesuffix(" UTC"))
                self._times[text] = int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())
            except (ValueError, OverflowError):
                return float("nan")
        return self._times[text]
