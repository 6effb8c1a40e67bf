"""Which rows decisions keep quiet: until they expire or the data changes, and never those of another cluster."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path

import pandas as pd
import pytest

from aiops_analysis.analysis.decisions import heard, quiet
from aiops_analysis.analysis.policy import SizingPolicy
from aiops_analysis.core.decision import Choice, Decision, Guard
from aiops_analysis.core.schema import KEY, row_id
from aiops_analysis.evidence.adr import decide
from aiops_analysis.evidence.adr_change import Verdict
from aiops_analysis.workflows.decisions import decided
from tests.adr_fixtures import basis, cpu, written
from tests.frames import MIB, NAN, recommendation, recommendations

TODAY = date(2026, 12, 1)
CPU = ("demo", "todo", "Deployment", "backend", "app", "cpu")
MEMORY = (*CPU[:-1], "memory")
GUARD = Guard("load test first", date(2026, 12, 31))


def choice(key: tuple[str, ...] = CPU, **given: object) -> Choice:
    """As frames.recommendation has it: 500m to 100m, limits three times that, P95 50m."""
    values = {"from_request": 0.5, "from_limit": 1.5, "to_request": 0.1, "to_limit": 0.3, "p95": 0.05, "oom_kills": NAN} | given
    return Choice(id=row_id(key), key=key, change="decrease", **values)


def decision(number: int = 1, status: str = "rejected", guard: Guard | None = GUARD, **given: object) -> Decision:
    values = {"choices": (choice(),), "cluster": "demo", "decided_on": date(2026, 11, 26), "implemented_on": None} | given
    return Decision(
        id=f"{number:04d}",
        file="",
        title="",
        status=status,
        dated=date(2026, 11, 24),
        decided_by="A",
        superseded_by="",
        guard=guard if status == "rejected" else None,
        paper=18,
        bankable=NAN,
        currency="USD",
        price_source="",
        evidence_file="",
        evidence_sha256="",
        **values,
    )


def frame(**given: object) -> pd.DataFrame:
    return recommendations([recommendation(**given)])


def state(rows: pd.DataFrame, *decisions: Decision, today: date = TODAY, policy: SizingPolicy | None = None) -> str:
    (one,) = heard(rows, decisions, today, policy=policy)
    assert (quiet(rows, decisions, today, policy=policy)["decided"].item() != "") == (one.state == "quiet")
    return one.state


def test_a_rejected_row_is_quiet_through_its_last_day() -> None:
    assert quiet(frame(), [decision()], TODAY)["decided"].tolist() == ["0001"]
    assert state(frame(), decision(), today=date(2026, 12, 31)) == "quiet"
    assert state(frame(), decision(), today=date(2027, 1, 1)) == "expired"
    assert state(frame(), decision(guard=Guard("no date")), today=date(2046, 1, 1)) == "quiet"


def test_rows_without_a_decision_speak_and_nothing_is_changed() -> None:
    rows = recommendations([recommendation(), recommendation("other"), recommendation(resource="memory", now=1024 * MIB, then=256 * MIB)])
    before = rows.copy(deep=True)
    assert quiet(rows, [decision()], TODAY)["decided"].tolist() == ["0001", "", ""]
    assert quiet(rows, [], TODAY)["decided"].tolist() == ["", "", ""]
    pd.testing.assert_frame_equal(rows, before)


def test_decisions_of_another_cluster_never_count() -> None:
    other = decision(cluster="prod", choices=(choice(("prod", *CPU[1:])),))
    lying = decision(cluster="prod")  # its key says demo, its cluster does not
    assert heard(frame(), [other, lying], TODAY) == ()


@pytest.mark.parametrize("status", ["proposed", "deprecated", "superseded"])
def test_what_is_not_decided_or_no_longer_holds_does_not_count(status: str) -> None:
    assert heard(frame(), [decision(status=status)], TODAY) == ()


def test_the_newest_decision_counts() -> None:
    later = decision(2, decided_on=date(2026, 11, 27), status="accepted")
    assert state(frame(), decision(), later) == "waiting"
    assert state(frame(), later, decision(3, decided_on=date(2026, 11, 27))) == "quiet"


@pytest.mark.parametrize(
    ("rejected", "now", "expected"),
    [
        # the larger of 10 % and one step of 25m
        (0.1, 0.125, "quiet"),  # one step
        (0.1, 0.15, "changed"),
        (1.0, 1.1, "quiet"),  # 10 %
        (1.0, 1.125, "changed"),
        (1.0, 0.9, "quiet"),
        (1.0, 0.875, "changed"),
    ],
)
def test_another_recommended_request_wakes_a_row(rejected: float, now: float, expected: str) -> None:
    assert state(frame(now=2.0, then=now), decision(choices=(choice(from_request=2.0, to_request=rejected),))) == expected


def test_the_steps_and_the_hysteresis_are_the_policys() -> None:
    calm = SizingPolicy(hysteresis=0.6)
    assert state(frame(then=0.15), decision(), policy=calm) == "quiet"
    memory = decision(choices=(choice(MEMORY, from_request=1024 * MIB, to_request=64 * MIB, p95=40 * MIB, oom_kills=0.0),))
    rows = {"resource": "memory", "now": 1024 * MIB, "p95": 40 * MIB}
    assert state(frame(**rows, then=80 * MIB), memory) == "quiet"  # one step of 16 MiB
    assert state(frame(**rows, then=96 * MIB), memory) == "changed"


def test_another_request_in_the_cluster_wakes_a_row() -> None:
    (one,) = heard(frame(now=0.6), [decision()], TODAY)
    assert (one.state, one.why) == ("changed", "the request in the cluster is 600m, it was 500m")
    assert state(frame(now=NAN), decision()) == "changed"
    assert state(frame(now=NAN), decision(choices=(choice(from_request=NAN),))) == "quiet"


PROTECTED = Guard("month end", date(2026, 12, 31), protect=True)


@pytest.mark.parametrize("guard", [GUARD, PROTECTED])
def test_a_p95_above_the_request_wakes_every_row_that_was_not_above_it_then(guard: Guard) -> None:
    rows = frame(now=0.5, then=1.0, p95=0.55, change="increase")
    (one,) = heard(rows, [decision(guard=guard)], TODAY)
    assert (one.state, one.why) == ("changed", "the P95 is 550m, above the request of 500m")
    assert state(rows, decision(guard=guard, choices=(choice(to_request=1.0, p95=0.6),))) == "quiet"


@pytest.mark.parametrize("guard", [GUARD, PROTECTED])
def test_kills_for_memory_wake_every_row_that_had_none_then(guard: Guard) -> None:
    rows = frame(resource="memory", now=1024 * MIB, then=256 * MIB, p95=170 * MIB, oom_kills=2.0)
    then = {"from_request": 1024 * MIB, "to_request": 256 * MIB, "p95": 170 * MIB}
    assert state(rows, decision(guard=guard, choices=(choice(MEMORY, **then, oom_kills=0.0),))) == "changed"
    assert state(rows, decision(guard=guard, choices=(choice(MEMORY, **then, oom_kills=1.0),))) == "quiet"


def test_a_protected_row_stays_quiet_when_only_savings_change() -> None:
    assert state(frame(now=0.6, then=0.2), decision(guard=PROTECTED)) == "quiet"
    assert state(frame(now=0.6, then=0.2), decision(guard=PROTECTED), today=date(2027, 1, 1)) == "expired"


@pytest.mark.parametrize("change", ["keep", "undetermined"])
def test_a_row_that_asks_for_nothing_is_not_kept_quiet(change: str) -> None:
    assert heard(frame(change=change), [decision()], TODAY) == ()


def test_accepted_rows_are_named_until_the_cluster_has_them() -> None:
    accepted = decision(status="accepted")
    (one,) = heard(frame(), [accepted], TODAY)
    assert (one.state, one.why) == ("waiting", "accepted on 2026-11-26, not seen in the cluster yet")
    there = recommendations([recommendation(now=0.1, change="keep") | {"current_limit": 0.3}])
    (one,) = heard(there, [accepted], TODAY)
    assert (one.state, one.why) == ("seen", "accepted on 2026-11-26, and the cluster has it; set implemented_on")
    assert quiet(frame(), [accepted], TODAY)["decided"].tolist() == [""]


# --- with a folder ------------------------------------------------------------------------------------------------------------------


def test_a_folder_that_is_not_there_decides_nothing(tmp_path: Path) -> None:
    rows, findings = decided(frame(), tmp_path / "none", "demo", TODAY)
    assert (rows["decided"].tolist(), findings) == ([""], ())


def test_a_rejection_on_disk_keeps_its_row_quiet_and_speaks_again(tmp_path: Path) -> None:
    written(tmp_path, of=basis(cpu()))
    decide(tmp_path, 1, Verdict("rejected", "A", date(2026, 11, 26), GUARD))
    rows, findings = decided(frame(), tmp_path, "demo", TODAY)
    assert (rows["decided"].tolist(), findings) == (["0001"], ())
    rows, findings = decided(frame(then=0.2), tmp_path, "demo", TODAY)
    assert rows["decided"].tolist() == [""]
    assert findings == (
        {
            "code": "decision_woken",
            "message": "decision 0001 on todo/Deployment/backend/app/cpu: speaks again, rejected on 2026-11-26: "
            "the recommended request is 200m, 100m was rejected",
            "data": {"id": row_id(CPU), "record": "0001", "status": "rejected"},
        },
    )
    assert decided(frame(), tmp_path, "prod", TODAY)[0]["decided"].tolist() == [""]


def test_a_decided_no_stays_quiet_until_it_expires_or_the_data_changes(tmp_path: Path) -> None:
    written(tmp_path, of=basis(cpu()))
    decide(tmp_path, 1, Verdict("rejected", "A", date(2026, 11, 26), GUARD))  # with a reason and an expiry date

    def said(rows: pd.DataFrame, day: date) -> tuple[list[str], list[str]]:
        found, findings = decided(rows, tmp_path, "demo", day)
        return found["decided"].tolist(), [str(one["message"]) for one in findings]

    assert said(frame(), date(2026, 11, 27)) == (["0001"], [])
    assert said(frame(), GUARD.expires) == (["0001"], [])
    quiet_no_more, (message,) = said(frame(), date(2027, 1, 1))
    assert quiet_no_more == [""]
    assert message.endswith("speaks again, rejected on 2026-11-26: kept quiet through 2026-12-31, which is over")
    # the data changes: another request in the cluster, another recommendation, usage above the request
    for changed in (frame(now=0.8), frame(then=0.2), frame(p95=0.6, then=0.9, change="increase")):
        quiet_no_more, messages = said(changed, date(2026, 11, 27))
        assert (quiet_no_more, len(messages)) == ([""], 1)
    # figures that move without that do not
    assert said(frame(p95=0.06, paper=25.0, replicas=3.0), date(2026, 11, 27)) == (["0001"], [])


def test_f51_a_broken_record_is_a_finding_and_decides_nothing(tmp_path: Path) -> None:
    made = written(tmp_path, of=basis(cpu()))
    decide(tmp_path, 1, Verdict("rejected", "A", date(2026, 11, 26), GUARD))
    made.path.write_text(made.path.read_text().replace("- Status: rejected", "- Status: accepted"))
    rows, (finding,) = decided(frame(), tmp_path, "demo", TODAY)
    assert rows["decided"].tolist() == [""]
    assert finding["code"] == "decision_unreadable"
    assert "the list says accepted, the front matter says rejected" in finding["message"]


def test_an_accepted_record_is_a_finding_until_a_person_says_it_is_implemented(tmp_path: Path) -> None:
    made = written(tmp_path, of=basis(cpu()))
    decide(tmp_path, 1, Verdict("accepted", "A", date(2026, 11, 26)))
    assert [one["code"] for one in decided(frame(), tmp_path, "demo", TODAY)[1]] == ["decision_not_seen"]
    there = recommendations([recommendation(now=0.1, change="keep") | {"current_limit": 0.3}])
    assert [one["code"] for one in decided(there, tmp_path, "demo", TODAY)[1]] == ["decision_seen"]
    made.path.write_text(made.path.read_text().replace("implemented_on: null", "implemented_on: 2026-11-28"))
    assert decided(there, tmp_path, "demo", TODAY)[1] == ()


def test_the_key_of_the_tests_is_the_contracts() -> None:
    assert len(CPU) == len(KEY)
    assert replace(decision(), id="0002").number == 2
