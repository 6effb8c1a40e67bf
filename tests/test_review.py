"""The review of the demo: the guide's numbers, what is left alone, repeatability; and reviews of odd histories (rows 18, 23, 33)."""

from __future__ import annotations

import shutil
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from aiops_analysis.analysis.policy import policy_of
from aiops_analysis.core.errors import NotEnoughData
from aiops_analysis.core.reasons import Code
from aiops_analysis.core.schema import INVENTORY, LABELS, METRICS
from aiops_analysis.core.window import Window
from aiops_analysis.history.days import commit_matrix
from aiops_analysis.history.inventory import ASKED, commit_frame
from aiops_analysis.history.store import Manifest, open_store
from aiops_analysis.workflows.review import Beside, monthly, review_window

DEMO = Path(__file__).parents[1] / "data" / "demo" / "history"
MIB = 2**20


@pytest.fixture(scope="module")
def demo():
    store = open_store(DEMO, "demo")
    return monthly(store, review_window(store, days=28), policy_of("seed"))


def row(review, workload, resource, container=None):
    recs = review.recommendations
    found = recs[(recs["workload"] == workload) & (recs["resource"] == resource) & (recs["namespace"] != "staging")]
    found = found[found["container"] == container] if container else found
    assert len(found) == 1
    return found.iloc[0]


def codes(one):
    return {reason.code for reason in one["reasons"]}


def test_the_guides_frontend(demo):
    # 200m requested, P95 45m: 77.5 % over-provisioned, 2 x P95 = 90m, in steps of 25m: 100m
    cpu = row(demo, "frontend", "cpu", "frontend")
    assert (cpu["current_request"], cpu["rule_request"], cpu["guarded_request"]) == (0.2, 0.1, 0.1)
    assert round(cpu["overprovision"], 3) == 0.775


def test_the_guides_backend(demo):
    # 500m and 1Gi, P95 50m and 170Mi: 100m/300m and 256Mi/512Mi, 90 % and 83.4 %
    cpu, memory = row(demo, "backend", "cpu", "backend"), row(demo, "backend", "memory", "backend")
    assert (cpu["rule_request"], cpu["rule_limit"], cpu["grade"], round(cpu["overprovision"], 3)) == (0.1, 0.3, "high", 0.9)
    assert (memory["rule_request"], memory["rule_limit"], round(memory["overprovision"], 3)) == (256 * MIB, 512 * MIB, 0.834)
    # 400m of CPU less on 3 replicas at 0.031611 x 730 h
    assert cpu["paper"] == pytest.approx(0.4 * 3 * 0.031611 * 730, rel=1e-3)


def test_who_is_short_and_who_is_left_alone(demo):
    checkout = row(demo, "checkout", "cpu")
    assert (checkout["change"], checkout["priority"]) == ("increase", "do first")
    assert Code.CENSORED in codes(checkout)
    assert checkout["throttle_ratio"] > 0.25
    killed = row(demo, "thumbnailer", "memory")
    assert killed["change"] == "increase"
    assert (killed["oom_kills"], Code.OOM_KILLED in codes(killed)) == (6, True)
    assert killed["guarded_limit"] >= killed["current_limit"]
    assert Code.HPA_MANAGED in codes(row(demo, "catalog", "cpu"))
    assert row(demo, "catalog", "memory")["grade"] != "refused"
    young = row(demo, "assistant", "cpu")
    # its first sample is on 30 October: seven days span to 6 November
    assert (young["grade"], young["change"], young["enough_on"]) == ("refused", "undetermined", "2026-11-06")
    assert Code.SHORT_HISTORY in codes(young)
    assert np.isnan(young["guarded_request"])
    assert not row(demo, "keycloak", "memory")["guarded_request"] < row(demo, "keycloak", "memory")["current_request"]
    assert Code.JOB in codes(row(demo, "nightly-report", "cpu"))
    assert Code.NO_REQUEST in codes(demo.recommendations[demo.recommendations["workload"] == "smtp"].iloc[0])


