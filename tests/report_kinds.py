"""A small review that holds one row of each kind that the report shows in its own way, with its events; for the tests."""

from __future__ import annotations

import nbformat
import pandas as pd

from aiops_analysis.core.reasons import Code, Reason
from aiops_analysis.presentation import charts, tables
from tests import frames, money_frames
from tests.frames import GIB, MIB, NAN

UNTIL = {"ADR-0007": "2027-03-01"}
EVENTS = ["namespace", "workload_kind", "workload", "container", "resource", "day", "kind", "count"]


def recommendations() -> pd.DataFrame:
    """Ten rows to act upon and two that the record ADR-0007 keeps quiet."""
    row = frames.recommendation
    capped = [Reason(Code.STEP_CAPPED, "One change cuts at most 50 % while the grade is low.")]
    killed = [Reason(Code.OOM_KILLED, "Killed for memory 4 times in the window.")]
    short = [Reason(Code.SHORT_HISTORY, "3.0 days of samples, 7 are needed.")]
    job = {"runs": 12, "stability": "new"}
    backend, moved = {"stability": "changed", "previous_request": 0.15}, {"stability": "reversed", "previous_request": 0.3}
    scaled = {"hpa": "web", "hpa_target": 70.0, "hpa_target_new": 90.0, "takes_effect": "in place"}
    rows = [
        row("backend", "cpu") | backend | {"takes_effect": "in place", "business_p95": 0.07},
        row("backend", "memory", now=GIB, then=256 * MIB, p95=170 * MIB, paper=4.5, reasons=capped) | {"takes_effect": "restart"},
        row("web", "cpu", namespace="shop", now=0.2, then=0.1, p95=0.07, paper=4.0) | scaled | moved,
        row("nightly", "cpu", namespace="staging", kind="CronJob", now=0.5, then=0.25, p95=0.2, paper=1.0) | job,
        row("agent", "cpu", namespace="platform", kind="DaemonSet", now=0.1, then=0.075, p95=0.028, paper=3.0) | {"pool": "gpu-pool"},
        row("cache", "memory", now=512 * MIB, then=512 * MIB, p95=340 * MIB, paper=0.0, change="keep") | {"stability": "same"},
        row("checkout", "cpu", namespace="shop", now=0.1, then=0.4, p95=0.19, paper=-13.5, change="increase", grade="low"),
        row(
            "search",
            "memory",
            namespace="shop",
            now=256 * MIB,
            then=512 * MIB,
            p95=250 * MIB,
            paper=-1.5,
            change="increase",
            reasons=killed,
        ),
        row("search", "cpu", namespace="shop", now=NAN, then=0.2, p95=0.1, paper=NAN, change="increase"),
        row("fresh", "cpu", now=0.5, then=NAN, p95=NAN, paper=NAN, change="undetermined", grade="refused", reasons=short),
        row("legacy", "cpu", now=1.0, then=0.5, p95=0.2, paper=9.0) | {"decided": "ADR-0007"},
        row("legacy", "memory", now=2 * GIB, then=3 * GIB, p95=2 * GIB, paper=-6.0, change="increase") | {"decided": "ADR-0007"},
    ]
    return frames.recommendations(rows)


def events() -> pd.DataFrame:
    """A rollout of both resources, and kills for memory with their restarts."""
    search = ("shop", "Deployment", "search", "app")
    rows = [
        ("todo", "Deployment", "backend", "app", "", "2026-10-20", "rollout", 1),
        ("todo", "Deployment", "backend", "app", "", "2026-10-25", "decision", 1),
        (*search, "memory", "2026-10-08", "oom_kill", 3),
        (*search, "memory", "2026-10-11", "oom_kill", 1),
        (*search, "", "2026-10-08", "restart", 3),
    ]
    return pd.DataFrame(rows, columns=EVENTS)


