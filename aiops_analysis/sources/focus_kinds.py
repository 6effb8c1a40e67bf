"""What each row of a FOCUS export is: hours of a computer, another unit, a credit, tax, a commitment nobody used (methods.md B6)."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from aiops_analysis.sources.focus_rows import Values

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["BASES", "Kinds", "is_hours", "kinds_of"]

#: The two costs a figure may be made of; never both.
BASES = ("EffectiveCost", "BilledCost")
_HOURS = re.compile(r"(?:^|[^a-z])(?:hours?|hrs?|h)(?:[^a-z]|$)|(?:^|[ -])(?:seconds?|minutes?)$")


@dataclass(frozen=True, slots=True)
class Kinds:
    """Masks over the rows of a batch, and their costs."""

    usage: np.ndarray  # of whatever service
    machine: np.ndarray  # usage of compute services, used commitments included
    hours: np.ndarray  # in a unit of time, or a correction that names no unit
    unused: np.ndarray  # what a commitment cost while nobody used it
    apart: np.ndarray  # credits and adjustments
    tax: np.ndarray
    commitment: np.ndarray  # purchases of commitments or computers
    costs: np.ndarray  # [rows, 2] as in BASES, NaN where nothing is written

    def take(self, rows: np.ndarray) -> Kinds:
        """The same of some rows."""
        return Kinds(*(getattr(self, name)[rows] for name in self.__slots__))


def is_hours(unit: str) -> bool:
    """True for a pricing unit of time, such as Hours, OCPU Hours, GiBy.h or Units/Hour; False for GB, Requests or GB-Months.

    >>> [is_hours(unit) for unit in ("Hours", "gibibyte hour", "GiBy.h", "1 Hour", "GB", "GB-Months")]
    [True, True, True, True, False, False]
    """
    return _HOURS.search(unit.lower()) is not None


def kinds_of(batch: pa.RecordBatch, values: Values, first: int) -> Kinds:
    """What the rows of a batch are; ``first`` is the number of rows before it. Raises UsageError for a cost that is no number."""

    def told(name: str, answer: Callable[[str], bool]) -> np.ndarray:
        return _told(values.texts(batch, name), answer)

    def known(name: str) -> np.ndarray:
        return values.texts(batch, name).is_valid().to_numpy(zero_copy_only=False)

    usage, purchase = told("ChargeCategory", "Usage".__eq__), told("ChargeCategory", "Purchase".__eq__)
    compute, plan = told("ServiceCategory", "Compute".__eq__), told("ServiceName", lambda name: "savings plan" in name.lower())
    unused = usage & told("CommitmentDiscountStatus", "Unused".__eq__)
    return Kinds(
        usage=usage,
        machine=usage & compute & ~unused,
        hours=told("PricingUnit", is_hours) | (told("ChargeClass", "Correction".__eq__) & ~known("PricingUnit")),
        unused=unused & (compute | plan),
        apart=told("ChargeCategory", ("Credit", "Adjustment").__contains__),
        tax=told("ChargeCategory", "Tax".__eq__),
        commitment=purchase & (compute | plan | known("CommitmentDiscountId")),
        costs=np.column_stack([values.numbers(batch, name, first) for name in BASES]),
    )


def _told(texts: pa.Array, answer: Callable[[str], bool]) -> np.ndarray:
    """A yes or no of every row, asked once for each distinct text; no where there is none."""
    coded = texts.dictionary_encode()
    answers = np.array([bool(answer(text)) for text in coded.dictionary.to_pylist()] + [False])
    return answers[coded.indices.fill_null(-1).to_numpy(zero_copy_only=False)]