def test_the_figures_are_sums_of_the_rows(demo):
    recs, figures = demo.recommendations, demo.figures
    assert figures["paper_month"] == pytest.approx(recs["paper"].sum())
    assert figures["paper_month"] == pytest.approx(figures["paper_decrease_month"] + figures["paper_increase_month"])
    assert figures["containers_short"] == 3  # checkout, search, thumbnailer
    assert figures["rows"] == len(recs) == sum(figures[f"rows_{c}"] for c in ("keep", "decrease", "increase", "undetermined"))
    cpu = recs[(recs["resource"] == "cpu") & recs["current_request"].gt(0) & recs["p95"].notna()]
    asked, used = (cpu["current_request"] * cpu["replicas"]).sum(), (cpu["p95"] * cpu["replicas"]).sum()
    assert figures["cpu_overprovision"] == pytest.approx(1 - used / asked)
    assert demo.namespaces["paper"].sum() == pytest.approx(figures["paper_month"])
    assert (figures["days_stored"], figures["completeness"]) == (28, 1.0)


def test_the_three_numbers_of_the_demo(demo):
    """One m6i.xlarge of analytics can go: 4 cores x 0.031611 and 15.37 GiB x 0.004237 an hour, 730 h a month."""
    money = demo.money
    assert demo.figures["bankable_month"] == pytest.approx((4 * 0.031611 + 15736 / 1024 * 0.004237) * 730)
    assert money.packed.packing.set_index("pool")["freed"].to_dict() == {"analytics": 1, "general": 0, "media": 0, "memory": 0, "spot": 0}
    (step,) = money.packed.next_nodes.itertuples()
    assert (step.pool, step.workloads, step.exact, step.at_least) == ("analytics", ["analytics/ingest", "analytics/query"], True, 2)
    banked = demo.recommendations["bankable"]
    assert banked.sum() <= demo.figures["bankable_month"] + 1e-9
    assert (banked.fillna(0) <= demo.recommendations["paper"].clip(lower=0).fillna(0) + 1e-9).all()
    whole = money.savings[money.savings["scope"] == "cluster"].set_index("number")
    assert list(whole.index) == ["paper", "bankable", "realised"]
    assert whole["price_source"].str.contains("OpenCost default prices").all()
    assert np.isnan(whole.loc["realised", "amount"])  # no decision record was read here
    assert whole.loc["realised", "condition"] == "no decision record was read"


def test_the_demo_realised_less_than_was_promised_and_says_why():
    store = open_store(DEMO, "demo")
    review = monthly(store, review_window(store, days=28), policy_of("seed"), None, Beside(adr_dir=DEMO.parent / "adr"))
    row = review.money.realised.set_index("record").loc["0001"]
    # three nodes of media for 14 days, then two and for 7 days and 9:50 a third one: 0.47 nodes fewer, at 115.90 a month
    fewer = 3 - (2 * 14 * 24 + 7 * 24 + 9 + 5 / 6) / (14 * 24)
    price = (4 * 0.031611 + 7811 / 1024 * 0.004237) * 730
    assert row["realised"] == pytest.approx(fewer * price, rel=0.01)
    assert (row["applied"], row["applied_on"], row["days_before"], row["days_after"]) == ("whole", "2026-10-19", 14, 14)
    assert row["realised"] < row["promised_paper"] / 2
    assert "1 of 3 nodes left, 7 days after the change" in row["cause"]
    assert "replicas rose from 6 to 7.75" in row["cause"]
    assert review.figures["realised_month"] == pytest.approx(row["realised"])


def test_the_cost_of_the_demo_adds_up_and_the_bridge_too(demo):
    costs, moved = demo.money.costs, demo.money.moved
    assert costs.costs["cost"].sum() + costs.nodes["idle_cost"].sum() == pytest.approx(costs.nodes["cost"].sum())
    parts = moved.frame.set_index("cause")["amount"]
    assert parts["before"] + parts.iloc[1:-1].sum() == pytest.approx(parts["after"], abs=1e-9)
    # only 28 days are there: the later fortnight beside the earlier one, in which the transcoders asked for more and had a node more
    assert (len(moved.before), len(moved.after)) == (14, 14)
    assert parts["requests"] < 0 < parts["replicas"]
    assert "media/transcoder" in moved.frame.set_index("cause")["detail"]["requests"]


