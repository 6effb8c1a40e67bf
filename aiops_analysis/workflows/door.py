"""What was not taken as the server gave it: which values of which containers were left out or repaired, and why (methods.md I-11)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from aiops_analysis.core.schema import GROUP, METRICS
from aiops_analysis.core.window import Window
from aiops_analysis.history.store import Manifest, Store

__all__ = ["door_findings", "left_out", "left_out_by_container"]

_MOST_NAMED = 5
_MOST_KEPT = 50
_IMPOSSIBLE: Mapping[str, str] = {
    "above_capacity": "above 1.05 times what the node has, and left out",
    "negative": "negative, and left out",
    "nan": "no number (NaN), and left out",
    "infinite": "infinite or too large, and left out",
    "unreadable": "no number at all, and left out",
    "histogram": "a histogram, and left out",
    "two_in_one": "of a series with more than one value in many steps, and left out: two things share its name",
}
_REPAIRED: Mapping[str, str] = {
    "crowded": "too many for their step, of which the nearest counts",
    "duplicate": "of a series that came twice, of which the first counts",
    "outside": "of a time that was not asked for, and left out",
    "unsorted": "back in time, and put in order",
    "off_grid": "between two steps, and put on the nearest",
    "bad_text": "under a name with unreadable bytes, which are shown as escapes",
}


def left_out(manifest: Manifest) -> int:
    """How many impossible values of a day were left out; what was only out of order or there twice is not one."""
    return sum(int(str(entry["count"])) for entry in manifest.dropped if entry["kind"] not in _REPAIRED)


def left_out_by_container(manifests: Iterable[Manifest]) -> Counter[tuple[str, ...]]:
    """How many impossible values of each workload-container (GROUP) were left out, where the day says whose they were."""
    counts: Counter[tuple[str, ...]] = Counter()
    for manifest in manifests:
        for entry in manifest.dropped:
            if "workload" in entry and entry["kind"] not in _REPAIRED:
                counts[tuple(str(entry[name]) for name in GROUP)] += int(str(entry["count"]))
    return counts


def door_findings(store: Store, window: Window) -> list[dict[str, object]]:
    """One finding for each kind of oddness in the window: how many values, of which containers first, and what was done."""
    total: Counter[str] = Counter()
    named: dict[str, Counter[str]] = {}
    for metric in METRICS:
        for manifest in store.manifests(metric, window.days()).values():
            for entry in manifest.dropped:
                kind, count = str(entry["kind"]), int(str(entry["count"]))
                total[kind] += count
                if "workload" in entry:
                    whose = "/".join(str(entry[name]) for name in ("namespace", "workload", "container"))
                    named.setdefault(kind, Counter())[f"{metric} of {whose}"] += count
    return [_finding(kind, total[kind], named.get(kind, Counter())) for kind in (*_IMPOSSIBLE, *_REPAIRED) if total[kind]]


def _finding(kind: str, count: int, named: Counter[str]) -> dict[str, object]:
    what = _IMPOSSIBLE.get(kind) or _REPAIRED[kind]
    ranked = sorted(named.items(), key=lambda item: (-item[1], item[0]))
    shown = ", ".join(f"{name} ({number})" for name, number in ranked[:_MOST_NAMED])
    more = f" and {len(ranked) - _MOST_NAMED} more" if len(ranked) > _MOST_NAMED else ""
    message = f"{count} {'value was' if count == 1 else 'values were'} {what}{f': {shown}{more}' if shown else ''}"
    data = {"kind": kind, "count": count, "series": dict(ranked[:_MOST_KEPT])}
    return {"code": "repaired_values" if kind in _REPAIRED else "dropped_values", "message": message, "data": data}
