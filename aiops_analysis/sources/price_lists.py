"""Public price lists: known by their columns or content, never by the file's name; types without a price are left out and counted."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from aiops_analysis.core.errors import UsageError
from aiops_analysis.core.names import visible
from aiops_analysis.core.pricing import PriceList, PriceRow
from aiops_analysis.sources.price_cells import CellError, Rows, checked_price, currency_code, price_of, refuse, with_units

__all__ = ["csv_reader", "is_json_list", "list_of_json"]

Lines = Sequence[tuple[int, Mapping[str, str]]]

_HOURLY = "usd_per_hour_on_demand"
_OPENCOST = ("AssetClass", "InstanceID", "InstanceIDField", "MarketPriceHourly")
_LINK = re.compile(r"<[^|>]*\|([^>]*)>")  # a label that a chat program made a link of
_CLOUD_JSON = {"CPU": "cpu_hour", "RAM": "memory_hour", "spotCPU": "spot_cpu_hour", "spotRAM": "spot_memory_hour", "GPU": "gpu_hour"}
#: Oracle's flexible shapes: the family in the list, the label of the node, virtual cores of one OCPU.
_ORACLE = {
    "Standard - E3": ("VM.Standard.E3.Flex", 2),
    "Standard - E4": ("VM.Standard.E4.Flex", 2),
    "Standard - E5": ("VM.Standard.E5.Flex", 2),
    "Standard - A1": ("VM.Standard.A1.Flex", 1),
    "Standard - X9": ("VM.Standard3.Flex", 2),
    "Optimized - X9": ("VM.Optimized3.Flex", 2),
}
_ORACLE_UNITS = {"OCPU Per Hour": "OCPU", "Gigabyte Per Hour": "Memory"}


def csv_reader(columns: Sequence[str]) -> Callable[[Lines, Path, str], PriceList] | None:
    """The reader of a CSV with these columns; None for a header of no known list.

    Raises UsageError for a header that is known and is no list of node prices.
    """
    there, small = set(columns), {column.lower() for column in columns}
    if there.issuperset(_OPENCOST):
        return _opencost
    if {"sku", _HOURLY} <= there:
        return _azure
    if {"instance_type", _HOURLY} <= there:
        return _karpenter
    for marks, what in (
        ({"billedcost", "chargecategory"}, "a FOCUS billing export"),
        ({"costinbillingcurrency"}, "an Azure cost export"),
        ({"lineitem/unblendedcost"}, "an AWS cost and usage report"),
        ({"line_item_unblended_cost"}, "an AWS cost and usage report"),
    ):
        if marks <= small:
            raise UsageError(f"the file is {what}: what was charged, not a price list; give it as billing instead of prices")
    return None


def _cell(row: Mapping[str, str], name: str) -> str:
    return row.get(name, "").strip()


def _size(row: Mapping[str, str], name: str, scale: float = 1.0) -> float:
    """A size of a machine, NaN where the cell says nothing usable: it is only compared with what the node says."""
    text = _cell(row, name)
    return float(text) * scale if re.fullmatch(r"\d{1,9}(?:\.\d+)?", text, re.ASCII) and float(text) > 0 else math.nan


def _priced(rows: Rows, row: Mapping[str, str], title: str, place: str) -> float | None:
    """The price of a row [currency / hour]; None when the list has none, or a wrong one, which is noted."""
    text = _cell(row, _HOURLY)
    if not title:
        rows.wrong(place, "the type is empty")
        return None
    if not text or re.fullmatch(r"0+(?:\.0*)?", text):
        rows.without_price.append(title)
        return None
    try:
        return price_of(text)
    except CellError as error:
        rows.wrong(place, str(error))
        return None


def _on_demand(price: float, kind: str, row: Mapping[str, str], gib: float) -> PriceRow:
    return PriceRow(price, kind, region=_cell(row, "region"), capacity_type="on-demand", cpu=_size(row, "vcpu"), memory_gib=gib)


def _karpenter(lines: Lines, path: Path, currency: str) -> PriceList:  # noqa: ARG001 - the currency is in the column's name
    """The AWS table of Karpenter: one region, which it does not name, on-demand US dollars."""
    rows = Rows(visible(path.name, 80))
    for line, row in lines:
        kind, place = _cell(row, "instance_type"), f"line {line}"
        price = _priced(rows, row, kind, place)
        if price is not None:
            rows.add(_on_demand(price, kind, row, _size(row, "memory_mib", 1 / 1024)), place)
    found = rows.done()
    said = _no_region(rows.file, found)
    return PriceList("aws-table", f"AWS on-demand prices ({rows.file})", "USD", rows=found, warnings=(*rows.warnings(), *said))


def _azure(lines: Lines, path: Path, currency: str) -> PriceList:  # noqa: ARG001 - the currency is in the column's name
    """Azure retail prices by size, of several regions or of one that is not named, on-demand US dollars."""
    rows = Rows(visible(path.name, 80))
    for line, row in lines:
        kind, place = _cell(row, "sku"), f"line {line}"
        price = _priced(rows, row, f"{kind} {_cell(row, 'region')}".strip() if kind else "", place)
        if price is not None:
            rows.add(_on_demand(price, kind, row, _size(row, "memory_gb")), place)
    found = rows.done()
    said = _no_region(rows.file, found)
    return PriceList("azure-list", f"Azure on-demand prices ({rows.file})", "USD", rows=found, warnings=(*rows.warnings(), *said))


def _no_region(name: str, rows: Sequence[PriceRow]) -> Iterator[str]:
    if any(not row.region for row in rows):
        yield f"{name} names no region; its prices are used for nodes of every region"


def _opencost(lines: Lines, path: Path, currency: str) -> PriceList:
    """A price file of OpenCost: nodes by name, provider id or label. Of rows for one machine the one with the latest end counts."""
    rows, others = Rows(visible(path.name, 80)), {"gpu": 0, "pv": 0}
    dated = sorted(lines, key=lambda line: _cell(line[1], "EndTimestamp"), reverse=True)
    newest: dict[tuple[str, ...], str] = {}
    for line, row in dated:
        kind, place = _cell(row, "AssetClass").lower(), f"line {line}"
        if kind in others:
            others[kind] += 1
            continue
        key = tuple(_cell(row, name) for name in ("InstanceID", "InstanceIDField", "Region", "InstanceType"))
        if newest.setdefault(key, _cell(row, "EndTimestamp")) != _cell(row, "EndTimestamp"):
            continue
        try:
            rows.add(_opencost_row(row, kind), place)
        except CellError as error:
            rows.wrong(place, str(error))
    found = rows.done()
    said = [f"{count} rows of {rows.file} price {what}, which node prices leave out" for what, count in _named(others) if count]
    if not found:
        raise UsageError(f"{rows.file} is an OpenCost price file without a row for nodes ({said[0] if said else 'no row at all'})")
    said.append(f"{rows.file} names no currency; its prices are taken as {currency}")
    return PriceList("opencost-csv", f"OpenCost price file {rows.file}", currency, rows=found, warnings=(*rows.warnings(), *said))


def _named(others: Mapping[str, int]) -> Iterator[tuple[str, int]]:
    yield "GPUs", others["gpu"]
    yield "volumes", others["pv"]


def _opencost_row(row: Mapping[str, str], kind: str) -> PriceRow:
    """A node's price with what it is matched by. Raises CellError."""
    if kind != "node":
        raise CellError(f"AssetClass is {visible(kind, 40)!a}, expected node, gpu or pv")
    price = price_of(_cell(row, "MarketPriceHourly"), "MarketPriceHourly")
    value, by, region = (_cell(row, name) for name in ("InstanceID", "InstanceIDField", "Region"))
    if not value:
        if not _cell(row, "InstanceType"):
            raise CellError("there is neither an InstanceID nor an InstanceType")
        return PriceRow(price, _cell(row, "InstanceType"), region=region)
    if by == "metadata.name":
        return PriceRow(price, node=value, region=region)
    if by == "spec.providerID":
        return PriceRow(price, provider_id=value, region=region)
    if by.startswith("metadata.labels."):
        label = by.removeprefix("metadata.labels.")
        link = _LINK.fullmatch(label)
        return PriceRow(price, label=(link[1] if link else label, value), region=region)
    raise CellError(f"InstanceIDField is {visible(by, 60)!a}, expected metadata.name, spec.providerID or metadata.labels.NAME")


