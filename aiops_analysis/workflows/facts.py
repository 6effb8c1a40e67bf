"""What the cluster says about each workload-container in a window: FACTS from inventory, HPAs, events and bursts."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date, timedelta

import numpy as np
import pandas as pd

from aiops_analysis.core.manifest import INJECTED
from aiops_analysis.core.schema import FACTS, GROUP, check, empty
from aiops_analysis.core.window import DAY, STEP, Window, steps_of
from aiops_analysis.history.inventory import read_frame
from aiops_analysis.history.store import Store
from aiops_analysis.workflows.job_runs import JOB_KINDS
from aiops_analysis.workflows.measure import step_spans, sums
from aiops_analysis.workflows.placement import with_placement

__all__ = ["covered_steps", "facts_of", "template_starts"]

_SLOTS = ["cpu_request", "cpu_limit", "memory_request", "memory_limit"]
_BURST_DAYS = 7
_JOB_PAUSE = timedelta(days=8) // timedelta(seconds=STEP)  # a weekly job is still there a week after its run
_JAVA = re.compile(
    r"(?:^|[/:_.-])(?:java|openjdk|jdk|jre|temurin|corretto|graalvm|tomcat|wildfly|jetty|keycloak|kafka|elasticsearch|zookeeper|solr)\d*(?![a-z])",
    re.IGNORECASE,
)


def facts_of(store: Store, window: Window, inventory: pd.DataFrame | None = None) -> pd.DataFrame:
    """FACTS of every workload-container that was seen in the window; empty when the history has no inventory. Raises StoreCorrupt.

    ``inventory`` is that of the window where it was read before.
    """
    days = list(window.days())
    inventory = read_frame(store, "inventory", days) if inventory is None else inventory
    if not len(inventory):
        return empty(FACTS)
    first, last = step_spans(inventory, window.start)
    groups = inventory.groupby(list(GROUP), sort=True)
    code = groups.ngroup().to_numpy()
    frame = inventory[list(GROUP)].assign(code=code).drop_duplicates("code").sort_values("code").drop(columns="code").reset_index(drop=True)
    expected, pod_steps, low, high = covered_steps(code, first, last, len(frame))
    known = _known_steps(store, days)
    rollouts = pd.Series(_last_rollout(inventory))
    end = np.where(frame["workload_kind"].isin(JOB_KINDS), last.max() - _JOB_PAUSE, last.max())
    frame = frame.assign(
        expected_steps=expected.astype(float),
        replicas=pod_steps / max(known, 1),
        replicas_min=low,
        replicas_max=high,
        running=pd.Series(last).groupby(code).max().to_numpy() >= end,
        first_seen=groups["first_seen"].min().to_numpy(),
        settled_steps=_settled_steps(code, first, last, rollouts, window),
        last_rollout=rollouts,
        **_current(inventory, code, last),
    )
    frame = with_placement(frame, inventory, read_frame(store, "nodes", days))
    frame = _with_settings(frame, read_frame(store, "workloads", days))
    frame = frame.assign(
        runs=0,
        jvm=[bool(_JAVA.search(i)) or bool(flags) for i, flags in zip(frame["image"], frame["java_flags"], strict=True)],
        sidecar=frame["container"].isin(INJECTED) & (frame["role"] == "app"),
        out_of_scope=frame["scope"],
    )
    frame = _with_hpas(frame, read_frame(store, "hpas", days))
    frame = _with_counts(frame, store, days)
    return check(_with_burst(frame, read_frame(store, "burst", days[-_BURST_DAYS:])).assign(mem_at_oom=np.nan), FACTS)


def _with_settings(frame: pd.DataFrame, workloads: pd.DataFrame) -> pd.DataFrame:
    """Heap flags, and whether a resize restarts the container, where the Kubernetes API was asked."""
    newest = workloads.sort_values("last_seen").drop_duplicates(["namespace", "workload_kind", "workload"], keep="last")
    told = {(row.namespace, row.workload_kind, row.workload): row for row in newest.itertuples()}
    found = [told.get(key) for key in zip(frame["namespace"], frame["workload_kind"], frame["workload"], strict=True)]
    resize = ["restart" if row is not None and row.resize_restart else now for row, now in zip(found, frame["resize"], strict=True)]
    return frame.assign(java_flags=["" if row is None else row.java_flags for row in found], resize=resize)


def _known_steps(store: Store, days: Sequence[date]) -> int:
    """Steps of the window in which the inventory was recorded."""
    return sum(1 for day in days if store.manifest("inventory", day) is not None) * steps_of()


def covered_steps(
    code: np.ndarray, first: np.ndarray, last: np.ndarray, groups: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Of each group of half-open step ranges: steps covered by any, sum of the lengths, fewest and most at once where covered."""
    edge_code = np.concatenate([code, code])
    edge_step = np.concatenate([first, last])
    edge = np.concatenate([np.ones(len(code), np.int64), -np.ones(len(code), np.int64)])
    order = np.lexsort((edge_step, edge_code))
    edge_code, edge_step, edge = edge_code[order], edge_step[order], edge[order]
    running = np.cumsum(edge)  # every group closes all it opens, so the count starts at 0 in each
    length = np.zeros(len(running), np.int64)
    length[:-1] = np.where(edge_code[1:] == edge_code[:-1], edge_step[1:] - edge_step[:-1], 0)
    real = (running > 0) & (length > 0)
    covered = np.bincount(edge_code[real], weights=length[real], minlength=groups)
    total = np.bincount(edge_code[real], weights=(length * running)[real], minlength=groups)
    low = np.full(groups, np.inf)
    high = np.zeros(groups)
    np.minimum.at(low, edge_code[real], running[real])
    np.maximum.at(high, edge_code[real], running[real])
    return covered, total, np.where(np.isinf(low), 0.0, low), high


