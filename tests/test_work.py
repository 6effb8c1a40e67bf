"""What tells how much work was done: workloads that stayed as they were, or a volume."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from aiops_analysis.analysis.past import Past
from aiops_analysis.analysis.work import unchanged, volume_of, work_in
from aiops_analysis.core.schema import empty
from aiops_analysis.core.schema_money import NODE_PRICES
from aiops_analysis.workflows.slices import to_past
from tests.ledger_history import Run, day_of, in_memory, nodes, run

DAYS = range(-4, 4)


def past_of_pods(pods) -> tuple[Past, np.ndarray, np.ndarray]:
    past = to_past(in_memory(DAYS, pods, lambda _: [*nodes(1), *nodes(1, "red")])(day_of(-9), day_of(9)), empty(NODE_PRICES))
    cut = day_of(0).toordinal()
    return past, past.between(0, cut), past.between(cut, cut + 99)


def names(pods) -> list[str]:
    past, before, after = past_of_pods(pods)
    return sorted(set(past.groups.loc[unchanged(past, before, after), "workload"]))


def two(first: Run, then: Run):
    return lambda day: [run("api", 1, 1.0), first if day < 0 else then]


def test_more_pods_are_more_work_of_the_same_workload() -> None:
    pods = two(run("web", 2, 1.0), run("web", 5, 1.0))
    assert names(pods) == ["api", "web"]
    past, before, after = past_of_pods(pods)
    work = work_in(past, unchanged(past, before, after), None)
    # api 1 and web 2 cores, then api 1 and web 5, 24 h a day
    assert work.tolist() == [72.0] * 4 + [144.0] * 4


@pytest.mark.parametrize(
    "then",
    [
        run("web", 2, 1.02),  # more than a percent
        run("web", 2, 1.0, memory=1.0),  # memory was not asked for before
        run("web", 2, 1.0, container="other"),
        run("new", 2, 1.0),
        run("web", 2, 1.0, kind="StatefulSet"),
        run("web", 2, 1.0, namespace="test"),
    ],
)
def test_what_changed_came_or_went_is_no_measure(then: Run) -> None:
    assert names(two(run("web", 2, 1.0), then)) == ["api"]


def test_half_a_percent_is_no_change() -> None:
    pods = two(run("web", 2, 1.0), run("web", 2, 1.005))
    assert names(pods) == ["api", "web"]
    past, before, after = past_of_pods(pods)
    web = past.groups.index[past.groups["workload"] == "web"]
    assert past.groups.loc[unchanged(past, before, after, set(web)), "workload"].tolist() == ["api"]  # somebody decided about it


def test_a_container_more_changes_the_whole_workload() -> None:
    def pods(day: int):
        sidecar = [run("web", 2, 0.1, container="proxy")] if day >= 0 else []
        return [run("api", 1, 1.0), run("web", 2, 1.0), *sidecar]

    assert names(pods) == ["api"]


def test_a_change_within_a_period_counts_too() -> None:
    assert names(lambda day: [run("api", 1, 1.0), run("web", 1, 2.0 if day == 2 else 1.0)]) == ["api"]


def test_what_runs_once_a_node_is_left_out() -> None:
    assert names(lambda _: [run("api", 1, 1.0), run("agent", 1, 1.0, kind="DaemonSet"), run("proxy", 1, 1.0, kind="Node")]) == ["api"]


def test_work_by_pool() -> None:
    past, before, after = past_of_pods(lambda _: [run("api", 1, 1.0), run("api", 2, 1.0, node="red-1"), run("late", 1, 1.0, node="")])
    same = unchanged(past, before, after)
    assert [work_in(past, same, pool)[0] for pool in (0, 1, None)] == [24.0, 48.0, 72.0]


def test_a_volume_by_day() -> None:
    past, _, _ = past_of_pods(lambda _: [run("api", 1, 1.0)])
    volume = pd.Series({str(day_of(day)): 10.0 + day for day in DAYS if day != 1} | {str(day_of(2)): -1.0})
    assert volume_of(past, volume).tolist() == pytest.approx([6, 7, 8, 9, 10, np.nan, np.nan, 13], nan_ok=True)
