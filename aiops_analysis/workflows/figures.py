"""What a review says in numbers and in one paragraph; every figure of the report is made here, none in presentation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, timedelta

import numpy as np
import pandas as pd

from aiops_analysis.analysis.hours import HoursPolicy
from aiops_analysis.analysis.policy import SizingPolicy
from aiops_analysis.analysis.savings import PriceBook
from aiops_analysis.core.reasons import Code, Reason
from aiops_analysis.core.schema import CHANGES, GRADES, GROUP, RESOURCES
from aiops_analysis.core.units import human_memory
from aiops_analysis.core.window import Window

__all__ = ["by_namespace", "figures_of", "findings_of", "hours_note", "notes_of", "summary_of"]

Figure = float | int | str | None
_MOST_NAMED = 10
_LONG_KEPT = timedelta(days=400)
_RISKS = (Code.UNDER_REQUESTED, Code.CENSORED, Code.OOM_KILLED)


def _weighted(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows with a request and a P95, both times the running replicas [cores | bytes]."""
    running = rows[rows["role"] != "init"]  # an init container is gone when the pod runs
    known = running[running["current_request"].gt(0) & running["p95"].notna() & running["replicas"].gt(0)]
    return known.assign(asked=known["current_request"] * known["replicas"], used=known["p95"] * known["replicas"])


def _at_risk(reasons: Sequence[Reason]) -> bool:
    """True for a container that already hurts: over its request, throttled, or killed for memory."""
    return any(reason.code in _RISKS for reason in reasons)


def _share(rows: pd.DataFrame) -> float | None:
    """Over-provisioning of some rows: 1 - P95/request, as a ratio of sums (methods.md I-12); None without rows."""
    asked = float(rows["asked"].sum())
    return 1 - float(rows["used"].sum()) / asked if asked > 0 else None


def by_namespace(recommendations: pd.DataFrame) -> pd.DataFrame:
    """One row per namespace and resource: containers; request, p95 [cores | bytes, times replicas]; overprovision; paper [currency].

    What a decision record keeps quiet is no saving that waits.
    """
    rows = []
    # few columns: lists of samples and reasons need not be copied for each namespace
    few = recommendations[["namespace", "resource", "role", "current_request", "p95", "replicas", "decided", "paper"]]
    sized = _weighted(few)
    running = dict(iter(sized.groupby(["namespace", "resource"])))
    for (namespace, resource), part in few.groupby(["namespace", "resource"], sort=True):
        weighted = running.get((namespace, resource), sized[:0])
        share = _share(weighted)
        rows.append(
            {
                "namespace": namespace,
                "resource": resource,
                "containers": len(part),
                "request": float(weighted["asked"].sum()),
                "p95": float(weighted["used"].sum()),
                "overprovision": np.nan if share is None else share,
                "paper": float(part.loc[part["decided"] == "", "paper"].sum(min_count=1)),
            }
        )
    columns = {
        "namespace": "str",
        "resource": "str",
        "containers": "int64",
        **dict.fromkeys(("request", "p95", "overprovision", "paper"), "float64"),
    }
    return pd.DataFrame(rows, columns=list(columns)).astype(columns)


def figures_of(recommendations: pd.DataFrame, days: pd.DataFrame, window: Window, prices: PriceBook) -> dict[str, Figure]:
    """The flat figures of the report and of evidence.json; None is "not known", never 0."""
    # what a person decided against is no saving that waits
    sized = recommendations[(recommendations["grade"] != "refused") & (recommendations["decided"] == "")]
    out: dict[str, Figure] = {
        "window_days": sum(1 for _ in window.days()),
        "days_stored": int(days.loc[days["status"] != "missing", "day"].nunique()),
        "workload_containers": len(recommendations.drop_duplicates(list(GROUP))),
        "rows": len(recommendations),
        "rows_recommended": len(sized),
        "rows_refused": int((recommendations["grade"] == "refused").sum()),
        "rows_decided": int(((recommendations["grade"] != "refused") & (recommendations["decided"] != "")).sum()),
        "currency": prices.currency,
        "price_source": prices.source,
        "paper_month": _sum(sized["paper"]),
        "paper_rule_month": _sum(sized["paper_rule"]),
        "request_cost_month": _sum(recommendations["request_cost"]),
        "paper_decrease_month": _sum(sized.loc[sized["change"] == "decrease", "paper"]),
        "paper_increase_month": _sum(sized.loc[sized["change"] == "increase", "paper"]),
        "completeness": _completeness(days),
    }
    for change in CHANGES:
        out[f"rows_{change}"] = int((recommendations["change"] == change).sum())
    for grade in GRADES:
        out[f"grade_{grade}"] = int((recommendations["grade"] == grade).sum())
    for resource in RESOURCES:
        weighted = _weighted(recommendations[recommendations["resource"] == resource])
        out[f"{resource}_requested"] = float(weighted["asked"].sum())
        out[f"{resource}_p95"] = float(weighted["used"].sum())
        out[f"{resource}_overprovision"] = _share(weighted)
        out[f"{resource}_rows_measured"] = len(weighted)
    short = recommendations[(recommendations["change"] == "increase") & recommendations["reasons"].map(_at_risk)]
    out["containers_short"] = len(short.drop_duplicates(list(GROUP)))
    return out


