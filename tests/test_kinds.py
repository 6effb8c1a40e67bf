"""Every kind of workload is sized by its own rule (methods.md A7 to A9)."""

from __future__ import annotations

import math
from datetime import timedelta

import pandas as pd
import pytest

from aiops_analysis.analysis.allocation import init_extra
from aiops_analysis.analysis.autoscaling import fixed_point, new_target
from aiops_analysis.analysis.bounds import allowed_by
from aiops_analysis.analysis.java import heap_need
from aiops_analysis.analysis.jobs import usage_of_runs
from aiops_analysis.analysis.policy import SizingPolicy
from aiops_analysis.analysis.rightsizing import recommend
from aiops_analysis.analysis.savings import PriceBook, paper
from aiops_analysis.core.schema import BOUNDS, FACTS, INVENTORY, RUNS, USAGE, blank, check
from tests.test_guards import END, GIB, MIB, NAN, START, WINDOW, codes, facts, frame, numbers, one, sized, usage

CHEAP = PriceBook(name="own", source="price sheet", currency="EUR", cpu_hour=1 / 730, memory_hour=1 / 730)  # 1 a core- or GiB-month


def message(row: pd.Series, code: str) -> str:
    return next(reason.message for reason in row["reasons"] if reason.code == code)


# --- jobs ------------------------------------------------------------------------------------------------------------------------


def run(number: int, seconds: int, cpu_seconds: float, memory: float = 100 * MIB, outcome: str = "succeeded") -> dict[str, object]:
    """The run of one night, which began at two."""
    start = pd.Timestamp(START) + timedelta(days=number, hours=2)
    about = {
        "namespace": "todo",
        "workload_kind": "CronJob",
        "workload": "api",
        "job": f"j{number}",
        "pod": f"p{number}",
        "container": "app",
    }
    measured = {"cpu_seconds": cpu_seconds, "memory_max": memory, "outcome": outcome}
    return blank(RUNS) | about | measured | {"start": start, "end": start + timedelta(seconds=seconds)}


def per_run(runs: list[dict[str, object]], resource: str = "cpu") -> pd.DataFrame:
    return usage_of_runs(check(pd.DataFrame(runs, columns=list(RUNS.columns)), RUNS), window=WINDOW, resource=resource)


def test_a_job_is_measured_by_its_runs_not_by_the_clock() -> None:
    # 60 core seconds in 300 s are 200m, however little of the day that is; ten runs at 200m and one at 400m
    runs = [run(n, 300, 60.0) for n in range(10)] + [run(10, 300, 120.0)]
    got = per_run(runs).iloc[0]
    # eleven runs: rank 0.95 x 10 = 9.5, half-way between 200m and 400m
    assert (got["samples"], got["p50"], got["max"]) == (11, pytest.approx(0.2), pytest.approx(0.4))
    assert got["p95"] == pytest.approx(0.3)
    assert (got["hot_pod"], math.isnan(got["hot_p95"])) == ("", True)
    assert per_run(runs, "memory").iloc[0]["p95"] == 100 * MIB


def test_runs_that_go_on_or_lie_outside_or_were_not_measured_do_not_count() -> None:
    runs = [
        run(0, 300, 60.0),
        run(1, 300, 60.0, outcome="running"),
        run(40, 300, 60.0),
        run(2, 300, NAN),
        run(3, 300, 30.0, outcome="failed"),
    ]
    assert per_run(runs).iloc[0]["samples"] == 2
    assert per_run([run(1, 300, 60.0, outcome="running")]).empty


@pytest.mark.parametrize(("runs", "refused"), [(9, True), (10, False)])
def test_ten_runs_are_needed(runs: int, refused: bool) -> None:
    used = per_run([run(n, 300, 60.0) for n in range(runs)]).iloc[0].to_dict()
    row = one(used, cpu_request=1.0, expected_steps=runs * 2.0)
    assert (row["grade"] == "refused") is refused
    assert row["runs"] == runs
    if refused:
        assert (codes(row), row["enough_on"]) == ({"few_runs"}, "")
        assert message(row, "few_runs") == "It ran 9 times in the window; 10 runs are needed."
    else:
        # 2 x 200m, and the next run gets it; no wall-clock completeness, no missing weekday
        assert (numbers(row)[0], row["takes_effect"], codes(row)) == (400, "next run", {"job"})
        assert math.isnan(row["completeness"])


# --- pools and ordinals ----------------------------------------------------------------------------------------------------------


