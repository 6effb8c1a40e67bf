"""Answers become label sets and matrices: every number exact, every oddity counted; real servers give what the client library gives."""

from __future__ import annotations

import json
import struct
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_api_client import PrometheusConnect

from aiops_analysis.core.errors import BadAnswer, SourceRefused, SourceUnreachable, UsageError
from aiops_analysis.core.redact import Redactor
from aiops_analysis.sources.http import Server
from aiops_analysis.sources.matrices import Grid, joined, read_matrix
from aiops_analysis.sources.prometheus import Flavour, Prometheus
from tests import servers
from tests.faults import server as fault

T0 = 1_793_491_200  # 2026-11-01 00:00 UTC
START = datetime.fromtimestamp(T0, UTC)
GRID = Grid(float(T0), 300, 4)  # 00:00, 00:05, 00:10, 00:15
NAN = float("nan")


def read(document: object, grid: Grid = GRID, kind: type = np.float64):
    data = document if isinstance(document, bytes) else orjson.dumps(document)
    return read_matrix(bytearray(data), grid, kind)[1]


def one(*pairs, grid: Grid = GRID, kind: type = np.float64):
    """The only row and the counts of a series of these (step number, text) pairs."""
    found = read(fault.matrix(({"pod": "a"}, [(T0 + 300 * k, text) for k, text in pairs])), grid, kind)
    return found.samples[0].tolist(), dict(found.odd)


# --- numbers ---------------------------------------------------------------------------------------------------------------------------


def test_values_stand_on_their_steps() -> None:
    found = read(fault.matrix(({"pod": "b"}, [(T0 + 300, "2.5")]), ({"pod": "a"}, [(T0, "1"), (T0 + 900, "4e-3")])))
    assert found.labels == [{"pod": "a"}, {"pod": "b"}]  # in the order of their labels
    np.testing.assert_array_equal(found.samples, [[1, NAN, NAN, 0.004], [NAN, 2.5, NAN, NAN]])
    assert found.odd == Counter()


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=4, max_size=4))
def test_every_float64_is_exact(values: list[float]) -> None:
    # repr is the shortest text that reads back; Go writes the same digits, without or with an exponent
    row, odd = one(*enumerate(map(repr, values)))
    assert struct.pack("4d", *row) == struct.pack("4d", *(value + 0.0 for value in values)) or row == values
    assert odd == {}


@given(st.decimals(allow_nan=False, allow_infinity=False, places=18, min_value=-(10**12), max_value=10**12))
def test_long_decimals_are_rounded_once(value) -> None:
    assert one((0, f"{value:f}"))[0][0] == float(f"{value:f}")


def test_float32_is_the_nearest_to_the_float64() -> None:
    text = "0.1000000014901161"  # between two float32; the float64 decides
    assert one((0, text), kind=np.float32)[0][0] == float(np.float32(float(text)))


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("NaN", "nan"),
        ("+Inf", "infinite"),
        ("-Inf", "infinite"),
        ("1e400", "infinite"),
        ("", "unreadable"),
        ("abc", "unreadable"),
        ("1_000", "unreadable"),
        ("0x10", "unreadable"),
        ("\u0661", "unreadable"),
        ("1,5", "unreadable"),
        (None, "unreadable"),
        (True, "unreadable"),
        ([1], "unreadable"),
    ],
)
def test_f14_what_is_no_number_is_missing_and_counted(text, kind: str) -> None:
    assert repr(one((0, "1"), (1, text), (2, "3"), (3, "4"))) == repr(([1.0, NAN, 3.0, 4.0], {kind: 1}))


def test_f14_values_that_the_store_cannot_hold_are_counted() -> None:
    assert repr(one((0, "1e308"), (1, "-1"), kind=np.float32)) == repr(([NAN, -1.0, NAN, NAN], {"infinite": 1}))
    assert one((0, "1e308"))[0][0] == 1e308  # as float64 it is a number; whether it is possible is decided at the door of the history


def test_a_plain_number_is_read_like_its_text() -> None:
    assert one((0, 1.5), (1, 2))[0][:2] == [1.5, 2.0]


# --- times -----------------------------------------------------------------------------------------------------------------------------


def test_f18_samples_outside_the_range_are_dropped_and_counted() -> None:
    assert repr(one((-1, "9"), (0, "1"), (4, "9"), (99, "9"))) == repr(([1.0, NAN, NAN, NAN], {"outside": 3}))


