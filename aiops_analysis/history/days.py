"""Day matrices: one row per series-day, 288 float32 steps, split into buckets that hold whole workloads (design.md section 2)."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from aiops_analysis.core.errors import SchemaError, StoreCorrupt
from aiops_analysis.core.schema import LABELS
from aiops_analysis.core.window import steps_of
from aiops_analysis.history.store import Manifest, Store

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Block", "block", "bucket_count", "commit_matrix", "merge", "pack", "read_day", "unpack"]

_BUCKET_ROWS = 1500  # a block of 30 such days of one metric is about 50 MB
_ROW_GROUP = 512
_GROUP_LABELS = ("namespace", "workload", "container")


@dataclass(frozen=True, slots=True)
class Block:
    """All series-days of some workloads in a window, sorted by workload, container, pod and day.

    labels : frame of LABELS, one row per series-day. day : index of the UTC day in the window.
    samples : float32 [rows, steps], NaN missing.
    """

    labels: pd.DataFrame
    day: np.ndarray
    samples: np.ndarray


def bucket_count(rows: int) -> int:
    """Number of buckets for a day of so many series: a power of two, so that finer ones nest in coarser ones."""
    count = 1
    while rows > count * _BUCKET_ROWS:
        count *= 2
    return count


def _hashes(labels: pd.DataFrame) -> np.ndarray:
    """64-bit blake2b of namespace, workload and container of each row: its top bits are the bucket."""
    codes, groups = _group_codes(labels, _GROUP_LABELS)
    digests = [hashlib.blake2b("\x00".join(g).encode("utf-8", "surrogatepass"), digest_size=8).digest() for g in groups]
    table = np.frombuffer(b"".join(digests), dtype=">u8").astype(np.uint64)
    return table[codes]


def _group_codes(labels: pd.DataFrame, names: Sequence[str]) -> tuple[np.ndarray, list[tuple[str, ...]]]:
    index = pd.MultiIndex.from_frame(labels[list(names)])
    codes, unique = index.factorize()
    return np.asarray(codes), [tuple(str(part) for part in key) for key in unique]


def _bucket_of(hashes: np.ndarray, buckets: int) -> np.ndarray:
    bits = buckets.bit_length() - 1
    return (hashes >> np.uint64(64 - bits)).astype(np.int64) if bits else np.zeros(len(hashes), np.int64)


def _order(labels: pd.DataFrame) -> np.ndarray:
    keys = ("namespace", "workload_kind", "workload", "container", "pod")
    return labels[list(keys)].reset_index(drop=True).sort_values(list(keys), kind="stable").index.to_numpy()


def _check(labels: pd.DataFrame, samples: np.ndarray) -> None:
    missing = [name for name in LABELS if name not in labels.columns]
    if missing:
        raise SchemaError(f"the labels of a day lack the columns {', '.join(missing)}")
    if samples.ndim != 2 or len(labels) != len(samples) or samples.shape[1] != steps_of():
        raise SchemaError(
            f"a day has {len(labels)} label rows and samples of shape {samples.shape}, expected [{len(labels)}, {steps_of()}]"
        )
    if labels.duplicated(list(LABELS)).any():
        raise SchemaError(f"a day holds the series {labels[labels.duplicated(list(LABELS))].iloc[0].to_dict()} more than once")


def pack(labels: pd.DataFrame, samples: np.ndarray) -> bytes:
    """The Parquet bytes of some series-days: zstd, floats split by byte, page checksums."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    flat = pa.array(np.ascontiguousarray(samples, dtype=np.float32).reshape(-1))
    columns = {name: pa.array(labels[name], pa.string()) for name in LABELS}
    columns["samples"] = pa.FixedSizeListArray.from_arrays(flat, samples.shape[1])
    out = io.BytesIO()
    pq.write_table(
        pa.table(columns),
        out,
        compression="zstd",
        row_group_size=_ROW_GROUP,
        use_dictionary=list(LABELS),
        column_encoding={"samples.list.element": "BYTE_STREAM_SPLIT"},
        write_statistics=False,
        write_page_checksum=True,
        store_schema=False,
    )
    return out.getvalue()


