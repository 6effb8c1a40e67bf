"""Bodies of the files: what they change on real objects, by an independent merge, and whether Kubernetes' own schemas take the result."""

from __future__ import annotations

import copy
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from aiops_analysis.core.errors import SettingsError
from aiops_analysis.core.reasons import Code
from aiops_analysis.evidence.changes import KINDS, Scaler
from aiops_analysis.evidence.manifests import helm_values, json_patch, kustomization, scaler_patch, strategic, vpa, vpa_name
from aiops_analysis.evidence.yamltext import dump
from tests.frames import NAN
from tests.patching import (
    REAL,
    Refused,
    applied,
    both,
    merged,
    needs_real,
    planned,
    pod_spec,
    real_objects,
    reason,
    row,
    rows_of,
    tidy,
    without_resources,
)

kubectl = pytest.mark.skipif(shutil.which("kubectl") is None, reason="no kubectl on this machine")
OBJECTS = list(real_objects()) if REAL.is_dir() else []
IDS = [f"{one['kind']}-{one['metadata']['name']}" for one in OBJECTS]
VERSIONS = ("1.31", "1.37")
ROLES = {("todo", "Deployment", "backend", "log"): "sidecar"}
SIZED = {"requests": {"cpu": "100m", "memory": "256Mi"}, "limits": {"cpu": "300m", "memory": "512Mi"}}


def one(*rows: dict[str, object], **more: Any):
    (workload,) = planned(*rows, **more).workloads
    return workload


def live(resources: dict[str, Any], *, kind: str = "Deployment", name: str = "backend") -> dict[str, Any]:
    """A whole workload of three containers whose middle one, called app, has these resources."""
    containers = [{"name": other, "image": "busybox:1", "resources": {}} for other in ("zeta", "app", "alpha")]
    containers[1]["resources"] = copy.deepcopy(resources)
    pod: dict[str, Any] = {"metadata": {"labels": {"app": "x"}}, "spec": {"containers": containers, "restartPolicy": "Always"}}
    spec: dict[str, Any] = {"selector": {"matchLabels": {"app": "x"}}, "template": pod}
    if kind == "StatefulSet":
        spec["serviceName"] = "x"
    if kind == "CronJob":
        pod["spec"]["restartPolicy"] = "Never"
        spec = {"schedule": "0 1 * * *", "jobTemplate": {"spec": {"template": pod}}}
    return {"apiVersion": KINDS[kind].api, "kind": kind, "metadata": {"name": name, "namespace": "todo"}, "spec": spec}


def validated(thing: dict[str, Any]) -> None:
    schemas = pytest.importorskip("kubernetes_validate", reason="kubernetes-validate is not installed (make setup-dev)")
    for version in VERSIONS:
        schemas.validate(thing, version, strict=True)


# --- strategic merge ------------------------------------------------------------------------------------------------------------


def test_a_strategic_patch_holds_names_and_resources_only() -> None:
    assert strategic(one(*both(), *both(container="log"), roles=ROLES)) == {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "backend", "namespace": "todo"},
        "spec": {
            "template": {
                "spec": {"containers": [{"name": "app", "resources": SIZED}], "initContainers": [{"name": "log", "resources": SIZED}]}
            }
        },
    }


@pytest.mark.parametrize("kind", [kind for kind in KINDS if not KINDS[kind].custom])
def test_every_kind_is_merged_into_a_whole_object_that_kubernetes_takes(kind: str) -> None:
    old = {"requests": {"cpu": "500m", "memory": "1Gi"}, "limits": {"cpu": "2", "memory": "4Gi"}}
    before = live(old, kind=kind)
    workload = one(*both(kind=kind))
    after = merged(before, strategic(workload))
    assert [c["name"] for c in pod_spec(after)["containers"]] == ["zeta", "app", "alpha"]
    assert [c["resources"] for c in pod_spec(after)["containers"]] == [{}, SIZED, {}]
    assert without_resources(after) == without_resources(before)
    assert merged(after, strategic(workload, reverse=True)) == before
    validated(after)


def test_a_limit_that_is_not_wanted_is_an_explicit_null() -> None:
    workload = one(row("cpu", guarded_limit=NAN))
    patch = strategic(workload)
    (container,) = patch["spec"]["template"]["spec"]["containers"]
    assert container["resources"] == {"requests": {"cpu": "100m"}, "limits": {"cpu": None}}
    before = live({"requests": {"cpu": "500m"}, "limits": {"cpu": "2", "memory": "4Gi", "nvidia.com/gpu": "1"}})
    after = merged(before, patch)
    assert pod_spec(after)["containers"][1]["resources"]["limits"] == {"memory": "4Gi", "nvidia.com/gpu": "1"}
    assert merged(after, strategic(workload, reverse=True)) == before


