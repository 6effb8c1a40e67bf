"""A user's own price sheet, as TOML or CSV: strict, and every wrong cell has its own line of error.

TOML: the unit prices and the currency at the top, one ``[[price]]`` table per price. CSV: the same names as a header, one price a row::

    currency = "EUR"
    [[price]]
    instance_type = "m6i.large"
    region = "eu-west-1"
    price_hour = 0.107
    committed_nodes = 3
    committed_until = 2027-01-31
"""

from __future__ import annotations

import math
import re
import tomllib
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from pathlib import Path
from typing import Any

from aiops_analysis.core.errors import UsageError
from aiops_analysis.core.names import visible
from aiops_analysis.core.pricing import PriceList, PriceRow
from aiops_analysis.sources.price_cells import CellError, Rows, checked_price, currency_code, nearest_name, price_of, refuse, with_units

__all__ = ["COLUMNS", "SHEET", "UNITS", "is_sheet", "sheet_of_rows", "sheet_of_toml"]

#: The name of a price list that is a user's own.
SHEET = "price-sheet"
#: Unit prices that a TOML sheet may give for what no row matches [currency per core | GiB | GPU and hour].
UNITS = ("cpu_hour", "memory_hour", "spot_cpu_hour", "spot_memory_hour", "gpu_hour")
_PLACES = ("instance_type", "region", "zone", "pool", "node", "provider_id")
_PRICES = ("price_hour", "cpu_hour", "memory_hour")
_SIZES = ("cpu", "memory_gib")
_COMMITMENT = ("committed_nodes", "committed_until")
#: What a row of a sheet may say.
COLUMNS = (*_PLACES, "label", "capacity_type", *_PRICES, *_SIZES, *_COMMITMENT, "currency")
_CAPACITY = {"on-demand": "on-demand", "on_demand": "on-demand", "ondemand": "on-demand", "spot": "spot", "": ""}
_MOST_NODES = 1_000_000
_TABLE = re.compile(r"^[ \t]*\[\[[ \t]*price[ \t]*\]\]", re.MULTILINE)


def sheet_of_toml(text: str, path: Path, currency: str) -> PriceList:
    """The price list of a TOML sheet; ``currency`` is of a sheet that names none.

    Raises UsageError with file and line for everything that is not as it should be.
    """
    name = visible(path.name, 80)
    try:
        data = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise UsageError(f"{name} is not valid TOML: {visible(str(error), 200)}") from error
    top_keys = (*UNITS, "currency", "name", "price")
    problems = [(name, f"unknown key {visible(key, 60)}{nearest_name(key, top_keys)}") for key in data if key not in top_keys]
    tables = data.get("price", [])
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        problems.append((name, "price is no list of tables; write each price as [[price]] with its keys below"))
        tables = []
    refuse(problems)
    units = {key: _toml_price(data, key, name, problems) for key in UNITS}
    refuse(problems)
    lines = [text.count("\n", 0, match.start()) + 1 for match in _TABLE.finditer(text)]
    numbered = lines if len(lines) == len(tables) else [0] * len(tables)
    places = [f"price {i + 1}" + (f" (line {line})" if line else "") for i, line in enumerate(numbered)]
    top = {"currency": data["currency"]} if "currency" in data else {}
    named = data.get("name", "")
    return _sheet(name, list(zip(places, tables, strict=True)), currency, top, units, named if isinstance(named, str) else "")


def sheet_of_rows(rows: Sequence[tuple[int, Mapping[str, str]]], columns: Sequence[str], path: Path, currency: str) -> PriceList:
    """The price list of a CSV sheet: line and cells by column; an empty cell says nothing. Raises UsageError as ``sheet_of_toml``."""
    name = visible(path.name, 80)
    unknown = [column for column in columns if column not in COLUMNS]
    refuse([(f"{name}, line 1", f"unknown column {visible(column, 60)!a}{nearest_name(column, COLUMNS)}") for column in unknown])
    found: list[tuple[str, Mapping[str, Any]]] = [
        (f"line {line}", {key: cell.strip() for key, cell in row.items() if cell.strip()}) for line, row in rows
    ]
    return _sheet(name, found, currency, {}, {}, "")


def _toml_price(data: Mapping[str, Any], key: str, where: str, problems: list[tuple[str, str]]) -> float:
    try:
        return _price(data, key)
    except CellError as error:
        problems.append((where, str(error)))
        return math.nan


