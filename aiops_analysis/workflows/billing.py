"""A billing export for the nodes of a window: read, matched, and what a reader must know of it (methods.md B6)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd

from aiops_analysis.analysis.billed import ENOUGH, Basis, Matched, basis_of, billed_nodes
from aiops_analysis.analysis.provider_ids import Machines, machines_of
from aiops_analysis.core.errors import UsageError
from aiops_analysis.core.names import visible
from aiops_analysis.core.schema import empty
from aiops_analysis.core.schema_money import BILLED
from aiops_analysis.core.window import Window, iso
from aiops_analysis.sources.billing import Export, read_export
from aiops_analysis.sources.focus_files import CHUNK, shown
from aiops_analysis.sources.focus_kinds import BASES

__all__ = ["Billing", "read_billed"]

_NAN = float("nan")


@dataclass(frozen=True, slots=True)
class Billing:
    """What a billing export says about the nodes of a window. Money is in ``currency`` and of the window."""

    frame: pd.DataFrame  # BILLED to price nodes with: empty where too little matches, then the price sheet is used
    matched: pd.DataFrame  # BILLED of everything that matches
    match_rate: float  # share of the node hours that the export covers; NaN where it covers none
    cost_match_rate: float  # share of the export's cost of computers that these nodes are; NaN where there is none
    covered: float  # share of the window's node hours that the export covers
    basis: str  # EffectiveCost | BilledCost
    currency: str  # "" where nothing tells
    unused_commitment: float  # of the whole export, nobody's node
    credits: float  # credits and adjustments of the whole export, never taken off a node
    findings: tuple[Mapping[str, object], ...]  # code, message, data
    source: str  # printed beside figures


def read_billed(
    path: Path, nodes: pd.DataFrame, window: Window, *, currency: str | None = None, cluster: str = "", chunk: int = CHUNK
) -> Billing:
    """The billed price of each node of NODES from a FOCUS export: CSV, gzip of it, Parquet, or a folder of them.

    currency : the report's; a bill in another one is refused. cluster : its name in the export's tags, for providers without a
    providerID that a bill knows. chunk : bytes read at a time. Raises UsageError for an export that cannot be read.
    """
    machines = machines_of(nodes, cluster)
    export = read_export(path, machines, window, chunk=chunk)
    paid = _currency(export, currency, shown(path))
    counts = export.counts
    basis = basis_of(export.charges, counts["purchases"], counts["charged"], counts["charged_without_effective"])
    charges = export.charges.assign(cost=export.charges[basis.name])
    matched = billed_nodes(charges, machines, nodes, window, export.covered, export.resource_ids)
    column = BASES.index(basis.name)
    total, rate = float(export.money("compute", paid)[column]), matched.rate
    enough = rate >= ENOUGH  # never for NaN
    known = _Known(shown(path), export, machines, matched, basis, paid, window)
    return Billing(
        frame=matched.frame if enough else empty(BILLED),
        matched=matched.frame,
        match_rate=rate,
        cost_match_rate=matched.cost / total if total > 0 else _NAN,
        covered=matched.covered_hours / matched.node_hours if matched.node_hours > 0 else _NAN,
        basis=basis.name,
        currency=paid,
        unused_commitment=float(export.money("unused", paid)[column]),
        credits=float(export.money("credits", paid)[column]),
        findings=tuple({"code": code, "message": message, "data": data} for code, message, data in _said(known)),
        source=_source(known, rate),
    )


@dataclass(frozen=True, slots=True)
class _Known:
    """What the findings are made from."""

    name: str
    export: Export
    machines: Machines
    matched: Matched
    basis: Basis
    currency: str
    window: Window

    def money(self, what: str) -> float:
        """A sum of the export on the basis that is used."""
        return float(self.export.money(what, self.currency)[BASES.index(self.basis.name)])


_Said = tuple[str, str, dict[str, object]]


def _currency(export: Export, wanted: str | None, name: str) -> str:
    """The one currency of the matched charges, else the report's, else the one most of the export is in."""
    if not export.currencies:
        sums = {money: float(np.abs(amount).sum()) for (what, money), amount in export.sums.items() if what == "compute" and money}
        return wanted or max(sums, key=lambda money: sums[money], default="")
    (paid,) = export.currencies
    if wanted and paid != wanted:
        raise UsageError(
            f"{name} bills this cluster's nodes in {visible(paid, 20)} and the report is in {visible(wanted, 20)}; "
            "amounts are not converted: set currency to the bill's, or leave the bill out"
        )
    return paid


def _source(known: _Known, rate: float) -> str:
    """What is printed beside a figure."""
    if not known.matched.matched_hours:
        return f"billing export {known.name}, no node matched"
    begin, end = known.export.covered[0][0], known.export.covered[1][-1]
    return f"billing export {known.name}, {known.basis.name}, {_at(begin)} to {_at(end)}, {_share(rate)} of node hours matched"


def _at(second: int) -> str:
    return iso(datetime.fromtimestamp(int(second), UTC))


def _said(known: _Known) -> Iterator[_Said]:
    """Every finding, the one that decides first."""
    nothing = _nothing(known)
    if nothing is not None:
        yield nothing
    else:
        yield from _match(known)
        yield from _rows(known)
    yield from _apart(known)