def test_nothing_set_before_is_taken_away_again_by_the_reverse() -> None:
    workload = one(row("cpu", current_request=NAN, current_limit=NAN))
    (container,) = strategic(workload, reverse=True)["spec"]["template"]["spec"]["containers"]
    assert container["resources"] == {"requests": {"cpu": None}, "limits": {"cpu": None}}


@needs_real
@pytest.mark.parametrize("drop_limits", [False, True])
@pytest.mark.parametrize("thing", OBJECTS, ids=IDS)
def test_on_real_objects_only_resources_change(thing: dict[str, Any], drop_limits: bool) -> None:
    workload, order = one(*rows_of(thing, drop_limits=drop_limits)), names_of(thing)
    after = tidy(merged(thing, strategic(workload, order)))
    assert without_resources(after) == without_resources(thing)
    wanted = {"requests": {"cpu": "150m", "memory": "200Mi"}} | ({} if drop_limits else {"limits": {"cpu": "450m", "memory": "400Mi"}})
    assert all(container["resources"] == wanted for container in pod_spec(after)["containers"])
    assert tidy(merged(after, strategic(workload, order, reverse=True))) == tidy(copy.deepcopy(thing))


@needs_real
@pytest.mark.parametrize("thing", OBJECTS, ids=IDS)
def test_real_objects_are_valid_with_the_patch(thing: dict[str, Any]) -> None:
    after = merged(thing, strategic(one(*rows_of(thing))))
    after.get("metadata", {}).pop("selfLink", None)  # not in the newer schema
    schemas = pytest.importorskip("kubernetes_validate", reason="kubernetes-validate is not installed (make setup-dev)")
    for version in VERSIONS:
        schemas.validate(after, version)


@needs_real
@kubectl
@pytest.mark.parametrize("thing", OBJECTS, ids=IDS)
def test_kubectl_merges_real_objects_as_we_say(thing: dict[str, Any], tmp_path: Path) -> None:
    """``kubectl patch --local`` is Kubernetes' own merge code; without a server it must hold the same result."""
    workload, order = one(*rows_of(thing, drop_limits=True)), names_of(thing)
    (tmp_path / "live.json").write_text(json.dumps(thing))
    wanted = pod_spec(tidy(merged(thing, strategic(workload, order))))["containers"]
    unordered = pod_spec(tidy(merged(thing, strategic(workload))))["containers"]
    ways = (
        (strategic(workload, order), "strategic", wanted),
        (json_patch(workload, order), "json", wanted),
        (strategic(workload), "strategic", unordered),
    )
    for body, how, containers in ways:
        (tmp_path / "patch.yaml").write_text(dump(body))
        command = ["kubectl", "patch", "--local", "-f", "live.json", "--type", how, "--patch-file", "patch.yaml", "-o", "json"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env={"HOME": str(tmp_path), "PATH": _path()})
        assert done.returncode == 0, done.stderr
        assert pod_spec(tidy(json.loads(done.stdout)))["containers"] == containers
    assert [c["name"] for c in wanted] == order


def names_of(thing: dict[str, Any]) -> list[str]:
    return [container["name"] for container in pod_spec(thing)["containers"]]


def _path() -> str:
    return f"{Path(str(shutil.which('kubectl'))).parent}:/usr/bin:/bin"


# --- JSON patch -----------------------------------------------------------------------------------------------------------------


def test_a_json_patch_tests_before_it_replaces() -> None:
    at = "/spec/template/spec/containers/0"
    assert json_patch(one(row("cpu"), row("memory", change="keep"))) == [
        {"op": "test", "path": f"{at}/name", "value": "app"},
        {"op": "test", "path": f"{at}/resources/requests/cpu", "value": "500m"},
        {"op": "replace", "path": f"{at}/resources/requests/cpu", "value": "100m"},
        {"op": "test", "path": f"{at}/resources/limits/cpu", "value": "2"},
        {"op": "replace", "path": f"{at}/resources/limits/cpu", "value": "300m"},
    ]


