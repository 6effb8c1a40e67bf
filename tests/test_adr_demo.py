"""The demo's own records: one of each kind, and their figures are what the demo history says today."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from aiops_analysis.analysis.policy import PRESETS
from aiops_analysis.evidence.adr import listed
from aiops_analysis.evidence.adr_demo import DEMO_RECORDS, write_demo_records
from aiops_analysis.history.store import open_store
from aiops_analysis.sources.records import read_folder
from aiops_analysis.workflows.decisions import decided
from aiops_analysis.workflows.review import Review, monthly, review_window

DEMO = Path(__file__).resolve().parents[1] / "data" / "demo"
AGAIN = "the demo's records are not what its history says: run make demo"


@pytest.fixture(scope="module")
def review() -> Review:
    store = open_store(DEMO / "history", "demo")
    return monthly(store, review_window(store, days=28), PRESETS["seed"])


@pytest.fixture(scope="module")
def back_then() -> Review:
    """The review of 15 October, of the ten days that there were."""
    store = open_store(DEMO / "history", "demo")
    return monthly(store, review_window(store, days=10, last=date(2026, 10, 14)), PRESETS["seed"])


def test_there_is_one_of_each() -> None:
    found = read_folder(DEMO / "adr")
    assert (found.problems, len(found.decisions)) == ((), len(DEMO_RECORDS))
    kinds = [one.status + (" protected" if one.guard and one.guard.protect else "") for one in found.decisions]
    assert kinds == ["accepted", "proposed", "accepted", "rejected", "rejected protected"]
    assert [one.implemented_on for one in found.decisions] == [date(2026, 10, 19), None, None, None, None]
    assert [one.by_hand for one in listed(found)] == [()] * 5
    assert [one.problems for one in listed(found)] == [()] * 5


def test_their_figures_are_the_historys(review: Review, back_then: Review) -> None:
    for decision in read_folder(DEMO / "adr").decisions:
        of_its_day = back_then if decision.implemented_on else review
        rows = {row["id"]: row for row in of_its_day.recommendations.to_dict("records")}
        paper = 0.0
        for choice in decision.choices:
            row = rows[choice.id]
            recorded = (choice.from_request, choice.to_request, choice.p95)
            assert recorded == pytest.approx((row["current_request"], row["guarded_request"], row["p95"]), rel=1e-9), AGAIN
            paper += row["paper"]
        assert decision.paper == pytest.approx(paper), AGAIN


def test_they_are_what_the_command_writes(tmp_path: Path) -> None:
    write_demo_records(open_store(DEMO / "history", "demo"), tmp_path / "adr")
    made, committed = (
        {str(p.relative_to(d)): p.read_bytes() for p in d.rglob("*") if p.is_file()} for d in (tmp_path / "adr", DEMO / "adr")
    )
    assert sorted(made) == sorted(committed), AGAIN
    assert [name for name in made if made[name] != committed[name]] == [], AGAIN


def test_they_keep_their_rows_quiet_and_name_what_was_accepted(review: Review) -> None:
    rows, findings = decided(review.recommendations, DEMO / "adr", "demo", date(2026, 11, 2), policy=review.policy)
    quiet = rows[rows["decided"] != ""]
    assert list(zip(quiet["container"], quiet["resource"], quiet["decided"], strict=True)) == [
        ("coredns", "cpu", "0004"),
        ("istio-proxy", "cpu", "0005"),
        ("istio-proxy", "memory", "0005"),
    ]
    assert [(one["code"], one["data"]["record"]) for one in findings] == [("decision_not_seen", "0003")] * 2
    assert (decided(rows, DEMO / "adr", "demo", date(2027, 5, 1))[0]["decided"] == "").all()
