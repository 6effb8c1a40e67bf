"""Which clusters a server holds, and which replicas wrote their samples: a label with more than one value (methods.md I-6, I-7)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import Protocol

from aiops_analysis.core.errors import SettingsError
from aiops_analysis.core.names import visible
from aiops_analysis.sources import promql
from aiops_analysis.sources.promql import Scope

__all__ = ["CLUSTER_LABELS", "REPLICA_LABELS", "Population", "check", "population_of"]

#: Labels that name a cluster, the surest first. ``prometheus`` names the scraping server, which is mostly one for each cluster.
CLUSTER_LABELS = (
    "cluster",
    "cluster_name",
    "k8s_cluster",
    "k8s_cluster_name",
    "kubernetes_cluster",
    "cluster_id",
    "prometheus_cluster",
    "prometheus",
)
REPLICA_LABELS = ("prometheus_replica", "replica", "__replica__")
_MEMORY = "container_memory_working_set_bytes"
_LISTED = 8
_NO_NAMES: Mapping[str, str] = MappingProxyType({})


class Series(Protocol):
    """One group of container metrics."""

    @property
    def labels(self) -> dict[str, str]: ...


class GroupSource(Protocol):
    """What looking for clusters needs of a source."""

    def series(self, query: str, at: datetime) -> Iterable[Series]:
        """Label sets of an instant query whose result is a range."""


@dataclass(frozen=True)
class Population:
    """The values of each cluster label ("" where some container metric has none, but others have) and of each replica label.

    ``any`` is False where the server has no container metrics at all.
    """

    clusters: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    replicas: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    any: bool = True

    @property
    def label(self) -> str:
        """The surest cluster label that is there, "" where there is none."""
        return next(iter(self.clusters), "")

    @property
    def several(self) -> str:
        """The label by which the server holds several clusters, "" where it holds one.

        A surer label that has one value everywhere settles it: then two scraping servers are two of one cluster.
        """
        return self.label if len(self.clusters.get(self.label, ())) > 1 else ""


def population_of(
    source: GroupSource, at: datetime, days: int, scope: Scope, names: Mapping[str, str] = _NO_NAMES, step: str = "6h"
) -> Population:
    """The clusters and replicas among the container metrics of the ``days`` before ``at``, looked at every six hours by one question.

    All clusters are looked at, whatever the scope names, but only its namespaces. Raises what the source raises.
    """
    asked = tuple(dict.fromkeys((*((scope.cluster_label,) if scope.cluster_label else ()), *CLUSTER_LABELS)))
    everywhere = Scope(namespaces=scope.namespaces)
    groups = f"count by ({','.join((*asked, *REPLICA_LABELS))}) ({promql.containers(_MEMORY, everywhere, names)})"
    found = [one.labels for one in source.series(f"{groups}[{days}d:{step}]", at)]
    return Population(_values(found, asked), _values(found, REPLICA_LABELS), bool(found))


def _values(groups: list[dict[str, str]], labels: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """The distinct values of each label that is there at all."""
    all_values = {label: tuple(sorted({group.get(label, "") for group in groups})) for label in labels}
    return {label: values for label, values in all_values.items() if any(values)}


def check(population: Population, scope: Scope) -> None:
    """Raises SettingsError when the server holds several clusters and the scope names none, or one that is not there."""
    if scope.single or not population.any:
        return
    if scope.cluster_label:
        values = population.clusters.get(scope.cluster_label, ())
        if scope.cluster in values:
            return
        other = next((label for label in population.clusters if label != scope.cluster_label), "")
        hint = f"; the label {other} has {_shown(population.clusters[other])}" if other and not values else ""
        seen = f"has {_shown(values)}" if values else "is on no container metric"
        raise SettingsError(
            f"the server has no cluster {visible(scope.cluster)!r}: the label {scope.cluster_label} (prometheus.cluster_label) "
            f"{seen}{hint}; set cluster in aiops.toml or --cluster to one that is there"
        )
    label = population.several
    if label:
        values = population.clusters[label]
        example = visible(next(value for value in values if value))
        raise SettingsError(
            f"the server holds several clusters: the label {label} of its container metrics has {_shown(values)}; name the one to pull, "
            f'in aiops.toml cluster = "{example}" and under [prometheus] cluster_label = "{label}" '
            '(cluster_label = "none" if they are one cluster)'
        )


def _shown(values: tuple[str, ...]) -> str:
    """Values in words, cut after eight."""
    words = [repr(visible(value, 60)) if value else "no value on some series" for value in values[:_LISTED]]
    more = f" and {len(values) - _LISTED} more" if len(values) > _LISTED else ""
    return ", ".join(words) + more
