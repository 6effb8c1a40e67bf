"""From objects of the Kubernetes API to the frames of the history (methods.md A9; fault rows 21 and 27)."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aiops_analysis.core.compact import compact
from aiops_analysis.core.schema import BOUNDS, HPAS, INVENTORY, NODES, WORKLOADS, check
from aiops_analysis.sources.kube_metrics import measured_of
from aiops_analysis.sources.kube_objects import frames_of
from aiops_analysis.sources.kube_parts import Look, Objects, moment_of, quantity
from aiops_analysis.sources.kube_selectors import selects
from aiops_analysis.sources.kube_workloads import heap_flags
from tests.kube_server import real_objects, why_no_objects

AT = datetime(2026, 11, 1, 10, 2, tzinfo=UTC)
MI = 2**20


def named(name, namespace="shop", **more):
    return {"metadata": {"name": name, "namespace": namespace, "uid": f"uid-{name}", **more.pop("metadata", {})}, **more}


def owned(kind, name, controller=True):
    return {"ownerReferences": [{"kind": kind, "name": name, "controller": controller}]}


def pod(name, metadata=None, containers=None, **spec):
    containers = containers or [{"name": "app", "image": "registry/app:1"}]
    return named(
        name,
        metadata=metadata or {},
        spec={"nodeName": "n1", "containers": containers, **spec},
        status={"phase": "Running", "qosClass": "Burstable", "startTime": "2026-11-01T08:04:00Z"},
    )


def frames(look=None, **lists):
    return frames_of(Objects(lists), look or Look(AT))


def test_f21_owners_are_resolved():
    pods = [
        pod("web-a-1", owned("ReplicaSet", "web-a")),
        pod("lone-1", owned("ReplicaSet", "lone")),
        pod("gone-5d8f-1", owned("ReplicaSet", "gone-5d8f") | {"labels": {"pod-template-hash": "5d8f"}}),
        pod("nightly-1-x", owned("Job", "nightly-1")),
        pod("once-x", owned("Job", "once")),
        pod("db-0", owned("StatefulSet", "db")),
        pod("etcd-n1", owned("Node", "n1")),
        pod("mirror-n1", {"annotations": {"kubernetes.io/config.mirror": "abc"}}),
        pod("bare"),
        pod("guest", owned("Foo", "x", controller=False)),
        pod("flow-1", owned("Workflow", "flow")),
    ]
    replicasets = [named("web-a", metadata=owned("Deployment", "web")), named("lone")]
    jobs = [named("nightly-1", metadata=owned("CronJob", "nightly")), named("once")]
    found = frames(pods=pods, replicasets=replicasets, jobs=jobs)["inventory"].set_index("pod")
    assert {name: (row["workload_kind"], row["workload"], row["revision"]) for name, row in found.iterrows()} == {
        "web-a-1": ("Deployment", "web", "web-a"),
        "lone-1": ("ReplicaSet", "lone", "lone"),
        "gone-5d8f-1": ("Deployment", "gone", "gone-5d8f"),
        "nightly-1-x": ("CronJob", "nightly", "nightly-1"),
        "once-x": ("Job", "once", "once"),
        "db-0": ("StatefulSet", "db", "db"),
        "etcd-n1": ("Node", "n1", "n1"),
        "mirror-n1": ("Node", "n1", ""),
        "bare": ("Pod", "bare", ""),
        "guest": ("Pod", "guest", ""),
        "flow-1": ("Workflow", "flow", "flow"),
    }


def test_roles_requests_and_times():
    containers = [
        {"name": "app", "image": "a:1", "resources": {"requests": {"cpu": "250m", "memory": "1.5Gi"}, "limits": {"memory": "2Gi"}}}
    ]
    inits = [{"name": "mesh", "image": "m:1", "restartPolicy": "Always"}, {"name": "migrate", "image": "i:1"}]
    found = frames(pods=[pod("web-1", containers=containers, initContainers=inits)])["inventory"].set_index("container")
    assert found["role"].to_dict() == {"mesh": "sidecar", "migrate": "init", "app": "app"}
    app = found.loc["app"]
    assert (app["cpu_request"], app["memory_request"], app["memory_limit"]) == (0.25, 1.5 * 2**30, 2 * 2**30)
    assert math.isnan(app["cpu_limit"])
    assert (app["node"], app["qos"], app["uid"]) == ("n1", "Burstable", "uid-web-1")
    # started at 08:04, looked at at 10:02: steps 08:00 to 10:05
    assert (str(app["first_seen"]), str(app["last_seen"])) == ("2026-11-01 08:00:00+00:00", "2026-11-01 10:05:00+00:00")


def test_a_pod_of_yesterday_is_there_since_midnight():
    old = pod("web-1")
    old["status"]["startTime"] = "2026-10-30T08:04:00Z"
    assert str(frames(pods=[old])["inventory"]["first_seen"].iloc[0]) == "2026-11-01 00:00:00+00:00"


def test_finished_pods_reserve_nothing():
    done, failed, pending = pod("a"), pod("b"), pod("c")
    done["status"]["phase"], failed["status"]["phase"], pending["status"]["phase"] = "Succeeded", "Failed", "Pending"
    assert frames(pods=[done, failed, pending])["inventory"]["pod"].tolist() == ["c"]


@pytest.mark.parametrize(
    ("text", "resource", "value"),
    [
        ("94701m", "cpu", 94.701),
        ("262144k", "memory", 262_144_000.0),
        ("1e3", "memory", 1000.0),
        ("1.5Gi", "memory", 1.5 * 2**30),
        (2, "cpu", 2.0),
        (None, "cpu", math.nan),
    ],
)
def test_f27_quantities_are_exact(text, resource, value):
    look = Look(AT)
    got = quantity(text, resource, "shop/web app", look)
    assert got == value or (math.isnan(got) and math.isnan(value))
    assert look.notes == []


@pytest.mark.parametrize(
    ("text", "resource", "says"),
    [
        ("100m", "memory", "shop/web-1 app memory request: '100m' of memory is 0.100 bytes; was 100Mi meant?"),
        ("-1", "cpu", "shop/web-1 app cpu request: '-1' is not a Kubernetes quantity; expected for example 250m, 0.25, 512Mi or 1.5Gi"),
        ("abc", "cpu", "shop/web-1 app cpu request: 'abc' is not a Kubernetes quantity; expected for example 250m, 0.25, 512Mi or 1.5Gi"),
    ],
)
def test_f27_what_cannot_be_meant_is_refused_by_name(text, resource, says):
    look = Look(AT)
    found = frames(look, pods=[pod("web-1", containers=[{"name": "app", "resources": {"requests": {resource: text}}}])])["inventory"]
    assert math.isnan(found[f"{resource}_request"].iloc[0])
    assert look.notes == [says]


def test_nodes():
    labels = {"karpenter.sh/nodepool": "blue", "node.kubernetes.io/instance-type": "m5.large", "topology.kubernetes.io/zone": "z1"}
    labels |= {"karpenter.sh/capacity-type": "spot"}
    sizes = {"cpu": "2", "memory": "8Gi", "pods": "110"}
    node = named(
        "n1",
        namespace="",
        metadata={"labels": labels},
        spec={"providerID": "aws:///z1/i-1"},
        status={"capacity": sizes, "allocatable": sizes},
    )
    (row,) = frames(nodes=[node, named("n2", status={})])["nodes"].to_dict("records")[:1]
    assert (row["pool"], row["instance_type"], row["zone"], row["capacity_type"]) == ("blue", "m5.large", "z1", "spot")
    assert (row["cpu_capacity"], row["memory_allocatable"], row["pods_allocatable"]) == (2.0, 8 * 2**30, 110.0)
    assert (json.loads(row["labels"]), row["taints"], row["unschedulable"]) == (labels, "[]", False)


def test_a_node_keeps_its_labels_taints_and_cordon_as_data():
    odd = '"},{x=$(rm) \u202e</td>'
    taints = [
        {"key": "b", "effect": "NoSchedule"},
        {"key": "a", "value": odd, "effect": "NoExecute", "timeAdded": "2026-11-01T00:00:00Z"},
        3,
    ]
    node = named("n1", namespace="", metadata={"labels": {"z": odd, "a": "", "n": 3}}, spec={"taints": taints, "unschedulable": True})
    (row,) = frames(nodes=[node])["nodes"].to_dict("records")
    assert row["labels"] == compact({"a": "", "z": odd})  # sorted, without spaces
    assert json.loads(row["labels"])["z"] == odd
    assert json.loads(row["taints"]) == [["a", odd, "NoExecute"], ["b", "", "NoSchedule"]]
    assert row["unschedulable"]


def hpa(name, *metrics, **more):
    return named(name, spec={"scaleTargetRef": {"kind": "Deployment", "name": "web"}, "maxReplicas": 9, "metrics": list(metrics)}, **more)


def test_autoscalers():
    look = Look(AT)
    lists = [
        hpa("a", {"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 70}}}),
        hpa(
            "b",
            {
                "type": "ContainerResource",
                "containerResource": {"name": "memory", "container": "app", "target": {"type": "AverageValue", "averageValue": "512Mi"}},
            },
        ),
        hpa(
            "keda-hpa-web",
            {"type": "External", "external": {"metric": {"name": "s0-queue"}, "target": {"type": "AverageValue", "averageValue": "5"}}},
            metadata={"labels": {"scaledobject.keda.sh/name": "web"}},
        ),
        hpa("d", {"type": "Object", "object": {"metric": {"name": "rps"}, "target": {"type": "Value", "value": "2k"}}}),
        named(
            "e",
            spec={
                "scaleTargetRef": {"kind": "Deployment", "name": "web"},
                "targetCPUUtilizationPercentage": 10,
                "minReplicas": 2,
                "maxReplicas": 4,
            },
        ),
        hpa("f"),
    ]
    found = frames(look, horizontalpodautoscalers=lists)["hpas"]
    rows = [tuple(row) for row in found[["hpa", "metric", "target_value", "target_type", "min_replicas"]].to_numpy()]
    assert rows[:5] == [
        ("a", "cpu", 70.0, "utilization", 1.0),
        ("b", "memory", 512.0 * MI, "average", 1.0),
        ("keda-hpa-web", "s0-queue", 5.0, "average", 1.0),
        ("d", "rps", 2000.0, "value", 1.0),
        ("e", "cpu", 10.0, "utilization", 2.0),
    ]
    assert rows[5][:2] == ("f", "")
    assert look.notes == ["HorizontalPodAutoscaler shop/keda-hpa-web is made by KEDA: change its ScaledObject web instead"]


def test_bounds():
    look = Look(AT)
    limits = [
        {"type": "Container", "max": {"cpu": "2"}, "defaultRequest": {"memory": "64Mi"}, "maxLimitRequestRatio": {"cpu": "4"}},
        {"type": "PersistentVolumeClaim", "max": {"storage": "1Gi"}},
    ]
    quota = named("q", spec={"hard": {"cpu": "10", "limits.memory": "8Gi", "pods": "5"}}, status={"used": {"cpu": "2500m"}})
    scoped = named("s", spec={"hard": {"cpu": "1"}, "scopes": ["BestEffort"]})
    found = frames(look, limitranges=[named("l", spec={"limits": limits})], resourcequotas=[quota, scoped])["bounds"]
    rows = [tuple(row) for row in found[["kind", "scope", "resource", "field", "value"]].to_numpy()]
    assert sorted(rows) == [
        ("LimitRange", "Container", "cpu", "max", 2.0),
        ("LimitRange", "Container", "cpu", "maxLimitRequestRatio", 4.0),
        ("LimitRange", "Container", "memory", "defaultRequest", 64.0 * MI),
        ("ResourceQuota", "", "cpu", "requests.hard", 10.0),
        ("ResourceQuota", "", "cpu", "requests.used", 2.5),
        ("ResourceQuota", "", "memory", "limits.hard", 8.0 * 2**30),
    ]
    assert look.notes == ["ResourceQuota shop/s holds for some pods only (scopes) and is left out"]


def test_workloads():
    template = {
        "metadata": {"labels": {"app": "web", "tier": "front"}},
        "spec": {
            "priorityClassName": "high",
            "topologySpreadConstraints": [{"maxSkew": 1}],
            "affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [{}]}},
            "containers": [
                {
                    "name": "app",
                    "readinessProbe": {"httpGet": {}},
                    "command": ["java", "-Xmx512m", "-jar", "a.jar"],
                    "env": [{"name": "JAVA_TOOL_OPTIONS", "value": "-XX:MaxRAMPercentage=75.0 -Dsecret=x"}, {"name": "A", "valueFrom": {}}],
                    "resizePolicy": [{"resourceName": "memory", "restartPolicy": "RestartContainer"}],
                }
            ],
        },
    }
    pdb = named(
        "web-pdb",
        spec={"selector": {"matchExpressions": [{"key": "app", "operator": "In", "values": ["web", "api"]}]}},
        status={"disruptionsAllowed": 1},
    )
    vpa = named("web-vpa", spec={"targetRef": {"kind": "Deployment", "name": "web"}, "updatePolicy": {"updateMode": "Off"}})
    web = named("web", spec={"replicas": 3, "template": template})
    found = frames(
        deployments=[web],
        replicasets=[named("web-a", metadata=owned("Deployment", "web"), spec={})],
        cronjobs=[named("nightly", spec={"jobTemplate": {"spec": {"template": {"spec": {"containers": [{"name": "x"}]}}}}})],
        poddisruptionbudgets=[pdb],
        verticalpodautoscalers=[vpa],
    )["workloads"].set_index("workload")
    assert sorted(found.index) == ["nightly", "web"]
    row = found.loc["web"].drop(["first_seen", "last_seen"]).to_dict()
    assert row == {
        "namespace": "shop",
        "workload_kind": "Deployment",
        "replicas": 3.0,
        "readiness": True,
        "liveness": False,
        "pdb": "web-pdb",
        "affinity": True,
        "spread": True,
        "priority_class": "high",
        "vpa": "web-vpa",
        "vpa_mode": "Off",
        "java_flags": "-Xmx512m -XX:MaxRAMPercentage=75.0",
        "resize_restart": True,
        # a rule without a topology or selector matches no pod
        "scheduling": '{"anti_affinity":[{"topology":"","workloads":[]}]}',
        "disruptions": 1.0,
        "surge": 1.0,  # a quarter of 3, rounded up
    }
    assert not found.loc["nightly", "readiness"]


@pytest.mark.parametrize(
    ("selector", "matches"),
    [
        (None, False),
        ({}, True),
        ({"matchLabels": {"app": "web"}}, True),
        ({"matchLabels": {"app": "api"}}, False),
        ({"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["api"]}]}, True),
        ({"matchExpressions": [{"key": "gone", "operator": "NotIn", "values": ["api"]}]}, True),
        ({"matchExpressions": [{"key": "app", "operator": "Exists"}, {"key": "gone", "operator": "DoesNotExist"}]}, True),
        ({"matchExpressions": [{"key": "app", "operator": "In", "values": None}]}, False),
        ({"matchExpressions": [{"key": "app", "operator": "Gt", "values": ["1"]}]}, False),
    ],
)
def test_label_selectors(selector, matches):
    assert selects(selector, {"app": "web"}) is matches


def test_only_heap_flags_are_kept():
    container = {"command": ["sh", "-c", "exec java $OPTS -Xms256m -Xmx1g -Xmx1gb -Xss1m"], "env": [{"name": "T", "value": "token"}]}
    assert list(heap_flags(container)) == ["-Xms256m", "-Xmx1g"]


def test_fields_of_another_type_read_as_nothing():
    assert list(heap_flags({"command": 3, "args": "-Xmx1g", "env": [3, {"value": 4}]})) == []
    assert not selects({"matchExpressions": [{"key": "app", "operator": "In", "values": 3}]}, {"app": "web"})
    assert moment_of("0001-01-01T00:00:00+14:00") is None
    assert moment_of("2026-11-01T10:00:00") is None


def test_a_list_that_could_not_be_read_is_not_an_empty_one():
    assert sorted(frames(pods=[])) == ["inventory"]
    assert sorted(frames(pods=[], limitranges=[])) == ["bounds", "inventory"]


def test_metrics_belong_to_the_middle_of_their_window():
    item = named(
        "web-1",
        timestamp="2026-11-01T10:00:10Z",
        window="1m0s",
        containers=[{"name": "app", "usage": {"cpu": "1500000n", "memory": "20Ki"}}],
    )
    (m,) = measured_of([item], Look(AT))
    assert (m.at.isoformat(), m.cpu, m.memory) == ("2026-11-01T09:59:40+00:00", 0.0015, 20_480.0)


def test_metrics_of_another_time_are_left_out():
    look = Look(AT)
    item = named("web-1", timestamp="2026-11-01T09:00:00Z", containers=[{"name": "app", "usage": {"cpu": "1", "memory": "1Ki"}}])
    assert measured_of([item], look) == []
    assert "more than 10 minutes from the clock here" in look.notes[0]


@pytest.mark.skipif(bool(why_no_objects()), reason=why_no_objects() or "there")
def test_f27_every_recorded_object_is_read():
    lists, look = real_objects(), Look(AT)
    found = frames_of(Objects(lists), look)
    alive = [p for p in lists["pods"] if p["status"]["phase"] in ("Pending", "Running")]
    containers = sum(len(p["spec"]["containers"]) + len(p["spec"].get("initContainers") or []) for p in alive)
    assert len(found["inventory"]) == containers
    assert set(found["nodes"]["node"]) == {n["metadata"]["name"] for n in lists["nodes"]}
    assert found["nodes"][["cpu_allocatable", "memory_allocatable", "cpu_capacity", "memory_capacity"]].notna().all(axis=None)
    assert "biggernode" in set(found["nodes"]["pool"])
    assert found["hpas"][["metric", "target_value"]].to_numpy().tolist() == [["cpu", 10.0]]
    makers = ("deployments", "statefulsets", "daemonsets", "cronjobs")
    assert len(found["workloads"]) >= sum(len(lists[plural]) for plural in makers)
    assert look.notes == []
    sidecars = found["inventory"].loc[found["inventory"]["role"] == "sidecar", ["pod", "container"]].to_numpy().tolist()
    assert sidecars == [["sleep", "sidecar"]]


anything = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.floats() | st.text(max_size=6),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["name", "spec", "type", "items", "cpu", "x"]), inner, max_size=3)
    ),
    max_leaves=8,
)
FIELDS = [
    "metadata",
    "spec",
    "status",
    "containers",
    "template",
    "limits",
    "metrics",
    "hard",
    "labels",
    "ownerReferences",
    "capacity",
    "env",
    "args",
]
odd = st.recursive(anything, lambda inner: st.dictionaries(st.sampled_from(FIELDS), inner, max_size=5), max_leaves=12)


@given(st.lists(st.dictionaries(st.sampled_from(FIELDS), odd, max_size=5), max_size=3))
@settings(max_examples=150, deadline=None)
def test_f60_objects_of_any_shape_give_frames(items):
    plurals = (
        "pods",
        "nodes",
        "deployments",
        "jobs",
        "cronjobs",
        "replicasets",
        "horizontalpodautoscalers",
        "limitranges",
        "resourcequotas",
        "persistentvolumes",
    )
    found = frames_of(Objects(dict.fromkeys((*plurals, "poddisruptionbudgets", "verticalpodautoscalers"), items)), Look(AT))
    for kind, contract in (("inventory", INVENTORY), ("nodes", NODES), ("hpas", HPAS), ("bounds", BOUNDS), ("workloads", WORKLOADS)):
        check(found[kind], contract)
    measured_of(items, Look(AT))
