"""What a window cost: from the history, day by day, to COSTS and NODE_COSTS, and what is estimated or unknown in them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import date

import numpy as np
import pandas as pd

from aiops_analysis.analysis.bridge import bridge, total_cost
from aiops_analysis.analysis.costs import SHARED, allocation_frame, costs_frame, node_book, node_costs_frame, with_shared
from aiops_analysis.analysis.lifetimes import SeriesKeys, lives_of, spans_of
from aiops_analysis.core.contract import check, empty
from aiops_analysis.core.schema_money import BRIDGE, NODE_PRICES
from aiops_analysis.core.window import DAY, Window, day_start
from aiops_analysis.history.inventory import read_frame
from aiops_analysis.history.store import Store
from aiops_analysis.workflows.cost_pieces import loose_of, measured_of, pieces_of, waiting
from aiops_analysis.workflows.cost_words import Counts, said_of
from aiops_analysis.workflows.measure import METRIC_OF

__all__ = ["Bridge", "Costs", "bridge_of", "costs_of"]

_FEWEST = 7  # days on each side of a bridge
_ENOUGH = 0.5  # of the days of the window have a partner in the one before; with fewer its own halves are compared


@dataclass(frozen=True)
class Costs:
    """COSTS and NODE_COSTS of a window, the finer ALLOCATION they are of, and how much of them is known.

    shares : plain numbers from 0 to 1, NaN when not known; ``measured_cpu`` and ``measured_memory`` (of container hours, with a usage
    sample), ``unknown_cpu`` and ``unknown_memory`` (with neither request nor sample), ``mean_price`` (of the cost, priced by the
    cluster's mean). days : the UTC days that the sums are of.
    """

    costs: pd.DataFrame
    nodes: pd.DataFrame
    allocation: pd.DataFrame
    days: tuple[date, ...]
    shares: Mapping[str, float]
    notes: tuple[str, ...]
    findings: tuple[Mapping[str, object], ...]


def costs_of(
    store: Store,
    window: Window,
    node_prices: pd.DataFrame,
    *,
    shared: Collection[str] = SHARED,
    rule: str = "proportional",
    inventory: pd.DataFrame | None = None,
    workers: int = 2,
) -> Costs:
    """What the containers and nodes of a window cost by NODE_PRICES: max(request, usage) x price by the step (methods.md B2).

    ``inventory`` is that of the window where it was read before; ``shared`` are the namespaces that everybody carries, by ``rule``
    (proportional, uniform, none). A day of the history is read at a time. Raises StoreCorrupt, UsageError for another rule.
    """
    days = list(window.days())
    inventory = read_frame(store, "inventory", days) if inventory is None else inventory
    nodes, prices = read_frame(store, "nodes", days), check(node_prices, NODE_PRICES)
    manifests = {kind: store.manifests(kind, days) for kind in ("inventory", "nodes", *METRIC_OF.values())}
    stored = {kind: [day in found for day in days] for kind, found in manifests.items()}
    keys = SeriesKeys(inventory)
    lives = lives_of(inventory, keys, window, stored["inventory"])
    measured = measured_of(store, days, manifests, lives, keys, workers)
    node_spans = spans_of(nodes, ("node",), window, stored["nodes"])
    book = node_book(nodes, node_spans, prices, len(days))
    waits = waiting(inventory["node"].to_numpy(object)[lives.spans.row], lives, measured)
    loose = loose_of(measured.loose, inventory, lives)
    pieces = pieces_of(inventory, lives, measured, loose, np.flatnonzero(~waits), book)
    names = [day.isoformat() for day in days]
    allocation = with_shared(allocation_frame(pieces, book, names), shared, rule)
    node_costs = node_costs_frame(nodes, node_spans, prices, book, allocation, names)
    there = [day for day in days if any(day in manifests[kind] for kind in ("inventory", *METRIC_OF.values()))]
    counts = Counts(
        waiting=len(np.unique(lives.pod[waits])),
        loose=int(loose["steps"].sum()),
        unseen=lives.spans.unseen,
        missing=tuple(day for day in days if day not in there),
        no_inventory=tuple(day for day in there if day not in manifests["inventory"]),
        no_nodes=tuple(day for day in there if day not in manifests["nodes"]),
    )
    shares, notes, findings = said_of(counts, pieces, book, node_costs, shared, rule, allocation)
    return Costs(costs_frame(allocation), node_costs, allocation, tuple(there), shares, notes, findings)


@dataclass(frozen=True)
class Bridge:
    """BRIDGE of two periods, the days that each is of, and in words what is compared or why nothing is (then the frame is empty)."""

    frame: pd.DataFrame
    before: tuple[date, ...]
    after: tuple[date, ...]
    words: str

    @property
    def periods(self) -> str:
        """The two periods in a few words, "" when there are none."""
        return f"{self.after[0]} to {self.after[-1]} beside {self.before[0]} to {self.before[-1]}." if self.after and self.before else ""


def bridge_of(store: Store, window: Window, costs: Costs, price_of: Callable[[Window], pd.DataFrame], *, workers: int = 2) -> Bridge:
    """Why a window cost what it did beside the window of the same length before it; ``costs`` are those of the window.

    Where less than half of that is stored, the later half of the window stands beside its earlier half, in whole weeks so that weekdays
    are alike. Days are compared in pairs, and a pair of which one is not whole in the history is left out of both. With fewer than 7
    pairs, or with a bill of one side only, there is no bridge. price_of : NODE_PRICES of a window, asked for the earlier one only.
    Raises StoreCorrupt.
    """
    days = list(window.days())
    earlier = Window(day_start(days[0]) - len(days) * DAY, day_start(days[0]))
    whole = _whole(store, window, earlier)
    pairs = _pairs(list(earlier.days()), days, whole)
    if len(pairs) >= max(_FEWEST, _ENOUGH * len(days)):
        before = costs_of(store, earlier, price_of(earlier), workers=workers)
        return _bridged(before, costs, pairs, len(days), "")
    stored = [day for day in days if day in whole]
    span = (stored[-1] - stored[0]).days + 1 if stored else 0
    half = span // 2 // 7 * 7
    if half >= _FEWEST:
        later = [stored[-1] - n * DAY for n in range(half)][::-1]
        pairs = _pairs([day - half * DAY for day in later], later, whole)
        why = (
            f"Less than half of the {len(days)} days before the window is stored, so its last {half} days stand beside the {half} before. "
        )
        if len(pairs) >= _FEWEST:
            return _bridged(costs, costs, pairs, half, why)
    words = f"No comparison: it needs {_FEWEST} whole days on each side, and {len(stored)} days are stored in this window"
    return Bridge(empty(BRIDGE), (), (), f"{words}, {sum(day in whole for day in earlier.days())} in the one before.")


def _whole(store: Store, window: Window, earlier: Window) -> set[date]:
    """Days of both windows that have everything that the window has at all: samples, inventory, nodes."""
    there = {kind: set(store.days(kind)) for kind in ("inventory", "nodes", *METRIC_OF.values())}
    mine = set(window.days())
    asked = [days for days in there.values() if days & mine]
    both = mine | set(earlier.days())
    return {day for day in both if asked and all(day in days for days in asked)}


def _pairs(before: list[date], after: list[date], whole: set[date]) -> list[tuple[date, date]]:
    return [(old, new) for old, new in zip(before, after, strict=True) if old in whole and new in whole]


def _billed(nodes: pd.DataFrame) -> bool:
    """Whether any node of NODE_COSTS costs what was billed for it."""
    return any("billing" in basis.split(", ") for basis in nodes["price_basis"])


def _bridged(before: Costs, after: Costs, pairs: list[tuple[date, date]], length: int, why: str) -> Bridge:
    old, new = (tuple(side) for side in zip(*pairs, strict=True))
    frames = [
        frame[frame["day"].isin([day.isoformat() for day in days])]
        for found, days in ((before, old), (after, new))
        for frame in (found.costs, found.nodes)
    ]
    if np.isnan(total_cost(*frames[:2])) or np.isnan(total_cost(*frames[2:])):
        return Bridge(empty(BRIDGE), (), (), "No comparison: the cost of one of the two periods is not known.")
    if len({_billed(nodes) for nodes in (frames[1], frames[3])}) > 1:  # else what a bill and a list differ by would show as a new price
        words = "No comparison: the billing export prices one of the two periods and not the other; give one that covers both."
        return Bridge(empty(BRIDGE), (), (), words)
    words = f"{why}{new[0]} to {new[-1]} against {old[0]} to {old[-1]} (UTC), {len(pairs)} days each, not scaled to a month."
    if length > len(pairs):
        words += f" {length - len(pairs)} pairs of days are left out, because one of the two is not whole in the history."
    if not len(frames[1]) or not len(frames[3]):
        words += " No node is known, so idle cost is not compared."
    return Bridge(bridge(*frames), old, new, words)
