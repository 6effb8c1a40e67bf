"""Files of a run: deterministic, valid against their schemas, harmless in a spreadsheet."""

from __future__ import annotations

import json
import math
from datetime import UTC, date, datetime
from importlib.resources import files
from pathlib import Path
from types import SimpleNamespace

import jsonschema
import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aiops_analysis.core.errors import AiopsError, RunFailed, SchemaError
from aiops_analysis.core.reasons import Code, Reason
from aiops_analysis.core.schema import RECOMMENDATIONS, row_id
from aiops_analysis.core.window import Window
from aiops_analysis.evidence.reading import read_evidence
from aiops_analysis.evidence.record import (
    Record,
    guard,
    json_bytes,
    plain,
    read_csv,
    recommendations_csv,
    recommendations_json,
    unguard,
)

WINDOW = Window.of_days(date(2026, 11, 1), 7)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
NUMBER = st.one_of(st.just(math.nan), st.floats(min_value=0, max_value=1e18, allow_nan=False).map(lambda x: float(f"{x:.12g}")))


def row(**given: object) -> dict[str, object]:
    """A recommendation with these values; numbers not given are NaN."""
    values: dict[str, object] = {}
    for name, kind in RECOMMENDATIONS.columns.items():
        values[name] = "" if kind == "str" else 0 if kind == "int64" else math.nan
    values |= {"resource": "cpu", "grade": "high", "change": "keep", "reasons": [], "daily_p95": [], **given}
    key = [str(values[name]) for name in ("cluster", "namespace", "workload_kind", "workload", "container", "resource")]
    return values | {"id": row_id(key)}


def frame(*rows: dict[str, object]) -> pd.DataFrame:
    return pd.DataFrame(list(rows), columns=list(RECOMMENDATIONS.columns))


def schema(name: str) -> dict:
    return json.loads(files("aiops_analysis.evidence").joinpath("schemas", f"{name}.schema.json").read_bytes())


def record(**given: object) -> Record:
    base = {
        "run_id": "0" * 32,
        "question": "Is it so?",
        "notebook": "tiny",
        "cluster": "prod",
        "window": WINDOW,
        "created": datetime(2026, 11, 2, 8, tzinfo=UTC),
        "package_version": "0.1.0",
        "parameters": {"days": 7},
        "figures": {"share": 0.1 + 0.2, "count": np.int64(3), "none": math.nan, "text": "a"},
        "findings": [{"code": "few", "rows": 2}],
    }
    return Record(**base | given)


def test_plain_forms() -> None:
    assert plain({"a": np.float32(0.5), "b": np.array([1.0, math.nan, math.inf]), 3: (True, np.bool_(False), None, pd.NaT)}) == {
        "a": 0.5,
        "b": [1.0, None, None],
        "3": [True, False, None, None],
    }
    # 0.1 + 0.2 is 0.30000000000000004: the order of a sum does not show in 12 digits, and -0.0 is 0.0
    assert json_bytes([0.1 + 0.2, -0.0]) == b"[\n 0.3,\n 0.0\n]\n"
    assert plain(datetime(2026, 11, 1, 1, tzinfo=UTC)) == "2026-11-01T01:00:00Z"
    assert plain({"b", "a"}) == ["a", "b"]
    assert plain(WINDOW) == {"start": "2026-10-26T00:00:00Z", "end": "2026-11-02T00:00:00Z"}
    with pytest.raises(SchemaError, match="without a zone"):
        plain(datetime(2026, 11, 1))  # noqa: DTZ001 - the fault itself
    with pytest.raises(SchemaError, match="a SimpleNamespace cannot"):
        plain(SimpleNamespace())


def test_a_lone_surrogate_reads_back_equal() -> None:
    assert json.loads(json_bytes(["a\udc80"])) == ["a\udc80"]


def test_evidence_is_valid_and_sealed(tmp_path: Path) -> None:
    reasons = [Reason(Code.HPA_MANAGED, "an HPA scales on cpu", {"hpa": "web", "target": math.nan})]
    path = record().write(tmp_path, frame(row(cluster="prod", paper=1.5, reasons=reasons, daily_p95=[0.5, math.nan])))
    evidence = read_evidence(path)
    jsonschema.validate(evidence, schema("evidence"))
    assert evidence["figures"] == {"count": 3, "none": None, "share": 0.3, "text": "a"}
    assert evidence["decision"] is None
    assert sorted(evidence["files"]) == ["recommendations.csv", "recommendations.json"]
    recommendations = json.loads((tmp_path / "recommendations.json").read_bytes())
    jsonschema.validate(recommendations, schema("recommendations"))
    (first,) = recommendations["recommendations"]
    assert list(first) == list(RECOMMENDATIONS.columns)
    assert first["reasons"] == [{"code": "hpa_managed", "message": "an HPA scales on cpu", "data": {"hpa": "web", "target": None}}]
    assert (first["paper"], first["bankable"], first["daily_p95"]) == (1.5, None, [0.5, None])
    assert sorted(p.name for p in tmp_path.iterdir()) == ["evidence.json", "recommendations.csv", "recommendations.json"]


