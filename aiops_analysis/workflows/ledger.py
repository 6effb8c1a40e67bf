"""The ledger: the decision records of a folder beside the history of their cluster; there is no other database (methods.md B3)."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from functools import partial
from pathlib import Path

import pandas as pd

from aiops_analysis.analysis.applied import Applied, applied_of
from aiops_analysis.analysis.gap import PARTS, cause_of, nodes_of, parts_of, work_of
from aiops_analysis.analysis.node_prices import node_prices
from aiops_analysis.analysis.past import Past
from aiops_analysis.analysis.realised import BASELINE_DAYS, HORIZONS, LEAST_DAYS, Line, Share, cluster_line, shares_of
from aiops_analysis.core.decision import Decision
from aiops_analysis.core.names import visible
from aiops_analysis.core.pricing import PriceList
from aiops_analysis.core.schema import GRADES, NODES, blank, check, empty
from aiops_analysis.core.schema_money import LEDGER, NODE_PRICES, SAVINGS
from aiops_analysis.core.window import last_whole_day
from aiops_analysis.history.store import Store
from aiops_analysis.sources.records import Folder, read_folder
from aiops_analysis.workflows.slices import Raw, read_slices, to_past

__all__ = ["Ledger", "ledger_from", "ledger_of", "savings_rows"]

_REACH = 90 + BASELINE_DAYS  # days before a record that are read: the baseline, and a change that was there before its record
_CHANGES = ("whole", "partly")
_KNOWN = ("measured", "not attributable")


@dataclass(frozen=True)
class Ledger:
    """What was promised and what came of it: LEDGER rows of accepted records, sums, and what a person should do or know.

    ``parts`` has the parts of each gap (record, part, what, amount [currency / month]), which add up to it. ``totals`` are plain numbers;
    realised, gap and promised_measured are of the measured records, ``cluster`` figures of all nodes. ``proposals`` name records that the
    cluster has and that lack ``implemented_on``. ``counted`` is the number of the cluster's records by status.
    """

    cluster: str
    rows: pd.DataFrame
    parts: pd.DataFrame
    totals: Mapping[str, float]
    findings: tuple[Mapping[str, object], ...]
    proposals: tuple[Mapping[str, object], ...]
    counted: Mapping[str, int]
    currency: str
    price_source: str
    end: date


def ledger_of(
    store: Store,
    folder: Path,
    end: datetime | date,
    prices: PriceList | pd.DataFrame,
    *,
    before: PriceList | pd.DataFrame | None = None,
    volume: pd.Series | None = None,
    currency: str = "USD",
    beside: PriceList | None = None,
) -> Ledger:
    """The accepted records of this store's cluster in ``folder``, measured in its history through ``end``.

    end : the last whole day counts; a date is that day. prices : a price list, or NODE_PRICES in ``currency``; ``before`` holds the prices
    of the baseline period where they were others; ``beside`` prices nodes that NODE_PRICES do not name, such as those that went before
    its window. volume : what the cluster served by day (index: dates), in the place of the requested
    core-hours of unchanged workloads. Records of other clusters are left out, undecided and rejected ones only counted. Raises StoreError,
    SchemaError.
    """
    found = read_folder(folder)
    read = partial(read_slices, store)
    return ledger_from(read, store.cluster, found, end, prices, before=before, volume=volume, currency=currency, beside=beside)


def ledger_from(
    read: Callable[[date, date], Raw],
    cluster: str,
    found: Folder,
    end: datetime | date,
    prices: PriceList | pd.DataFrame,
    *,
    before: PriceList | pd.DataFrame | None = None,
    volume: pd.Series | None = None,
    currency: str = "USD",
    beside: PriceList | None = None,
) -> Ledger:
    """``ledger_of`` a folder and a cluster's history that ``read`` gives for a first and a last day."""
    mine = [one for one in found.decisions if one.cluster == cluster]
    money = prices.currency if isinstance(prices, PriceList) else currency
    last = last_whole_day(end) if isinstance(end, datetime) else end
    accepted, odd = _in_one_currency([one for one in mine if one.status == "accepted"], money)
    findings = (*_folder_findings(found), *odd)
    counted = dict(Counter(one.status for one in mine))
    if not accepted:
        return Ledger(cluster, empty(LEDGER), _parts([]), _totals([], None), findings, (), counted, money, "", last)
    first = min(min(one.dated, one.decided_on or one.dated) for one in accepted) - timedelta(days=_REACH)
    raw = read(min(first, last), last)
    priced = _node_prices(raw, prices, beside)
    past = to_past(raw, priced, None if before is None else _node_prices(raw, before, beside))
    applied = [applied_of(one, past) for one in accepted]
    shares = shares_of(past, applied, volume)
    made = [_row(past, one, shares.get(one.decision.id), (money, _source(priced)), last) for one in applied]
    rows = [row for row, _ in made]
    return Ledger(
        cluster=cluster,
        rows=check(pd.DataFrame(rows, columns=list(LEDGER.columns)), LEDGER),
        parts=_parts(made),
        totals=_totals(rows, cluster_line(past, list(shares.values()), volume)),
        findings=(*findings, *_data_findings(raw, past, shares, volume), *_date_findings(applied)),
        proposals=tuple(_proposal(one) for one in applied if one.state in _CHANGES and one.decision.implemented_on is None),
        counted=counted,
        currency=money,
        price_source=_source(priced),
        end=last,
    )