def test_a_daemonset_is_sized_by_its_hottest_node_pool() -> None:
    row = one(usage(workload_kind="DaemonSet", pool="large", pool_p95=0.08, hot_pod="agent-x", hot_p95=0.09))
    # 2 x 80m; its hottest pod is within 1.25 x of its own pool, so node size is no imbalance
    assert (numbers(row)[0], row["p95"], row["pool"], codes(row)) == (175, 0.08, "large", {"pool"})
    assert message(row, "pool") == "Pods in node pool large use the most (P95 80m; 50m over all pools): that pool decides."


def test_an_ordinal_is_named() -> None:
    row = one(usage(workload_kind="StatefulSet", hot_pod="db-0", hot_p95=0.07))
    assert numbers(row)[0] == 150  # 2 x 70m in steps of 25m
    assert message(row, "ordinal") == "Ordinal db-0 has the highest P95, 70m; ordinals are roles, so the highest counts."


# --- autoscalers -----------------------------------------------------------------------------------------------------------------

HPA = {"hpa": "web", "hpa_cpu": True, "hpa_cpu_target": 60.0}


def test_an_hpa_is_left_alone_and_the_one_change_is_named() -> None:
    row = one(usage(p95=0.175), cpu_request=0.25, **HPA)
    # 2 x 175m = 350m; 60 % x 250 / 350 = 42.9 -> 43 %; a factor of 2 rests at 50 %
    assert (row["grade"], codes(row), row["hpa_target"]) == ("refused", {"hpa_managed"}, 60.0)
    said = message(row, "hpa_managed")
    assert "request 350m with target 43 % keeps them; the rule comes to rest only at a target of 50 %." in said


def test_with_the_policys_leave_request_and_target_change_together() -> None:
    row = one(usage(p95=0.175), SizingPolicy(hpa="together"), cpu_request=0.25, **HPA)
    assert (numbers(row)[0], row["hpa_target"], row["hpa_target_new"], row["change"]) == (350, 60.0, 43.0, "increase")
    assert codes(row) == {"hpa_together"}


@pytest.mark.parametrize(("p95", "target", "said"), [(0.4, 60.0, "19 %"), (0.05, 80.0, "160 %")])
def test_a_target_outside_30_to_90_percent_is_refused(p95: float, target: float, said: str) -> None:
    # 60 x 250/800 = 18.75 -> 19 %; 80 x 250/125 = 160 %: the largest cut of one change is half
    row = one(usage(p95=p95, upper=p95 * 1.3), SizingPolicy(hpa="together"), cpu_request=0.25, **HPA | {"hpa_cpu_target": target})
    assert (row["grade"], codes(row)) == ("refused", {"hpa_out_of_range"})
    assert f"{said}, is outside 30 to 90 %" in message(row, "hpa_out_of_range")


def test_the_hpa_divides_by_the_sum_over_the_pods_containers() -> None:
    # 250m + 250m today, 350m + 250m then: 60 x 500 / 600 = 50 %
    proxy = usage(p95=0.125, container="proxy")
    said = [facts(cpu_request=0.25, **HPA), facts(container="proxy", cpu_request=0.25, **HPA)]
    got = sized([usage(p95=0.175), proxy], said, SizingPolicy(hpa="together"))
    cpu = got[got["resource"] == "cpu"].set_index("container")
    assert cpu.loc["app", "hpa_target_new"] == 50.0
    assert cpu["guarded_request"].tolist() == [0.35, 0.25]


def test_an_unknown_target_is_refused_and_the_fixed_point_is_the_rules() -> None:
    row = one(usage(), SizingPolicy(hpa="together"), cpu_request=0.25, **HPA | {"hpa_cpu_target": NAN})
    assert codes(row) == {"hpa_out_of_range"}
    assert fixed_point(SizingPolicy(), "memory") == pytest.approx(66.67, abs=0.01)
    assert math.isnan(new_target(60.0, [], []))
    assert math.isnan(new_target(60.0, [0.0], [1.0]))


# --- bounds of the namespace and of the nodes --------------------------------------------------------------------------------------


def bound(field: str, value: float, resource: str = "cpu", **more: object) -> dict[str, object]:
    row = blank(BOUNDS) | {"namespace": "todo", "kind": "LimitRange", "name": "small", "scope": "Container", "resource": resource}
    return row | {"field": field, "value": value, "first_seen": pd.Timestamp(START), "last_seen": pd.Timestamp(END)} | more


