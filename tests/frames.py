"""Small frames of the contracts with made-up figures, calm or hostile, for the tests of what people see."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta

import nbformat
import pandas as pd

from aiops_analysis.core.reasons import Code, Reason
from aiops_analysis.core.schema import KEY, METRICS, RECOMMENDATIONS, blank, check, row_id
from aiops_analysis.core.window import Window
from aiops_analysis.presentation import charts, tables

NAN = float("nan")
GIB = 2**30
MIB = 2**20

#: Text that tries to be something else (fault rows 41 and 42, reliability X01-X03, X11, X12).
HOSTILE = (
    "<script>window.pwned=1</script>",
    '"><img src=x onerror="window.pwned=1">',
    "</title><script>window.pwned=1</script>",
    "<svg onload=window.pwned=1>",
    "</svg></table><iframe srcdoc='<script>parent.pwned=1</script>'>",
    "javascript:window.pwned=1",
    "{{7*7}}",
    "{% include 'base/null.j2' %}",
    "${7*7}",
    "]]><script>window.pwned=1</script>",
    "<!-- -->",
    "--><b>",
    "&lt;script&gt;&amp;&#60;",
    "' onmouseover='window.pwned=1",
    "\u202egnp.exe",
    "zero\u200bwidth",
    "nul\x00byte",
    "$a_{",
    r"\frac{1}{0}$x$",
    "a" * 10_000,
    "Straße-日本-🙂",
    "../../etc/passwd",
    "",
)


def recommendation(
    workload: str = "backend",
    resource: str = "cpu",
    *,
    namespace: str = "todo",
    container: str = "app",
    kind: str = "Deployment",
    now: float = 0.5,
    then: float = 0.1,
    p95: float = 0.05,
    change: str = "decrease",
    paper: float = 18.0,
    grade: str = "high",
    reasons: Sequence[Reason] = (),
    enough_on: str = "",
    days: int = 28,
    replicas: float = 2.0,
    oom_kills: float = NAN,
) -> dict[str, object]:
    """One row of RECOMMENDATIONS; limits are three times the requests, the daily P95 swings by a tenth."""
    key = ("demo", namespace, kind, workload, container, resource)
    seen = [p95 * (0.9 + 0.2 * ((i * 3) % 7) / 6) if i != 5 else NAN for i in range(days)] if p95 == p95 else [NAN] * days
    return (
        blank(RECOMMENDATIONS)
        | dict(zip(KEY, key, strict=True))
        | {
            "id": row_id([part.encode("utf-8", "replace").decode() for part in key]),
            "current_request": now,
            "current_limit": now * 3,
            "rule_request": then,
            "rule_limit": then * 3,
            "guarded_request": then,
            "guarded_limit": then * 3,
            "p50": p95 * 0.6,
            "p95": p95,
            "p99": p95 * 1.2,
            "max": p95 * 1.8,
            "upper": p95 * 1.1,
            "grade": grade,
            "completeness": 0.99,
            "replicas": replicas,
            "overprovision": 1 - p95 / now if now else NAN,
            "paper": paper,
            "bankable": NAN,
            "priority": "",
            "change": change,
            "reasons": list(reasons),
            "krr_request": p95,
            "vpa_request": p95 * 1.15,
            "pooled_p95": p95,
            "hot_p95": NAN,
            "unit_price": 22.5 if resource == "cpu" else 3.0,
            "request_cost": now * replicas * 22.5,
            "paper_rule": paper,
            "days": days,
            "enough_on": enough_on,
            "daily_p95": seen,
            "throttle_ratio": NAN,
            "oom_kills": oom_kills,
        }
    )


def recommendations(rows: Sequence[dict[str, object]]) -> pd.DataFrame:
    """Rows as a frame of the contract."""
    return check(pd.DataFrame(rows, columns=list(RECOMMENDATIONS.columns)), RECOMMENDATIONS)


def calm() -> pd.DataFrame:
    """Eight rows as in a small cluster: lower, raise, keep, and three that are left alone."""
    hpa = Reason(Code.HPA_MANAGED, "HPA web scales on cpu at 70 %: a new request would change how many replicas run.", {"hpa": "web"})
    short = Reason(Code.SHORT_HISTORY, "3.0 days of samples, 7 are needed.", {"days": 3})
    killed = Reason(Code.OOM_KILLED, "Killed for memory 4 times in the window.", {"kills": 4})
    censored = Reason(Code.CENSORED, "Throttled in 38 % of its periods: the true demand is higher than what was measured.", {"ratio": 0.38})
    capped = Reason(Code.STEP_CAPPED, "The rule says 100m; one change cuts at most half.", {"rule": 0.1})
    same = Reason(Code.HYSTERESIS, "The change is below 10 %.", {})
    return recommendations(
        [
            recommendation("backend", "cpu", now=0.5, then=0.1, p95=0.05, paper=18.0),
            recommendation("backend", "memory", now=GIB, then=256 * MIB, p95=170 * MIB, paper=4.5),
            recommendation("frontend", "cpu", now=0.2, then=0.1, p95=0.045, paper=4.5, grade="medium", reasons=[capped]),
            recommendation(
                "checkout",
                "cpu",
                namespace="shop",
                now=0.1,
                then=0.4,
                p95=0.19,
                paper=-13.5,
                change="increase",
                grade="low",
                reasons=[censored],
            ),
            recommendation(
                "search",
                "memory",
                namespace="shop",
                now=256 * MIB,
                then=512 * MIB,
                p95=250 * MIB,
                paper=-1.5,
                change="increase",
                reasons=[killed],
                oom_kills=4.0,
            ),
            recommendation(
                "web",
                "cpu",
                namespace="shop",
                now=0.5,
                then=NAN,
                p95=0.33,
                paper=NAN,
                change="undetermined",
                grade="refused",
                reasons=[hpa],
            ),
            recommendation(
                "newcomer",
                "cpu",
                namespace="shop",
                now=0.5,
                then=NAN,
                p95=NAN,
                paper=NAN,
                change="undetermined",
                grade="refused",
                reasons=[short],
                enough_on="2026-11-05",
            ),
            recommendation("cache", "memory", now=512 * MIB, then=512 * MIB, p95=340 * MIB, paper=0.0, change="keep", reasons=[same]),
        ]
    )


def hostile() -> pd.DataFrame:
    """Every hostile text as namespace, workload, container and reason at once."""
    rows = []
    for place, text in enumerate(HOSTILE):
        change = ("decrease", "increase", "keep", "undetermined")[place % 4]
        why = Reason(Code.UNDER_REQUESTED, f"The P95 of {text} is above the request.", {"name": text})
        rows.append(
            recommendation(text, "cpu" if place % 2 else "memory", namespace=text, container=text, kind=text, change=change, reasons=[why])
        )
    return recommendations(rows)


def namespaces(recs: pd.DataFrame) -> pd.DataFrame:
    """The frame of ``review.namespaces``, in the plainest way."""
    rows = []
    for (namespace, resource), part in recs.groupby(["namespace", "resource"], sort=True):
        seen = part[part["p95"].notna()]
        request, p95 = float((seen["current_request"] * seen["replicas"]).sum()), float((seen["p95"] * seen["replicas"]).sum())
        share = 1 - p95 / request if request else NAN
        paper = float(part["paper"].sum(min_count=1))
        rows.append({"namespace": namespace, "resource": resource, "request": request, "p95": p95, "overprovision": share, "paper": paper})
    return pd.DataFrame(rows)


def day_rows(count: int = 28, warning: str = "") -> pd.DataFrame:
    """The frame of ``review.days``: all whole, but for one day with holes and one that is missing."""
    rows = []
    for metric in METRICS:
        for place in range(count):
            status, share = "complete", 1.0
            if place == 9 and metric in ("cpu_usage", "memory_working_set"):
                status, share = "final_with_holes", 0.875
            if place == 17:
                status, share = "missing", 0.0
            day = (date(2026, 10, 4) + timedelta(days=place)).isoformat()
            row = {"day": day, "metric": metric, "status": status, "completeness": share, "series": 41, "dropped": place == 3}
            rows.append(row | {"warnings": warning if place == 9 else ""})
    return pd.DataFrame(rows)


def many(count: int = 60) -> pd.DataFrame:
    """The calm rows and many more with ordinary names, for sorting, filtering and looking."""
    rows = list(calm().to_dict("records"))
    changes = ("decrease", "decrease", "keep", "increase", "decrease")
    for place in range(count - len(rows)):
        resource = "cpu" if place % 2 else "memory"
        unit = 0.05 if resource == "cpu" else 64 * MIB
        now, change = unit * (4 + place % 7), changes[place % 5]
        then = {"decrease": now / 2, "keep": now, "increase": now * 1.5}[change]
        paper = round((now - then) / unit * (1.5 + place % 3), 2)
        why = [Reason(Code.SOME_MISSING, f"{1 + place % 4} % of the samples are missing.", {})] if place % 3 == 0 else []
        rows.append(
            recommendation(
                f"service-{place // 2:02d}",
                resource,
                namespace=("billing", "shop", "platform", "monitoring")[place % 4],
                now=now,
                then=then,
                p95=then / 2,
                change=change,
                paper=paper,
                grade=("high", "medium", "low")[place % 3],
                reasons=why,
            )
        )
    return recommendations(rows)


def large(count: int = 10_000) -> pd.DataFrame:
    """A large cluster: two rows for each container in 40 namespaces, one in six short of something, one in ten not sized, a few decided."""
    rows = []
    for place in range(count):
        one, resource = place // 2, ("cpu", "memory")[place % 2]
        unit = 0.005 if resource == "cpu" else 8 * MIB
        now, kind = unit * (20 + one % 97), (one * 7) % 30
        change = "increase" if kind < 5 else "undetermined" if kind < 8 else "keep" if kind < 12 else "decrease"
        then = {"decrease": now * 0.4, "keep": now, "increase": now * 1.5, "undetermined": NAN}[change]
        why = [Reason(Code.SOME_MISSING, f"{1 + one % 4} % of the samples are missing.", {})] if kind % 2 else []
        if change == "undetermined":
            why = [Reason(Code.SHORT_HISTORY, f"{1 + one % 6}.0 days of samples, 7 are needed.", {})]
        row = recommendation(
            f"{('checkout', 'search', 'billing-export', 'image-resizer', 'session-store')[one % 5]}-{one:04d}",
            resource,
            namespace=f"team-{one % 40:02d}-{('prod', 'staging')[one % 2]}",
            container=("app", "server", "istio-proxy")[one % 3],
            now=now,
            then=then,
            p95=now * (0.3 if change == "decrease" else 0.8 if change != "increase" else 1.2),
            change=change,
            paper=NAN if then != then else round((now - then) / unit * 0.11, 2),
            grade="refused" if change == "undetermined" else ("high", "medium", "low")[one % 3],
            reasons=why,
        )
        rows.append(row | ({"decided": f"ADR-{one % 7:04d}"} if kind == 29 and one % 100 == 7 else {}))
    return recommendations(rows)


def events(recs: pd.DataFrame) -> pd.DataFrame:
    """A rollout of every third container, and kills with restarts on the memory of every fifth."""
    rows = []
    for place, row in enumerate(recs.drop_duplicates(["namespace", "workload", "container"]).to_dict("records")):
        key = (row["namespace"], row["workload_kind"], row["workload"], row["container"])
        if place % 3 == 0:
            rows.append((*key, "", "2026-10-20", "rollout", 1))
        if place % 5 == 0:
            rows += [(*key, "memory", "2026-10-08", "oom_kill", 3), (*key, "", "2026-10-08", "restart", 3)]
    return pd.DataFrame(rows, columns=["namespace", "workload_kind", "workload", "container", "resource", "day", "kind", "count"])


def window() -> Window:
    """The 28 days of ``recommendation``."""
    return Window(datetime(2026, 10, 4, tzinfo=UTC), datetime(2026, 11, 1, tzinfo=UTC))


def notebook(recs: pd.DataFrame, words: str = "") -> nbformat.NotebookNode:
    """A review as the runner leaves it: executed cells with the outputs of charts and tables."""
    seen = {"events": events(recs), "window": window()}
    facts = {
        "Window": "2026-10-04 to 2026-11-01 (UTC)",
        "Prices": "OpenCost defaults",
        "Fingerprint": "sha256 " + "ab" * 32,
        "Named": words,
    }
    items = [
        ("Paper saving a month", "27.00 USD", "At the OpenCost default prices; 18.00 USD of it from one container.", "good"),
        ("Over-provisioned", "CPU 53\u00a0%, memory 58\u00a0%", "Of what 41 containers request, above their P95 usage.", "warn"),
        ("Short of CPU or memory", "2 containers", "Raise these first: one is killed for memory.", "bad"),
        ("Data", "96\u00a0% complete", "31 rows graded high, 14 medium, 9 low, 6 refused.", ""),
    ]
    queries = {
        "cpu_usage": 'max by (namespace, pod, container) (rate(container_cpu_usage_seconds_total{container!=""}[5m]))',
        "hostile": words,
    }
    days = day_rows(warning=words or "PromQL info: metric might not be a counter")
    spaces = namespaces(recs)
    summary = (
        "From 4 to 31 October 2026 the containers of demo asked for 2.6 CPU cores and 3.5 GiB of memory. Paper is requests times price."
    )
    parts: list[tuple[str, list[object]]] = [
        (f"# Monthly cost review\n\nWhat does the measured month say about requests, and what should change? {words}", []),
        ("## The month in one paragraph", [tables.paragraph(summary), tables.cards(items)]),
        (
            "## Can the data be trusted?",
            [tables.findings([{"message": f"1 day is not stored {words}"}]), charts.completeness(days), tables.quality(days)],
        ),
        ("## Short of CPU or memory", [charts.under_provisioned(recs), tables.under_provisioned(recs, **seen)]),
        ("## Recommendations", [tables.recommendations(recs, **seen, until={"ADR-0007": "2027-03-01"})]),
        ("## Over-provisioning by namespace", [charts.overprovision_by_namespace(spaces), tables.namespaces(spaces)]),
        ("## Before and after", [charts.before_after(recs, currency="USD"), tables.biggest(recs)]),
        ("## Left alone, and why", [tables.left_alone(recs)]),
        (
            "## How it was computed",
            [
                tables.explanation(
                    facts, notes=["Samples of all pods are pooled."], policy={"name": "seed", "cpu_limit_factor": None}, queries=queries
                )
            ],
        ),
    ]
    cells = []
    for heading, shown in parts:
        cells.append(nbformat.v4.new_markdown_cell(heading))
        cells += [
            nbformat.v4.new_code_cell(f"tables.show({repr(one)[:40]!r})", execution_count=1, outputs=[output_of(one)]) for one in shown
        ]
    return nbformat.v4.new_notebook(cells=cells)


def output_of(shown: object) -> nbformat.NotebookNode:
    """What IPython stores when a cell ends with the object."""
    if isinstance(shown, charts.Picture):
        data, about = shown._repr_mimebundle_()
    else:
        data, about = {"text/html": shown._repr_html_(), "text/plain": repr(shown)}, {}
    return nbformat.v4.new_output("display_data", data=data, metadata=about)
