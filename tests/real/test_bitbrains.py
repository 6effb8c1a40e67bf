"""Machines of a hosting provider (Bitbrains Rnd; Shen, van Beek, Iosup, CCGrid 2015) as a cluster through the pull and the review.

47 clean machines over 28 days with two long gaps, compared with pandas; and three untouched, dirty ones, which are refused or repaired
by name: 20 is several machines in one file after 16 July, 27 loses half its cores, 319 starts without cores or memory.
"""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from aiops_analysis.analysis.policy import policy_of
from aiops_analysis.core.reasons import Code
from aiops_analysis.core.window import Window
from aiops_analysis.evidence.reading import read_evidence
from aiops_analysis.history.store import Store, open_store
from aiops_analysis.runner import run_notebook
from aiops_analysis.workflows.measure import usage_of
from aiops_analysis.workflows.pull import pull
from aiops_analysis.workflows.review import Review, monthly
from tests.real import need
from tests.real.machines import Machines, at_step_ends
from tests.tiny import settings_in

WINDOW = Window.of_days(date(2013, 8, 4), 28)
DIRTY = (20, 27, 319)


def within(frame: pd.DataFrame, window: Window) -> pd.DataFrame:
    """The samples whose steps end in a window."""
    return frame[(frame["stamp"] > window.start.timestamp()) & (frame["stamp"] <= window.end.timestamp())]


@pytest.fixture(scope="module")
def clean() -> pd.DataFrame:
    """The samples of 47 machines; a core is the machine's own share of its provisioned MHz."""
    raw = pd.read_parquet(need("bitbrains_rnd") / "dev_47vms.parquet")
    frame = pd.DataFrame(
        {
            "machine": raw["vm"].map("vm-{}".format),
            "stamp": raw["timestamp_s"],
            "cpu": raw["cpu_usage_mhz"] / (raw["cpu_capacity_mhz"] / raw["cpu_cores"]),
            "memory": raw["mem_usage_kb"] * 1024,
            "cores": raw["cpu_cores"].astype(float),
            "bytes": raw["mem_capacity_kb"] * 1024,
        }
    )
    return within(at_step_ends(frame), WINDOW)


