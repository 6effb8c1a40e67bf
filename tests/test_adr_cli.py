"""``adr`` from outside: exit codes, one JSON document, the demo's own records, a walk from proposal to a quiet row."""

from __future__ import annotations

import io
import json
import sys
from datetime import date
from pathlib import Path

import pytest

from aiops_analysis import cli
from aiops_analysis.settings import load
from aiops_analysis.sources.records import read_folder

FRONTEND = "todo/Deployment/frontend/frontend/cpu"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("AIOPS_HOME", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    return tmp_path


def own_folder(home: Path) -> None:
    """A team's own folder, in which the demo's records do not belong."""
    (home / "docs" / "adr").mkdir(parents=True)


def ends(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    code = cli.main(["adr", *words])
    return code, *capsys.readouterr()


def test_a_record_goes_from_proposal_to_decision(capsys: pytest.CaptureFixture[str], home: Path) -> None:
    own_folder(home)
    code, out, err = ends(capsys, "new", FRONTEND, "--by", "A. Person", "--on", "2026-11-24")
    path = home / "docs" / "adr" / "0001-reduce-todo-frontend-cpu.md"
    assert (code, out) == (0, f"{path}\n")
    assert "record 0001, proposed: Reduce todo/frontend CPU request from 200m to 100m" in err
    assert "**Author:** A. Person" in path.read_text()
    code, out, _ = ends(capsys, "accept", "1", "--by", "B. Person", "--on", "2026-11-26", "--json")
    told = json.loads(out)
    assert (code, told["status"], told["decided_by"], told["decided_on"]) == (0, "accepted", "B. Person", "2026-11-26")
    code, _, err = ends(capsys, "reject", "1", "--by", "B. Person", "--reason", "no")
    assert (code, "record 0001 is accepted, which can become deprecated or superseded, not rejected" in err) == (2, True)
    code, out, _ = ends(capsys, "list", "--json")
    listed = json.loads(out)
    assert (code, listed["problems"], [one["record"] for one in listed["records"]]) == (0, [], ["0001"])
    assert (listed["records"][0]["changed_by_hand"], listed["records"][0]["boxes"]) == ([], 11)


def test_f59_two_records_of_one_day_are_the_same_bytes(capsys: pytest.CaptureFixture[str], home: Path) -> None:
    for folder in ("a", "b"):
        assert ends(capsys, "new", FRONTEND, "--on", "2026-11-24", "--adr-dir", folder)[0] == 0
    files = [{path.name: path.read_bytes() for path in (home / folder).rglob("*") if path.is_file()} for folder in ("a", "b")]
    assert files[0] == files[1]
    assert len(files[0]) == 2


def test_the_words_of_an_adviser_come_from_a_file_or_a_pipe(
    capsys: pytest.CaptureFixture[str], home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIOPS_PROMETHEUS_TOKEN", "s3cr3t-value")
    own_folder(home)
    (home / "said.txt").write_bytes(b"\xef\xbb\xbfcut it, token s3cr3t-value\r\n\xff")
    assert ends(capsys, "new", FRONTEND, "--tool", "kagent", "--advice", str(home / "said.txt"))[0] == 0
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"from a pipe")))
    assert ends(capsys, "new", FRONTEND, "--advice", "-")[0] == 0
    texts = [path.read_text() for path in sorted((home / "docs" / "adr").glob("*.md"))]
    assert "- **Tool Used:** kagent" in texts[0]
    assert "> cut it, token [redacted]\n> \ufffd\n" in texts[0]
    assert "> from a pipe\n" in texts[1]
    assert not any(b"s3cr3t" in path.read_bytes() for path in home.rglob("docs/**/*") if path.is_file())


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        ([], 2, "Usage"),
        (["new"], 2, "Missing argument"),
        (
            ["new", "todo/frontend"],
            2,
            "means 2 containers; name one of: todo/Deployment/frontend/frontend, todo/Deployment/frontend/istio-proxy",
        ),
        (["new", "todo/Deployment/frontent/frontend"], 2, "did you mean todo/Deployment/frontend/frontend"),
        (["new", "shop/assistant"], 4, "there is no recommendation for shop/Deployment/assistant/assistant to decide about: cpu:"),
        (["new", "platform/ingress"], 2, "keep what it has"),
        (["new", "x", "--run", "none"], 2, "is not the folder of a run"),
        (["new", "x", "--run", "none", "--days", "7"], 2, "--run has its own window"),
        (["new", "x", "--advice", "none.txt"], 2, "--advice none.txt cannot be read"),
        (["new", FRONTEND, "--on", "24.11.2026"], 2, "expected a date such as 2026-11-24"),
        (["new", FRONTEND, "--cluster", "empty"], 4, "no history"),
        (["accept", "1"], 2, "--by"),
        (["accept", "x", "--by", "A"], 2, "valid integer"),
        (["accept", "1", "--by", "A"], 2, "there is no folder"),
        (["reject", "1", "--by", "A", "--reason", " "], 2, "--reason is empty"),
        (["reject", "1", "--by", "A", "--reason", "x", "--protect"], 2, "--protect needs --until"),
        (["reject", "1", "--by", "A", "--reason", "x", "--on", "2026-11-24", "--until", "2026-11-23"], 2, "before the decision"),
        (["list", "--fail-on", "everything"], 2, "problems"),
    ],
)
def test_exit_codes(capsys: pytest.CaptureFixture[str], words: list[str], code: int, says: str) -> None:
    ended, _, err = ends(capsys, *words)
    assert (ended, says in err, "Traceback" in err) == (code, True, False), err


