"""PodMetrics of metrics.k8s.io as single measurements."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from aiops_analysis.sources.kube_parts import Look, items_of, key_of, mapping_at, moment_of, quantity, text_at

__all__ = ["Measured", "measured_of"]

_DURATION = re.compile(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+(?:\.\d*)?)s)?", re.ASCII)
_LONGEST = timedelta(minutes=10)
_SKEW = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class Measured:
    """What one container used [cores | bytes], and the middle of the time in which that was measured; ``stamp`` tells repeats apart."""

    namespace: str
    pod: str
    container: str
    at: datetime
    stamp: str
    cpu: float
    memory: float


def measured_of(items: Iterable[Mapping[str, Any]], look: Look) -> list[Measured]:
    """Every container of the answers; without a time stamp the look's own time counts, one off by more than ten minutes is left out."""
    out = []
    for item in items:
        namespace, pod = key_of(item)
        stamp = text_at(item, "timestamp")
        at = moment_of(stamp) or look.at
        if abs(at - look.at) > _SKEW:
            look.note("metrics whose time is more than 10 minutes from the clock here were left out: are the nodes' clocks right?")
            continue
        middle = at - _window(text_at(item, "window")) / 2
        for container in items_of(item, "containers"):
            name, usage = text_at(container, "name"), mapping_at(container, "usage")
            where = f"metrics of {namespace}/{pod} {name}"
            cpu, memory = (quantity(usage.get(resource), resource, f"{where} {resource}", look) for resource in ("cpu", "memory"))
            if name and not (math.isnan(cpu) and math.isnan(memory)):
                out.append(Measured(namespace, pod, name, middle, stamp, cpu, memory))
    return out


def _window(text: str) -> timedelta:
    """The length of a Go duration such as 15.5s or 1m0s; none for anything else or for more than ten minutes."""
    match = _DURATION.fullmatch(text)
    hours, minutes, seconds = (float(part or 0) for part in match.groups()) if match is not None else (0.0, 0.0, 0.0)
    length = timedelta(seconds=min(hours * 3600 + minutes * 60 + seconds, 86_400.0))
    return length if length <= _LONGEST else timedelta(0)
