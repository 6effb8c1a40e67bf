"""What the tests of patches share: rows, real objects, and a second, independent way to apply a patch."""

from __future__ import annotations

import copy
import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from aiops_analysis.core.reasons import Code, Reason
from aiops_analysis.core.schema import KEY, RECOMMENDATIONS, row_id
from aiops_analysis.evidence.changes import KINDS, Plan, plan
from tests.frames import MIB, NAN, recommendation

REAL = Path(__file__).resolve().parents[2] / "shared" / "realdata"
needs_real = pytest.mark.skipif(not REAL.is_dir(), reason="the real data is not on this machine")


def row(resource: str = "cpu", **given: Any) -> dict[str, object]:
    """A row of RECOMMENDATIONS: 500m -> 100m of cpu, 1Gi -> 256Mi of memory, limits 2 -> 300m and 4Gi -> 512Mi."""
    names = {"kind": "workload_kind"}
    base = recommendation(resource=resource, now=0.5, then=0.1, p95=0.05)
    base |= {"current_limit": 2.0, "guarded_limit": 0.3}
    if resource == "memory":
        base |= {"current_request": 1024.0 * MIB, "guarded_request": 256.0 * MIB, "p95": 170.0 * MIB, "paper": 6.96}
        base |= {"current_limit": 4096.0 * MIB, "guarded_limit": 512.0 * MIB}
    base |= {names.get(name, name): value for name, value in given.items()}
    return base | {"id": row_id([str(base[name]).encode("utf-8", "replace").decode() for name in KEY])}


def both(**given: Any) -> list[dict[str, object]]:
    """The cpu and memory rows of one container."""
    return [row("cpu", **given), row("memory", **given)]


def frame(rows: list[dict[str, object]]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=list(RECOMMENDATIONS.columns))


def planned(*rows: dict[str, object], roles: dict[tuple[str, str, str, str], str] | None = None) -> Plan:
    return plan(frame(list(rows)), roles)


def reason(code: Code) -> Reason:
    return Reason(code, f"because of {code}")


# --- real objects ---------------------------------------------------------------------------------------------------------------


def _content(path: Path) -> Any:
    data = path.read_bytes()
    return json.loads(gzip.decompress(data) if path.suffix == ".gz" else data)


def real_objects() -> Iterator[dict[str, Any]]:
    """Every real workload object that a patch can be made for; a list's items get the kind of the list back."""
    places = ("deployments", "statefulsets", "daemonsets", "replicasets")
    paths = [*REAL.glob("k9s_objects/*.json"), *(path for place in places for path in REAL.glob(f"troubleshoot_bundles/**/{place}/*"))]
    for path in sorted(paths):
        content = _content(path)
        kind = content.get("kind", "")
        for one in content.get("items", [content]):
            found = {"apiVersion": "apps/v1", "kind": kind.removesuffix("List")} | one
            if found["kind"] in KINDS:
                found["apiVersion"] = KINDS[found["kind"]].api  # two of them are of API versions that are gone by now
                yield found


def pod_spec(thing: dict[str, Any]) -> dict[str, Any]:
    for key in KINDS[thing["kind"]].template:
        thing = thing[key]
    return thing


# --- applying, written without the code under test ------------------------------------------------------------------------------


def merged(live: Any, patch: Any) -> Any:
    """A strategic merge as the Kubernetes documentation describes it: null deletes, containers are merged by name, other lists replaced."""
    if not isinstance(patch, dict) or not isinstance(live, dict):
        return copy.deepcopy(patch)
    out = copy.deepcopy(live)
    for key, value in patch.items():
        if key.startswith("$"):
            continue  # a directive; the only one that kubectl sends here is the order that the list has already
        if value is None:
            out.pop(key, None)
        elif key in ("containers", "initContainers"):
            out[key] = _by_name(out.get(key, []), value)
        elif isinstance(value, dict):
            out[key] = merged(out.get(key, {}), value)
        else:
            out[key] = copy.deepcopy(value)
    return out


def _by_name(live: list[dict[str, Any]], patch: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Patched items come in the order of the patch; the others keep their place among them by the order of the server's list."""
    place = {one["name"]: number for number, one in enumerate(live)}
    others = [one for one in live if one["name"] not in {new["name"] for new in patch}]
    patched = [merged(live[place[new["name"]]] if new["name"] in place else {}, new) for new in patch]
    out = []
    while others and patched:
        first = place[others[0]["name"]] < place.get(patched[0]["name"], len(live))
        out.append((others if first else patched).pop(0))
    return copy.deepcopy(out + others + patched)


class Refused(Exception):
    """A test of a JSON patch does not hold."""


def applied(live: Any, operations: list[dict[str, Any]]) -> Any:
    """RFC 6902 for test, add, replace and remove in objects; a test for null holds for an absent key, as on the API server."""
    out = copy.deepcopy(live)
    for operation in operations:
        *parents, last = [part.replace("~1", "/").replace("~0", "~") for part in operation["path"].split("/")[1:]]
        place = out
        for part in parents:
            try:
                place = place[int(part)] if isinstance(place, list) else place[part]
            except (KeyError, IndexError) as error:
                raise Refused(operation["path"]) from error
        if operation["op"] == "test":
            if place.get(last) != operation["value"]:
                raise Refused(f"{operation['path']} is {place.get(last)!r}")
        elif operation["op"] == "remove":
            del place[last]
        else:
            assert operation["op"] == "add" or last in place, operation
            place[last] = copy.deepcopy(operation["value"])
    return tidy(out)


def tidy(thing: Any) -> Any:
    """Without the empty maps of resources, which the API server does not keep."""
    for section in ("containers", "initContainers"):
        for one in pod_spec(thing).get(section, []) if thing.get("kind") in KINDS else []:
            one["resources"] = {key: value for key, value in one.get("resources", {}).items() if value}
    return thing


def without_resources(thing: dict[str, Any]) -> dict[str, Any]:
    out = copy.deepcopy(thing)
    for section in ("containers", "initContainers"):
        for one in pod_spec(out).get(section, []):
            one.pop("resources", None)
    return out


def rows_of(thing: dict[str, Any], *, drop_limits: bool = False) -> list[dict[str, object]]:
    """Rows that would change every container of a real object: to 150m and 200Mi, limits 450m and 400Mi, or none."""
    from aiops_analysis.core.units import parse_cpu, parse_memory

    about = thing["metadata"]
    out = []
    for one in pod_spec(thing)["containers"]:
        for resource, parse, request, limit in (("cpu", parse_cpu, 0.15, 0.45), ("memory", parse_memory, 200.0 * MIB, 400.0 * MIB)):
            now = [one.get("resources", {}).get(section, {}).get(resource) for section in ("requests", "limits")]
            numbers = [NAN if text is None else parse(text) for text in now]
            out.append(
                row(
                    resource,
                    namespace=about.get("namespace", "default"),
                    kind=thing["kind"],
                    workload=about["name"],
                    container=one["name"],
                    current_request=numbers[0],
                    current_limit=numbers[1],
                    guarded_request=request,
                    guarded_limit=NAN if drop_limits else limit,
                    change="increase",
                )
            )
    return out
