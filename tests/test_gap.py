"""The parts of a gap and the sentence that names them, in one history where everything happens at once."""

from __future__ import annotations

import pytest

from aiops_analysis.analysis.gap import PARTS, amount_of
from aiops_analysis.workflows.ledger import Ledger, ledger_from
from tests.ledger_history import CORE, choice, cut, day_of, decision, folder_of, in_memory, nodes, run

DAYS = range(-28, 61)


def everything(promised: float = 8.0) -> Ledger:
    """web: 4 pods of 3.0 where 1.0 was decided get 1.5, and become 5; "new" comes with 1 core; one of four nodes goes on day 6."""

    def pods(day: int):
        web = run("web", 4, 3.0) if day < 0 else run("web", 5, 1.5)
        return [web, run("api", 4, 1.0), *([run("new", 1, 1.0)] if day >= 1 else [])]

    read = in_memory(DAYS, pods, lambda day: nodes(4 if day < 6 else 3))
    return ledger_from(read, "prod", folder_of(decision(1, cut("web", 3.0, 1.0), paper=promised)), day_of(60), CORE)


def test_the_parts_by_hand_and_in_words() -> None:
    found = everything()
    row = found.rows.iloc[0]
    parts = dict(zip(found.parts["part"], found.parts["amount"], strict=True))
    realised = 4.0 * 55 / 60  # a node of 4 for 55 of the 60 days
    assert row["realised"] == pytest.approx(realised)
    assert list(parts) == list(PARTS)
    # 12 cores before; 7.5 are asked now, so 4.5 of the promised 8 are free: 4 x 0.5 by the other value, 1 x 1.5 by one pod more
    assert parts == pytest.approx(
        {
            "basis": 0.0,
            "work": 0.0,
            "applied": 2.0,
            "replicas": 1.5,
            "late": 4.0 * 5 / 60,
            "others": 4.5 - 4.0,  # of the free 4.5 went 4 with the node, and "new" has the rest of 1.0 that there is
            "rest": 0.0,
        },
        abs=1e-6,
    )
    assert sum(parts.values()) == pytest.approx(row["gap"])
    assert row["cause"] == (
        "applied in part: cpu of shop/web/app is 1500m where 1000m was decided; 1 of 4 nodes left, 6 days after the change; "
        "replicas rose from 4 to 5; 1.0 of the 7.5 cores freed were taken by other workloads"
    )


def test_a_promise_at_other_prices_is_a_part_of_its_own() -> None:
    # 12 were promised for what is worth 8 at today's prices and the pods of the baseline period
    found = everything(promised=12.0)
    parts = dict(zip(found.parts["part"], found.parts["amount"], strict=True))
    assert parts["basis"] == pytest.approx(4.0)
    assert sum(parts.values()) == pytest.approx(found.rows.iloc[0]["gap"])


def test_without_a_promise_there_is_no_gap_to_explain() -> None:
    found = everything(promised=float("nan"))
    assert len(found.parts) == 0
    assert found.rows.iloc[0]["cause"].startswith("applied in part")


def test_amounts_for_people() -> None:
    step = type("Step", (), {"choice": cut("web", 1.0, 0.5)})()
    assert (amount_of(step, 0.1234), amount_of(step, float("nan"))) == ("123.4m", "not known")
    step = type("Step", (), {"choice": choice("web", 1.0, 0.5, resource="memory")})()
    assert amount_of(step, 0.25) == "256 MiB"
