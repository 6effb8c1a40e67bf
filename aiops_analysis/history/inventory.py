"""Facts as intervals, one row per run of equal facts: a pod that lived an hour has its owner and its price (design.md section 2)."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable
from datetime import date
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from aiops_analysis.core.errors import StoreCorrupt
from aiops_analysis.core.schema import BOUNDS, BURST, HPAS, INVENTORY, NODES, RUNS, WORKLOADS, Contract, check, empty
from aiops_analysis.history.store import Manifest, Store

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["ASKED", "KINDS", "commit_frame", "pack_frame", "read_frame", "runs", "unpack_frame"]

#: Day frames of the history and their contracts.
KINDS: dict[str, Contract] = {
    "inventory": INVENTORY,
    "nodes": NODES,
    "hpas": HPAS,
    "burst": BURST,
    "runs": RUNS,
    "bounds": BOUNDS,
    "workloads": WORKLOADS,
}
#: The kinds that a metrics server answers; "workloads" comes from the Kubernetes API alone.
ASKED = tuple(kind for kind in KINDS if kind != "workloads")
#: Columns that came later, and what an older file is taken to say: it is read, not refused.
_LATER: dict[str, dict[str, object]] = {
    "inventory": {"role": "app", "scope": "", "revision": ""},
    "nodes": {"version": "", "labels": "", "taints": "", "unschedulable": False},
    "workloads": {"scheduling": "", "disruptions": np.nan, "surge": np.nan},
}


def runs(values: np.ndarray, present: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Runs of equal facts: row, first and last step of each run, in row order.

    values : float [rows, facts, steps], NaN is "not set" and equals NaN. present : bool [rows, steps], where the row was seen.
    A step where a row was not seen, between two where it was, does not end a run: the same uid was there before and after.
    """
    steps = values.shape[2]
    position = np.where(present, np.arange(steps), -1)
    last_seen = np.maximum.accumulate(position, axis=1)
    filled = np.take_along_axis(values, np.maximum(last_seen, 0)[:, None, :], axis=2)
    before, after = filled[:, :, :-1], filled[:, :, 1:]
    changed = ((before != after) & ~(np.isnan(before) & np.isnan(after))).any(axis=1)
    begins = present.copy()
    begins[:, 1:] &= changed | (last_seen[:, :-1] < 0)
    row, first = np.nonzero(begins)
    ends = np.empty(len(row), np.int64)
    if len(row):
        same = row[1:] == row[:-1]
        ends[:-1] = np.where(same, last_seen[row[:-1], np.maximum(first[1:], 1) - 1], last_seen[row[:-1], steps - 1])
        ends[-1] = last_seen[row[-1], steps - 1]
    return row, first, ends


def _seal(frame: pd.DataFrame) -> str:
    """sha256 of a frame's contents, kept inside the file: proof without a second file that could go out of step."""
    return hashlib.sha256(pd.util.hash_pandas_object(frame, index=False).to_numpy().tobytes()).hexdigest()


def pack_frame(frame: pd.DataFrame, contract: Contract) -> bytes:
    """The Parquet bytes of a frame that keeps its contract."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    out = io.BytesIO()
    checked = check(frame, contract)
    table = pa.Table.from_pandas(checked, preserve_index=False).replace_schema_metadata(None)
    with pq.ParquetWriter(
        out, table.schema, compression="zstd", write_page_checksum=True, write_statistics=False, store_schema=False
    ) as writer:
        writer.write_table(table)
        writer.add_key_value_metadata({"seal": _seal(checked)})
    return out.getvalue()


def unpack_frame(data: bytes, contract: Contract, where: str) -> pd.DataFrame:
    """A frame of the contract from Parquet bytes; raises StoreCorrupt when they are of another schema."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(pa.BufferReader(data), page_checksum_verification=True)
        table: pa.Table = file.read()
        later = {name: value for name, value in _LATER.get(contract.name, {}).items() if name not in table.column_names}
        missing = [name for name in contract.columns if name not in table.column_names and name not in later]
        if missing:
            raise StoreCorrupt(f"{where} lacks the columns {', '.join(missing)} of {contract.name}")
        written = Contract(contract.name, {name: kind for name, kind in contract.columns.items() if name not in later})
        frame = check(table.select(list(written.columns)).to_pandas(), written)
        if (file.metadata.metadata or {}).get(b"seal") != _seal(frame).encode():
            raise StoreCorrupt(f"{where} does not hold what was written (its seal differs)")
        return check(frame.assign(**later), contract)
    except (pa.ArrowException, KeyError, ValueError, OSError) as error:
        raise StoreCorrupt(f"{where} is not a {contract.name} file of the history ({type(error).__name__})") from error


def commit_frame(store: Store, manifest: Manifest, frame: pd.DataFrame) -> Manifest:
    """Store one day of a kind of facts; ``manifest.metric`` names the kind."""
    contract = KINDS[manifest.metric]
    keys = [name for name in contract.columns if contract.columns[name] == "str"] + (
        ["first_seen"] if "first_seen" in contract.columns else []
    )
    ordered = frame.sort_values(keys, kind="stable")
    return store.commit(manifest, {"bucket-0": (pack_frame(ordered, contract), len(ordered))})


def read_frame(store: Store, kind: str, days: Iterable[date]) -> pd.DataFrame:
    """The facts of a kind over the committed days among ``days``, in day order; raises StoreCorrupt."""
    contract = KINDS[kind]
    frames = []
    for day, manifest in store.manifests(kind, days).items():
        for entry in manifest.files:
            where = str(store.folder(kind, day) / entry.name)
            frames.append(unpack_frame(store.read(kind, day, entry), contract, where))
    full = [frame for frame in frames if len(frame)]
    return pd.concat(full, ignore_index=True) if full else empty(contract)
