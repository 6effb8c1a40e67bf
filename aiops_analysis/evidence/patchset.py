"""The files of ``patches/``: one a workload and format, each with what changes, why, and ready commands to look, apply and go back.

Bytes follow from the recommendations alone: no clock, no run id (faults.md row 59).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field

from aiops_analysis.core.errors import UsageError
from aiops_analysis.core.names import encode_path, visible
from aiops_analysis.evidence.changes import KINDS, LeftOut, Plan, Scaler, Size, Workload, amount, written
from aiops_analysis.evidence.manifests import helm_values, json_patch, kustomization, scaler_patch, strategic, vpa, vpa_name
from aiops_analysis.evidence.record import INDEX, SCHEMA, json_bytes
from aiops_analysis.evidence.yamltext import comments, dump, one_line, shell
from aiops_analysis.presentation.formats import amount as shown
from aiops_analysis.presentation.formats import money

__all__ = ["COMPONENT", "FORMATS", "PatchSet", "file_name", "patch_files"]

FORMATS = ("strategic", "json-patch", "kustomize", "helm", "vpa")
COMPONENT = "components/rightsizing"
_LONGEST = 200  # bytes of a file name, below the 255 of common file systems
_NAME = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?", re.ASCII)
_SCALER = "HorizontalPodAutoscaler"


@dataclass(frozen=True, slots=True)
class PatchSet:
    """Files by their path inside ``patches/``, and every change that is in none of them."""

    files: Mapping[str, bytes]
    left_out: tuple[LeftOut, ...]
    workloads: int


@dataclass(frozen=True, slots=True)
class _About:
    """What every header says beside the change itself."""

    evidence: str
    currency: str
    helm: Mapping[str, str] = field(default_factory=dict)
    order: Mapping[tuple[str, str, str], Sequence[str]] = field(default_factory=dict)


def file_name(namespace: str, kind: str, name: str) -> str:
    """``namespace.kind.name.yaml`` of a kind of our closed list; never two workloads on one name, never a path.

    >>> file_name("todo", "Deployment", "backend"), file_name("..", "Deployment", "a/b")
    ('todo.deployment.backend.yaml', '%252e%252e.deployment.a%2fb.yaml')
    """
    text = f"{encode_path(namespace.replace('.', '%2e'))}.{kind.lower()}.{encode_path(name)}"
    if len(text) > _LONGEST:
        raw = f"{namespace}\0{kind}\0{name}".encode("utf-8", "surrogatepass")
        text = f"{text[: _LONGEST - 33].rstrip('%.')}~{hashlib.sha256(raw).hexdigest()[:32]}"
    return f"{text}.yaml"


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
    about = _About(evidence, currency, helm or {}, order or {})
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


def _index(cluster: str, about: _About, formats: Sequence[str], files: Mapping[str, bytes], left: Sequence[LeftOut]) -> bytes:
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


def _strategic(workload: Workload, about: _About) -> dict[str, str]:
    file = file_name(workload.namespace, workload.kind, workload.name)
    back = f"--type=strategic --patch={one_line(strategic(workload, reverse=True))}"
    head = _head(workload, about, _patching(_target(workload), file, "--type=strategic", back))
    files = {f"strategic/{file}": comments(head) + dump(strategic(workload))}
    return files | {f"strategic/{name}": text for name, text in _scaler_files(workload, about, file)}


def _json_patch(workload: Workload, about: _About) -> dict[str, str]:
    file = file_name(workload.namespace, workload.kind, workload.name)
    order = about.order.get((workload.namespace, workload.kind, workload.name), ())
    back = f"--type=json --patch={one_line(json_patch(workload, order, reverse=True))}"
    head = _head(workload, about, _patching(_target(workload), file, "--type=json", back))
    head += ["", "Every name and old value is tested first: on a workload that changed since, the server refuses the whole patch."]
    if not order and len(workload.containers) > 1:
        path = "/".join(KINDS[workload.kind].template).replace("/", ".")
        head += [
            "The history does not know the order of the containers; where the test of a name fails, correct the numbers in the paths by:",
            f"  kubectl get {_target(workload)} -o jsonpath='{{.{path}.containers[*].name}}'",
        ]
    files = {f"json-patch/{file}": comments(head) + dump(json_patch(workload, order))}
    return files | {f"json-patch/{name}": text for name, text in _scaler_files(workload, about, file)}


def _kustomize(workload: Workload, about: _About) -> dict[str, str]:
    use = ["Part of the Kustomize component in this folder; kustomization.yaml says how it is used and taken out."]
    file = file_name(workload.namespace, workload.kind, workload.name)
    files = {f"{COMPONENT}/{file}": comments(_head(workload, about, use)) + dump(strategic(workload))}
    for scaler in workload.scalers:
        name = file_name(workload.namespace, _SCALER, scaler.name)
        files[f"{COMPONENT}/{name}"] = comments(_scaler_head(workload, scaler, about, file, use)) + dump(scaler_patch(scaler))
    return files


def _entries(workload: Workload) -> Iterator[tuple[str, str, str, str]]:
    yield file_name(workload.namespace, workload.kind, workload.name), workload.kind, workload.namespace, workload.name
    for scaler in workload.scalers:
        yield file_name(workload.namespace, _SCALER, scaler.name), _SCALER, workload.namespace, scaler.name


def _component(cluster: str, entries: Sequence[tuple[str, str, str, str]]) -> str:
    head = [
        f"Right-sizing of cluster {visible(cluster)} as a Kustomize component (aiops-analysis). Copy this folder beside your overlay.",
        "Use: add to the overlay's kustomization.yaml, with the path from there",
        "  components: [../components/rightsizing]",
        "Look (changes nothing), in the overlay's folder:",
        "  kubectl kustomize . | kubectl diff -f -",
        "Roll back: take that line out again.",
        "A target whose namespace your base does not state itself is not found: take `namespace` out of that target.",
    ]
    return comments(head) + dump(kustomization(sorted(entries)))


def _helm(workload: Workload, about: _About) -> dict[str, str]:
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
    head = _head(workload, about, steps if values else [])
    if snippets:
        head += ["", "No value path is known for what follows, and none is guessed. Name it in aiops.toml, in the table [helm], as"]
        place = f"{workload.namespace}/{workload.kind}/{workload.name}"
        head += [f'  "{place}/{name}" = "path.to.resources"' for name in snippets]
        head += ["or copy it to where your chart takes it from:"]
        for name, snippet in snippets.items():
            head += [f"  container {visible(name)}", *(f"    {line}" for line in dump(snippet).splitlines())]
    return {f"helm/{file}": comments(head) + (dump(values) if values else "")}


def _vpa(workload: Workload, about: _About) -> dict[str, str]:
    file = shell(file_name(workload.namespace, workload.kind, workload.name))
    head = [
        *_title(workload, about),
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


def _scaler_files(workload: Workload, about: _About, beside: str) -> Iterator[tuple[str, str]]:
    for scaler in workload.scalers:
        file = file_name(workload.namespace, _SCALER, scaler.name)
        target = f"{shell(f'horizontalpodautoscaler.v2.autoscaling/{scaler.name}')} {shell(f'--namespace={workload.namespace}')}"
        back = f"--type=json --patch={one_line(scaler_patch(scaler, reverse=True))}"
        yield (
            file,
            comments(_scaler_head(workload, scaler, about, beside, _patching(target, file, "--type=json", back)))
            + dump(scaler_patch(scaler)),
        )


# --- the words above them -------------------------------------------------------------------------------------------------------


def _target(workload: Workload) -> str:
    return f"{shell(f'{KINDS[workload.kind].resource}/{workload.name}')} {shell(f'--namespace={workload.namespace}')}"


def _patching(target: str, file: str, how: str, back: str) -> list[str]:
    """Commands to run in the file's folder. ``kubectl diff -f`` of a patch would be a lie: it takes the file for the whole object."""
    patch = f"kubectl patch {target} {how} --patch-file={shell(file)}"
    return [
        "Look (changes nothing):",
        f"  {patch} --dry-run=server -o yaml | kubectl diff -f -",
        "Apply:",
        f"  {patch}",
        "Roll back (what was measured before):",
        f"  kubectl patch {target} {back}",
    ]