def test_f18_samples_off_the_grid_go_to_the_nearest_step() -> None:
    # 40 s after 00:05; 100 s before 00:15
    assert repr(one((1 + 40 / 300, "2"), (3 - 100 / 300, "4"))) == repr(([NAN, 2.0, NAN, 4.0], {"off_grid": 2}))


def test_a_millisecond_is_still_on_the_grid() -> None:
    assert repr(one((1 + 0.001 / 300, "2"))) == repr(([NAN, 2.0, NAN, NAN], {}))


def test_f18_doubled_and_unsorted_samples() -> None:
    assert repr(one((2, "3"), (0, "1"), (0, "7"))) == repr(([1.0, NAN, 3.0, NAN], {"unsorted": 1, "crowded": 1}))
    # of two samples on one step the one nearer to it counts
    assert repr(one((0 + 50 / 300, "9"), (0, "1"))) == repr(([1.0, NAN, NAN, NAN], {"unsorted": 1, "off_grid": 1, "crowded": 1}))


def test_f16_a_label_set_that_comes_twice_is_one_row() -> None:
    found = read(
        fault.matrix(({"a": "1", "b": "2"}, [(T0, "1"), (T0 + 300, "2")]), ({"b": "2", "a": "1"}, [(T0 + 300, "9"), (T0 + 600, "3")]))
    )
    assert found.labels == [{"a": "1", "b": "2"}]
    np.testing.assert_array_equal(found.samples, [[1, 2, 3, NAN]])
    assert found.odd == {"duplicate": 1}
    assert found.named == {(("a", "1"), ("b", "2")): {"duplicate": 1}}


# --- bodies ----------------------------------------------------------------------------------------------------------------------------

AWKWARD = [
    {"pod": 'a","values":[[1,"2"]],"x":"'},
    {"pod": '{"metric":{"a":"b"},"values":[[1,"2"]]}'},
    {"pod": '"result":[{"metric":'},
    {"pod": "]]}]}}", "zz": "\\"},
    {"metric": "values", "result": "x"},
    {"pod": "ünï\u2028\U0001f600"},
    {},
]


@pytest.mark.parametrize("pretty", [False, True], ids=["compact", "pretty"])
@pytest.mark.parametrize("order", [False, True], ids=["metric first", "values first"])
def test_f45_labels_that_look_like_json(pretty: bool, order: bool) -> None:
    document = fault.matrix(*((labels, [(T0, str(n)), (T0 + 300, "0.5")]) for n, labels in enumerate(AWKWARD)))
    if order:
        document["data"]["result"] = [dict(reversed(row.items())) for row in document["data"]["result"]]  # type: ignore[index]
    data = json.dumps(document, indent=2).encode() if pretty else orjson.dumps(document)
    found = read(data)
    assert [found.labels[i] for i in np.argsort(found.samples[:, 0])] == AWKWARD
    assert found.samples[:, 1].tolist() == [0.5] * len(AWKWARD)
    assert found.odd == {}


@given(
    st.lists(
        st.tuples(
            st.dictionaries(st.text(), st.text().filter(lambda t: "\0" not in t), max_size=3),
            st.lists(st.tuples(st.integers(0, 3), st.sampled_from(["1", "0.25", "NaN", "-3e-7", "x"])), min_size=1, max_size=4),
        ),
        max_size=4,
    )
)
def test_series_by_series_equals_the_whole_document(series) -> None:
    document = fault.matrix(*((labels, [(T0 + 300 * k, text) for k, text in pairs]) for labels, pairs in series))
    compact, spaced = read(orjson.dumps(document)), read(json.dumps(document).encode())
    assert compact.labels == spaced.labels
    np.testing.assert_array_equal(compact.samples, spaced.samples)
    assert compact.odd == spaced.odd


def test_other_keys_around_the_result_are_kept() -> None:
    document = {
        "status": "success",
        "isPartial": False,
        **fault.matrix(({"a": "b"}, [(T0, "1")])),
        "stats": {"seriesFetched": "1"},
        "infos": ["i"],
    }
    rest, found = read_matrix(bytearray(orjson.dumps(document)), GRID, np.float32)
    assert (rest["stats"], rest["infos"], rest["data"]["result"]) == ({"seriesFetched": "1"}, ["i"], [])
    assert len(found.labels) == 1


