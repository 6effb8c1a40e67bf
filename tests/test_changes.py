"""Which rows become a change, and why the others do not."""

from __future__ import annotations

import pytest

from aiops_analysis.core.reasons import Code
from aiops_analysis.core.schema import INVENTORY, blank
from aiops_analysis.core.units import parse_quantity
from aiops_analysis.evidence.changes import amount, roles_of, written
from tests.frames import MIB, NAN
from tests.patching import both, planned, reason, row

KEY = ("todo", "Deployment", "backend", "app")


def why(*rows, **more) -> dict[tuple[str, str], str]:
    return {(one.container, one.resource): one.why for one in planned(*rows, **more).left_out}


def test_only_rows_with_a_change_count() -> None:
    found = planned(row("cpu"), row("memory", change="keep"), row("cpu", workload="idle", change="undetermined", guarded_request=NAN))
    (one,) = found.workloads
    assert [size.resource for container in one.changed for size in container.changed] == ["cpu"]
    assert [size.resource for size in one.containers[0].sizes] == ["cpu", "memory"]  # the other is known, for what stands beside
    assert (found.left_out, found.unknown) == ((), 1)


def test_the_order_is_that_of_the_names() -> None:
    rows = [*both(workload="b"), *both(workload="a", namespace="z"), *both(workload="a")]
    names = [(one.namespace, one.name) for one in planned(*rows).workloads]
    assert names == [("todo", "a"), ("todo", "b"), ("z", "a")]
    assert repr(planned(*rows)) == repr(planned(*reversed(rows)))  # NaN does not equal itself


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"decided": "0007"}, "kept quiet by the decision record 0007"),
        ({"kind": "Job"}, "a Job's pod template cannot be changed"),
        ({"kind": "Pod"}, "a pod without owner"),
        ({"kind": "DeploymentConfig"}, "this kind of workload"),
        ({"reasons": [reason(Code.SIDECAR)]}, "injected: set it through the mesh"),
        ({"guarded_limit": 0.05}, "limit is below the recommended request"),
        ({"guarded_request": NAN}, "no request is recommended"),
        ({"hpa": "web", "hpa_target": 60.0}, "an autoscaler scales on it"),
    ],
)
def test_what_never_reaches_a_file_says_why(given: dict, says: str) -> None:
    found = planned(row("cpu", **given))
    assert found.workloads == ()
    (left,) = found.left_out
    assert says in left.why
    assert (left.namespace, left.workload, left.container, left.resource) == ("todo", "backend", "app", "cpu")


def test_an_injected_container_is_named_and_the_others_go_on() -> None:
    (one,) = planned(*both(), *both(container="istio-proxy", reasons=[reason(Code.SIDECAR)])).workloads
    assert one.injected == ("istio-proxy",)
    assert [container.name for container in one.containers] == ["app"]


def test_roles_send_native_sidecars_to_their_list_and_init_containers_away() -> None:
    roles = {(*KEY[:3], "log"): "sidecar", (*KEY[:3], "setup"): "init"}
    found = planned(*both(), *both(container="log"), *both(container="setup"), roles=roles)
    assert [(one.name, one.role) for one in found.workloads[0].containers] == [("app", "app"), ("log", "sidecar")]
    assert why(*both(), *both(container="setup"), roles=roles)["setup", "cpu"] == "an init container is never resized"


def test_roles_of_the_newest_inventory_row() -> None:
    import pandas as pd

    base = blank(INVENTORY) | dict(zip(("namespace", "workload_kind", "workload", "container"), KEY, strict=True))
    days = pd.to_datetime(["2026-11-01", "2026-11-02"], utc=True).as_unit("s")
    rows = [base | {"role": "app", "last_seen": days[1]}, base | {"role": "sidecar", "last_seen": days[0]}]
    more = [base | {"container": "log", "role": "sidecar", "last_seen": days[0]}]
    assert roles_of(pd.DataFrame(rows + more)) == {(*KEY[:3], "log"): "sidecar"}


def test_a_change_that_no_manifest_can_show_is_none() -> None:
    # 100.0m and 99.96m are both 100m in a manifest
    same = {"current_request": 0.1, "guarded_request": 0.09996, "current_limit": 0.3, "guarded_limit": 0.3}
    assert planned(row("cpu", **same)).workloads == ()
    assert planned(row("cpu", **same | {"guarded_limit": 0.29})).workloads != ()


def test_request_and_target_are_one_change() -> None:
    given = {"hpa": "web", "hpa_target": 60.0, "hpa_target_new": 80.0}
    (one,) = planned(*both(), row("cpu", container="b", **given), row("memory", container="b", hpa="web")).workloads
    (scaler,) = one.scalers
    assert (scaler.name, scaler.resource, scaler.now, scaler.new, scaler.metrics, scaler.raises) == ("web", "cpu", 60, 80, 1, False)


def test_two_targets_for_one_autoscaler_are_refused() -> None:
    given = {"hpa": "web", "hpa_target": 60.0}
    found = why(row("cpu", hpa_target_new=70.0, **given), row("cpu", container="b", hpa_target_new=80.0, **given))
    assert set(found.values()) == {"its containers need different targets of one autoscaler"}


def test_the_same_target_needs_no_second_file() -> None:
    (one,) = planned(row("cpu", hpa="web", hpa_target=60.0, hpa_target_new=60.2)).workloads
    assert one.scalers == ()


@pytest.mark.parametrize(
    ("resource", "value", "text"),
    [
        # as resource.Quantity prints them: the largest unit that leaves a whole number
        ("cpu", 0.5, "500m"),
        ("cpu", 1.0, "1"),
        ("cpu", 1000.0, "1k"),
        ("cpu", 0.0005, "500u"),
        ("cpu", 1e-9, "1n"),
        ("cpu", 0.0, "0"),
        ("memory", 1000.0 * MIB, "1000Mi"),
        ("memory", 1024.0 * MIB, "1Gi"),
        ("memory", 512.0, "512"),
        ("memory", 94.701, "94701m"),
        ("memory", 128974848.0, "123Mi"),
        ("memory", 129e6, "129M"),
        ("memory", 0.0, "0"),
    ],
)
def test_present_amounts_are_spelled_as_the_server_does(resource: str, value: float, text: str) -> None:
    assert written(resource, value) == text
    assert float(parse_quantity(text)) == pytest.approx(value)


def test_recommended_amounts_are_rounded_up_and_nan_is_not_set() -> None:
    assert (amount("cpu", 0.1001), amount("memory", 256.05 * MIB), amount("cpu", NAN), written("memory", NAN)) == (
        "101m",
        "257Mi",
        None,
        None,
    )
