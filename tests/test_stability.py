"""What changed its mind since the last run, by hand; and earlier runs that are damaged, foreign or huge (rows 47 and 50)."""

from __future__ import annotations

import json
import math
import os
from datetime import UTC, date, datetime
from pathlib import Path

import pandas as pd
import pytest

from aiops_analysis.analysis.policy import policy_of
from aiops_analysis.analysis.stability import PREVIOUS, STABILITY, Since, compare
from aiops_analysis.core.reasons import Code, Reason
from aiops_analysis.core.schema import KEY, check
from aiops_analysis.core.window import Window
from aiops_analysis.evidence.reading import SCHEMA
from aiops_analysis.evidence.record import Record
from aiops_analysis.runner.folders import publish
from aiops_analysis.workflows import stability
from aiops_analysis.workflows.stability import last_run, since_last_run
from tests.frames import MIB, recommendation, recommendations

NAN = math.nan
SEED = policy_of("seed")
WINDOW = Window.of_days(date(2026, 11, 1), 28)


def previous(*rows: dict[str, object]) -> pd.DataFrame:
    return pd.DataFrame([{**row, "codes": [str(reason.code) for reason in row["reasons"]]} for row in rows])[list(PREVIOUS.columns)]


def beside(now: dict[str, object], then: dict[str, object], **more: object) -> dict[str, object]:
    """The one row of a comparison."""
    (row,) = compare(recommendations([now]), previous(then), SEED, **more).to_dict("records")  # type: ignore[arg-type]
    return row


def cpu(then: float, *, now: float = 0.5, change: str = "decrease", **more: object) -> dict[str, object]:
    return recommendation(now=now, then=then, change=change, **more)  # type: ignore[arg-type]


def test_new_same_and_gone() -> None:
    now = [cpu(0.1), cpu(0.1, workload="young")]
    got = compare(recommendations(now), previous(cpu(0.1), cpu(0.2, workload="old")), SEED)
    assert got[["workload", "stability"]].to_numpy().tolist() == [["backend", "same"], ["young", "new"], ["old", "gone"]]
    assert got["previous_request"].tolist()[::2] == [0.1, 0.2]
    assert math.isnan(got["previous_request"].iloc[1])
    assert got["why"].tolist() == ["", "", "it is not in this run any more"]
    assert list(check(got, STABILITY).columns) == list(STABILITY.columns)
    assert len(compare(recommendations([]), previous(cpu(0.1)).iloc[:0], SEED)) == 0


@pytest.mark.parametrize(
    ("resource", "then", "now", "stability"),
    [
        ("cpu", 0.1, 0.125, "changed"),  # one step of 25m, more than a tenth
        ("cpu", 0.1, 0.115, "same"),  # less than a step
        ("cpu", 1.0, 1.075, "same"),  # three steps, less than a tenth
        ("cpu", 1.0, 1.1, "changed"),  # a tenth
        ("cpu", 1.0, 0.9, "changed"),
        ("memory", 256 * MIB, 272 * MIB, "same"),  # a step of 16Mi, less than a tenth
        ("memory", 100 * MIB, 116 * MIB, "changed"),
        ("memory", 256 * MIB, 256 * MIB, "same"),
    ],
)
def test_a_move_counts_from_the_hysteresis_on(resource: str, then: float, now: float, stability: str) -> None:
    made = {"resource": resource, "now": 4 * then, "p95": then / 2}
    assert beside(recommendation(then=now, **made), recommendation(then=then, **made))["stability"] == stability  # type: ignore[arg-type]


def test_the_direction_flipped() -> None:
    row = beside(cpu(0.8, change="increase", p95=0.4), cpu(0.2, p95=0.1))
    assert (row["stability"], row["previous_request"]) == ("reversed", 0.2)
    assert row["why"] == "the P95 went from 100m to 400m"
    assert beside(cpu(0.2), cpu(0.8, change="increase"))["stability"] == "reversed"
    assert beside(cpu(0.5, change="keep"), cpu(0.2))["stability"] == "changed"  # to keep is no flip


