"""The KRR export, read back by models that say what KRR's own say (published shape of its Result)."""

from __future__ import annotations

import csv
import io
import json
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field

from aiops_analysis.core.reasons import Code
from aiops_analysis.evidence.krr import krr_csv, krr_json
from tests.frames import MIB, NAN
from tests.patching import both, frame, reason, row

Severity = Literal["UNKNOWN", "GOOD", "OK", "WARNING", "CRITICAL"]
Value = Annotated[float, Field(ge=0)] | Literal["?"] | None
Kind = Literal["Deployment", "DaemonSet", "StatefulSet", "Job", "CronJob", "Rollout", "DeploymentConfig", "StrimziPodSet", "GroupedJob"]


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Allocations(Strict):
    requests: dict[Literal["cpu", "memory"], Value]
    limits: dict[Literal["cpu", "memory"], Value]
    info: dict[Literal["cpu", "memory"], str | None] = {}


class K8sObject(Strict):
    cluster: str | None
    name: str
    container: str
    pods: list[dict[str, Any]]
    hpa: dict[str, Any] | None
    namespace: str
    kind: Kind
    allocations: Allocations
    warnings: set[Literal["NoPrometheusPods", "NoPrometheusCPUMetrics", "NoPrometheusMemoryMetrics"]]
    labels: dict[str, str] | None
    annotations: dict[str, str] | None


class Recommendation(Strict):
    value: Value
    severity: Severity


class Recommended(Strict):
    requests: dict[Literal["cpu", "memory"], Recommendation]
    limits: dict[Literal["cpu", "memory"], Recommendation]
    info: dict[Literal["cpu", "memory"], str | None]


class Scan(Strict):
    object: K8sObject
    recommended: Recommended
    severity: Severity


class Strategy(Strict):
    name: str
    settings: dict[str, Any]


class Result(Strict):
    scans: list[Scan]
    score: int
    resources: list[str]
    description: str | None
    strategy: Strategy
    errors: list[dict[str, Any]]
    clusterSummary: dict[str, Any]  # noqa: N815 - KRR's own word


def read(*rows: dict[str, object], policy: dict[str, Any] | None = None) -> Result:
    return Result.model_validate(json.loads(krr_json(frame(list(rows)), policy)))


def test_one_scan_a_container_with_values_in_cores_and_bytes() -> None:
    result = read(*both(reasons=[reason(Code.JVM)]), policy={"name": "seed"})
    (scan,) = result.scans
    assert (scan.object.cluster, scan.object.namespace, scan.object.kind, scan.object.name, scan.object.container) == (
        "demo",
        "todo",
        "Deployment",
        "backend",
        "app",
    )
    assert scan.object.allocations.requests == {"cpu": 0.5, "memory": 1024 * MIB}
    assert scan.recommended.requests["cpu"] == Recommendation(value=0.1, severity="WARNING")  # 0.4 cores apart
    assert scan.recommended.limits["cpu"] == Recommendation(value=0.3, severity="CRITICAL")  # 1.7 apart
    assert scan.recommended.info == {"cpu": "jvm", "memory": "jvm"}
    assert scan.severity == "CRITICAL"
    assert result.strategy == Strategy(name="aiops-analysis", settings={"name": "seed"})


@pytest.mark.parametrize(
    ("resource", "now", "new", "severity"),
    [
        ("cpu", 1.0, 0.5, "CRITICAL"),
        ("cpu", 0.5, 0.25, "WARNING"),
        ("cpu", 0.5, 0.375, "OK"),
        ("cpu", 0.5, 0.45, "GOOD"),
        ("cpu", NAN, 0.5, "WARNING"),
        ("memory", 600 * MIB, 100 * MIB, "CRITICAL"),
        ("memory", 600 * MIB, 350 * MIB, "WARNING"),
        ("memory", 600 * MIB, 500 * MIB, "OK"),
        ("memory", 600 * MIB, 550 * MIB, "GOOD"),
    ],
)
def test_severities_have_the_thresholds_of_krr(resource: str, now: float, new: float, severity: str) -> None:
    (scan,) = read(row(resource, current_request=now, guarded_request=new, current_limit=NAN, guarded_limit=NAN)).scans
    assert scan.recommended.requests[resource].severity == severity
    assert scan.recommended.limits[resource] == Recommendation(value=None, severity="GOOD")


def test_no_recommendation_is_a_question_mark_not_a_zero() -> None:
    (scan,) = read(row("cpu", guarded_request=NAN, guarded_limit=NAN, change="undetermined")).scans
    assert {scan.recommended.requests[name].value for name in ("cpu", "memory")} == {"?"}
    assert scan.severity == "UNKNOWN"


def test_the_score_is_krrs() -> None:
    # one critical scan of 2: (2 - 1) / 2; a good one costs nothing
    calm = {"current_request": 0.1, "guarded_request": 0.1, "current_limit": 0.3, "guarded_limit": 0.3}
    assert read(row("cpu"), row("cpu", workload="b", **calm)).score == 50
    assert read().score == 0


def test_kinds_that_krr_does_not_know_are_counted_not_written() -> None:
    result = read(*both(kind="Pod"), *both())
    assert [scan.object.kind for scan in result.scans] == ["Deployment"]
    assert "1 containers of kinds that KRR does not know" in str(result.description)


def test_no_config_and_no_nan_in_the_file() -> None:
    data = krr_json(frame(both(guarded_limit=NAN)))
    assert b"NaN" not in data
    assert "config" not in json.loads(data)


def test_the_csv_has_the_columns_of_csv_raw_and_plain_amounts() -> None:
    """Column names and the words for nothing are those of KRR's own csv-raw formatter."""
    document = krr_csv(frame(both()))
    (line,) = csv.DictReader(io.StringIO(document.decode()))
    assert list(line)[:7] == ["Namespace", "Name", "Pods", "Old Pods", "Type", "Container", "Severity"]
    assert list(line)[7:] == [
        f"{resource} {kind} {when}"
        for resource in ("CPU", "Memory")
        for kind in ("Requests", "Limits")
        for when in ("Current", "Recommended")
    ]
    asked = json.loads(krr_json(frame(both())))["scans"][0]
    assert float(line["CPU Requests Recommended"]) == asked["recommended"]["requests"]["cpu"]["value"]
    assert float(line["Memory Requests Current"]) == asked["object"]["allocations"]["requests"]["memory"]


def test_f43_no_name_becomes_a_formula_and_nothing_is_no_number() -> None:
    refused = row(container="=1+1", current_request=NAN, guarded_request=NAN, guarded_limit=NAN)
    (line,) = csv.DictReader(io.StringIO(krr_csv(frame([refused])).decode()))
    assert line["Container"] == "'=1+1"
    assert (line["CPU Requests Current"], line["CPU Requests Recommended"]) == ("unset", "?")