def _parts(made: Sequence[tuple[Mapping[str, object], Mapping[str, float]]]) -> pd.DataFrame:
    """The parts of every gap, in the order of the rows."""
    rows = [(str(row["record"]), part, PARTS[part], amount) for row, gap in made for part, amount in gap.items()]
    kinds = {"record": "str", "part": "str", "what": "str", "amount": "float64"}
    return pd.DataFrame(rows, columns=list(kinds)).astype(kinds)


def savings_rows(ledger: Ledger) -> pd.DataFrame:
    """The ledger as SAVINGS rows of the number realised: the cluster's sum over its measured decisions, then each decision."""
    rows = [
        {
            "number": "realised",
            "scope": "decision",
            "name": row.record,
            "amount": row.realised,
            "condition": f"{row.outcome}: {row.cause}",
            "grade": _grade(row.outcome, row.days_after),
        }
        for row in ledger.rows.itertuples()
    ]
    measured = ledger.totals["measured"]
    said = f"{measured:.0f} of {ledger.totals['records']:.0f} accepted decisions are measured, by node-hours"
    grades = [str(row["grade"]) for row in rows if row["grade"] != "refused"]
    whole = {"number": "realised", "scope": "cluster", "name": ledger.cluster, "amount": ledger.totals["realised"], "condition": said}
    whole["grade"] = max(grades, key=GRADES.index) if measured and grades else "refused"
    frame = pd.DataFrame([whole, *rows]).assign(currency=ledger.currency, price_source=ledger.price_source)
    return check(frame, SAVINGS)


def _grade(outcome: str, days: int) -> str:
    """high from 30 measured days on, medium from 14 on, refused where nothing is known; what was not applied is known well."""
    if outcome == "not applied":
        return "high"
    return "refused" if outcome not in _KNOWN else "high" if days >= HORIZONS[0] else "medium"


def _in_one_currency(decisions: Sequence[Decision], currency: str) -> tuple[list[Decision], list[Mapping[str, object]]]:
    """The decisions, without a promise where it is in another currency, which is a finding."""
    out: list[Decision] = []
    odd: list[Mapping[str, object]] = []
    for one in decisions:
        if one.currency in ("", currency):
            out.append(one)
            continue
        said = f"decision {one.id} promised its saving in {visible(one.currency, 10)}, the ledger is in {currency}: its gap is not known"
        odd.append({"code": "ledger_currency", "message": said, "data": {"record": one.id, "currency": one.currency}})
        out.append(replace(one, paper=math.nan, bankable=math.nan))
    return out, odd


def _folder_findings(folder: Folder) -> list[Mapping[str, object]]:
    return [
        {"code": "decision_unreadable", "message": f"decision record {problem}", "data": {"file": problem.file, "line": problem.line}}
        for problem in folder.problems
    ]


def _node_prices(raw: Raw, prices: PriceList | pd.DataFrame, beside: PriceList | None) -> pd.DataFrame:
    """NODE_PRICES of the nodes in the history; those that a frame does not name by the list ``beside``, but in a billed pool."""
    machines = raw.machines if len(raw.machines) else empty(NODES)
    if isinstance(prices, PriceList):
        return node_prices(machines, prices)
    named = check(prices, NODE_PRICES)
    billed = named.loc[named["basis"] == "billing", "pool"]  # its mean is what such a node cost, a list would show as a price effect
    rest = machines[~machines["node"].isin(named["node"]) & ~machines["pool"].isin(billed)]
    return pd.concat([named, node_prices(rest, beside)], ignore_index=True) if beside is not None and len(rest) else named


