"""Manifests: what their pods ask for, and what is refused in one line (fault rows 27 and 44)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from aiops_analysis.core.errors import UsageError
from aiops_analysis.core.manifest import Asked
from aiops_analysis.core.units import GIB, MIB
from aiops_analysis.sources.manifest_files import read_manifests

REAL = Path(__file__).resolve().parents[2] / "shared" / "realdata"
real = pytest.mark.skipif(not REAL.is_dir(), reason="the shared real data (../shared/realdata) is not beside this checkout")


def container(name: str = "app", cpu: object = None, memory: object = None, **more: object) -> dict[str, object]:
    requests = {key: value for key, value in (("cpu", cpu), ("memory", memory)) if value is not None}
    return {"name": name, "resources": {"requests": requests}} | more


def workload(
    kind: str = "Deployment", name: str = "web", replicas: object = None, labels: object = None, **pod: object
) -> dict[str, object]:
    spec = {"containers": [container(cpu="100m", memory="1Gi")]} | pod
    template = {"metadata": {"labels": labels or {}}, "spec": spec}
    inner: dict[str, object] = {"template": template} | ({} if replicas is None else {"replicas": replicas})
    if kind == "Pod":
        inner = spec
    if kind == "CronJob":
        inner = {"jobTemplate": {"spec": {"template": template, "parallelism": 3}}}
    return {"kind": kind, "metadata": {"name": name}, "spec": inner}


def read(*objects: object, text: str = "") -> list[Asked]:
    made = text or "\n---\n".join(json.dumps(one) for one in objects)
    return list(read_manifests({"a.yaml": made}).asked)


def refused(text: str) -> str:
    with pytest.raises(UsageError) as caught:
        read(text=text)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("kind", ["Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "Rollout", "Job", "CronJob", "Pod"])
def test_every_kind_that_makes_pods(kind: str) -> None:
    (one,) = read(workload(kind))
    assert (one.kind, one.name, one.namespace, one.cpu, one.memory) == (kind, "web", "default", 0.1, GIB)
    assert one.replicas == {"Pod": 1, "Job": 1, "CronJob": 3}.get(kind)


def test_a_job_runs_no_more_pods_than_it_completes() -> None:
    job = workload("Job")
    job["spec"] |= {"parallelism": 50, "completions": 3}  # type: ignore[operator]
    (one,) = read(job)
    assert (one.replicas, one.containers) == (3, ("app",))


def test_documents_lists_and_other_objects() -> None:
    listed = {"kind": "List", "items": [workload(name="one"), {"kind": "Service", "metadata": {"name": "x"}}]}
    text = "# only a comment\n---\n" + json.dumps(listed) + "\n---\n" + json.dumps(workload(name="two", replicas=4)) + "\n---\n"
    found = read_manifests({"a.yaml": text, "b.yaml": json.dumps(workload(name="three"))}, "team")
    assert [(one.name, one.namespace, one.replicas) for one in found.asked] == [
        ("one", "team", None),
        ("two", "team", 4),
        ("three", "team", None),
    ]
    assert found.others == {"Service": 1}
    assert found.asked[1].where == "a.yaml, line 4 (Deployment two)"


def test_plain_yaml_with_numbers_and_braces_of_somebody_else() -> None:
    text = """
kind: Deployment
metadata: {name: web, annotations: {says: "{{ $labels.pod }} is down"}}
spec:
  replicas: 2
  template:
    spec:
      containers:
      - name: app
        resources: {requests: {cpu: 1, memory: 512Mi}}