@pytest.fixture(scope="module")
def store(clean: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Store:
    return pulled(clean, WINDOW, tmp_path_factory.mktemp("bitbrains"))


def pulled(frame: pd.DataFrame, window: Window, folder: Path) -> Store:
    store = open_store(folder / "history", "hosting")
    pull(store, Machines(frame), window, now=window.end + timedelta(hours=1))  # type: ignore[arg-type]
    return store


@pytest.fixture(scope="module")
def review(store: Store) -> Review:
    return monthly(store, WINDOW, policy_of("seed"))


def usable(clean: pd.DataFrame, resource: str) -> pd.DataFrame:
    """What counts: the first sample of a step, at most 1.05 times what the machine has on that day, as float32."""
    column, capacity = ("cpu", "cores") if resource == "cpu" else ("memory", "bytes")
    once = clean.drop_duplicates(["machine", "stamp"])
    top = once.groupby(["machine", (once["stamp"] - 1) // 86_400])[capacity].transform("max")
    return once.loc[once[column] <= 1.05 * top, ["machine", "stamp"]].assign(value=once[column].astype(np.float32).astype(float))


@pytest.mark.slow
@pytest.mark.parametrize("resource", ["cpu", "memory"])
def test_every_p95_is_pandas(clean, store, resource):
    grouped = usable(clean, resource).groupby("machine")["value"]
    usage = usage_of(store, WINDOW, resource).set_index("workload")
    assert len(usage) == 47
    for name, share in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99), ("max", 1.0)):
        np.testing.assert_allclose(usage[name], grouped.quantile(share).reindex(usage.index), rtol=1e-6, err_msg=name)
    assert (usage["samples"] == grouped.size().reindex(usage.index)).all()


@pytest.mark.slow
def test_f14_what_is_above_a_machine_is_left_out_by_name(clean, review):
    above = clean[clean["cpu"] > 1.05 * clean["cores"]].groupby("machine").size()
    found = [f for f in review.findings if f["data"].get("kind") == "above_capacity"]
    assert [f["data"]["series"] for f in found] == [{f"cpu_usage of hosting/{name}/machine": n for name, n in above.items()}]
    cpu = review.usage[review.usage["resource"] == "cpu"].set_index("workload")["dropped"]
    assert cpu[cpu > 0].to_dict() == above.to_dict()


@pytest.mark.slow
def test_f17_gaps_lower_completeness(clean, review):
    """No machine has a sample for 30.7 h until 17 July and about 24 h until 31 July."""
    steps = np.arange(WINDOW.start.timestamp() + 300, WINDOW.end.timestamp() + 1, 300)
    gone = steps[~np.isin(steps, clean["stamp"])]
    assert len(gone) >= (30.6 + 23.9) * 12
    of = review.days[review.days["metric"] == "cpu_usage"].set_index("day")["completeness"]
    by_day = pd.Series(gone).floordiv(1).map(lambda s: pd.Timestamp(s - 1, unit="s").date().isoformat()).value_counts()
    for day, completeness in of.items():
        assert completeness == pytest.approx(1 - by_day.get(day, 0) / 288), day
    recs = review.recommendations[review.recommendations["resource"] == "memory"].set_index("workload")
    seen = usable(clean, "memory").groupby("machine").size() / (28 * 288)
    # a machine that was resized is measured since then only
    cut = review.usage[review.usage["resource"] == "memory"].set_index("workload")["cut"].reindex(recs.index)
    assert (cut == "").sum() > 40
    np.testing.assert_allclose(recs["completeness"][cut == ""], seen.reindex(recs.index)[cut == ""], rtol=1e-9)
    assert recs["completeness"].max() < 0.92
    assert any(f["code"] == "days_with_holes" for f in review.findings)


@pytest.mark.slow
def test_recommendations_are_sane(clean, review):
    recs = review.recommendations
    given = recs[recs["grade"] != "refused"]
    last = clean.sort_values("stamp").groupby("machine").last()
    assert (recs[recs["resource"] == "cpu"].set_index("workload")["current_request"] == last["cores"]).all()
    assert (given["guarded_request"] >= given["p95"]).all()
    assert (given["guarded_limit"].isna() | (given["guarded_limit"] >= given["guarded_request"])).all()
    cut = given[given["change"] == "decrease"]
    assert (cut["guarded_request"] < cut["current_request"]).all()
    grown = given[given["change"] == "increase"]
    assert (grown["guarded_request"] > grown["current_request"]).all()
    cpu = given[given["resource"] == "cpu"]
    assert (cpu["guarded_request"] + 1e-9 >= np.where(cpu["change"] == "keep", 0, np.maximum(0.025, 2 * cpu["p95"].round(4)))).all()
    # provisioned memory of two machines changed in the last day: nothing is said of them yet
    held = recs[recs["grade"] == "refused"]
    assert {reason.code for reasons in held["reasons"] for reason in reasons} == {Code.RECENT_ROLLOUT}
    memory = clean.sort_values(["machine", "stamp"])
    changed = memory[(memory["bytes"].diff() != 0) & (memory["machine"] == memory["machine"].shift())].groupby("machine")["stamp"].max()
    recent = changed[changed > WINDOW.end.timestamp() - 86_400]
    assert set(held["workload"]) <= set(recent.index)


@pytest.mark.slow
def test_the_notebook_runs_on_it(store, review, tmp_path):
    settings = settings_in(tmp_path, history=str(store.root), cluster="hosting")
    run = run_notebook("monthly_cost_review", {"cluster": "hosting", "days": 28, "end": "2013-08-05"}, settings=settings)
    figures = read_evidence(run.folder / "evidence.json")["figures"]
    assert figures["paper_month"] == pytest.approx(review.figures["paper_month"])
    page = (run.folder / "report.html").read_text(encoding="utf-8")
    assert "above 1.05 times what the node has" in page
    assert "vm-187" in page


# --- dirty machines --------------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def dirty() -> pd.DataFrame:
    """Three machines as their files say; without capacity a core counts 2,600 MHz."""
    frames = []
    for vm in DIRTY:
        for month in (7, 8, 9):
            path = need("bitbrains_rnd") / "raw_dirty" / f"2013-{month}_{vm}.csv.gz"
            raw = pd.read_csv(path, sep=";\t?", engine="python").rename(columns=str.strip)
            cores, mhz = raw["CPU cores"], raw["CPU capacity provisioned [MHZ]"]
            core = (mhz / cores).where(cores > 0, 2600.0)
            frames.append(
                pd.DataFrame(
                    {
                        "machine": f"vm-{vm}",
                        "stamp": raw["Timestamp [ms]"],  # seconds, whatever the header says
                        "cpu": raw["CPU usage [MHZ]"] / core,
                        "memory": raw["Memory usage [KB]"] * 1024,
                        "cores": cores.astype(float),
                        "bytes": raw["Memory capacity provisioned [KB]"] * 1024,
                    }
                )
            )
    return at_step_ends(pd.concat(frames, ignore_index=True))


def reviewed(dirty: pd.DataFrame, last: date, days: int, folder: Path) -> Review:
    window = Window.of_days(last, days)
    return monthly(pulled(within(dirty, window), window, folder), window, policy_of("seed"))


def of_machine(review: Review, name: str) -> pd.DataFrame:
    return review.recommendations[review.recommendations["workload"] == name].set_index("resource")


def codes(row: pd.Series) -> set[Code]:
    return {reason.code for reason in row["reasons"]}


@pytest.mark.slow
def test_f16_several_machines_in_one_file_are_refused_by_name(dirty, tmp_path):
    august = reviewed(dirty, date(2013, 8, 28), 14, tmp_path / "august")
    rows = of_machine(august, "vm-20")
    assert set(rows["grade"]) == {"refused"}
    assert all({Code.NO_SAMPLES, Code.ZERO_REQUEST} <= codes(row) for _, row in rows.iterrows())
    named = {f["data"]["kind"]: f for f in august.findings if "kind" in f["data"]}
    assert set(named["two_in_one"]["data"]["series"]) == {f"{m} of hosting/vm-20/machine" for m in ("cpu_usage", "memory_working_set")}
    assert "two things share its name: cpu_usage of hosting/vm-20/machine" in named["two_in_one"]["message"]
    # every step of 14 days had a sample, and more than one
    assert named["two_in_one"]["data"]["count"] == 2 * 14 * 288
    assert set(of_machine(august, "vm-27")["grade"]) <= {"high", "medium", "low"}


@pytest.mark.slow
def test_a_machine_that_is_one_again_is_measured_again(dirty, tmp_path):
    """From 4 September on the file of machine 20 holds one machine."""
    september = reviewed(dirty, date(2013, 9, 28), 14, tmp_path / "september")
    assert not any(f["data"].get("kind") == "two_in_one" for f in september.findings)
    cpu = of_machine(september, "vm-20").loc["cpu"]
    one = within(dirty[dirty["machine"] == "vm-20"], Window.of_days(date(2013, 9, 28), 14))
    assert not one["stamp"].duplicated().any()
    assert cpu["p95"] == pytest.approx(one["cpu"].astype(np.float32).astype(float).quantile(0.95), rel=1e-6)
    # machine 27 went from 32 to 16 cores on 23 September: the request of today is the new one
    assert of_machine(september, "vm-27").loc["cpu", "current_request"] == 16


@pytest.mark.slow
def test_f22_a_machine_that_changes_half_way_is_marked(dirty, tmp_path):
    """On the day on which a machine loses half its cores its samples are of another version: no number."""
    change = dirty[(dirty["machine"] == "vm-27") & (dirty["cores"] == 16)]["stamp"].min()
    day = pd.Timestamp(change, unit="s").date()
    assert day == date(2013, 9, 23)
    at_once = of_machine(reviewed(dirty, day, 8, tmp_path / "once"), "vm-27").loc["cpu"]
    assert (at_once["grade"], Code.RECENT_ROLLOUT in codes(at_once)) == ("refused", True)
    assert np.isnan(at_once["guarded_request"])


@pytest.mark.slow
def test_f20_a_machine_without_cores_gets_no_invented_number(dirty, tmp_path):
    """Machine 319 has neither cores nor memory in its first hour and gets its memory in small pieces until the end of July."""
    july = reviewed(dirty, date(2013, 7, 30), 9, tmp_path / "july")
    rows = of_machine(july, "vm-319")
    assert set(rows["grade"]) == {"refused"}
    assert all(Code.RECENT_ROLLOUT in codes(row) for _, row in rows.iterrows())
    assert rows["guarded_request"].isna().all()