def test_problems_are_listed_and_fail_only_when_asked(capsys: pytest.CaptureFixture[str], home: Path) -> None:
    own_folder(home)
    ends(capsys, "new", FRONTEND)
    (path,) = (home / "docs" / "adr").glob("*.md")
    path.write_text(path.read_text().replace("- Status: proposed", "- Status: accepted"))
    before = path.read_bytes()
    code, out, _ = ends(capsys, "list")
    assert (code, f"problem: {path.name}:" in out, "the list says accepted" in out) == (0, True, True)
    assert ends(capsys, "list", "--fail-on", "problems")[0] == 1
    code, _, err = ends(capsys, "accept", "1", "--by", "A")
    assert (code, "record 1 cannot be decided" in err) == (2, True)
    assert path.read_bytes() == before


def test_the_demo_shows_its_own_records_until_there_are_others(capsys: pytest.CaptureFixture[str], home: Path) -> None:
    _, out, _ = ends(capsys, "list", "--json")
    assert [one["status"] for one in json.loads(out)["records"]] == ["accepted", "proposed", "accepted", "rejected", "rejected"]
    assert json.loads(ends(capsys, "list", "--json", "--cluster", "prod")[1])["records"] == []
    assert "no decision record in" in ends(capsys, "list", "--adr-dir", "mine")[1]
    (home / "docs" / "adr").mkdir(parents=True)
    assert json.loads(ends(capsys, "list", "--json")[1])["records"] == []


def test_where_records_are_read(home: Path) -> None:
    def records(**flags: object) -> Path:
        return load(flags, environ={}, cwd=home).records

    assert records().parts[-2:] == ("demo", "adr")
    assert records(cluster="prod") == home / "docs" / "adr"
    assert records(adr_dir="mine") == home / "mine"


def test_hostile_titles_reach_no_terminal(capsys: pytest.CaptureFixture[str], home: Path) -> None:
    own_folder(home)
    ends(capsys, "new", FRONTEND)
    (path,) = (home / "docs" / "adr").glob("*.md")
    path.write_text(path.read_text().replace("# 1. Reduce", "# 1. \x1b[31m[bold]Reduce"))
    out = ends(capsys, "list")[1]
    assert "\x1b" not in out
    assert r"\x1b[31m[bold]Reduce" in out


@pytest.mark.parametrize("verb", ["new", "list", "accept", "reject"])
def test_help_of_every_verb_ends_with_an_example(capsys: pytest.CaptureFixture[str], verb: str) -> None:
    code, out, _ = ends(capsys, verb, "--help")
    assert code == 0
    assert f"Example: aiops-analysis adr {verb}" in " ".join(out.split())


def test_a_run_gives_the_same_record_as_the_history(capsys: pytest.CaptureFixture[str], home: Path) -> None:
    from datetime import UTC, datetime

    import aiops_analysis
    from aiops_analysis.analysis.policy import PRESETS
    from aiops_analysis.evidence.record import Record
    from aiops_analysis.history.store import open_store
    from aiops_analysis.settings import bundled
    from aiops_analysis.workflows.review import monthly, review_window

    store = open_store(bundled("demo") / "history", "demo")
    review = monthly(store, review_window(store, days=28), PRESETS["seed"])
    record = Record(
        run_id="0" * 32,
        question="",
        notebook="n",
        cluster="demo",
        window=review.window,
        created=datetime(2026, 11, 2, tzinfo=UTC),
        package_version=aiops_analysis.__version__,
        queries=review.queries,
        source=review.source,
        fingerprint=review.fingerprint,
        policy=review.policy.as_dict(),
        figures=review.figures,
    )
    (home / "run").mkdir()
    record.write(home / "run", review.recommendations)
    for words in (["--run", "run", "--adr-dir", "a"], ["--adr-dir", "b"]):
        assert ends(capsys, "new", FRONTEND, "--on", "2026-11-24", *words)[0] == 0
    (from_run,), (from_history,) = (read_folder(home / folder).decisions for folder in ("a", "b"))
    assert from_run.choices == from_history.choices
    assert (from_run.paper, from_run.price_source, from_run.dated) == (from_history.paper, from_history.price_source, date(2026, 11, 24))


def test_the_first_record_of_the_demo_takes_its_own_records_along(tmp_path, monkeypatch, capsys) -> None:
    """A folder with one record alone would hide what the demo decided, and its realised saving with it."""
    monkeypatch.chdir(tmp_path)
    assert cli.main(["adr", "new", "analytics/Deployment/query/query", "--cluster", "demo", "--on", "2026-11-03"]) == 0
    said = capsys.readouterr()
    assert "the demo's own records were copied into" in said.err
    assert said.out.strip().endswith("0006-reduce-analytics-query-cpu-memory.md")
    assert len(list((tmp_path / "docs" / "adr").glob("*.md"))) == 6
    assert cli.main(["ledger", "--cluster", "demo", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["totals"]["measured"] == 1