def _settled_steps(code: np.ndarray, first: np.ndarray, last: np.ndarray, rollouts: pd.Series, window: Window) -> np.ndarray:
    """Distinct steps with a running pod of each group on the UTC days after the one of its last rollout, NaN without a rollout."""
    day = ((rollouts - pd.Timestamp(window.start)).dt.total_seconds() // 86_400).to_numpy(float)
    since = np.nan_to_num((day + 1) * steps_of()).astype(np.int64)
    later = last > since[code]
    covered = covered_steps(code[later], np.maximum(first, since[code])[later], last[later], len(rollouts))[0]
    return np.where(np.isnan(day), np.nan, covered)


def _current(inventory: pd.DataFrame, code: np.ndarray, last: np.ndarray) -> dict[str, np.ndarray]:
    """Requests, limits, QoS and image of the newest pods of each group: the most frequent set of values, the largest on a tie."""
    newest = pd.Series(last).groupby(code).transform("max").to_numpy()
    columns = [*_SLOTS, "qos", "image", "role", "scope"]
    at_end = inventory.loc[last == newest, columns].assign(code=code[last == newest])
    counted = at_end.groupby(["code", *columns], dropna=False, as_index=False).size()
    best = counted.sort_values(["code", "size", *_SLOTS], na_position="first").drop_duplicates("code", keep="last").sort_values("code")
    return {name: best[name].to_numpy() for name in columns}


def template_starts(inventory: pd.DataFrame) -> pd.DataFrame:
    """GROUP and ``first_seen`` of each template of each workload-container (methods.md A8).

    A template is image, requests and limits, and for a Deployment its ReplicaSet, whose name is a hash of the template.
    """
    groups = [inventory[name] for name in GROUP]
    # the pods of a StatefulSet or DaemonSet keep their owner's name, each Job has its own
    named = inventory["workload_kind"].isin(["Deployment", "Rollout"])
    # where some day does not tell it, none does: "unknown" is not another template
    told = (inventory["revision"] != "").groupby(groups).transform("all")
    hashed = inventory.assign(revision=inventory["revision"].where(named & told, ""))
    return hashed.groupby([*GROUP, "image", "revision", *_SLOTS], dropna=False, as_index=False)["first_seen"].min()


def _last_rollout(inventory: pd.DataFrame) -> np.ndarray:
    """When the newest template of each workload-container appeared, in their order, NaT when there was only one."""
    starts = template_starts(inventory).groupby(list(GROUP), sort=True)["first_seen"].agg(["min", "max"])
    return starts["max"].where(starts["max"] > starts["min"]).array


def _with_hpas(frame: pd.DataFrame, hpas: pd.DataFrame) -> pd.DataFrame:
    """Which workloads an HPA scales at the end of the window, on which resource and to which utilisation [percent]."""
    there = hpas[hpas["last_seen"] > hpas["last_seen"].max() - DAY]  # one that was deleted before scales nothing any more
    latest = there.sort_values("last_seen").drop_duplicates(["namespace", "hpa", "metric"], keep="last")
    by_target: dict[tuple[str, str, str], dict[str, object]] = {}
    for row in latest.itertuples():
        entry = by_target.setdefault((row.namespace, row.target_kind, row.target), {"hpa": row.hpa, "metrics": {}})
        value = row.target_value if row.target_type == "utilization" else np.nan
        entry["metrics"][row.metric] = value  # type: ignore[index]
    keys = list(zip(frame["namespace"], frame["workload_kind"], frame["workload"], strict=True))
    found = [by_target.get(key, {"hpa": "", "metrics": {}}) for key in keys]
    # an HPA of which the server does not say the metric counts for both: sizing under it could run away
    unknown = [bool(f["hpa"]) and not any(f["metrics"]) for f in found]  # type: ignore[arg-type, call-overload]
    out = frame.assign(hpa=[f["hpa"] for f in found])
    for resource in ("cpu", "memory"):
        out[f"hpa_{resource}"] = [resource in f["metrics"] or u for f, u in zip(found, unknown, strict=True)]  # type: ignore[operator]
        out[f"hpa_{resource}_target"] = [f["metrics"].get(resource, np.nan) for f in found]  # type: ignore[attr-defined]
    return out


def _with_counts(frame: pd.DataFrame, store: Store, days: Sequence[date]) -> pd.DataFrame:
    """Throttle ratio as a ratio of sums, restarts and kills; sparse events count 0 where the server was asked for them."""
    out = frame
    for name in ("cpu_throttled", "cpu_periods", "restarts", "oom_kills"):
        total = sums(store, name, days).rename(columns={"total": name})
        out = out.merge(total, on=list(GROUP), how="left")
    asked = {name: bool(store.manifests(name, days)) for name in ("restarts", "oom_kills")}
    for name, there in asked.items():
        out[name] = out[name].fillna(0.0) if there else np.nan
    periods = out["cpu_periods"].where(out["cpu_periods"] > 0)
    return out.assign(throttle_ratio=out["cpu_throttled"].fillna(0.0) / periods)


def _with_burst(frame: pd.DataFrame, burst: pd.DataFrame) -> pd.DataFrame:
    """The hottest pod's bursts of the last seven days [cores]."""
    top = burst.groupby(list(GROUP), as_index=False, sort=True).agg(burst_max=("cpu_max", "max"), burst_p999=("cpu_p999", "max"))
    return frame.merge(top, on=list(GROUP), how="left")
