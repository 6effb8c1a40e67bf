"""Rules that bind pods to nodes, from templates, budgets and volumes of the Kubernetes API (methods.md B4)."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime

import pytest

from aiops_analysis.sources.kube_objects import frames_of
from aiops_analysis.sources.kube_parts import Look, Objects

AT = datetime(2026, 11, 1, 10, 2, tzinfo=UTC)
REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
HOST, ZONE = "kubernetes.io/hostname", "topology.kubernetes.io/zone"
WEB = {"matchLabels": {"app": "web"}}


def maker(name="web", namespace="shop", labels=None, annotations=None, claims=(), **spec):
    template = {"metadata": {"labels": labels or {"app": name}, "annotations": annotations or {}}, "spec": spec}
    return {
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"replicas": 3, "template": template, "volumeClaimTemplates": [{"metadata": {"name": claim}} for claim in claims]},
    }


def told(*deployments, look=None, **lists):
    lists = {"deployments": list(deployments)} | lists
    found = frames_of(Objects(lists), look or Look(AT))["workloads"]
    return {f"{r.namespace}/{r.workload_kind}/{r.workload}": json.loads(r.scheduling) for r in found.itertuples()}


def one(**spec):
    return told(maker(**spec))["shop/Deployment/web"]


def test_a_template_without_rules_is_known_to_have_none():
    assert one() == {}
    assert one(affinity={"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 1}]}}) == {}


def test_selectors_terms_and_tolerations():
    terms = [
        {"matchExpressions": [{"key": "pool", "operator": "In", "values": ["a", "b"]}, {"key": "cpus", "operator": "Gt", "values": ["4"]}]},
        {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n1"]}]},
        {},  # matches nothing, in Kubernetes' words
    ]
    got = one(
        nodeSelector={"disk": 'ssd"', "odd": 3},
        affinity={"nodeAffinity": {REQUIRED: {"nodeSelectorTerms": terms}}},
        tolerations=[{"key": "a", "value": "b", "effect": "NoSchedule"}, {"operator": "Exists"}, {"key": "c", "tolerationSeconds": 5}],
    )
    assert got == {
        "node_selector": {"disk": 'ssd"'},
        "node_affinity": [
            [["pool", "In", ["a", "b"]], ["cpus", "Gt", ["4"]]],
            [["metadata.name", "In", ["n1"]]],
            [["metadata.name", "In", []]],
        ],
        "tolerations": [["a", "Equal", "b", "NoSchedule"], ["", "Exists", "", ""], ["c", "Equal", "", ""]],
    }


def term(selector=None, **more):
    return {"topologyKey": HOST, "labelSelector": WEB if selector is None else selector, **more}


@pytest.mark.parametrize(
    ("given", "matches"),
    [
        (term(), ["shop/Deployment/web"]),
        (
            term({"matchExpressions": [{"key": "app", "operator": "In", "values": ["web", "db"]}]}),
            ["shop/Deployment/db", "shop/Deployment/web"],
        ),
        (term({}), ["shop/Deployment/db", "shop/Deployment/web", "shop/Pod/bare"]),  # every pod of the namespace
        (term({"matchLabels": {"app": "gone"}}), []),
        (term(namespaces=["other"]), ["other/Deployment/web"]),
        (term(namespaceSelector={}), ["other/Deployment/web", "shop/Deployment/web"]),
        (term(namespaceSelector={"matchLabels": {"kubernetes.io/metadata.name": "other"}}), ["other/Deployment/web"]),
        (
            term(namespaces=["shop"], namespaceSelector={"matchLabels": {"kubernetes.io/metadata.name": "other"}}),
            ["other/Deployment/web", "shop/Deployment/web"],
        ),
        (term({}, matchLabelKeys=["pod-template-hash"]), ["shop/Deployment/web"]),
        (term({}, matchLabelKeys=["app"]), ["shop/Deployment/web"]),
        (term({}, mismatchLabelKeys=["app"]), ["shop/Deployment/db", "shop/Pod/bare"]),
    ],
)
def test_pod_terms_name_the_workloads_they_match_today(given, matches):
    look = Look(AT)
    bare = {"metadata": {"name": "bare", "namespace": "shop", "labels": {"app": "bare"}}, "status": {"phase": "Running"}}
    done = {"metadata": {"name": "done", "namespace": "shop", "labels": {"app": "web"}}, "status": {"phase": "Succeeded"}}
    web = maker(affinity={"podAntiAffinity": {REQUIRED: [given]}, "podAffinity": {REQUIRED: [given | {"topologyKey": ZONE}]}})
    got = told(web, maker("db"), maker(namespace="other"), look=look, pods=[bare, done])["shop/Deployment/web"]
    assert got == {"anti_affinity": [{"topology": HOST, "workloads": matches}], "affinity": [{"topology": ZONE, "workloads": matches}]}
    assert look.notes == []


def test_namespaces_chosen_by_labels_that_are_not_read_are_all_and_it_is_said():
    look = Look(AT)
    web = maker(affinity={"podAntiAffinity": {REQUIRED: [term(namespaceSelector={"matchLabels": {"team": "a"}})]}})
    got = told(web, maker(namespace="other"), look=look)["shop/Deployment/web"]
    assert got["anti_affinity"] == [{"topology": HOST, "workloads": ["other/Deployment/web", "shop/Deployment/web"]}]
    assert look.notes == ["shop/Deployment/web chooses namespaces by labels, which are not read: its rule is taken to hold in all of them"]


def test_only_a_spread_that_keeps_its_own_pods_waiting_counts():
    constraints = [
        {"topologyKey": ZONE, "maxSkew": 2, "whenUnsatisfiable": "DoNotSchedule", "labelSelector": WEB},
        {"topologyKey": HOST, "maxSkew": 1, "whenUnsatisfiable": "ScheduleAnyway", "labelSelector": WEB},
        {"topologyKey": HOST, "maxSkew": 1, "whenUnsatisfiable": "DoNotSchedule", "labelSelector": {"matchLabels": {"app": "x"}}},
    ]
    assert one(topologySpreadConstraints=constraints) == {"spread": [{"topology": ZONE, "skew": 2}]}


def test_ports_of_the_host():
    ports = [{"ports": [{"containerPort": 80, "hostPort": 8080}, {"containerPort": 81}]}]
    assert one(containers=ports) == {"host_ports": [8080]}
    assert one(containers=ports, hostNetwork=True) == {"host_ports": [81, 8080]}
    assert one(containers=[{}], initContainers=[{"ports": [{"hostPort": 1}]}]) == {}  # it has ended


@pytest.mark.parametrize(
    ("volumes", "annotations", "rules"),
    [
        ([{"name": "a", "emptyDir": {}}], {}, {"local_storage": True}),
        ([{"name": "a", "hostPath": {"path": "/"}}], {}, {"local_storage": True}),
        ([{"name": "a", "emptyDir": {"medium": "Memory"}}, {"name": "b", "configMap": {}}], {}, {}),
        ([{"name": "a", "emptyDir": {}}], {"cluster-autoscaler.kubernetes.io/safe-to-evict-local-volumes": "b, a"}, {}),
        ([], {"cluster-autoscaler.kubernetes.io/safe-to-evict": "false"}, {"safe_to_evict": False}),
        (
            [{"name": "a", "emptyDir": {}}],
            {"cluster-autoscaler.kubernetes.io/safe-to-evict": "true"},
            {"local_storage": True, "safe_to_evict": True},
        ),
        ([], {"cluster-autoscaler.kubernetes.io/safe-to-evict": "no"}, {}),
    ],
)
def test_what_keeps_an_autoscaler_from_taking_a_node(volumes, annotations, rules):
    assert told(maker(annotations=annotations, volumes=volumes))["shop/Deployment/web"] == rules


def test_overhead_and_gpus():
    # a runtime class sets the overhead on pods, not on their template
    pod = {"metadata": {"name": "web", "namespace": "shop"}, "spec": {"overhead": {"cpu": "100m", "memory": "96Mi"}}}
    pod["metadata"]["ownerReferences"] = [{"kind": "StatefulSet", "name": "web", "controller": True}]
    gpu = {"resources": {"limits": {"nvidia.com/gpu": "2"}, "requests": {"nvidia.com/gpu": "2"}}}
    init = {"resources": {"limits": {"nvidia.com/gpu": "3"}}}
    got = told(statefulsets=[maker(containers=[gpu, {}], initContainers=[init])], pods=[pod])["shop/StatefulSet/web"]
    assert got == {"overhead": {"cpu": 0.1, "memory": 96.0 * 2**20}, "gpu": 3}  # one init container wants more than both containers


def volume(claim, *terms, namespace="shop"):
    rules = [{"key": key, "operator": "In", "values": values} for key, values in terms]
    affinity = {"required": {"nodeSelectorTerms": [{"matchExpressions": rules}]}}
    return {"metadata": {"name": f"pv-{claim}"}, "spec": {"claimRef": {"namespace": namespace, "name": claim}, "nodeAffinity": affinity}}


def test_volumes_bind_pods_to_their_zone():
    volumes = [
        volume("data-db-0", (ZONE, ["a"])),
        volume("data-db-1", ("topology.ebs.csi.aws.com/zone", ["b"])),
        volume("data-db-old", (ZONE, ["z"])),
        volume("shared", (ZONE, ["a", "c"])),
        volume("shared", (ZONE, ["x"]), namespace="other"),
        volume("disk", (HOST, ["n1"])),
    ]
    got = told(
        maker(volumes=[{"name": "v", "persistentVolumeClaim": {"claimName": "shared"}}]),
        maker("local", volumes=[{"name": "v", "persistentVolumeClaim": {"claimName": "disk"}}]),
        maker("free", volumes=[{"name": "v", "persistentVolumeClaim": {"claimName": "not-listed"}}]),
        statefulsets=[maker("db", claims=["data"])],
        persistentvolumes=volumes,
    )
    assert got == {
        "shop/Deployment/web": {"zones": ["a", "c"]},
        "shop/Deployment/local": {"local_storage": True},  # its disk is one node's
        "shop/Deployment/free": {},
        "shop/StatefulSet/db": {"zones": ["a", "b"]},
    }


def settings(**spec):
    look = {"deployments": [{"metadata": {"name": "web", "namespace": "shop"}, "spec": spec}]}
    return frames_of(Objects(look), Look(AT))["workloads"].iloc[0]


@pytest.mark.parametrize(
    ("strategy", "replicas", "surge"),
    [
        ({}, 5, 2.0),  # a quarter of 5 is 1.25
        ({"type": "Recreate"}, 5, 0.0),
        ({"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 0}}, 5, 0.0),
        ({"rollingUpdate": {"maxSurge": "10%"}}, 20, 2.0),
        ({"rollingUpdate": {"maxSurge": 3}}, 20, 3.0),
        ({"rollingUpdate": {"maxSurge": "0%"}}, 20, 0.0),
        ({"rollingUpdate": {"maxSurge": "many"}}, 20, math.nan),
    ],
)
def test_surge(strategy, replicas, surge):
    assert settings(strategy=strategy, replicas=replicas)["surge"] == pytest.approx(surge, nan_ok=True)


def test_only_deployments_surge():
    found = frames_of(Objects({"statefulsets": [maker()], "daemonsets": [maker()]}), Look(AT))["workloads"]
    assert found["surge"].tolist() == [0.0, 0.0]


@pytest.mark.parametrize(
    ("allowed", "disruptions"), [([0], 0.0), ([2, 1], 1.0), ([None, 2], 2.0), ([None], math.nan), ([], math.nan), ([True], math.nan)]
)
def test_disruptions_are_what_the_strictest_budget_allows(allowed, disruptions):
    budgets = [
        {"metadata": {"name": f"b{i}", "namespace": "shop"}, "spec": {"selector": WEB}, "status": {"disruptionsAllowed": n}}
        for i, n in enumerate(allowed)
    ]
    other = {
        "metadata": {"name": "a", "namespace": "shop"},
        "spec": {"selector": {"matchLabels": {"app": "x"}}},
        "status": {"disruptionsAllowed": 0},
    }
    found = frames_of(Objects({"deployments": [maker()], "poddisruptionbudgets": [*budgets, other]}), Look(AT))["workloads"].iloc[0]
    assert found["disruptions"] == pytest.approx(disruptions, nan_ok=True)
    assert found["pdb"] == ("b0" if allowed else "")
