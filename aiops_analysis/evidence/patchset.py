"""The files of ``patches/``: one a workload and format, each with what changes, why, and ready commands to look, apply and go back.

Bytes follow from the recommendations alone: no clock, no run id (faults.md row 59).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass

from aiops_analysis.core.errors import UsageError
from aiops_analysis.core.names import visible
from aiops_analysis.evidence.changes import KINDS, LeftOut, Plan, Workload
from aiops_analysis.evidence.headers import SCALER, About, changes, file_name, listing, patching, scaler_changes, target, title
from aiops_analysis.evidence.manifests import helm_values, json_patch, kustomization, scaler_patch, strategic, vpa, vpa_name
from aiops_analysis.evidence.record import INDEX, SCHEMA, json_bytes
from aiops_analysis.evidence.yamltext import comments, dump, one_line, shell

__all__ = ["COMPONENT", "FORMATS", "PatchSet", "patch_files"]

FORMATS = ("strategic", "json-patch", "kustomize", "helm", "vpa")
COMPONENT = "components/rightsizing"


@dataclass(frozen=True, slots=True)
class PatchSet:
    """Files by their path inside ``patches/``, and every change that is in none of them."""

    files: Mapping[str, bytes]
    left_out: tuple[LeftOut, ...]
    workloads: int


def patch_files(
    plan: Plan,
    cluster: str,
    *,
    formats: Sequence[str] = FORMATS,
    evidence: str = "",
    currency: str = "",
    helm: Mapping[str, str] | None = None,
    order: Mapping[tuple[str, str, str], Sequence[str]] | None = None,
) -> PatchSet:
    """The files of a plan in these formats, and ``index.json`` with their sha256 and all that was left out.

    evidence : fingerprint of the history. helm : value path of the resources by ``namespace/Kind/workload/container``.
    order : containers of a workload as they stand in its pod template, for JSON patches.
    Raises UsageError for an unknown format and SettingsError for a value path that cannot be used.
    """
    if wrong := [name for name in formats if name not in FORMATS]:
        raise UsageError(f"the format {wrong[0]!r} is not known; expected {', '.join(FORMATS)} or all")
    about = About(evidence, currency, helm or {}, order or {})
    files: dict[str, str] = {}
    left = list(plan.left_out)
    entries: list[tuple[str, str, str, str]] = []
    for workload in plan.workloads:
        custom = KINDS[workload.kind].custom
        for name in formats:
            if custom and name in ("strategic", "kustomize"):
                key = (workload.namespace, workload.kind, workload.name)
                left.append(
                    LeftOut(*key, "", "", f"a custom resource knows no strategic merge, so not as {name}; as json-patch, helm or vpa")
                )
                continue
            files |= _WRITERS[name](workload, about)
        if "kustomize" in formats and not custom:
            entries += _entries(workload)
    if "kustomize" in formats:
        files[f"{COMPONENT}/kustomization.yaml"] = _component(cluster, entries)
    data = {name: files[name].encode("utf-8") for name in sorted(files)}
    data[INDEX] = _index(cluster, about, formats, data, left)
    return PatchSet(data, tuple(left), len(plan.workloads))


def _index(cluster: str, about: About, formats: Sequence[str], files: Mapping[str, bytes], left: Sequence[LeftOut]) -> bytes:
    return json_bytes(
        {
            "schema": SCHEMA,
            "cluster": cluster,
            "fingerprint": about.evidence,
            "formats": sorted(formats),
            "files": {name: hashlib.sha256(data).hexdigest() for name, data in files.items()},
            "left_out": [asdict(one) for one in left],
        }
    )


# --- the formats ----------------------------------------------------------------------------------------------------------------


def _strategic(workload: Workload, about: About) -> dict[str, str]:
    file = file_name(workload.namespace, workload.kind, workload.name)
    order = about.order_of(workload)
    back = f"--type=strategic --patch={one_line(strategic(workload, order, reverse=True))}"
    head = changes(workload, about, patching(target(workload), file, "--type=strategic", back))
    if not order and len(workload.changed) > 1:
        head += [
            "",
            "The server puts these containers into the order of this list, and the history does not know theirs. Where the order counts",
        ]
        head += ["(which starts first, which one kubectl logs takes), sort the list by:", listing(workload)]
    files = {f"strategic/{file}": comments(head) + dump(strategic(workload, order))}
    return files | {f"strategic/{name}": text for name, text in _scaler_files(workload, about, file)}


def _json_patch(workload: Workload, about: About) -> dict[str, str]:
    file = file_name(workload.namespace, workload.kind, workload.name)
    order = about.order_of(workload)
    back = f"--type=json --patch={one_line(json_patch(workload, order, reverse=True))}"
    head = changes(workload, about, patching(target(workload), file, "--type=json", back))
    head += ["", "Every name and old value is tested first: on a workload that changed since, the server refuses the whole patch."]
    if not order and len(workload.containers) > 1:
        head += [
            "The history does not know the order of the containers; where the test of a name fails, correct the numbers in the paths by:"
        ]
        head += [listing(workload)]
    files = {f"json-patch/{file}": comments(head) + dump(json_patch(workload, order))}
    return files | {f"json-patch/{name}": text for name, text in _scaler_files(workload, about, file)}


def _kustomize(workload: Workload, about: About) -> dict[str, str]:
    use = ["Part of the Kustomize component in this folder; kustomization.yaml says how it is used and taken out."]
    file = file_name(workload.namespace, workload.kind, workload.name)
    files = {f"{COMPONENT}/{file}": comments(changes(workload, about, use)) + dump(strategic(workload, about.order_of(workload)))}
    for scaler in workload.scalers:
        name = file_name(workload.namespace, SCALER, scaler.name)
        files[f"{COMPONENT}/{name}"] = comments(scaler_changes(workload, scaler, about, file, use)) + dump(scaler_patch(scaler))
    return files


def _entries(workload: Workload) -> Iterator[tuple[str, str, str, str]]:
    yield file_name(workload.namespace, workload.kind, workload.name), workload.kind, workload.namespace, workload.name
    for scaler in workload.scalers:
        yield file_name(workload.namespace, SCALER, scaler.name), SCALER, workload.namespace, scaler.name


def _component(cluster: str, entries: Sequence[tuple[str, str, str, str]]) -> str:
    head = [
        f"Right-sizing of cluster {visible(cluster)} as a Kustomize component (aiops-analysis). Copy this folder beside your overlay.",
        "Use: add to the overlay's kustomization.yaml, with the path from there",
        "  components: [../components/rightsizing]",
        "Look (changes nothing), in the overlay's folder:",
        "  kubectl kustomize . | kubectl diff -f -",
        "Roll back: take that line out again.",
        "Kustomize puts the containers that it patches first in their list. Where their order counts, use the patches in strategic/.",
        "A target whose namespace your base does not state itself is not found: take `namespace` out of that target.",
    ]
    return comments(head) + dump(kustomization(sorted(entries)))


def _helm(workload: Workload, about: About) -> dict[str, str]:
    values, snippets = helm_values(workload, about.helm)
    file = file_name(workload.namespace, workload.kind, workload.name)
    where = shell(f"--namespace={workload.namespace}")
    upgrade = f"helm upgrade RELEASE CHART {where} --reuse-values --values={shell(file)}"
    steps = [
        "With your release and chart in place of RELEASE and CHART.",
        "Look (changes nothing):",
        f"  {upgrade} --dry-run=server",
        "Apply:",
        f"  {upgrade}",
        "Roll back:",
        f"  helm rollback RELEASE {where}",
    ]
    head = changes(workload, about, steps if values else [])
    if snippets:
        head += ["", "No value path is known for what follows, and none is guessed. Name it in aiops.toml, in the table [helm], as"]
        place = f"{workload.namespace}/{workload.kind}/{workload.name}"
        head += [f'  "{place}/{name}" = "path.to.resources"' for name in snippets]
        head += ["or copy it to where your chart takes it from:"]
        for name, snippet in snippets.items():
            head += [f"  container {visible(name)}", *(f"    {line}" for line in dump(snippet).splitlines())]
    return {f"helm/{file}": comments(head) + (dump(values) if values else "")}


def _vpa(workload: Workload, about: About) -> dict[str, str]:
    file = shell(file_name(workload.namespace, workload.kind, workload.name))
    head = [
        *title(workload, about),
        "A VerticalPodAutoscaler in mode Off: it recommends, and changes no pod. minAllowed is the measured P95, maxAllowed the",
        "recommended limit (without one, the request); its uncappedTarget is a second opinion. The cluster needs the autoscaler's CRDs;",
        "a workload that another VerticalPodAutoscaler targets must not get a second one.",
        "Look (changes nothing):",
        f"  kubectl apply -f {file} --dry-run=server",
        f"  kubectl diff -f {file}",
        "Apply, and read what it says a day later:",
        f"  kubectl apply -f {file}",
        f"  kubectl describe {shell(f'verticalpodautoscaler.autoscaling.k8s.io/{vpa_name(workload)}')} "
        + shell(f"--namespace={workload.namespace}"),
        "Roll back:",
        f"  kubectl delete -f {file}",
    ]
    return {f"vpa/{file_name(workload.namespace, workload.kind, workload.name)}": comments(head) + dump(vpa(workload))}


_WRITERS = {"strategic": _strategic, "json-patch": _json_patch, "kustomize": _kustomize, "helm": _helm, "vpa": _vpa}


def _scaler_files(workload: Workload, about: About, beside: str) -> Iterator[tuple[str, str]]:
    for scaler in workload.scalers:
        file = file_name(workload.namespace, SCALER, scaler.name)
        target = f"{shell(f'horizontalpodautoscaler.v2.autoscaling/{scaler.name}')} {shell(f'--namespace={workload.namespace}')}"
        back = f"--type=json --patch={one_line(scaler_patch(scaler, reverse=True))}"
        yield (
            file,
            comments(scaler_changes(workload, scaler, about, beside, patching(target, file, "--type=json", back)))
            + dump(scaler_patch(scaler)),
        )
