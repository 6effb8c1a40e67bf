"""Tables of nodes: what each pool needs, what frees the next node, and what keeps it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from aiops_analysis.presentation import formats
from aiops_analysis.presentation.cells import Column, Table, body, cell, number_cell, paragraph, records, table
from aiops_analysis.presentation.escape import Html, element, join, name, text

__all__ = ["blockers", "mixes", "next_nodes", "packing"]

_AUTOSCALERS = {
    "cluster-autoscaler": "The Cluster Autoscaler takes nodes away.",
    "karpenter": "Karpenter takes nodes away.",
    "managed": "The provider's autoscaler takes nodes away.",
    "none": "No autoscaler: someone has to shrink the pool.",
    "unknown": "No autoscaler was seen: someone has to shrink the pool.",
}
_BLOCKERS = {
    "pdb": "disruption budget",
    "safe_to_evict": "safe-to-evict: false",
    "local_storage": "local storage",
    "no_controller": "no controller",
    "anti_affinity": "anti-affinity",
    "node_selector": "node selector",
    "spread": "spread",
    "minimum": "smallest size of the pool",
    "busy": "too full, or no room elsewhere",
    "commitment": "commitment",
    "too_large": "too large for the other nodes",
}
_MOST = 60
_NAMED = 12


def packing(found: pd.DataFrame, currency: str = "") -> Table:
    """Nodes by pool, today and with the recommendations, and what of it can be banked (PACKING)."""
    if found.empty:
        return paragraph("No node is known: bankable savings cannot be computed from requests alone.")
    columns = [Column("Node pool", note="instance type"), Column("Nodes", True, "now → then"), Column("Model", True, "now → then")]
    columns += [Column("At least", True, "no packing beats it"), Column("Kept free", True), Column("Can go", True)]
    columns += [Column("Bankable", True, f"{currency} a month"), Column("By hand", True, "if someone shrinks it"), Column("What limits it")]
    title = "Node pools: what the recommendations free"
    note = "The model packs the pods of the busiest moment by their requests and rules; 'then' keeps room for a lost node and a rollout."
    return Table(table(title, columns, [body(_packing_row(row) for row in records(found))], sortable=True, note=note), title)


def _packing_row(row: Mapping[str, Any]) -> list[Html]:
    now, after = int(row["nodes_now"]), int(row["nodes_after"])
    kept = f"{formats.money(row['committed'])} is paid until {formats.day(str(row['committed_until']))}" if row["committed_until"] else ""
    takes = _AUTOSCALERS.get(str(row["autoscaler"]), str(row["autoscaler"]))
    factor = f"calibrated × {row['calibration']:.2f}" if formats.known(row["calibration"]) and row["calibration"] > 1 else ""
    bound = int(row["lower_bound_after"])
    return [
        cell(element("bdi", None, name(row["pool"])), element("small", None, name(row["instance_type"])), head=True),
        number_cell(f"{now} → {after}" if after != now else f"{now}", now),
        number_cell(f"{row['model_now']} → {row['model_after']}", row["model_after"], factor),
        number_cell(f"{bound}" if bound else formats.UNKNOWN, bound or None),
        number_cell(f"{row['headroom']}", row["headroom"]),
        number_cell(f"{row['freed']}", row["freed"], f"grade {row['grade']}"),
        number_cell(formats.money(row["bankable"]), row["bankable"], kept),
        number_cell(formats.money(row["if_shrunk"]), row["if_shrunk"]),
        cell(text(takes), _why(row), kind="reasons"),
    ]


def _why(row: Mapping[str, Any]) -> Html:
    return (
        element("ul", {"class": "why"}, *(element("li", None, text(str(one)[:400])) for one in row["reasons"]))
        if row["reasons"]
        else Html("")
    )


def next_nodes(found: pd.DataFrame, currency: str = "") -> Table:
    """The smallest set of changes that frees one node, and the next (NEXT_NODES)."""
    if found.empty:
        return paragraph("No set of the recommendations frees a node.")
    columns = [Column("Node pool"), Column("Node", True), Column("Change these, in this order"), Column("Workloads so far", True)]
    columns.append(Column("This node", True, f"{currency} a month"))
    rows = []
    for row in records(found):
        named = [str(one) for one in row["workloads"]]
        shown = join([*(name(one) for one in named[:_NAMED]), *([f"{len(named) - _NAMED} more"] if len(named) > _NAMED else [])], ", ")
        proof = "no smaller set does" if row["exact"] else f"greedy; fewer than {row['at_least']} cannot"
        rows.append(
            [
                cell(element("bdi", None, name(row["pool"])), head=True),
                number_cell(f"{row['node']}", row["node"]),
                cell(element("bdi", None, shown) if named else "nothing more", element("small", None, proof), kind="reasons"),
                number_cell(f"{row['total_changes']}", row["total_changes"]),
                number_cell(formats.money(row["saves"]), row["saves"]),
            ]
        )
    title = "What frees the next node"
    return Table(table(title, columns, [body(rows)], note="Each step was packed again; later nodes count on the earlier changes."), title)


def blockers(found: pd.DataFrame) -> Table:
    """What keeps nodes from going, by name (BLOCKERS)."""
    if found.empty:
        return paragraph("Nothing that is known keeps a node from going.")
    columns = [Column("What"), Column("Workload"), Column("Node pool", note="node"), Column("Why")]
    rows = [
        [
            cell(_BLOCKERS.get(str(row["code"]), str(row["code"])), head=True),
            cell(
                element("bdi", None, name(row["workload"] or "–")),
                element("small", None, name(row["namespace"])) if row["namespace"] else "",
            ),
            cell(element("bdi", None, name(row["pool"])), element("small", None, name(row["node"])) if row["node"] else ""),
            cell(text(str(row["message"])[:400]), kind="reasons"),
        ]
        for row in records(found.head(_MOST))
    ]
    left = len(found) - _MOST
    title = f"What keeps the emptiest node of each pool today: {formats.count(len(found), 'blocker', 'blockers')}"
    return Table(
        table(title, columns, [body(rows)], sortable=True, note=f"{left:,} more are in recommendations.json." if left > 0 else ""), title
    )


def mixes(found: pd.DataFrame, currency: str = "") -> Table:
    """Whether other machines that the cluster has would be cheaper for a pool's pods (MIXES)."""
    if found.empty:
        return paragraph("No node is known, so no other machines can be compared.")
    columns = [Column("Node pool"), Column("Same machines", True, "nodes"), Column("Cost", True, f"{currency} a month")]
    columns += [Column("Cheapest mix"), Column("Cost", True, f"{currency} a month"), Column("No mix is below", True)]
    rows = [
        [
            cell(element("bdi", None, name(row["pool"])), element("small", None, name(row["types_now"])), head=True),
            number_cell(f"{row['same_nodes']}", row["same_nodes"]),
            number_cell(formats.money(row["same_month"]), row["same_month"]),
            cell(element("bdi", None, name(row["mix"])) if row["mix"] else text(str(row["why"])[:300]), kind="reasons"),
            *(number_cell(formats.money(row[column]), row[column]) for column in ("mix_month", "bound_month")),
        ]
        for row in records(found)
    ]
    title = "Other machines for the same pods"
    note = (
        "Types that the cluster has in the pool's capacity type, for the recommended requests. On both sides without room for a lost node; "
    )
    note += "what ties pods to a pool or a zone is not held, so look before you move them."
    return Table(table(title, columns, [body(rows)], sortable=True, note=note), title)
