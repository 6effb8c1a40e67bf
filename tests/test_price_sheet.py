"""A user's own price sheet: what it may say, and one clear line for everything that is wrong (fault row 29)."""

from __future__ import annotations

import math
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aiops_analysis.core.errors import UsageError
from aiops_analysis.core.pricing import PriceList
from aiops_analysis.sources.price_cells import CellError, price_of
from aiops_analysis.sources.prices import read_prices

TOML = """
name = "October"
currency = "EUR"
cpu_hour = 0.03
memory_hour = 0.004

[[price]]
instance_type = "m6i.large"
region = "eu-west-1"
capacity_type = "on-demand"
price_hour = 0.107
committed_nodes = 3
committed_until = 2027-01-31

[[price]]
pool = "metal"
cpu_hour = 0.02
memory_hour = 0.003
"""
CSV = "instance_type,region,price_hour,currency\nm6i.large,eu-west-1,0.107,EUR\nc6i.large,eu-west-1,0.09,eur\n"


def sheet(folder: Path, text: str, name: str = "prices.csv", currency: str = "USD") -> PriceList:
    path = folder / name
    path.write_bytes(text.encode())
    return read_prices(path, currency=currency)


def refused(folder: Path, text: str, name: str = "prices.csv") -> str:
    with pytest.raises(UsageError) as caught:
        sheet(folder, text, name)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_sheet_in_toml(tmp_path: Path) -> None:
    found = sheet(tmp_path, TOML, "prices.toml")
    assert (found.name, found.source, found.currency) == ("price-sheet", "price sheet October (prices.toml)", "EUR")
    assert (found.cpu_hour, found.memory_hour) == (0.03, 0.004)
    assert math.isnan(found.spot_cpu_hour)
    large, metal = found.rows
    assert (large.instance_type, large.region, large.capacity_type, large.price_hour) == ("m6i.large", "eu-west-1", "on-demand", 0.107)
    assert (large.committed_nodes, large.committed_until) == (3, date(2027, 1, 31))
    assert (metal.pool, metal.cpu_hour, metal.memory_hour, math.isnan(metal.price_hour)) == ("metal", 0.02, 0.003, True)
    assert found.warnings == ()


def test_a_sheet_in_csv(tmp_path: Path) -> None:
    found = sheet(tmp_path, "\ufeff" + CSV)
    assert (found.source, found.currency, len(found.rows)) == ("price sheet prices.csv", "EUR", 2)
    semicolons = sheet(tmp_path, CSV.replace(",", ";"))
    assert semicolons.rows == found.rows
    labelled = sheet(tmp_path, "label,price_hour,capacity_type\nteam=web,0.5,spot\n")
    assert (labelled.rows[0].label, labelled.rows[0].capacity_type) == (("team", "web"), "spot")


def test_a_sheet_without_a_currency_says_what_it_is_taken_as(tmp_path: Path) -> None:
    found = sheet(tmp_path, "instance_type,price_hour\nm6i.large,0.1\n", currency="CHF")
    assert found.currency == "CHF"
    assert found.warnings == ("prices.csv names no currency; its prices are taken as CHF",)


def test_the_content_decides_not_the_name(tmp_path: Path) -> None:
    assert sheet(tmp_path, CSV, "prices.toml").rows == sheet(tmp_path, CSV, "prices").rows
    assert sheet(tmp_path, TOML, "prices.csv").rows == sheet(tmp_path, TOML, "prices.toml").rows


BAD_CELLS = {
    "-0.1": "a price is above 0",
    "0": "a price is above 0",
    "0.0": "a price is above 0",
    "NaN": "no number",
    "inf": "no number",
    "1e99": "more than any machine costs",
    "$0.107": "write the number alone",
    "0.107 USD": "write the number alone",
    "€0.1": "write the number alone",
    "1_000": "expected a plain number",
    "0x10": "expected a plain number",
    "\u0661\u0662": "write the number alone",  # Arabic digits
    "=1+1": "expected a plain number",
}


@pytest.mark.parametrize("cell", BAD_CELLS)
def test_f29_a_price_that_is_no_price_is_refused_with_its_line(tmp_path: Path, cell: str) -> None:
    said = refused(tmp_path, f"instance_type,price_hour\nm6i.large,0.1\nm6i.xlarge,{cell}\n")
    assert said.startswith("prices.csv, line 3: ")
    assert BAD_CELLS[cell] in said