def test_who_moved_the_request_to_the_other_side_changed_the_direction() -> None:
    # recommended 200m both times; the workload went from 500m to 100m meanwhile
    row = beside(cpu(0.2, now=0.1, change="increase"), cpu(0.2, now=0.5))
    assert (row["stability"], row["why"]) == ("same", "the request was changed from 500m to 100m")


def test_applied_meanwhile() -> None:
    row = beside(cpu(0.2, now=0.2, change="keep"), cpu(0.2, now=0.5))
    assert (row["stability"], row["applied"], row["why"]) == ("same", True, "the request was set to the recommended 200m")
    turned = beside(cpu(0.4, now=0.2, change="increase", p95=0.2), cpu(0.2, now=0.5, p95=0.1))
    assert (turned["stability"], turned["applied"]) == ("reversed", True)
    assert turned["why"] == "the request was set to the recommended 200m; the P95 went from 100m to 200m"
    assert not beside(cpu(0.5, change="keep"), cpu(0.5, change="keep"))["applied"]  # it was so before


def test_a_number_came_or_went() -> None:
    short = [Reason(Code.SHORT_HISTORY, "3 days.", {})]
    none = cpu(NAN, change="undetermined", grade="refused", p95=NAN, reasons=short)
    came = beside(cpu(0.1), none)
    assert (came["stability"], came["why"]) == ("changed", "no longer: short_history; the grade went from refused to high")
    assert math.isnan(came["previous_request"])
    went = beside(none, cpu(0.1))
    assert (went["stability"], went["why"]) == ("changed", "new: short_history; the grade went from high to refused")
    assert beside(none, none)["stability"] == "same"


@pytest.mark.parametrize(
    "code", [Code.CLAMPED, Code.LARGER_THAN_NODE, Code.POOL, Code.HPA_TOGETHER, Code.FEW_RUNS, Code.POST_ROLLOUT, Code.SINCE_ROLLOUT]
)
def test_reasons_of_the_kinds_explain_too(code: Code) -> None:
    row = beside(cpu(0.1, reasons=[Reason(code, "Another number.", {})]), cpu(0.2))
    assert (row["stability"], row["why"]) == ("changed", f"new: {code}")


def test_reasons_policy_and_window_explain() -> None:
    killed = [Reason(Code.OOM_KILLED, "Killed.", {}), Reason(Code.SIDECAR, "A comment.", {})]
    since = Since("20261001T000000Z", (14, 28), ("cpu_request_factor",))
    row = beside(cpu(0.6, change="increase", reasons=killed), cpu(0.1), since=since)
    assert row["why"] == "new: oom_killed; the window was 14 days, now 28; the policy changed: cpu_request_factor"
    assert beside(cpu(0.1), cpu(0.1), since=since)["why"] == ""  # nothing to explain


def test_the_arguments_are_not_changed() -> None:
    now, then = recommendations([cpu(0.1)]), previous(cpu(0.2))
    copies = now.copy(deep=True), then.copy(deep=True)
    compare(now, then, SEED)
    pd.testing.assert_frame_equal(now, copies[0])
    pd.testing.assert_frame_equal(then, copies[1])


def run(reports: Path, when: datetime, rows: list[dict[str, object]], *, cluster: str = "demo", policy: str = "seed") -> Path:
    """A published run as the runner leaves it."""
    built = reports / ".tmp-test"
    built.mkdir(parents=True)
    record = Record("r", "?", "review", cluster, WINDOW, when, "0", policy=policy_of(policy).as_dict())
    record.write(built, recommendations(rows))
    return publish(built, reports, "review", cluster, when)


def test_the_newest_earlier_run_is_found(tmp_path: Path) -> None:
    now = datetime(2026, 12, 1, 12, tzinfo=UTC)
    assert last_run(tmp_path, "review", "demo", now) is None
    days = [run(tmp_path, datetime(2026, month, 1, tzinfo=UTC), [cpu(0.1)]) for month in (10, 11)]
    again = run(tmp_path, datetime(2026, 11, 1, tzinfo=UTC), [cpu(0.1)])
    assert again.name == "20261101T000000Z-2"
    later = run(tmp_path, now, [cpu(0.1)])
    (later.parent / "20261130T000000Z.txt").write_text("not a run")
    (later.parent / "20261129T000000Z").write_text("a file")
    assert last_run(tmp_path, "review", "demo", now) == again
    assert last_run(tmp_path, "review", "demo", datetime(2026, 11, 1, tzinfo=UTC)) == days[0]
    assert last_run(tmp_path, "review", "other", now) is None
    assert last_run(tmp_path, "../review", "demo", now) is None