def within(used: dict[str, object], bounds: list[dict[str, object]], **said: object) -> pd.Series:
    limits = check(pd.DataFrame(bounds, columns=list(BOUNDS.columns)), BOUNDS)
    got = recommend(frame(USAGE, [used]), frame(FACTS, [facts(**said)]), SizingPolicy(), cluster="prod", window=WINDOW, bounds=limits)
    return got[got["resource"] == used["resource"]].iloc[0]


def test_a_limit_range_clamps_and_says_so() -> None:
    # the rule is 100m/300m
    low = within(usage(), [bound("min", 0.16)])
    assert (numbers(low), codes(low)) == ((175, 300), {"clamped"})
    assert message(low, "clamped") == "The LimitRange of todo allows at least 160m: kept within it."
    high = within(usage(), [bound("max", 0.09)])
    assert numbers(high) == (75, 90)
    ratio = within(usage(), [bound("maxLimitRequestRatio", 2.0)])
    assert (numbers(ratio), codes(ratio)) == ((100, 200), {"clamped"})
    assert codes(within(usage(), [bound("max", 4.0), bound("min", 0.01)])) == set()


def test_a_limit_that_is_needed_lifts_the_request_to_the_ratio() -> None:
    # bursts of 1 core: 1.2 x 1000m = 1200m is needed, so with a ratio of 4 the request is 300m
    row = within(usage(), [bound("maxLimitRequestRatio", 4.0)], burst_p999=1.0)
    assert numbers(row) == (300, 1200)


def test_the_newest_and_strictest_bounds_count() -> None:
    old = bound("max", 4.0, first_seen=pd.Timestamp(START), last_seen=pd.Timestamp(START) + timedelta(days=1))
    rows = [
        old,
        bound("max", 2.0),
        bound("max", 3.0, name="other"),
        bound("max", 0.1, scope="Pod"),
        bound("min", 0.1),
        bound("min", 0.2, name="b"),
    ]
    quota = {"kind": "ResourceQuota", "scope": "", "name": "q"}
    rows += [bound("requests.hard", 8.0, **quota), bound("requests.used", 3.0, **quota)]
    got = allowed_by(check(pd.DataFrame(rows, columns=list(BOUNDS.columns)), BOUNDS))
    assert got == {("todo", "cpu"): {"max": 2.0, "min": 0.2, "requests.hard": 8.0}}


def test_a_quota_without_room_is_named_at_what_grows() -> None:
    quota = {"kind": "ResourceQuota", "scope": "", "name": "q"}
    # P95 300m: 600m on two replicas are 1200m
    row = within(usage(p95=0.3), [bound("requests.hard", 1.1, **quota)])
    assert numbers(row)[0] == 600
    assert message(row, "quota") == "With these requests todo asks for 1200m; its ResourceQuota allows 1100m: raise it first."
    assert "quota" not in codes(within(usage(p95=0.3), [bound("requests.hard", 1.2, **quota)]))
    assert "quota" not in codes(within(usage(p95=0.05), [bound("requests.hard", 0.1, **quota)]))  # a cut needs no room


def test_nothing_larger_than_the_nodes_it_runs_on() -> None:
    row = one(usage("memory", 10 * GIB), memory_request=12 * GIB, memory_limit=13 * GIB, largest_node_memory=14770.0 * MIB)
    # 1.5 x 10240 = 15360Mi; 14770 = 923.1 steps of 16Mi
    assert numbers(row) == (923 * 16, 923 * 16)
    assert "asks for 15 GiB, the largest node it runs on gives 14.4 GiB" in message(row, "larger_than_node")
    assert "larger_than_node" not in codes(one(usage("memory", 10 * GIB), largest_node_memory=16.0 * GIB))


# --- init containers and sidecars ------------------------------------------------------------------------------------------------


def test_an_init_container_is_never_resized_and_a_native_sidecar_is() -> None:
    row = one(usage(), role="init")
    assert (row["grade"], codes(row), row["role"]) == ("refused", {"init_container"}, "init")
    assert codes(one(usage(), role="sidecar")) == {"native_sidecar"}


def test_an_init_container_that_asks_for_more_takes_the_saving() -> None:
    # app 500m -> 100m on two replicas, its init container asks for 400m: the pod goes from 500m to 400m, a quarter of the cut
    said = [facts(cpu_limit=NAN), facts(container="init", role="init", cpu_request=0.4)]
    got = paper(sized([usage()], said), CHEAP).query("resource == 'cpu'").set_index("container")
    assert got.loc["app", "paper"] == pytest.approx(2 * (0.5 - 0.4))
    assert (
        message(got.loc["app"], "init_dominates")
        == "An init container asks for more: only 25% of this change lowers what the pod asks for."
    )
    assert math.isnan(got.loc["init", "paper"])
    assert math.isnan(got.loc["init", "request_cost"])
    alone = paper(sized([usage()], [facts(cpu_limit=NAN)]), CHEAP).query("resource == 'cpu'").iloc[0]
    assert alone["paper"] == pytest.approx(2 * 0.4)