def _source(priced: pd.DataFrame) -> str:
    sources = priced.loc[priced["price_hour"] > 0, "source"]
    return "; ".join(dict.fromkeys(sources))


def _row(
    past: Past, one: Applied, share: Share | None, money: tuple[str, str], last: date
) -> tuple[dict[str, object], Mapping[str, float]]:
    """One LEDGER row and the parts of its gap; ``money`` is the currency and where the prices are from."""
    decision = one.decision
    row = _promise(one, *money)
    if share is None:
        outcome, cause = _never(past, one)
        nothing = {"realised": 0.0, "gap": decision.paper} if outcome == "not applied" else {}
        return row | nothing | {"outcome": outcome, "cause": cause}, {}
    nodes = nodes_of(past, share)
    row |= {
        "days_before": min((past.measured(part.terms.baseline) for part in share.parts), default=0),
        "days_after": past.measured(share.reporting),
        "paper_now": share.paper,
        "realised": share.realised,
        **{f"realised_{days}": share.by_horizon[days] for days in HORIZONS},
        "work_ratio": work_of(past, share),
        "nodes_before": nodes.mean_before,
        "nodes_after": nodes.mean_after,
    }
    if why := _not_yet(past, share, last):
        return row | dict(zip(("outcome", "cause"), why, strict=True)), {}
    parts = parts_of(past, share, nodes)
    spare = sum(float(part.terms.saved[share.reporting].sum()) for part in share.parts)
    lost = nodes.left > 0 and share.realised == 0 and spare > 0 and one.state != "reverted"
    return row | {
        "price_effect": share.price_effect,
        "gap": decision.paper - share.realised,
        "outcome": "not attributable" if lost else "measured",
        "cause": cause_of(past, share, nodes, parts),
    }, parts


def _promise(one: Applied, currency: str, source: str) -> dict[str, object]:
    """What a record says, and when the history saw it."""
    decision = one.decision
    return blank(LEDGER) | {
        "record": decision.id,
        "title": decision.title,
        "cluster": decision.cluster,
        "workloads": ["/".join(choice.key[1:]) for choice in decision.choices],
        "decided_on": str(decision.decided_on or ""),
        "promised_paper": decision.paper,
        "promised_bankable": decision.bankable,
        "currency": currency,
        "price_source": source,
        "applied": one.state,
        "applied_on": str(one.on or ""),
    }


def _never(past: Past, one: Applied) -> tuple[str, str]:
    """Outcome and cause of a record that was not applied, or of which nothing is known."""
    decided = one.decision.decided_on
    if not one.steps:
        return "not computable", "it changes no request, so it frees nothing that nodes are counted by"
    if one.state == "not":
        return "not applied", f"decided on {decided}, and its requests in the cluster are the old ones"
    seen = [step.last for step in one.steps if step.last >= 0]
    if len(past.start) and decided is not None and int(past.start[-1] + past.days[-1]) <= decided.toordinal():
        return "not yet measured", f"decided on {decided}, and the history ends on {past.day(-1) + timedelta(days=int(past.days[-1]) - 1)}"
    if not seen:
        return "not computable", "no pod of its workload is in the history: the workload is gone, or its days are missing"
    return "not computable", f"its workload is not in the history since {past.day(max(seen)) + timedelta(days=int(past.days[max(seen)]))}"


def _not_yet(past: Past, share: Share, last: date) -> tuple[str, str] | None:
    """Outcome and cause where nothing can be measured, None where it can."""
    one = share.applied
    if not share.parts:
        return "not computable", "no node of its pods is in the history, so no node-hours can be compared"
    before = min(past.measured(part.terms.baseline) for part in share.parts)
    after = past.measured(share.reporting)
    if before < LEAST_DAYS:
        return "not computable", f"{before} days before the change of {one.on} are measured, {LEAST_DAYS} are needed"
    if after < LEAST_DAYS and one.until:
        return "not computable", f"its workload was gone {after} measured days after the change, {LEAST_DAYS} are needed"
    if after < LEAST_DAYS:
        ready = last + timedelta(days=LEAST_DAYS - after)
        return "not yet measured", f"{after} of {LEAST_DAYS} days after the change of {one.on} are measured; from {ready} on it is known"
    if math.isnan(share.realised):
        unpriced = any(math.isnan(part.terms.price) for part in share.parts)
        why = "the nodes of its pool have no price" if unpriced else "no workload stayed as it was, so work cannot be told; give a volume"
        return "not computable", why
    return None


