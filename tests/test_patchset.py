"""The folder of patches: names, words, seals, and that hostile text does nothing."""

from __future__ import annotations

import hashlib
import json
import shlex
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aiops_analysis.core.errors import SettingsError, UsageError
from aiops_analysis.core.reasons import Code
from aiops_analysis.evidence.headers import file_name
from aiops_analysis.evidence.patchset import COMPONENT, FORMATS, PatchSet, patch_files
from aiops_analysis.evidence.record import write_files
from tests.frames import HOSTILE, NAN
from tests.patching import both, planned, reason, row

NAMES = st.one_of(st.sampled_from(HOSTILE), st.text(st.characters(exclude_categories=["Cs"]), max_size=20))
SCALED = {"hpa": "web", "hpa_target": 60.0, "hpa_target_new": 80.0}


def made(*rows: dict[str, object], **more) -> PatchSet:
    return patch_files(planned(*rows), "demo", evidence="f" * 64, currency="USD", **more)


def text(patches: PatchSet, name: str) -> str:
    return patches.files[name].decode("utf-8")


def test_every_format_has_a_file_a_workload() -> None:
    assert sorted(made(*both()).files) == [
        f"{COMPONENT}/kustomization.yaml",
        f"{COMPONENT}/todo.deployment.backend.yaml",
        "helm/todo.deployment.backend.yaml",
        "index.json",
        "json-patch/todo.deployment.backend.yaml",
        "strategic/todo.deployment.backend.yaml",
        "vpa/todo.deployment.backend.yaml",
    ]


def test_only_the_formats_that_were_asked_for() -> None:
    assert sorted(made(*both(), formats=["vpa"]).files) == ["index.json", "vpa/todo.deployment.backend.yaml"]
    with pytest.raises(UsageError, match="the format 'yaml' is not known; expected strategic"):
        made(*both(), formats=["yaml"])


def test_nothing_to_change_is_an_index_and_an_empty_component() -> None:
    patches = made(row("cpu", change="keep"))
    assert sorted(patches.files) == [f"{COMPONENT}/kustomization.yaml", "index.json"]
    assert (patches.workloads, patches.left_out) == (0, ())


def test_the_words_above_a_patch() -> None:
    cpu, memory = row("cpu", reasons=[reason(Code.STEP_CAPPED)], guarded_limit=NAN), row("memory")
    lines = text(made(cpu, memory), "strategic/todo.deployment.backend.yaml").splitlines()
    assert lines[:10] == [
        "# Right-sizing of Deployment backend in namespace todo, cluster demo (aiops-analysis, from measured history).",
        f"# Evidence: history {'f' * 64}",
        "#",
        "# container app",
        (
            "#   cpu: request 500m -> 100m, limit 2 -> none (decrease, grade high, P95 50m, 18.00 USD a month on paper; "
            f"recommendation {cpu['id']})"
        ),
        "#     step_capped: because of step_capped",
        (
            "#   memory: request 1Gi -> 256Mi, limit 4Gi -> 512Mi (decrease, grade high, P95 170 MiB, 6.96 USD a month on paper; "
            f"recommendation {memory['id']})"
        ),
        "# The limit goes away; a LimitRange of the namespace may put its default there.",
        "# Changes the pod template, so the pods are replaced by the workload's update strategy.",
        "#",
    ]


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"kind": "CronJob"}, "Takes effect at the next run."),
        ({"kind": "ReplicaSet"}, "Running pods stay as they are until they are replaced."),
        ({"takes_effect": "in place"}, "could also take it in place (resize"),
    ],
)
def test_when_it_takes_effect(given: dict[str, object], says: str) -> None:
    patches = made(*both(**given))
    assert says in text(patches, f"strategic/{file_name('todo', str(given.get('kind', 'Deployment')), 'backend')}")


def test_the_roll_back_is_the_reverse_patch() -> None:
    (line,) = [line for line in text(made(*both()), "strategic/todo.deployment.backend.yaml").splitlines() if "--patch=" in line]
    (patch,) = [word.removeprefix("--patch=") for word in shlex.split(line.removeprefix("#")) if word.startswith("--patch=")]
    (container,) = json.loads(patch)["spec"]["template"]["spec"]["containers"]
    assert container == {
        "name": "app",
        "resources": {"requests": {"cpu": "500m", "memory": "1Gi"}, "limits": {"cpu": "2", "memory": "4Gi"}},
    }


def test_an_autoscaler_and_its_workload_name_each_other_and_the_safe_order() -> None:
    patches = made(*both(**SCALED))
    assert yaml.safe_load(text(patches, "strategic/todo.horizontalpodautoscaler.web.yaml"))[2]["value"] == 80
    # a smaller request first: the share of it that is used rises, and pods are added, not taken away
    assert "web.yaml: the request first, then the autoscaler." in text(patches, "strategic/todo.deployment.backend.yaml")
    up = made(row("cpu", current_request=0.05, change="increase", **SCALED | {"hpa_target_new": 30.0}))
    assert "backend.yaml: the autoscaler first, then the request." in text(up, "strategic/todo.horizontalpodautoscaler.web.yaml")
    assert "replaces the whole list of metrics" in text(up, "json-patch/todo.horizontalpodautoscaler.web.yaml")


