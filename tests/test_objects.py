"""From answers to owners, containers, nodes and HPAs (methods.md K, I-4 to I-6; fault rows 16, 20, 21)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import date

import numpy as np
import pandas as pd
import pytest

from aiops_analysis.core.schema import INVENTORY
from aiops_analysis.workflows.objects import Apart, hpas_frame, inventory_frame, merge_facts, nodes_frame, owners_of

DAY = date(2026, 11, 1)
NAN = np.nan


@dataclass
class Series:
    labels: list[dict[str, str]]
    samples: np.ndarray


def series(*rows: tuple[dict[str, str], list[tuple[int, int, float]]]) -> Series:
    """Label sets with values given as (first step, step after the last, value)."""
    samples = np.full((len(rows), 288), NAN)
    for row, (_, spans) in enumerate(rows):
        for first, last, value in spans:
            samples[row, first:last] = value
    return Series([labels for labels, _ in rows], samples)


def req(pod, resource, spans, container="app", uid="u1"):
    return {"namespace": "shop", "pod": pod, "uid": uid, "container": container, "node": "n1", "resource": resource}, spans


def alive(pod, first, last, uid="u1"):
    return {"namespace": "shop", "pod": pod, "uid": uid}, [(first, last, 1.0)]


def image(pod, container="app", uid="u1"):
    return {"namespace": "shop", "pod": pod, "uid": uid, "container": container, "image": f"registry/{container}:1"}


OWNERS = owners_of(
    [
        {"namespace": "shop", "pod": "web-1", "owner_kind": "ReplicaSet", "owner_name": "web-abc"},
        {"namespace": "shop", "pod": "lone-rs", "owner_kind": "ReplicaSet", "owner_name": "lone"},
        {"namespace": "shop", "pod": "nightly-1", "owner_kind": "Job", "owner_name": "nightly-28"},
        {"namespace": "shop", "pod": "once-1", "owner_kind": "Job", "owner_name": "once"},
        {"namespace": "shop", "pod": "db-0", "owner_kind": "StatefulSet", "owner_name": "db"},
        {"namespace": "shop", "pod": "static", "owner_kind": "Node", "owner_name": "n1"},
        {"namespace": "shop", "pod": "bare", "owner_kind": "<none>", "owner_name": "<none>"},
    ],
    [{"namespace": "shop", "replicaset": "web-abc", "owner_kind": "Deployment", "owner_name": "web"}],
    [{"namespace": "shop", "job_name": "nightly-28", "owner_kind": "CronJob", "owner_name": "nightly"}],
    [{"namespace": "old", "pod": "p", "workload": "w", "workload_type": "statefulset"}],
)


@pytest.mark.parametrize(
    ("namespace", "pod", "owner"),
    [
        ("shop", "web-1", ("Deployment", "web")),
        ("shop", "lone-rs", ("ReplicaSet", "lone")),
        ("shop", "nightly-1", ("CronJob", "nightly")),
        ("shop", "once-1", ("Job", "once")),
        ("shop", "db-0", ("StatefulSet", "db")),
        ("shop", "static", ("Node", "n1")),
        ("shop", "bare", ("Pod", "bare")),
        ("shop", "never-seen", ("Pod", "never-seen")),
        ("other", "web-1", ("Pod", "web-1")),
        ("old", "p", ("StatefulSet", "w")),
    ],
)
def test_f21_every_pod_has_its_right_owner_or_is_its_own(namespace, pod, owner):
    assert OWNERS.of(namespace, pod) == owner


def inventory(requests, limits=(), phase=(), images=(), pod_info=()):
    return inventory_frame(DAY, series(*requests), series(*limits), series(*phase), list(images), list(pod_info), OWNERS)


def test_a_pod_that_lived_an_hour_has_its_owner_and_its_request():
    got = inventory([req("web-1", "cpu", [(36, 48, 0.2)])], phase=[alive("web-1", 36, 48)], images=[image("web-1")])
    assert got[["workload_kind", "workload", "container", "node", "image"]].iloc[0].tolist() == [
        "Deployment",
        "web",
        "app",
        "n1",
        "registry/app:1",
    ]
    assert got["first_seen"][0] == pd.Timestamp("2026-11-01T03:00Z")
    assert got["last_seen"][0] == pd.Timestamp("2026-11-01T04:00Z")
    assert got["cpu_request"][0] == 0.2
    assert got[["cpu_limit", "memory_request", "memory_limit"]].isna().all(axis=None)


def test_a_resize_makes_two_rows():
    got = inventory([req("web-1", "cpu", [(0, 100, 0.2), (100, 288, 0.1)])], phase=[alive("web-1", 0, 288)])
    assert got["cpu_request"].tolist() == [0.2, 0.1]
    assert got["last_seen"][0] == got["first_seen"][1] == pd.Timestamp("2026-11-01T08:20Z")


def test_init_containers_and_native_sidecars_have_their_role():
    def told(container, policy):
        return image("web-1", container) | {"restart_policy": policy}

    apart = Apart(
        [told("migrate", ""), told("agent", "Always")],
        series(req("web-1", "cpu", [(0, 288, 0.3)], "migrate"), req("web-1", "memory", [(0, 288, 64.0)], "agent")),
        series(req("web-1", "cpu", [(0, 288, 1.0)], "migrate")),
    )
    requests, phase = series(req("web-1", "cpu", [(0, 288, 0.2)])), series(alive("web-1", 0, 288))
    got = inventory_frame(DAY, requests, series(), phase, [image("web-1")], [], OWNERS, (), apart).set_index("container")
    assert got["role"].to_dict() == {"app": "app", "migrate": "init", "agent": "sidecar"}
    assert got.loc["migrate", ["cpu_request", "cpu_limit"]].tolist() == [0.3, 1.0]
    assert got.loc["agent", "memory_request"] == 64.0
    assert set(got["revision"]) == {"web-abc"}


def test_gpus_and_windows_nodes_are_marked():
    apart = Apart(gpus=[image("web-1")], windows=frozenset({"n9"}))
    images = [image("web-1"), image("db-0", uid="u2"), image("once-1", uid="u3")]
    phase = series(alive("web-1", 0, 288), alive("db-0", 0, 288, "u2"), alive("once-1", 0, 288, "u3"))
    where = [{"namespace": "shop", "pod": "db-0", "uid": "u2", "node": "n9"}]
    got = inventory_frame(DAY, series(), series(), phase, images, where, OWNERS, (), apart).set_index("pod")
    assert got["scope"].to_dict() == {"web-1": "GPU", "db-0": "Windows", "once-1": ""}


def test_f16_a_finished_pod_does_not_inflate_requests():
    # kube-state-metrics goes on reporting requests of a Succeeded pod; its phase ended at step 10
    got = inventory([req("nightly-1", "cpu", [(0, 288, 1.0)])], phase=[alive("nightly-1", 0, 10)])
    assert got["last_seen"].tolist() == [pd.Timestamp("2026-11-01T00:50Z")]


def test_without_phases_the_requests_say_when_it_was_there():
    got = inventory([req("web-1", "cpu", [(5, 7, 0.2)])])
    assert got["last_seen"].tolist() == [pd.Timestamp("2026-11-01T00:35Z")]


def test_f21_a_reused_pod_name_is_two_pods_by_uid():
    got = inventory(
        [req("db-0", "cpu", [(0, 10, 1.0)]), req("db-0", "cpu", [(12, 20, 2.0)], uid="u2")],
        phase=[alive("db-0", 0, 10), alive("db-0", 12, 20, "u2")],
    )
    assert got[["uid", "cpu_request"]].to_numpy().tolist() == [["u1", 1.0], ["u2", 2.0]]


def test_f20_a_container_without_requests_has_a_row_with_not_set():
    got = inventory([], phase=[alive("web-1", 0, 288)], images=[image("web-1")])
    assert len(got) == 1
    assert got[["cpu_request", "cpu_limit", "memory_request", "memory_limit"]].isna().all(axis=None)
    assert got["qos"][0] == "BestEffort"


def test_an_image_pulled_by_digest_is_named_by_the_pods_spec():
    """The runtime says sha256:..., in which nobody (nor the search for Java) finds a name."""
    digest = image("web-1") | {"image": "sha256:bc6c1e", "image_spec": "registry/app:1@sha256:8925"}
    other = image("web-1", "side") | {"image_spec": "side"}
    got = inventory([], phase=[alive("web-1", 0, 288)], images=[digest, other]).set_index("container")["image"]
    assert got.to_dict() == {"app": "registry/app:1@sha256:8925", "side": "registry/side:1"}


def test_f20_a_container_that_sets_nothing_is_known_by_its_series_where_containers_are_not_listed():
    phase, measured = series(alive("web-1", 0, 10)), [{"namespace": "shop", "pod": "web-1", "container": c} for c in ("app", "init")]
    got = inventory_frame(DAY, series(), series(), phase, [], [], OWNERS, measured)
    assert got[["uid", "container", "workload"]].to_numpy().tolist() == [["u1", "app", "web"], ["u1", "init", "web"]]
    # where they are listed, another measured container is an init or ephemeral one and has no row
    listed = inventory_frame(DAY, series(), series(), phase, [image("web-1")], [], OWNERS, measured)
    assert listed["container"].tolist() == ["app"]


@pytest.mark.parametrize(
    ("requests", "limits", "qos"),
    [
        ({"cpu": 1.0, "memory": 2.0}, {"cpu": 1.0, "memory": 2.0}, "Guaranteed"),
        ({}, {"cpu": 1.0, "memory": 2.0}, "Guaranteed"),  # Kubernetes sets a missing request to the limit
        ({"cpu": 0.5, "memory": 2.0}, {"cpu": 1.0, "memory": 2.0}, "Burstable"),
        ({"cpu": 1.0}, {"cpu": 1.0}, "Burstable"),
    ],
)
def test_qos_is_kubernetes_own_rule(requests, limits, qos):
    got = inventory(
        [req("web-1", r, [(0, 288, v)]) for r, v in requests.items()],
        [req("web-1", r, [(0, 288, v)]) for r, v in limits.items()],
        [alive("web-1", 0, 288)],
    )
    assert got["qos"].tolist() == [qos]


def test_one_container_without_limits_makes_the_pod_burstable():
    both = [req("web-1", r, [(0, 288, 1.0)]) for r in ("cpu", "memory")]
    got = inventory(both, both, [alive("web-1", 0, 288)], [image("web-1"), image("web-1", "side")])
    assert set(got["qos"]) == {"Burstable"}
    assert len(got) == 2


def test_an_empty_cluster_is_an_empty_frame():
    assert list(inventory([]).columns) == list(INVENTORY.columns)
    assert len(inventory([])) == 0


def node(name, resource, value):
    return {"node": name, "resource": resource, "unit": "core"}, [(0, 288, value)]


def test_nodes_have_their_pool_type_zone_and_capacity():
    labels = {
        "node": "n1",
        "label_node_kubernetes_io_instance_type": "m6i.xlarge",
        "label_topology_kubernetes_io_zone": "eu-west-1a",
        "label_eks_amazonaws_com_nodegroup": "blue",
        "label_karpenter_sh_capacity_type": "spot",
    }
    got = nodes_frame(
        DAY,
        series(node("n1", "cpu", 4.0)),
        series(node("n1", "cpu", 3.9), node("n2", "pods", 58.0)),
        [labels],
        [{"node": "n1", "provider_id": "aws:///x"}],
    )
    assert got["node"].tolist() == ["n1", "n2"]
    first = got.iloc[0]
    assert (first["pool"], first["instance_type"], first["zone"], first["capacity_type"]) == ("blue", "m6i.xlarge", "eu-west-1a", "spot")
    assert (first["cpu_capacity"], first["cpu_allocatable"], first["provider_id"]) == (4.0, 3.9, "aws:///x")
    assert got["pool"][1] == "default"
    assert np.isnan(got["cpu_capacity"][1])


def tainted(name, key, spans, value=""):
    return {"node": name, "key": key, "value": value, "effect": "NoSchedule"}, spans


def test_taints_and_cordons_are_runs_of_a_node():
    whole = series(node("n1", "cpu", 4.0), node("n2", "cpu", 4.0))
    odd = '"}]\u202e'
    taints = series(tainted("n1", "b", [(0, 288, 1.0)]), tainted("n1", "a", [(100, 200, 1.0)], odd), tainted("gone", "c", [(0, 288, 1.0)]))
    cordoned = series(({"node": "n1"}, [(0, 150, 0.0), (150, 288, 1.0)]), ({"node": "n2"}, [(0, 288, 0.0)]))
    got = nodes_frame(DAY, whole, whole, [], [], taints=taints, cordoned=cordoned)
    b, both = [["b", "", "NoSchedule"]], [["a", odd, "NoSchedule"], ["b", "", "NoSchedule"]]
    rows = [(r.node, json.loads(r.taints), r.unschedulable, r.first_seen.hour * 12 + r.first_seen.minute // 5) for r in got.itertuples()]
    assert rows == [("n1", b, False, 0), ("n1", both, False, 100), ("n1", both, True, 150), ("n1", b, True, 200), ("n2", [], False, 0)]


@pytest.mark.parametrize(
    ("taints", "cordoned", "told"),
    [
        (None, None, ""),
        (series(), series(), ""),  # the server has nothing of nodes' specs
        (series(), series(({"node": "n1"}, [(0, 288, 0.0)])), "[]"),
        (series(tainted("n2", "a", [(0, 288, 1.0)])), series(), "[]"),  # another node's taint shows that taints are told
    ],
)
def test_no_taint_is_none_only_where_taints_are_told(taints, cordoned, told):
    whole = series(node("n1", "cpu", 4.0))
    assert nodes_frame(DAY, whole, whole, [], [], taints=taints, cordoned=cordoned)["taints"].tolist() == [told]


def test_labels_are_those_whose_names_are_certain():
    whole = series(node("n1", "cpu", 4.0), node("n2", "cpu", 4.0))
    labels = [
        {"node": "n1", "label_topology_kubernetes_io_zone": "a", "label_team": "x", "label_kubernetes_io_os": "linux"},
        {"node": "n2"},
    ]
    got = nodes_frame(DAY, whole, whole, labels, [])
    assert got["labels"].tolist() == ['{"kubernetes.io/os":"linux","topology.kubernetes.io/zone":"a"}', ""]


def test_an_hpa_is_one_row_per_metric_and_run():
    key = {"namespace": "shop", "horizontalpodautoscaler": "web"}
    got = hpas_frame(
        DAY,
        [key | {"scaletargetref_kind": "Deployment", "scaletargetref_name": "web"}],
        {"min": series((key, [(0, 288, 2.0)])), "max": series((key, [(0, 144, 5.0), (144, 288, 9.0)]))},
        series((key | {"metric_name": "cpu", "metric_target_type": "utilization"}, [(0, 288, 70.0)])),
    )
    assert got[["metric", "target_type", "target_value", "target"]].iloc[0].tolist() == ["cpu", "utilization", 70.0, "web"]
    assert got["max_replicas"].tolist() == [5.0, 9.0]


def test_merging_two_pulls_of_a_day_loses_no_interval():
    early = inventory([req("web-1", "cpu", [(0, 10, 0.2)])])
    late = inventory([req("web-1", "cpu", [(5, 20, 0.2)]), req("web-1", "memory", [(5, 20, 64.0)], container="side")])
    got = merge_facts(early, late).sort_values("container")
    assert got["container"].tolist() == ["app", "side"]
    assert got["first_seen"].iloc[0] == early["first_seen"][0]
    assert got["last_seen"].iloc[0] == late["last_seen"].max()