def test_f59_two_reviews_of_one_history_are_equal(demo):
    store = open_store(DEMO, "demo")
    again = monthly(store, review_window(store, days=28), policy_of("seed"))
    assert again.figures == demo.figures
    assert again.summary == demo.summary
    assert again.fingerprint == demo.fingerprint
    assert again.recommendations.to_json() == demo.recommendations.to_json()


def test_f19_three_days_are_refused_with_the_date(demo):
    store = open_store(DEMO, "demo")
    few = monthly(store, review_window(store, days=3), policy_of("seed"))
    assert set(few.recommendations["grade"]) == {"refused"}
    assert few.figures["paper_month"] is None
    backend = row(few, "backend", "cpu", "backend")
    assert backend["enough_on"] == "2026-11-06"


def test_a_window_without_any_day_says_what_to_do(tmp_path):
    with pytest.raises(NotEnoughData, match="run: aiops-analysis pull --cluster new"):
        review_window(open_store(tmp_path, "new"), days=28)
    with pytest.raises(NotEnoughData, match="no day of 2020"):
        monthly(open_store(DEMO, "demo"), Window.of_days(date(2020, 1, 31), 28), policy_of("seed"))


def test_f17_missing_days_and_f33_a_damaged_one_are_named(tmp_path):
    shutil.copytree(DEMO / "demo", tmp_path / "demo")
    store = open_store(tmp_path, "demo")
    for kind in (*ASKED, *METRICS):
        shutil.rmtree(store.folder(kind, date(2026, 10, 20)))
    broken = next(store.folder("cpu_usage", date(2026, 10, 10)).glob("*.parquet"))
    broken.write_bytes(broken.read_bytes()[:100])
    review = monthly(store, review_window(store, days=28), policy_of("seed"))
    found = {finding["code"]: finding["message"] for finding in review.findings}
    assert found["days_missing"] == "2 days of the window are not stored: 2026-10-10, 2026-10-20"
    assert "bucket-0.parquet is not what its manifest says" in found["damaged_day"]
    assert review.figures["days_stored"] == 27  # the damaged day still has its other metrics
    assert len(list((store.path / "cpu_usage" / "damaged").iterdir())) == 1


@pytest.mark.parametrize(("kept", "said"), [(15, True), (10_950, False), (None, False)])
def test_the_report_says_when_the_next_day_is_lost(tmp_path, kept, said):
    store = tiny(open_store(tmp_path, "prod"), date(2026, 10, 19), 7, 1)
    source = {"flavour": "prometheus"} | ({} if kept is None else {"retention_s": str(kept * 86_400)})
    for kind in ("cpu_usage", "memory_working_set"):
        manifest = store.manifest(kind, date(2026, 10, 25))
        (store.folder(kind, date(2026, 10, 25)) / "manifest.json").write_bytes(replace(manifest, source=source).to_json())
    found = [f["message"] for f in monthly(store, review_window(store, days=7), policy_of("seed")).findings]
    # the newest stored day is 25 October, so 26 October is next: 15 days later it is gone
    assert ("the server keeps 15 days: 2026-10-26 is lost on 2026-11-10 unless it is pulled before" in found) is said


def tiny(store, first, days, rows):
    """A history of `rows` pods with one container that uses a steady 0.1 cores and 100 MiB."""
    labels = pd.DataFrame([["shop", "Deployment", f"web-{n}", f"web-{n}-0", "app"] for n in range(rows)], columns=list(LABELS), dtype="str")
    wave = 0.1 + 0.01 * np.sin(np.arange(288) / 288 * 2 * np.pi)
    with store.lock():
        for n in range(days):
            day = first + timedelta(days=n)
            start = datetime(day.year, day.month, day.day, tzinfo=UTC)
            facts = [
                {
                    **{name: "" if kind == "str" else np.nan for name, kind in INVENTORY.columns.items()},
                    **dict(zip(LABELS, labels.iloc[r], strict=True)),
                    "uid": f"u{r}",
                    "cpu_request": 0.5,
                    "memory_request": 512.0 * MIB,
                    "first_seen": start,
                    "last_seen": start + timedelta(days=1),
                }
                for r in range(rows)
            ]
            commit_frame(store, Manifest("inventory", day), pd.DataFrame(facts, columns=list(INVENTORY.columns)))
            commit_matrix(store, Manifest("cpu_usage", day), labels, np.tile(wave, (rows, 1)).astype(np.float32))
            commit_matrix(store, Manifest("memory_working_set", day), labels, np.full((rows, 288), 100 * MIB, np.float32))
    return store


