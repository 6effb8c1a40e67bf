"""Small frames of money and nodes as a review hands them to the report; ``word`` gets into every name."""

from __future__ import annotations

import pandas as pd

from aiops_analysis.analysis.priority import PRIORITIES
from aiops_analysis.core.contract import blank, check
from aiops_analysis.core.schema_money import BLOCKERS, BRIDGE, LEDGER, MIXES, NEXT_NODES, PACKING, SAVINGS

FIGURES = {
    "currency": "USD",
    "paper_month": 412.5,
    "bankable_month": 115.9,
    "if_shrunk_month": 231.8,
    "promised_month": 160.0,
    "realised_month": 74.2,
}
SOURCE = "prices.toml (on demand, us-east-1), 98 % of the node hours"


def savings() -> pd.DataFrame:
    rows = [
        ("paper", 412.5, "every recommendation is applied, and every freed core and GiB is worth its price", ""),
        ("bankable", 115.9, "the recommendations of pool general are applied, and the Cluster Autoscaler takes one node away", "medium"),
        ("realised", 74.2, "measured: node hours of 1 applied decision over 14 days", "high"),
    ]
    return check(
        pd.DataFrame(
            [
                {
                    "number": n,
                    "scope": "cluster",
                    "name": "demo",
                    "amount": a,
                    "currency": "USD",
                    "price_source": SOURCE,
                    "condition": c,
                    "grade": g,
                }
                for n, a, c, g in rows
            ]
        ),
        SAVINGS,
    )


def packing(word: str = "") -> pd.DataFrame:
    common = {"price_source": SOURCE, "instance_type": "c6i.xlarge", "node_month": 115.9, "calibration": 1.0, "grade": "high"}
    general = {
        **blank(PACKING),
        **common,
        "pool": f"general{word}",
        "nodes_now": 4,
        "pods": 40,
        "lower_bound_now": 3,
        "model_now": 3,
        "lower_bound_after": 2,
        "model_after": 2,
        "ffd_after": 2,
        "calibration": 4 / 3,
        "headroom": 1,
        "nodes_after": 3,
        "freed": 1,
        "bankable": 115.9,
        "if_shrunk": 115.9,
        "autoscaler": "cluster-autoscaler",
        "reasons": [f"One node is kept for the loss of the largest{word}."],
    }
    spot = {
        **blank(PACKING),
        **common,
        "pool": "spot",
        "instance_type": "m6i.large",
        "nodes_now": 2,
        "pods": 12,
        "lower_bound_now": 1,
        "model_now": 1,
        "lower_bound_after": 1,
        "model_after": 1,
        "ffd_after": 1,
        "headroom": 1,
        "nodes_after": 2,
        "bankable": 0.0,
        "if_shrunk": 0.0,
        "committed": 40.0,
        "committed_until": "2027-06-30",
        "autoscaler": "unknown",
        "grade": "low",
        "reasons": ["Not known for 2 % of its requests: affinity, spread and disruption budgets."],
        "unknown": "affinity, spread and disruption budgets (only a metrics server was asked)",
    }
    return check(pd.DataFrame([general, spot]), PACKING)


def next_nodes(word: str = "") -> pd.DataFrame:
    rows = [
        ("general", 1, ["aaa", "bbb"], [f"todo/backend{word}", "todo/frontend"], 2, 115.9, True, 2),
        ("general", 2, ["ccc"], ["shop/catalog"], 3, 115.9, False, 2),
    ]
    return check(pd.DataFrame(rows, columns=list(NEXT_NODES.columns)), NEXT_NODES)


def blockers(word: str = "") -> pd.DataFrame:
    rows = [
        ("general", "ip-10-0-11-37", "shop", f"payments{word}", "pdb", "its disruption budget lets no pod go"),
        ("spot", "", "", "", "minimum", "the pool may not be smaller than 2"),
    ]
    return check(pd.DataFrame(rows, columns=list(BLOCKERS.columns)), BLOCKERS)