def test_an_empty_result_has_no_rows() -> None:
    found = read(fault.matrix())
    assert (found.labels, found.samples.shape) == ([], (0, 4))


def test_bytes_that_are_no_utf8_become_visible() -> None:
    data = orjson.dumps(fault.matrix(({"pod": "bad-XX"}, [(T0, "1")]), ({"pod": "good"}, [(T0, "2")]))).replace(b"XX", b"\xff\xc3")
    found = read(data)
    assert found.labels == [{"pod": "bad-\\xff\\xc3"}, {"pod": "good"}]
    assert found.samples[:, 0].tolist() == [1, 2]
    assert found.odd == {"bad_text": 2}


def test_a_nul_in_a_label_becomes_visible() -> None:
    assert read(fault.matrix(({"pod": "a\0b"}, [(T0, "1")]))).labels == [{"pod": "a\\x00b"}]


def test_native_histograms_are_counted_and_left_out() -> None:
    document = fault.matrix(({"a": "1"}, [(T0, "1")]))
    document["data"]["result"].append({"metric": {"a": "2"}, "histograms": [[T0, {"count": "1"}]]})  # type: ignore[index]
    found = read(document)
    np.testing.assert_array_equal(found.samples, [[1, NAN, NAN, NAN], [NAN] * 4])
    assert found.odd == {"histogram": 1}


def test_joined_by_label_set_without_changing_its_parts() -> None:
    left, right = read(fault.matrix(({"a": "1"}, [(T0, "1")]))), read(fault.matrix(({"a": "0"}, [(T0, "2")]), ({"a": "1"}, [(T0, "3")])))
    before = left.samples.copy(), right.samples.copy()
    whole = joined([(0, left), (4, right)], 8, np.float64)
    assert whole.labels == [{"a": "0"}, {"a": "1"}]
    np.testing.assert_array_equal(whole.samples, [[NAN] * 4 + [2, NAN, NAN, NAN], [1, NAN, NAN, NAN, 3, NAN, NAN, NAN]])
    np.testing.assert_array_equal(left.samples, before[0])
    np.testing.assert_array_equal(right.samples, before[1])


# --- questions -------------------------------------------------------------------------------------------------------------------------


def source_of(url: str, **options) -> Prometheus:
    return Prometheus(Server(url), Redactor(), sleep=lambda _: None, **options)


def test_the_range_is_asked_in_whole_utc_seconds() -> None:
    with fault.serve(fault.good(fault.matrix())) as server:
        source = source_of(server.url)
        answer = source.range("up", START, START + timedelta(hours=1))
        source.close()
    form = server.seen[0].form
    assert (server.seen[0].path, form["query"], form["start"], form["end"], form["step"]) == (
        "/api/v1/query_range",
        "up",
        str(T0),
        str(T0 + 3600),
        "300",
    )
    assert answer.samples.shape == (0, 13)
    assert answer.requests == 1
    assert answer.bytes > 0


def test_more_columns_than_a_server_gives_are_split_before_asking() -> None:
    with fault.serve(fault.good(fault.matrix())) as server:
        source = source_of(server.url)
        assert source.range("up", START, START + timedelta(seconds=12_000), 1).samples.shape == (0, 12_001)
        source.close()
    # 12,001 columns are more than 11,000: 6,000 and 6,001
    assert [(int(r.form["end"]) - int(r.form["start"])) for r in server.seen] == [5_999, 6_000]


@pytest.mark.parametrize("end", [START + timedelta(seconds=301), START - timedelta(seconds=300), datetime(2026, 11, 2)])  # noqa: DTZ001
def test_ranges_that_make_no_sense(end: datetime) -> None:
    with pytest.raises(UsageError):
        source_of("http://127.0.0.1:9").range("up", START, end)


def test_instant_values_in_float64() -> None:
    rows = fault.vector(({"a": "1"}, (T0, "0.1")), ({"a": "2"}, (T0, "NaN")), ({"a": "3"}, (T0, "+Inf")))
    with fault.serve(fault.good(rows)) as server:
        source = source_of(server.url)
        found = source.instant("q", START)
        source.close()
    assert [m["a"] for m in found.labels] == ["1", "2", "3"]
    np.testing.assert_array_equal(found.values, [0.1, NAN, NAN])
    assert server.seen[0].form["time"] == str(T0)


