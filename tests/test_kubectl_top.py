"""Texts of kubectl top: what is read, what is named, and that nothing makes the reader fall (fault rows 26, 27, 50)."""

from __future__ import annotations

import math
import os
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aiops_analysis.core.errors import UsageError
from aiops_analysis.sources.kubectl_top import TOGETHER, Reading, parse_top, texts_of, time_of
from aiops_analysis.sources.pod_names import owners_by_name

AT = datetime(2026, 11, 1, 10, 5, tzinfo=UTC)
MI = 2**20


def read(text, **options):
    data = text if isinstance(text, bytes) else text.encode()
    return parse_top(data, where="t.txt", at=AT, namespace="default", **options)


def row(pod, container, cpu, memory, namespace="default", at=AT):
    return Reading(at, namespace, pod, container, cpu, memory)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("NAME   CPU(cores)   MEMORY(bytes)\nweb-1  5m  20Mi\n", row("web-1", TOGETHER, 0.005, 20 * MI)),
        ("NAMESPACE NAME CPU(cores) MEMORY(bytes)\nshop web-1 5m 20Mi\n", row("web-1", TOGETHER, 0.005, 20 * MI, "shop")),
        ("POD NAME CPU(cores) MEMORY(bytes)\nweb-1 app 5m 20Mi\n", row("web-1", "app", 0.005, 20 * MI)),
        ("NAMESPACE POD NAME CPU(cores) MEMORY(bytes)\nshop web-1 app 5m 20Mi", row("web-1", "app", 0.005, 20 * MI, "shop")),
        ("MEMORY(bytes) NAME SWAP(bytes) CPU(cores)\n20Mi web-1 0Mi 5m\n", row("web-1", TOGETHER, 0.005, 20 * MI)),
        # without a header: 3 and 5 words are clear, 4 by where the generated names stand
        ("web-1 5m 20Mi\n", row("web-1", TOGETHER, 0.005, 20 * MI)),
        ("shop web-1 app 5m 20Mi\n", row("web-1", "app", 0.005, 20 * MI, "shop")),
        ("web-7d9c5b8f6-x2x4z app 5m 20Mi\n", row("web-7d9c5b8f6-x2x4z", "app", 0.005, 20 * MI)),
        ("shop web-7d9c5b8f6-x2x4z 5m 20Mi\n", row("web-7d9c5b8f6-x2x4z", TOGETHER, 0.005, 20 * MI, "shop")),
    ],
)
def test_f26_the_shapes_that_kubectl_writes(text, expected):
    assert read(text).readings == [expected]
    assert read(text).noise == []


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_f26_encodings_and_line_ends(encoding, end):
    text = f"NAME CPU(cores) MEMORY(bytes){end}web-1 5m 20Mi{end}"
    assert read(text.encode(encoding)).readings == [row("web-1", TOGETHER, 0.005, 20 * MI)]


@pytest.mark.parametrize(
    ("cpu", "memory", "cores", "size"),
    [
        ("5m", "20Mi", 0.005, 20 * MI),
        ("2", "1Gi", 2.0, 2**30),
        ("1500000n", "512Ki", 0.0015, 2**19),
        ("1.5", "262144k", 1.5, 262_144_000),
        ("0m", "0Mi", 0.0, 0.0),
        ("<unknown>", "20Mi", math.nan, 20 * MI),
    ],
)
def test_f27_units_are_exact(cpu, memory, cores, size):
    (reading,) = read(f"NAME CPU(cores) MEMORY(bytes)\nweb-1 {cpu} {memory}\n").readings
    assert reading.cpu == cores or (math.isnan(reading.cpu) and math.isnan(cores))
    assert reading.memory == size


