"""Events of a row's series: rollouts, kills and restarts by day."""

from __future__ import annotations

from pathlib import Path

from aiops_analysis.core.window import Window
from aiops_analysis.history.store import open_store
from aiops_analysis.workflows.happened import events_of
from tests.test_measured import DAYS, LAST, WINDOW, at, history, pod, rolled

DEMO = Path(__file__).parents[1] / "data" / "demo" / "history"


def test_the_demos_story_is_told_by_day():
    store = open_store(DEMO, "demo")
    days = store.days("cpu_usage")
    got = events_of(store, Window.of_days(days[-1], 28))

    def of(workload, kind, container=None):
        rows = got[(got["workload"] == workload) & (got["kind"] == kind) & (got["namespace"] != "staging")]
        return rows[rows["container"] == (container or workload)][["day", "count"]].to_numpy().tolist()

    # days ago 15, 13, 9, 5, 3, 2 of a month that ends with 1 November; no other restart beside them
    killed = ["2026-10-18", "2026-10-20", "2026-10-24", "2026-10-28", "2026-10-30", "2026-10-31"]
    assert of("thumbnailer", "oom_kill") == [[day, 1] for day in killed]
    assert of("thumbnailer", "restart") == []
    assert of("webhooks", "restart") == [["2026-10-13", 1], ["2026-10-25", 1]]
    assert of("frontend", "rollout") == [["2026-10-14", 1], ["2026-10-22", 1]]
    assert got[got["workload_kind"].isin(["CronJob", "Job"])].empty


def test_a_rollout_is_the_day_of_a_new_template(tmp_path):
    when, pods = rolled(4)
    got = events_of(history(tmp_path, pods, lambda *_: 0.2, restarts=[("a", at(DAYS[2], 12)), ("a", at(DAYS[2], 13))]), WINDOW)
    assert got[["day", "kind", "count", "resource"]].to_numpy().tolist() == [
        [DAYS[2].isoformat(), "restart", 2, ""],
        [when.date().isoformat(), "rollout", 1, ""],
    ]


def test_nothing_happened(tmp_path):
    got = events_of(history(tmp_path, pod("a", at(DAYS[0]), at(LAST, 24)), lambda *_: 0.2), WINDOW)
    assert got.empty
    assert "kind" in got.columns
