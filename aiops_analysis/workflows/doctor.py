"""What a server offers and what the history holds, before anybody trusts a number; read-only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta

from aiops_analysis.core.errors import SettingsError
from aiops_analysis.core.names import visible
from aiops_analysis.core.window import DAY, day_start, iso, last_whole_day
from aiops_analysis.history.store import Store
from aiops_analysis.sources import clusters, promql
from aiops_analysis.sources.prometheus import Prometheus
from aiops_analysis.sources.promql import Scope
from aiops_analysis.sources.samples import spacing_of
from aiops_analysis.workflows.pull import MOVED, missing_days, moved_by_day, series_by_day

__all__ = ["Examination", "Feature", "examine"]

_ENOUGH = (7, 14)  # days: refused below the first, fully graded from the second (methods.md A4)
_LOOK_BACK = 30
_CLOCKS_S = 60  # [s] that two clocks may differ


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


def examine(
    store: Store, source: Prometheus | None, *, now: datetime, names: Mapping[str, str] | None = None, scope: Scope | None = None
) -> Examination:
    """Look at the server (None: only the history) and at the days of the store; changes nothing.

    Raises SourceError when the server cannot be reached or refuses.
    """
    last = last_whole_day(now)
    wanted = [last - timedelta(days=n) for n in range(_LOOK_BACK - 1, -1, -1)]
    stored = store.days("cpu_usage")
    retention = None
    server: dict[str, str] = {}
    features: tuple[Feature, ...] = ()
    notes: tuple[str, ...] = ()
    scope, names = scope or Scope(), names or {}
    if source is not None:
        retention = source.flavour().retention
        features = _features(source.names(), names)
        server, notes = _server(source, last, scope, names, now)
    missing = missing_days(store, wanted, retention=retention, now=now)
    there = series_by_day(source, missing, scope, names) if source is not None else dict.fromkeys(missing, 1)
    to_pull = [day for day in missing if day not in stored and there.get(day)]
    families = moved_by_day(source, to_pull, scope, names) if source is not None else {}
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
        notes=(*notes, *_notes(features), *moved),
    )


def _server(
    source: Prometheus, last: date, scope: Scope, names: Mapping[str, str], now: datetime
) -> tuple[dict[str, str], tuple[str, ...]]:
    """What the server is and holds, in words, and what is wrong with it."""
    flavour, end = source.flavour(), day_start(last) + DAY
    kept = "unknown" if flavour.retention is None else f"{flavour.retention.total_seconds() / 86_400:.0f} days"
    server = {"url": source.url, "flavour": flavour.name, "version": flavour.version, "retention": kept, "auth": source.auth}
    server["proxy"] = source.proxy
    population = clusters.population_of(source, end, 1, scope, names)
    label = scope.cluster_label or population.label
    values = tuple(visible(value) or "no value" for value in population.clusters.get(label, ()))
    server |= {"cluster label": label, "clusters": ", ".join(values)}
    server["replicas"] = "; ".join(f"{of}: {', '.join(map(visible, filter(None, found)))}" for of, found in population.replicas.items())
    notes = []
    try:
        clusters.check(population, scope)
    except SettingsError as error:
        notes.append(f"a pull is refused: {error}")
    apart = spacing_of(source, end, scope, names)
    server["scrape interval"] = f"{apart.interval_s:.0f} s" if apart.known else f"not known, too few container samples on {last}"
    if apart.known:
        server["downsampled to"] = f"{apart.resolution_s} s" if apart.resolution_s else ""
    ahead = 0.0 if source.server_date is None else (source.server_date - now).total_seconds()
    if abs(ahead) > _CLOCKS_S:
        notes.append(f"the server's clock is {abs(ahead):.0f} s {'ahead of' if ahead > 0 else 'behind'} this machine's")
    return server, (*notes, *apart.texts(flavour))


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
