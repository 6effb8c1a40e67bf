"""What a run leaves behind: evidence.json, recommendations.json and recommendations.csv, with deterministic bytes (design.md section 3).

The run id and the times stand outside figures, findings and recommendations, so that two runs on one history agree byte for byte there.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import Enum
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pandas as pd

from aiops_analysis.core.errors import RunFailed, SchemaError
from aiops_analysis.core.reasons import Reason
from aiops_analysis.core.schema import RECOMMENDATIONS, check
from aiops_analysis.core.window import Window, iso
from aiops_analysis.evidence.reading import SCHEMA

__all__ = [
    "INDEX",
    "SCHEMA",
    "Record",
    "frame_csv",
    "guard",
    "json_bytes",
    "plain",
    "read_csv",
    "recommendations_csv",
    "recommendations_json",
    "unguard",
    "write_files",
]

#: Name of the file that lists and seals the others of its folder.
INDEX = "index.json"
_DIGITS = 12  # significant digits kept: the order of a sum must not show
_FORMULA = frozenset("=+-@\t\r\n\uff1d\uff0b\uff0d\uff20")  # what a spreadsheet may take for a formula, full-width forms included
_LISTS = ("daily_p95",)


def plain(value: Any) -> Any:
    """The value in JSON types: no number is NaN, infinite or -0.0, floats keep 12 significant digits, times are ISO 8601 in UTC.

    Raises SchemaError for a type that has no plain form.
    """
    if value is None or value is pd.NaT or value is pd.NA or isinstance(value, bool | np.bool_):
        return bool(value) if isinstance(value, bool | np.bool_) else None
    if isinstance(value, Enum):
        return plain(value.value)
    if isinstance(value, str):
        return str(value)
    if isinstance(value, int | np.integer):
        return int(value)
    if isinstance(value, float | np.floating):
        return float(f"{float(value):.{_DIGITS}g}") + 0.0 if math.isfinite(value) else None
    return _plain_whole(value)


def _plain_whole(value: Any) -> Any:
    if isinstance(value, Reason):
        return plain(value.as_dict())
    if isinstance(value, Window):
        return value.as_dict()
    if isinstance(value, Mapping):
        return {str(plain(key)): plain(item) for key, item in value.items()}
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise SchemaError(f"a time without a zone cannot be written: {value}")
        return iso(value)
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, pd.DataFrame):
        return [plain(row) for row in value.to_dict("records")]
    if isinstance(value, set | frozenset):
        return sorted(plain(item) for item in value)
    if isinstance(value, np.ndarray | pd.Series | pd.Index | Sequence):
        return [plain(item) for item in value]
    if isinstance(value, Path):
        return value.as_posix()
    raise SchemaError(f"a {type(value).__name__} cannot be written as JSON")


def json_bytes(value: Any) -> bytes:
    """Deterministic UTF-8 JSON; lone surrogates become escapes that read back equal."""
    text = json.dumps(plain(value), ensure_ascii=False, indent=1, allow_nan=False)
    return (text + "\n").encode("utf-8", "backslashreplace")


def recommendations_json(cluster: str, recommendations: pd.DataFrame, frames: Mapping[str, pd.DataFrame] | None = None) -> bytes:
    """``{"schema": 1, "cluster": ..., "recommendations": [...]}`` of a RECOMMENDATIONS frame, one object a row, NaN as null.

    frames : more lists beside it by their key, such as ``savings`` and ``packing``.
    """
    frame = check(recommendations, RECOMMENDATIONS)
    return json_bytes({"schema": SCHEMA, "cluster": cluster, "recommendations": _rows(frame), **_listed(frames)})


def _rows(frame: pd.DataFrame) -> list[dict[str, Any]]:
    return [dict(zip(frame.columns, row, strict=True)) for row in frame.itertuples(index=False, name=None)]


def _listed(frames: Mapping[str, pd.DataFrame] | None) -> dict[str, list[dict[str, Any]]]:
    return {name: _rows(frame) for name, frame in sorted((frames or {}).items())}


def guard(text: str) -> str:
    """The text so that no spreadsheet takes it for a formula: a leading apostrophe where it could be one (faults.md row 43).

    >>> guard("=cmd|'/C calc'"), guard("todo"), guard("'x")
    ("'=cmd|'/C calc'", 'todo', "''x")
    """
    start = text.lstrip(" \u00a0\u200b\ufeff\x00")[:1]
    return f"'{text}" if text[:1] == "'" or (start and start in _FORMULA) else text


def unguard(text: str) -> str:
    """The text that ``guard`` was given."""
    return text[1:] if text[:1] == "'" else text


def recommendations_csv(recommendations: pd.DataFrame) -> bytes:
    """The same rows as CSV: numbers untouched, an unset number empty, texts quoted and guarded, reasons as their codes."""
    return frame_csv(check(recommendations, RECOMMENDATIONS))


def frame_csv(frame: pd.DataFrame) -> bytes:
    """The rows of a frame as CSV, its texts quoted and guarded: what a cluster names never becomes a formula."""
    out = io.StringIO(newline="")
    writer = csv.writer(out, quoting=csv.QUOTE_NONNUMERIC, lineterminator="\n")
    writer.writerow(frame.columns)
    for row in frame.itertuples(index=False, name=None):
        writer.writerow([_cell(name, value) for name, value in zip(frame.columns, row, strict=True)])
    return out.getvalue().encode("utf-8", "backslashreplace")


class _Empty(float):
    """An unset number: csv leaves a number unquoted, and this one shows nothing."""

    def __repr__(self) -> str:
        return ""

    __str__ = __repr__


def _cell(name: str, value: Any) -> Any:
    if name == "reasons" and all(isinstance(reason, Reason) for reason in value):
        return guard(" ".join(str(reason.code) for reason in value))
    if name in _LISTS or isinstance(value, list | tuple):
        return guard(json.dumps(plain(value)))
    if isinstance(value, str):
        return guard(value)
    number = plain(value)
    return _Empty("nan") if number is None else number


def read_csv(path: Path) -> pd.DataFrame:
    """A recommendations.csv as a frame: texts as they were before the guard, empty numbers NaN, reasons as lists of codes.

    Raises SchemaError when the columns are not those of recommendations.
    """
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    if not rows or rows[0] != list(RECOMMENDATIONS.columns):
        raise SchemaError(f"{path} does not have the columns of recommendations")
    columns = {}
    for index, (name, kind) in enumerate(RECOMMENDATIONS.columns.items()):
        cells = [row[index] for row in rows[1:]]
        if name == "reasons":
            columns[name] = pd.Series([unguard(cell).split() for cell in cells], dtype="object")
        elif name in _LISTS:
            columns[name] = pd.Series([json.loads(unguard(cell)) for cell in cells], dtype="object")
        elif kind in ("str", "object"):
            columns[name] = pd.Series([unguard(cell) for cell in cells], dtype="str")
        else:
            columns[name] = pd.Series([float(cell) if cell else math.nan for cell in cells], dtype="float64").astype(kind)
    return pd.DataFrame(columns)


@dataclass(frozen=True, slots=True)
class Record:
    """The evidence of one run (evidence.schema.json says what each key holds)."""

    run_id: str
    question: str
    notebook: str
    cluster: str
    window: Window
    created: datetime
    package_version: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    queries: Mapping[str, str] = field(default_factory=dict)
    source: Mapping[str, Any] = field(default_factory=dict)
    fingerprint: str = ""
    policy: Mapping[str, Any] = field(default_factory=dict)
    figures: Mapping[str, Any] = field(default_factory=dict)
    findings: Sequence[Mapping[str, Any]] = ()
    summary: str = ""
    notes: Sequence[str] = ()

    def as_dict(self, files: Mapping[str, bytes]) -> dict[str, Any]:
        """The content of evidence.json; ``files`` are the other files of the run, which it seals with their sha256."""
        figures = {name: self.figures[name] for name in sorted(self.figures)}
        return {
            "schema": SCHEMA,
            "run_id": self.run_id,
            "created": self.created,
            "package_version": self.package_version,
            "question": self.question,
            "notebook": self.notebook,
            "cluster": self.cluster,
            "window": self.window,
            "parameters": self.parameters,
            "policy": self.policy,
            "source": self.source,
            "fingerprint": self.fingerprint,
            "queries": self.queries,
            "summary": self.summary,
            "figures": figures,
            "findings": list(self.findings),
            "notes": list(self.notes),
            "files": {name: hashlib.sha256(files[name]).hexdigest() for name in sorted(files)},
            "decision": None,
        }

    def write(
        self,
        folder: Path,
        recommendations: pd.DataFrame | None = None,
        outputs: Mapping[str, bytes] | None = None,
        frames: Mapping[str, pd.DataFrame] | None = None,
    ) -> Path:
        """Write the files of the run into ``folder``, evidence.json last; returns its path.

        outputs : more files by their path inside the folder; where a folder of them has an ``index.json``, that one alone is sealed, and
        it seals the others. frames : more lists of recommendations.json by their key; each is a CSV file too. Each file is written under
        another name, synced and renamed; what an index seals is only written, the publisher of the folder syncs it. Raises RunFailed when
        the folder cannot be written.
        """
        files: dict[str, bytes] = {}
        if recommendations is not None:
            files["recommendations.json"] = recommendations_json(self.cluster, recommendations, frames)
            files["recommendations.csv"] = recommendations_csv(recommendations)
            files |= {f"{name}.csv": frame_csv(frame) for name, frame in (frames or {}).items()}
        more = outputs or {}
        indexed = {name.removesuffix(INDEX) for name in more if name.endswith(f"/{INDEX}")}
        loose = {name for name in more if any(name.startswith(place) and name != f"{place}{INDEX}" for place in indexed)}
        files |= {name: data for name, data in more.items() if name not in loose}
        evidence = json_bytes(self.as_dict(files))
        try:
            write_files(folder, {name: more[name] for name in loose})
            for name, data in files.items():
                (folder / name).parent.mkdir(exist_ok=True)
                _write(folder / name, data)
            _write(folder / "evidence.json", evidence)
        except OSError as error:
            raise RunFailed(f"the run folder {folder} cannot be written ({error.strerror})") from error
        return folder / "evidence.json"


def write_files(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write files by their path inside ``folder``; raises OSError, and ValueError for a path that leads out of it."""
    for name, data in sorted(files.items()):
        parts = PurePosixPath(name).parts
        if not parts or ".." in parts or PurePosixPath(name).is_absolute():
            raise ValueError(f"{name!r} is no path inside a folder")
        path = folder.joinpath(*parts)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def _write(path: Path, data: bytes) -> None:
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
