"""What changed its mind since the last run: finds that run among the reports, reads it with limits, and compares.

A report that is damaged, of another version or of another cluster is a finding; it never stops a run.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn

import pandas as pd

from aiops_analysis.analysis.policy import SizingPolicy
from aiops_analysis.analysis.stability import PREVIOUS, STABILITY, Since, compare
from aiops_analysis.core.errors import AiopsError, UsageError
from aiops_analysis.core.names import encode_path, visible
from aiops_analysis.core.schema import CHANGES, GRADES, KEY, RECOMMENDATIONS, check, empty
from aiops_analysis.core.window import Window, parse_instant

__all__ = ["Compared", "last_run", "since_last_run"]

_SCHEMA = 1  # of recommendations.json; evidence.reading holds the writer's
_LARGEST = 96 * 2**20  # bytes: 30,000 rows with a month of daily values
_RUN = re.compile(r"(\d{8}T\d{6}Z)(?:-(\d{1,3}))?", re.ASCII)
_MOST_NAMED = 5
_NUMBERS = ("current_request", "guarded_request", "p95")


@dataclass(frozen=True)
class Compared:
    """RECOMMENDATIONS with ``stability`` and ``previous_request`` filled, STABILITY of all rows with those that are gone, findings.

    ``rows`` is empty and the recommendations are as they were when there is no earlier run that can be read.
    """

    recommendations: pd.DataFrame
    rows: pd.DataFrame
    findings: tuple[Mapping[str, object], ...]


class _Unreadable(AiopsError):
    """An earlier run cannot be compared with; the message says why."""


def last_run(reports: Path, notebook: str, cluster: str, before: datetime) -> Path | None:
    """The newest folder ``reports/<notebook>/<cluster>/<UTC stamp>`` of a run before ``before``; None when there is none."""
    parent = reports / encode_path(notebook) / encode_path(cluster)
    limit = before.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")
    runs = []
    try:
        names = [entry.name for entry in parent.iterdir()]
    except OSError:
        return None
    for name in names:
        match = _RUN.fullmatch(name)
        if match is not None and match[1] < limit and (parent / name).is_dir():
            runs.append((match[1], int(match[2] or 1), name))
    return parent / max(runs)[2] if runs else None


def since_last_run(recommendations: pd.DataFrame, folder: Path | None, *, cluster: str, policy: SizingPolicy, window: Window) -> Compared:
    """RECOMMENDATIONS compared with the run in ``folder`` (or the recommendations.json that it names); None is no earlier run.

    A run whose evidence.json seals other bytes than recommendations.json has is not compared with.
    """
    frame = check(recommendations, RECOMMENDATIONS)
    nothing = Compared(frame, empty(STABILITY), ())
    if folder is None:
        return nothing
    path = folder if folder.suffix == ".json" else folder / "recommendations.json"
    try:
        data, evidence = _read(path), _evidence(path.with_name("evidence.json"))
        _check_seal(path, data, evidence)
        previous = _rows(_parsed(path, data), cluster)
    except _Unreadable as error:
        message = f"the last run cannot be compared with: {error}"
        return Compared(frame, empty(STABILITY), ({"code": "last_run_unreadable", "message": message, "data": {"run": path.parent.name}},))
    rows = compare(frame, previous, policy, since=_since(path.parent.name, evidence, policy, window))
    own = rows[rows["stability"] != "gone"]
    filled = frame.assign(stability=own["stability"].to_numpy(), previous_request=own["previous_request"].to_numpy())
    return Compared(check(filled, RECOMMENDATIONS), rows, tuple(_findings(rows, path.parent.name)))


def _shown(path: Path) -> str:
    """Run and file: where the reports lie is a matter of one machine."""
    return visible(f"{path.parent.name}/{path.name}")


def _refuse(path: Path, why: str) -> NoReturn:
    raise _Unreadable(f"{_shown(path)} {why}")


def _read(path: Path) -> bytes:
    try:
        if not path.is_file():  # a pipe or a device would never end
            _refuse(path, "is not a file")
        with path.open("rb") as file:
            data = file.read(_LARGEST + 1)
    except OSError as error:
        raise _Unreadable(f"{_shown(path)} cannot be read ({error.strerror})") from error
    if len(data) > _LARGEST:
        _refuse(path, f"is larger than {_LARGEST // 2**20} MiB")
    return data


def _constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a number of JSON")


def _parsed(path: Path, data: bytes) -> dict[str, Any]:
    """The JSON object of this version in some bytes."""
    try:
        found = json.loads(data, parse_constant=_constant)
    except (ValueError, RecursionError, MemoryError) as error:
        raise _Unreadable(f"{_shown(path)} is not readable JSON ({type(error).__name__})") from error
    if not isinstance(found, dict) or found.get("schema") != _SCHEMA or isinstance(found["schema"], bool):
        shown = ascii(found.get("schema") if isinstance(found, dict) else None)[:40]
        _refuse(path, f"has schema {shown}; this version reads {_SCHEMA}")
    return found


def _evidence(path: Path) -> dict[str, Any]:
    """The evidence beside the recommendations; empty when there is none."""
    return _parsed(path, _read(path)) if path.exists() else {}


def _check_seal(path: Path, data: bytes, evidence: Mapping[str, Any]) -> None:
    files = evidence.get("files")
    seal = files.get(path.name) if isinstance(files, dict) else None
    if seal is not None and seal != hashlib.sha256(data).hexdigest():
        _refuse(path, "was changed after its run: its evidence.json seals another content")


def _rows(found: Mapping[str, Any], cluster: str) -> pd.DataFrame:
    """PREVIOUS of a parsed recommendations.json."""
    if found.get("cluster") != cluster:
        raise _Unreadable(f"it is of cluster {ascii(found.get('cluster'))[:80]}, not {ascii(cluster)[:80]}")
    listed = found.get("recommendations")
    if not isinstance(listed, list):
        raise _Unreadable("it holds no list of recommendations")
    rows = [_row(number, row, cluster) for number, row in enumerate(listed)]
    frame = pd.DataFrame(rows, columns=list(PREVIOUS.columns)) if rows else empty(PREVIOUS)
    if frame.duplicated(list(KEY)).any():
        raise _Unreadable("it holds a recommendation more than once")
    return frame


def _row(number: int, row: Any, cluster: str) -> dict[str, Any]:
    if not isinstance(row, dict):
        raise _Unreadable(f"recommendation {number} is not an object")
    out: dict[str, Any] = {name: _text(number, row, name) for name in (*KEY, "grade", "change")}
    out |= {name: _number(number, row, name) for name in _NUMBERS}
    if out["cluster"] != cluster or out["grade"] not in GRADES or out["change"] not in CHANGES:
        raise _Unreadable(f"recommendation {number} has a cluster, grade or change that is not known here")
    reasons = row.get("reasons")
    if not isinstance(reasons, list) or not all(isinstance(reason, dict) for reason in reasons):
        raise _Unreadable(f"recommendation {number} has no list of reasons")
    return out | {"codes": [str(reason.get("code"))[:60] for reason in reasons]}


def _text(number: int, row: Mapping[str, Any], name: str) -> str:
    value = row.get(name)
    if not isinstance(value, str):
        raise _Unreadable(f"recommendation {number} has no text {name}")
    return value


def _number(number: int, row: Mapping[str, Any], name: str) -> float:
    value = row.get(name, "missing")
    if value is None:
        return math.nan
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e30:
        raise _Unreadable(f"recommendation {number} has no usable {name}")
    return float(value)


def _since(run: str, evidence: Mapping[str, Any], policy: SizingPolicy, window: Window) -> Since:
    """How the earlier run differs as a whole, as far as its evidence tells."""
    used = evidence.get("policy")
    differ = (
        tuple(name for name, value in policy.as_dict().items() if name in used and _unlike(used[name], value))
        if isinstance(used, dict)
        else ()
    )
    return Since(run, _window_days(evidence.get("window"), window), tuple(name for name in differ if name != "name"))


def _unlike(old: object, new: object) -> bool:
    both = isinstance(old, int | float) and isinstance(new, int | float)
    return not math.isclose(old, new, rel_tol=1e-9) if both else old != new  # type: ignore[arg-type]


def _window_days(earlier: object, window: Window) -> tuple[int, int] | None:
    if not isinstance(earlier, dict):
        return None
    try:
        start, end = (parse_instant(str(earlier.get(name))[:40]) for name in ("start", "end"))
    except UsageError:
        return None
    return (end - start).days, (window.end - window.start).days


def _findings(rows: pd.DataFrame, run: str) -> list[dict[str, object]]:
    """One finding of how many rows moved, one of what was applied."""
    counts = {name: int((rows["stability"] == name).sum()) for name in ("new", "same", "changed", "reversed", "gone")}
    out: list[dict[str, object]] = []
    if any(counts[name] for name in ("new", "changed", "reversed", "gone")):
        parts = [f"{counts[name]} {word}" for name, word in _WORDS.items() if counts[name]]
        turned = rows[rows["stability"] == "reversed"]
        named = f"; reversed: {_named(turned)}" if len(turned) else ""
        message = f"against the run of {run}: {', '.join(parts)}{named}"
        out.append({"code": "changed_since_last_run", "message": message, "data": {"run": run, **counts}})
    applied = rows[rows["applied"]]
    if len(applied):
        message = f"{len(applied)} of the requests that the run of {run} recommended were set since: {_named(applied)}"
        out.append({"code": "applied_since_last_run", "message": message, "data": {"run": run, "rows": len(applied)}})
    return out


_WORDS = {"reversed": "reversed", "changed": "changed", "new": "new", "gone": "gone", "same": "the same"}


def _named(rows: pd.DataFrame) -> str:
    names = [visible(f"{row.namespace}/{row.workload} {row.container} {row.resource}", 120) for row in rows.itertuples()]
    return ", ".join(names[:_MOST_NAMED]) + (f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else "")