@pytest.mark.parametrize("row", [{"value": [T0, "1"]}, {"metric": {}}, {"metric": [], "value": [T0, "1"]}, {"metric": {}, "value": [1]}, 7])
def test_f03_series_without_labels_or_values(row) -> None:
    document = {"status": "success", "data": {"resultType": "vector", "result": [row]}}
    with fault.serve(fault.good(document)) as server, pytest.raises(BadAnswer, match="without labels or values"):
        source_of(server.url).instant("q", START)


def test_a_subquery_keeps_its_own_times() -> None:
    with fault.serve(fault.good(fault.matrix(({"a": "1"}, [(T0, "1"), (T0 + 7, "2")])))) as server:
        source = source_of(server.url)
        assert source.matrix("q[1d:1m]", START) == [([START, START + timedelta(seconds=7)], [1.0, 2.0])]
        source.close()


def test_names() -> None:
    with fault.serve(fault.good({"status": "success", "data": ["up", "down"]})) as server:
        source = source_of(server.url)
        assert source.names() == {"up", "down"}
        source.close()
    assert server.seen[0].path == "/api/v1/label/__name__/values"


@pytest.mark.parametrize("data", [{"a": 1}, None, "up"])
def test_f03_names_that_are_no_list(data) -> None:
    with fault.serve(fault.good({"status": "success", "data": data})) as server, pytest.raises(BadAnswer, match="the values of a label"):
        source_of(server.url).names()


# --- flavours --------------------------------------------------------------------------------------------------------------------------


def pages(**by_end):
    """A server that knows these paths by their last part."""

    def answer(live, request, stop) -> None:
        known = by_end.get(request.path.rpartition("/")[2])
        (known or fault.page(404, "404 page not found", "text/plain"))(live, request, stop)

    return answer


def status(data) -> fault.Answer:
    return fault.good({"status": "success", "data": data})


GO = {"version": "2.42.0", "goVersion": "go1.19"}
NO_TIME = {"storage.tsdb.retention.time": "0s"}


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (
            pages(buildinfo=status(GO), flags=status({"storage.tsdb.retention.time": "30d"})),
            Flavour("prometheus", "2.42.0", timedelta(days=30)),
        ),
        (
            pages(buildinfo=status(GO), flags=status(NO_TIME), runtimeinfo=status({"storageRetention": "15d or 10GiB"})),
            Flavour("prometheus", "2.42.0", timedelta(days=15)),
        ),
        (
            pages(buildinfo=status(GO), flags=status(NO_TIME), runtimeinfo=status({"storageRetention": "10GiB"})),
            Flavour("prometheus", "2.42.0"),
        ),
        (pages(buildinfo=status(GO)), Flavour("prometheus", "2.42.0")),
        (pages(buildinfo=status({"version": "0.36.1", "goVersion": "go1.22"})), Flavour("thanos", "0.36.1")),
        (pages(buildinfo=status({"application": "Grafana Mimir", "version": "2.14.0", "goVersion": "go1.22"})), Flavour("mimir", "2.14.0")),
        (
            pages(
                buildinfo=status({"version": "2.24.0"}),
                flags=fault.page(200, '-httpListenAddr=":8428"\n-retentionPeriod="3"\n', "text/plain"),
                metrics=fault.page(200, 'vm_app_version{version="victoria-metrics-x", short_version="v1.102.0"} 1\n', "text/plain"),
            ),
            Flavour("victoriametrics", "v1.102.0", timedelta(days=93)),
        ),
        (pages(), Flavour("unknown", "")),
        (pages(buildinfo=fault.page(403, "not for you")), Flavour("unknown", "")),
        (pages(buildinfo=status(["?"]), flags=fault.page(200, "<html>")), Flavour("unknown", "")),
    ],
    ids=["flags", "runtimeinfo", "by size", "no retention", "thanos", "mimir", "victoria", "nothing", "hidden", "odd"],
)
def test_flavours(answer, expected: Flavour) -> None:
    with fault.serve(answer) as server:
        source = source_of(server.url)
        assert source.flavour() == expected
        source.close()


def test_f02_the_flavour_of_a_server_that_refuses_is_unknown_and_its_queries_say_why() -> None:
    with fault.serve(fault.page(401, "no")) as server:
        source = source_of(server.url)
        assert source.flavour() == Flavour("unknown", "")
        with pytest.raises(SourceRefused):
            source.instant("up", START)
        source.close()


