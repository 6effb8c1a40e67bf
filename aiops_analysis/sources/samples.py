"""How far apart the stored samples of a day are: the scrape interval, and whether a store kept averages only (methods.md I-3, I-8).

The samples of a few long-lived containers of one day are looked at as they are stored, by an instant query of a range selector.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Protocol

import numpy as np

from aiops_analysis.core.errors import AiopsError, SourceRefused, SourceUnreachable
from aiops_analysis.sources import promql
from aiops_analysis.sources.flavours import Flavour, left_open
from aiops_analysis.sources.promql import Scope

__all__ = ["Spacing", "spacing", "spacing_of"]

_MEMORY = "container_memory_working_set_bytes"  # a gauge: Thanos adds samples to counters
_RATE_S = 300  # [s] the window of our rates
_FEWEST = 4  # samples that a rate window should hold (methods.md I-3)
_SERIES = 3  # looked at
_PART_S = 7200  # [s] of a day over which one interval is told
_SCRAPED_S = 305  # [s] nobody scrapes less often than the five minutes after which a series counts as gone
_DOWNSAMPLED_MS = (3_600_000, 300_000)  # the resolutions of Thanos' blocks
_NO_NAMES: Mapping[str, str] = MappingProxyType({})


class Seen(Protocol):
    """Label sets and their values."""

    @property
    def labels(self) -> list[dict[str, str]]: ...

    @property
    def values(self) -> np.ndarray: ...


class Stored(Protocol):
    """One series as it is stored."""

    @property
    def times(self) -> np.ndarray: ...


class RawSource(Protocol):
    """What looking at samples needs of a source."""

    def instant(self, query: str, at: datetime) -> Seen:
        """Label sets and values at one moment."""

    def series(self, query: str, at: datetime) -> Sequence[Stored]:
        """The samples of a range selector."""


@dataclass(frozen=True, slots=True)
class Spacing:
    """The distance of neighbouring samples of one day.

    ``interval_s`` is the longest that lasted two hours [s], NaN where there are too few samples to say; ``shortest_s`` the shortest
    such; ``resolution_s`` is what a store that downsamples has kept [s], 0 for samples as they were scraped.
    """

    interval_s: float = float("nan")
    shortest_s: float = float("nan")
    resolution_s: int = 0

    @property
    def known(self) -> bool:
        """False where the day had too few samples to say."""
        return bool(np.isfinite(self.interval_s))

    @property
    def changed(self) -> bool:
        """True when the interval became at least one and a half times as long during the day, or as short."""
        return self.known and self.interval_s >= 1.5 * self.shortest_s

    @property
    def too_long(self) -> bool:
        """True when a five-minute rate holds fewer than four samples."""
        return self.known and self.interval_s > _RATE_S / _FEWEST

    def as_source(self) -> dict[str, str]:
        """The entries of a manifest's ``source``: ``scrape_interval_s`` and ``resolution_s``; empty where nothing is known."""
        if not self.known:
            return {}
        return {"scrape_interval_s": f"{self.interval_s:g}", "resolution_s": str(self.resolution_s)}

    def texts(self, flavour: Flavour) -> tuple[str, ...]:
        """What a reader of the day must know, each one sentence with what to do; nothing for a day that is as it should be."""
        if self.resolution_s:
            text = (
                f"downsampled: one value every {self.resolution_s} s instead of each scrape, so peaks are flattened and a 5-minute rate "
                "has too few samples; pull days before the store reduces them"
            )
            return (text,)
        if not self.too_long:
            return ()
        how = f"every {self.shortest_s:.0f} s and every {self.interval_s:.0f} s" if self.changed else f"every {self.interval_s:.0f} s"
        none = left_open(flavour) and self.interval_s >= _RATE_S
        holds = "holds one sample, which gives no rate (Prometheus 3 leaves out the left edge)" if none else "has too few samples"
        return (f"scraped {how}: a 5-minute rate {holds}; scrape cAdvisor at least every {_RATE_S // _FEWEST} s",)


def spacing(times: Sequence[np.ndarray]) -> Spacing:
    """The spacing of the samples of some series over one day [Unix s, ascending each].

    The day is cut in two-hour parts; the interval of a part is the lower median of the distances that end in it, so that holes and
    single lost scrapes do not count. Parts with fewer than two distances say nothing.
    """
    stamps = [np.unique(one) for one in times]
    ends = np.concatenate([one[1:] for one in stamps] or [np.empty(0)])
    gaps = np.concatenate([np.diff(one) for one in stamps] or [np.empty(0)])
    if len(gaps) < 2:
        return Spacing()
    part = (ends // _PART_S).astype(np.int64)
    inside = [np.sort(gaps[part == number]) for number in np.unique(part)]
    medians = [float(one[(len(one) - 1) // 2]) for one in inside if len(one) >= 2]
    if not medians:
        return Spacing()
    longest = max(medians)
    return Spacing(longest, min(medians), _resolution(np.concatenate(stamps), longest))


def _resolution(stamps: np.ndarray, interval_s: float) -> int:
    """What a store has reduced samples to [s]: Thanos puts them on the last millisecond of each window; 0 for samples as scraped."""
    milliseconds = np.rint(stamps * 1000).astype(np.int64)
    for window in _DOWNSAMPLED_MS:
        if interval_s * 1000 >= 0.9 * window and (milliseconds % window == window - 1).mean() > 0.8:
            return window // 1000
    return round(interval_s) if interval_s > _SCRAPED_S else 0


def spacing_of(source: RawSource, at: datetime, scope: Scope, names: Mapping[str, str] = _NO_NAMES) -> Spacing:
    """The spacing of the samples of the day that ends at ``at``, by three small questions: which namespace is small, who was seen
    longest in it, and those containers' samples.

    Nothing is known where a server refuses such a question. Raises SourceUnreachable and SourceRefused.
    """
    try:
        return spacing([one.times for one in _stored(source, at, scope, names)])
    except (SourceUnreachable, SourceRefused):
        raise
    except AiopsError:  # too large for it, or an API that knows no range selectors here: no reason to lose the day
        return Spacing()


def _stored(source: RawSource, at: datetime, scope: Scope, names: Mapping[str, str]) -> Sequence[Stored]:
    """The samples of the last day of the containers that were seen longest in a small namespace."""
    namespace = _small(source, at, scope, names)
    if namespace is None:
        return ()
    few = scope.within((namespace,)) if namespace else scope
    seen = source.instant(f"max by (namespace,pod,container) (count_over_time({promql.containers(_MEMORY, few, names)}[1d]))", at)
    ranked = sorted(zip(-np.nan_to_num(seen.values), map(_key, seen.labels), strict=True))[:_SERIES]
    if not ranked:
        return ()
    pods, inner = (tuple(dict.fromkeys(key[place] for _, key in ranked)) for place in (0, 1))
    return source.series(f"{few.select(_MEMORY, promql.matcher('pod', pods), promql.matcher('container', inner), names=names)}[1d]", at)


def _key(labels: Mapping[str, str]) -> tuple[str, str]:
    return labels.get("pod", ""), labels.get("container", "")


def _small(source: RawSource, at: datetime, scope: Scope, names: Mapping[str, str]) -> str | None:
    """The namespace with the fewest containers among those with at least three at ``at``, else of all; None where there is none."""
    counts = source.instant(promql.namespaces_query(scope, names), at)
    sizes = sorted((float(count), labels.get("namespace", "")) for labels, count in zip(counts.labels, counts.values, strict=True))
    enough = [name for count, name in sizes if count >= _SERIES] or [name for _, name in sizes]
    return enough[0] if enough else None
