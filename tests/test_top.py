"""kubectl top texts in the history, and that they never look like more than an anecdote (fault row 26)."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pandas as pd
import pytest

from aiops_analysis.analysis.policy import SizingPolicy
from aiops_analysis.analysis.rightsizing import recommend
from aiops_analysis.cli import main
from aiops_analysis.core.errors import NotEnoughData
from aiops_analysis.core.schema import INVENTORY, LABELS, blank
from aiops_analysis.core.window import Window
from aiops_analysis.history.days import commit_matrix, read_day
from aiops_analysis.history.inventory import commit_frame
from aiops_analysis.history.store import Manifest, open_store
from aiops_analysis.workflows.facts import facts_of
from aiops_analysis.workflows.measure import usage_of
from aiops_analysis.workflows.review import quality
from aiops_analysis.workflows.top import anecdotal, pull_top, sober

DAY = date(2026, 11, 1)
NOW = datetime(2026, 11, 2, 0, 20, tzinfo=UTC)
HEAD = "NAMESPACE POD NAME CPU(cores) MEMORY(bytes)\n"
WEB = "web-7d9c5b8f6-x2x4z"
MI = 2**20


@pytest.fixture
def store(tmp_path):
    return open_store(tmp_path / "history", "prod")


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "texts").mkdir()

    def write(name, *lines, head=HEAD):
        (tmp_path / "texts" / name).write_text(head + "".join(f"{line}\n" for line in lines))
        return tmp_path / "texts"

    return write


def rows(store, metric, day=DAY):
    labels, samples = read_day(store, metric, day)
    return {tuple(key): samples[i] for i, key in enumerate(labels[list(LABELS)].itertuples(index=False, name=None))}


def put_pod(store, day, pod=WEB, containers=("app",), kind="Deployment", workload="web", **over):
    made = [
        blank(INVENTORY)
        | {
            "namespace": "shop",
            "pod": pod,
            "uid": "u",
            "container": c,
            "role": "app",
            "workload_kind": kind,
            "workload": workload,
            "cpu_request": 0.5,
        }
        | {
            "first_seen": datetime(day.year, day.month, day.day, tzinfo=UTC),
            "last_seen": datetime(day.year, day.month, day.day, 1, tzinfo=UTC),
        }
        | over
        for c in containers
    ]
    with store.lock():
        commit_frame(store, Manifest("inventory", day, road="kubernetes"), pd.DataFrame(made))


def test_f26_values_land_at_their_step(store, folder):
    # 10:05 and 10:07 are step 121 (10:05 to 10:10): mean of 5m and 15m, largest of 20Mi and 10Mi; 00:00 is step 0
    folder("2026-11-01T1005.txt", f"shop {WEB} app 5m 20Mi")
    folder("2026-11-01T1007.txt", f"shop {WEB} app 15m 10Mi", "error: nothing")
    texts = folder("2026-11-01T0000.txt", f"shop {WEB} app 1m 1Mi")
    done = pull_top(store, texts, now=NOW)
    key = ("shop", "Deployment", "web", WEB, "app")
    cpu, memory = rows(store, "cpu_usage")[key], rows(store, "memory_working_set")[key]
    assert np.flatnonzero(np.isfinite(cpu)).tolist() == [0, 121]
    assert cpu[[0, 121]] == pytest.approx([0.001, 0.010])
    assert memory[[0, 121]].tolist() == [MI, 20 * MI]
    manifest = store.manifest("cpu_usage", DAY)
    assert (manifest.road, manifest.status, manifest.holes, manifest.source["flavour"]) == ("kubectl-top", "incomplete", 286, "kubectl top")
    assert manifest.infos == ("the owner of 1 pods is read from their names",)
    assert (done.files, done.readings, done.stored, done.noise) == (3, 3, {DAY: 2}, ["2026-11-01T1007.txt:3: error: nothing"])


def test_reading_again_changes_nothing(store, folder):
    texts = folder("2026-11-01T1005.txt", f"shop {WEB} app 5m 20Mi")
    pull_top(store, texts, now=NOW)
    before = rows(store, "cpu_usage")
    pull_top(store, texts, now=NOW)
    after = rows(store, "cpu_usage")
    assert before.keys() == after.keys()
    np.testing.assert_array_equal(list(before.values()), list(after.values()))


def test_the_history_knows_owners_and_containers_better_than_names(store, folder):
    put_pod(store, DAY, pod="db-0", containers=("mysql",), kind="Cluster", workload="orders")
    texts = folder("2026-11-01T1005.txt", "shop db-0 5m 20Mi", "shop agent-x2x4z 1m 1Mi", head="NAMESPACE NAME CPU(cores) MEMORY(bytes)\n")
    done = pull_top(store, texts, now=NOW)
    assert sorted(rows(store, "cpu_usage")) == [
        ("shop", "Cluster", "orders", "db-0", "mysql"),
        ("shop", "Pod", "agent-x2x4z", "agent-x2x4z", "*"),
    ]
    assert (done.guessed, done.unowned) == (0, 1)


def test_a_day_that_a_server_measured_is_left_alone(store, folder):
    labels = pd.DataFrame([["shop", "Deployment", "web", WEB, "app"]], columns=list(LABELS), dtype="str")
    with store.lock():
        commit_matrix(store, Manifest("cpu_usage", DAY), labels, np.full((1, 288), 0.5, np.float32))
    done = pull_top(store, folder("2026-11-01T1005.txt", f"shop {WEB} app 5m 20Mi"), now=NOW)
    assert done.left == ["2026-11-01: a metrics server has measured this day, its 1 lines of kubectl top are left out"]
    assert (rows(store, "cpu_usage")["shop", "Deployment", "web", WEB, "app"] == 0.5).all()
    assert anecdotal(store, Window.of_days(DAY, 1)) is None


def test_texts_of_the_future_are_named(store, folder):
    folder("2026-11-05T1005.txt", f"shop {WEB} app 5m 20Mi")
    with pytest.raises(NotEnoughData, match=r"first: 2026-11-05T1005\.txt: is of the future"):
        pull_top(store, folder("2026-11-06.txt", f"shop {WEB} app 5m 20Mi"), now=NOW)


def test_f26_nothing_usable_ends_with_four(store, folder):
    with pytest.raises(NotEnoughData, match=r"none of its 1 texts has a usable line; first: 2026-11-01\.txt") as caught:
        pull_top(store, folder("2026-11-01.txt"), now=NOW)
    assert caught.value.exit_code == 4


def many(folder, days=28, hours=(3, 9, 15, 21)):
    """A text every six hours of four weeks."""
    texts = None
    for n in range(days):
        day = DAY - timedelta(days=n)
        for hour in hours:
            texts = folder(f"{day}T{hour:02d}00.txt", f"shop {WEB} app 50m 20Mi")
    return texts


def test_f26_four_weeks_of_texts_are_an_anecdote_and_refused(store, folder):
    pull_top(store, many(folder), now=NOW)
    window = Window.of_days(DAY, 28)
    usage = usage_of(store, window, "cpu")
    found = recommend(usage, sober(store, window, facts_of(store, window)), SizingPolicy(), cluster="prod", window=window)
    (row,) = found[found["resource"] == "cpu"].to_dict("records")
    assert row["grade"] == "refused"
    assert "low_completeness" in [str(reason.code) for reason in row["reasons"]]
    # 112 samples from 03:00 of the first to 21:05 of the last day: 27 x 288 + 217 = 7,993 steps
    assert row["completeness"] == pytest.approx(112 / 7993)
    anecdote = anecdotal(store, window)
    assert anecdote.finding["code"] == "anecdote"
    assert "28 days of the window come from kubectl top, 112 moments of 8064 steps" in anecdote.finding["message"]
    assert anecdote.days["steps"].tolist() == [4] * 28
    assert anecdote.days["share"].iloc[0] == pytest.approx(4 / 288)


def test_f26_an_inventory_of_one_day_does_not_make_texts_complete(store, folder):
    put_pod(store, DAY)  # an hour of inventory: 12 steps, fewer than the 112 samples
    pull_top(store, many(folder), now=NOW)
    window = Window.of_days(DAY, 28)
    facts, usage = facts_of(store, window), usage_of(store, window, "cpu")
    assert facts["expected_steps"].tolist() == [12.0]
    trusted = recommend(usage, facts, SizingPolicy(), cluster="prod", window=window)
    assert trusted.loc[trusted["resource"] == "cpu", "grade"].tolist() != ["refused"]  # the trap
    sobered = recommend(usage, sober(store, window, facts), SizingPolicy(), cluster="prod", window=window)
    assert sobered.loc[sobered["resource"] == "cpu", "grade"].tolist() == ["refused"]
    assert facts["expected_steps"].tolist() == [12.0]  # not changed
    rolled = sober(store, window, facts.assign(settled_steps=12.0))
    assert rolled[["expected_steps", "settled_steps"]].isna().all(axis=None)  # nor is the part after a rollout


def test_facts_of_a_measured_window_stay(store):
    put_pod(store, DAY)
    window = Window.of_days(DAY, 1)
    facts = facts_of(store, window)
    pd.testing.assert_frame_equal(sober(store, window, facts), facts)


def test_quality_says_how_little_is_there(store, folder):
    pull_top(store, folder("2026-11-01T1005.txt", f"shop {WEB} app 5m 20Mi"), now=NOW)
    days = quality(store, Window.of_days(DAY, 1)).set_index("metric")
    assert days.loc["cpu_usage", "completeness"] == pytest.approx(1 / 288)
    assert days.loc["cpu_usage", "status"] == "incomplete"


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_command(home, folder, capsys):
    folder("2026-10-01T1005.txt", f"shop {WEB} app 5m 20Mi", "junk")
    assert main(["pull", "--cluster", "prod", "--source", "kubectl-top", "texts"]) == 0
    out, err = capsys.readouterr()
    assert out == "prod: 1 lines of 1 texts kept as 1 steps of 1 days (anecdote: nobody measured in between)\n"
    assert err == "warning: 2026-10-01T1005.txt:3: junk\n"
    assert main(["pull", "--cluster", "prod", "--source", "kubectl-top", "texts", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["stored"] == {"2026-10-01": 1}
    assert document["noise"] == ["2026-10-01T1005.txt:3: junk"]


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["--cluster", "prod", "--source", "kubectl-top", "nowhere"], 2, "nowhere is not a folder"),
        (["--cluster", "prod", "--source", "graphite", "texts"], 2, "--source 'graphite' is not known"),
        (["--source", "kubectl-top", "texts"], 2, "no cluster is named"),
        (["--cluster", "prod", "--source", "kubectl-top", "texts"], 4, "none of its 1 texts has a usable line"),
    ],
)
def test_how_the_command_fails(home, folder, capsys, arguments, code, says):
    folder("2026-10-01.txt")
    assert main(["pull", *arguments]) == code
    assert says in capsys.readouterr().err
