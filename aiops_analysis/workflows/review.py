"""The monthly cost review: from the history of a window to recommendations, savings, data quality and the figures of the report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pandas as pd

from aiops_analysis.analysis.hours import HoursPolicy
from aiops_analysis.analysis.policy import SizingPolicy
from aiops_analysis.analysis.rightsizing import recommend
from aiops_analysis.analysis.savings import PriceBook, paper
from aiops_analysis.core.errors import NotEnoughData, StoreCorrupt
from aiops_analysis.core.schema import GROUP, KEY, METRICS
from aiops_analysis.core.window import Window, steps_of
from aiops_analysis.history.inventory import read_frame
from aiops_analysis.history.store import Store
from aiops_analysis.workflows.decisions import decided, quiet_until
from aiops_analysis.workflows.door import door_findings, left_out
from aiops_analysis.workflows.facts import facts_of
from aiops_analysis.workflows.figures import by_namespace, figures_of, findings_of, hours_note, notes_of, summary_of
from aiops_analysis.workflows.habits import Habits, habits_of, idle_of, with_business
from aiops_analysis.workflows.happened import events_of
from aiops_analysis.workflows.job_runs import JOB_KINDS
from aiops_analysis.workflows.marks import graded, mark_findings
from aiops_analysis.workflows.measure import ALL_KINDS
from aiops_analysis.workflows.measured import usage_in
from aiops_analysis.workflows.money import Asked, Money, money_of, prices_of
from aiops_analysis.workflows.pricing import unit_prices
from aiops_analysis.workflows.stability import since_last_run
from aiops_analysis.workflows.top import sober

__all__ = ["Beside", "Review", "monthly", "quality", "review_window"]


@dataclass(frozen=True)
class Review:
    """Everything the report shows and evidence.json keeps; frames follow core.schema, ``figures`` are plain numbers and texts."""

    cluster: str
    window: Window
    policy: SizingPolicy
    prices: PriceBook
    recommendations: pd.DataFrame
    usage: pd.DataFrame
    days: pd.DataFrame
    namespaces: pd.DataFrame
    figures: Mapping[str, float | int | str | None]
    findings: tuple[Mapping[str, object], ...]
    summary: str
    fingerprint: str
    queries: Mapping[str, str]
    source: Mapping[str, str]
    notes: tuple[str, ...]
    events: pd.DataFrame  # what happened to a row's container by day
    week: pd.DataFrame  # the cluster's P95 by weekday and hour
    habits: pd.DataFrame  # what is idle: one row per finding
    changed: pd.DataFrame  # rows that are not what the last run said
    last_run: str  # the name of that run, "" when there is none
    until: Mapping[str, str]  # decision record -> ISO date until which it keeps its rows quiet
    money: Money  # the three numbers, nodes, and the ledger

    @property
    def frames(self) -> Mapping[str, pd.DataFrame]:
        """What recommendations.json lists beside the recommendations, by key."""
        return self.money.frames


@dataclass(frozen=True)
class Beside:
    """What a review is read beside: decision records, the last run, and the hours of business."""

    adr_dir: Path | None = None
    last_run: Path | None = None
    hours: HoursPolicy | None = None


def review_window(store: Store, *, days: int, last: date | None = None) -> Window:
    """The window of ``days`` days that ends with ``last``, or with the newest stored day.

    Raises NotEnoughData, with what to do, when nothing is stored.
    """
    stored = store.days("cpu_usage")
    if not stored:
        raise NotEnoughData(
            f"there is no history of cluster {store.cluster!r} in {store.root}; run: aiops-analysis pull --cluster {store.cluster}"
        )
    return Window.of_days(last or stored[-1], days)


def monthly(store: Store, window: Window, policy: SizingPolicy, asked: Asked | None = None, beside: Beside | None = None) -> Review:
    """The review of a window, its money by the prices ``asked`` for (OpenCost's defaults).

    Damaged days are moved aside, named in the findings and left out.

    Raises NotEnoughData when no day of the window is stored.
    """
    beside, asked = beside or Beside(), asked or Asked()
    damaged: list[str] = []
    kinds = (*ALL_KINDS, "workloads")
    for _ in range(sum(len(store.days(kind)) for kind in kinds) + 1):  # every turn but the last moves one day of one kind aside
        try:
            return _monthly(store, window, policy, asked, beside, damaged)
        except StoreCorrupt as error:
            damaged.append(_move_aside(store, window, error))
    raise StoreCorrupt(f"the history {store.path} is damaged throughout: {damaged[-1]}")


def _move_aside(store: Store, window: Window, error: StoreCorrupt) -> str:
    """Move the day that an error names out of the way; the next pull asks for it again."""
    for kind in (*ALL_KINDS, "workloads"):
        for day in {*window.days(), *store.days(kind)}:  # the ledger and the bridge read earlier days too
            if str(store.folder(kind, day)) in str(error):
                with store.lock():
                    return f"{error}; moved to {store.set_aside(kind, day)}, pull again while the server still has it"
    raise error


def _monthly(store: Store, window: Window, policy: SizingPolicy, asked: Asked, beside: Beside, damaged: list[str]) -> Review:
    days = quality(store, window)
    if not (days["status"] != "missing").any():
        raise NotEnoughData(f"no day of {window.as_dict()['start']} to {window.as_dict()['end']} is stored for cluster {store.cluster!r}")
    inventory, facts, usage, sized = _sized(store, window, policy)
    seen = habits_of(store, window, beside.hours, inventory=inventory)
    priced = prices_of(store, window, asked)
    prices = priced.book
    costed = paper(graded(store, window, sized), prices, unit_prices(facts, priced.rates, prices))
    found = _business(costed, seen, usage)
    idle = idle_of(seen, found, usage, facts, currency=prices.currency)
    compared, changed, said = _beside(found, beside, store.cluster, policy, window)
    recommendations, money = money_of(store, window, compared, facts, inventory, priced, asked, beside.adr_dir)
    figures = {**figures_of(recommendations, days, window, prices), **money.figures}
    queries, source = _origin(store, window)
    findings = findings_of(recommendations, days, source, damaged, store.days("cpu_usage")[-1])
    return Review(
        cluster=store.cluster,
        window=window,
        policy=policy,
        prices=prices,
        recommendations=recommendations,
        usage=usage,
        days=days,
        namespaces=by_namespace(recommendations),
        figures=figures,
        findings=(*findings, *mark_findings(store, window), *door_findings(store, window), *money.findings, *idle.findings, *said),
        summary=summary_of(store.cluster, window, figures),
        fingerprint=store.fingerprint((*ALL_KINDS, "workloads"), _days_read(store, window, money)),
        queries=queries,
        source=source,
        notes=(*notes_of(policy, prices, window), *priced.notes, *money.costs.notes, hours_note(seen.hours)),
        events=events_of(store, window, inventory),
        week=seen.week,
        habits=idle.workloads,
        changed=changed,
        last_run="" if beside.last_run is None else beside.last_run.name,
        until={} if beside.adr_dir is None else quiet_until(beside.adr_dir),
        money=money,
    )


def _days_read(store: Store, window: Window, money: Money) -> list[date]:
    """The days of the window, the one after it for what binds pods to nodes, and the earlier ones of a ledger or a bridge."""
    earlier = len(money.realised) > 0 or (money.moved.before and money.moved.before[0] < window.start.date())
    before = [day for day in store.days("inventory") if day < window.start.date()] if earlier else []
    return [*before, *window.days(), *(day for day in store.days("workloads") if day == window.end.date())]


def _sized(store: Store, window: Window, policy: SizingPolicy) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """INVENTORY, FACTS and USAGE of a window, and the RECOMMENDATIONS from them, without money."""
    inventory = read_frame(store, "inventory", window.days())
    facts = sober(store, window, facts_of(store, window, inventory))
    usage = usage_in(store, window, facts, policy, inventory)
    facts = _with_memory_at_kill(facts, usage)
    bounds = read_frame(store, "bounds", window.days())
    return inventory, facts, usage, recommend(usage, facts, policy, cluster=store.cluster, window=window, bounds=bounds)


def _business(found: pd.DataFrame, seen: Habits, usage: pd.DataFrame) -> pd.DataFrame:
    """RECOMMENDATIONS with the P95 of business hours where it is of the same samples: not after a rollout that cut them, not of jobs."""
    on = [*GROUP, "resource"]
    whole = usage.loc[(usage["cut"] == "") & ~usage["workload_kind"].isin(JOB_KINDS), on]
    same = pd.MultiIndex.from_frame(found[on]).isin(pd.MultiIndex.from_frame(whole))
    with_it = with_business(found, seen)
    return with_it.assign(business_p95=with_it["business_p95"].where(same))


def _beside(
    found: pd.DataFrame, beside: Beside, cluster: str, policy: SizingPolicy, window: Window
) -> tuple[pd.DataFrame, pd.DataFrame, tuple[Mapping[str, object], ...]]:
    """RECOMMENDATIONS compared with the last run and under the decisions of people, what changed since, and the findings of both."""
    since = since_last_run(found, beside.last_run, cluster=cluster, policy=policy, window=window)
    changed = _shown(since.rows[since.rows["stability"] != "same"], found)
    if beside.adr_dir is None:
        return since.recommendations, changed, since.findings
    # what has expired is decided by the window, so that a review of a past month is the same again
    last = window.end.date() - timedelta(days=1)
    recommendations, said = decided(since.recommendations, beside.adr_dir, cluster, last, policy=policy)
    return recommendations, changed, (*since.findings, *said)


def _shown(moved: pd.DataFrame, found: pd.DataFrame) -> pd.DataFrame:
    """STABILITY rows with what the last run (``before``) and this one (``now``) recommend [cores | bytes], and why (``message``)."""
    now = found.set_index(list(KEY))["guarded_request"]
    keys = pd.MultiIndex.from_frame(moved[list(KEY)])
    out = moved.rename(columns={"previous_request": "before", "why": "message"})
    return out.assign(now=now.reindex(keys).to_numpy(np.float64))


def _with_memory_at_kill(facts: pd.DataFrame, usage: pd.DataFrame) -> pd.DataFrame:
    """The largest working set seen of containers that were killed for memory: what they reached before (methods.md A6)."""
    peak = usage.loc[usage["resource"] == "memory", [*GROUP, "max"]]
    out = facts.drop(columns="mem_at_oom").merge(peak.rename(columns={"max": "mem_at_oom"}), on=list(GROUP), how="left")
    return out.assign(mem_at_oom=out["mem_at_oom"].where(out["oom_kills"] > 0))[list(facts.columns)]


def quality(store: Store, window: Window) -> pd.DataFrame:
    """One row per day and metric of the window: status, completeness of its steps, series, values left out, and the server's warnings."""
    rows = []
    for metric in METRICS:
        manifests = store.manifests(metric, window.days())
        for day in window.days():
            m = manifests.get(day)
            rows.append(
                {
                    "day": day.isoformat(),
                    "metric": metric,
                    "status": "missing" if m is None else m.status,
                    "completeness": 0.0 if m is None else 1 - m.holes / steps_of(),
                    "series": 0 if m is None else m.rows,
                    "dropped": 0 if m is None else left_out(m),
                    "warnings": "" if m is None else "; ".join(m.warnings),
                }
            )
    return pd.DataFrame(rows)


def _origin(store: Store, window: Window) -> tuple[dict[str, str], dict[str, str]]:
    """The query texts of the newest day, and the server that it came from."""
    queries: dict[str, str] = {}
    source: dict[str, str] = {}
    for kind in ALL_KINDS:
        manifests = store.manifests(kind, window.days())
        if manifests:
            newest = manifests[max(manifests)]
            queries |= newest.queries
            source = dict(newest.source)
    return queries, source
