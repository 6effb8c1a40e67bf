"""A billing export that cannot be read says in one line why (faults 29, 33, 50); formats and sizes of parts change nothing."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aiops_analysis.core.errors import UsageError
from aiops_analysis.sources.focus_files import export_files
from aiops_analysis.sources.focus_kinds import is_hours
from aiops_analysis.workflows.billing import Billing, read_billed
from tests import focus

NODES = focus.nodes(focus.node("n1", "aws:///z/i-a"), focus.node("n2", "aws:///z/i-b"))


def read(path: Path, **more) -> Billing:
    return read_billed(path, NODES, focus.window(), **more)


def refused(path: Path, **more) -> str:
    with pytest.raises(UsageError) as caught:
        read(path, **more)
    said = str(caught.value)
    assert "\n" not in said
    assert caught.value.exit_code == 2
    return said


def day(cost: float = 0.1) -> list[dict[str, str]]:
    return focus.hourly(24, cost) + focus.hourly(24, cost, ResourceId="i-b")


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("empty.csv", b"", "empty.csv is empty (0 bytes)"),
        ("empty.csv.gz", b"", "is empty (0 bytes)"),
        ("nothing.csv.gz", gzip.compress(b"", mtime=0), "has no header"),
        ("header.csv", focus.text([focus.ROW]).split(b"\r\n")[0] + b"\r\n", "header.csv has columns and no rows"),
        ("cut.csv.gz", gzip.compress(focus.text(day()), mtime=0)[:-100], "the gzip file ends too early"),
        ("utf16.csv", focus.text([focus.ROW]).decode().encode("utf-16"), "export it as comma-separated UTF-8"),
        ("latin.csv", focus.text([focus.ROW | {"ResourceId": "i-caf\u00e9"}]).decode().encode("latin-1"), "it is not UTF-8 text"),
        ("semicolon.csv", focus.text([focus.ROW]).replace(b",", b";"), "is not separated by commas"),
        ("short.csv", focus.text([focus.ROW]) + b"1,2,3\r\n", "another number of columns than the header"),
        ("quote.csv", focus.text([focus.ROW]) + b'"open,' + b"x" * 9_000_000, "quote is never closed"),
        ("page.csv", b"<!DOCTYPE html>\n<html></html>\n", "is not a FOCUS 1.0-1.3 export: it lacks BilledCost, EffectiveCost"),
        ("not.parquet", b"PAR1 and then something else", "not.parquet cannot be read"),
    ],
    ids=lambda value: value if isinstance(value, str) and value.endswith(("csv", "gz", "parquet")) else "",
)
def test_f29_what_is_no_export_says_why(tmp_path: Path, name: str, content: bytes, says: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    assert says in refused(path)


def test_f29_a_damaged_gzip_and_a_cut_parquet(tmp_path: Path) -> None:
    packed = bytearray(gzip.compress(focus.text(day()), mtime=0))
    packed[len(packed) // 2] ^= 0xFF
    (tmp_path / "bad.csv.gz").write_bytes(packed)
    assert "bad.csv.gz cannot be read" in refused(tmp_path / "bad.csv.gz")
    whole = focus.write(tmp_path / "cut.parquet", day()).read_bytes()
    (tmp_path / "cut.parquet").write_bytes(whole[: len(whole) // 2])
    assert "the Parquet file is cut or damaged" in refused(tmp_path / "cut.parquet")


def test_f29_parquet_without_rows_and_a_folder_without_files(tmp_path: Path) -> None:
    pd.DataFrame([focus.ROW]).iloc[:0].to_parquet(tmp_path / "none.parquet")
    assert "has columns and no rows" in refused(tmp_path / "none.parquet")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "readme.txt").write_text("hello")
    assert "holds no .csv, .csv.gz or .parquet file" in refused(tmp_path / "folder")
    assert "there is no billing export at" in refused(tmp_path / "gone.csv")


def test_f29_every_missing_column_is_named_at_once_with_the_nearest(tmp_path: Path) -> None:
    rows = [{{"BilledCost": "billed_cost", "ResourceId": "Resource ID"}.get(n, n): v for n, v in focus.ROW.items()}]
    del rows[0]["ProviderName"], rows[0]["PricingUnit"]
    said = refused(focus.write(tmp_path / "old.csv", rows))
    assert "it lacks BilledCost (the file has 'billed_cost'), ResourceId (the file has 'Resource ID'), PricingUnit," in said
    assert "ProviderName or ServiceProviderName" in said


def test_the_names_of_1_3_are_known(tmp_path: Path) -> None:
    rows = [{{"ProviderName": "ServiceProviderName"}.get(n, n): v for n, v in row.items()} for row in day()]
    assert read(focus.write(tmp_path / "v13.csv", rows)).match_rate == 1


def test_f29_a_column_that_is_there_twice(tmp_path: Path) -> None:
    header, rest = focus.text([focus.ROW]).split(b"\r\n", 1)
    (tmp_path / "twice.csv").write_bytes(header + b',"BilledCost"\r\n' + rest.rstrip() + b',"5"\r\n')
    assert "has the column BilledCost more than once" in refused(tmp_path / "twice.csv")


@pytest.mark.parametrize("suffix", ["csv", "csv.gz", "parquet"])
@pytest.mark.parametrize(
    ("column", "value", "says"),
    [
        ("BilledCost", "1,23", "BilledCost in row 30 is '1,23', which is no number; a decimal mark is a point"),
        ("EffectiveCost", "$0.10", "EffectiveCost in row 30 is '$0.10', which is no number"),
        ("BilledCost", "inf", "BilledCost in row 30 is 'inf', which is no amount"),
        ("EffectiveCost", "nan", "EffectiveCost in row 30 is 'nan', which is no amount"),
        ("ChargePeriodStart", "5.10.2026", "ChargePeriodStart in row 30 is '5.10.2026', which is no time in ISO 8601"),
        ("ChargePeriodStart", "NULL", "ChargePeriodStart in row 30 is empty"),
        ("ChargePeriodEnd", "2026-10-01 00:00:00", "the charge period in row 30 does not end after it begins"),
        ("BillingCurrency", "NULL", "BillingCurrency in row 30 is empty"),
        ("BilledCost", "\x1b[2J", "x1b[2J', which is no number"),
    ],
)
@pytest.mark.parametrize("chunk", [1100, 1 << 22])
def test_f29_a_value_that_is_none_is_refused_with_its_row(
    tmp_path: Path, suffix: str, column: str, value: str, says: str, chunk: int
) -> None:
    rows = day()
    rows[29] |= {column: value}
    assert says in refused(focus.write(tmp_path / f"bad.{suffix}", rows), chunk=chunk)


def test_times_and_numbers_as_they_are_written(tmp_path: Path) -> None:
    # the same hour in every way that an export writes it; each costs 0.1, and one row more costs 1e-1
    ways = ["2026-10-05 00:00:00", "2026-10-05T00:00Z", "2026-10-05T00:00:00.000Z", "2026-10-05T02:00:00+02:00", "2026-10-05 00:00:00 UTC"]
    rows = [focus.charge(SkuPriceId=way) | {"ChargePeriodStart": way} for way in ways]
    rows += [focus.charge(cost="1E-1"), focus.charge(cost=" 0.10 ")]
    billing = read(focus.write(tmp_path / "ways.csv", rows))
    assert billing.matched[["cost", "hours"]].to_numpy().tolist() == [[pytest.approx(0.7), 1.0]]


def test_parquet_with_types_of_its_own(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.table({name: [row[name] for row in day()] for name in focus.ROW})
    stamps = pa.array([pd.Timestamp(row["ChargePeriodStart"]) for row in day()], pa.timestamp("ns"))
    costs = table["BilledCost"].cast(pa.decimal128(20, 10))
    tags = pa.array([[("pool", "blue")]] * 48, pa.map_(pa.string(), pa.string()))
    for name, column in {"ChargePeriodStart": stamps, "BilledCost": costs, "EffectiveCost": costs.cast(pa.float64()), "Tags": tags}.items():
        table = table.set_column(table.schema.get_field_index(name), name, column)
    table = table.set_column(table.schema.get_field_index("ResourceId"), "ResourceId", table["ResourceId"].dictionary_encode())
    pq.write_table(table, tmp_path / "typed.parquet", row_group_size=7)
    assert read(tmp_path / "typed.parquet", cluster="shop").frame["cost"].tolist() == pytest.approx([2.4, 2.4])
    nested = pa.array([{"a": 1}] * 48)
    pq.write_table(table.set_column(table.schema.get_field_index("SkuPriceId"), "SkuPriceId", nested), tmp_path / "nested.parquet")
    assert "the column SkuPriceId is of the type struct<a: int64>, which is not read" in refused(tmp_path / "nested.parquet")


def test_f29_parquet_never_brings_types_of_its_own(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.table({name: [row[name] for row in day()] for name in focus.ROW})
    field = pa.field(
        "ResourceId", pa.string(), metadata={"ARROW:extension:name": "arrow.py_extension_type", "ARROW:extension:metadata": "x"}
    )
    place = table.schema.get_field_index("ResourceId")
    pq.write_table(table.set_column(place, field, table["ResourceId"]), tmp_path / "foreign.parquet")
    assert read(tmp_path / "foreign.parquet").match_rate == 1  # an unknown type is what it is stored as
    known = pa.ExtensionArray.from_storage(pa.json_(), pa.array(["{}"] * 48))
    pq.write_table(table.set_column(place, "ResourceId", known), tmp_path / "known.parquet")
    assert "ResourceId is of the type" in refused(tmp_path / "known.parquet")


def test_files_of_a_folder_in_order_without_hidden_ones(tmp_path: Path) -> None:
    for name in ("b/2.csv.gz", "a/1.CSV", "_SUCCESS.csv", ".hidden/3.csv", "manifest.json", "_tmp/4.parquet"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    assert [str(one.relative_to(tmp_path)) for one in export_files(tmp_path)] == ["a/1.CSV", "b/2.csv.gz"]


@pytest.mark.parametrize(
    ("unit", "hours"),
    [
        *(
            (unit, True)
            for unit in ("Hours", "hrs", "OCPU Per Hour", "Gigabyte Per Hour", "vCPU-Hours", "Units/Hour", "100 Hours", "GiBy.h")
        ),
        ("Seconds", True),
        *((unit, False) for unit in ("GB", "GiB/Second-Months", "Hash", "Requests", "", "GB-Months", "Units/Month", "Keys")),
    ],
)
def test_units_of_time(unit: str, hours: bool) -> None:
    assert is_hours(unit) is hours


COST = st.decimals(-1, 1000, places=6, allow_nan=False).map(str)
ROWS = st.lists(
    st.builds(
        lambda hour, cost, effective, who, unit, kind, hours: focus.charge(
            hour, cost, hours=hours, ResourceId=who, PricingUnit=unit, ChargeCategory=kind, EffectiveCost=effective
        ),
        st.integers(-3, 26),
        COST,
        COST,
        st.sampled_from(["i-a", "i-b", "i-other", "NULL"]),
        st.sampled_from(["Hours", "GB"]),
        st.sampled_from(["Usage", "Usage", "Credit", "Tax"]),
        st.integers(1, 30),
    ),
    min_size=1,
    max_size=60,
)


def same(one: Billing, other: Billing) -> None:
    pd.testing.assert_frame_equal(one.matched, other.matched, check_exact=True)
    for name in ("match_rate", "cost_match_rate", "covered", "unused_commitment", "credits"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    assert [(f["code"], f["data"]) for f in one.findings] == [(f["code"], f["data"]) for f in other.findings]


@settings(max_examples=25, deadline=None)
@given(ROWS, st.integers(1030, 6000))
def test_the_size_of_the_parts_and_the_format_change_nothing(tmp_path_factory: pytest.TempPathFactory, rows, chunk: int) -> None:
    folder = tmp_path_factory.mktemp("parts")
    whole = read(focus.write(folder / "a.csv", rows))
    same(whole, read(folder / "a.csv", chunk=chunk))
    for name in ("a.csv.gz", "a.parquet"):
        other = read(focus.write(folder / name, rows), chunk=chunk)
        pd.testing.assert_frame_equal(whole.matched, other.matched, check_exact=True)
        np.testing.assert_array_equal(whole.credits, other.credits)