def test_f29_commas_in_numbers_are_named(tmp_path: Path) -> None:
    assert "with a decimal point, such as 0.107" in refused(tmp_path, "instance_type;price_hour\na;0,107\n")
    assert "without a thousands separator, such as 1234.5" in refused(tmp_path, 'instance_type,price_hour\na,"1,234.5"\n')
    assert "line 2: 3 cells, the header has 2; a decimal comma" in refused(tmp_path, "instance_type,price_hour\na,0,107\n")


@pytest.mark.parametrize("value", ["-0.1", "0", "0.0", "nan", "inf", "true", '"0.1 USD"', "1" + "0" * 400, "[0.1]"])
def test_f29_the_same_in_toml(tmp_path: Path, value: str) -> None:
    said = refused(tmp_path, f'currency = "USD"\n\n[[price]]\ninstance_type = "a"\nprice_hour = {value}\n', "p.toml")
    assert said.startswith("p.toml, price 1 (line 3): price_hour ")
    assert refused(tmp_path, f"cpu_hour = {value}\nmemory_hour = 1.0\n", "p.toml").startswith("p.toml: cpu_hour ")


def test_f29_two_currencies_are_refused(tmp_path: Path) -> None:
    said = refused(tmp_path, CSV.replace("eur", "USD"))
    assert said == "prices.csv, line 3: the currency is USD, and EUR in line 2; a report has one currency"
    inside = '\ncurrency = "USD"\n[[price]]\ninstance_type = "a"\nprice_hour = 1.0\ncurrency = "EUR"\n'
    assert "the currency is EUR, and USD in the top" in refused(tmp_path, inside, "p.toml")
    assert "expected a code of three letters" in refused(tmp_path, CSV.replace("eur", "€"))


def test_f29_equal_duplicates_count_once_and_others_are_refused(tmp_path: Path) -> None:
    again = sheet(tmp_path, CSV + "M6I.LARGE,EU-WEST-1,0.107,EUR\n")
    assert len(again.rows) == 2
    assert again.warnings == ("1 rows of prices.csv are there twice and count once",)
    said = refused(tmp_path, CSV + "m6i.large,eu-west-1,0.108,EUR\n")
    assert said.startswith("prices.csv, line 4: 'm6i.large eu-west-1' is priced here and in line 2 with other figures")


def test_f29_every_wrong_place_is_named_in_one_line(tmp_path: Path) -> None:
    rows = "".join(f"t{i},-1\n" for i in range(6))
    said = refused(tmp_path, "instance_type,price_hour\n" + rows)
    assert said.endswith("; also wrong: prices.csv, line 3, prices.csv, line 4, prices.csv, line 5 and 2 more")