def test_a_run_is_compared_with_the_one_before(tmp_path: Path) -> None:
    rows = [cpu(0.2), cpu(0.2, workload="web"), cpu(0.2, workload="old"), cpu(0.2, workload="calm", now=0.5)]
    folder = run(tmp_path, datetime(2026, 10, 1, tzinfo=UTC), rows, policy="krr")
    now = recommendations(
        [
            cpu(0.2, workload="calm", now=0.2, change="keep"),
            cpu(0.8, change="increase"),
            cpu(0.4, workload="web"),
            cpu(0.1, workload="young"),
        ]
    )
    got = since_last_run(now, folder, cluster="demo", policy=SEED, window=Window.of_days(date(2026, 11, 1), 14))
    table = got.recommendations.set_index("workload")
    assert table["stability"].to_dict() == {"calm": "same", "backend": "reversed", "web": "changed", "young": "new"}
    assert table["previous_request"].to_list()[:3] == [0.2, 0.2, 0.2]
    assert got.rows["stability"].tolist() == ["same", "reversed", "changed", "new", "gone"]
    assert "the window was 28 days, now 14; the policy changed: cpu_request_factor, cpu_limit" in got.rows["why"].iloc[1]
    moved, applied = got.findings
    assert moved["message"] == (
        "against the run of 20261001T000000Z: 1 reversed, 1 changed, 1 new, 1 gone, 1 the same; reversed: todo/backend app cpu"
    )
    assert moved["data"] == {"run": "20261001T000000Z", "new": 1, "same": 1, "changed": 1, "reversed": 1, "gone": 1}
    assert applied["message"] == "1 of the requests that the run of 20261001T000000Z recommended were set since: todo/calm app cpu"
    assert now["stability"].eq("").all()  # the argument is as it was


def test_equal_runs_say_nothing(tmp_path: Path) -> None:
    rows = [cpu(0.2), cpu(NAN, workload="web", p95=NAN, grade="refused", change="undetermined", now=NAN)]
    folder = run(tmp_path, datetime(2026, 10, 1, tzinfo=UTC), rows)
    for path in (folder, folder / "recommendations.json"):
        got = since_last_run(recommendations(rows), path, cluster="demo", policy=SEED, window=WINDOW)
        assert got.findings == ()
        assert got.recommendations["stability"].tolist() == ["same", "same"]


def test_no_earlier_run_leaves_the_columns_empty() -> None:
    got = since_last_run(recommendations([cpu(0.2)]), None, cluster="demo", policy=SEED, window=WINDOW)
    assert (got.recommendations["stability"].tolist(), len(got.rows), got.findings) == ([""], 0, ())


def row_with(**wrong: object) -> bytes:
    good = dict.fromkeys(KEY, "demo") | {"grade": "high", "change": "keep", "current_request": 1.0, "guarded_request": 1.0, "p95": 0.5}
    return json.dumps({"schema": 1, "cluster": "demo", "recommendations": [good | {"reasons": []} | wrong]}).encode()


