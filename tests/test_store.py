"""The store: commit by manifest, lock, leftovers, damage; fault rows 31 to 36 and 42."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from aiops_analysis.core.errors import StoreCorrupt, StoreError, StoreLocked, StoreNotWritable, StoreTooNew
from aiops_analysis.history import days as day_files
from aiops_analysis.history.days import block, bucket_count, commit_matrix, merge, read_day
from aiops_analysis.history.store import Manifest, clusters, open_store, write_file

DAY = date(2026, 11, 1)


def labels(rows: int, pods: int = 2) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "namespace": [f"ns{i % 3}" for i in range(rows)],
            "workload_kind": "Deployment",
            "workload": [f"w{i // pods}" for i in range(rows)],
            "pod": [f"p{i}" for i in range(rows)],
            "container": "app",
        }
    ).astype("str")


def samples(rows: int, seed: int = 0) -> np.ndarray:
    values = np.random.default_rng(seed).random((rows, 288)).astype(np.float32)
    values[values < 0.1] = np.nan
    return values


@pytest.fixture
def store(tmp_path):
    return open_store(tmp_path / "history", "prod")


def put(store, rows=5, day=DAY, seed=0, **about):
    with store.lock():
        return commit_matrix(store, Manifest("cpu_usage", day, **about), labels(rows), samples(rows, seed))


def test_a_day_comes_back_bit_for_bit(store):
    put(store, 7, warnings=("partial",), targets=((3, 288),))
    got, values = read_day(store, "cpu_usage", DAY)
    want = labels(7)
    order = want.sort_values(["namespace", "workload_kind", "workload", "container", "pod"]).index
    assert got.to_dict("list") == want.loc[order].to_dict("list")
    np.testing.assert_array_equal(values, samples(7)[order])
    manifest = store.manifest("cpu_usage", DAY)
    assert (manifest.rows, manifest.warnings, manifest.targets) == (7, ("partial",), ((3, 288),))


def test_an_empty_day_is_a_day(store):
    put(store, 0)
    got, values = read_day(store, "cpu_usage", DAY)
    assert len(got) == 0
    assert values.shape == (0, 288)
    assert store.days("cpu_usage") == [DAY]


@pytest.mark.parametrize(("rows", "count"), [(0, 1), (1500, 1), (1501, 2), (10_000, 8), (100_000, 128)])
def test_buckets_are_powers_of_two(rows, count):
    assert bucket_count(rows) == count


def test_buckets_hold_whole_workloads_and_finer_ones_nest_in_coarser(store, monkeypatch):
    second = date(2026, 11, 2)
    monkeypatch.setattr(day_files, "_BUCKET_ROWS", 20)
    put(store, 100)  # 8 buckets
    put(store, 35, second, seed=1)  # 2 buckets
    assert [store.manifest("cpu_usage", d).buckets for d in (DAY, second)] == [8, 2]
    seen: dict[tuple, int] = {}
    rows = 0
    for bucket in range(8):
        part = block(store, "cpu_usage", [DAY, second], bucket, 8)
        rows += len(part.samples)
        for key in set(part.labels[["namespace", "workload", "container"]].itertuples(index=False, name=None)):
            assert seen.setdefault(key, bucket) == bucket
        keys = part.labels.assign(day=part.day)[["namespace", "workload_kind", "workload", "container", "pod", "day"]]
        assert keys.equals(keys.sort_values(list(keys.columns), kind="stable").reset_index(drop=True))
    assert rows == 135
    whole = block(store, "cpu_usage", [DAY, second])  # one bucket asked of days that have more
    assert len(whole.samples) == 135
    assert np.nansum(whole.samples) == pytest.approx(np.nansum(samples(100)) + np.nansum(samples(35, 1)), rel=1e-6)


def test_a_merge_never_loses_a_sample():
    old, new = samples(3, 1), samples(3, 2)
    merged_labels, merged = merge((labels(3), old), (labels(3).iloc[1:].reset_index(drop=True), new[1:]))
    by_pod = dict(zip(merged_labels["pod"], merged, strict=True))
    np.testing.assert_array_equal(by_pod["p0"], old[0])
    np.testing.assert_array_equal(by_pod["p1"], np.where(np.isnan(new[1]), old[1], new[1]))
    assert len(merged) == 3


def test_the_fingerprint_names_the_bytes(store, tmp_path):
    put(store)
    other = open_store(tmp_path / "other", "elsewhere")
    put(other)
    assert store.fingerprint(["cpu_usage"], [DAY]) == other.fingerprint(["cpu_usage"], [DAY])
    put(other, seed=5)
    assert store.fingerprint(["cpu_usage"], [DAY]) != other.fingerprint(["cpu_usage"], [DAY])


_WRITER = """
import os, pathlib, sys
from datetime import date
sys.path.insert(0, sys.argv[2])
from tests.test_store import labels, samples
from aiops_analysis.history import store as s, days