def is_json_list(data: Any) -> bool:
    """Whether some JSON is one of the documents that ``list_of_json`` knows, be it to refuse it."""
    return isinstance(data, Mapping) and bool({"prices", "items", "skus", *_CLOUD_JSON} & set(data))


def list_of_json(data: Mapping[str, Any], path: Path, currency: str) -> PriceList:
    """The price list of a JSON document. Raises UsageError, for one that is no list of node prices too."""
    name = visible(path.name, 80)
    if isinstance(data.get("prices"), Mapping):
        return _google(data["prices"], name)
    if isinstance(data.get("items"), list):
        return _oracle(data["items"], name)
    if isinstance(data.get("skus"), list):
        codes = ", ".join(sorted(set(_currencies(data["skus"]))))
        raise UsageError(
            f"{name} is a Google Cloud SKU catalogue: prices of cores and GiB of machine families{' in ' + codes if codes else ''}, of no "
            "machine type; give a list of machine types, or a price sheet with cpu_hour and memory_hour"
        )
    return _unit_prices(data, name, currency)


def _currencies(value: Any, depth: int = 0) -> Iterator[str]:
    if isinstance(value, Mapping):
        if isinstance(code := value.get("currencyCode"), str):
            yield visible(code, 10)
        value = list(value.values())
    if isinstance(value, list) and depth < 12:
        for inner in value:
            yield from _currencies(inner, depth + 1)


