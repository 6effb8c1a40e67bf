"""Every fault that is promised has a test, named after its row: ``test_f07_...`` (CONTRIBUTING.md, "Faults")."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
#: What is injected, by row; the list grows with the features.
ROWS = {
    1: "nothing listens, no such host, bad certificate",
    2: "401, 403, 407",
    3: "404, an HTML page, JSON of another API",
    4: "429 and 503 with and without Retry-After",
    5: "too many samples, too many points, query time-out",
    6: "cut, truncated or corrupt bodies",
    7: "a server that dies and comes back during a pull",
    8: "an answer that trickles for ever",
    9: "warnings, infos, an error with status 200",
    10: "a redirect to another host",
    11: "two replicas with holes in different places",
    12: "metrics-server absent, down, incomplete",
    13: "403 on one list, 410 while paging, 500 items a page",
    14: "NaN, Inf, negative and impossible values",
    15: "counter resets, restarts, series of three minutes",
    16: "duplicate and aggregate cAdvisor rows",
    17: "holes of an hour, a day, a week; a node missing",
    18: "clock jumps, DST days, leap day, year end",
    19: "3 days, 6.9 days, 7 days of data",
    20: "no request, limit without request, request 0, limit below request",
    21: "owners of pods: deleted ReplicaSets, Jobs without a CronJob, bare and static pods",
    22: "a workload renamed, a container added, an image changed half-way",
    23: "an empty cluster, one pod, very many pods",
    24: "a scrape interval that is too long or changes",
    25: "downsampled data",
    26: "texts of kubectl top",
    27: "odd quantities",
    28: "two clusters with equal names in one server",
    29: "prices missing, zero, negative, in two currencies; a bill of another period or account",
    31: "SIGKILL at any moment",
    32: "disk full, read-only folder, folder removed",
    33: "damaged, empty or lying files",
    34: "two writers at once",
    35: "leftovers of an interrupted write",
    36: "a store of a newer or an older version",
    37: "SIGINT and SIGTERM while measuring",
    38: "a kernel that dies, raises or hangs",
    39: "a package that is missing",
    41: "markup in names",
    42: "path parts in names",
    43: "formulas in CSV cells",
    44: "YAML-active text, YAML bombs, deep nesting",
    45: "quotes, backslashes and regex characters in label values",
    46: "secrets in any output",
    47: "unknown or ill-typed parameter, policy key, setting",
    48: "a parameter that is code",
    49: "a template in data",
    50: "bombs, huge and deep input, odd encodings",
    51: "a decision record edited by hand, a number used twice, broken front matter",
    52: "an unknown or ambiguous recommendation",
    55: "a report opened offline, printed, without scripts",
    59: "two runs on one history",
}


def _tests() -> list[str]:
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in TESTS.rglob("test_*.py")]
    return [node.name for tree in trees for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]


@pytest.mark.parametrize("row", ROWS)
def test_the_fault_has_a_test(row):
    assert any(name.startswith(f"test_f{row:02d}_") for name in _tests()), f"no test of row {row}: {ROWS[row]}"
