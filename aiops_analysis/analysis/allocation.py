"""What a pod asks of its node: containers that run together, or an init container that asks for more (methods.md A9, KEP-753)."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd

from aiops_analysis.core.schema import INVENTORY, check

__all__ = ["effective", "init_extra", "init_floor"]

_POD = ["namespace", "pod", "uid"]
_REQUESTS = ["cpu_request", "memory_request"]


def init_floor(parts: pd.DataFrame, by: list[str], values: list[str]) -> pd.DataFrame:
    """What the init containers of each group need at once: the largest of them and every native sidecar, which may have started before.

    parts : one row per container with ``role`` (app, sidecar, init) and ``values`` [cores | bytes]. The order of init containers is not
    in the metrics, so all sidecars count as started before. Groups without an init container have no row; index ``by``.
    """
    init = parts[parts["role"] == "init"].groupby(by)[values].max()
    sidecars = parts[parts["role"] == "sidecar"].groupby(by)[values].sum()
    return init.add(sidecars.reindex(init.index).fillna(0.0), fill_value=0.0)


def init_extra(inventory: pd.DataFrame) -> pd.DataFrame:
    """What pods ask for beyond the sum of their running containers, because an init container is larger: one row a pod of INVENTORY.

    Effective request = max(sum of app containers and native sidecars, largest init container + sidecars). Columns: namespace, pod, uid,
    node, first_seen, last_seen, cpu_request, memory_request (the excess, at least 0) [cores | bytes].
    """
    frame = check(inventory, INVENTORY)
    with_init = (frame["role"] == "init").groupby([frame[name] for name in _POD]).transform("any")
    mine = frame[with_init.to_numpy(bool)]
    # a resized container has several rows; its largest request is what the pod once needed
    each = mine.groupby([*_POD, "container", "role"], as_index=False)[_REQUESTS].max()
    running = each[each["role"] != "init"].groupby(_POD)[_REQUESTS].sum()
    floor = init_floor(each, _POD, _REQUESTS)
    extra = floor.sub(running.reindex(floor.index).fillna(0.0), fill_value=0.0).clip(lower=0.0)
    about = mine.groupby(_POD).agg(node=("node", "last"), first_seen=("first_seen", "min"), last_seen=("last_seen", "max"))
    return extra.join(about).reset_index()


def effective(parts: Iterable[tuple[str, int]]) -> int:
    """What a pod asks for of one resource, in whole units: running containers, or the largest init container beside every sidecar.

    parts : (role, request) of each container; the same rule as ``init_extra`` (methods.md A9, KEP-753).

    >>> effective([("app", 200), ("sidecar", 50), ("init", 300)])
    350
    """
    apps = sidecars = largest = 0
    for role, value in parts:
        if role == "init":
            largest = max(largest, value)
        elif role == "sidecar":
            sidecars += value
        else:
            apps += value
    return max(apps, largest) + sidecars
