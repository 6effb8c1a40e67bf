"""Facts as intervals."""

from __future__ import annotations

from datetime import UTC, date, datetime

import numpy as np
import pandas as pd
import pytest

from aiops_analysis.core.errors import StoreCorrupt
from aiops_analysis.core.schema import HPAS, INVENTORY, WEEKLY_POOLS, Contract
from aiops_analysis.history.inventory import commit_frame, pack_frame, read_frame, runs, unpack_frame
from aiops_analysis.history.store import Manifest, open_store
from aiops_analysis.history.weekly import read_weekly, replace_weeks, week_of

NAN = np.nan


def _runs(values, present):
    row, first, last = runs(np.array(values, float)[:, None, :], np.array(present, bool))
    return list(zip(row.tolist(), first.tolist(), last.tolist(), strict=True))


def test_runs_end_where_a_value_changes():
    assert _runs([[1, 1, 2, 2]], [[1, 1, 1, 1]]) == [(0, 0, 1), (0, 2, 3)]


def test_runs_bridge_steps_that_were_not_seen():
    # steps 1 and 2 were not seen, the value is the same after: one run
    assert _runs([[1, NAN, NAN, 1]], [[1, 0, 0, 1]]) == [(0, 0, 3)]
    # another value after the hole: the run ends at the last step seen
    assert _runs([[1, NAN, NAN, 2]], [[1, 0, 0, 1]]) == [(0, 0, 0), (0, 3, 3)]


def test_runs_know_nan_as_not_set():
    assert _runs([[NAN, NAN, 3, NAN]], [[1, 1, 1, 1]]) == [(0, 0, 1), (0, 2, 2), (0, 3, 3)]


def test_runs_of_rows_that_start_late_end_early_or_never_come():
    got = _runs([[NAN, 5, 5, NAN], [NAN] * 4, [7, 7, 7, 7]], [[0, 1, 1, 0], [0] * 4, [1, 1, 1, 1]])
    assert got == [(0, 1, 2), (2, 0, 3)]


def test_runs_against_a_plain_loop():
    rng = np.random.default_rng(3)
    values = rng.integers(0, 2, (200, 2, 12)).astype(float)
    values[rng.random(values.shape) < 0.3] = NAN
    present = rng.random((200, 12)) < 0.7

    def plain():
        for row in range(200):
            open_run = None
            for k in np.flatnonzero(present[row]):
                key = tuple("nan" if np.isnan(v) else v for v in values[row, :, k])
                if open_run and open_run[2] == key:
                    open_run[1] = k
                else:
                    if open_run:
                        yield row, open_run[0], open_run[1]
                    open_run = [k, k, key]
            if open_run:
                yield row, open_run[0], open_run[1]

    row, first, last = runs(values, present)
    assert list(zip(row, first, last, strict=True)) == list(plain())


def _inventory(**over):
    base = {name: ["x"] for name, kind in INVENTORY.columns.items() if kind == "str"}
    base |= {name: [0.25] for name, kind in INVENTORY.columns.items() if kind == "float64"}
    base |= {"first_seen": [datetime(2026, 11, 1, tzinfo=UTC)], "last_seen": [datetime(2026, 11, 1, 3, tzinfo=UTC)]}
    return pd.DataFrame(base | over)


def test_a_frame_comes_back_as_it_was_stored(tmp_path):
    store = open_store(tmp_path, "prod")
    day = date(2026, 11, 1)
    with store.lock():
        commit_frame(store, Manifest("inventory", day), _inventory(cpu_limit=[NAN], image=["registry/x:1 <script>"]))
    back = read_frame(store, "inventory", [day, date(2026, 11, 2)])
    assert back["image"].tolist() == ["registry/x:1 <script>"]
    assert np.isnan(back["cpu_limit"][0])
    assert back["last_seen"][0] == pd.Timestamp("2026-11-01T03:00Z")
    assert len(read_frame(store, "nodes", [day])) == 0


def test_a_file_of_another_kind_is_refused_by_name():
    data = pack_frame(_inventory(), INVENTORY)
    with pytest.raises(StoreCorrupt, match="here lacks the columns hpa, target_kind"):
        unpack_frame(data, HPAS, "here")
    with pytest.raises(StoreCorrupt, match="here is not a inventory file"):
        unpack_frame(data[:-9], INVENTORY, "here")


def test_f36_a_file_of_an_older_version_is_read_with_what_came_later():
    later = ("role", "scope", "revision")
    older = Contract("inventory", {name: kind for name, kind in INVENTORY.columns.items() if name not in later})
    back = unpack_frame(pack_frame(_inventory().drop(columns=list(later)), older), INVENTORY, "here")
    assert list(back.columns) == list(INVENTORY.columns)
    assert back[list(later)].iloc[0].tolist() == ["app", "", ""]
    lost = Contract("inventory", {name: kind for name, kind in older.columns.items() if name != "image"})
    with pytest.raises(StoreCorrupt, match="here lacks the columns image of inventory"):
        unpack_frame(pack_frame(_inventory().drop(columns=[*later, "image"]), lost), INVENTORY, "here")


def _pool(week, value):
    row = {name: [0.0 if kind == "float64" else 7] for name, kind in WEEKLY_POOLS.columns.items() if kind != "str"}
    return pd.DataFrame(row | {"week": [week], "pool": ["blue"], "resource": ["cpu"], "usage_p95": [value]})


def test_a_week_is_replaced_and_the_others_stay(tmp_path):
    store = open_store(tmp_path, "prod")
    replace_weeks(store, "pools", [date(2026, 10, 19), date(2026, 10, 26)], pd.concat([_pool("2026-10-19", 1.0), _pool("2026-10-26", 2.0)]))
    replace_weeks(store, "pools", [date(2026, 10, 26)], _pool("2026-10-26", 3.0))
    assert read_weekly(store, "pools")["usage_p95"].tolist() == [1.0, 3.0]
    assert week_of(date(2026, 1, 1)) == date(2025, 12, 29)
