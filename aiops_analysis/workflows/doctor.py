"""What a server offers and what the history holds, before anybody trusts a number; read-only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta

from aiops_analysis.core.window import day_start, iso, last_whole_day
from aiops_analysis.history.store import Store
from aiops_analysis.sources import promql
from aiops_analysis.sources.prometheus import Prometheus
from aiops_analysis.sources.promql import Scope
from aiops_analysis.workflows.pull import MOVED, missing_days, moved_by_day, series_by_day

__all__ = ["Examination", "Feature", "examine"]

_ENOUGH = (7, 14)  # days: refused below the first, fully graded from the second (methods.md A4)
_LOOK_BACK = 30


@dataclass(frozen=True)
class Feature:
    """One thing the toolkit can do, the metrics it needs, and those the server does not have."""

    name: str
    needs: tuple[str, ...]
    missing: tuple[str, ...]


@dataclass(frozen=True)
class Examination:
    """What was found; dates are ISO texts, "" where nobody can say."""

    cluster: str
    server: Mapping[str, str] = field(default_factory=dict)
    features: tuple[Feature, ...] = ()
    days_stored: tuple[str, ...] = ()
    days_missing: tuple[str, ...] = ()
    days_open: tuple[str, ...] = ()
    enough: Mapping[str, str] = field(default_factory=dict)
    lost: tuple[Mapping[str, str], ...] = ()
    damaged: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, object]:
        """Plain types for JSON."""
        features = [{"feature": f.name, "needs": list(f.needs), "missing": list(f.missing)} for f in self.features]
        return dict(vars(self)) | {"features": features}


def examine(store: Store, source: Prometheus | None, *, now: datetime, names: Mapping[str, str] | None = None) -> Examination:
    """Look at the server (None: only the history) and at the days of the store; changes nothing.

    Raises SourceError when the server cannot be reached or refuses.
    """
    last = last_whole_day(now)
    wanted = [last - timedelta(days=n) for n in range(_LOOK_BACK - 1, -1, -1)]
    stored = store.days("cpu_usage")
    retention = None
    server: dict[str, str] = {}
    features: tuple[Feature, ...] = ()
    if source is not None:
        flavour = source.flavour()
        retention = flavour.retention
        kept = "unknown" if retention is None else f"{retention.total_seconds() / 86_400:.0f} days"
        server = {"url": source.url, "flavour": flavour.name, "version": flavour.version, "retention": kept}
        features = _features(source.names(), names or {})
    missing = missing_days(store, wanted, retention=retention, now=now)
    there = series_by_day(source, missing, Scope(), names or {}) if source is not None else dict.fromkeys(missing, 1)
    to_pull = [day for day in missing if day not in stored and there.get(day)]
    families = moved_by_day(source, to_pull, Scope(), names or {}) if source is not None else {}
    moved = sorted({MOVED[family] for found in families.values() for family in found})
    return Examination(
        cluster=store.cluster,
        server=server,
        features=features,
        days_stored=tuple(day.isoformat() for day in stored),
        days_missing=tuple(day.isoformat() for day in to_pull),
        days_open=tuple(day.isoformat() for day in missing if day in stored),
        enough=_enough(sorted({*stored, *(to_pull if source is not None else ())}), last),
        lost=tuple(_lost(to_pull, retention, now)),
        damaged=tuple(problem for day in stored if (problem := store.damage("cpu_usage", day)) is not None),
        notes=(*_notes(features), *moved),
    )


def _features(present: set[str], names: Mapping[str, str]) -> tuple[Feature, ...]:
    return tuple(
        Feature(feature, needs, tuple(metric for metric in needs if names.get(metric, metric) not in present))
        for feature, needs in promql.USED.items()
    )


def _enough(stored: list[date], last: date) -> dict[str, str]:
    """When the history spans 7 and 14 days, counted from the first day that is stored or can be pulled, if every day is pulled."""
    first = stored[0] if stored else last + timedelta(days=1)
    return {str(days): (first + timedelta(days=days)).isoformat() for days in _ENOUGH}


def _lost(missing: list[date], retention: timedelta | None, now: datetime) -> list[dict[str, str]]:
    """When each day that is not stored falls out of the server's retention, soonest first."""
    if retention is None:
        return []
    return [{"day": day.isoformat(), "lost_on": iso(day_start(day) + retention)} for day in missing if day_start(day) + retention > now]


def _notes(features: tuple[Feature, ...]) -> tuple[str, ...]:
    return tuple(f"{f.name}: off, the server has no {', '.join(f.missing)}" for f in features if f.missing)
