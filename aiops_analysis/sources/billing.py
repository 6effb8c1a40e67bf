"""What a FOCUS billing export says about some machines in a window, read in parts: a 5 GB file needs no 5 GB (methods.md B6).

Only the charges of the machines that are looked for are kept; of everything else there are sums. Sums are added row by row in the
order of the files, so that the size of the parts changes nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from aiops_analysis.core.errors import UsageError
from aiops_analysis.core.names import visible
from aiops_analysis.core.spans import merged
from aiops_analysis.core.window import Window
from aiops_analysis.sources.focus_files import CHUNK, chunks, export_files, shown
from aiops_analysis.sources.focus_kinds import BASES, Kinds, kinds_of
from aiops_analysis.sources.focus_repeats import Repeats
from aiops_analysis.sources.focus_rows import Values

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

__all__ = ["Export", "Finder", "read_export"]

_EXAMPLES = 3
_CURRENCIES = 500  # sums that are kept, four kinds for each currency
_KNOWN = 100_000  # resources whose machine is remembered
_RESOURCE = ("ResourceId", "ResourceName", "Provider", "Tags")
#: What tells one charge from another, beside its period.
_IDENTITY = (
    *_RESOURCE,
    "ChargeClass",
    "SkuId",
    "SkuPriceId",
    "PricingUnit",
    "PricingCategory",
    "CommitmentDiscountId",
    "CommitmentDiscountStatus",
    "PricingQuantity",
)


class Finder(Protocol):
    """What tells which of the machines that are looked for a charge is about."""

    @property
    def by_tags(self) -> bool:
        """True when tags are needed to tell."""

    def find(self, resource_id: str, resource_name: str, provider: str, tags: str) -> int:
        """The number of the machine, or -1."""


@dataclass(slots=True)
class Export:
    """A billing export, reduced to one window and the machines that were looked for; money by basis as in ``BASES``."""

    charges: pd.DataFrame  # key, start, end [Unix s], EffectiveCost, BilledCost: hours of our machines in the window
    files: tuple[str, ...] = ()
    rows: int = 0  # read
    resource_ids: dict[int, str] = field(default_factory=dict)  # as the export writes them, by key
    currencies: Counter[str] = field(default_factory=Counter)  # of the charges, in rows
    sums: dict[tuple[str, str], np.ndarray] = field(default_factory=dict)  # (what, currency) -> money in the window
    counts: Counter[str] = field(default_factory=Counter)  # rows by what they are
    covered: tuple[np.ndarray, np.ndarray] = field(default_factory=lambda: (np.empty(0, np.int64), np.empty(0, np.int64)))
    period: tuple[int, int] | None = None  # first and last second of all hours of computers, in the window or not
    strangers: list[str] = field(default_factory=list)  # the first resource ids in the window that are none of ours
    repeated: str = ""  # the resource of the first row that repeats another

    def money(self, what: str, currency: str) -> np.ndarray:
        """The sum in the window of compute, credits, unused or other_units, by basis; 0 where there was none."""
        return self.sums.get((what, currency), np.zeros(len(BASES)))


def read_export(path: Path, finder: Finder, window: Window, *, chunk: int = CHUNK) -> Export:
    """The charges of the machines that ``finder`` knows, and the sums of the rest.

    Raises UsageError in one line: no such file, a missing column, a value that is none, two currencies of our machines, files that
    deliver the same hours with other amounts.
    """
    files = export_files(path)
    reading, repeats = _Reading(finder, window), Repeats(several=len(files) > 1)
    for file in files:
        reading.begin(file)
        for batch in chunks(file, tags=finder.by_tags, chunk=chunk):
            reading.take(batch, repeats)
        repeats.close_file(shown(file))
    return reading.finish(tuple(map(shown, files)), repeats)


class _Reading:
    """Takes batch after batch; what it has learned is an Export."""

    def __init__(self, finder: Finder, window: Window) -> None:
        import pandas as pd

        self.finder, self.start, self.end = finder, int(window.start.timestamp()), int(window.end.timestamp())
        whole, money = np.empty(0, np.int64), np.empty(0)
        nothing = pd.DataFrame({"key": whole, "start": whole, "end": whole} | dict.fromkeys(BASES, money))
        self.out, self.kept, self.first, self.values = Export(nothing), [nothing], 0, Values("")
        self.known: dict[tuple[str, ...], int] = {}

    def begin(self, file: Path) -> None:
        """Another file: rows are counted anew."""
        self.first, self.values = 0, Values(shown(file))

    def take(self, batch: pa.RecordBatch, repeats: Repeats) -> None:
        """One part of a file."""
        kinds = kinds_of(batch, self.values, self.first)
        effective, billed = np.nan_to_num(kinds.costs).T
        charged = kinds.usage & (billed > 0)
        said = {
            "tax": kinds.tax,
            "credits": kinds.apart,
            "unused": kinds.unused,
            "purchases": kinds.commitment & (billed != 0),
            "charged": charged,
            "charged_without_effective": charged & (effective == 0),
        }
        self.out.counts.update({name: int(mask.sum()) for name, mask in said.items()})
        rows = np.flatnonzero(kinds.machine | kinds.apart | kinds.unused)
        if len(rows):
            self._chosen(batch.take(_indices(rows)), kinds.take(rows), rows + self.first + 1, repeats)
        self.out.rows += len(batch)
        self.first += len(batch)

    def _chosen(self, batch: pa.RecordBatch, kinds: Kinds, rows: np.ndarray, repeats: Repeats) -> None:
        """Rows that say something about computers, credits or commitments; ``rows`` are their numbers in the file."""
        start, end = (self.values.times(batch, name, rows) for name in ("ChargePeriodStart", "ChargePeriodEnd"))
        hours, weight = kinds.machine & kinds.hours, _weight(start, end, self.start, self.end)
        currency = _objects(self.values.texts(batch, "BillingCurrency"))
        self._period(start[hours], end[hours], rows[hours])
        for what, mask in (("compute", hours), ("credits", kinds.apart), ("unused", kinds.unused)):
            self._add(what, mask, currency, kinds.costs * weight[:, None])
        near = np.flatnonzero(kinds.machine & (weight > 0))
        if not len(near):
            return
        keys = self._keys(batch.take(_indices(near)), hours[near])
        ours = np.zeros(len(rows), bool)
        ours[near[keys >= 0]] = True
        self.out.counts["other_units"] += int((ours & ~hours).sum())
        self._add("other_units", ours & ~hours, currency, kinds.costs * weight[:, None])
        mine = (keys >= 0) & hours[near]
        place = near[mine]
        if not len(place):
            return
        frame = self._frame(batch.take(_indices(place)))
        said = {"key": keys[mine], "start": start[place], "end": end[place], "currency": currency[place], "row": rows[place]}
        self._keep(frame.assign(**said, **dict(zip(BASES, kinds.costs[place].T, strict=True))), repeats)

    def _frame(self, batch: pa.RecordBatch) -> pd.DataFrame:
        import pandas as pd

        texts = {name: _objects(self.values.texts(batch, name)) for name in _IDENTITY if name in batch.schema.names}
        return pd.DataFrame(texts).astype("str")

    def _keys(self, batch: pa.RecordBatch, hours: np.ndarray) -> np.ndarray:
        """The machine of each row, -1 for none of ours; asked once for each distinct resource."""
        none = [""] * len(batch)
        names = batch.schema.names
        columns = [self.values.texts(batch, name).fill_null("").to_pylist() if name in names else none for name in _RESOURCE]
        distinct = list(zip(*columns, strict=True))
        keys = np.array([self._key(row) for row in distinct], np.int64)
        for place in np.flatnonzero((keys < 0) & hours) if len(self.out.strangers) < _EXAMPLES else ():
            name = distinct[place][0]
            if name and name not in self.out.strangers and len(self.out.strangers) < _EXAMPLES:
                self.out.strangers.append(name)
        return keys

    def _key(self, row: tuple[str, ...]) -> int:
        key = self.known.get(row)
        if key is None:
            if len(self.known) >= _KNOWN:
                self.known.clear()
            key = self.known[row] = self.finder.find(*row)
            if key >= 0:
                self.out.resource_ids.setdefault(key, row[0] or row[1])
        return key

    def _keep(self, frame: pd.DataFrame, repeats: Repeats) -> None:
        """The hours of our machines, less what an earlier file has delivered already."""
        missing = frame.loc[frame["currency"] == "", "row"]
        if len(missing):
            raise UsageError(f"{self.values.where}: BillingCurrency in row {missing.iloc[0]} is empty; every charge has a currency")
        self.out.currencies.update(frame["currency"].tolist())
        frame = frame[repeats.fresh(frame)]
        self.out.counts["corrections"] += int((frame["ChargeClass"] == "Correction").sum())
        self.kept.append(frame[list(self.out.charges.columns)])

    def _period(self, start: np.ndarray, end: np.ndarray, rows: np.ndarray) -> None:
        """Which hours the export knows of."""
        wrong = np.flatnonzero(end <= start)
        if len(wrong):
            raise UsageError(f"{self.values.where}: the charge period in row {rows[wrong[0]]} does not end after it begins")
        if not len(start):
            return
        known = self.out.period or (int(start[0]), int(end[0]))
        self.out.period = min(known[0], int(start.min())), max(known[1], int(end.max()))
        first, last = np.maximum(start, self.start), np.minimum(end, self.end)
        begin, stop = self.out.covered
        self.out.covered = merged(np.concatenate([begin, first]), np.concatenate([stop, last]))

    def _add(self, what: str, mask: np.ndarray, currency: np.ndarray, money: np.ndarray) -> None:
        """Add to the sums of each currency, row by row, so that parts of any size give the same."""
        if len(self.out.sums) > _CURRENCIES:
            raise UsageError(f"{self.values.where}: BillingCurrency holds hundreds of different texts; it is no column of currencies")
        for name in dict.fromkeys(currency[mask].tolist()):
            before = self.out.money(what, name)
            self.out.sums[what, name] = np.cumsum(np.vstack([before, np.nan_to_num(money[mask & (currency == name)])]), axis=0)[-1]

    def finish(self, files: Sequence[str], repeats: Repeats) -> Export:
        """Everything that was read; raises UsageError where there were no rows, or two currencies of our machines."""
        import pandas as pd

        out = self.out
        if not out.rows:
            raise UsageError(f"{visible(', '.join(files), 120)} has columns and no rows; export a period that has charges")
        if len(out.currencies) > 1:
            said = ", ".join(f"{count} rows in {visible(name, 20)}" for name, count in out.currencies.most_common(4))
            raise UsageError(f"the charges of this cluster's nodes are in two currencies ({said}); a report has one, so export one account")
        out.files, out.charges = tuple(files), pd.concat(self.kept, ignore_index=True)
        identical, place = repeats.identical()
        out.repeated = out.resource_ids[int(out.charges["key"].iloc[place])] if identical else ""
        out.counts.update({"identical": identical, "delivered_twice": repeats.dropped, "restated": repeats.restated})
        return out


def _indices(rows: np.ndarray) -> pa.Array:
    import pyarrow as pa

    return pa.array(rows)


def _objects(texts: pa.Array) -> np.ndarray:
    """Texts as Python objects, "" where nothing is written."""
    return np.asarray(texts.fill_null("").to_numpy(zero_copy_only=False), object)


def _weight(start: np.ndarray, end: np.ndarray, first: int, last: int) -> np.ndarray:
    """The share of each charge period that lies in the window; a charge without length counts where it begins."""
    stop = np.maximum(end, start + 1)
    return np.clip((np.minimum(stop, last) - np.maximum(start, first)) / (stop - start), 0, 1)
