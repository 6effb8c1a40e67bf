"""Labels of nodes as a metrics server shows them, and what they say."""

from __future__ import annotations

import pytest

from aiops_analysis.sources.node_labels import described, original_labels


@pytest.mark.parametrize(
    ("shown", "name"),
    [
        ("label_topology_kubernetes_io_zone", "topology.kubernetes.io/zone"),
        ("label_node_kubernetes_io_instance_type", "node.kubernetes.io/instance-type"),
        ("label_eks_amazonaws_com_capacityType", "eks.amazonaws.com/capacityType"),  # kube-state-metrics 1
        ("label_eks_amazonaws_com_capacity_type", "eks.amazonaws.com/capacityType"),  # since 2
        ("label_cloud_google_com_gke_nodepool", "cloud.google.com/gke-nodepool"),
        ("label_karpenter_sh_nodepool", "karpenter.sh/nodepool"),
        ("label_kubernetes_io_hostname", "kubernetes.io/hostname"),
        ("label_kubernetes_io_arch", "kubernetes.io/arch"),
        ("label_agentpool", "agentpool"),
    ],
)
def test_well_known_labels_get_their_names_back(shown: str, name: str) -> None:
    assert original_labels({shown: 'v"\n\\'}) == {name: 'v"\n\\'}


def test_a_name_that_could_be_another_is_left_out() -> None:
    # team-a/b and team.a/b look the same; an empty label and none look the same
    assert original_labels({"node": "n1", "label_team_a_b": "x", "label_kubernetes_io_os": "", "zone": "z"}) == {}


def test_labels_describe_a_node() -> None:
    labels = {"kubernetes.azure.com/agentpool": "np1", "agentpool": "old", "topology.kubernetes.io/zone": "eastus-1"}
    labels |= {"kubernetes.azure.com/scalesetpriority": "Spot", "beta.kubernetes.io/instance-type": "Standard_D4s_v3"}
    assert described(labels) == {
        "pool": "np1",
        "instance_type": "Standard_D4s_v3",
        "region": "",
        "zone": "eastus-1",
        "capacity_type": "spot",
    }
    assert described({})["pool"] == "default"
