"""Days that were measured too thinly are named, and what rests on them is graded down (fault rows 24, 25, 26)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from aiops_analysis.analysis.policy import SizingPolicy
from aiops_analysis.core.reasons import Code
from aiops_analysis.workflows.review import monthly
from tests.test_measured import DAYS, LAST, WINDOW, at, history, pod

RARE = "scraped every 300 s: a 5-minute rate has too few samples; scrape cAdvisor at least every 75 s"
REDUCED = "downsampled: one value every 3600 s instead of each scrape"


def marked(tmp_path, days, *, infos=(), source=None, road="query_range"):
    """A steady history, some days of which were measured in another way."""
    store = history(tmp_path, pod("a", at(DAYS[0]), at(LAST, 24)), lambda *_: 0.2)
    for kind in ("cpu_usage", "memory_working_set"):
        for day in days:
            manifest = replace(store.manifest(kind, day), infos=infos, source=source or {}, road=road)
            (store.folder(kind, day) / "manifest.json").write_bytes(manifest.to_json())
    return monthly(store, WINDOW, SizingPolicy())


def findings(review):
    return {found["code"]: found["message"] for found in review.findings}


def test_f25_days_of_averages_are_named_and_graded_down(tmp_path):
    review = marked(tmp_path, DAYS[:3], infos=(REDUCED,), source={"resolution_s": "3600"})
    assert set(review.recommendations["grade"]) == {"low"}
    said = {reason.code: reason for reason in review.recommendations["reasons"][0]}
    assert said[Code.DOWNSAMPLED].message.startswith("3 of the days are averages")
    assert findings(review)["downsampled"].startswith("3 days, 2026-11-01 to 2026-11-03: downsampled: one value every 3600 s")


def test_f24_days_of_rare_scrapes_are_named(tmp_path):
    review = marked(tmp_path, DAYS[5:6], infos=(RARE,), source={"resolution_s": "0"})
    assert findings(review)["scraped_too_rarely"] == f"1 day, 2026-11-06: {RARE}"
    assert set(review.recommendations["grade"]) == {"high"}  # thin, but every scrape is there


def test_f26_texts_of_kubectl_top_are_an_anecdote(tmp_path):
    review = marked(tmp_path, DAYS, road="kubectl-top")
    assert set(review.recommendations["grade"]) == {"low"}
    assert all(Code.ANECDOTE in {reason.code for reason in reasons} for reasons in review.recommendations["reasons"])
    assert "anecdote" in findings(review)


@pytest.mark.parametrize("infos", [(), ("something else",)])
def test_whole_days_say_nothing(tmp_path, infos):
    assert not {"downsampled", "scraped_too_rarely", "anecdote"} & set(findings(marked(tmp_path, DAYS[:2], infos=infos)))
