"""What happened and what burst in one day: restarts, kills for memory, and the largest short rates (methods.md I-2, A6, A7)."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import pandas as pd

from aiops_analysis.core.schema import BURST, LABELS, check, empty
from aiops_analysis.core.window import steps_of
from aiops_analysis.workflows.objects import Answer, Owners

__all__ = ["Valued", "bursts", "events", "owned"]


class Valued(Protocol):
    """What an instant answer has: labels and one value each."""

    @property
    def labels(self) -> list[dict[str, str]]:
        """Label sets."""

    @property
    def values(self) -> np.ndarray:
        """Values."""


def owned(answer: Answer, owners: Owners) -> tuple[pd.DataFrame, np.ndarray]:
    """Series under their workload's name; a series without pod or container is none of ours."""
    keep = [i for i, m in enumerate(answer.labels) if m.get("pod") and m.get("container")]
    rows = []
    for i in keep:
        m = answer.labels[i]
        namespace = m.get("namespace", "")
        rows.append((namespace, *owners.of(namespace, m["pod"]), m["pod"], m["container"]))
    samples = answer.samples if len(keep) == len(answer.labels) else answer.samples[keep]
    return pd.DataFrame(rows, columns=list(LABELS), dtype="str"), samples if rows else np.empty((0, steps_of()), np.float32)


def _increments(samples: np.ndarray) -> np.ndarray:
    """Events of each step from raw counter values [rows, steps + 1]: differences, the value itself after a reset, NaN where not seen.

    The first value of a series is where counting starts, not an event.
    """
    position = np.where(np.isnan(samples), -1, np.arange(samples.shape[1]))
    last = np.maximum.accumulate(position, axis=1)
    before = np.take_along_axis(samples, np.maximum(last[:, :-1], 0), axis=1)
    now = samples[:, 1:]
    difference = np.where(last[:, :-1] < 0, 0.0, now - before)
    return np.where(np.isnan(now), np.nan, np.where(difference < 0, now, difference)).astype(np.float32)


def events(
    restarts: Answer, reason: Answer, kills: Answer, owners: Owners
) -> tuple[tuple[pd.DataFrame, np.ndarray], tuple[pd.DataFrame, np.ndarray]]:
    """Restarts and kills for memory: a restart whose last reason is OOMKilled, united with the kernel's own counter (methods.md A6)."""
    labels, raw = owned(restarts, owners)
    counted = _increments(raw) if len(labels) else np.empty((0, steps_of()), np.float32)
    flags, flagged = owned(reason, owners)
    events, raw_events = owned(kills, owners)
    seen: dict[tuple[str, ...], np.ndarray] = {}
    row_of = {key: i for i, key in enumerate(labels.itertuples(index=False, name=None))}
    for i, key in enumerate(flags.itertuples(index=False, name=None)):
        if key in row_of:
            # the reason may be scraped a step after the counter
            after = np.nan_to_num(flagged[i, 1:]) + np.nan_to_num(np.append(flagged[i, 2:], flagged[i, -1:]))
            seen[key] = np.where(after > 0, np.nan_to_num(counted[row_of[key]]), 0)
    if len(events):
        for key, row in zip(events.itertuples(index=False, name=None), np.nan_to_num(_increments(raw_events)), strict=True):
            seen[key] = np.maximum(seen.get(key, np.zeros(steps_of())), row)
    keys = [key for key, row in seen.items() if row.any()]
    killed = np.array([seen[key] for key in keys], np.float32).reshape(len(keys), steps_of())
    some = np.flatnonzero(np.nan_to_num(counted).any(axis=1))
    return (labels.iloc[some].reset_index(drop=True), counted[some]), (pd.DataFrame(keys, columns=list(LABELS), dtype="str"), killed)


def bursts(largest: Valued, p999: Valued, owners: Owners) -> pd.DataFrame:
    """BURST of one day from the answers to ``promql.burst_queries``."""
    frames = []
    for name, answer in (("cpu_max", largest), ("cpu_p999", p999)):
        rows = [
            (m.get("namespace", ""), *owners.of(m.get("namespace", ""), m["pod"]), m["pod"], m["container"], v) for m, v in _named(answer)
        ]
        frames.append(pd.DataFrame(rows, columns=[*LABELS, name]).astype(dict.fromkeys(LABELS, "str") | {name: "float64"}))
    if not len(frames[0]):
        return empty(BURST)
    return check(frames[0].merge(frames[1], on=list(LABELS), how="left"), BURST)


def _named(answer: Valued) -> list[tuple[dict[str, str], float]]:
    return [(m, float(v)) for m, v in zip(answer.labels, answer.values, strict=True) if m.get("pod") and m.get("container")]