def _title(workload: Workload, about: _About) -> list[str]:
    place = f"{workload.kind} {visible(workload.name)} in namespace {visible(workload.namespace)}, cluster {visible(workload.cluster)}"
    lines = [f"Right-sizing of {place} (aiops-analysis, from measured history)."]
    if about.evidence:
        lines.append(f"Evidence: history {about.evidence}")
    if not all(_NAME.fullmatch(name) for name in (workload.namespace, workload.name, *(one.name for one in workload.containers))):
        lines.append(
            "A name here is none that Kubernetes accepts: everything is quoted, but look where it comes from before you use this file."
        )
    return [*lines, ""]


def _head(workload: Workload, about: _About, steps: Sequence[str]) -> list[str]:
    lines = _title(workload, about)
    for container in workload.changed:
        lines.append(f"container {visible(container.name)}" + (" (native sidecar)" if container.role == "sidecar" else ""))
        for size in container.changed:
            lines += _change(size, about.currency)
    lines += [f"container {visible(name)} is injected and not in this file" for name in workload.injected]
    lines += _effect(workload)
    for scaler in workload.scalers:
        other = file_name(workload.namespace, _SCALER, scaler.name)
        lines.append(f"Goes together with {other}: {_first(scaler)}.")
    return [*lines, *([""] if steps else []), *steps]


