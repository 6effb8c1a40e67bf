"""Words that every reader of Kubernetes objects shares: the lists of one look at the API, names, owners, exact quantities.

An object is what the API sent, plain JSON; whatever is missing or of another type reads as empty, because a recorded or custom object
may lack anything.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from aiops_analysis.core.errors import UsageError
from aiops_analysis.core.names import visible
from aiops_analysis.core.units import parse_cpu, parse_memory
from aiops_analysis.core.window import STEP, day_start

__all__ = ["Look", "Objects", "controller_of", "items_of", "key_of", "mapping_at", "moment_of", "quantity", "text_at"]

Object = Mapping[str, Any]
_MOST_NOTES = 200


@dataclass(frozen=True)
class Objects:
    """The lists of one look at the API: ``lists`` by plural name, and why a list is ``missing`` (a 403, a 404, no answer)."""

    lists: Mapping[str, Sequence[Object]] = field(default_factory=dict)
    missing: Mapping[str, str] = field(default_factory=dict)

    def of(self, plural: str) -> Sequence[Object]:
        """The objects of a list; none when it could not be read."""
        return self.lists.get(plural, ())


@dataclass
class Look:
    """One look at a cluster: its moment, and what was odd about the objects, each text once."""

    at: datetime
    notes: list[str] = field(default_factory=list)

    def note(self, text: str) -> None:
        """Remember something odd; the two hundredth is the last."""
        if text not in self.notes and len(self.notes) < _MOST_NOTES:
            self.notes.append(text)

    def span(self, since: datetime | None = None) -> tuple[datetime, datetime]:
        """The step of the look, half-open; from ``since`` on (within the day) for what is known to have been there before."""
        start = day_start(self.at.astimezone(UTC).date())
        first = last = self._step(self.at, start)
        if since is not None and since < self.at:
            first = self._step(max(since, start), start)
        return start + timedelta(seconds=first * STEP), start + timedelta(seconds=(last + 1) * STEP)

    @staticmethod
    def _step(moment: datetime, start: datetime) -> int:
        return int((moment - start).total_seconds()) // STEP


def mapping_at(value: object, *path: str) -> Mapping[str, Any]:
    """The mapping at a path of an object; empty where there is none."""
    for part in path:
        value = value.get(part) if isinstance(value, Mapping) else None
    return value if isinstance(value, Mapping) else {}


def items_of(value: object, *path: str) -> list[Mapping[str, Any]]:
    """The mappings of a list at a path; null, a missing list and anything else in it read as nothing."""
    holder = mapping_at(value, *path[:-1])
    found = holder.get(path[-1])
    return [item for item in found if isinstance(item, Mapping)] if isinstance(found, list) else []


def text_at(value: object, *path: str) -> str:
    """The text at a path, "" where there is none."""
    found = mapping_at(value, *path[:-1]).get(path[-1])
    return found if isinstance(found, str) else ""


def key_of(item: Object) -> tuple[str, str]:
    """Namespace and name of an object."""
    return text_at(item, "metadata", "namespace"), text_at(item, "metadata", "name")


def moment_of(text: str) -> datetime | None:
    """The UTC time of an API time stamp, None for anything else."""
    try:
        moment = datetime.fromisoformat(text)
        return moment.astimezone(UTC) if moment.tzinfo is not None else None
    except (ValueError, OverflowError):
        return None


def controller_of(item: Object) -> tuple[str, str] | None:
    """Kind and name of the controller of an object; the only owner where an old object does not say which one controls it."""
    owners = list(_owners(item))
    for owner in owners:
        if owner.get("controller") is True:
            return text_at(owner, "kind"), text_at(owner, "name")
    if len(owners) == 1 and "controller" not in owners[0]:
        return text_at(owners[0], "kind"), text_at(owners[0], "name")
    return None


def _owners(item: Object) -> Iterator[Object]:
    for owner in items_of(item, "metadata", "ownerReferences"):
        if text_at(owner, "kind") and text_at(owner, "name"):
            yield owner


def quantity(value: object, resource: str, where: str, look: Look) -> float:
    """A quantity as a number [cores | bytes], NaN when it is not set; one that cannot be meant is noted by name and NaN (row 27)."""
    if value is None or value == "":
        return math.nan
    text = value if isinstance(value, str) else str(value)
    try:
        return parse_memory(text) if resource == "memory" else parse_cpu(text)
    except UsageError as error:
        look.note(f"{visible(where)}: {error}")
        return math.nan
