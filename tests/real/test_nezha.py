"""Ten pods of Online Boutique on a real cluster, two days of 2022 (Nezha): far too short for a number, and the review says when.

The TimeStamp column is not epoch time in a part of the rows; the text of the Time column is. Pods are sampled each minute, with a gap of
twelve hours between the days.
"""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest

from aiops_analysis.analysis.policy import policy_of
from aiops_analysis.core.reasons import Code
from aiops_analysis.core.window import Window
from aiops_analysis.history.store import open_store
from aiops_analysis.workflows.pull import pull
from aiops_analysis.workflows.review import Review, monthly
from tests.real import need
from tests.real.machines import STEP, Machines

DAYS = (date(2022, 8, 22), date(2022, 8, 23))
WINDOW = Window.of_days(DAYS[-1], 7)


@pytest.fixture(scope="module")
def samples() -> pd.DataFrame:
    """Mean CPU [cores] and largest memory [bytes] of each pod and step; limits from usage and its share of them, rounded."""
    raw = pd.read_parquet(need("nezha_k8s") / "pod_metrics_2022.parquet")
    stamp = pd.to_datetime(raw["Time"].str.slice(0, 19), utc=True).astype("datetime64[s, UTC]").astype("int64")
    frame = pd.DataFrame(
        {
            "machine": raw["PodName"].astype(str),
            "stamp": -(-stamp // STEP) * STEP,
            "cpu": raw["CpuUsage(m)"] / 1000,
            "memory": raw["MemoryUsage(Mi)"] * 2**20,
            "cores": 0.3,
            "bytes": 2.0**29,
        }
    )
    spec = {"cpu": "mean", "memory": "max", "cores": "first", "bytes": "first"}
    return frame.groupby(["machine", "stamp"], as_index=False).agg(spec)


@pytest.fixture(scope="module")
def review(samples: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Review:
    store = open_store(tmp_path_factory.mktemp("nezha"), "boutique")
    done = pull(store, Machines(samples, "boutique", together=True), WINDOW, now=WINDOW.end + timedelta(hours=1))  # type: ignore[arg-type]
    assert tuple(sorted(done.stored)) == DAYS
    return monthly(store, WINDOW, policy_of("seed"))


def test_its_stamps_are_not_times():
    """In more than a thousand rows the number is years away from the time that stands beside it."""
    raw = pd.read_parquet(need("nezha_k8s") / "pod_metrics_2022.parquet")
    said = pd.to_datetime(raw["Time"].str.slice(0, 19), utc=True).astype("datetime64[s, UTC]").astype("int64")
    assert ((raw["TimeStamp"] - said).abs() > 365 * 86_400).sum() > 1000


def test_f19_two_days_are_refused_with_the_date(review, samples):
    """The first sample of a pod is on 22 August: seven days span to the 29th; to the 30th for the pod that came on the 23rd."""
    recs = review.recommendations
    assert len(recs) == 2 * samples["machine"].nunique()
    assert set(recs["grade"]) == {"refused"}
    assert recs[["rule_request", "guarded_request", "guarded_limit", "paper"]].isna().all().all()
    running = recs[~recs["reasons"].map(lambda reasons: any(r.code == Code.GONE for r in reasons))]
    first = samples.groupby("machine")["stamp"].min()
    for row in running.itertuples():
        assert Code.SHORT_HISTORY in {reason.code for reason in row.reasons}
        assert np.isnan(row.p95)
        begin = pd.Timestamp(first[row.workload] - STEP, unit="s")
        assert row.enough_on == (begin + timedelta(days=7)).date().isoformat(), row
    assert set(running["enough_on"]) == {"2022-08-29", "2022-08-30"}


def test_f17_the_gap_is_a_hole_not_a_zero(review):
    days = review.days[(review.days["metric"] == "cpu_usage") & (review.days["status"] != "missing")].set_index("day")
    assert days["completeness"].between(0.3, 0.99).all()
    assert any(f["code"] == "days_missing" for f in review.findings)
    assert review.figures["rows_recommended"] == 0