def habits() -> pd.DataFrame:
    """One finding of each kind, as the habits of workloads are handed over."""
    rows = [
        ("staging", "Deployment", "api", "app", "off_hours", "Idle from 19:00 to 07:00 UTC on 5 days a week.", NAN),
        ("todo", "Deployment", "old-tool", "app", "abandoned", "P99 CPU of 2m and no requests for 14 days.", 12.3),
        ("shop", "Deployment", "web", "app", "weekend_dip", "The weekend P95 is 31 % of the one of working days.", 4.0),
    ]
    return pd.DataFrame(rows, columns=["namespace", "workload_kind", "workload", "container", "finding", "message", "saving"])


def changes() -> pd.DataFrame:
    """What changed its mind since the last run."""
    rows = [
        ("todo", "Deployment", "backend", "app", "cpu", 0.15, 0.1, "changed", "The last rollout lowered the P95 from 90m to 50m."),
        ("shop", "Deployment", "web", "app", "cpu", 0.3, 0.1, "reversed", "It was to be raised."),
        ("shop", "Deployment", "gone", "app", "memory", 256.0 * MIB, NAN, "gone", "It does not run any more."),
    ]
    columns = ["namespace", "workload_kind", "workload", "container", "resource", "before", "now", "stability", "message"]
    return pd.DataFrame(rows, columns=columns)


def profile() -> pd.DataFrame:
    """The week of a cluster: 4 cores on weekdays 8 to 18, 1 core else; memory is flat; Wednesday 03:00 was not measured."""
    rows = []
    for weekday in range(7):
        for hour in range(24):
            if (weekday, hour) == (2, 3):
                continue
            rows.append((weekday, hour, "cpu", 4.0 if weekday < 5 and 8 <= hour < 18 else 1.0, 10.0))
            rows.append((weekday, hour, "memory", 9.0 * GIB, 16.0 * GIB))
    return pd.DataFrame(rows, columns=["weekday", "hour", "resource", "p95", "requested"])


def notebook() -> nbformat.NotebookNode:
    """The review with every table and chart that the other notebook of the tests does not hold."""
    recs, seen = recommendations(), {"events": events(), "window": frames.window()}
    parts = {
        "# Every kind\n\nOne row of each.": [],
        "## Short of resources": [tables.under_provisioned(recs, **seen), charts.under_provisioned(recs)],
        "## Recommendations": [tables.recommendations(recs, **seen, until=UNTIL)],
        "## Habits": [charts.week_profile(profile()), tables.habits(habits()), tables.stability(changes())],
        "## Before and after": [charts.before_after(recs, currency="USD"), tables.biggest(recs), tables.left_alone(recs)],
        "## Money": [
            charts.three_numbers(money_frames.FIGURES),
            tables.savings(money_frames.savings()),
            tables.ledger(money_frames.ledger()),
            charts.bridge(money_frames.bridge(), "USD", "19 October to 1 November beside 5 to 18 October."),
            tables.bridge(money_frames.bridge(), "19 October to 1 November beside 5 to 18 October.", "USD"),
            tables.costs(money_frames.costs(), ["namespace"], "USD"),
            tables.costs(money_frames.costs(), ["workload", "workload_kind", "namespace"], "USD"),
            tables.pool_costs(money_frames.pools(), "USD"),
            tables.matrix(money_frames.matrix(), "USD"),
        ],
        "## Nodes": [
            charts.node_pools(money_frames.packing()),
            tables.packing(money_frames.packing(), "USD"),
            tables.next_nodes(money_frames.next_nodes(), "USD"),
            tables.blockers(money_frames.blockers()),
            tables.mixes(money_frames.mixes(), "USD"),
        ],
        "## Data": [charts.completeness(frames.day_rows()), tables.quality(frames.day_rows())],
    }
    cells = []
    for heading, shown in parts.items():
        cells.append(nbformat.v4.new_markdown_cell(heading))
        cells += [nbformat.v4.new_code_cell("tables.show()", execution_count=1, outputs=[frames.output_of(one)]) for one in shown]
    return nbformat.v4.new_notebook(cells=cells)
