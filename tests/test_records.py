"""Reading a folder of decision records: what is broken is named with its line, and decides nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from aiops_analysis.evidence.adr import rendered
from aiops_analysis.sources.records import parse, read_folder
from tests.adr_fixtures import proposal, written

RECORD = rendered(proposal(), 7, "0")[1]


def line_of(text: bytes) -> int:
    return RECORD[: RECORD.index(text)].count(b"\n") + 1


def test_a_record_as_it_was_written_is_understood() -> None:
    found = parse("0007-x.md", RECORD)
    decision = found.decision
    assert found.problems == ()
    assert (decision.id, decision.number, decision.status, decision.cluster) == ("0007", 7, "proposed", "demo")
    assert decision.title.startswith("Reduce todo/backend")
    first, second = decision.choices
    assert (first.resource, first.from_request, first.to_request, first.p95) == ("cpu", 0.5, 0.1, 0.05)
    assert (second.resource, second.oom_kills) == ("memory", 0)
    assert (decision.paper, decision.bankable != decision.bankable) == (25.5, True)


@pytest.mark.parametrize(
    ("old", "new", "line", "says"),
    [
        (b"---\n", b"\xef\xbb\xbf---\n", 1, "byte order mark"),
        (b"---\nid", b"---\r\nid", 1, "Windows line ends"),
        (b"---\nid", b"id", 1, "no front matter"),
        (b"\n\n---\n", b"\n---\n", line_of(b"\n\n---\n") + 1, "needs a blank line before the closing ---"),
        (b'id: "0007"', b'id: "0008"', 2, "id is 0008, but the file name says 7"),
        (b'status: "proposed"', b"status: [", 5, "the front matter is not understood: broken YAML"),
        (b'status: "proposed"', b'status: "implemented"', 3, "status is implemented, expected one of proposed"),
        (b'status: "proposed"', b"status: !!python/object:os.system x", 3, "tags are not read"),
        (b'status: "proposed"', b"status: &a accepted\nx: *a", 3, "anchors and aliases"),
        (b'status: "proposed"', b'status: "proposed"\nstatus: "accepted"', 4, "comes twice"),
        (b'status: "proposed"', b'status: "accepted"', line_of(b'status: "'), "status is accepted, but decided_by or decided_on is empty"),
        (b'date: "2026-11-24"', b'date: "soon"', 4, "date is soon, expected a date"),
        (b"- Status: proposed", b"- Status: accepted", line_of(b"- Status:"), "the list says accepted, the front matter says proposed"),
        (b"- Status: proposed", b"- Status: proposed\n- Status: proposed", line_of(b"# 7."), "one list item - Status:"),
        (b"- Status: proposed\n", b"", line_of(b"# 7."), "one list item - Status:"),
        (b"Proposed 2026-11-24.", b"Accepted.", line_of(b"Proposed 2026"), "the section Status says accepted"),
        (b"## Status", b"## State", line_of(b"## Status"), "needs ## Status as its first section"),
        (b"# 7. ", b"# 8. ", line_of(b"# 7."), "needs the heading # 7. TITLE"),
        (b'cluster: "demo"', b'cluster: "prod"', 0, "is of cluster prod, but"),
        (b'"app", "cpu"]', b'"other", "cpu"]', 0, "is not the one of its key"),
        (b'"app", "cpu"]', b'"app", "disk"]', 0, "expected cpu or memory"),
        (b'"app", "cpu"]', b'"app"]', 0, "is not the 6 texts"),
        (b"from: {request: 0.5,", b"from: {request: many,", 0, "request is many, expected a number"),
        (b"from: {request: 0.5,", b"from: {request: .inf,", 0, "request is .inf, expected a number"),
        (b"guard: null", b"guard: {reason: x, protect: maybe}", line_of(b"guard:"), "guard.protect is maybe"),
        (b"promised: {", b"was_promised: {", 0, "promised is missing"),
        (b"## Context", b"\xff", line_of(b"## Context"), "is not UTF-8"),
    ],
)
def test_f51_what_is_broken_is_named_with_its_line(old: bytes, new: bytes, line: int, says: str) -> None:
    found = parse("0007-x.md", RECORD.replace(old, new, 1))
    (problem,) = found.problems
    assert says in problem.message
    if line:
        assert problem.line == line
    assert found.decision is None


def test_f51_numbers_used_twice_name_both_files_and_decide_nothing(tmp_path: Path) -> None:
    made = written(tmp_path)
    (tmp_path / "0001-again.md").write_bytes(made.path.read_bytes())
    found = read_folder(tmp_path)
    assert found.decisions == ()
    assert [str(problem) for problem in found.problems] == [
        f"0001-again.md: the number 1 is used by 0001-again.md and {made.path.name}; renumber one by hand"
    ]


def test_f51_a_record_without_its_front_matter_is_still_missed(tmp_path: Path) -> None:
    made = written(tmp_path)
    made.path.write_text("# 1. Something\n")
    assert [problem.message for problem in read_folder(tmp_path).problems] == ["has no front matter: the first line is not ---"]
    made.path.unlink()
    assert [str(problem) for problem in read_folder(tmp_path).problems] == ["evidence/0001.json: belongs to no record"]


def test_evidence_that_is_gone_or_another_is_a_problem_of_a_decision_that_stands(tmp_path: Path) -> None:
    made = written(tmp_path)
    made.evidence.write_bytes(made.evidence.read_bytes() + b" ")
    found = read_folder(tmp_path)
    assert ("sha256 differs" in found.problems[0].message, len(found.decisions)) == (True, 1)
    made.evidence.unlink()
    assert "is gone" in read_folder(tmp_path).problems[0].message


def test_f42_evidence_outside_of_the_folder_is_not_read(tmp_path: Path) -> None:
    made = written(tmp_path)
    text = made.path.read_text().replace("evidence/0001.json", "../0001.json")
    (tmp_path.parent / "0001.json").write_bytes(made.evidence.read_bytes())
    made.path.write_text(text)
    assert "is gone" in read_folder(tmp_path).problems[0].message


def test_links_and_huge_files_are_not_read(tmp_path: Path) -> None:
    made = written(tmp_path)
    elsewhere = tmp_path.parent / "elsewhere.md"
    made.path.rename(elsewhere)
    made.path.symlink_to(elsewhere)
    assert "is a link" in read_folder(tmp_path).problems[0].message
    made.path.unlink()
    made.path.write_bytes(b"x" * 1_000_001)
    assert "is larger than" in read_folder(tmp_path).problems[0].message


def test_replaced_records_that_lead_nowhere_are_named(tmp_path: Path) -> None:
    def replaced(number: int, by: str) -> None:
        path = written(tmp_path).path
        text = (
            path.read_text().replace('status: "proposed"', 'status: "superseded"').replace("superseded_by: null", f'superseded_by: "{by}"')
        )
        path.write_text(text.replace("- Status: proposed", "- Status: superseded").replace("Proposed 2026", "Superseded 2026"))
        assert path.name.startswith(f"{number:04d}")

    replaced(1, "0002")
    replaced(2, "0001")
    replaced(3, "0009")
    assert [str(problem).partition(": ")[::2] for problem in read_folder(tmp_path).problems] == [
        ("0001-reduce-todo-backend-app-cpu-memory.md", "superseded in a circle, through 0001"),
        ("0002-reduce-todo-backend-app-cpu-memory.md", "superseded in a circle, through 0002"),
        ("0003-reduce-todo-backend-app-cpu-memory.md", "superseded by 0009, which is not there"),
    ]


def test_a_folder_that_is_not_there_holds_nothing_and_a_file_is_a_problem(tmp_path: Path) -> None:
    assert read_folder(tmp_path / "none").problems == ()
    (tmp_path / "file").write_text("x")
    assert [problem.message for problem in read_folder(tmp_path / "file").problems] == [
        "is a file, expected the folder of decision records"
    ]
