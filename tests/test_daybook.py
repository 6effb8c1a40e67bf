"""Facts of one day from several looks and roads: nothing counts twice, and the fuller word wins."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pandas as pd

from aiops_analysis.core.schema import INVENTORY, NODES, blank, check
from aiops_analysis.workflows.daybook import later_facts, pulled_again, united


def at(hour: int) -> datetime:
    return datetime(2026, 11, 1, tzinfo=UTC) + timedelta(hours=hour)


def node(first: int, last: int, name: str = "n1", **facts: object) -> dict[str, object]:
    return blank(NODES) | {"node": name, "first_seen": at(first), "last_seen": at(last)} | facts


def nodes(*rows: dict[str, object]) -> pd.DataFrame:
    return check(pd.DataFrame(rows), NODES)


def spans(frame: pd.DataFrame, name: str) -> list[tuple[object, int, int]]:
    found = frame.sort_values("first_seen")
    return list(zip(found[name].tolist(), found["first_seen"].dt.hour.tolist(), found["last_seen"].dt.hour.tolist(), strict=True))


def test_a_taint_set_between_two_looks_begins_after_the_first() -> None:
    # the node is there since midnight; at 8 it had no taint, at 12 it has one
    both = later_facts("nodes", nodes(node(0, 8, taints="[]")), nodes(node(0, 12, taints='[["a","",""]]')))
    assert spans(both, "taints") == [("[]", 0, 8), ('[["a","",""]]', 8, 12)]
    # and what did not change is one interval
    assert spans(later_facts("nodes", nodes(node(0, 8, taints="[]")), nodes(node(0, 12, taints="[]"))), "taints") == [("[]", 0, 12)]
    # another thing is not touched, nor is a kind that has no intervals of its own
    assert len(later_facts("nodes", nodes(node(0, 8)), nodes(node(0, 12, "n2")))) == 2


def test_requests_changed_in_place_between_two_looks_do_not_overlap() -> None:
    row = blank(INVENTORY) | {"namespace": "shop", "pod": "web-1", "container": "app", "first_seen": at(0)}
    before, after = (
        check(pd.DataFrame([row | {"cpu_request": cpu, "last_seen": at(hour)}]), INVENTORY) for cpu, hour in ((0.5, 8), (0.1, 12))
    )
    assert spans(later_facts("inventory", before, after), "cpu_request") == [(0.5, 0, 8), (0.1, 8, 12)]


def test_a_server_keeps_its_intervals_and_gets_the_labels_of_the_api() -> None:
    server = nodes(node(0, 6, taints="[]", pool="default"), node(6, 24, taints='[["x","",""]]', pool="default"), node(0, 24, "n2"))
    api = nodes(
        node(9, 10, labels='{"a":"b"}', taints='[["y","",""]]', pool="blue", unschedulable=True),
        node(9, 10, "n2", labels='{"a":"c"}', taints='[["y","",""]]', unschedulable=True),
        node(9, 10, "n3", labels="{}"),
    )
    found = united("nodes", server, api)
    assert found["node"].tolist() == ["n1", "n1", "n2", "n3"]
    assert found["labels"].tolist() == ['{"a":"b"}', '{"a":"b"}', '{"a":"c"}', "{}"]
    # the server knows the taints of n1, nobody but the API those of n2
    assert found["taints"].tolist() == ["[]", '[["x","",""]]', '[["y","",""]]', ""]
    assert found["unschedulable"].tolist() == [False, False, True, False]
    # a pool that was named for want of labels is what they say
    assert found["pool"].tolist() == ["blue", "blue", "", ""]
    assert server["labels"].tolist() == ["", "", ""]


def test_a_server_that_tells_a_pool_keeps_it() -> None:
    server = nodes(node(0, 24, labels='{"pool":"a"}', pool="a"))
    found = united("nodes", server, nodes(node(9, 10, labels='{"pool":"b","more":"c"}', pool="b")))
    assert found[["pool", "labels"]].to_numpy().tolist() == [["a", '{"pool":"b","more":"c"}']]


def test_a_day_pulled_again_has_each_node_once() -> None:
    # first by a version that knew neither labels nor taints, then the labels of the API were added, now again
    before = nodes(node(0, 20, labels='{"a":"b","c":"d"}'), node(0, 20, "n2"))
    again = nodes(node(0, 24, labels='{"a":"b"}', taints="[]"), node(0, 24, "n2", labels='{"e":"f"}', taints="[]"))
    found = pulled_again("nodes", before, again).sort_values("node")
    assert found[["node", "labels", "taints"]].to_numpy().tolist() == [["n1", '{"a":"b","c":"d"}', "[]"], ["n2", '{"e":"f"}', "[]"]]
    assert set(found["last_seen"]) == {pd.Timestamp("2026-11-02", tz="UTC")}
    assert len(pulled_again("nodes", before, nodes(node(0, 1, "n3")).iloc[:0])) == 2