def _sum(values: pd.Series) -> float | None:
    total = values.sum(min_count=1)
    return None if pd.isna(total) else float(total)


def _completeness(days: pd.DataFrame) -> float | None:
    measured = days[days["metric"].isin(["cpu_usage", "memory_working_set"])]
    return float(measured["completeness"].mean()) if len(measured) else None


def summary_of(cluster: str, window: Window, figures: Mapping[str, Figure]) -> str:
    """The month in one plain paragraph."""
    first, last = window.start.date(), window.end.date() - timedelta(days=1)
    currency = figures["currency"]
    asked = f"{figures['cpu_requested']:.1f} CPU cores and {human_memory(_number(figures['memory_requested']))} of memory"
    used = f"{figures['cpu_p95']:.1f} cores and {human_memory(_number(figures['memory_p95']))}"
    parts = [
        f"From {_day(first)} to {_day(last)} the measured containers of {cluster} asked for {asked}; their P95 usage adds up to {used}."
    ]
    if figures["paper_month"] is not None:
        less, more = (_money(abs(_number(figures[f"paper_{way}_month"])), currency) for way in ("decrease", "increase"))
        paper = _number(figures["paper_month"])
        way = "save" if paper >= 0 else "add"
        net = (
            f"The recommendations below would {way} {_money(abs(paper), currency)} a month on paper: {less} less for requests that can be "
            f"lowered, {more} more for containers that need more. Prices: {figures['price_source']}. "
            "Paper is requests times price; the bill only falls when a node goes."
        )
        parts.append(net)
    parts += _nodes_and_decisions(figures)
    if figures["containers_short"]:
        short = _count(figures["containers_short"], "container is", "containers are")
        parts.append(f"{short} short of resources today (used more than requested, throttled, or killed for memory): look there first.")
    if figures["rows_refused"]:
        left = _count(figures["rows_refused"], "row is", "rows are")
        parts.append(f"{left} left alone, because the data does not allow a number yet or a rule forbids one.")
    return " ".join(parts)


def _nodes_and_decisions(figures: Mapping[str, Figure]) -> list[str]:
    """What can be banked and what was realised, where it is known; each with its own words, never in one sum."""
    currency, said = figures["currency"], []
    if figures.get("bankable_month") is not None and figures.get("nodes_freed"):
        nodes = f"{figures['nodes_freed']} of {figures['nodes_now']} nodes can go with them"
        said.append(f"Bankable: {nodes}, {_money(figures['bankable_month'], currency)} a month.")
    elif figures.get("nodes_freed") == 0:
        said.append("Bankable: no node can go with them.")
    if figures.get("realised_month") is not None:
        measured = _count(figures["decisions_measured"], "decision that was applied", "decisions that were applied")
        promised = _money(figures["promised_month"], currency)
        said.append(f"Realised: {_money(figures['realised_month'], currency)} a month of {promised} that {measured} promised.")
    return said


def _number(value: Figure) -> float:
    return float(value) if isinstance(value, int | float) else 0.0


def _count(value: Figure, one: str, many: str) -> str:
    return f"{value} {one if value == 1 else many}"


def _money(value: Figure, currency: Figure) -> str:
    return f"{_number(value):,.2f} {currency}"


def _day(day: date) -> str:
    return f"{day.day} {day:%B %Y}"