BROKEN = {
    "empty": (b"", "JSON"),
    "not JSON": (b"{", "JSON"),
    "latin": ('{"schema": 1, "cluster": "\u00e9"}'.encode("latin-1"), "JSON"),
    "a list": (b"[]", "schema None"),
    "deep": (b"[" * 100_000, "JSON"),
    "newer": (b'{"schema": 2}', "schema 2"),
    "a truth": (b'{"schema": true}', "schema True"),
    "a number of Python": (b'{"schema": 1, "x": NaN}', "JSON"),
    "a huge integer": (b'{"schema": 1, "x": ' + b"9" * 5000 + b"}", "JSON"),
    "another cluster": (b'{"schema": 1, "cluster": "prod"}', "cluster 'prod'"),
    "no rows": (b'{"schema": 1, "cluster": "demo"}', "no list"),
    "rows of text": (b'{"schema": 1, "cluster": "demo", "recommendations": ["x"]}', "not an object"),
    "a number as name": (row_with(workload=7), "no text workload"),
    "a text as number": (row_with(p95="1"), "no usable p95"),
    "infinite": (row_with(p95=1).replace(b'"p95": 1', b'"p95": 1e999'), "no usable p95"),
    "negative": (row_with(guarded_request=-1.0), "no usable guarded_request"),
    "a grade of its own": (row_with(grade="<b>"), "not known here"),
    "reasons of text": (row_with(reasons=["x"]), "list of reasons"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_f50_a_broken_earlier_run_is_a_finding(tmp_path: Path, name: str) -> None:
    data, says = BROKEN[name]
    (tmp_path / "recommendations.json").write_bytes(data)
    now = recommendations([cpu(0.2)])
    got = since_last_run(now, tmp_path, cluster="demo", policy=SEED, window=WINDOW)
    (finding,) = got.findings
    assert (finding["code"], says in str(finding["message"])) == ("last_run_unreadable", True), finding
    assert (got.recommendations["stability"].tolist(), len(got.rows)) == ([""], 0)
    assert len(str(finding["message"])) < 400


def test_a_byte_order_mark_and_doubled_rows(tmp_path: Path) -> None:
    path = tmp_path / "recommendations.json"
    path.write_bytes(b"\xef\xbb\xbf" + row_with())
    got = since_last_run(recommendations([cpu(0.2)]), path, cluster="demo", policy=SEED, window=WINDOW)
    assert got.rows["stability"].tolist() == ["new", "gone"]
    data = json.loads(row_with())
    path.write_text(json.dumps(data | {"recommendations": data["recommendations"] * 2}))
    (finding,) = since_last_run(recommendations([cpu(0.2)]), path, cluster="demo", policy=SEED, window=WINDOW).findings
    assert "more than once" in str(finding["message"])


def test_f50_a_huge_file_a_pipe_and_no_file(tmp_path: Path) -> None:
    path = tmp_path / "recommendations.json"
    now = recommendations([cpu(0.2)])

    def said() -> str:
        (finding,) = since_last_run(now, tmp_path, cluster="demo", policy=SEED, window=WINDOW).findings
        return str(finding["message"])

    assert "is not a file" in said()
    os.mkfifo(path)
    assert "is not a file" in said()  # and it did not wait for somebody to write
    path.unlink()
    with path.open("wb") as file:
        file.truncate(200 * MIB)
    assert "is larger than 96 MiB" in said()


def test_a_file_that_was_edited_is_not_compared_with(tmp_path: Path) -> None:
    folder = run(tmp_path, datetime(2026, 10, 1, tzinfo=UTC), [cpu(0.2)])
    path = folder / "recommendations.json"
    path.write_bytes(path.read_bytes().replace(b"0.2", b"0.3"))
    (finding,) = since_last_run(recommendations([cpu(0.2)]), folder, cluster="demo", policy=SEED, window=WINDOW).findings
    assert "was changed after its run" in str(finding["message"])
    (folder / "evidence.json").write_bytes(b"{")
    (finding,) = since_last_run(recommendations([cpu(0.2)]), folder, cluster="demo", policy=SEED, window=WINDOW).findings
    assert "evidence.json" in str(finding["message"])


def test_hostile_names_are_shown_escaped(tmp_path: Path) -> None:
    then, now = cpu(0.2, workload="a\u202eb\x1b[31m"), cpu(0.9, workload="a\u202eb\x1b[31m", change="increase")
    folder = run(tmp_path, datetime(2026, 10, 1, tzinfo=UTC), [then])
    (finding,) = since_last_run(recommendations([now]), folder, cluster="demo", policy=SEED, window=WINDOW).findings
    assert r"todo/a\u202eb\x1b[31m app cpu" in str(finding["message"])


def test_the_reader_and_the_writer_speak_of_one_schema() -> None:
    assert stability._SCHEMA == SCHEMA