def test_the_effective_request_of_a_pod() -> None:
    # app 200m + sidecar 50m = 250m; the init container needs 300m beside the sidecar: 350m, 100m more; memory has no excess
    def part(container: str, role: str, cpu: float, memory: float, pod: str = "web-1") -> dict[str, object]:
        about = {"namespace": "todo", "pod": pod, "uid": pod, "container": container, "role": role, "node": "n1"}
        spans = {"first_seen": pd.Timestamp(START), "last_seen": pd.Timestamp(END)}
        return blank(INVENTORY) | about | spans | {"cpu_request": cpu, "memory_request": memory}

    rows = [
        part("app", "app", 0.2, 500.0),
        part("agent", "sidecar", 0.05, 100.0),
        part("migrate", "init", 0.3, 200.0),
        part("app", "app", 1, 1, "x"),
    ]
    got = init_extra(check(pd.DataFrame(rows, columns=list(INVENTORY.columns)), INVENTORY))
    assert got[["pod", "node"]].to_numpy().tolist() == [["web-1", "n1"]]
    assert got["cpu_request"].tolist() == pytest.approx([0.1])
    assert got["memory_request"].tolist() == [0.0]
    assert init_extra(check(pd.DataFrame(rows[3:], columns=list(INVENTORY.columns)), INVENTORY)).empty


# --- java, both resources together, how a change arrives ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("flags", "limit", "need"),
    [
        ("-Xms256m -Xmx1g", NAN, 1.25 * GIB),
        ("-Xmx2G -Xmx512m", NAN, 640 * MIB),  # the last one wins
        ("-XX:MaxHeapSize=1073741824", NAN, 1.25 * GIB),
        ("-XX:MaxRAMPercentage=75.0", 2 * GIB, 1.875 * GIB),
        ("-XX:MaxRAMPercentage=75.0", NAN, NAN),
        ("-Xss1m", GIB, NAN),
        ("-Xmxlarge", GIB, NAN),
        ("", GIB, NAN),
    ],
)
def test_what_a_heap_needs(flags: str, limit: float, need: float) -> None:
    assert heap_need(flags, limit) == pytest.approx(need, nan_ok=True)


def test_a_known_heap_may_be_cut_down_to_what_it_needs() -> None:
    # the rule is 1.5 x 170 -> 256Mi / 512Mi; the heap of 512m needs 640Mi
    said = {"jvm": True, "java_flags": "-Xmx512m"}
    row = one(usage("memory", 170 * MIB), **said)
    assert (numbers(row), codes(row)) == ((640, 640), {"jvm"})
    assert numbers(one(usage("memory", 170 * MIB), jvm=True)) == (1024, 4096)  # unknown: nothing is cut


def test_a_small_change_goes_along_with_a_large_one_only() -> None:
    # memory 1024Mi -> 1040Mi is one step; alone it is not worth a rollout
    memory, same = usage("memory", 1040 / 1.5 * MIB), usage(p95=0.25)
    alone = sized([same, memory], [facts()]).set_index("resource")
    assert alone["change"].tolist() == ["keep", "keep"]
    both = sized([usage(p95=0.05), memory], [facts()]).set_index("resource")
    assert both["change"].to_dict() == {"cpu": "decrease", "memory": "increase"}
    assert both.loc["memory", "guarded_request"] == 1040 * MIB
    # beside a cpu request that is left to its HPA, memory is alone
    left = sized([usage(p95=0.05), memory], [facts(**HPA)]).set_index("resource")
    assert left["change"].to_dict() == {"cpu": "undetermined", "memory": "keep"}


def test_how_a_change_takes_effect() -> None:
    assert one(usage(), resize="in place")["takes_effect"] == "in place"
    assert one(usage())["takes_effect"] == ""  # the version is not known
    assert one(usage("memory", 170 * MIB), resize="in place")["takes_effect"] == "restart"  # a memory cut
    assert one(usage(), resize="in place", cpu_request=NAN, cpu_limit=NAN)["takes_effect"] == "restart"  # another QoS class
    assert one(usage(p95=0.25), resize="in place")["takes_effect"] == ""  # nothing changes