def unpack(data: bytes, where: str) -> tuple[pa.Table, np.ndarray]:
    """Labels as an Arrow table and the samples of Parquet bytes; raises StoreCorrupt when they are not a day of the history."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.ParquetFile(pa.BufferReader(data), page_checksum_verification=True).read(use_threads=False)
        flat = table.column("samples").combine_chunks().flatten() if table.num_rows else pa.array([], pa.float32())
        samples = flat.to_numpy(zero_copy_only=True).reshape(table.num_rows, steps_of())
        return table.select(list(LABELS)), samples
    except (pa.ArrowException, KeyError, ValueError, OSError) as error:
        raise StoreCorrupt(f"{where} is not a day of the history ({type(error).__name__})") from error


def commit_matrix(store: Store, manifest: Manifest, labels: pd.DataFrame, samples: np.ndarray) -> Manifest:
    """Store the series of one day of one metric; the manifest comes last and is returned with its files filled in."""
    _check(labels, samples)
    buckets = bucket_count(len(labels))
    order = _order(labels)
    which = _bucket_of(_hashes(labels), buckets)[order] if len(labels) else np.empty(0, np.int64)
    files = {}
    width = len(str(buckets - 1))
    for bucket in range(buckets):
        rows = order[which == bucket]
        files[f"bucket-{bucket:0{width}d}"] = (pack(labels.iloc[rows], samples[rows]), len(rows))
    return store.commit(replace(manifest, buckets=buckets), files)


def merge(old: tuple[pd.DataFrame, np.ndarray], new: tuple[pd.DataFrame, np.ndarray]) -> tuple[pd.DataFrame, np.ndarray]:
    """Both days in one: every series of either, the new value where there is one, so that no series loses samples."""
    labels = pd.concat([new[0][list(LABELS)], old[0][list(LABELS)]], ignore_index=True)
    samples = np.concatenate([new[1], old[1]])
    codes, groups = _group_codes(labels, LABELS)
    out = np.full((len(groups), samples.shape[1]), np.nan, np.float32)
    for row in range(len(samples) - 1, -1, -1):  # new rows come last, so they win
        target = out[codes[row]]
        np.copyto(target, samples[row], where=~np.isnan(samples[row]))
    return pd.DataFrame(groups, columns=list(LABELS), dtype="str"), out


def read_day(store: Store, metric: str, day: date) -> tuple[pd.DataFrame, np.ndarray]:
    """All series of one committed day; empty when the day is not there. Raises StoreCorrupt."""
    whole = block(store, metric, [day])
    return whole.labels, whole.samples


def _tables(store: Store, metric: str, manifest: Manifest, bucket: int, buckets: int) -> Iterator[tuple[pa.Table, np.ndarray]]:
    """Tables of a day that hold rows of ``bucket`` of ``buckets``; a coarser day is filtered by the hash."""
    ratio = max(1, buckets // manifest.buckets)
    for index in range(bucket // ratio, max(bucket // ratio + 1, (bucket + 1) * manifest.buckets // buckets)):
        entry = manifest.files[index]
        if not entry.rows:
            continue
        table, samples = unpack(store.read(metric, manifest.day, entry), f"{store.folder(metric, manifest.day) / entry.name}")
        if len(samples) != entry.rows:
            raise StoreCorrupt(f"{store.folder(metric, manifest.day) / entry.name} has {len(samples)} rows, its manifest says {entry.rows}")
        if ratio > 1:
            keep = np.flatnonzero(_bucket_of(_hashes(table.to_pandas()), buckets) == bucket)
            table, samples = table.take(keep), samples[keep]
        yield table, samples


def block(
    store: Store, metric: str, days: Sequence[date], bucket: int = 0, buckets: int = 1, manifests: Mapping[date, Manifest] | None = None
) -> Block:
    """The series-days of one bucket over a window; missing days are left out. Raises StoreCorrupt.

    One call holds about two copies of the block's samples at most.
    """
    import pyarrow as pa

    found = store.manifests(metric, days) if manifests is None else manifests
    tables, parts, index = [], [], []
    for number, day in enumerate(days):
        if day not in found:
            continue
        for table, samples in _tables(store, metric, found[day], bucket, buckets):
            tables.append(table)
            parts.append(samples)
            index.append(np.full(len(samples), number, np.int32))
    if not parts:
        empty = pd.DataFrame({name: pd.Series([], dtype="str") for name in LABELS})
        return Block(empty, np.empty(0, np.int32), np.empty((0, steps_of()), np.float32))
    labels, day_index = pa.concat_tables(tables).unify_dictionaries(), np.concatenate(index)
    order = _block_order(labels, day_index)
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    out = np.empty((len(order), steps_of()), np.float32)
    start = 0
    while parts:  # each day's copy is freed as soon as it is placed
        part = parts.pop(0)
        out[place[start : start + len(part)]] = part
        start += len(part)
    return Block(labels.take(order).to_pandas(), day_index[order], out)


def _block_order(labels: pa.Table, day: np.ndarray) -> np.ndarray:
    """Row order by workload, container, pod and day, from the sorted codes of each label."""
    keys = [day]
    for name in ("pod", "container", "workload", "workload_kind", "namespace"):
        codes = labels.column(name).combine_chunks().dictionary_encode()
        rank = np.empty(len(codes.dictionary), np.int64)
        rank[np.argsort(codes.dictionary.to_numpy(zero_copy_only=False), kind="stable")] = np.arange(len(rank))
        keys.append(rank[codes.indices.to_numpy()])
    return np.lexsort(keys)