@pytest.mark.parametrize(
    "resources",
    [
        {"requests": {"cpu": "500m", "memory": "1Gi"}, "limits": {"cpu": "2", "memory": "4Gi"}},
        {"requests": {"cpu": "500m"}, "limits": {"memory": "4Gi"}},
        {"limits": {"cpu": "2"}},
        {},
    ],
)
@pytest.mark.parametrize("limits", [True, False])
def test_a_json_patch_does_what_the_strategic_one_does_and_goes_back(resources: dict[str, Any], limits: bool) -> None:
    thing = live(resources)
    rows = []
    for new in rows_of(thing, drop_limits=not limits):
        rows += [new] if new["container"] == "app" else []
    workload = one(*rows)
    order = ["zeta", "app", "alpha"]
    after = applied(thing, json_patch(workload, order))
    assert after == tidy(merged(thing, strategic(workload)))
    assert applied(after, json_patch(workload, order, reverse=True)) == thing
    with pytest.raises(Refused):
        applied(after, json_patch(workload, order))  # it is applied already


@pytest.mark.parametrize("change", [{"cpu": "501m"}, {"memory": "2Gi"}])
def test_a_json_patch_is_refused_on_a_changed_workload(change: dict[str, str]) -> None:
    old = {"requests": {"cpu": "500m", "memory": "1Gi"} | change, "limits": {"cpu": "2", "memory": "4Gi"}}
    with pytest.raises(Refused, match="requests"):
        applied(live(old), json_patch(one(*both()), ["zeta", "app", "alpha"]))


def test_a_wrong_order_is_refused_not_applied_to_another_container() -> None:
    with pytest.raises(Refused, match="name"):
        applied(live({}), json_patch(one(*both())))  # app stands second there


def test_a_rollout_gets_a_json_patch() -> None:
    assert json_patch(one(row("cpu", kind="Rollout")))[0]["path"] == "/spec/template/spec/containers/0/name"


# --- autoscalers ----------------------------------------------------------------------------------------------------------------


def scaled(*names: str) -> dict[str, Any]:
    metrics = [{"type": "Resource", "resource": {"name": n, "target": {"type": "Utilization", "averageUtilization": 60}}} for n in names]
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "backend"}
    spec = {"minReplicas": 1, "maxReplicas": 9, "scaleTargetRef": target, "metrics": metrics}
    about = {"name": "backend", "namespace": "todo"}
    return {"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": about, "spec": spec}


def test_the_target_of_an_autoscaler_changes_alone() -> None:
    scaler = Scaler("backend", "memory", 60, 80, metrics=2, raises=False)
    before = scaled("cpu", "memory")
    after = applied(before, scaler_patch(scaler))
    targets = [metric["resource"]["target"]["averageUtilization"] for metric in after["spec"]["metrics"]]
    assert targets == [60, 80]
    assert applied(after, scaler_patch(scaler, reverse=True)) == before
    validated(after)
    with pytest.raises(Refused):
        applied(scaled("memory", "cpu"), scaler_patch(scaler))


# --- VPA ------------------------------------------------------------------------------------------------------------------------


def test_a_vpa_never_acts_and_keeps_the_band() -> None:
    rows = [*both(), row("cpu", container="b", guarded_limit=NAN), row("memory", container="b", change="keep")]
    made = vpa(one(*rows, *both(container="mesh", reasons=[reason(Code.SIDECAR)])))
    assert made["spec"]["updatePolicy"] == {"updateMode": "Off"}
    assert made["spec"]["targetRef"] == {"apiVersion": "apps/v1", "kind": "Deployment", "name": "backend"}
    # P95 50m and 170Mi; at most the limit, without one the request; a kept row has the limit of today
    assert made["spec"]["resourcePolicy"]["containerPolicies"] == [
        {
            "containerName": "app",
            "controlledValues": "RequestsOnly",
            "minAllowed": {"cpu": "50m", "memory": "170Mi"},
            "maxAllowed": {"cpu": "300m", "memory": "512Mi"},
        },
        {
            "containerName": "b",
            "controlledValues": "RequestsOnly",
            "minAllowed": {"cpu": "50m", "memory": "170Mi"},
            "maxAllowed": {"cpu": "100m", "memory": "4096Mi"},
        },
        {"containerName": "mesh", "mode": "Off"},
    ]


def test_the_name_of_a_vpa_fits_kubernetes() -> None:
    assert vpa_name(one(*both())) == "backend-rightsizing"
    assert len(vpa_name(one(*both(workload="a" * 253)))) == 253