def _change(size: Size, currency: str) -> list[str]:
    parts = []
    for word, now, new in (("request", size.request_now, size.request), ("limit", size.limit_now, size.limit)):
        before, after = written(size.resource, now), amount(size.resource, new)
        if before is not None or after is not None:
            parts.append(f"{word} {before or 'not set'} -> {after or 'none'}")
    facts = [size.change, f"grade {size.grade}", f"P95 {shown(size.resource, size.p95)}"]
    facts += [f"{money(size.paper, currency)} a month on paper"] if size.paper == size.paper else []
    lines = [f"  {size.resource}: {', '.join(parts)} ({', '.join(facts)}; recommendation {size.id})"]
    lines += [f"    {reason.code}: {visible(reason.message, 300)}" for reason in size.reasons]
    return [line.replace("\u00a0", " ") for line in lines]


def _effect(workload: Workload) -> list[str]:
    sizes = [size for container in workload.changed for size in container.changed]
    lines = []
    if any(size.limit_now == size.limit_now and size.limit != size.limit for size in sizes):
        lines.append("A null deletes the limit; a LimitRange of the namespace may put its default there.")
    if workload.kind == "CronJob":
        lines.append("Takes effect at the next run.")
    elif workload.kind == "ReplicaSet":
        lines.append("Running pods stay as they are until they are replaced.")
    else:
        lines.append("Changes the pod template, so the pods are replaced by the workload's update strategy.")
    return lines


def _first(scaler: Scaler) -> str:
    """Which of the two goes first, so that the moment between them adds pods and takes none away."""
    return "the autoscaler first, then the request" if scaler.raises else "the request first, then the autoscaler"


def _scaler_head(workload: Workload, scaler: Scaler, about: _About, beside: str, steps: Sequence[str]) -> list[str]:
    return [
        *_title(workload, about),
        f"HorizontalPodAutoscaler {visible(scaler.name)}: target utilisation of {scaler.resource} {scaler.now} % -> {scaler.new} %.",
        "The target is a share of the request, so it changes with it: the pods stay as many as they were.",
        f"Goes together with {beside}: {_first(scaler)}.",
        "A JSON patch of one number on purpose: a strategic merge replaces the whole list of metrics. A test refuses where the metric",
        "stands elsewhere in the list, is of another type, or has another target by now.",
        *([""] if steps else []),
        *steps,
    ]
