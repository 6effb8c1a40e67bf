"""The money of a review: prices, what can be banked, what was realised, what it costs today; three numbers, never added (methods.md B)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pandas as pd

from aiops_analysis.analysis.cost_groups import by_namespace, by_pool, by_workload
from aiops_analysis.analysis.priority import priorities, priority_matrix
from aiops_analysis.core.names import visible
from aiops_analysis.core.pricing import OPENCOST, PriceList
from aiops_analysis.core.schema import check, empty
from aiops_analysis.core.schema_money import LEDGER, SAVINGS
from aiops_analysis.core.window import Window
from aiops_analysis.history.store import Store
from aiops_analysis.workflows.costs import Bridge, Costs, bridge_of, costs_of
from aiops_analysis.workflows.ledger import Ledger, ledger_of, savings_rows
from aiops_analysis.workflows.nodes_packed import Packed, packed
from aiops_analysis.workflows.pricing import Priced, priced

__all__ = ["Asked", "Money", "money_of", "prices_of"]

Figure = float | int | str | None


@dataclass(frozen=True)
class Asked:
    """By which prices and rules money is counted; the settings say so.

    autoscaler and minimum override what the cluster shows of its node pools; shared and rule say whose cost is spread and how.
    """

    prices: PriceList = OPENCOST
    billing: Path | None = None
    currency: str = ""
    autoscaler: str = ""
    minimum: Mapping[str, int] = field(default_factory=dict)
    shared: tuple[str, ...] = ("kube-system", "monitoring")
    rule: str = "proportional"


@dataclass(frozen=True)
class Money:
    """Frames of core.schema_money, the order of work, and plain figures; ``ledger`` is None without a folder of decision records."""

    priced: Priced
    packed: Packed
    ledger: Ledger | None
    costs: Costs
    moved: Bridge  # from the period before to this one
    savings: pd.DataFrame
    matrix: pd.DataFrame  # PRIORITIES
    figures: Mapping[str, Figure]
    findings: tuple[Mapping[str, object], ...]

    @property
    def by_namespace(self) -> pd.DataFrame:
        """What namespaces cost in the window (analysis.cost_groups)."""
        return by_namespace(self.costs.allocation)

    @property
    def by_workload(self) -> pd.DataFrame:
        """What workloads cost in the window."""
        return by_workload(self.costs.allocation)

    @property
    def by_pool(self) -> pd.DataFrame:
        """What node pools cost in the window, and what of it is idle."""
        return by_pool(self.costs.nodes)

    @property
    def realised(self) -> pd.DataFrame:
        """LEDGER rows, none without records."""
        return empty(LEDGER) if self.ledger is None else self.ledger.rows

    @property
    def frames(self) -> dict[str, pd.DataFrame]:
        """What recommendations.json lists beside the recommendations."""
        return {
            "savings": self.savings,
            "packing": self.packed.packing,
            "next_nodes": self.packed.next_nodes,
            "blockers": self.packed.blockers,
            "mixes": self.packed.mixes,
            "ledger": self.realised,
            "costs": self.by_workload,
            "node_costs": self.by_pool,
            "bridge": self.moved.frame,
        }


def prices_of(store: Store, window: Window, asked: Asked) -> Priced:
    """The prices that a review is made with; raises UsageError for a second currency."""
    return priced(store, window, asked.prices, asked.billing, currency=asked.currency)


def money_of(
    store: Store,
    window: Window,
    recommendations: pd.DataFrame,
    facts: pd.DataFrame,
    inventory: pd.DataFrame,
    prices: Priced,
    asked: Asked,
    adr_dir: Path | None,
) -> tuple[pd.DataFrame, Money]:
    """RECOMMENDATIONS with ``bankable`` and ``priority`` filled, and the money of the review."""
    nodes = packed(
        store,
        window,
        recommendations,
        facts,
        inventory,
        prices.nodes,
        autoscaler=asked.autoscaler,
        minimum=asked.minimum,
        commitments=prices.commitments,
    )
    banked = recommendations.assign(bankable=nodes.bankable)
    banked = banked.assign(priority=priorities(banked, if_shrunk=nodes.if_shrunk))
    last = window.end.date() - timedelta(days=1)
    ledger = None if adr_dir is None else _ledger(store, adr_dir, last, prices, asked)
    costs = costs_of(store, window, prices.nodes, shared=asked.shared, rule=asked.rule, inventory=inventory)
    moved = bridge_of(store, window, costs, lambda earlier: prices_of(store, earlier, asked).nodes)
    savings = _savings(store.cluster, banked, nodes.packing, ledger, prices)
    return banked, Money(
        priced=prices,
        packed=nodes,
        ledger=ledger,
        costs=costs,
        moved=moved,
        savings=savings,
        matrix=priority_matrix(banked, if_shrunk=nodes.if_shrunk),
        figures={**prices.figures, **_node_figures(nodes.packing), **_ledger_figures(ledger), **_cost_figures(costs, moved)},
        findings=(*prices.findings, *costs.findings, *nodes.findings, *(ledger.findings if ledger is not None else ())),
    )


def _ledger(store: Store, adr_dir: Path, last: date, prices: Priced, asked: Asked) -> Ledger:
    """The ledger at the review's prices; nodes that went before its window are in no frame of it and have those of the list."""
    beside = asked.prices if asked.prices.currency == prices.currency else None
    return ledger_of(store, adr_dir, last, prices.nodes, currency=prices.currency, beside=beside)


