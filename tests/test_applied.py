"""When and how far a change was applied, from the requests of each day."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import timedelta

import pytest

from aiops_analysis.analysis.applied import Applied, applied_of, wanted
from aiops_analysis.core.decision import Decision
from aiops_analysis.core.schema import empty
from aiops_analysis.core.schema_money import NODE_PRICES
from aiops_analysis.workflows.slices import to_past
from tests.ledger_history import CUT, Run, choice, cut, day_of, decision, in_memory, nodes, run

WEB = cut("web", 2.0, 1.0)


def found(pods, *, days=range(-5, 10), record: Decision | None = None) -> Applied:
    raw = in_memory(days, pods, lambda _: nodes(1))(day_of(-50), day_of(200))
    return applied_of(record or decision(1, WEB), to_past(raw, empty(NODE_PRICES)))


def states(one: Applied) -> tuple[str, str, int]:
    return one.state, str(one.on or ""), one.settled - CUT.toordinal() if one.settled else 0


@pytest.mark.parametrize(("hour", "on"), [(0.0, "2026-09-01"), (12.0, "2026-09-01"), (18.0, "2026-09-01"), (23.5, "2026-09-01")])
def test_the_day_on_which_it_began_whatever_the_hour(hour: float, on: str) -> None:
    def pods(day: int) -> Sequence[Run]:
        if day != 0:
            return [run("web", 2, 2.0 if day < 0 else 1.0)]
        return [run("web", 2, 2.0, last=hour), run("web", 2, 1.0, first=hour)] if hour else [run("web", 2, 1.0)]

    assert states(found(pods)) == ("whole", on, 1)


def test_a_rollout_over_days_begins_with_the_first_that_led_to_half_of_it() -> None:
    # 0, 25, 50, 100 % of the pods on days 0 to 3
    new = {0: 0, 1: 1, 2: 2}

    def pods(day: int) -> Sequence[Run]:
        count = 0 if day < 0 else new.get(day, 4)
        return [one for one in (run("web", 4 - count, 2.0), run("web", count, 1.0)) if one.count]

    assert states(found(pods)) == ("whole", "2026-09-02", 2)


def test_part_of_the_way_and_further_than_decided() -> None:
    part = found(lambda day: [run("web", 1, 2.0 if day < 0 else 1.8)])
    assert (part.state, part.steps[0].progress) == ("partly", pytest.approx(0.2))
    more = found(lambda day: [run("web", 1, 2.0 if day < 0 else 0.5)])
    assert (more.state, more.steps[0].progress) == ("whole", pytest.approx(1.5))


def test_taken_back_on_a_day() -> None:
    one = found(lambda day: [run("web", 1, 1.0 if 0 <= day < 4 else 2.0)])
    assert (one.state, one.steps[0].undone) == ("reverted", 5 + 4)


def test_several_changes_count_together() -> None:
    record = decision(1, WEB, cut("app", 2.0, 1.0))

    def pods(web: int, app: int):
        return lambda day: [run("web", 1, 2.0 if day < web else 1.0), run("app", 1, 2.0 if day < app else 1.0)]

    # baseline before the first, reporting after the last
    both = found(pods(0, 3), record=record)
    # the change of day 3 is there from midnight, so that day counts; one in the course of day 0 leaves that day out
    assert (states(both), both.begin - CUT.toordinal()) == (("whole", "2026-09-04", 3), 0)
    assert found(pods(0, 99), record=record).state == "partly"
    assert found(pods(99, 99), record=record).state == "not"


def test_memory_and_requests_that_were_not_set() -> None:
    memory = choice("web", 4.0, 1.0, resource="memory")
    assert wanted(memory) == (4.0, 1.0)
    assert found(lambda day: [run("web", 2, 1.0, memory=4.0 if day < 0 else 1.0)], record=decision(1, memory)).state == "whole"
    unset = cut("web", math.nan, 1.0)
    assert wanted(unset) == (0.0, 1.0)
    assert found(lambda day: [run("web", 2, math.nan if day < 0 else 1.0)], record=decision(1, unset)).state == "whole"


def test_the_container_counts_not_its_neighbours() -> None:
    def pods(day: int) -> Sequence[Run]:
        return [run("web", 2, 2.0), run("web", 2, 2.0 if day < 0 else 1.0, container="proxy"), run("web", 2, 1.0, namespace="other")]

    assert found(pods).state == "not"
    assert found(pods, record=decision(1, cut("web", 2.0, 1.0, container="proxy"))).state == "whole"


def test_a_cronjob_that_runs_now_and_then_is_not_gone() -> None:
    def pods(day: int) -> Sequence[Run]:
        night = [run("night", 1, 2.0 if day < 0 else 1.0, kind="CronJob", last=1.0)] if day % 7 == 0 else []
        return [run("api", 1, 1.0), *night]

    record = decision(1, cut("night", 2.0, 1.0, kind="CronJob"))
    assert states(found(pods, days=range(-20, 27), record=record)) == ("whole", "2026-09-01", 0)
    assert found(pods, days=range(-20, 10), record=decision(1, cut("weekly", 2.0, 1.0, kind="CronJob"))).state == "unknown"


def test_gone_workloads_say_until_when() -> None:
    one = found(lambda day: [run("api", 1, 1.0), *([run("web", 1, 1.0)] if day < 6 else [])], days=range(-5, 30))
    assert (one.state, one.until - CUT.toordinal()) == ("unknown", 6)


def test_nothing_at_all_is_unknown() -> None:
    assert found(lambda _: [], days=range(0)).state == "unknown"


def test_the_record_may_be_younger_than_the_change_and_than_the_history() -> None:
    late = decision(1, WEB, on=CUT + timedelta(days=30))
    assert states(found(lambda day: [run("web", 1, 2.0 if day < 0 else 1.0)], record=late)) == ("whole", "2026-09-01", 1)
    assert found(lambda _: [run("web", 1, 2.0)], record=late).state == "unknown"
