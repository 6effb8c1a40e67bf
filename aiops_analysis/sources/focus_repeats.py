"""Charges that an export holds more than once. FOCUS gives a row no number, so two equal rows of one file may both be right.

Equal rows of one file are kept and counted. A row that an earlier file of the folder has too was delivered twice and is left out.
Where two files know the same hours with other amounts, one is a newer delivery of the other, and only a person knows which.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from aiops_analysis.core.errors import UsageError

__all__ = ["Repeats"]

_RESTATED = 0.1  # share of a file's rows that is no accident any more
_FEWEST = 5
_AMOUNTS = ("EffectiveCost", "BilledCost", "PricingQuantity", "currency", "key", "row")


class Repeats:
    """Remembers 8 bytes of each row of the machines that are looked for, twice where there are several files."""

    def __init__(self, *, several: bool) -> None:
        self.several, self.dropped, self.restated = several, 0, 0
        self._kept: list[np.ndarray] = []
        self._now: list[tuple[np.ndarray, np.ndarray]] = []
        self._before = (np.empty(0, np.uint64), np.empty(0, np.uint64))  # rows and charges of earlier files, ascending
        self._restated_now, self._rows_now = 0, 0

    def fresh(self, frame: pd.DataFrame) -> np.ndarray:
        """True for the rows that no earlier file has delivered; they count as kept."""
        rows = _hash(frame, [name for name in frame.columns if name not in ("key", "row")])
        if not self.several:
            self._kept.append(rows)
            return np.ones(len(frame), bool)
        charges = _hash(frame, [name for name in frame.columns if name not in _AMOUNTS])
        again = np.isin(rows, self._before[0])
        self.dropped += int(again.sum())
        self._restated_now += int((np.isin(charges, self._before[1]) & ~again).sum())
        self._rows_now += len(frame)
        self._now.append((rows, charges))
        self._kept.append(rows[~again])
        return ~again

    def close_file(self, name: str) -> None:
        """A file is over; raises UsageError when it delivers hours of earlier files with other amounts."""
        if self._restated_now >= _FEWEST and self._restated_now > _RESTATED * self._rows_now:
            raise UsageError(
                f"{name} has {self._restated_now} charges of resources and hours that another file of the folder has with other amounts; "
                "leave only the newest export of each period in the folder"
            )
        if self._now:
            self._before = tuple(  # type: ignore[assignment]
                np.union1d(old, np.concatenate(new)) for old, new in zip(self._before, zip(*self._now, strict=True), strict=True)
            )
        self.restated += self._restated_now
        self._now, self._restated_now, self._rows_now = [], 0, 0

    def identical(self) -> tuple[int, int]:
        """How many kept rows repeat an earlier one of their file, and the place of the first such among all kept rows (-1)."""
        rows = np.concatenate([np.empty(0, np.uint64), *self._kept])
        firsts = np.unique(rows, return_index=True)[1]
        if len(firsts) == len(rows):
            return 0, -1
        later = np.ones(len(rows), bool)
        later[firsts] = False
        return int(later.sum()), int(np.flatnonzero(later)[0])


def _hash(frame: pd.DataFrame, names: Sequence[str]) -> np.ndarray:
    return pd.util.hash_pandas_object(frame[sorted(names)], index=False).to_numpy()
