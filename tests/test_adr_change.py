"""Accept and reject: status lines and front matter only, everything else byte for byte, and never a guess."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiops_analysis.core.decision import STATUSES, TRANSITIONS, Guard
from aiops_analysis.core.errors import UsageError
from aiops_analysis.evidence.adr import decide, rendered
from aiops_analysis.evidence.adr_change import Verdict, changed, people_of
from aiops_analysis.sources.records import parse, read_folder
from tests.adr_fixtures import adr_tools_status, log4brains, madr, proposal, written

ON = date(2026, 11, 26)
ACCEPT = Verdict("accepted", "A. Person, B. Person", ON)
NAME = "0007-x.md"
TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=80)


def record(**given: object) -> bytes:
    return rendered(proposal(**given), 7, "0")[1]


def after(verdict: Verdict, data: bytes | None = None) -> str:
    data = record() if data is None else data
    return changed(data, parse(NAME, data).decision, verdict).decode()


def test_three_tools_read_an_accepted_record() -> None:
    text = after(ACCEPT)
    head = madr(text)
    assert (head["status"], head["date"], head["decision-makers"]) == ("accepted", "2026-11-26", ["A. Person", "B. Person"])
    assert (head["decided_by"], head["decided_on"], head["guard"]) == ("A. Person, B. Person", "2026-11-26", None)
    read = log4brains(text)
    assert (read["status"], read["deciders"], read["date"]) == ("accepted", "A. Person, B. Person", "2026-11-26")
    assert adr_tools_status(text) == ["Accepted on 2026-11-26 by A. Person and B. Person."]


def test_a_rejection_carries_its_guard() -> None:
    guard = Guard("load test first", date(2027, 3, 31))
    text = after(Verdict("rejected", "A. Person", ON, guard))
    assert madr(text)["guard"] == {"reason": "load test first", "expires": "2027-03-31", "protect": False}
    said = "Rejected on 2026-11-26 by A. Person: load test first. Quiet through 2027-03-31, or until the data changes."
    assert adr_tools_status(text) == [said]
    assert log4brains(text)["status"] == "rejected"
    assert parse(NAME, text.encode()).decision.guard == guard


@pytest.mark.parametrize(
    ("guard", "says"),
    [
        (Guard("why"), "why. Quiet until the data changes."),
        (Guard("why", date(2027, 1, 1), protect=True), "why. Protected through 2027-01-01, unless it becomes a risk."),
    ],
)
def test_the_section_says_how_long(guard: Guard, says: str) -> None:
    assert adr_tools_status(after(Verdict("rejected", "A", ON, guard)))[0].endswith(says)


def test_f51_what_people_wrote_stays_byte_for_byte() -> None:
    theirs = record().replace(b"## Decision\n", b"## Decision\n\n\tWe  think\xc2\xa0so.  \r\n")
    theirs = theirs.replace(b"\npromised:", b'\n# a comment of ours\nteam: "shop"   # and a field\npromised:')
    theirs = theirs.replace(b"Proposed 2026-11-24.\n", b"Proposed 2026-11-24.\n\nMore words under it.\n")
    before, now = theirs.decode().split("\n"), after(ACCEPT, theirs).split("\n")
    gone = [line for line in before if line not in now]
    came = [line for line in now if line not in before]
    assert gone == [
        'status: "proposed"',
        'date: "2026-11-24"',
        "decision-makers: []",
        "decided_by: null",
        "decided_on: null",
        "- Status: proposed",
        "- Date: 2026-11-24",
        "Proposed 2026-11-24.",
    ]
    assert len(came) == len(gone) + 1  # the deciders are new
    assert [line for line in now if line in before] == [line for line in before if line in now]


@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize("to", STATUSES)
def test_only_the_known_transitions(status: str, to: str) -> None:
    text = record()
    if status != "proposed":
        text = text.replace(b'status: "proposed"', f'status: "{status}"'.encode()).replace(
            b"Status: proposed", f"Status: {status}".encode()
        )
        text = text.replace(b"Proposed 2026", f"{status.capitalize()} 2026".encode())
        text = text.replace(b"decided_by: null\ndecided_on: null", b'decided_by: "A"\ndecided_on: "2026-11-25"')
    if to in TRANSITIONS[status]:
        assert madr(after(Verdict(to, "A", ON), text))["status"] == to
    else:
        with pytest.raises(UsageError, match=f"record 0007 is {status}, which can become"):
            after(Verdict(to, "A", ON), text)


@given(by=TEXT, reason=TEXT)
def test_any_name_and_any_reason_leave_a_header_that_is_understood(by: str, reason: str) -> None:
    reason = " ".join(reason.split()) or "why"
    try:
        people_of(by)
    except UsageError:
        by = "A"
    text = after(Verdict("rejected", by, ON, Guard(reason, None)))
    found = parse(NAME, text.encode())
    assert found.problems == ()
    assert (found.decision.guard.reason, found.decision.status) == (reason, "rejected")
    assert (log4brains(text)["status"], len(adr_tools_status(text))) == ("rejected", 1)


def test_a_decision_has_a_name() -> None:
    for empty in ("", " , ", "\n"):
        with pytest.raises(UsageError, match="--by is empty"):
            people_of(empty)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        (b"guard: null", b"guard:\n  reason: x", "guard of the front matter does not stand in one line"),
        (b"decision-makers: []", b"decision-makers:\n- A", "decision-makers of the front matter"),
        (b"superseded_by: null\n", b"", "superseded_by of the front matter"),
    ],
)
def test_f51_a_header_that_people_rewrote_is_refused(old: bytes, new: bytes, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        after(ACCEPT, record().replace(old, new))


def test_replaced_records_link_the_one_that_replaces_them(tmp_path: Path) -> None:
    for _ in range(2):
        written(tmp_path)
    decide(tmp_path, 1, ACCEPT)
    decide(tmp_path, 1, Verdict("superseded", "A", ON, superseded_by="0002"))
    text = (tmp_path / "0001-reduce-todo-backend-app-cpu-memory.md").read_text()
    link = "superseded by [0002-reduce-todo-backend-app-cpu-memory](0002-reduce-todo-backend-app-cpu-memory.md)"
    assert log4brains(text)["status"] == link
    assert adr_tools_status(text) == [f"S{link[1:]} on 2026-11-26 by A."]
    assert read_folder(tmp_path).problems == ()
    with pytest.raises(UsageError, match="there is no record 0009 that could replace record 2"):
        decide(tmp_path, 2, Verdict("superseded", "A", ON, superseded_by="0009"))


def test_a_record_that_is_not_there_or_not_ours_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no folder"):
        decide(tmp_path / "none", 1, ACCEPT)
    (tmp_path / "0003-use-postgres.md").write_text("# 3. Use PostgreSQL\n")
    with pytest.raises(UsageError, match=r"there is no record 1 in .*; see: aiops-analysis adr list"):
        decide(tmp_path, 1, ACCEPT)
    with pytest.raises(UsageError, match="a record of another kind"):
        decide(tmp_path, 3, ACCEPT)


def test_f51_a_number_used_twice_cannot_be_decided(tmp_path: Path) -> None:
    made = written(tmp_path)
    copy = made.path.with_name("0001-copy.md")
    copy.write_bytes(made.path.read_bytes())
    with pytest.raises(UsageError, match=r"the number 1 is used by 0001-copy\.md and 0001-reduce"):
        decide(tmp_path, 1, ACCEPT)
    assert copy.read_bytes() == made.path.read_bytes()


def test_the_mode_of_the_file_stays(tmp_path: Path) -> None:
    made = written(tmp_path)
    made.path.chmod(0o664)
    assert decide(tmp_path, 1, ACCEPT).status == "accepted"
    assert made.path.stat().st_mode & 0o777 == 0o664