def mixes(word: str = "") -> pd.DataFrame:
    rows = [
        (f"general{word}", "c6i.xlarge", 2, 231.8, f"1 x m6i.xlarge{word}", 139.8, 120.5, 3, ""),
        ("spot", "m6i.large", 1, 14.7, "", float("nan"), float("nan"), 0, f"no type is large enough{word}"),
    ]
    return check(pd.DataFrame(rows, columns=list(MIXES.columns)), MIXES)


def bridge(word: str = "") -> pd.DataFrame:
    rows = [
        ("before", 400.0, ""),
        ("price", -4.0, ""),
        ("new workloads", 22.0, f"media/encoder{word} 22.00"),
        ("gone workloads", -9.0, "shop/old 9.00"),
        ("replicas", 12.0, "media/transcoder 12.00"),
        ("requests", -61.0, "media/transcoder 61.00"),
        ("usage above requests", 1.0, ""),
        ("idle", 9.0, ""),
        ("after", 370.0, ""),
    ]
    return check(pd.DataFrame(rows, columns=list(BRIDGE.columns)), BRIDGE)


def ledger(word: str = "") -> pd.DataFrame:
    measured = {
        **blank(LEDGER),
        "record": "0005",
        "title": f"Reduce media/transcoder CPU and memory{word}",
        "cluster": "demo",
        "workloads": ["media/Deployment/transcoder/transcoder/cpu"],
        "decided_on": "2026-10-15",
        "promised_paper": 160.0,
        "currency": "USD",
        "price_source": SOURCE,
        "applied": "whole",
        "applied_on": "2026-10-19",
        "days_before": 14,
        "days_after": 14,
        "realised": 74.2,
        "outcome": "measured",
        "gap": 85.8,
        "cause": "one of three nodes left, five days after the change; replicas rose from 4 to 5",
    }
    waiting = {
        **measured,
        "record": "0002",
        "title": "Reduce todo/backend",
        "applied": "not",
        "applied_on": "",
        "realised": float("nan"),
        "gap": float("nan"),
    }
    return check(pd.DataFrame([measured, {**waiting, "outcome": "not applied", "cause": "the requests are as they were"}]), LEDGER)


def costs(word: str = "") -> pd.DataFrame:
    rows = [
        (f"todo{word}", "Deployment", "backend", "general", 90.0, 8.0, 0.6, 0.11, 0.2, 2016.0),
        ("shop", "Deployment", "catalog", "general", 60.0, 5.0, 0.4, 0.5, float("nan"), 1344.0),
    ]
    names = [
        "namespace",
        "workload_kind",
        "workload",
        "pool",
        "cost",
        "shared_cost",
        "share",
        "cpu_efficiency",
        "memory_efficiency",
        "pod_hours",
    ]
    return pd.DataFrame(rows, columns=names)


def pools(word: str = "") -> pd.DataFrame:
    rows = [(f"general{word}", 4.0, 2688.0, 426.8, 150.0, 276.8, 0.65, "default"), ("spot", 2.0, 1344.0, 50.0, 20.0, 30.0, 0.6, "default")]
    return pd.DataFrame(rows, columns=["pool", "nodes", "node_hours", "cost", "workload_cost", "idle_cost", "idle_share", "price_basis"])


def matrix(word: str = "") -> pd.DataFrame:
    rows = [
        ("do first", "shop", "Deployment", f"checkout{word}", "checkout", "memory", float("nan"), "", True, 2.0, "high"),
        ("do first", "todo", "Deployment", "backend", "backend", "cpu", 31.2, "bankable", False, 2.0, "high"),
        ("plan", "todo", "StatefulSet", "database", "postgres", "cpu", 12.0, "paper", False, 4.0, "medium"),
        ("backlog", "todo", "Deployment", "frontend", "frontend", "cpu", 3.0, "paper", False, 2.0, "high"),
    ]
    names = ["cell", "namespace", "workload_kind", "workload", "container", "resource", "impact", "impact_basis", "risk", "effort", "grade"]
    made = [{**blank(PRIORITIES), **dict(zip(names, row, strict=True)), "id": str(n)} for n, row in enumerate(rows)]
    return check(pd.DataFrame(made), PRIORITIES)