def write(home, k):
    left = [k]
    def counted(real):
        def call(*args):
            left[0] -= 1
            if left[0] == 0:
                os._exit(9)  # as SIGKILL would: nothing is flushed, nothing is tidied
            return real(*args)
        return call
    os.replace, os.fsync = counted(os.replace), counted(os.fsync)
    store = s.open_store(home, "prod")
    with store.lock():
        store.clean()
        days.commit_matrix(store, s.Manifest("cpu_usage", date(2026, 11, 1)), labels(5), samples(5, 2))

days.pack(labels(1), samples(1))  # imports are done once, before the forks
for k in range(1, 40):
    child = os.fork()
    if child == 0:
        write(pathlib.Path(sys.argv[1]) / f"k{k}", k)
        os._exit(0)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    print(code)
    if code == 0:
        break
"""


@pytest.mark.parametrize("replacing", [False, True])
def test_f31_killed_at_every_step_the_reader_sees_the_old_day_or_the_new(tmp_path, replacing):
    root = str(Path(__file__).parent.parent)
    if replacing:
        for k in range(1, 40):
            put(open_store(tmp_path / f"k{k}", "prod"), seed=1)
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", _WRITER, str(tmp_path), root], capture_output=True, text=True, check=True)
    codes = [int(line) for line in done.stdout.split()]
    assert codes == [9] * (6 if replacing else 9) + [0]
    order = labels(5).sort_values(["namespace", "workload_kind", "workload", "container", "pod"]).index
    old, new = (samples(5, seed)[order].tobytes() for seed in (1, 2))
    for k in range(1, len(codes) + 1):
        home = tmp_path / f"k{k}"
        store = open_store(home, "prod")
        seen = read_day(store, "cpu_usage", DAY)[1].tobytes()
        assert seen in ((old, new) if replacing else (b"", new)), f"killed at call {k}"
        with store.lock():
            store.clean()
        put(store, seed=2)  # the next run completes, whatever was left
        assert read_day(store, "cpu_usage", DAY)[1].tobytes() == new
        assert not list(home.glob("**/.tmp-*"))
        assert len(list(home.glob("prod/cpu_usage/*/bucket-*.parquet"))) == 1


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_f32_disk_full_leaves_the_old_data(store, monkeypatch, call):
    put(store, seed=1)
    before = read_day(store, "cpu_usage", DAY)[1].tobytes()

    def full(*args):
        raise OSError(errno.ENOSPC, "No space left on device")

    with store.lock():
        monkeypatch.setattr(os, call, full)
        with pytest.raises(StoreNotWritable, match=r"cannot write .*bucket-0.*No space left on device; nothing that was there has changed"):
            commit_matrix(store, Manifest("cpu_usage", DAY), labels(5), samples(5, 2))
        monkeypatch.undo()
    assert read_day(store, "cpu_usage", DAY)[1].tobytes() == before
    assert not list(store.path.glob("**/.tmp-*"))


def test_f32_a_store_that_is_a_file(tmp_path):
    (tmp_path / "history").write_text("x")
    with pytest.raises(StoreError, match="is a file, expected a folder"):
        open_store(tmp_path / "history", "prod")
    with pytest.raises(StoreNotWritable, match="cannot write"):
        write_file(tmp_path / "history" / "x", b"1")


def _damage(path, how):
    data = path.read_bytes()
    path.write_bytes({"cut": data[: len(data) // 2], "empty": b"", "text": b"not parquet" * 10}[how])


@pytest.mark.parametrize("how", ["cut", "empty", "text"])
def test_f33_a_damaged_file_is_named_and_never_read(store, how):
    put(store)
    path = next(store.folder("cpu_usage", DAY).glob("bucket-*"))
    _damage(path, how)
    with pytest.raises(StoreCorrupt, match=r"bucket-0\.parquet is not what its manifest says"):
        read_day(store, "cpu_usage", DAY)
    assert "its manifest says" in store.damage("cpu_usage", DAY)
    moved = store.set_aside("cpu_usage", DAY)
    assert (moved / path.name).is_file()
    assert store.days("cpu_usage") == []


def test_f33_every_bit_flip_is_caught(store):
    put(store)
    path = next(store.folder("cpu_usage", DAY).glob("bucket-*"))
    data = path.read_bytes()
    for position in np.random.default_rng(4).integers(0, len(data) * 8, 200):
        flipped = bytearray(data)
        flipped[position // 8] ^= 1 << (position % 8)
        path.write_bytes(flipped)
        with pytest.raises(StoreCorrupt):
            read_day(store, "cpu_usage", DAY)
    path.write_bytes(data)
    assert len(read_day(store, "cpu_usage", DAY)[1]) == 5


def test_f33_a_missing_file_and_a_lying_manifest(store):
    put(store)
    folder = store.folder("cpu_usage", DAY)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"][0]["rows"] = 4
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(StoreCorrupt, match="has 5 rows, its manifest says 4"):
        read_day(store, "cpu_usage", DAY)
    next(folder.glob("bucket-*")).unlink()
    with pytest.raises(StoreCorrupt, match=r"bucket-0\.parquet is missing"):
        read_day(store, "cpu_usage", DAY)
    assert "is missing" in store.damage("cpu_usage", DAY)
    (folder / "manifest.json").write_text("{")
    with pytest.raises(StoreCorrupt, match=r"manifest\.json is not a manifest"):
        store.manifest("cpu_usage", DAY)
    assert "not a manifest" in store.damage("cpu_usage", DAY)
    (folder / "manifest.json").unlink()
    assert store.days("cpu_usage") == []


def test_f34_a_second_writer_waits_or_is_told_who_writes(store):
    with (
        store.lock(owner="pid 42 on node-a since 03:00"),
        pytest.raises(StoreLocked, match="pid 42 on node-a since 03:00"),
        store.lock(wait=0.05),
    ):
        pass
    with store.lock(wait=0.05):  # free again
        pass


def test_f34_the_lock_of_a_dead_process_is_free(store):
    code = (
        "import os, sys, pathlib; from aiops_analysis.history.store import open_store\n"
        "held = open_store(pathlib.Path(sys.argv[1]), 'prod').lock(); held.__enter__(); os._exit(9)"
    )
    assert subprocess.run([sys.executable, "-c", code, str(store.root)]).returncode == 9
    with store.lock(wait=1.0):
        pass


def test_f35_leftovers_are_cleaned(store):
    put(store)
    folder = store.folder("cpu_usage", DAY)
    (folder / ".tmp-1-bucket-0.parquet").write_bytes(b"x")
    (folder / "bucket-0.r2.parquet").write_bytes(b"x")
    loose = store.folder("cpu_usage", date(2026, 11, 2))
    loose.mkdir()
    (loose / "bucket-0.parquet").write_bytes(b"x")
    with store.lock():
        assert store.clean() == 3
    assert sorted(p.name for p in folder.iterdir()) == ["bucket-0.parquet", "manifest.json"]
    assert not loose.exists()


def test_f36_a_newer_store_is_refused(store):
    put(store)
    (store.path / "store.json").write_text('{"schema": 9}')
    with pytest.raises(StoreTooNew, match="newer version"):
        open_store(store.root, "prod")
    folder = store.folder("cpu_usage", DAY)
    (folder / "manifest.json").write_text('{"schema": 9}')
    with pytest.raises(StoreTooNew, match="newer version"):
        store.manifest("cpu_usage", DAY)


HOSTILE = [
    "../../etc",
    "/abs",
    "..",
    ".",
    "CON",
    "Prod",
    "prod",
    "a" * 10_000,
    "a\x00b",
    "arn:aws:eks:eu-west-1:1:cluster/prod",
    "e\u0301",
    "\u00e9",
    "",
]


def test_f42_cluster_names_never_leave_the_store_nor_collide(tmp_path):
    seen = set()
    for name in HOSTILE:
        store = open_store(tmp_path / "history", name)
        assert store.path.parent == tmp_path / "history"
        assert len(store.path.name.encode()) <= 255
        assert store.path.name.lower() not in seen
        seen.add(store.path.name.lower())
        put(store, 1)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["history"]
    assert set(clusters(tmp_path / "history")) >= {"prod", "Prod", "..", "CON"}
