"""What a pod's name says about its owner, where nothing else does.

A Deployment's pods are called NAME-HASH-RANDOM, with a hash and five random characters of an alphabet without vowels, 0, 1 and 3; a
CronJob's NAME-MINUTES-RANDOM; a StatefulSet's NAME-ORDINAL. NAME-RANDOM alone may be of a DaemonSet, a Job or a bare ReplicaSet: nobody
can tell, and such a pod is kept as a pod. A wrong owner would mix the usage of two workloads; a missing one only leaves a row unsized.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

__all__ = ["generated", "owners_by_name"]

_SAFE = "bcdfghjklmnpqrstvwxz2456789"  # Kubernetes' own alphabet for generated names
_DEPLOYMENT = re.compile(rf"([a-z0-9][a-z0-9.-]*)-([{_SAFE}]{{8,10}})-[{_SAFE}]{{5}}", re.ASCII)
_CRON = re.compile(rf"([a-z0-9][a-z0-9.-]*)-([23]\d{{7}})-[{_SAFE}]{{5}}", re.ASCII)
_RANDOM = re.compile(rf"[a-z0-9][a-z0-9.-]*-[{_SAFE}]{{5}}", re.ASCII)
_ORDINAL = re.compile(r"([a-z0-9][a-z0-9.-]*)-(0|[1-9]\d{0,3})", re.ASCII)
_STATIC = ("kube-system",)  # static pods are called NAME-NODE, and a node may well be called node-0


def generated(name: str) -> bool:
    """Whether a name looks as a controller makes it for a pod.

    >>> generated("web-7d9c5b8f6-x2x4z"), generated("db-0"), generated("shop")
    (True, True, False)
    """
    return bool(_RANDOM.fullmatch(name) or _ORDINAL.fullmatch(name))


def owners_by_name(pods: Iterable[tuple[str, str]]) -> dict[tuple[str, str], tuple[str, str]]:
    """Kind and name of the workloads of pods, by (namespace, pod), where their names allow one reading only.

    Ordinals count as a StatefulSet when all of them from 0 on are there.
    """
    found: dict[tuple[str, str], tuple[str, str]] = {}
    ordinals: dict[tuple[str, str], dict[int, str]] = {}
    for namespace, pod in pods:
        deployment, cron, ordinal = _DEPLOYMENT.fullmatch(pod), _CRON.fullmatch(pod), _ORDINAL.fullmatch(pod)
        if deployment is not None and cron is None:
            found[namespace, pod] = "Deployment", deployment[1]
        elif cron is not None and deployment is None:
            found[namespace, pod] = "CronJob", cron[1]
        elif ordinal is not None and namespace not in _STATIC:
            ordinals.setdefault((namespace, ordinal[1]), {})[int(ordinal[2])] = pod
    for (namespace, name), members in ordinals.items():
        if sorted(members) == list(range(len(members))):
            found |= {(namespace, pod): ("StatefulSet", name) for pod in members.values()}
    return found
