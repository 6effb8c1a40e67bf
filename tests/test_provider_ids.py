"""A node's providerID against the resource ids of bills (methods.md B6)."""

from __future__ import annotations

import pytest

from aiops_analysis.analysis.provider_ids import machines_of
from tests import focus

SUB = "/subscriptions/11111111-2222-3333-4444-555555555555/resourceGroups/MC_Shop/providers/Microsoft.Compute"
SET = f"{SUB}/virtualMachineScaleSets/aks-Pool1-vmss"


def found(provider_id: str, resource_id: str, name: str = "", provider: str = "") -> bool:
    return machines_of(focus.nodes(focus.node("n", provider_id))).find(resource_id, name, provider, "") == 0


@pytest.mark.parametrize(
    ("provider_id", "resource_id", "same"),
    [
        ("aws:///eu-west-1a/i-0abc", "i-0abc", True),
        ("aws:///eu-west-1a/i-0abc", "arn:aws:ec2:eu-west-1:123456789012:instance/i-0abc", True),
        ("aws:///eu-west-1a/i-0abc", "i-0abcd", False),
        ("aws:///eu-west-1a/i-0abc", "arn:aws:ec2:eu-west-1:123456789012:natgateway/nat-0abc", False),
        (f"azure://{SET}/virtualMachines/3", SET, True),
        (f"azure://{SET}/virtualMachines/3", f"{SET.lower()}/", True),
        (f"azure://{SET}/virtualMachines/3", f"{SET.upper()}/virtualMachines/9", True),
        (f"azure://{SET}/virtualMachines/3", f"{SET}2", False),
        (f"azure://{SUB}/virtualMachines/vm-1", f"{SUB.lower()}/virtualmachines/VM-1", True),
        ("ocid1.instance.oc1.phx.abc", "ocid1.instance.oc1.phx.abc", True),
        ("oci://ocid1.instance.oc1.phx.abc", "ocid1.instance.oc1.phx.abc", True),
        ("hcloud://123", "1234", False),
    ],
)
def test_an_id_is_the_same_machine_or_not(provider_id: str, resource_id: str, same: bool) -> None:
    assert found(provider_id, resource_id) is same


@pytest.mark.parametrize(
    ("resource_id", "name", "provider", "same"),
    [
        ("//compute.googleapis.com/projects/shop/zones/europe-west1-b/instances/gke-shop-pool-1", "NULL", "Google Cloud", True),
        ("projects/12/zones/europe-west1-b/instances/4711", "gke-shop-pool-1", "Google Cloud", True),
        ("projects/12/zones/europe-west1-c/instances/4711", "gke-shop-pool-1", "Google Cloud", False),  # another zone
        ("4711", "gke-shop-pool-1", "GCP", True),
        ("gke-shop-pool-1", "", "Google Cloud", True),
        ("gke-shop-pool-1", "", "AWS", False),  # a name alone is no proof in another cloud
    ],
)
def test_a_google_machine_is_its_name_in_its_zone(resource_id: str, name: str, provider: str, same: bool) -> None:
    assert found("gce://shop/europe-west1-b/gke-shop-pool-1", resource_id, name, provider) is same


def test_a_name_that_two_zones_have_is_no_proof() -> None:
    machines = machines_of(focus.nodes(focus.node("a", "gce://shop/zone-a/same"), focus.node("b", "gce://shop/zone-b/same")))
    assert machines.find("same", "", "Google Cloud", "") == -1
    assert machines.find("zones/zone-b/instances/same", "", "Google Cloud", "") == 1


@pytest.mark.parametrize("provider_id", ["", "aws:///eu-west-1a/", "azure://", "azure:///", "gce://", "gce://shop/zone/", "://"])
@pytest.mark.parametrize("resource_id", ["", "/", " "])
def test_nothing_is_never_a_match(provider_id: str, resource_id: str) -> None:
    machines = machines_of(focus.nodes(focus.node("n", provider_id)))
    assert machines.find(resource_id, "", "Google Cloud", "") == -1


def test_tags_tell_the_pool_only_with_the_name_of_the_cluster() -> None:
    frame = focus.nodes(focus.node("n1", "other://1", pool="blue"), focus.node("n2", "other://2", pool="blue"))
    machines = machines_of(frame, "shop")
    assert machines.by_tags
    assert not machines_of(frame).by_tags
    key = machines.find("x", "", "", '{"cluster": "shop", "pool": "blue"}')
    assert machines.how[key] == "tags"
    assert machines.nodes["pool_key"].tolist() == [key, key]
    for tags in (
        '{"cluster": "other", "pool": "blue"}',
        '{"cluster": "shop", "pool": "red"}',
        '{"pool": "blue"}',
        "{",
        "[1]",
        "[" * 100_000,
    ):
        assert machines.find("x", "", "", tags) == -1


def test_a_node_that_came_back_as_another_machine_has_both() -> None:
    frame = focus.nodes(focus.node("n", "aws:///z/i-1", 0, 5), focus.node("n", "", 5, 6), focus.node("n", "aws:///z/i-2", 6, 9))
    assert machines_of(frame).nodes[["node", "key"]].to_numpy().tolist() == [["n", 0], ["n", 1]]