def _sheet(
    name: str,
    tables: Sequence[tuple[str, Mapping[str, Any]]],
    currency: str,
    top: Mapping[str, Any],
    units: Mapping[str, float],
    title: str,
) -> PriceList:
    """The rows, checked one by one, in one currency."""
    rows = Rows(name)
    codes: dict[str, str] = {}
    for place, table in [("the top", top), *tables]:
        try:
            if "currency" in table:
                codes.setdefault(currency_code(_text(table, "currency")), place)
            if table is not top:
                rows.add(_row(table), place)
        except CellError as error:
            rows.wrong(place, str(error))
    if len(codes) > 1:
        (one, first), (other, second) = list(codes.items())[:2]
        rows.wrong(second, f"the currency is {other}, and {one} in {first}; a report has one currency")
    found = rows.done()
    if not found and not any(math.isfinite(value) for value in units.values()):
        raise UsageError(f"{name} holds no price; give rows with instance_type and price_hour, or cpu_hour and memory_hour")
    code = next(iter(codes), currency)
    warnings = [*rows.warnings(), *([] if codes else [f"{name} names no currency; its prices are taken as {code}"])]
    source = f"price sheet {visible(title, 80)} ({name})" if title else f"price sheet {name}"
    return with_units(PriceList(SHEET, source, code, rows=found, warnings=tuple(warnings)), units)


def _row(table: Mapping[str, Any]) -> PriceRow:
    """One row of a sheet. Raises CellError."""
    for key in table:
        if key not in COLUMNS:
            raise CellError(f"unknown key {visible(key, 60)}{nearest_name(key, COLUMNS)}")
    prices = {key: _price(table, key) for key in _PRICES}
    places = {key: _text(table, key) for key in _PLACES}
    label = _label(_text(table, "label"))
    units = [math.isfinite(prices[key]) for key in ("cpu_hour", "memory_hour")]
    if any(units) and not all(units):
        raise CellError("cpu_hour and memory_hour come together; one of them is missing")
    if not any(units) and not math.isfinite(prices["price_hour"]):
        raise CellError("there is no price; give price_hour, or cpu_hour and memory_hour")
    named = any(places[key] for key in ("instance_type", "pool", "node", "provider_id")) or label != ("", "")
    if math.isfinite(prices["price_hour"]) and not named:
        raise CellError("price_hour is of one kind of machine: name its instance_type, pool, node, provider_id or label")
    nodes, until = _commitment(table)
    return PriceRow(
        price_hour=prices["price_hour"],
        cpu_hour=prices["cpu_hour"],
        memory_hour=prices["memory_hour"],
        instance_type=places["instance_type"],
        region=places["region"],
        zone=places["zone"],
        pool=places["pool"],
        node=places["node"],
        provider_id=places["provider_id"],
        label=label,
        capacity_type=_capacity(_text(table, "capacity_type")),
        cpu=_price(table, "cpu", "the number of cores"),
        memory_gib=_price(table, "memory_gib", "the memory"),
        committed_nodes=nodes,
        committed_until=until,
    )


def _price(table: Mapping[str, Any], key: str, what: str = "") -> float:
    """A number above 0, NaN when the key is not there. Raises CellError."""
    value, what = table.get(key), what or key
    if value is None:
        return math.nan
    if isinstance(value, str):
        return price_of(value, what)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise CellError(f"{what} is {visible(str(value), 40)!a}, expected a plain number such as 0.192")
    return checked_price(_float(value), what)


def _float(value: float) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.inf


def _text(table: Mapping[str, Any], key: str) -> str:
    value = table.get(key, "")
    if not isinstance(value, str):
        raise CellError(f"{key} is {visible(str(value), 40)!a}, expected a text in quotes")
    return value.strip()


def _capacity(text: str) -> str:
    if text.lower() not in _CAPACITY:
        raise CellError(f"capacity_type is {visible(text, 40)!a}, expected on-demand or spot")
    return _CAPACITY[text.lower()]


def _label(text: str) -> tuple[str, str]:
    """``key=value`` of a node label."""
    key, equals, value = text.partition("=")
    if text and not (key.strip() and equals):
        raise CellError(f"label is {visible(text, 60)!a}, expected key=value")
    return key.strip(), value.strip()


def _commitment(table: Mapping[str, Any]) -> tuple[int, date | None]:
    """Machines that are paid for, and until when. Raises CellError for one without the other."""
    nodes = _whole(table.get("committed_nodes", 0))
    until = _date(table.get("committed_until"))
    if (nodes > 0) != (until is not None):
        raise CellError("committed_nodes and committed_until come together; one of them is missing")
    return nodes, until


def _whole(value: object) -> int:
    text = str(value)
    if isinstance(value, bool) or not re.fullmatch(r"\d{1,9}", text, re.ASCII) or int(text) > _MOST_NODES:
        raise CellError(f"committed_nodes is {visible(text, 40)!a}, expected a whole number of machines")
    return int(text)


def _date(value: object) -> date | None:
    if value is None:
        return None
    if isinstance(value, date) and not isinstance(value, datetime):
        return value
    try:
        return date.fromisoformat(str(value))
    except ValueError:
        raise CellError(f"committed_until is {visible(str(value), 40)!a}, expected a date such as 2027-01-31") from None


def is_sheet(columns: Sequence[str]) -> bool:
    """Whether a header looks like the one of a sheet, with a typing error at most."""
    return any(column in COLUMNS for column in columns)