@pytest.mark.parametrize(
    "change", [{"run_id": "x"}, {"schema": 2}, {"window": {"start": "2026-11-01"}}, {"figures": {"a": []}}, {"other": 1}]
)
def test_the_schema_refuses_what_is_no_evidence(change: dict) -> None:
    good = json.loads(json_bytes(record().as_dict({})))
    jsonschema.validate(good, schema("evidence"))
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(good | change, schema("evidence"))


def test_f59_two_runs_differ_only_in_their_run(tmp_path: Path) -> None:
    later = {"run_id": "f" * 32, "created": datetime(2026, 11, 3, tzinfo=UTC), "figures": dict(reversed(record().figures.items()))}
    for name, more in (("a", {}), ("b", later)):
        (tmp_path / name).mkdir()
        record(**more).write(tmp_path / name, frame(row(cluster="prod")))
    one, two = (json.loads((tmp_path / name / "evidence.json").read_bytes()) for name in "ab")
    assert {key for key in one if one[key] != two[key]} == {"run_id", "created"}
    assert json_bytes(one["figures"]) == json_bytes(two["figures"])
    for name in ("recommendations.json", "recommendations.csv"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


@pytest.mark.parametrize(
    "name", ["=cmd|'/C calc'", "+1", "-1", "@x", "\tx", "\rx", "\uff1dx", "\uff0bx", "\uff0dx", "\uff20x", " =x", "\ufeff=x"]
)
def test_f43_a_formula_is_text_in_the_csv_and_reads_back_equal(tmp_path: Path, name: str) -> None:
    path = tmp_path / "r.csv"
    path.write_bytes(recommendations_csv(frame(row(cluster=name, namespace="todo", workload="'quoted", paper=-1.5))))
    raw = path.read_bytes().decode()
    assert f'"\'{name}"' in raw
    assert '"todo"' in raw
    assert ",-1.5," in raw  # numbers are untouched
    again = read_csv(path)
    assert (again["cluster"][0], again["workload"][0], again["paper"][0]) == (name, "'quoted", -1.5)


@given(TEXT)
def test_f43_guard_is_reversible_and_leaves_nothing_active(text: str) -> None:
    assert unguard(guard(text)) == text
    assert guard(text)[:1] not in {"=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20"}


@given(st.lists(st.tuples(TEXT, TEXT, NUMBER, NUMBER), max_size=4, unique_by=lambda t: t[:2]))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_csv_and_json_keep_any_text_and_number(tmp_path: Path, rows: list[tuple[str, str, float, float]]) -> None:
    made = frame(*(row(namespace=a, workload=b, p95=c, paper=d) for a, b, c, d in rows))
    (tmp_path / "r.csv").write_bytes(recommendations_csv(made))
    again = read_csv(tmp_path / "r.csv")
    back = json.loads(recommendations_json("prod", made))["recommendations"]
    for number, (a, b, c, d) in enumerate(rows):
        assert (again["namespace"][number], again["workload"][number]) == (a, b) == (back[number]["namespace"], back[number]["workload"])
        for name, value in (("p95", c), ("paper", d)):
            assert again[name][number] == value or (math.isnan(value) and math.isnan(again[name][number]))
            assert back[number][name] == (None if math.isnan(value) else value)


@pytest.mark.parametrize("text", ["", "[]", '{"schema": 2}', '{"schema": "1"}', "[" * 100_000])
def test_f47_evidence_of_another_schema_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "evidence.json").write_text(text)
    with pytest.raises(AiopsError, match="evidence"):
        read_evidence(tmp_path / "evidence.json")


def test_f32_a_folder_that_is_gone(tmp_path: Path) -> None:
    with pytest.raises(RunFailed, match="cannot be written"):
        record().write(tmp_path / "gone")


def test_nothing_given_is_changed() -> None:
    made = frame(row(namespace="=x"))
    before = made.copy(deep=True)
    recommendations_csv(made)
    recommendations_json("prod", made)
    pd.testing.assert_frame_equal(made, before)
