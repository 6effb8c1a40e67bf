"""What a decision record is made of: the recommendations of a review or of a run's folder, and which of them a person means."""

from __future__ import annotations

import difflib
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aiops_analysis.core.errors import AiopsError, NotEnoughData, UsageError
from aiops_analysis.core.names import visible
from aiops_analysis.core.schema import GROUP, KEY, RESOURCES
from aiops_analysis.evidence.reading import SCHEMA, read_evidence
from aiops_analysis.evidence.record import plain

if TYPE_CHECKING:
    from aiops_analysis.workflows.review import Review

__all__ = ["Basis", "Subject", "basis_of_review", "basis_of_run", "subject_of"]

_MOST_NAMED = 10
_FULL = len(GROUP)


@dataclass(frozen=True, slots=True)
class Basis:
    """Recommendations in plain JSON types and where they come from; ``run`` is "" when the history was asked alone."""

    cluster: str
    window: Mapping[str, str]
    policy: Mapping[str, Any]
    source: Mapping[str, Any]
    fingerprint: str
    queries: Mapping[str, str]
    currency: str
    price_source: str
    rows: tuple[Mapping[str, Any], ...]
    run: str = ""


@dataclass(frozen=True, slots=True)
class Subject:
    """One container: the rows that a record decides about, and its other rows that it leaves alone."""

    rows: tuple[Mapping[str, Any], ...]
    left_out: tuple[Mapping[str, Any], ...]


def basis_of_review(review: Review) -> Basis:
    """The basis of a review that was just made from the history; its rows also carry ``samples``."""
    usage = review.usage
    keys = zip(*(usage[name] for name in (*GROUP, "resource")), strict=True)
    samples = {tuple(key): int(count) for key, count in zip(keys, usage["samples"], strict=True)}
    rows = [
        plain(row) | {"samples": samples.get(tuple(row[name] for name in KEY[1:]), 0)} for row in review.recommendations.to_dict("records")
    ]
    return Basis(
        cluster=review.cluster,
        window=review.window.as_dict(),
        policy=plain(review.policy.as_dict()),
        source=plain(review.source),
        fingerprint=review.fingerprint,
        queries=plain(review.queries),
        currency=review.prices.currency,
        price_source=review.prices.source,
        rows=tuple(rows),
    )


def basis_of_run(folder: Path) -> Basis:
    """The basis of a run's folder, which must be what its evidence sealed.

    Raises UsageError for a folder without a run, AiopsError for files that are damaged or were changed.
    """
    evidence, listed = folder / "evidence.json", folder / "recommendations.json"
    if not evidence.is_file() or not listed.is_file():
        raise UsageError(f"{folder} is not the folder of a run: it holds no evidence.json with recommendations.json")
    told = read_evidence(evidence)
    data = listed.read_bytes()
    if hashlib.sha256(data).hexdigest() != told.get("files", {}).get("recommendations.json"):
        raise AiopsError(f"{listed} is not the file that {evidence.name} sealed (sha256 differs); run the notebook again")
    try:
        found = json.loads(data)
        rows = tuple(found["recommendations"])
        if found["schema"] != SCHEMA or not all(isinstance(row[name], str) for row in rows for name in ("id", *KEY)):
            raise AiopsError(f"{listed} is of schema {found['schema']!r}, or its rows have no key; this version reads {SCHEMA}")
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise AiopsError(f"{listed} is not readable ({type(error).__name__})") from error
    figures = told["figures"]
    return Basis(
        cluster=told["cluster"],
        window=told["window"],
        policy=told["policy"],
        source=told["source"],
        fingerprint=told["fingerprint"],
        queries=told["queries"],
        currency=str(figures.get("currency") or ""),
        price_source=str(figures.get("price_source") or ""),
        rows=rows,
        run=told["run_id"],
    )


def subject_of(basis: Basis, target: str) -> Subject:
    """The container that ``target`` means: an id, or NAMESPACE/KIND/NAME/CONTAINER[/RESOURCE], in which parts may be left out.

    Without a resource the record is about every resource of the container that would change. Raises UsageError for a target that means
    nothing or several containers (with the candidates) and for one that is to stay as it is, NotEnoughData for a refused one.
    """
    rows = [row for row in basis.rows if row["id"] == target]
    if not rows:
        rows = _named(basis.rows, target)
    groups = {tuple(row[name] for name in GROUP): None for row in rows}
    if len(groups) > 1:
        raise UsageError(f"{visible(target, 200)!r} means {len(groups)} containers; name one of: {_listed(groups)}")
    others = [row for row in basis.rows if tuple(row[name] for name in GROUP) in groups and row not in rows]
    chosen = [row for row in rows if row["change"] in ("increase", "decrease")]
    if chosen:
        left = [row for row in rows if row not in chosen]
        return Subject(tuple(chosen), (*left, *others))
    refused = [row for row in rows if row["change"] == "undetermined"]
    where = "/".join(visible(part, 80) for part in next(iter(groups)))
    if refused:
        raise NotEnoughData(f"there is no recommendation for {where} to decide about: {'; '.join(_missing(row) for row in refused)}")
    raise UsageError(f"the recommendation for {where} is to keep what it has, so there is nothing to decide")


def _missing(row: Mapping[str, Any]) -> str:
    """What a refused row lacks."""
    why = " ".join(str(reason["message"]) for reason in row["reasons"]) or "it is undetermined"
    when = f" Enough data on {row['enough_on']}." if row.get("enough_on") else ""
    return visible(f"{row['resource']}: {why}{when}", 500)


def _named(rows: Sequence[Mapping[str, Any]], target: str) -> list[Mapping[str, Any]]:
    """The rows that a path means; an exact one wins over one with parts left out."""
    exact = [row for row in rows if target in _paths(row)]
    if exact:
        return exact
    parts = target.strip("/").split("/")
    resource = parts[-1] if len(parts) > 1 and parts[-1] in RESOURCES else ""
    wanted = parts[:-1] if resource else parts
    found = [row for row in rows if _within(wanted, row) and resource in ("", row["resource"])]
    if found:
        return found
    known = sorted({path for row in rows for path in _paths(row)[:1]})
    close = difflib.get_close_matches(target[:300], known, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(visible(path, 200) for path in close)}?" if close else "see: aiops-analysis recommend"
    raise UsageError(f"there is no recommendation {visible(target, 200)!r}; {hint}")


def _paths(row: Mapping[str, Any]) -> tuple[str, str]:
    group = "/".join(row[name] for name in GROUP)
    return group, f"{group}/{row['resource']}"


def _within(wanted: Sequence[str], row: Mapping[str, Any]) -> bool:
    """True when the parts stand in the row's names in this order; the kind in any case."""
    names = iter([row["namespace"], row["workload_kind"].casefold(), row["workload"], row["container"]])
    return len(wanted) <= _FULL and all(any(part == name or part.casefold() == name for name in names) for part in wanted)


def _listed(groups: Mapping[tuple[str, ...], None]) -> str:
    shown = ["/".join(visible(part, 80) for part in group) for group in list(groups)[:_MOST_NAMED]]
    return ", ".join(shown) + (f" and {len(groups) - _MOST_NAMED} more" if len(groups) > _MOST_NAMED else "")