def test_f01_the_flavour_of_a_server_that_is_away_raises() -> None:
    with pytest.raises(SourceUnreachable):
        source_of(f"http://127.0.0.1:{servers.free_port()}").flavour()


# --- real servers ----------------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def blocks(tmp_path_factory) -> Path:
    """Counters and gauges of five pods over six hours, with awkward numbers, holes and short lives, in a real TSDB."""
    folder, rng = tmp_path_factory.mktemp("tsdb"), np.random.default_rng(3)
    lines = ["# TYPE work counter"]
    for pod in range(5):
        total = 0.0
        for k in range(361):
            total += float(rng.random()) ** 3
            if not (pod == 1 and 100 < k < 160) and not (pod == 2 and k > 40):
                lines.append(f'work_total{{namespace="n{pod % 2}",pod="p{pod}"}} {total!r} {T0 + 60 * k}')
    lines.append("# TYPE odd gauge")
    lines += [f'odd{{kind="{kind}"}} {value} {T0 + 60}' for kind, value in {"a": "NaN", "b": "+Inf", "c": "1e308", "d": "5e-324"}.items()]
    (folder / "work.om").write_text("\n".join([*lines, "# EOF\n"]))
    servers.create_blocks(folder / "work.om", folder / "blocks")
    return folder / "blocks"


@pytest.mark.server
@pytest.mark.parametrize("exact", [True, False])
def test_equals_custom_query_range_on_a_real_prometheus(blocks: Path, prometheus_server, exact: bool) -> None:
    url, query, end = prometheus_server(blocks).url, "rate(work_total[5m])", START + timedelta(hours=6)
    source = source_of(url)
    found = source.range(query, START, end, exact=exact)
    peer = PrometheusConnect(url).custom_query_range(query, START, end, "300")
    kind = np.float64 if exact else np.float32
    expected = np.full((5, 73), np.nan, kind)
    for row, series in enumerate(sorted(peer, key=lambda series: sorted(series["metric"].items()))):
        assert found.labels[row] == series["metric"]
        for stamp, text in series["values"]:
            expected[row, (int(stamp) - T0) // 300] = kind(float(text))
    np.testing.assert_array_equal(found.samples, expected)
    assert np.isnan(found.samples).any()
    assert found.odd == {}
    source.close()


@pytest.mark.server
def test_a_real_prometheus_says_what_it_is(blocks: Path, prometheus_server) -> None:
    source = source_of(prometheus_server(blocks).url)
    flavour = source.flavour()
    assert (flavour.name, flavour.retention) == ("prometheus", timedelta(days=30 * 365))
    assert flavour.version.startswith("2.") or flavour.version.startswith("3.")
    assert {"work_total", "odd"} <= source.names()
    assert source.label_values("pod") == ["p0", "p1", "p2", "p3", "p4"]
    found = source.instant("odd", START + timedelta(minutes=2))
    np.testing.assert_array_equal(found.values, [NAN, NAN, 1e308, 5e-324])
    assert source.range("odd", START, START + timedelta(minutes=5)).odd == {"nan": 1, "infinite": 2}
    times, values = source.matrix('work_total{pod="p0"}[10m:5m]', START + timedelta(hours=1))[0]
    # Prometheus 2 gives the left edge too, Prometheus 3 does not
    assert times[-2:] == [START + timedelta(minutes=55), START + timedelta(hours=1)]
    assert values[-2] < values[-1]
    assert source.server_date is not None
    source.close()


@pytest.mark.server
def test_a_real_victoria_says_what_it_is_and_equals_itself(victoria_server) -> None:
    server = victoria_server()
    text = "".join(f'work{{pod="p{pod}"}} {pod + k / 7!r} {(T0 + 60 * k) * 1000}\n' for pod in range(3) for k in range(200))
    servers.import_text(server, text.encode())
    source, end = source_of(server.url), START + timedelta(hours=3)
    assert (source.flavour().name, source.flavour().retention) == ("victoriametrics", timedelta(days=30 * 365))
    found = source.range("rate(work[5m])", START, end)
    peer = PrometheusConnect(server.url).custom_query_range("rate(work[5m])", START, end, "300", params={"nocache": "1"})
    assert len(peer) == len(found.labels) == 3
    for row, series in enumerate(sorted(peer, key=lambda series: sorted(series["metric"].items()))):
        for stamp, value in series["values"]:
            assert found.samples[row, (int(stamp) - T0) // 300] == np.float32(float(value))
    source.close()