"""
    (one,) = read(text=text)
    assert (one.replicas, one.cpu, one.memory) == (2, 1.0, 512 * MIB)


def test_effective_requests() -> None:
    def cpu(**pod: object) -> float:
        return read(workload(**pod))[0].cpu

    apps = [container("a", "200m"), container("b", "300m")]
    assert cpu(containers=apps) == 0.5
    assert cpu(containers=apps, initContainers=[container("i", "400m")]) == 0.5  # runs alone, before
    assert cpu(containers=apps, initContainers=[container("i", "900m"), container("j", "1")]) == 1.0
    sidecar = container("s", "100m", restartPolicy="Always")
    assert cpu(containers=apps, initContainers=[sidecar]) == pytest.approx(0.6)
    # a sidecar that was started before runs beside the init container, one that starts later does not
    assert cpu(containers=apps, initContainers=[sidecar, container("i", "900m")]) == pytest.approx(1.0)
    assert cpu(containers=apps, initContainers=[container("i", "900m"), sidecar]) == pytest.approx(0.9)
    assert cpu(containers=apps, overhead={"cpu": "250m"}) == pytest.approx(0.75)
    assert cpu(containers=apps, resources={"requests": {"cpu": "2"}}) == 2.0  # of the whole pod
    limited = {"name": "l", "resources": {"limits": {"cpu": "700m"}}}
    assert cpu(containers=[limited]) == 0.7  # the limit stands for the request
    (nothing,) = read(workload(containers=[{"name": "x"}]))
    assert (nothing.cpu, nothing.memory, nothing.unset) == (0.0, 0.0, ("x/cpu", "x/memory"))


def test_rules_that_bind_pods_to_nodes() -> None:
    labels = {"app": "web"}
    term = {"matchExpressions": [{"key": "zone", "operator": "In", "values": ["a", "b"]}, {"key": "old", "operator": "DoesNotExist"}]}
    apart = {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": labels}}
    required = "requiredDuringSchedulingIgnoredDuringExecution"
    affinity = {"nodeAffinity": {required: {"nodeSelectorTerms": [term]}}, "podAntiAffinity": {required: [apart]}}
    (one,) = read(
        workload(
            labels=labels,
            nodeSelector={"disk": "ssd"},
            affinity=affinity,
            nodeName="n1",
            tolerations=[{"key": "gpu", "operator": "Exists"}],
        )
    )
    assert one.node_selector == {"disk": "ssd"}
    assert one.affinity == ((("zone", "In", ("a", "b")), ("old", "DoesNotExist", ())),)
    assert one.tolerations == (("gpu", "Exists", "", ""),)
    assert (one.alone, one.node_name) == (True, "n1")
    assert not read(workload(labels={"app": "other"}, affinity=affinity))[0].alone
    ported = container(cpu="1", ports=[{"containerPort": 80, "hostPort": 80}])
    assert read(workload(containers=[ported]))[0].alone


def test_what_is_not_checked_is_named() -> None:
    gpu = {"name": "g", "resources": {"limits": {"nvidia.com/gpu": "1", "ephemeral-storage": "1Gi"}}}
    spread = [{"topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule"}]
    (one,) = read(
        workload(containers=[gpu], topologySpreadConstraints=spread, volumes=[{"name": "v", "persistentVolumeClaim": {"claimName": "c"}}])
    )
    assert one.unchecked == ("topology spread", "zones of its volumes", "nvidia.com/gpu on the nodes")


@pytest.mark.parametrize(
    "text",
    [
        "kind: Deployment\nmetadata:\n  name: {{ .Release.Name }}\n",
        'kind: Deployment\nmetadata: {name: "{{ .Values.name }}"}\n',
        "{{- if .Values.on }}\nkind: Deployment\n{{- end }}\n",
        '{{ include "x" . }}',
        "kind: {{ something }}\n",
    ],
)
def test_f49_a_template_is_refused_and_never_rendered(text: str) -> None:
    said = refused(text)
    assert "this is a template, not a manifest; render it first: helm template CHART | aiops-analysis predict -" in said
    assert said.startswith("a.yaml")


BOMB = "a: &a [x, x, x]\nb: &b [*a, *a, *a]\nc: &c [*b, *b, *b]\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (BOMB, "a.yaml, line 1: anchors and aliases are not read"),
        ("kind: !!python/object:os.system x", "tags are not read"),
        ("[" * 500, "nested deeper than 32"),
        ("[" * 5000, "maximum nesting depth"),
        ("x: [" + "1," * 300_000 + "1]", "more than 200000 values"),
        ("x" * 3_000_000, "at most 2097152 are read"),
        ("kind: a\nkind: b", "comes twice"),
        ("- a\n- b", "not a mapping"),
        ("a: [", "broken YAML"),
        ("a: b\n", "there is no kind"),
        ("", "there is no workload in a.yaml, only nothing"),
        ("kind: Service\n---\nkind: Service", "only Service (2); read are Deployment"),
        ("kind: Deployment\nspec: {}", "there is no metadata.name"),
        ("kind: Deployment\nmetadata: {name: a}\nspec: {}", "there is no container in it"),
    ],
)
def test_f44_broken_and_hostile_yaml(text: str, said: str) -> None:
    assert said in refused(text)


def test_f27_quantities_that_cannot_be_meant() -> None:
    for amount, said in (("-1", "not a Kubernetes quantity"), ("1 GB", "not a Kubernetes quantity"), ("100m", "was 100Mi meant?")):
        text = json.dumps(workload(containers=[container(cpu="1", memory=amount)]))
        assert said in refused(text)
        assert "a.yaml, line 1 (Deployment web): requests.memory of app: " in refused(text)
    assert "replicas is '-1', expected a whole number" in refused(json.dumps(workload(replicas=-1)))
    assert "expected a whole number" in refused(json.dumps(workload(replicas=[1])))
    assert "is not a Kubernetes quantity" in refused(json.dumps(workload(containers=[container(cpu={"a": 1})])))


def test_a_workload_that_is_there_twice() -> None:
    assert "Deployment web is also in a.yaml, line 1" in refused(json.dumps(workload()) + "\n---\n" + json.dumps(workload()))


@real
@pytest.mark.parametrize("name", ["dp", "sts", "ds", "cj", "job", "rs", "po", "po_init", "po_sidecar", "p1"])
def test_real_objects(name: str) -> None:
    found = read_manifests({name: (REAL / "k9s_objects" / f"{name}.json").read_text(encoding="utf-8")})
    assert found.asked
    assert all(one.name and one.cpu >= 0 for one in found.asked)


@real
def test_a_real_list_of_deployments() -> None:
    path = REAL / "troubleshoot_bundles" / "analyze" / "deployments" / "kube-system.json"
    data = json.loads(path.read_text(encoding="utf-8"))
    items = data if isinstance(data, list) else data["items"]
    found = read_manifests({"list": json.dumps({"kind": "DeploymentList", "items": [{"kind": "Deployment"} | one for one in items]})})
    assert len(found.asked) == len(items)
    assert all(one.namespace == "kube-system" for one in found.asked)
