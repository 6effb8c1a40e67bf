"""What a manifest asks of a cluster, in plain data: pods of one size with the rules that bind them to nodes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["INJECTED", "Asked", "Term"]

#: Containers that a mesh or an operator adds to pods: no manifest names them, and they run beside what it names.
INJECTED = frozenset({"istio-proxy", "linkerd-proxy", "envoy-sidecar", "vault-agent", "cloud-sql-proxy", "daprd", "consul-dataplane"})

#: One required rule on a node's labels: key, operator (In, NotIn, Exists, DoesNotExist, Gt, Lt), values.
Term = tuple[str, str, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Asked:
    """The pods of one workload of a manifest. Requests are effective: init containers and native sidecars are in them."""

    where: str  # file and line, for messages
    namespace: str
    kind: str
    name: str
    replicas: int | None  # None: the manifest does not say
    cpu: float  # [cores] of one pod
    memory: float  # [bytes]
    node_selector: Mapping[str, str] = field(default_factory=dict)
    affinity: tuple[tuple[Term, ...], ...] = ()  # required terms: one of them must hold as a whole
    tolerations: tuple[tuple[str, str, str, str], ...] = ()  # key, operator, value, effect
    node_name: str = ""
    alone: bool = False  # required anti-affinity against itself on the host name
    unset: tuple[str, ...] = ()  # containers that ask for nothing, as container/resource
    unchecked: tuple[str, ...] = ()  # rules that are not checked, in words
    containers: tuple[str, ...] = ()  # every container that it names, () when that is not known

    @property
    def key(self) -> tuple[str, str, str]:
        """Namespace, kind and name."""
        return self.namespace, self.kind, self.name