def findings_of(
    recommendations: pd.DataFrame, days: pd.DataFrame, source: Mapping[str, str], damaged: Sequence[str], newest: date
) -> list[dict[str, object]]:
    """What a reader must know before trusting the numbers: code, one sentence, data. ``newest`` is the last day in the history."""
    out: list[dict[str, object]] = [{"code": "damaged_day", "message": text, "data": {}} for text in damaged]
    missing = sorted(days.loc[(days["status"] == "missing") & (days["metric"] == "cpu_usage"), "day"])
    if missing:
        message = (
            f"{_count(len(missing), 'day', 'days')} of the window {'is' if len(missing) == 1 else 'are'} not stored: {_named(missing)}"
        )
        out.append({"code": "days_missing", "message": message, "data": {"days": missing}})
    holes = days[days["status"].isin(["incomplete", "final_with_holes"])]
    if len(holes):
        names = sorted(set(holes["day"]))
        message = f"{_count(len(names), 'day has', 'days have')} holes: {_named(names)}"
        out.append({"code": "days_with_holes", "message": message, "data": {"days": names}})
    warned = sorted({w for w in days["warnings"] if w})
    out += [{"code": "source_warning", "message": f"the server warned: {text}", "data": {}} for text in warned]
    if not recommendations["current_request"].notna().any() and len(recommendations):
        message = "no request of any container is known: kube-state-metrics is not scraped, or no container sets one"
        out.append({"code": "no_requests_known", "message": message, "data": {}})
    next_lost = _next_lost(newest, source)
    if next_lost:
        out.append(next_lost)
    return out


def _named(names: Sequence[str]) -> str:
    return ", ".join(names[:_MOST_NAMED]) + (f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else "")


def _next_lost(newest: date, source: Mapping[str, str]) -> dict[str, object] | None:
    """When the server forgets the day after the newest one stored; None where it keeps days for more than a year."""
    kept = timedelta(seconds=int(float(source.get("retention_s", "0"))))
    if not timedelta(0) < kept <= _LONG_KEPT:
        return None
    following = newest + timedelta(days=1)
    lost = following + kept
    message = f"the server keeps {kept.days} days: {following} is lost on {lost} unless it is pulled before"
    return {"code": "next_day_lost", "message": message, "data": {"day": following.isoformat(), "lost_on": lost.isoformat()}}


def notes_of(policy: SizingPolicy, prices: PriceBook, window: Window) -> tuple[str, ...]:
    """How the numbers were made, in plain sentences for the last section of the report."""
    start, end = window.as_dict().values()
    cpu, memory, hot = policy.cpu_percentile * 100, policy.memory_percentile * 100, policy.hot_pod_ratio
    high, medium = (policy.high_ratio - 1) * 100, (policy.medium_ratio - 1) * 100
    window_note = f"The window is {start} to {end} (UTC, the end not included) in steps of 5 minutes. "
    window_note += "CPU is the mean of each step, memory the largest working set in it. A step without a sample is missing, never zero."
    pool_note = (
        f"The samples of all pods of a container are pooled. The rule {policy.name!r} takes P{cpu:g} for CPU and P{memory:g} for memory. "
    )
    pool_note += f"A pod whose P95 is more than {hot:g} times the pool's counts alone."
    grade_note = "The interval of the P95 is Woodruff's with days as clusters (one-sided 95 %, approximate). "
    grade_note += (
        f"Grade high: its upper bound is at most {high:.0f} % above the P95; medium: at most {medium:.0f} %; low: wider or saturated."
    )
    paper_note = "Paper saving = (request today - recommended request) x mean running replicas x unit price x 730 hours. "
    paper_note += f"Prices: {prices.source}."
    saved_note = (
        "Bankable = nodes that can go after the recommendations x their price: the pods are packed again by their rules, with room "
    )
    saved_note += (
        "for a lost node and a rollout; 0 where nothing takes nodes away. Realised = node hours that an applied decision saved for "
    )
    saved_note += "the same work. The three numbers are never added."
    return (
        window_note,
        pool_note,
        "'Rule' is the plain rule; 'recommended' is the rule after the guards that the reasons name. Only the recommendation is priced.",
        grade_note,
        paper_note,
        saved_note,
        "Over-provisioning is 1 - P95/request (ratio of sums). The seed rule leaves half of the CPU and a third of memory above the P95.",
    )


def hours_note(hours: HoursPolicy) -> str:
    """When people are taken to work, for the note beside the profile."""
    names = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
    days = ", ".join(names[day] for day in sorted(hours.days))
    return f"Business hours are {hours.start:02d}:00 to {hours.end:02d}:00 ({hours.zone}) on {days}; other days are the weekend."
