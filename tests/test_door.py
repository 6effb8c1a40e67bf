"""What was left out or repaired is told by kind and by name (fault row 14)."""

from __future__ import annotations

from datetime import date

import numpy as np
import pandas as pd

from aiops_analysis.core.schema import LABELS
from aiops_analysis.core.window import Window
from aiops_analysis.history.days import commit_matrix
from aiops_analysis.history.store import Manifest, open_store
from aiops_analysis.workflows.door import door_findings, left_out, left_out_by_container

DAY = date(2026, 11, 1)
WEB = dict(zip(LABELS, ("shop", "Deployment", "web", "web-1", "app"), strict=True))


def entry(kind, count, **labels):
    return {"kind": kind, "count": count, **labels}


def store_with(tmp_path, *dropped):
    store = open_store(tmp_path, "demo")
    commit_matrix(store, Manifest("cpu_usage", DAY, dropped=dropped), pd.DataFrame([WEB]), np.zeros((1, 288), np.float32))
    return store


def test_f14_each_kind_is_one_finding_that_names_the_containers(tmp_path):
    twice = (entry("duplicate", 3, **WEB), entry("duplicate", 2, **WEB | {"pod": "web-2"}))
    store = store_with(tmp_path, *twice, entry("nan", 1), entry("unsorted", 4, **WEB))
    found = door_findings(store, Window.of_days(DAY, 1))
    assert [(f["code"], f["data"]["kind"], f["data"]["count"]) for f in found] == [
        ("dropped_values", "nan", 1),
        ("repaired_values", "duplicate", 5),  # of two pods of one container: 3 + 2
        ("repaired_values", "unsorted", 4),
    ]
    assert found[0]["message"] == "1 value was no number (NaN), and left out"
    assert found[1]["message"].endswith("of a series that came twice, of which the first counts: cpu_usage of shop/web/app (5)")
    assert found[2]["message"] == "4 values were back in time, and put in order: cpu_usage of shop/web/app (4)"


def test_repaired_values_are_not_left_out():
    """A second value of a step takes nothing away: the step has its first."""
    odd = (entry("unsorted", 9, **WEB), entry("duplicate", 5, **WEB), entry("nan", 1), entry("above_capacity", 2, **WEB))
    manifest = Manifest("cpu_usage", DAY, dropped=odd)
    assert left_out(manifest) == 3
    assert left_out_by_container([manifest, manifest]) == {("shop", "Deployment", "web", "app"): 4}


def test_f23_very_many_names_are_counted_not_listed(tmp_path):
    store = store_with(tmp_path, *(entry("nan", 1, **WEB | {"workload": f"w{i:03d}"}) for i in range(60)))
    found = door_findings(store, Window.of_days(DAY, 1))[0]
    assert found["message"].endswith("cpu_usage of shop/w004/app (1) and 55 more")
    assert len(found["data"]["series"]) == 50


def test_a_clean_day_has_nothing_to_tell(tmp_path):
    assert door_findings(store_with(tmp_path), Window.of_days(DAY, 1)) == []