@pytest.mark.parametrize(
    "line",
    [
        "error: Metrics API not available",
        "W1101 10:05:00.000000 1 top_pod.go:140] Using json format to get metrics",
        "web-1 5m",  # a column is missing
        "web-1 5m 20Mi 3",
        "web-1 -5m 20Mi",
        "web-1 5m 100m",  # a tenth of a byte
        "web-1 abc 20Mi",
        "web-1 <unknown> <unknown>",
        "Web_1 5m 20Mi",
        "________ ________ ________",
    ],
)
def test_f26_noise_is_named_with_its_line(line):
    text = read(f"NAME CPU(cores) MEMORY(bytes)\n{line}\nweb-2 5m 20Mi\n")
    assert text.noise == [f"t.txt:2: {line}"]
    assert [r.pod for r in text.readings] == ["web-2"]


@pytest.mark.parametrize("data", [b"", b"\n\n", b"NAME CPU(cores) MEMORY(bytes)\n", b"\x00\x01\x02", b"\xff\xfe", b"No resources found\n"])
def test_f26_a_text_without_a_usable_line_is_named(data):
    text = read(data)
    assert text.readings == []
    assert text.noise[-1] == "t.txt: no usable line"


def test_f26_texts_of_nodes_are_not_pods():
    text = read("NAME CPU(cores) CPU% MEMORY(bytes) MEMORY%\nn1 100m 5% 1Gi 10%\n")
    assert text.readings == []
    assert "not the columns of kubectl top pods" in text.noise[0]


def test_four_words_without_a_header_are_not_guessed():
    text = read("shop web 5m 20Mi\n")
    assert text.readings == []
    assert "the columns are not clear" in text.noise[0]


def test_a_line_that_is_a_time_dates_what_follows():
    head = "NAME CPU(cores) MEMORY(bytes)"
    text = read(f"2026-11-01T11:00:00+01:00\n{head}\na-1 1m 1Mi\n2026-11-01T10:10:00Z\n{head}\na-1 2m 1Mi\n")
    assert [(r.at.hour, r.at.minute, r.cpu) for r in text.readings] == [(10, 0, 0.001), (10, 10, 0.002)]
    assert text.noise == []


@pytest.mark.parametrize(
    ("path", "hour", "minute"),
    [
        ("2026-11-01T10:05:00Z.txt", 10, 5),
        ("2026-11-01T10:05:00+02:00.txt", 8, 5),
        ("top-20261101T100500.log", 10, 5),
        ("20261101-1005", 10, 5),
        ("2026-11-01_10.05.txt", 10, 5),
        ("2026-11-01/10-05.txt", 10, 5),
        ("shop/2026-11-01.txt", 12, 0),
        ("1793527500.txt", 10, 5),  # 2026-11-01T10:05:00Z = 20,758 days x 86,400 + 36,300 s
    ],
)
def test_times_in_names(path, hour, minute):
    assert time_of(path) == datetime(2026, 11, 1, hour, minute, tzinfo=UTC)


@pytest.mark.parametrize("path", ["pods.txt", "2026-02-31.txt", "2026-13-01.txt", "v20261101234567890.txt", "1.txt"])
def test_names_without_a_time(path):
    assert time_of(path) is None


def test_a_folder(tmp_path):
    text = "NAME CPU(cores) MEMORY(bytes)\nweb-1 5m 20Mi\n"
    (tmp_path / "shop").mkdir()
    (tmp_path / "2026-11-01").mkdir()
    (tmp_path / "shop" / "2026-11-01T1005.txt").write_text(text)
    (tmp_path / "2026-11-01" / "10-10.txt").write_text(text)
    (tmp_path / ".hidden").write_text(text)
    old = tmp_path / "undated.txt"
    old.write_text(text)
    os.utime(old, (AT.timestamp(), AT.timestamp()))
    found = {t.where: [(r.namespace, r.at) for r in t.readings] for t in texts_of(tmp_path, namespace="default")}
    assert found == {
        "2026-11-01/10-10.txt": [("default", AT.replace(minute=10))],
        "shop/2026-11-01T1005.txt": [("shop", AT)],
        "undated.txt": [("default", AT)],
    }


