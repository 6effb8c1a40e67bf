"""``aiops-analysis ledger``: a table and one document, from records on disk and a history in the store."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import pytest

from aiops_analysis.cli import main
from aiops_analysis.evidence.adr import decide
from aiops_analysis.evidence.adr_change import Verdict
from tests.adr_fixtures import basis, row, written
from tests.ledger_history import day_of, history, nodes, run

EVIL = "\x1b[31mweb"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A history of ``prod`` and records: one accepted and applied, one accepted and not, one rejected, one of another cluster."""
    root = tmp_path_factory.mktemp("ledger")

    def pods(day: int):
        return [run("web", 4, 2.0 if day < 0 else 1.0), run("app", 2, 1.0), run("api", 4, 1.0)]

    history(root / "history", range(-14, 15), pods, lambda day: nodes(4 if day < 3 else 3))
    given = {"namespace": "shop", "container": "app", "cluster": "prod", "p95": 0.5}
    for number, (workload, now, paper) in enumerate((("web", 2.0, 100.0), ("app", 1.0, 9.0), ("api", 1.0, 9.0)), 1):
        made = basis(row(workload=workload, now=now, then=now / 2, paper=paper, **given), cluster="prod", currency="USD")
        written(root / "adr", of=made, target=f"shop/Deployment/{workload}/app")
        status = "rejected" if workload == "api" else "accepted"
        decide(root / "adr", number, Verdict(status, "A", day_of(0)))
    written(
        root / "adr", of=basis(row(workload="web", now=2.0, then=1.0, **(given | {"cluster": "test"})), cluster="test"), target="web/app"
    )
    decide(root / "adr", 4, Verdict("accepted", "A", day_of(0)))
    for path in (root / "adr").glob("000*.md"):
        path.write_text(path.read_text().replace('date: "2026-11-24"', f'date: "{day_of(-1)}"'))
    return root


def call(place: Path, *args: str) -> int:
    return main(["ledger", "--cluster", "prod", "--history", str(place / "history"), "--adr-dir", str(place / "adr"), *args])


def test_the_document(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(place, "--json") == 0
    said = json.loads(capsys.readouterr().out)
    first, second = said["records"]
    assert (first["applied"], first["applied_on"], first["outcome"]) == ("whole", "2026-09-01", "measured")
    # default prices: a core is 0.031611 x 730 a month, 4 of them were freed
    assert first["paper_now"] == pytest.approx(4 * 0.031611 * 730)
    # a node left on day 3, so 12 of the 14 days; it costs more than what was freed
    assert 0 < first["realised"] <= first["paper_now"]
    assert first["gap"] == pytest.approx(100 - first["realised"])
    assert sum(part["amount"] for part in first["gap_parts"]) == pytest.approx(first["gap"])
    assert first["cause"].startswith("1 of 4 nodes left, 3 days after the change")
    assert (second["applied"], second["realised"], second["gap"]) == ("not", 0, 9)
    assert said["totals"]["cluster_not_attributable"] == pytest.approx(
        said["totals"]["cluster_realised"] - said["totals"]["cluster_attributed"]
    )
    assert said["counted"] == {"accepted": 2, "rejected": 1}
    assert [one["record"] for one in said["proposals"]] == ["0001"]
    assert (said["currency"], said["end"]) == ("USD", "2026-09-15")


def test_the_table(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(place) == 0
    out = capsys.readouterr().out
    assert "1 of 2 accepted decisions are measured; beside them 1 rejected" in out
    assert "is not attributable" in out
    assert "the cluster has decision 0001 since 2026-09-01: set implemented_on" in out


def test_a_gap_may_fail_a_pipeline(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(place, "--fail-on", "gap=99") == 0
    assert call(place, "--fail-on", "gap=1") == 1
    capsys.readouterr()
    assert call(place, "--json", "--fail-on", "gap=1") == 1
    assert json.loads(capsys.readouterr().out)["cluster"] == "prod"


@pytest.mark.parametrize("text", ["gap", "gap=", "gap=-1", "gap=x", "gap=1e3", "problems", "gap=٣"])
def test_a_wrong_fail_on_is_refused(place: Path, capsys: pytest.CaptureFixture[str], text: str) -> None:
    assert call(place, "--fail-on", text) == 2
    assert "expected gap=PERCENT such as gap=50" in capsys.readouterr().err


def test_an_earlier_end_is_an_earlier_ledger(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(place, "--json", "--end", str(day_of(10))) == 0
    first = json.loads(capsys.readouterr().out)["records"][0]
    assert (first["outcome"], first["days_after"], first["realised"]) == ("not yet measured", 9, None)
    assert first["cause"].endswith("from 2026-09-15 on it is known")


def test_without_a_history_or_without_records(place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ledger", "--cluster", "none", "--history", str(place / "history"), "--json"]) == 4
    assert json.loads(capsys.readouterr().out)["exit_code"] == 4
    assert main(["ledger", "--cluster", "prod", "--history", str(place / "history"), "--adr-dir", str(tmp_path)]) == 0
    assert "no accepted decision about prod" in capsys.readouterr().out


def test_a_broken_record_is_named_and_escapes_stay_text(place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = basis(row(workload=EVIL, now=2.0, then=1.0, namespace="shop", container="app", cluster="prod"), cluster="prod")
    written(tmp_path, of=made, target=f"shop/Deployment/{EVIL}/app")
    decide(tmp_path, 1, Verdict("accepted", "A", date(2026, 11, 25)))
    (tmp_path / "0002-x.md").write_text("---\nrecommendations:\n")
    for flags in ((), ("--json",)):
        assert main(["ledger", "--cluster", "prod", "--history", str(place / "history"), "--adr-dir", str(tmp_path), *flags]) == 0
        out = capsys.readouterr().out
        assert "decision record 0002-x.md" in out
        assert "\x1b[31m" not in out
