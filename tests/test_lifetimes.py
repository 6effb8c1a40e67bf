"""How long things lived: midnight, holes, pods whose uid is seen again, and the numbers of series."""

from __future__ import annotations

import math
from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest

from aiops_analysis.analysis.lifetimes import SeriesKeys, Spans, codes_of, lives_of, spans_of
from aiops_analysis.core.schema import INVENTORY, LABELS, check, empty
from aiops_analysis.core.window import Window
from tests.money_store import GIB, container

DAY = date(2026, 11, 3)
NEXT = DAY + timedelta(days=1)
TWO = Window.of_days(NEXT, 2)
NAN = math.nan


def inventory(*rows: dict[str, object]) -> pd.DataFrame:
    return check(pd.DataFrame(list(rows)), INVENTORY)


def lived(frame: pd.DataFrame, window: Window, stored: list[bool]) -> list[tuple[str, int, int, int]]:
    spans = spans_of(frame, ("namespace", "pod", "uid", "container"), window, stored)
    names = frame["workload"].to_numpy()[spans.row]
    return sorted(zip(names.tolist(), spans.day.tolist(), spans.first.tolist(), spans.last.tolist(), strict=True))


def test_a_row_over_midnight_is_cut() -> None:
    row = container(DAY, first=280) | {"last_seen": pd.Timestamp(NEXT, tz="UTC") + pd.Timedelta(minutes=15)}
    assert lived(inventory(row), TWO, [True, True]) == [("web", 0, 280, 288), ("web", 1, 0, 3)]
    # outside the window nothing counts
    assert lived(inventory(row), Window.of_days(DAY, 1), [True]) == [("web", 0, 280, 288)]


def test_only_what_nobody_could_see_is_bridged() -> None:
    # nothing is seen from step 100 to 120: web was there before and after; gone was not seen again
    rows = [container(DAY, last=100), container(DAY, first=120), container(DAY, "gone", last=100)]
    assert lived(inventory(*rows), Window.of_days(DAY, 1), [True]) == [("gone", 0, 0, 100), ("web", 0, 0, 120), ("web", 0, 120, 288)]
    # where another is seen meanwhile, web was really away
    rows.append(container(DAY, "other"))
    assert ("web", 0, 0, 100) in lived(inventory(*rows), Window.of_days(DAY, 1), [True])


def test_a_reused_name_is_another_pod() -> None:
    rows = [container(DAY, last=100, uid="a"), container(DAY, first=120, uid="b")]
    spans = spans_of(inventory(*rows), ("namespace", "pod", "uid", "container"), Window.of_days(DAY, 1), [True])
    assert spans.last.tolist() == [100, 288]
    assert spans.unseen == 20


def test_a_day_that_is_not_stored_is_not_filled() -> None:
    # a day between is missing: the stored days are filled to their midnights, the missing one is not
    three = Window.of_days(DAY + timedelta(days=2), 3)
    rows = [container(DAY, last=200), container(DAY + timedelta(days=2), first=50)]
    assert lived(inventory(*rows), three, [True, False, True]) == [("web", 0, 0, 288), ("web", 2, 0, 50), ("web", 2, 50, 288)]


def test_pod_steps_are_counted_once() -> None:
    rows = [container(DAY, last=200), container(DAY, first=100, container="proxy"), container(DAY, "api", first=280)]
    frame = inventory(*rows)
    lives = lives_of(frame, SeriesKeys(frame), Window.of_days(DAY, 1), [True])
    assert sorted(lives.pod_steps().tolist()) == [0, 8, 288]


def test_an_init_container_that_asks_for_less_adds_nothing() -> None:
    rows = [container(DAY), container(DAY, cpu=0.2, gib=3.0, container="setup", role="init")]
    frame = inventory(*rows)
    lives = lives_of(frame, SeriesKeys(frame), Window.of_days(DAY, 1), [True])
    assert lives.request["cpu"].tolist() == [0.5, 0.0, 0.0]
    assert lives.request["memory"].tolist() == [GIB, 0.0, 2 * GIB]
    assert lives.above["memory"].tolist() == [GIB, 3 * GIB, math.inf]
    assert lives.runs.tolist() == [True, False, False]


def test_each_day_has_its_own_effective_request() -> None:
    # the init container asks for more on the first day only
    rows = [
        container(DAY),
        container(DAY, cpu=2.0, gib=0.0, container="setup", role="init"),
        container(NEXT),
        container(NEXT, cpu=0.1, gib=0.0, container="setup", role="init"),
    ]
    frame = inventory(*rows)
    lives = lives_of(frame, SeriesKeys(frame), TWO, [True, True])
    held = np.bincount(lives.spans.day, lives.request["cpu"] * lives.spans.steps)
    assert held.tolist() == [2.0 * 288, 0.5 * 288]


def test_series_have_numbers() -> None:
    frame = inventory(container(DAY), container(DAY, "api"), container(NEXT))
    keys = SeriesKeys(frame)
    assert len(keys) == 2
    assert keys.code[0] == keys.code[2] != keys.code[1]
    rows = [("shop", "Deployment", "api", "api-0", "app"), ("shop", "x", "y", "web-0", "app"), ("shop", "Deployment", "api", "api-0", "no")]
    labels = pd.DataFrame([*rows, ("else", "Deployment", "api", "api-0", "app")], columns=list(LABELS)).astype("str")
    assert keys.find(labels).tolist() == [keys.code[1], keys.code[0], -1, -1]
    nobody = SeriesKeys(empty(INVENTORY))
    assert (len(nobody), nobody.find(labels).tolist()) == (0, [-1] * 4)


def test_codes_number_equal_rows_alike() -> None:
    frame = pd.DataFrame({"a": ["x", "x", "y", "x"], "b": ["1", "2", "1", "1"]}).astype("str")
    before = frame.copy()
    assert codes_of(frame, ("a", "b")).tolist() == [0, 1, 2, 0]
    pd.testing.assert_frame_equal(frame, before)


@pytest.mark.parametrize("stored", [[True], [False]])
def test_nothing_lived(stored: list[bool]) -> None:
    spans = spans_of(empty(INVENTORY), ("pod",), Window.of_days(DAY, 1), stored)
    assert isinstance(spans, Spans)
    assert (len(spans.row), spans.unseen) == (0, 288 if stored[0] else 0)
