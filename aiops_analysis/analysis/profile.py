"""When a workload-container uses what: P95 of business hours, nights and weekends, and the cluster's week (methods.md I-5, I-10, I-12)."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from aiops_analysis.analysis.hours import Calendar, HoursPolicy, calendar_of
from aiops_analysis.analysis.statistics import quantile_of_sorted
from aiops_analysis.core.contract import Contract
from aiops_analysis.core.errors import SchemaError
from aiops_analysis.core.schema import GROUP, check, empty
from aiops_analysis.core.window import Window

__all__ = ["PROFILE", "WEEK", "Totals", "profile_of_block", "totals_of_block", "week_of"]

#: One row per workload-container and resource: its use by local hours. NaN is "no sample in such hours".
PROFILE = Contract(
    "profile",
    {
        "namespace": "str",
        "workload_kind": "str",
        "workload": "str",
        "container": "str",
        "resource": "str",
        "business_p95": "float64",  # [cores | bytes], so the next four
        "off_p95": "float64",  # all hours that are not business hours
        "weekend_p95": "float64",
        "weekday_p95": "float64",  # all hours of the days that are not weekend
        "night_p95": "float64",
        "weekend_ratio": "float64",  # weekend P95 / weekday P95
        "weekends": "int64",  # weekends with at least 12 h of samples
        "weekend_dip": "bool",  # the ratio is below the policy's, on enough weekends
        "off_idle": "float64",  # share of the samples outside business hours at or below idle_level x the business P95
        "samples_business": "int64",
        "samples_off": "int64",
    },
    ("namespace", "workload_kind", "workload", "container", "resource"),
)

#: 168 rows a resource: the week of the whole cluster in local hours; p95 is of the sums over containers, requested their mean request.
WEEK = Contract(
    "week",
    {"weekday": "int64", "hour": "int64", "resource": "str", "p95": "float64", "requested": "float64"},
    ("weekday", "hour", "resource"),
)

_P = 0.95
_CHUNK = 2**20  # values handled at once: 4 MB stay in the cache
_HALF_DAY = 0.5
_MOST_MISSING = 0.1  # of the series that run in a step; a sum of fewer is left out (methods.md I-5)
_FLOAT32_MAX = float(np.finfo(np.float32).max)
_CUTS = ("business", "off", "weekend", "weekday", "night")

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Samples = NDArray[np.float32]


def profile_of_block(
    labels: pd.DataFrame,
    day: NDArray[np.integer],
    samples: Samples,
    *,
    window: Window,
    resource: str,
    hours: HoursPolicy | None = None,
    largest: float = float("inf"),
) -> pd.DataFrame:
    """PROFILE of one block that holds all rows of its workload-containers; pods are pooled, every pod-sample counts once.

    The arguments are those of usage_of_block, and so are the quantiles and what is left out as impossible. Raises SchemaError when the
    arguments do not fit together.
    """
    policy = hours or HoursPolicy()
    days = sum(1 for _ in window.days())
    if not len(labels) == len(day) == len(samples):
        raise SchemaError(f"a profile needs one label row and one day per row of samples, got {len(labels)}, {len(day)} and {len(samples)}")
    if len(samples) == 0:
        return empty(PROFILE)
    if samples.ndim != 2 or int(np.min(day)) < 0 or int(np.max(day)) >= days:
        raise SchemaError(f"a profile needs a matrix and days from 0 to {days - 1}, got days {np.min(day)} to {np.max(day)}")
    groups = labels.groupby(list(GROUP), sort=True)
    code: Ints = groups.ngroup().to_numpy(np.int64)
    figures = _Figures(groups.ngroups)
    calendar = calendar_of(window, policy, samples.shape[1])
    limit = min(largest, _FLOAT32_MAX)
    figures.weekends = _weekends(code, np.asarray(day, np.int64), samples, calendar, limit)
    for codes, index, cuts in _patterns(code, np.asarray(day, np.int64), calendar):
        many = max(1, _CHUNK // (index.shape[1] * samples.shape[1]))
        for at in range(0, len(codes), many):
            figures.measure(codes[at : at + many], _cleaned(samples[index[at : at + many]], limit), cuts, policy)
    first = np.unique(code, return_index=True)[1]
    names = {name: labels[name].iloc[first].to_numpy() for name in GROUP}
    return check(pd.DataFrame({**names, "resource": resource, **figures.columns(policy)}), PROFILE)


def _weekends(code: Ints, day: Ints, samples: Samples, calendar: Calendar, largest: float) -> Ints:
    """Weekends of each group with at least 12 h of usable samples, of those that the window holds for as long."""
    groups, half_day = int(code.max()) + 1, int(samples.shape[1] * _HALF_DAY)
    counts = np.zeros((len(calendar.weekend_steps), groups))
    for number in np.unique(day):
        run = calendar.weekend_run[number]
        if run.max() < 0:
            continue
        rows = np.flatnonzero(day == number)
        part = samples[rows]
        usable = (part >= 0) & (part <= largest)
        for weekend in np.unique(run[run >= 0]):
            counts[weekend] += np.bincount(code[rows], np.count_nonzero(usable[:, run == weekend], axis=1), groups)
    enough: Ints = (counts[calendar.weekend_steps >= half_day] >= half_day).sum(axis=0)
    return enough


def _patterns(code: Ints, day: Ints, calendar: Calendar) -> Iterator[tuple[Ints, Ints, Mapping[str, Ints]]]:
    """Groups with equally many days of each kind: their codes, row numbers [n, rows], and which of the flattened samples each cut takes.

    Days are of one kind when their steps are of the same hours: a clock change apart, there are about four. Every pod-day of a group
    counts alike, so the rows are put in order of their kind, and groups of pods that came and went share a pattern.
    """
    masks = np.concatenate([calendar.business, calendar.weekend, calendar.night], axis=1)
    example, kind_of = np.unique(masks, axis=0, return_index=True, return_inverse=True)[1:]
    kind = kind_of.ravel()[day]
    order = np.lexsort((kind, code))
    edges = np.flatnonzero(np.diff(code[order], prepend=-1, append=-1))
    alike: dict[bytes, list[int]] = defaultdict(list)
    for group, (start, end) in enumerate(itertools.pairwise(edges)):
        alike[kind[order[start:end]].tobytes()].append(group)
    for pattern, groups in alike.items():
        days = example[np.frombuffer(pattern, kind.dtype)]
        index = order[edges[groups][:, None] + np.arange(len(days))]
        business, weekend, night = calendar.business[days], calendar.weekend[days], calendar.night[days]
        cuts = {"business": business, "off": ~business, "weekend": weekend, "weekday": ~weekend, "night": night}
        yield code[index[:, 0]], index, {name: np.flatnonzero(mask) for name, mask in cuts.items()}


def _cleaned(part: Samples, largest: float) -> Samples:
    """Samples of each segment in one row, impossible values as NaN; ``part`` is a copy already."""
    flat = part.reshape(len(part), -1)
    wrong = (flat < 0) | (flat > largest)
    if wrong.any():
        flat[wrong] = np.nan
    return flat


class _Figures:
    """The columns of PROFILE as arrays, one place a group."""

    def __init__(self, groups: int) -> None:
        self.p95: dict[str, Floats] = {name: np.full(groups, np.nan) for name in _CUTS}
        self.samples: dict[str, Ints] = {name: np.zeros(groups, np.int64) for name in _CUTS}
        self.weekends: Ints = np.zeros(groups, np.int64)
        self.idle: Floats = np.full(groups, np.nan)

    def measure(self, codes: Ints, flat: Samples, cuts: Mapping[str, Ints], policy: HoursPolicy) -> None:
        """Fill in some groups from their samples [n, values], all but the weekends."""
        holes = bool(np.isnan(flat).any())
        for name in _CUTS:  # business comes first: it is what idle is measured by
            part = flat.take(cuts[name], axis=1, mode="clip")  # no index is outside; clipping skips the question
            count = part.shape[1] - (np.count_nonzero(np.isnan(part), axis=1) if holes else np.zeros(len(part), np.int64))
            if name == "off":
                level = _rounded_down(policy.idle_level * self.p95["business"][codes])
                idle = np.count_nonzero(part <= level[:, None], axis=1)
                self.idle[codes] = np.where(np.isfinite(level) & (count > 0), idle / np.maximum(count, 1), np.nan)
            self.p95[name][codes], self.samples[name][codes] = _p95(part, count), count

    def columns(self, policy: HoursPolicy) -> dict[str, object]:
        """The measured columns of PROFILE."""
        weekday, weekend = self.p95["weekday"], self.p95["weekend"]
        ratio = np.divide(weekend, weekday, out=np.full(len(weekday), np.nan), where=weekday > 0)
        return {
            **{f"{name}_p95": self.p95[name] for name in _CUTS},
            "weekend_ratio": ratio,
            "weekends": self.weekends,
            "weekend_dip": (ratio < policy.dip) & (self.weekends >= policy.min_weekends),
            "off_idle": self.idle,
            "samples_business": self.samples["business"],
            "samples_off": self.samples["off"],
        }


def _rounded_down(values: Floats) -> Samples:
    """The largest float32 that is not above each value: a float32 sample is at most a float64 level exactly when it is at most that."""
    single = values.astype(np.float32)
    return np.where(single > values, np.nextafter(single, np.float32(-np.inf)), single)


def _p95(part: Samples, count: Ints) -> Floats:
    """P95 of each row, in its own memory: only what is above the lowest rank that a row asks for is put in order, NaN last."""
    if part.shape[1] == 0:
        return np.full(len(part), np.nan)
    rank = max(0, int(_P * (int(count.min()) - 1)))
    part.partition(rank, axis=1)
    part[:, rank:].sort(axis=1)
    return quantile_of_sorted(part, count, _P)


@dataclass(frozen=True, slots=True)
class Totals:
    """Sums over series at each step of a window, as matrices [UTC days, steps]; blocks of a window add up.

    expected : series between their first and their last sample of the day. seen : those of them with a sample.
    """

    value: Floats
    seen: Ints
    expected: Ints

    def __add__(self, other: Totals) -> Totals:
        return Totals(self.value + other.value, self.seen + other.seen, self.expected + other.expected)

    def usable(self) -> Floats:
        """The sums, NaN in steps where more than a tenth of the running series have no sample, or none runs (methods.md I-5)."""
        enough = (self.seen > 0) & (self.seen >= (1 - _MOST_MISSING) * self.expected)
        return np.where(enough, self.value, np.nan)


def totals_of_block(day: NDArray[np.integer], samples: Samples, *, days: int, largest: float = float("inf")) -> Totals:
    """Totals of the rows of one block; impossible values are missing."""
    steps = samples.shape[1]
    value, seen, expected = np.zeros((days, steps)), np.zeros((days, steps), np.int64), np.zeros((days, steps), np.int64)
    for number in np.unique(day):
        flat = _cleaned(samples[day == number], min(largest, _FLOAT32_MAX))
        missing = np.isnan(flat)
        if not missing.any():
            value[number], seen[number], expected[number] = flat.sum(axis=0, dtype=np.float64), len(flat), len(flat)
            continue
        value[number] = np.where(missing, np.float32(0), flat).sum(axis=0, dtype=np.float64)
        seen[number] = (~missing).sum(axis=0)
        some = ~missing.all(axis=1)
        first, last = (~missing).argmax(axis=1)[some], steps - 1 - (~missing)[:, ::-1].argmax(axis=1)[some]
        edges = np.bincount(first, minlength=steps + 1) - np.bincount(last + 1, minlength=steps + 1)
        expected[number] = np.cumsum(edges)[:steps]
    return Totals(value, seen, expected)


def week_of(totals: Totals, requested: Floats, *, window: Window, resource: str, hours: HoursPolicy | None = None) -> pd.DataFrame:
    """WEEK of a cluster: for each local weekday and hour the P95 of the summed usage, and the mean of what was requested.

    The sum over containers comes first, then the quantile (methods.md I-12). requested : [UTC days, steps], NaN where it is not known.
    An hour without a usable step has NaN. Raises SchemaError when the matrices are not those of the window.
    """
    calendar = calendar_of(window, hours or HoursPolicy(), totals.value.shape[1])
    if not totals.value.shape == requested.shape == calendar.hour.shape:
        raise SchemaError(f"a week needs sums and requests of {calendar.hour.shape}, got {totals.value.shape} and {requested.shape}")
    cell = calendar.weekday.astype(np.int64).ravel() * 24 + calendar.hour.ravel()
    used, asked = totals.usable().ravel(), requested.ravel()
    order = np.lexsort((used, cell))  # NaN last in each cell
    parts = np.split(used[order], np.searchsorted(cell[order], np.arange(1, 168)))
    width = max(len(part) for part in parts)
    matrix = np.stack([np.pad(part, (0, width - len(part)), constant_values=np.nan) for part in parts])
    count = np.bincount(cell[~np.isnan(used)], minlength=168)
    known = ~np.isnan(asked)
    number = np.bincount(cell[known], minlength=168)
    mean = np.bincount(cell[known], asked[known], 168) / np.where(number > 0, number, np.nan)
    weekday, hour = np.divmod(np.arange(168), 24)
    p95 = quantile_of_sorted(matrix, count, _P)
    return check(pd.DataFrame({"weekday": weekday, "hour": hour, "resource": resource, "p95": p95, "requested": mean}), WEEK)