def _nothing(known: _Known) -> _Said | None:
    """Why no node has a billed price, where none has."""
    name, export, machines, window = known.name, known.export, known.machines, known.window
    if machines.nodes.empty:
        return "billing_no_nodes", f"{name}: the history knows no node in the window, so nothing of the bill can be matched", {}
    count = len(machines.nodes)
    if (machines.nodes["key"] < 0).all() and export.charges.empty:
        text = f"{name}: none of {count} nodes has a providerID in the history, so no charge can be matched and none has a billed price"
        return "billing_no_ids", text, {"nodes": count}
    data: dict[str, object] = {"window": window.as_dict(), "rows": export.rows}
    if export.period is None:
        text = f"{name} has no hours of computers in {export.rows:,} rows (Usage of Compute in a unit of time); no node has a billed price"
        return "billing_no_hours", text, data
    begin, end = map(_at, export.period)
    data |= {"export": {"start": begin, "end": end}}
    if not len(export.covered[0]):
        text = f"{name} covers {begin} to {end} and the window is {iso(window.start)} to {iso(window.end)}: no hour of it is billed there"
        return "billing_no_overlap", f"{text}, so no node has a billed price", data
    if export.charges.empty:
        others = ", ".join(visible(one, 100) for one in export.strangers) or "no resource by name"
        text = f"none of {count} nodes is billed in {name}, which bills for {others}; is it the export of another account?"
        return "billing_other_account", text, data | {"nodes": count, "strangers": list(export.strangers)}
    return None


def _match(known: _Known) -> Iterator[_Said]:
    """How much matched, of what part of the window, by which cost."""
    name, matched, export = known.name, known.matched, known.export
    total = known.money("compute")
    data: dict[str, object] = {
        "node_hours": matched.node_hours,
        "covered_hours": matched.covered_hours,
        "matched_hours": matched.matched_hours,
        "matched_cost": matched.cost,
        "compute_cost": total,
        "currency": known.currency,
        "basis": known.basis.name,
    }
    of_cost = f" and {_share(matched.cost / total)} of its cost of computers" if total > 0 else ""
    text = f"{name}: {_share(matched.rate)} of the node hours{of_cost} matched, by {known.basis.name}"
    if matched.rate >= ENOUGH:
        yield "billing_matched", text, data
    else:
        low = f"{text}; that is below {_share(ENOUGH)}, so no node is priced by it"
        yield "billing_low_match", low, data
    if matched.covered_hours < 0.999 * matched.node_hours:
        begin, end = _at(export.covered[0][0]), _at(export.covered[1][-1])
        part = f"{matched.covered_hours:,.0f} of {matched.node_hours:,.0f} node hours of the window"
        yield "billing_partial", f"{name} covers {part} ({begin} to {end}); billed figures are of these hours only", data
    if known.basis.why:
        used = "BilledCost is used for every row" if known.basis.name == "BilledCost" else "EffectiveCost is used, with doubt"
        yield "billing_basis", f"{name}: {known.basis.why}; {used}", {"basis": known.basis.name}
    if matched.free:
        names = ", ".join(visible(node, 60) for node in matched.free[:3])
        more = f"{len(matched.free)} nodes are billed at nothing or less ({names}): they have no billed price"
        yield "billing_free", f"{name}: {more}", {"nodes": list(matched.free)}


def _rows(known: _Known) -> Iterator[_Said]:
    """What rows of our nodes were unusual, and what was done with them."""
    name, counts = known.name, known.export.counts
    if counts["identical"]:
        where = visible(known.export.repeated, 80)
        text = f"{counts['identical']} rows repeat a row of their file, the first of {where}; FOCUS gives rows no number, so they are added"
        yield "billing_identical", f"{name}: {text}", {"rows": counts["identical"], "first": known.export.repeated}
    if counts["delivered_twice"]:
        text = f"{counts['delivered_twice']} rows are in more than one file of the folder; each is counted once"
        yield "billing_delivered_twice", f"{name}: {text}", {"rows": counts["delivered_twice"]}
    if counts["restated"]:
        text = f"{counts['restated']} charges are in more than one file with other amounts; they are added, check for a restated export"
        yield "billing_restated", f"{name}: {text}", {"rows": counts["restated"]}
    if counts["other_units"]:
        amount = f"{known.money('other_units'):,.2f} {known.currency}"
        text = f"{counts['other_units']} rows of matched nodes are no hours (such as transfer in GB): {amount}, not in the price of an hour"
        yield "billing_other_units", f"{name}: {text}", {"rows": counts["other_units"], "cost": known.money("other_units")}
    others = sorted({money for what, money in known.export.sums if what == "compute" and money != known.currency})
    if others:
        said = ", ".join(visible(money, 20) or "no currency" for money in others[:4])
        text = f"computers that are not this cluster's are billed in {said}; they are left out of every sum"
        yield "billing_other_currency", f"{name}: {text}", {"currencies": others}


def _apart(known: _Known) -> Iterator[_Said]:
    """Money of the whole export that is on no node."""
    name, counts = known.name, known.export.counts
    unused, apart = known.money("unused"), known.money("credits")
    if unused:
        text = f"{unused:,.2f} {known.currency} of commitments was paid and not used in the window, by the whole export; it is on no node"
        yield "billing_unused_commitment", f"{name}: {text}", {"rows": counts["unused"], "cost": unused}
    if apart:
        text = f"credits and adjustments of the whole export in the window: {apart:,.2f} {known.currency}; they lower no node's price"
        yield "billing_credits", f"{name}: {text}", {"rows": counts["credits"], "cost": apart}


def _share(value: float) -> str:
    return f"{100 * value:.1f} %"