def test_f29_an_unknown_column_has_its_nearest_name(tmp_path: Path) -> None:
    assert "unknown column 'instance-type'; did you mean instance_type?" in refused(tmp_path, "instance-type,price_hour\na,1\n")
    assert "unknown column 'Price Hour'; did you mean price_hour?" in refused(tmp_path, "instance_type,Price Hour\na,1\n")
    assert "unknown key prise_hour; did you mean price_hour?" in refused(tmp_path, '[[price]]\npool = "a"\nprise_hour = 1.0\n', "p.toml")
    assert "unknown key prices; did you mean price?" in refused(tmp_path, "cpu_hour = 1.0\n[[prices]]\n", "p.toml")
    assert "the column 'pool' is there twice" in refused(tmp_path, "pool,pool,price_hour\na,b,1\n")


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ('region = "x"\nprice_hour = 1.0', "name its instance_type, pool, node, provider_id or label"),
        ('pool = "a"', "there is no price"),
        ('pool = "a"\ncpu_hour = 1.0', "cpu_hour and memory_hour come together"),
        ('pool = "a"\nprice_hour = 1.0\ncommitted_nodes = 2', "committed_nodes and committed_until come together"),
        ('pool = "a"\nprice_hour = 1.0\ncommitted_until = 2027-01-01', "committed_nodes and committed_until come together"),
        ('pool = "a"\nprice_hour = 1.0\ncommitted_nodes = -2', "expected a whole number"),
        ('pool = "a"\nprice_hour = 1.0\ncommitted_nodes = 2.5', "expected a whole number"),
        ('pool = "a"\nprice_hour = 1.0\ncommitted_nodes = 2\ncommitted_until = "soon"', "expected a date"),
        ('pool = "a"\nprice_hour = 1.0\ncapacity_type = "reserved"', "expected on-demand or spot"),
        ('label = "team"\nprice_hour = 1.0', "expected key=value"),
        ("pool = 3\nprice_hour = 1.0", "expected a text in quotes"),
    ],
)
def test_f29_a_row_that_says_too_little_or_too_much(tmp_path: Path, row: str, said: str) -> None:
    assert said in refused(tmp_path, f'currency = "USD"\n[[price]]\n{row}\n', "p.toml")


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "it is empty"),
        (b"\x1f\x8bxxxx", "damaged gzip"),
        ("instance_type,price_hour\na,1\n".encode("utf-16"), "no text file in UTF-8"),
        (b"instance_type,price_hour\n\xe4,1\n", "not UTF-8 text"),
        (b"instance_type,price_hour\n", "a header and no row"),
        (b'instance_type,price_hour\n"a,1\n', "broken CSV"),
        (b"<html><body>", "HTML or XML"),
        (b'{"prices": ', "broken JSON"),
        (b'{"a": 1}', "no price list that is known here"),
        (b"[[price]\npool", "not valid TOML"),
        (b"one,two\n1,2\n", "a table with the columns one, two"),
        (b"hello", "it begins with 'hello'"),
        (b"[" * 100_000, "broken JSON"),
        (b'{"prices": {"us": 1}}', "expected the objects on_demand and spot"),
        (b'{"prices": {"us": {"spot": {"a": true}}}}', "the price is 'True', expected a number"),
        (b'{"prices": {"us": {"spot": {"a": -1}}}}', "a price is above 0"),
        (b'{"CPU": "0.03"}', "gives no prices of CPU and RAM"),
        (b'{"CPU": "0", "RAM": "1"}', "CPU is 0, a price is above 0"),
        (b"BilledCost,ChargeCategory\n1,Usage\n", "a FOCUS billing export"),
    ],
)
def test_f29_a_file_that_is_no_price_list_is_named(tmp_path: Path, data: bytes, said: str) -> None:
    path = tmp_path / "p"
    path.write_bytes(data)
    with pytest.raises(UsageError) as caught:
        read_prices(path)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_f29_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is not there"):
        read_prices(tmp_path / "none.toml")
    with pytest.raises(UsageError, match="is not a file"):
        read_prices(tmp_path)


def test_f50_a_packed_bomb_is_not_unpacked(tmp_path: Path) -> None:
    import gzip

    path = tmp_path / "p.csv.gz"
    with gzip.open(path, "wb", compresslevel=9) as file:
        for _ in range(80):
            file.write(b"a" * 2**20)
    with pytest.raises(UsageError, match="larger than 64 MiB"):
        read_prices(path)


@given(st.text(max_size=30))
@settings(max_examples=300, deadline=None)
def test_f29_no_cell_becomes_a_price_that_it_does_not_say(text: str) -> None:
    try:
        value = price_of(text)
    except CellError:
        return
    assert value == float(text)
    assert 0 < value < math.inf


_NAMES = st.text(max_size=12)


@given(st.lists(st.tuples(_NAMES, _NAMES, _NAMES), min_size=1, max_size=5))
@settings(max_examples=150, deadline=None)
def test_f29_hostile_rows_are_read_or_refused_in_one_line(tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, ...]]) -> None:
    import csv
    import io

    out = io.StringIO(newline="")
    csv.writer(out).writerows([("instance_type", "region", "price_hour"), *rows])
    path = tmp_path_factory.mktemp("p") / "p.csv"
    path.write_bytes(out.getvalue().encode("utf-8", "surrogatepass"))
    said, found = "", ()
    try:
        found = read_prices(path).rows
    except UsageError as error:
        said = str(error)
    assert "\n" not in said
    assert bool(said) != bool(found)
    assert all(row.price_hour > 0 for row in found)
