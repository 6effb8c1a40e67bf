"""The ledger from small histories, worked out by hand: a core costs 1 a month, so a node of 4 cores costs 4 (methods.md B3)."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import date, timedelta

import pandas as pd
import pytest

from aiops_analysis.analysis.node_prices import node_prices
from aiops_analysis.workflows.ledger import Ledger, ledger_from, savings_rows
from tests.ledger_history import CORE, CUT, NodeOf, choice, cut, day_of, decision, folder_of, in_memory, nodes, run

DAYS = range(-28, 91)


def rows_of(found: Ledger) -> pd.DataFrame:
    return found.rows.set_index("record")


def gap_parts(found: Ledger, record: str = "0001") -> dict[str, float]:
    mine = found.parts[found.parts["record"] == record]
    return dict(zip(mine["part"], mine["amount"], strict=True))


def measured(pods, machines, *decisions, days=DAYS, prices=CORE, end: date | None = None, **given: object) -> Ledger:
    read = in_memory(days, pods, machines)
    found = ledger_from(read, "prod", folder_of(*decisions), end or day_of(max(days)), prices, **given)
    for record, row in rows_of(found).iterrows():
        parts = gap_parts(found, str(record))
        if parts:
            assert sum(parts.values()) == pytest.approx(row["gap"]), "the parts of a gap add up to it"
    return found


def shop(before: float = 2.0, after: float = 1.0, count: int = 4, api: int = 4):
    """web asks for ``before`` cores a pod until the cut and ``after`` from it on; api asks for 1 core a pod all the time."""
    return lambda day: [run("web", count, before if day < 0 else after), run("api", api, 1.0)]


WEB = cut("web", 2.0, 1.0)  # 4 pods: 4 cores, 4 a month


def test_applied_exactly_and_a_node_left() -> None:
    # 3 nodes before, 2 from the day after the cut: (3/4 x 4 - 2) x 4 = 4 a month
    found = measured(shop(), lambda day: nodes(3 if day < 1 else 2), decision(1, WEB, paper=4.0))
    row = rows_of(found).loc["0001"]
    assert (row["applied"], row["applied_on"], row["outcome"]) == ("whole", "2026-09-01", "measured")
    assert row[["realised", "realised_30", "realised_60", "realised_90"]].tolist() == pytest.approx([4.0] * 4)
    assert row[["paper_now", "gap", "work_ratio", "nodes_before", "nodes_after"]].tolist() == pytest.approx([4.0, 0.0, 1.0, 3.0, 2.0])
    assert (row["days_before"], row["days_after"]) == (28, 90 - 1 + 1)
    assert row["cause"] == "1 of 3 nodes left"
    assert found.totals["cluster_realised"] == pytest.approx(4.0)
    assert found.totals["cluster_not_attributable"] == pytest.approx(0.0, abs=1e-9)
    assert found.proposals[0]["implemented_on"] == "2026-09-01"
    assert found.proposals[0]["message"] == "the cluster has decision 0001 since 2026-09-01: set implemented_on in 0001-x.md"


def test_ninety_days_are_known_when_they_are_over() -> None:
    def machines(day: int):
        return nodes(3 if day < 1 else 2)

    found = measured(shop(), machines, decision(1, WEB, paper=4.0), days=range(-28, 120))
    assert rows_of(found).loc["0001", ["realised_90", "days_after"]].tolist() == [pytest.approx(4.0), 90]
    found = measured(shop(), machines, decision(1, WEB, paper=4.0), days=range(-28, 60))
    got = rows_of(found).loc["0001", ["realised", "realised_30", "realised_60", "days_after"]].tolist()
    assert got == pytest.approx([4.0, 4.0, math.nan, 59], nan_ok=True)


def test_no_node_left_is_zero_and_said() -> None:
    found = measured(shop(), lambda _: nodes(3), decision(1, WEB, paper=4.0))
    row = rows_of(found).loc["0001"]
    assert (row["realised"], row["gap"], row["outcome"]) == (0.0, 4.0, "measured")
    assert row["cause"] == "no node left; what was freed is free room on the 3 nodes that stay"
    assert gap_parts(found)["rest"] == pytest.approx(4.0)


def test_another_value_is_partly_applied() -> None:
    # 2.0 to 1.5 where 1.0 was decided: 2 cores of 4 are freed, and half a node is all that this change can claim of the node that left
    found = measured(shop(after=1.5), lambda day: nodes(3 if day < 1 else 2), decision(1, WEB, paper=4.0))
    row = rows_of(found).loc["0001"]
    assert (row["applied"], row["paper_now"], row["realised"], row["gap"]) == ("partly", *[pytest.approx(2.0)] * 3)
    assert gap_parts(found)["applied"] == pytest.approx(2.0)
    assert row["cause"] == "applied in part: cpu of shop/web/app is 1500m where 1000m was decided; 1 of 3 nodes left"
    assert found.totals["cluster_not_attributable"] == pytest.approx(2.0)
    assert "finish it" in found.proposals[0]["message"]


def test_only_one_of_two_resources_is_partly_applied() -> None:
    def pods(day: int):
        return [run("web", 4, 2.0 if day < 0 else 1.0, memory=4.0), run("api", 4, 1.0, memory=1.0)]

    both = decision(1, WEB, choice("web", 4.0, 1.0, resource="memory"), paper=4.0)
    row = rows_of(measured(pods, lambda day: nodes(3 if day < 1 else 2), both)).loc["0001"]
    assert (row["applied"], row["realised"]) == ("partly", pytest.approx(4.0))
    assert row["cause"].startswith("applied in part: memory of shop/web/app is 4 GiB where 1 GiB was decided")


def test_half_of_the_pods_on_the_old_request_are_partly_applied() -> None:
    def pods(day: int):
        return [run("web", 2, 2.0), run("web", 2, 2.0 if day < 0 else 1.0), run("api", 4, 1.0)]

    row = rows_of(measured(pods, lambda _: nodes(3), decision(1, WEB, paper=4.0))).loc["0001"]
    assert (row["applied"], row["paper_now"]) == ("partly", pytest.approx(2.0))


def test_what_was_taken_back_is_reverted() -> None:
    # 20 days with the new request, 2 nodes meanwhile; over 60 days the node was gone for 20
    def pods(day: int):
        return [run("web", 4, 1.0 if 0 <= day < 20 else 2.0), run("api", 4, 1.0)]

    found = measured(pods, lambda day: nodes(2 if 1 <= day < 20 else 3), decision(1, WEB, paper=4.0), days=range(-28, 61))
    row = rows_of(found).loc["0001"]
    assert (row["applied"], row["outcome"]) == ("reverted", "measured")
    assert row["realised"] == pytest.approx(4.0 * 19 / 60)
    assert row["cause"].startswith("applied on 2026-09-01 and taken back on 2026-09-21; no node left")
    assert found.proposals == ()


def test_what_was_not_applied_saves_nothing() -> None:
    found = measured(shop(after=2.0), lambda day: nodes(3 if day < 1 else 2), decision(1, WEB, paper=4.0))
    row = rows_of(found).loc["0001"]
    assert (row["applied"], row["applied_on"], row["outcome"], row["realised"], row["gap"]) == ("not", "", "not applied", 0.0, 4.0)
    assert row["cause"] == "decided on 2026-08-30, and its requests in the cluster are the old ones"
    # promises that nobody applied are no gap of a measurement
    assert (found.totals["promised_not_applied"], found.totals["measured"]) == (4.0, 0.0)
    assert math.isnan(found.totals["gap"])


def test_a_raise_where_a_cut_was_decided_is_not_applied() -> None:
    row = rows_of(measured(shop(after=3.0), lambda _: nodes(5), decision(1, WEB, paper=4.0))).loc["0001"]
    assert row["applied"] == "not"


def test_rollouts_of_other_workloads_do_not_move_it() -> None:
    # "batch" gets another request on day 30: it no longer tells the work, api does
    def pods(day: int):
        return [*shop()(day), run("batch", 2, 0.5 if day < 30 else 0.4)]

    row = rows_of(measured(pods, lambda day: nodes(3 if day < 1 else 2), decision(1, WEB, paper=4.0))).loc["0001"]
    assert (row["applied_on"], row["work_ratio"]) == ("2026-09-01", pytest.approx(1.0))
    # batch gave up 0.2 x 60/90 of what web freed with 4 cores, so web's part is a little smaller
    less = 0.2 * 61 / 90
    assert row["realised"] == pytest.approx(4.0 * 4 / (4 + less))


def test_a_node_that_left_late() -> None:
    # gone from day 7 on: 84 of the 90 days with 2 nodes
    found = measured(shop(), lambda day: nodes(3 if day < 7 else 2), decision(1, WEB, paper=4.0))
    row = rows_of(found).loc["0001"]
    assert row["realised"] == pytest.approx(4.0 * 84 / 90)
    assert gap_parts(found)["late"] == pytest.approx(4.0 * 6 / 90)
    assert row["cause"] == "1 of 3 nodes left, 7 days after the change"
    assert row["realised_30"] == pytest.approx(4.0 * 24 / 30)


def test_a_node_larger_than_what_was_freed_is_not_attributable() -> None:
    # 0.4 cores were freed and 4 cores left: 0.4 at most are of this change
    found = measured(shop(2.0, 1.9), lambda day: nodes(3 if day < 1 else 2), decision(1, cut("web", 2.0, 1.9), paper=0.4))
    assert rows_of(found).loc["0001", "realised"] == pytest.approx(0.4)
    totals = found.totals
    assert totals["cluster_realised"] == pytest.approx(4.0)
    assert totals["cluster_attributed"] == pytest.approx(0.4)
    assert totals["cluster_not_attributable"] == pytest.approx(3.6)


def test_more_is_never_realised_than_was_promised() -> None:
    found = measured(shop(), lambda day: nodes(3 if day < 1 else 2), decision(1, WEB, paper=3.0))
    assert rows_of(found).loc["0001", ["realised", "gap"]].tolist() == pytest.approx([3.0, 0.0])
    assert found.totals["cluster_not_attributable"] == pytest.approx(1.0)


def test_a_node_of_another_pool_is_not_this_changes_doing() -> None:
    def machines(day: int):
        return [*nodes(3), *nodes(2 if day < 1 else 1, "red")]

    def pods(day: int):
        return [*shop()(day), run("red-api", 2, 1.0, node="red-1")]

    found = measured(pods, machines, decision(1, WEB, paper=4.0))
    assert rows_of(found).loc["0001", "realised"] == 0.0
    assert found.totals["cluster_realised"] == pytest.approx(4.0)
    assert found.totals["cluster_not_attributable"] == pytest.approx(4.0)


def test_a_node_that_had_left_before_is_not_counted() -> None:
    # 3 nodes until ten days before the cut, then 2: the baseline's mean is 3 x 18/28 + 2 x 10/28 = 2.643
    found = measured(shop(), lambda day: nodes(3 if day < -10 else 2), decision(1, WEB, paper=4.0))
    row = rows_of(found).loc["0001"]
    assert (row["realised"], row["nodes_before"]) == (0.0, pytest.approx(3 * 18 / 28 + 2 * 10 / 28))
    assert "no node left; 0.6 nodes had left before it and are not counted" in row["cause"]
    assert found.totals["cluster_not_attributable"] == pytest.approx(4.0 * 18 / 28)


def test_more_work_on_as_many_nodes_avoids_nodes() -> None:
    # api goes from 4 to 6 pods: work 1.5, 2 nodes before would be 3, there still are 2: one node avoided
    def pods(day: int):
        return [run("web", 4, 2.0 if day < 0 else 1.0), run("api", 4 if day < 1 else 6, 1.0)]

    found = measured(pods, lambda _: nodes(2), decision(1, WEB, paper=4.0))
    row = rows_of(found).loc["0001"]
    assert (row["work_ratio"], row["realised"]) == (pytest.approx(1.5), pytest.approx(4.0))
    assert row["cause"] == "work rose to 150 % of what it was and the nodes went from 2.0 to 2.0: 1.0 nodes were avoided"


def test_a_node_that_left_because_work_fell_is_no_saving() -> None:
    # api goes from 6 to 4 pods: work 2/3, 3 nodes become 2
    def pods(day: int):
        return [run("web", 4, 2.0 if day < 0 else 1.0), run("api", 6 if day < 1 else 4, 1.0)]

    row = rows_of(measured(pods, lambda day: nodes(3 if day < 1 else 2), decision(1, WEB, paper=4.0))).loc["0001"]
    assert row["realised"] == pytest.approx(0.0, abs=1e-9)
    assert "1 of 3 nodes left, while work fell to 67 % of what it was" in row["cause"]


def test_daemonsets_are_no_measure_of_work() -> None:
    # as many agents as nodes: one agent less is not less work
    def pods(day: int):
        agents = [run("agent", 1, 1.0, node=f"n{n}", kind="DaemonSet") for n in range(1, 4 if day < 1 else 3)]
        return [*shop()(day), *agents]

    row = rows_of(measured(pods, lambda day: nodes(3 if day < 1 else 2), decision(1, WEB, paper=4.0))).loc["0001"]
    assert (row["work_ratio"], row["realised"]) == (pytest.approx(1.0), pytest.approx(4.0))


def test_a_users_volume_takes_the_place_of_requested_core_hours() -> None:
    # requests say the same work, the users' volume halves: 3 nodes become 1.5, there are 2
    volume = pd.Series({day_of(day): 100.0 if day < 1 else 50.0 for day in DAYS})
    found = measured(shop(), lambda day: nodes(3 if day < 1 else 2), decision(1, WEB, paper=4.0), volume=volume)
    row = rows_of(found).loc["0001"]
    assert (row["work_ratio"], row["realised"]) == (pytest.approx(0.5), 0.0)
    # days of which the volume is not known are not measured
    short = volume.drop([day_of(day) for day in range(1, 80)])
    row = rows_of(measured(shop(), lambda day: nodes(3 if day < 1 else 2), decision(1, WEB, paper=4.0), volume=short))
    assert (row.loc["0001", "outcome"], row.loc["0001", "days_after"]) == ("not yet measured", 11)


def test_two_decisions_in_one_pool_share_by_what_they_freed() -> None:
    # web frees 3 cores, app 1 core, one node of 4 goes: 3 and 1 a month
    def pods(day: int):
        new = day >= 0
        return [run("web", 3, 1.0 if new else 2.0), run("app", 1, 1.0 if new else 2.0), run("api", 4, 1.0)]

    both = (decision(1, WEB, paper=3.0), decision(2, cut("app", 2.0, 1.0), paper=1.0))
    found = measured(pods, lambda day: nodes(3 if day < 1 else 2), *both)
    assert rows_of(found)["realised"].tolist() == pytest.approx([3.0, 1.0])
    assert found.totals["realised"] == pytest.approx(4.0)


def test_a_later_decision_shares_from_its_own_day_on_and_nothing_is_counted_twice() -> None:
    # web (2 cores) on day 0 frees no node; app (2 cores) on day 20; a node goes with it: half each while it is gone
    def pods(day: int):
        return [run("web", 2, 1.0 if day >= 0 else 2.0), run("app", 2, 1.0 if day >= 20 else 2.0), run("api", 4, 1.0)]

    two = decision(2, cut("app", 2.0, 1.0), paper=2.0, on=day_of(19))
    found = measured(pods, lambda day: nodes(3 if day < 20 else 2), decision(1, WEB, paper=2.0), two, days=range(-28, 91))
    got = rows_of(found)["realised"]
    assert got.tolist() == pytest.approx([2.0 * 71 / 90, 2.0])
    # over the 90 days the cluster saved 71 days of a node, and all of it is accounted for
    assert found.totals["cluster_realised"] == pytest.approx(4.0 * 71 / 90)
    assert found.totals["cluster_not_attributable"] == pytest.approx(0.0, abs=1e-9)


def test_what_went_without_a_record_takes_its_part() -> None:
    # "old" with 4 cores is deleted on the day of the cut, web frees 4 as well, and one node goes: half of it is web's
    def pods(day: int):
        return [*shop()(day), *([run("old", 4, 1.0)] if day < 0 else [])]

    found = measured(pods, lambda day: nodes(4 if day < 1 else 3), decision(1, WEB, paper=4.0))
    assert rows_of(found).loc["0001", "realised"] == pytest.approx(2.0)
    assert found.totals["cluster_not_attributable"] == pytest.approx(2.0)


def test_what_others_took_is_named_and_counted() -> None:
    # web frees 4 cores, "new" asks for 2.1 of them; no node goes
    def pods(day: int):
        return [*shop()(day), *([run("new", 1, 2.1)] if day >= 1 else [])]

    found = measured(pods, lambda _: nodes(3), decision(1, WEB, paper=4.0))
    assert rows_of(found).loc["0001", "cause"] == (
        "no node left; 2.1 of the 4.0 cores freed were taken by other workloads; the rest is free room on the 3 nodes that stay"
    )
    parts = gap_parts(found)
    assert (parts["others"], parts["rest"]) == (pytest.approx(2.1), pytest.approx(1.9))


def test_more_replicas_are_named_and_counted() -> None:
    # 4 pods of 2.0 become 6 of 1.0: 8 cores become 6, so 2 of the promised 4 went into two more pods
    def pods(day: int):
        return [run("web", 4, 2.0) if day < 0 else run("web", 6, 1.0), run("api", 4, 1.0)]

    found = measured(pods, lambda _: nodes(3), decision(1, WEB, paper=4.0))
    assert "replicas rose from 4 to 6" in rows_of(found).loc["0001", "cause"]
    parts = gap_parts(found)
    assert (parts["replicas"], parts["rest"]) == (pytest.approx(2.0), pytest.approx(2.0))


def test_fewer_replicas_are_not_the_doing_of_a_smaller_request() -> None:
    # 4 pods of 2.0 become 2 of 1.0: the request frees 2, two pods less free 4; the node that left is a third of this change
    def pods(day: int):
        return [run("web", 4, 2.0) if day < 0 else run("web", 2, 1.0), run("api", 4, 1.0)]

    found = measured(pods, lambda day: nodes(3 if day < 1 else 2), decision(1, WEB, paper=4.0))
    assert rows_of(found).loc["0001", "realised"] == pytest.approx(4.0 * 2 / 6)


def test_a_price_effect_is_apart() -> None:
    # the list is twice as dear now: 2 nodes x (8 - 4); the saving is at the old price
    dear = replace(CORE, cpu_hour=2 / 730)
    found = measured(shop(), lambda day: nodes(3 if day < 1 else 2), decision(1, WEB, paper=4.0), prices=dear, before=CORE)
    assert rows_of(found).loc["0001", ["realised", "price_effect"]].tolist() == pytest.approx([4.0, 8.0])
    assert found.totals["cluster_price_effect"] == pytest.approx(8.0)


def test_two_nodes_twice_as_large_are_no_saving() -> None:
    # 4 nodes of 4 cores become 2 of 8
    found = measured(shop(), lambda day: nodes(4) if day < 1 else nodes(2, cores=8.0), decision(1, WEB, paper=4.0))
    assert rows_of(found).loc["0001", "realised"] == pytest.approx(0.0, abs=1e-9)


def test_days_before_a_change_are_needed() -> None:
    found = measured(shop(), lambda day: nodes(3 if day < 1 else 2), decision(1, WEB, paper=4.0), days=range(-13, 60))
    row = rows_of(found).loc["0001"]
    assert (row["outcome"], row["days_before"]) == ("not computable", 13)
    assert math.isnan(row["realised"])
    assert row["cause"] == "13 days before the change of 2026-09-01 are measured, 14 are needed"


def test_days_after_a_change_are_waited_for_with_the_date() -> None:
    def machines(day: int):
        return nodes(3 if day < 1 else 2)

    found = measured(shop(), machines, decision(1, WEB, paper=4.0), days=range(-28, 14))
    row = rows_of(found).loc["0001"]
    assert (row["outcome"], row["days_after"], math.isnan(row["realised"])) == ("not yet measured", 13, True)
    assert row["cause"] == "13 of 14 days after the change of 2026-09-01 are measured; from 2026-09-15 on it is known"
    done = measured(shop(), machines, decision(1, WEB, paper=4.0), days=range(-28, 15))
    assert rows_of(done).loc["0001", ["outcome", "realised"]].tolist() == ["measured", pytest.approx(4.0)]


def test_a_deleted_workload() -> None:
    def pods(day: int):
        return [run("api", 4, 1.0), *([run("web", 4, 2.0 if day < 0 else 1.0)] if day < 5 else [])]

    row = rows_of(measured(pods, lambda _: nodes(3), decision(1, WEB, paper=4.0))).loc["0001"]
    assert (row["applied"], row["outcome"]) == ("unknown", "not computable")
    assert row["cause"] == "its workload was gone 4 measured days after the change, 14 are needed"
    # never there since the record
    early = measured(lambda day: pods(day + 40), lambda _: nodes(3), decision(1, WEB, paper=4.0))
    assert rows_of(early).loc["0001", "applied"] == "unknown"
    assert rows_of(early).loc["0001", "cause"].startswith("no pod of its workload is in the history")


def test_a_workload_that_went_after_it_was_measured() -> None:
    # twenty measured days with a node less, then web is deleted
    def pods(day: int):
        return [run("api", 4, 1.0), *([run("web", 4, 2.0 if day < 0 else 1.0)] if day < 21 else [])]

    row = rows_of(measured(pods, lambda day: nodes(3 if day < 1 else 2), decision(1, WEB, paper=4.0))).loc["0001"]
    assert (row["outcome"], row["realised"], row["days_after"]) == ("measured", pytest.approx(4.0), 20)


def test_missing_node_data() -> None:
    found = measured(shop(), lambda _: None, decision(1, WEB, paper=4.0))
    row = rows_of(found).loc["0001"]
    assert (row["applied"], row["applied_on"], row["outcome"]) == ("whole", "2026-09-01", "not computable")
    assert row["cause"] == "no node of its pods is in the history, so no node-hours can be compared"
    holes = measured(shop(), lambda day: None if 10 <= day < 20 else nodes(3 if day < 1 else 2), decision(1, WEB, paper=4.0))
    assert rows_of(holes).loc["0001", ["realised", "days_after"]].tolist() == [pytest.approx(4.0), 80]


def test_a_day_with_a_hole_in_its_hours_does_not_free_nodes() -> None:
    # from day 5 to 15 the server only knew the first twelve hours
    def pods(day: int):
        last = 12.0 if 5 <= day < 15 else 24.0
        return [run("web", 4, 2.0 if day < 0 else 1.0, last=last), run("api", 4, 1.0, last=last)]

    def machines(day: int):
        return nodes(3, last=12.0 if 5 <= day < 15 else 24.0)

    row = rows_of(measured(pods, machines, decision(1, WEB, paper=4.0))).loc["0001"]
    assert (row["realised"], row["days_after"]) == (0.0, 80)


def test_nodes_without_a_price() -> None:
    free = replace(CORE, cpu_hour=math.nan, currency="EUR")  # in dollars the default prices would stand in
    row = rows_of(measured(shop(), lambda day: nodes(3 if day < 1 else 2), decision(1, WEB, paper=4.0), prices=free)).loc["0001"]
    assert (row["outcome"], row["cause"]) == ("not computable", "the nodes of its pool have no price")


def test_a_pool_that_went_before_the_window_is_priced_by_the_list() -> None:
    # web's 4 pods moved to blue with half the request, and red's 2 nodes went: a review of the last days knows prices of blue alone
    def pods(day: int):
        return [run("web", 4, 2.0 if day < 0 else 1.0, node="red-1" if day < 1 else "n1"), run("api", 4, 1.0)]

    def machines(day: int):
        return [*nodes(2), *(nodes(2, "red") if day < 1 else [])]

    whole = measured(pods, machines, decision(1, WEB, paper=4.0))
    late = in_memory(range(60, 91), pods, machines)(day_of(60), day_of(90)).machines
    known = node_prices(late, CORE)
    assert set(known["pool"]) == {"blue"}
    alone = measured(pods, machines, decision(1, WEB, paper=4.0), prices=known)
    assert rows_of(alone).loc["0001", "outcome"] == "not computable"
    got = measured(pods, machines, decision(1, WEB, paper=4.0), prices=known, beside=CORE)
    pd.testing.assert_frame_equal(got.rows, whole.rows)
    assert got.totals == pytest.approx(whole.totals, nan_ok=True)
    # 2 of 4 nodes of 4 a month left for the same work
    assert got.totals["cluster_realised"] == pytest.approx(8.0)
    # in a billed pool a node that went costs what its pool costs by the bill, not what a list says
    billed = known.assign(basis="billing", price_hour=2 * known["price_hour"])
    found = measured(shop(), lambda day: nodes(3 if day < 1 else 2), decision(1, WEB, paper=9.0), prices=billed, beside=CORE)
    assert found.totals["cluster_price_effect"] == pytest.approx(0.0, abs=1e-9)
    assert found.totals["cluster_realised"] == pytest.approx(8.0)


def test_no_workload_that_stayed_as_it_was() -> None:
    def pods(day: int):
        return [run("web", 4, 2.0 if day < 0 else 1.0)]

    row = rows_of(measured(pods, lambda day: nodes(3 if day < 1 else 2), decision(1, WEB, paper=4.0))).loc["0001"]
    assert (row["outcome"], row["cause"]) == (
        "not computable",
        "no workload stayed as it was, so work cannot be told; give a volume",
    )


def test_records_of_another_cluster_and_undecided_ones_are_left_out() -> None:
    other = decision(2, cut("web", 2.0, 1.0, cluster="test"), paper=4.0, cluster="test")
    rest = [replace(decision(number, WEB, paper=4.0), status=status) for number, status in ((3, "rejected"), (4, "proposed"))]
    found = measured(shop(), lambda day: nodes(3 if day < 1 else 2), decision(1, WEB, paper=4.0), other, *rest)
    assert found.rows["record"].tolist() == ["0001"]
    assert dict(found.counted) == {"accepted": 1, "rejected": 1, "proposed": 1}


def test_a_promise_in_another_currency_has_no_gap() -> None:
    euro = decision(1, WEB, paper=4.0, currency="EUR")
    found = measured(shop(), lambda day: nodes(3 if day < 1 else 2), euro)
    row = rows_of(found).loc["0001"]
    assert (row["realised"], math.isnan(row["gap"]), row["currency"]) == (pytest.approx(4.0), True, "USD")
    assert [one["code"] for one in found.findings] == ["ledger_currency"]


def test_a_record_that_changes_no_request() -> None:
    row = rows_of(measured(shop(), lambda _: nodes(3), decision(1, cut("web", 2.0, 2.0), paper=0.0))).loc["0001"]
    assert (row["outcome"], row["applied"]) == ("not computable", "unknown")
    assert row["cause"].startswith("it changes no request")


def test_hostile_names_stay_text() -> None:
    name = "<script>\x1b[31m\u202e" + "x" * 70
    pool = "\x07pool"

    def pods(day: int):
        return [run(name, 4, 2.0 if day < 0 else 1.5), run("api", 4, 1.0)]

    def machines(day: int):
        return [NodeOf("n1", pool), NodeOf("n2", pool), *([NodeOf("n3", pool)] if day < 1 else [])]

    found = measured(pods, machines, decision(1, cut(name, 2.0, 1.0), paper=4.0))
    cause = rows_of(found).loc["0001", "cause"]
    assert cause.startswith("applied in part: cpu of shop/<script>\\x1b[31m\\u202e")
    assert "\x1b" not in cause
    assert rows_of(found).loc["0001", "realised"] == pytest.approx(2.0)


def test_a_raise_costs_what_nodes_came_for_it() -> None:
    # 4 pods of 1.0 get 2.0, a node comes: -4 promised, -4 realised
    found = measured(shop(1.0, 2.0), lambda day: nodes(2 if day < 1 else 3), decision(1, cut("web", 1.0, 2.0), paper=-4.0))
    assert rows_of(found).loc["0001", ["realised", "gap", "paper_now"]].tolist() == pytest.approx([-4.0, 0.0, -4.0])


def test_a_node_that_left_although_requests_were_raised_is_not_attributable() -> None:
    found = measured(shop(1.0, 1.5), lambda day: nodes(3 if day < 1 else 2), decision(1, cut("web", 1.0, 1.5), paper=-2.0))
    row = rows_of(found).loc["0001"]
    assert (row["outcome"], row["realised"], row["gap"]) == ("not attributable", 0.0, -2.0)
    assert found.totals["cluster_not_attributable"] == pytest.approx(4.0)


def test_a_change_that_was_there_before_its_record_is_followed_back() -> None:
    late = decision(1, WEB, paper=4.0, on=CUT + timedelta(days=10))
    row = rows_of(measured(shop(), lambda day: nodes(3 if day < 1 else 2), late)).loc["0001"]
    assert (row["applied"], row["applied_on"], row["realised"]) == ("whole", "2026-09-01", pytest.approx(4.0))


def test_a_record_younger_than_the_history_waits() -> None:
    young = decision(1, WEB, paper=4.0, on=day_of(0))
    row = rows_of(measured(shop(), lambda _: nodes(3), young, days=range(-28, 0))).loc["0001"]
    assert (row["applied"], row["outcome"]) == ("unknown", "not yet measured")
    assert row["cause"] == "decided on 2026-09-01, and the history ends on 2026-08-31"


def test_a_date_that_a_person_set_is_compared() -> None:
    said = decision(1, WEB, paper=4.0, implemented_on=day_of(20))
    found = measured(shop(), lambda day: nodes(3 if day < 1 else 2), said)
    assert [one["message"] for one in found.findings] == ["decision 0001 says implemented on 2026-09-21, the history saw it on 2026-09-01"]
    assert found.proposals == ()


def test_two_cuts_of_one_request_are_counted_once_each() -> None:
    # 3.0 to 2.0 on day 0, 2.0 to 1.0 on day 100: 4 cores each, a node each; the second has its own baseline
    def pods(day: int):
        return [run("web", 4, 3.0 if day < 0 else 2.0 if day < 100 else 1.0), run("api", 4, 1.0)]

    def machines(day: int):
        return nodes(4 if day < 1 else 3 if day < 100 else 2)

    two = decision(2, cut("web", 2.0, 1.0), paper=4.0, on=day_of(99))
    found = measured(pods, machines, decision(1, cut("web", 3.0, 2.0), paper=4.0), two, days=range(-28, 140))
    got = rows_of(found)
    assert got["applied"].tolist() == ["whole", "whole"]
    assert got["realised"].tolist() == pytest.approx([4.0, 4.0])
    assert "cut further" in got.loc["0001", "cause"]


def test_two_cuts_of_one_request_within_weeks_share_one_baseline() -> None:
    # 3.0 to 2.0 on day 0, 2.0 to 1.0 on day 20, 4 cores each; nodes go on days 1 and 20
    def pods(day: int):
        return [run("web", 4, 3.0 if day < 0 else 2.0 if day < 20 else 1.0), run("api", 4, 1.0)]

    def machines(day: int):
        return nodes(4 if day < 1 else 3 if day < 20 else 2)

    two = decision(2, cut("web", 2.0, 1.0), paper=4.0, on=day_of(19))
    found = measured(pods, machines, decision(1, cut("web", 3.0, 2.0), paper=4.0), two, days=range(-28, 61))
    # the second holds all of day 20, so that day counts for it, and both have freed as much from then on
    assert rows_of(found)["realised"].tolist() == pytest.approx([4.0, 4.0])
    assert found.totals["cluster_not_attributable"] == pytest.approx(0.0, abs=1e-9)


def test_a_large_deletion_leaves_no_part_for_a_change_that_frees_next_to_nothing() -> None:
    # 40 cores are deleted, ten nodes go; the change is of 0.04 cores and gets a thousandth of them, capped at what it freed
    def pods(day: int):
        return [run("web", 4, 2.0 if day < 0 else 1.99), run("api", 4, 1.0), *([run("old", 40, 1.0)] if day < 0 else [])]

    found = measured(pods, lambda day: nodes(13 if day < 1 else 3), decision(1, cut("web", 2.0, 1.99), paper=0.04))
    assert rows_of(found).loc["0001", "realised"] == pytest.approx(0.04 * 40 / 40.04)
    assert found.totals["cluster_not_attributable"] == pytest.approx(40 - 0.04 * 40 / 40.04)


def test_one_pool_without_work_of_its_own_takes_the_clusters() -> None:
    def machines(day: int):
        return [*nodes(3 if day < 1 else 2), *nodes(1, "red")]

    def pods(day: int):
        return [run("web", 4, 2.0 if day < 0 else 1.0), run("api", 4, 1.0, node="red-1")]

    found = measured(pods, machines, decision(1, WEB, paper=4.0))
    assert rows_of(found).loc["0001", "realised"] == pytest.approx(4.0)
    assert [one["message"] for one in found.findings] == [
        "decision 0001: no workload of blue stayed as it was, so the work of the whole cluster counts there"
    ]


def test_pods_in_two_pools_are_measured_in_both() -> None:
    # web frees 2 cores in each pool; a node of 4 goes in blue, none in red: 2 of 4 are capped at what was freed there
    def machines(day: int):
        return [*nodes(3 if day < 1 else 2), *nodes(2, "red")]

    def pods(day: int):
        new = 2.0 if day < 0 else 1.0
        return [run("web", 2, new), run("web", 2, new, node="red-1"), run("api", 2, 1.0), run("cart", 2, 1.0, node="red-1")]

    found = measured(pods, machines, decision(1, WEB, paper=4.0))
    assert rows_of(found).loc["0001", ["realised", "nodes_before", "nodes_after"]].tolist() == pytest.approx([2.0, 5.0, 4.0])


def test_the_number_realised_as_rows_of_savings() -> None:
    young = decision(2, cut("app", 2.0, 1.0), paper=1.0)
    found = measured(shop(), lambda day: nodes(3 if day < 1 else 2), decision(1, WEB, paper=4.0), young)
    rows = savings_rows(found).set_index(["scope", "name"])
    assert rows["amount"].tolist() == pytest.approx([4.0, 4.0, math.nan], nan_ok=True)
    assert rows["grade"].tolist() == ["high", "high", "refused"]
    assert rows.loc[("cluster", "prod"), "condition"] == "1 of 2 accepted decisions are measured, by node-hours"
    assert rows.loc[("decision", "0001"), "condition"] == "measured: 1 of 3 nodes left"
    nothing = savings_rows(measured(shop(), lambda _: nodes(3), days=range(3)))
    assert (len(nothing), math.isnan(nothing["amount"].item()), nothing["grade"].item()) == (1, True, "refused")


def test_an_empty_folder_has_an_empty_ledger() -> None:
    found = measured(shop(), lambda _: nodes(3), days=range(3))
    assert (len(found.rows), len(found.parts), found.totals["records"]) == (0, 0, 0.0)