def test_a_custom_resource_is_left_out_of_merges_with_the_reason() -> None:
    patches = made(*both(kind="Rollout"))
    assert {name.split("/")[0] for name in patches.files} == {"components", "helm", "index.json", "json-patch", "vpa"}
    assert [one.why for one in patches.left_out] == [
        f"a custom resource knows no strategic merge, so not as {name}; as json-patch, helm or vpa" for name in ("strategic", "kustomize")
    ]


def test_several_containers_without_a_known_order_say_so() -> None:
    rows = [*both(), *both(container="log")]
    assert "the history does not know theirs" in text(made(*rows), "strategic/todo.deployment.backend.yaml")
    order = {("todo", "Deployment", "backend"): ["log", "app"]}
    known = made(*rows, order=order)
    assert "the history does not know" not in text(known, "strategic/todo.deployment.backend.yaml")
    pod = yaml.safe_load(text(known, "strategic/todo.deployment.backend.yaml"))["spec"]["template"]["spec"]
    names = [one["name"] for one in pod["containers"]]
    assert names == ["log", "app"]


def test_helm_without_a_path_is_a_snippet_in_comments() -> None:
    patches = made(*both())
    written = text(patches, "helm/todo.deployment.backend.yaml")
    assert yaml.safe_load(written) is None
    assert '#   "todo/Deployment/backend/app" = "path.to.resources"' in written
    snippet = "\n".join(line.removeprefix("#     ") for line in written.splitlines() if line.startswith("#     "))
    assert yaml.safe_load(snippet)["resources"]["requests"] == {"cpu": "100m", "memory": "256Mi"}
    with pytest.raises(SettingsError):
        made(*both(), helm={"todo/Deployment/backend/app": "a[0]"})


def test_the_index_seals_every_file_and_tells_what_is_left_out() -> None:
    patches = made(*both(), row("cpu", workload="quiet", decided="0003"))
    index = json.loads(patches.files["index.json"])
    assert index["files"] == {name: hashlib.sha256(data).hexdigest() for name, data in patches.files.items() if name != "index.json"}
    assert [one["why"] for one in index["left_out"]] == ["kept quiet by the decision record 0003"]
    assert (index["schema"], index["fingerprint"], index["formats"]) == (1, "f" * 64, sorted(FORMATS))


def test_f59_the_order_of_the_rows_does_not_show() -> None:
    rows = [*both(**SCALED), *both(workload="b"), *both(container="log"), *both(namespace="a")]
    assert made(*rows).files == made(*reversed(rows)).files


@settings(deadline=None)
@given(NAMES, NAMES, NAMES, NAMES)
def test_f42_no_two_workloads_share_a_file(a: str, b: str, c: str, d: str) -> None:
    names = {file_name(a, "Deployment", b), file_name(c, "Deployment", d)}
    assert len(names) == len({(a, b), (c, d)})
    for name in names:
        assert len(name.encode()) < 255
        assert name == name.lower()
        assert not set(name) & set('/\\:*?"<>|\0 \n')
        assert name not in ("..", ".")


def test_f42_namespaces_and_names_with_dots_do_not_meet() -> None:
    assert file_name("a.deployment", "Deployment", "b") != file_name("a", "Deployment", "deployment.b")


@pytest.mark.parametrize("place", ["namespace", "workload", "container", "hpa", "cluster"])
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=NAMES)
def test_f44_hostile_names_read_back_and_nothing_is_written_outside(tmp_path: Path, place: str, name: str) -> None:
    rows = both(**SCALED | {place: name})
    patches = made(*rows)
    names = {key: rows[0][column] for key, column in (("n", "namespace"), ("w", "workload"), ("c", "container"))}
    for path, data in patches.files.items():
        if path == "index.json":
            continue
        assert data.isascii() or all(line.startswith("#") for line in data.decode().splitlines() if not line.isascii())
        content = yaml.safe_load(data)
        if path.startswith("strategic/") and ".deployment." in path:
            assert content["metadata"] == {"name": names["w"], "namespace": names["n"]}
            assert content["spec"]["template"]["spec"]["containers"][0]["name"] == names["c"]
        if path.startswith("vpa/"):
            assert content["spec"]["targetRef"]["name"] == names["w"]
            assert content["spec"]["resourcePolicy"]["containerPolicies"][0]["containerName"] == names["c"]
    root = tmp_path / "in" / hashlib.sha256(name.encode()).hexdigest()
    write_files(root, patches.files)
    assert sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()) == sorted(patches.files)
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


@pytest.mark.parametrize("name", ["x; rm -rf /", "$(id)", "a'b", "--force", "a\nkubectl delete ns todo", "é"])
def test_f42_a_name_never_becomes_a_second_command(name: str) -> None:
    head = text(made(*both(workload=name)), f"strategic/{file_name('todo', 'Deployment', name)}")
    lines = [line for line in head.splitlines() if not line.startswith("#")]
    assert lines[0] == 'apiVersion: "apps/v1"'
    (apply,) = [line.removeprefix("#") for line in head.splitlines() if line.startswith("#   kubectl") and "--patch-file" in line]
    if name.isascii() and name.isprintable():
        assert shlex.split(apply)[:3] == ["kubectl", "patch", f"deployment.apps/{name}"]
    assert "A name here is none that Kubernetes accepts" in head


def test_paths_that_lead_out_are_refused(tmp_path: Path) -> None:
    for name in ("../x", "/x", "a/../../x", ""):
        with pytest.raises(ValueError, match="is no path inside a folder"):
            write_files(tmp_path, {name: b""})
    assert list(tmp_path.iterdir()) == []