def _totals(rows: Sequence[Mapping[str, object]], line: Line | None) -> dict[str, float]:
    """Sums per month. Promises that nobody applied, or that are not measured yet, are no gap."""
    frame = pd.DataFrame(list(rows), columns=list(LEDGER.columns))
    measured = frame[frame["outcome"].isin(_KNOWN)]
    sums = {
        "records": float(len(frame)),
        "measured": float(len(measured)),
        "promised": _sum(frame["promised_paper"]),
        "promised_measured": _sum(measured["promised_paper"]),
        "promised_not_applied": _sum(frame.loc[frame["outcome"] == "not applied", "promised_paper"]),
        "realised": _sum(measured["realised"]),
        "gap": _sum(measured["gap"]),
    }
    if line is None:
        nothing = ("realised", "attributed", "not_attributable", "price_effect", "work_ratio", "nodes_before", "nodes_after")
        return sums | {f"cluster_{name}": math.nan for name in nothing}
    return sums | {
        "cluster_realised": line.realised,
        "cluster_attributed": line.attributed,
        "cluster_not_attributable": line.realised - line.attributed,
        "cluster_price_effect": line.price_effect,
        "cluster_work_ratio": line.work_ratio,
        "cluster_nodes_before": line.nodes_before,
        "cluster_nodes_after": line.nodes_after,
    }


def _sum(values: pd.Series) -> float:
    return float(pd.to_numeric(values).sum(min_count=1))


def _data_findings(raw: Raw, past: Past, shares: Mapping[str, Share], volume: pd.Series | None) -> list[Mapping[str, object]]:
    """What a reader must know about the data behind the figures."""
    out: list[Mapping[str, object]] = [
        {"code": "ledger_damaged_day", "message": f"a part of the history is left out of the ledger: {text}", "data": {}}
        for text in raw.damaged
    ]
    if raw.weeks:
        weeks = f"{len(raw.weeks)} weeks from {raw.weeks[0]} on are known by their weekly rows alone"
        said = f"{weeks}; where pods ran then is taken from the stored days"
        out.append({"code": "ledger_weekly", "message": said, "data": {"weeks": [str(week) for week in raw.weeks]}})
    if volume is None:
        out += [_borrowed(one, past) for one in shares.values() if any(not part.terms.own_work for part in one.parts)]
    return out


def _borrowed(share: Share, past: Past) -> Mapping[str, object]:
    pools = [visible(past.pools[part.terms.pool], 60) for part in share.parts if not part.terms.own_work]
    record = share.applied.decision.id
    said = f"decision {record}: no workload of {', '.join(pools)} stayed as it was, so the work of the whole cluster counts there"
    return {"code": "ledger_work_borrowed", "message": said, "data": {"record": record, "pools": pools}}


def _date_findings(applied: Sequence[Applied]) -> list[Mapping[str, object]]:
    """Records whose ``implemented_on`` is not what the history saw."""
    out: list[Mapping[str, object]] = []
    for one in applied:
        said, seen = one.decision.implemented_on, one.on
        if said is None:
            continue
        if one.state == "not":
            why = "the history never saw it"
        elif seen is not None and one.state in _CHANGES and abs((seen - said).days) > 7:
            why = f"the history saw it on {seen}"
        else:
            continue
        message = f"decision {one.decision.id} says implemented on {said}, {why}"
        out.append({"code": "ledger_date_differs", "message": message, "data": {"record": one.decision.id, "seen": str(seen or "")}})
    return out


def _proposal(one: Applied) -> Mapping[str, object]:
    message = f"the cluster has decision {one.decision.id} since {one.on}: set implemented_on in {visible(one.decision.file, 120)}"
    if one.state == "partly":
        message = f"the cluster has a part of decision {one.decision.id} since {one.on}: finish it, or set implemented_on"
    return {"record": one.decision.id, "implemented_on": str(one.on), "applied": one.state, "message": message}
