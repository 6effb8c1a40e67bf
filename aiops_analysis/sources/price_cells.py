"""Cells of price files: a plain number or a clear refusal, and rows that are there twice (fault row 29)."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from aiops_analysis.core.errors import UsageError
from aiops_analysis.core.names import visible
from aiops_analysis.core.pricing import PriceList, PriceRow

__all__ = ["CellError", "Rows", "checked_price", "currency_code", "nearest_name", "price_of", "refuse", "with_units"]

_NUMBER = re.compile(r"\d+(?:\.\d*)?(?:[eE][+-]?\d{1,2})?|\.\d+(?:[eE][+-]?\d{1,2})?", re.ASCII)
_SIGNS = re.compile(r"[$€£¥₹₩]|[A-Za-z]{3}\b", re.ASCII)
_CODE = re.compile(r"[A-Z]{3}", re.ASCII)
_DEAREST = 100_000.0  # [currency / hour]; no machine costs more, a mistyped number does
_SHOWN = 3  # errors and names that are named, the rest is counted


class CellError(ValueError):
    """A value cannot be used; the text says what is wrong with it, the caller says where it stands."""


def price_of(text: str, what: str = "the price") -> float:
    """A price [currency / hour] of a cell: digits with a decimal point, above 0. Raises CellError.

    >>> price_of("0.192"), price_of("1e-2")
    (0.192, 0.01)
    """
    shown = ascii(visible(text.strip(), 40))
    plain = text.strip()
    if _NUMBER.fullmatch(plain):
        return checked_price(float(plain), what)
    if re.fullmatch(r"[-\u2212]\s*[\d.,]+", plain):
        raise CellError(f"{what} is {shown}, a price is above 0")
    if plain.lower().lstrip("+-") in ("nan", "inf", "infinity", "null", "none", "n/a", "na", "-"):
        raise CellError(f"{what} is {shown}, which is no number; leave the row out where there is no price")
    if re.fullmatch(r"[1-9]\d{0,2}(?:,\d{3})+(?:\.\d*)?", plain):
        raise CellError(f"{what} is {shown}; write it without a thousands separator, such as {plain.replace(',', '')}")
    if re.fullmatch(r"\d+,\d+", plain):
        raise CellError(f"{what} is {shown}; write it with a decimal point, such as {plain.replace(',', '.')}")
    if _SIGNS.search(plain) or any(ord(letter) > 127 for letter in plain):
        raise CellError(f"{what} is {shown}; write the number alone and the currency as a code of three letters in `currency`")
    raise CellError(f"{what} is {shown}, expected a plain number such as 0.192")


def checked_price(value: float, what: str) -> float:
    """The value if a machine can cost it [currency / hour]. Raises CellError for zero, a negative, NaN, infinity and absurd sums."""
    if not math.isfinite(value) or value <= 0:
        raise CellError(f"{what} is {value:g}, a price is above 0")
    if value > _DEAREST:
        raise CellError(f"{what} is {value:g} an hour, more than any machine costs; is it of a month or a year?")
    return value


def currency_code(text: str) -> str:
    """A currency as its three letters. Raises CellError.

    >>> currency_code("eur ")
    'EUR'
    """
    code = text.strip().upper()
    if not _CODE.fullmatch(code):
        raise CellError(f"the currency is {visible(text, 40)!a}, expected a code of three letters such as USD")
    return code


def nearest_name(name: str, valid: Iterable[str]) -> str:
    """``; did you mean x?`` for a name close to a valid one, else the valid names."""
    known = sorted(valid)
    close = difflib.get_close_matches(name.strip().lower().replace(" ", "_"), known, n=1, cutoff=0.6)
    return f"; did you mean {close[0]}?" if close else f" (valid: {', '.join(known)})"


def with_units(prices: PriceList, units: Mapping[str, float]) -> PriceList:
    """A list with unit prices by the names of its fields; one that is not there is NaN."""
    return replace(
        prices,
        cpu_hour=units.get("cpu_hour", math.nan),
        memory_hour=units.get("memory_hour", math.nan),
        spot_cpu_hour=units.get("spot_cpu_hour", math.nan),
        spot_memory_hour=units.get("spot_memory_hour", math.nan),
        gpu_hour=units.get("gpu_hour", math.nan),
    )


def refuse(problems: Sequence[tuple[str, str]]) -> None:
    """Raises UsageError of one line with the first problem and the places of the others; does nothing without a problem.

    problems : where it is (file and line), and what is wrong.
    """
    if not problems:
        return
    where, what = problems[0]
    others = [place for place, _ in problems[1:]]
    more = f"; also wrong: {', '.join(others[:_SHOWN])}" if others else ""
    more += f" and {len(others) - _SHOWN} more" if len(others) > _SHOWN else ""
    raise UsageError(f"{where}: {what}{more}")


@dataclass(slots=True)
class Rows:
    """Price rows of one file as they are read: duplicates are dropped when they agree, and types without a price are counted."""

    file: str
    rows: dict[tuple[object, ...], tuple[PriceRow, str]] = field(default_factory=dict)
    problems: list[tuple[str, str]] = field(default_factory=list)
    equal: int = 0
    without_price: list[str] = field(default_factory=list)

    def add(self, row: PriceRow, place: str) -> None:
        """Take a row; one that is there already with other figures is a problem."""
        key = _key(row)
        if key not in self.rows:
            self.rows[key] = row, place
        elif _same(self.rows[key][0], row):
            self.equal += 1
        else:
            self.wrong(place, f"{_named(row)} is priced here and in {self.rows[key][1]} with other figures; keep one of them")

    def wrong(self, place: str, what: str) -> None:
        """Note a problem."""
        self.problems.append((f"{self.file}, {place}", what))

    def done(self) -> tuple[PriceRow, ...]:
        """The rows; raises UsageError when there was a problem."""
        refuse(self.problems)
        return tuple(row for row, _ in self.rows.values())

    def warnings(self) -> Iterator[str]:
        """What a reader of the prices must know."""
        if self.equal:
            yield f"{self.equal} rows of {self.file} are there twice and count once"
        if self.without_price:
            names = [visible(name, 60) for name in self.without_price[:_SHOWN]]
            rest = len(self.without_price) - len(names)
            yield (
                f"{len(self.without_price)} types of {self.file} have no price and are left out: {', '.join(names)}"
                + (f" and {rest} more" if rest else "")
            )


def _key(row: PriceRow) -> tuple[object, ...]:
    name, value = row.label
    places = (row.instance_type, row.region, row.zone, row.capacity_type, row.pool, row.node, row.provider_id, name, value)
    return (*(text.casefold() for text in places[:3]), *places[3:])


def _same(one: PriceRow, other: PriceRow) -> bool:
    """Equal figures; a missing one (NaN) equals another missing one."""
    return _figures(one) == _figures(other)


def _figures(row: PriceRow) -> tuple[object, ...]:
    numbers = (row.price_hour, row.cpu_hour, row.memory_hour, row.cpu, row.memory_gib)
    return (*(None if math.isnan(number) else number for number in numbers), row.committed_nodes, row.committed_until)


def _named(row: PriceRow) -> str:
    label = "=".join(row.label).strip("=")
    parts = (row.node, row.provider_id, label, row.pool, row.instance_type, row.zone, row.region, row.capacity_type)
    return ascii(visible(" ".join(part for part in parts if part), 120))
