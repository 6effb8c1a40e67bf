"""Which machine a billed resource is: a node's providerID against the ResourceId of a billing export (methods.md B6).

| provider | providerID of the node | ResourceId of the charge | joined by |
|---|---|---|---|
| AWS | aws:///zone/i-abc | i-abc, or an ARN that ends in it | last part |
| Azure | azure:///../virtualMachineScaleSets/X/virtualMachines/0 | the scale set, or one machine of it | lower case, cut at X |
| Google | gce://project/zone/name | ../zones/zone/instances/name, or the name | zone and name |
| other | as it is | as it is | exact; else tags of cluster and pool |

The parts of a scale set are one machine here: its cost is shared by the hours of its nodes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

import pandas as pd

__all__ = ["Machines", "machines_of"]

_SCALE_SET = "/virtualmachinescalesets/"
#: Tags under which a cluster and a pool are found; the first that is there counts.
_CLUSTER_TAGS = ("aks-managed-cluster-name", "aws:eks:cluster-name", "cluster", "eks:cluster-name", "goog-k8s-cluster-name", "k8s-cluster")
_POOL_TAGS = ("aks-managed-poolname", "eks:nodegroup-name", "goog-k8s-node-pool-name", "karpenter.sh/nodepool", "nodepool", "pool")


@dataclass(frozen=True, slots=True)
class Machines:
    """The machines of a cluster's nodes, numbered, and what they are found by."""

    nodes: pd.DataFrame  # node, provider_id, key, pool_key (by tags, where key has no charges); -1 where there is nothing to look for
    how: tuple[str, ...] = ()  # matched_by of each key
    cluster: str = ""
    aws: Mapping[str, int] = field(default_factory=dict)
    azure: Mapping[str, int] = field(default_factory=dict)
    google: Mapping[str, int] = field(default_factory=dict)
    exact: Mapping[str, int] = field(default_factory=dict)
    tagged: Mapping[str, int] = field(default_factory=dict)  # by pool

    @property
    def by_tags(self) -> bool:
        """True when tags are needed to tell: nodes of another provider, in a cluster whose name is known."""
        return bool(self.tagged)

    def find(self, resource_id: str, resource_name: str, provider: str, tags: str) -> int:
        """The key of the machine that a charge is about, or -1."""
        text = resource_id.strip()
        tail = text.rsplit("/", 1)[-1]
        key = next((table[name] for table, name in ((self.exact, text), (self.aws, tail)) if name in table), -1)
        if key < 0 and self.azure:
            key = self.azure.get(_scale_set(text), -1)
        if key < 0 and self.google and ("google" in provider.lower() or "gcp" in provider.lower()):
            zone = _part_after(text, "zones")
            found = (self.google.get(f"{zone}/{name}" if zone else name, -1) for name in (tail, resource_name.strip()))
            key = next((one for one in found if one >= 0), -1)
        return self._by_tags(tags) if key < 0 and self.tagged and tags else key

    def _by_tags(self, tags: str) -> int:
        """The pool that tags name, in the cluster that they name."""
        try:
            told = json.loads(tags)
        except (ValueError, RecursionError):
            return -1
        if not isinstance(told, dict):
            return -1
        low = {str(name).lower(): value for name, value in told.items() if isinstance(value, str)}
        if next((low[name] for name in _CLUSTER_TAGS if name in low), "") != self.cluster:
            return -1
        return self.tagged.get(next((low[name] for name in _POOL_TAGS if name in low), ""), -1)


def machines_of(nodes: pd.DataFrame, cluster: str = "") -> Machines:
    """The machines of NODES; ``cluster`` is its name in tags, without which tags tell nothing.

    A node that came back under its name as another machine has a row for each.
    """
    pairs = nodes[["node", "provider_id", "pool"]].drop_duplicates(["node", "provider_id"], keep="last")
    known = set(pairs.loc[pairs["provider_id"] != "", "node"])
    pairs = pairs[(pairs["provider_id"] != "") | ~pairs["node"].isin(known)].reset_index(drop=True)
    book = _Book()
    keys = [book.add(provider_id, pool if cluster else "") for provider_id, pool in zip(pairs["provider_id"], pairs["pool"], strict=True)]
    frame = pairs[["node", "provider_id"]].assign(**pd.DataFrame(keys, columns=["key", "pool_key"], index=pairs.index, dtype="int64"))
    return Machines(frame, tuple(book.how), cluster, book.aws, book.azure, book.google, book.exact, book.tagged)


class _Book:
    """Gives each machine its number and enters what it may be called."""

    def __init__(self) -> None:
        self.how: list[str] = []
        self.aws: dict[str, int] = {}
        self.azure: dict[str, int] = {}
        self.google: dict[str, int] = {}
        self.exact: dict[str, int] = {}
        self.tagged: dict[str, int] = {}

    def add(self, provider_id: str, pool: str) -> tuple[int, int]:
        """The number of a node's machine, and that of its pool in tags; -1 for none."""
        scheme, _, rest = provider_id.partition("://")
        if scheme == "aws":
            return self._enter(self.aws, provider_id.rsplit("/", 1)[-1], "instance id"), -1
        if scheme == "azure":
            path = _scale_set(rest)
            return self._enter(self.azure, path, "scale set" if _SCALE_SET in path else "exact"), -1
        if scheme == "gce":
            *_, zone, name = ("", *rest.split("/"))
            key = self._enter(self.google, f"{zone}/{name}" if name else "", "instance name")
            # a bare name that two machines bear tells neither
            if key >= 0:
                self.google[name] = key if self.google.get(name, key) == key else -1
            return key, -1
        key = self._enter(self.exact, provider_id, "exact")
        if key >= 0 and rest.strip("/"):
            self.exact.setdefault(rest.lstrip("/"), key)
        return key, self._enter(self.tagged, pool, "tags")

    def _enter(self, table: dict[str, int], name: str, how: str) -> int:
        if not name:
            return -1
        if name not in table:
            table[name] = len(self.how)
            self.how.append(how)
        return table[name]


def _scale_set(path: str) -> str:
    """An ARM id in lower case, cut at the scale set where it names one."""
    low = "/" + path.strip().lower().strip("/") if path.strip("/ ") else ""
    head, found, tail = low.partition(_SCALE_SET)
    return head + found + tail.split("/", 1)[0] if found else low


def _part_after(path: str, word: str) -> str:
    parts = path.split("/")
    return parts[parts.index(word) + 1] if word in parts[:-1] else ""
