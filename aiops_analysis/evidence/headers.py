"""The words above a patch: what changes from what to what, why, and ready commands to look, apply and go back."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from aiops_analysis.core.names import encode_path, visible
from aiops_analysis.evidence.changes import KINDS, Scaler, Size, Workload, amount, written
from aiops_analysis.evidence.yamltext import shell
from aiops_analysis.presentation.formats import amount as shown
from aiops_analysis.presentation.formats import money

__all__ = [
    "SCALER",
    "About",
    "changes",
    "file_name",
    "kubernetes_name",
    "listing",
    "looking",
    "patching",
    "scaler_changes",
    "target",
    "title",
]

SCALER = "HorizontalPodAutoscaler"
_LONGEST = 200  # bytes of a file name, below the 255 of common file systems
_NAME = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?", re.ASCII)
_LONGEST_NAME = 253


@dataclass(frozen=True, slots=True)
class About:
    """What every header says beside the change itself."""

    evidence: str
    currency: str
    helm: Mapping[str, str] = field(default_factory=dict)
    order: Mapping[tuple[str, str, str], Sequence[str]] = field(default_factory=dict)

    def order_of(self, workload: Workload) -> Sequence[str]:
        """The containers as they stand in the pod template; empty when that is not known."""
        return self.order.get((workload.namespace, workload.kind, workload.name), ())


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


def kubernetes_name(name: str) -> bool:
    """Whether Kubernetes could have a thing of this name (RFC 1123)."""
    return len(name) <= _LONGEST_NAME and _NAME.fullmatch(name) is not None


def target(workload: Workload) -> str:
    """The workload for kubectl, quoted for a shell."""
    return f"{shell(f'{KINDS[workload.kind].resource}/{workload.name}')} {shell(f'--namespace={workload.namespace}')}"


def listing(workload: Workload) -> str:
    """The command that shows the containers as they stand in the pod template."""
    path = ".".join(KINDS[workload.kind].template)
    return f"  kubectl get {target(workload)} -o jsonpath='{{.{path}.containers[*].name}}'"


def looking(thing: str, how: str, file: str) -> str:
    """The command that shows what a patch would change, admission included, and changes nothing.

    Not ``kubectl diff``: of a patch file it would show everything else as removed, and of the patched object no limit that goes away.
    """
    return f"diff -u <(kubectl get {thing} -o yaml) <(kubectl patch {thing} {how} --patch-file={shell(file)} --dry-run=server -o yaml)"


def patching(thing: str, file: str, how: str, back: str) -> list[str]:
    """Commands of a patch, to run in the file's folder."""
    return [
        "Look (changes nothing):",
        f"  {looking(thing, how, file)}",
        "Apply:",
        f"  kubectl patch {thing} {how} --patch-file={shell(file)}",
        "Roll back (what was measured before):",
        f"  kubectl patch {thing} {back}",
    ]


def title(workload: Workload, about: About) -> list[str]:
    """The first lines of every file: what it is about and where the figures come from."""
    place = f"{workload.kind} {visible(workload.name)} in namespace {visible(workload.namespace)}, cluster {visible(workload.cluster)}"
    lines = [f"Right-sizing of {place} (aiops-analysis, from measured history)."]
    if about.evidence:
        lines.append(f"Evidence: history {about.evidence}")
    if not all(kubernetes_name(name) for name in (workload.namespace, workload.name, *(one.name for one in workload.containers))):
        lines.append(
            "A name here is none that Kubernetes accepts: everything is quoted, but look where it comes from before you use this file."
        )
    return [*lines, ""]


def changes(workload: Workload, about: About, steps: Sequence[str]) -> list[str]:
    """The lines above a patch of a workload; ``steps`` are its commands."""
    lines = title(workload, about)
    for container in workload.changed:
        lines.append(f"container {visible(container.name)}" + (" (native sidecar)" if container.role == "sidecar" else ""))
        for size in container.changed:
            lines += _change(size, about.currency)
    lines += [f"container {visible(name)} is injected and not in this file" for name in workload.injected]
    lines += _effect(workload)
    for scaler in workload.scalers:
        other = file_name(workload.namespace, SCALER, scaler.name)
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
        lines.append("The limit goes away; a LimitRange of the namespace may put its default there.")
    if workload.kind == "CronJob":
        lines.append("Takes effect at the next run.")
    elif workload.kind == "ReplicaSet":
        lines.append("Running pods stay as they are until they are replaced.")
    else:
        lines.append("Changes the pod template, so the pods are replaced by the workload's update strategy.")
    if sizes and all(size.takes_effect == "in place" for size in sizes):
        lines.append("A running pod could also take it in place (resize, Kubernetes 1.33 and later); this file does not do that.")
    return lines


def _first(scaler: Scaler) -> str:
    """Which of the two goes first, so that the moment between them adds pods and takes none away."""
    return "the autoscaler first, then the request" if scaler.raises else "the request first, then the autoscaler"


def scaler_changes(workload: Workload, scaler: Scaler, about: About, beside: str, steps: Sequence[str]) -> list[str]:
    """The lines above a patch of an autoscaler; ``beside`` is the file that goes with it."""
    return [
        *title(workload, about),
        f"HorizontalPodAutoscaler {visible(scaler.name)}: target utilisation of {scaler.resource} {scaler.now} % -> {scaler.new} %.",
        "The target is a share of the request, so it changes with it: the pods stay as many as they were.",
        f"Goes together with {beside}: {_first(scaler)}.",
        "A JSON patch of one number on purpose: a strategic merge replaces the whole list of metrics. A test refuses where the metric",
        "stands elsewhere in the list, is of another type, or has another target by now.",
        *([""] if steps else []),
        *steps,
    ]
