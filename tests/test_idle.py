"""What could be switched off: abandoned, idle outside business hours, quiet weekends; and what is never called so."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from aiops_analysis.analysis.hours import HoursPolicy
from aiops_analysis.analysis.idle import IDLE, IdlePolicy, idle_workloads
from aiops_analysis.analysis.profile import PROFILE
from aiops_analysis.core.errors import PolicyError
from aiops_analysis.core.schema import FACTS, USAGE, Contract, blank, check, empty
from tests.frames import recommendation, recommendations

NAN = math.nan


def framed(rows: list[dict[str, object]], contract: Contract) -> pd.DataFrame:
    """Rows as a frame of the contract; times that nobody set are unknown."""
    times = {name: "datetime64[s, UTC]" for name, kind in contract.columns.items() if kind.startswith("datetime")}
    return check(pd.DataFrame(rows).assign(**{name: pd.Series(pd.NaT, range(len(rows)), kind) for name, kind in times.items()}), contract)


class Cluster:
    """A few workloads as the frames of a review."""

    def __init__(self) -> None:
        self.usage: list[dict[str, object]] = []
        self.facts: list[dict[str, object]] = []
        self.profile: list[dict[str, object]] = []
        self.recommendations: list[dict[str, object]] = []

    def add(
        self,
        workload: str = "api",
        *,
        namespace: str = "shop",
        kind: str = "Deployment",
        container: str = "app",
        p99: float = 0.005,
        peak: float = 0.02,
        hot: float = NAN,
        days: int = 28,
        steps: float = 28 * 288,
        business: float = 0.004,
        off: float = 0.004,
        weekend: float = NAN,
        weekday: float = NAN,
        weekends: int = 4,
        cost: float = 10.0,
        busy: int = 0,
        **facts: object,
    ) -> Cluster:
        key = {"namespace": namespace, "workload_kind": kind, "workload": workload, "container": container}
        daily = [1.0] * busy + [peak] * (days - busy)
        measured = {"resource": "cpu", "p99": p99, "max": max(daily), "hot_p95": hot, "days": days, "steps": int(steps), "daily_max": daily}
        self.usage.append(blank(USAGE) | key | measured)
        self.facts.append(blank(FACTS) | key | {"running": True, "role": "app"} | facts)
        dips = {"weekend_p95": weekend, "weekday_p95": weekday, "weekend_dip": weekend < weekday / 2, "weekends": weekends}
        self.profile.append(blank(PROFILE) | key | {"resource": "cpu", "business_p95": business, "off_p95": off} | dips)
        for resource in ("cpu", "memory"):
            row = recommendation(workload, resource, namespace=namespace, kind=kind, container=container)
            self.recommendations.append(row | {"request_cost": cost / 2})
        return self

    def idle(self, **more) -> pd.DataFrame:
        usage, facts, profile = framed(self.usage, USAGE), framed(self.facts, FACTS), framed(self.profile, PROFILE)
        return idle_workloads(recommendations(self.recommendations), usage, facts, profile, hours=HoursPolicy(), **more)


def requests(count: float, workload: str = "api") -> pd.DataFrame:
    return pd.DataFrame([{"namespace": "shop", "workload_kind": "Deployment", "workload": workload, "requests": count}])


def test_without_a_request_metric_it_is_only_possibly_abandoned() -> None:
    (row,) = Cluster().add().idle().to_dict("records")
    assert (row["finding"], row["container"], row["saving"]) == ("possibly_abandoned", "", 10.0)
    assert row["message"].startswith("99 % of its CPU samples in 28 days are at or below 5.0m, the largest is 20m.")
    assert row["message"].endswith("No request metric was read: check before deleting.")


def test_a_count_of_requests_decides() -> None:
    cluster = Cluster().add()
    (row,) = cluster.idle(requests=requests(0.0)).to_dict("records")
    assert (row["finding"], row["message"].endswith("No request was counted.")) == ("abandoned", True)
    assert len(cluster.idle(requests=requests(3.0))) == 0
    for unknown in (requests(NAN), requests(0.0, "other"), requests(0.0).iloc[:0]):
        assert cluster.idle(requests=unknown)["finding"].tolist() == ["possibly_abandoned"]


@pytest.mark.parametrize(
    "more",
    [
        {"p99": 0.010},  # not below 10m
        {"p99": NAN},
        {"hot": 0.012},  # one pod works
        {"days": 13},
        {"steps": 14 * 288 * 0.7 - 1},
        {"busy": 2},  # two days of work
        {"kind": "DaemonSet"},
        {"kind": "CronJob"},
        {"kind": "Job"},
        {"kind": "Pod"},
        {"kind": "Node"},
        {"namespace": "kube-system"},
        {"namespace": "openshift-ingress"},
        {"namespace": "longhorn-system"},
        {"workload": "postgres-operator"},
        {"workload": "ingress-nginx-controller"},
        {"workload": "agent2"},
        {"running": False},
    ],
)
def test_who_is_never_called_abandoned(more) -> None:
    assert len(Cluster().add(**more).idle()) == 0


def test_one_day_of_a_restart_is_forgiven() -> None:
    (row,) = Cluster().add(busy=1).idle().to_dict("records")
    assert "the largest is 1000m" in row["message"]


def test_all_containers_of_a_workload_count_but_not_injected_ones() -> None:
    both = Cluster().add(container="app").add(container="helper", p99=0.02)
    assert len(both.idle()) == 0
    mesh = Cluster().add(container="app").add(container="istio-proxy", p99=0.02, sidecar=True, cost=4.0)
    (row,) = mesh.idle().to_dict("records")
    assert row["saving"] == 14.0  # the pod goes as a whole, with its proxy
    assert len(Cluster().add(container="istio-proxy", sidecar=True).idle()) == 0  # nothing is known of what it serves


def test_a_stateful_set_warns_of_its_data_and_the_rhythm_of_people_is_told() -> None:
    (row,) = Cluster().add(kind="StatefulSet", business=0.006, off=0.004).idle().to_dict("records")
    assert "keeps its volumes" in row["message"]
    assert "follows business hours" in row["message"]


def test_without_a_price_or_facts() -> None:
    assert np.isnan(Cluster().add(cost=NAN).idle().iloc[0]["saving"])
    unknown = Cluster().add()
    unknown.facts = [row | {"workload": "other"} for row in unknown.facts]
    assert len(unknown.idle()) == 0  # nobody said that it runs


def test_off_hours_of_non_production() -> None:
    office = {"p99": 0.5, "business": 0.4, "off": 0.05}
    (row,) = Cluster().add(namespace="team-dev", **office).idle().to_dict("records")
    assert (row["finding"], row["container"]) == ("off_hours", "")
    assert row["saving"] == pytest.approx(10.0 * 118 / 168)
    assert "CPU P95 is 50m against 400m" in row["message"]
    assert "not added to right-sizing" in row["message"]


@pytest.mark.parametrize(
    "more",
    [
        {"namespace": "shop"},
        {"namespace": "test-production"},
        {"off": 0.1},  # a quarter, not less
        {"off": NAN},
        {"kind": "DaemonSet"},
        {"kind": "CronJob"},
        {"hpa": "api"},
        {"weekends": 1},
        {"days": 13},
        {"running": False},
        {"business": 0.004, "off": 0.0001},  # does nothing at any time
    ],
)
def test_who_is_not_scaled_down(more) -> None:
    office = {"p99": 0.5, "business": 0.4, "off": 0.05, "namespace": "team-dev"} | more
    assert len(Cluster().add(**office).idle()) == 0


def test_a_helper_that_does_nothing_is_no_hindrance_but_a_busy_one_is() -> None:
    office = {"p99": 0.5, "business": 0.4, "off": 0.05, "namespace": "qa"}
    quiet = Cluster().add(**office).add(container="helper", business=0.003, off=0.003, namespace="qa")
    assert quiet.idle()["finding"].tolist() == ["off_hours"]
    busy = Cluster().add(**office).add(container="helper", business=0.03, off=0.03, namespace="qa")
    assert len(busy.idle()) == 0


def test_weekend_dips_are_told_where_nothing_stronger_is() -> None:
    dip = {"p99": 0.5, "business": 0.4, "off": 0.3, "weekend": 0.1, "weekday": 0.4}
    (row,) = Cluster().add(**dip).idle().to_dict("records")
    assert (row["finding"], row["container"]) == ("weekend_dip", "app")
    assert np.isnan(row["saving"])
    assert row["message"] == "At weekends its CPU P95 is 100m against 400m on other days (4 weekends, UTC)."
    assert Cluster().add(**dip | {"off": 0.01, "namespace": "dev"}).idle()["finding"].tolist() == ["off_hours"]
    tiny = Cluster().add(**dip | {"weekend": 0.001, "weekday": 0.009})
    assert len(tiny.idle()) == 0


@pytest.mark.parametrize(
    ("namespace", "is_it"),
    [
        ("dev", True), ("team-a-dev", True), ("QA2", True), ("non-prod", True), ("payments.staging", True), ("preview-1234", True),
        ("sandbox_7", True), ("pre-prod", True), ("production", False), ("devices", False), ("latest", False), ("prod-test", False),
        ("contest", False), ("shop", False), ("", False), ("\u202edev", True), ("live-test", False),
    ],
)  # fmt: skip
def test_names_of_non_production(namespace: str, is_it: bool) -> None:
    assert IdlePolicy().looks_non_production(namespace) is is_it


def test_f47_impossible_policies_are_refused() -> None:
    for wrong in ({"cpu_p99": -1.0}, {"off_ratio": NAN}, {"days": 1}, {"work_factor": 0.5}):
        with pytest.raises(PolicyError, match=next(iter(wrong))):
            IdlePolicy(**wrong)
    assert IdlePolicy().as_dict()["production"] == ["prod", "production", "prd", "live"]


def test_frames_are_not_changed_and_empty_ones_give_nothing() -> None:
    frames = recommendations([]), empty(USAGE), empty(FACTS), empty(PROFILE)
    assert list(idle_workloads(*frames, hours=HoursPolicy()).columns) == list(IDLE.columns)
    cluster = Cluster().add()
    usage, facts, profile = framed(cluster.usage, USAGE), framed(cluster.facts, FACTS), empty(PROFILE)
    before = usage.copy(deep=True), facts.copy(deep=True)
    got = idle_workloads(recommendations(cluster.recommendations), usage, facts, profile, hours=HoursPolicy())
    assert got["finding"].tolist() == ["possibly_abandoned"]
    pd.testing.assert_frame_equal(usage, before[0])
    pd.testing.assert_frame_equal(facts, before[1])