def test_a_vpa_without_a_measured_p95_has_no_band() -> None:
    made = vpa(one(row("cpu", p95=NAN)))
    assert made["spec"]["resourcePolicy"]["containerPolicies"] == []


# --- Helm and Kustomize ---------------------------------------------------------------------------------------------------------


def test_helm_values_follow_the_mapping_and_guess_nothing() -> None:
    workload = one(*both(), *both(container="log"), *both(container="new"))
    paths = {"todo/Deployment/backend/app": "backend.resources", "todo/Deployment/backend/log": r"backend.side\.car.resources"}
    values, snippets = helm_values(workload, paths)
    assert values == {"backend": {"resources": SIZED, "side.car": {"resources": SIZED}}}
    assert snippets == {"new": {"resources": SIZED}}


@pytest.mark.parametrize("path", ["", ".", "a..b", "a.", "containers[0].resources", "a\\"])
def test_a_value_path_that_no_values_file_holds_is_refused(path: str) -> None:
    with pytest.raises(SettingsError, match=r"\[helm\] 'todo/Deployment/backend/app' is"):
        helm_values(one(*both()), {"todo/Deployment/backend/app": path})


@pytest.mark.parametrize("second", ["a.b", "a", "a.b.limits"])
def test_two_containers_on_one_value_path_are_refused(second: str) -> None:
    paths = {"todo/Deployment/backend/app": "a.b", "todo/Deployment/backend/log": second}
    with pytest.raises(SettingsError, match="another container already"):
        helm_values(one(*both(), *both(container="log")), paths)


def test_a_component_names_its_targets_literally() -> None:
    made = kustomization([("f.yaml", "DaemonSet", "kube-system", "fluentd-v3.2")])
    assert made == {
        "apiVersion": "kustomize.config.k8s.io/v1alpha1",
        "kind": "Component",
        "patches": [{"path": "f.yaml", "target": {"kind": "DaemonSet", "name": "fluentd-v3\\.2", "namespace": "kube-system"}}],
    }


def built(folder: Path) -> dict[str, dict[str, Any]]:
    """What ``kubectl kustomize`` makes of a folder, by kind and name."""
    done = subprocess.run(["kubectl", "kustomize", str(folder)], capture_output=True, text=True, env={"HOME": str(folder), "PATH": _path()})
    assert done.returncode == 0, done.stderr
    return {f"{thing['kind']}/{thing['metadata']['name']}": thing for thing in yaml.safe_load_all(done.stdout)}


@kubectl
def test_kustomize_builds_the_component_on_a_base(tmp_path: Path) -> None:
    from aiops_analysis.evidence.patchset import COMPONENT, patch_files

    scaler = {"hpa": "backend", "hpa_target": 60.0, "hpa_target_new": 80.0}
    plan = planned(row("cpu", guarded_limit=NAN, **scaler), row("memory"), *both(workload="v3.2", kind="StatefulSet"))
    for name, data in patch_files(plan, "demo", formats=["kustomize"]).files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(data)
    old = {"requests": {"cpu": "500m", "memory": "1Gi"}, "limits": {"cpu": "2", "memory": "4Gi"}}
    things = [live(old), live(old, kind="StatefulSet", name="v3.2"), live(old, kind="StatefulSet", name="v3x2"), scaled("cpu")]
    overlay = tmp_path / "overlay"
    overlay.mkdir()
    (overlay / "things.yaml").write_text("---\n".join(dump(thing) for thing in things))
    (overlay / "kustomization.yaml").write_text(f"resources: [things.yaml]\ncomponents: [../{COMPONENT}]\n")
    found = built(overlay)
    sizes = {
        name: {c["name"]: c["resources"] for c in pod_spec(thing)["containers"]}["app"]
        for name, thing in found.items()
        if thing["kind"] in KINDS
    }
    assert names_of(found["Deployment/backend"]) == ["app", "zeta", "alpha"]  # as the component's comment says
    assert sizes["Deployment/backend"] == {"requests": SIZED["requests"], "limits": {"memory": "512Mi"}}
    assert sizes["StatefulSet/v3.2"] == SIZED
    assert sizes["StatefulSet/v3x2"] == old  # the dot of the other name is no wildcard
    assert found["HorizontalPodAutoscaler/backend"]["spec"]["metrics"][0]["resource"]["target"]["averageUtilization"] == 80
    for thing in found.values():
        validated(thing)