def _google(regions: Mapping[str, Any], name: str) -> PriceList:
    """Karpenter's prices of Google Cloud: by region, on-demand and spot, US dollars an hour."""
    rows = Rows(name)
    capacities = {"on_demand": "on-demand", "spot": "spot"}
    for region, groups in regions.items():
        if not isinstance(groups, Mapping) or not set(groups) <= set(capacities):
            rows.wrong(ascii(visible(region, 60)), "expected the objects on_demand and spot")
            continue
        for group, prices in groups.items():
            if not isinstance(prices, Mapping):
                rows.wrong(f"{visible(region, 60)!a} {group}", "expected an object of machine types")
                continue
            for kind, price in prices.items():
                _google_row(rows, PriceRow(math.nan, kind, region, capacity_type=capacities[group]), price)
    found = rows.done()
    if not found:
        raise UsageError(f"{name} holds no price of a machine type")
    return PriceList("google-list", f"Google Cloud prices by region ({name})", "USD", rows=found, warnings=tuple(rows.warnings()))


def _google_row(rows: Rows, row: PriceRow, price: Any) -> None:
    from dataclasses import replace

    if price is None or price == 0:
        rows.without_price.append(f"{row.instance_type} {row.region}")
        return
    place = visible(f"{row.region} {row.capacity_type} {row.instance_type}", 120)
    if isinstance(price, bool) or not isinstance(price, int | float):
        rows.wrong(place, f"the price is {visible(str(price), 40)!a}, expected a number")
        return
    try:
        rows.add(replace(row, price_hour=checked_price(price, "the price")), place)
    except (CellError, OverflowError) as error:
        rows.wrong(place, str(error))


def _objects(holder: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    found = holder.get(name)
    return [item for item in found if isinstance(item, Mapping)] if isinstance(found, list) else []


def _oracle(items: Sequence[Any], name: str) -> PriceList:
    """Oracle's list of products: of its machines only the flexible shapes, which are sold by core and GiB."""
    units: dict[str, dict[str, float]] = {}
    codes: set[str] = set()
    for item in items:
        title, unit = (str(item.get(key, "")) for key in ("displayName", "metricName")) if isinstance(item, Mapping) else ("", "")
        family = re.sub(r"\s+", " ", title).removeprefix("Compute - ").removesuffix(f" - {_ORACLE_UNITS.get(unit, unit)}")
        if family not in _ORACLE or unit not in _ORACLE_UNITS:
            continue
        for local in _objects(item, "currencyCodeLocalizations"):
            codes.add(str(local.get("currencyCode", "")))
            values = [price["value"] for price in _objects(local, "prices") if isinstance(price.get("value"), int | float)]
            units.setdefault(family, {})[_ORACLE_UNITS[unit]] = max(values, default=0.0)  # what the free hours are followed by
    rows = Rows(name)
    for family, (shape, cores) in _ORACLE.items():
        found = units.get(family, {})
        try:
            cpu, memory = (checked_price(found.get(unit, 0.0), f"{family} {unit}") for unit in ("OCPU", "Memory"))
        except CellError:
            rows.without_price.append(shape)
            continue
        rows.add(PriceRow(math.nan, shape, capacity_type="on-demand", cpu_hour=cpu / cores, memory_hour=memory), family)
    if not rows.rows:
        raise UsageError(f"{name} is a list of products without a price of a machine that is known here")
    if len(codes) > 1:
        raise UsageError(f"{name} is in {', '.join(sorted(visible(code, 10) for code in codes))}; a report has one currency")
    code = _code(codes.pop(), name)
    warnings = (
        f"of the {len(items)} products of {name} only {len(rows.rows)} flexible shapes are nodes that are priced by core and GiB",
        "hours that Oracle gives away are priced as the hours after them",
    )
    source = f"Oracle Cloud list prices ({name})"
    return PriceList("oracle-list", source, code, rows=rows.done(), warnings=(*rows.warnings(), *warnings))


def _code(text: str, name: str) -> str:
    try:
        return currency_code(text)
    except CellError as error:
        raise UsageError(f"{name}: {error}") from error


def _unit_prices(data: Mapping[str, Any], name: str, currency: str) -> PriceList:
    """Unit prices in OpenCost's own form; of its other keys nothing is read, some of them are secrets."""
    problems: list[tuple[str, str]] = []
    units: dict[str, float] = {}
    for theirs, ours in _CLOUD_JSON.items():
        value = data.get(theirs)
        if value is None or value == "":
            continue
        try:
            units[ours] = price_of(value, theirs) if isinstance(value, str) else checked_price(float(value), theirs)
        except CellError as error:
            problems.append((name, str(error)))
        except (TypeError, ValueError, OverflowError):
            problems.append((name, f"{theirs} is no number"))
    refuse(problems)
    if not {"cpu_hour", "memory_hour"} <= set(units):
        raise UsageError(f"{name} gives no prices of CPU and RAM; expected OpenCost's keys CPU and RAM")
    provider = visible(str(data.get("provider", "")), 40)
    source = f"OpenCost unit prices{f' of {provider}' if provider and provider != 'custom' else ''} ({name})"
    said = f"{name} names no currency; it is taken as {currency}"
    return with_units(PriceList("opencost-units", source, currency, warnings=(said,)), units)