@pytest.mark.parametrize("first", [date(2026, 12, 25), date(2028, 2, 20), date(2026, 3, 22), date(2026, 10, 18)])
def test_f18_year_end_leap_day_and_dst_are_plain_utc_days(tmp_path, first):
    # 14 days over New Year, 29 February, and both changes of the clock in Europe and America: 288 steps each, nothing missing or double
    store = tiny(open_store(tmp_path, "prod"), first, 14, 1)
    review = monthly(store, review_window(store, days=14), policy_of("seed"))
    usage = review.usage[review.usage["resource"] == "cpu"].iloc[0]
    assert (usage["days"], usage["steps"], usage["samples"]) == (14, 14 * 288, 14 * 288)
    assert review.recommendations["completeness"].tolist() == [1.0, 1.0]
    assert review.recommendations["grade"].tolist() == ["high", "high"]


def test_f23_a_cluster_of_one_pod_has_a_sensible_review(tmp_path):
    store = tiny(open_store(tmp_path, "one"), date(2026, 10, 19), 14, 1)
    review = monthly(store, review_window(store, days=14), policy_of("seed"))
    assert len(review.recommendations) == 2
    # P95 of the wave is under 0.11: 2 x 0.11 = 220m in steps of 25m
    assert review.recommendations.iloc[0]["guarded_request"] == 0.225
    assert "asked for 0.5 CPU cores and 512 MiB" in review.summary


def test_f23_an_empty_cluster_has_no_rows_and_no_invented_number(tmp_path):
    store = tiny(open_store(tmp_path, "empty"), date(2026, 10, 19), 7, 0)
    review = monthly(store, review_window(store, days=7), policy_of("seed"))
    assert len(review.recommendations) == 0
    assert review.figures["paper_month"] is None
    assert review.figures["cpu_overprovision"] is None


def test_business_hours_are_said(demo):
    assert demo.notes[-1] == (
        "Business hours are 08:00 to 18:00 (UTC) on Monday, Tuesday, Wednesday, Thursday, Friday; other days are the weekend."
    )


def test_every_kind_of_the_demo_is_told_by_its_own_rule(demo):
    told = {
        ("catalog", "cpu", None): Code.HPA_MANAGED,
        ("nightly-report", "cpu", None): Code.JOB,
        ("import-archive", "cpu", None): Code.FEW_RUNS,
        ("node-agent", "cpu", None): Code.POOL,
        ("payments", "cpu", "config-agent"): Code.NATIVE_SIDECAR,
        ("payments", "cpu", "migrate"): Code.INIT_CONTAINER,
        ("backend", "cpu", "istio-proxy"): Code.SIDECAR,
        ("database", "cpu", None): Code.ORDINAL,
        ("cache", "memory", None): Code.QOS_GUARANTEED,
        ("warehouse", "memory", None): Code.LARGER_THAN_NODE,
        ("checkout", "cpu", None): Code.QUOTA,
    }
    for (workload, resource, container), code in told.items():
        assert code in codes(row(demo, workload, resource, container)), workload
    staging = demo.recommendations[demo.recommendations["namespace"] == "staging"]
    smtp, backend = (staging[(staging["workload"] == name) & (staging["resource"] == "cpu")].iloc[0] for name in ("smtp", "backend"))
    assert Code.CLAMPED in codes(smtp)  # the LimitRange of staging asks for at least 50m
    assert smtp["guarded_request"] == 0.05
    assert Code.POST_ROLLOUT in codes(backend)
    assert row(demo, "backend", "cpu", "backend")["takes_effect"] == "in place"
    assert row(demo, "backend", "memory", "backend")["takes_effect"] == "restart"
    assert {"possibly_abandoned", "off_hours"} <= set(demo.habits["finding"])
    assert not demo.events.empty