def test_f50_packed_and_large_files_are_named_not_read(tmp_path):
    (tmp_path / "a.txt.gz").write_bytes(b"\x1f\x8b" + b"0" * 100)
    with (tmp_path / "b.txt").open("wb") as file:
        file.truncate(200 * MI)  # sparse: as a 200 MB text, without the disk
    assert [t.noise for t in texts_of(tmp_path)] == [
        ["a.txt.gz: packed; unpack it first"],
        ["b.txt: 209715200 bytes, more than 16 MiB for one text; split it"],
    ]


def test_f50_long_lines_and_many_bad_lines_are_bounded():
    text = read("NAME CPU(cores) MEMORY(bytes)\n" + "x" * 1_000_000 + "\n" + "junk\n" * 1000)
    assert text.passed_over == 1002  # 1,001 lines, and that none was usable
    assert len(text.noise) == 50
    assert max(len(line) for line in text.noise) < 150


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(UsageError, match="is not a folder"):
        list(texts_of(tmp_path / "none"))


names = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?", fullmatch=True)
rows = st.lists(st.tuples(names, names, names, st.integers(0, 10**6), st.integers(0, 10**6)), min_size=1, max_size=8)


@given(rows, st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]), st.sampled_from(["\n", "\r\n"]), st.integers(1, 9))
@settings(max_examples=60, deadline=None)
def test_what_kubectl_writes_is_read_back(given_rows, encoding, end, width):
    lines = [("NAMESPACE", "POD", "NAME", "CPU(cores)", "MEMORY(bytes)")] + [(n, p, c, f"{m}m", f"{k}Ki") for n, p, c, m, k in given_rows]
    text = end.join((" " * width).join(line) for line in lines)
    got = [(r.namespace, r.pod, r.container, r.cpu, r.memory) for r in parse_top(text.encode(encoding), where="t", at=AT).readings]
    assert got == [(n, p, c, pytest.approx(m / 1000), k * 1024) for n, p, c, m, k in given_rows]


@given(
    st.one_of(
        st.binary(max_size=300), st.text(max_size=300).map(lambda t: ("NAME CPU(cores) MEMORY(bytes)\n" + t).encode("utf-8", "replace"))
    )
)
@settings(max_examples=200, deadline=None)
def test_f60_any_bytes_give_readings_or_named_lines(data):
    text = parse_top(data, where="t", at=AT)
    assert text.readings or text.noise
    for reading in text.readings:
        assert reading.cpu >= 0 or math.isnan(reading.cpu)
        assert reading.pod.isascii()
    assert all(line.isprintable() for line in text.noise)


@given(st.text(max_size=80))
@settings(max_examples=200, deadline=None)
def test_f60_any_path_has_a_time_or_none(path):
    moment = time_of(path)
    assert moment is None or moment.tzinfo is UTC


def test_f21_owners_by_name_only_where_there_is_one_reading():
    pods = [
        ("shop", "web-7d9c5b8f6-x2x4z"),
        ("shop", "nightly-29310300-k7m2p"),  # minutes hold a 0, so they are no hash
        ("shop", "odd-25479264-k7m2p"),  # 8 digits of the hash alphabet: a hash or minutes
        ("shop", "db-0"),
        ("shop", "db-1"),
        ("shop", "cache-1"),  # no cache-0: a pod that somebody called so
        ("shop", "agent-x2x4z"),  # a DaemonSet, a Job or a ReplicaSet
        ("kube-system", "svclb-traefik-a6edc2ef-c2sjr"),  # not in the hash alphabet
        ("kube-system", "etcd-0"),  # a static pod on a node called 0
        ("shop", "lonely"),
    ]
    assert owners_by_name(pods) == {
        ("shop", "web-7d9c5b8f6-x2x4z"): ("Deployment", "web"),
        ("shop", "nightly-29310300-k7m2p"): ("CronJob", "nightly"),
        ("shop", "db-0"): ("StatefulSet", "db"),
        ("shop", "db-1"): ("StatefulSet", "db"),
    }