def _node_figures(packing: pd.DataFrame) -> dict[str, Figure]:
    """Sums over the pools; None where no node is known, and where a pool that could lose one has no price."""
    if packing.empty:
        return dict.fromkeys(("bankable_month", "if_shrunk_month", "committed_month", "nodes_now", "nodes_freed"))
    return {
        **{f"{name}_month": _sum(packing[name]) for name in ("bankable", "if_shrunk", "committed")},
        "nodes_now": int(packing["nodes_now"].sum()),
        "nodes_freed": int(packing["freed"].sum()),
    }


def _ledger_figures(ledger: Ledger | None) -> dict[str, Figure]:
    """What measured decisions promised and gave; None when none is measured."""
    totals: Mapping[str, float] = {} if ledger is None else ledger.totals
    names = {"promised": "promised_measured", "realised": "realised", "realised_gap": "gap", "not_attributable": "cluster_not_attributable"}
    out: dict[str, Figure] = {f"{ours}_month": _known(totals.get(theirs, math.nan)) for ours, theirs in names.items()}
    return out | {"decisions_accepted": int(totals.get("records", 0)), "decisions_measured": int(totals.get("measured", 0))}


def _cost_figures(costs: Costs, moved: Bridge) -> dict[str, Figure]:
    """What the window cost, and by how much that differs from the period before; money of the window, not of a month."""
    sums = {f"{name}_window": _known(float(costs.nodes[name].sum(min_count=1))) for name in ("cost", "workload_cost", "idle_cost")}
    parts = moved.frame.set_index("cause")["amount"]
    change = {f"bridge_{cause.replace(' ', '_')}": _known(float(amount)) for cause, amount in parts.items()}
    return {**sums, **{f"cost_share_{name}": _known(value) for name, value in costs.shares.items()}, **change}


def _known(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _sum(values: pd.Series) -> float | None:
    return _known(float(values.sum(skipna=False)))


def _savings(cluster: str, rows: pd.DataFrame, packing: pd.DataFrame, ledger: Ledger | None, prices: Priced) -> pd.DataFrame:
    """The three numbers of the cluster and of their own parts: namespaces, pools, decisions."""
    waiting = rows[(rows["grade"] != "refused") & (rows["decided"] == "")]
    about = {"currency": prices.currency, "price_source": prices.book.source}
    what = "every recommendation is applied, and each core and GiB that it frees is sold or used; a bill shows nothing of it by itself"
    condition = f"{what}{_without_price(waiting)}"
    made = [
        {"number": "paper", "scope": "cluster", "name": cluster, "amount": _total(waiting["paper"]), "condition": condition, "grade": ""}
    ]
    for namespace, part in waiting.groupby("namespace", sort=True):
        one = {"number": "paper", "scope": "namespace", "name": namespace, "amount": _total(part["paper"])}
        made.append({**one, "condition": f"its recommendations are applied{_without_price(part)}", "grade": ""})
    made.append({"number": "bankable", "scope": "cluster", "name": cluster, **_bankable(packing)})
    for pool in packing.itertuples():
        condition = f"{pool.freed} of {pool.nodes_now} nodes go{_still_paid(pool)}" if pool.freed else "no node can go"
        made.append(
            {
                "number": "bankable",
                "scope": "pool",
                "name": pool.pool,
                "amount": pool.bankable,
                "condition": condition,
                "grade": pool.grade,
                "price_source": pool.price_source,
            }
        )
    frame = pd.DataFrame([{**about, **row} for row in made])
    none = {"number": "realised", "scope": "cluster", "name": cluster, "amount": math.nan, "grade": "", **about}
    said = "no decision record was read" if ledger is None else "no decision of this cluster is accepted yet"
    measured = ledger is not None and len(ledger.rows)
    realised = savings_rows(ledger) if ledger is not None and measured else pd.DataFrame([{**none, "condition": said}])
    return check(pd.concat([frame, realised], ignore_index=True), SAVINGS)


def _without_price(rows: pd.DataFrame) -> str:
    """How many recommendations are in no sum of paper because nothing prices them, in words; init containers never are."""
    changed = rows[rows["change"].isin(["increase", "decrease"]) & (rows["role"] != "init")]
    count = int(changed["unit_price"].isna().sum())
    return f"; {count} of {len(changed)} have no price and are not in it" if count else ""


def _still_paid(pool: Any) -> str:
    """That freed nodes of a PACKING row are paid for until a date, in words."""
    return f", still paid for until {pool.committed_until} under a commitment" if pool.committed_until else ""


def _total(values: pd.Series) -> float:
    return float(values.sum(min_count=1))


def _bankable(packing: pd.DataFrame) -> dict[str, object]:
    """The cluster's bankable amount, what would make it true, and its grade: the lowest of the pools that lose a node."""
    if packing.empty:
        return {"amount": math.nan, "condition": "nodes and what runs on them must be known", "grade": "refused"}
    going = packing[packing["freed"] > 0]
    grades = ("high", "medium", "low")
    grade = max(going["grade"] if len(going) else packing["grade"], key=grades.index)
    amount = float(packing["bankable"].sum(skipna=False))
    if going.empty:
        return {"amount": amount, "condition": "no node can go with what is recommended: see what limits each pool", "grade": grade}
    nodes = int(going["freed"].sum())
    condition = f"the recommendations are applied, and {nodes} {'node goes' if nodes == 1 else 'nodes go'}"
    paid = [f"{visible(str(pool.pool), 60)}{_still_paid(pool)}" for pool in going.itertuples() if pool.committed_until]
    condition += "".join(f"; {one}" for one in paid)
    by_hand = going[~going["autoscaler"].isin(["cluster-autoscaler", "karpenter", "managed"])]
    if len(by_hand):
        many = int(by_hand["freed"].sum())
        condition += f"; {many} of them only when someone shrinks the pool, which counts as 0 until then"
    return {"amount": amount, "condition": condition, "grade": grade}
