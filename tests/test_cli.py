"""The command line from outside: exit codes, one JSON document, one line for an error, a quick --help."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from aiops_analysis import cli
from aiops_analysis.cli.run import joined_pairs
from aiops_analysis.cli.session import Session
from aiops_analysis.core.errors import UsageError

ROOT = Path(__file__).resolve().parents[1]
VERBS = ("run", "pull", "doctor", "recommend", "patches", "predict", "demo")
NOBODY = "http://127.0.0.1:9"  # the discard port, where nobody listens


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("AIOPS_HOME", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    return tmp_path


def ends(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    code = cli.main(words)
    return code, *capsys.readouterr()


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["--version"], 0, ""),
        ([], 2, "Usage"),
        (["nonsense"], 2, "nonsense"),
        (["run"], 2, "NOTEBOOK"),
        (["run", "no_such"], 2, "there is no notebook no_such"),
        (["run", "x", "-p", "days"], 2, "needs a name and a value"),
        (["run", "x", "-p", "days", "7", "--days", "8"], 2, "given twice"),
        (["pull"], 2, "AIOPS_PROMETHEUS_URL"),
        (["pull", "--days", "0", "--prometheus", NOBODY], 2, "--days"),
        (["pull", "--prometheus", "ftp://x"], 2, "not an http"),
        (["doctor", "--prometheus", NOBODY], 3, NOBODY),
        (["recommend", "--cluster", "empty"], 4, "no history"),
        (["recommend", "--format", "xml"], 2, "expected table, krr or krr-csv"),
        (["run", "monthly_cost_review", "--prices", "none.toml"], 2, "none.toml is not there"),
        (["run", "monthly_cost_review", "--billing", "none.csv"], 2, "none.csv is not there"),
        (["recommend", "--prices", "none.toml"], 2, "none.toml is not there"),
        (["patches", "--cluster", "empty"], 4, "no history"),
        (["patches", "--format", "yaml"], 2, "--format is 'yaml', expected strategic"),
    ],
)
def test_exit_codes(capsys: pytest.CaptureFixture[str], words: list[str], code: int, says: str) -> None:
    ended, _, err = ends(capsys, *words)
    assert ended == code
    assert says in err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("words", "code"),
    [(["run", "no_such"], 2), (["run", "--bad"], 2), (["doctor", "--prometheus", NOBODY], 3), (["recommend", "--cluster", "empty"], 4)],
)
def test_an_error_is_one_json_document_and_one_line(capsys: pytest.CaptureFixture[str], words: list[str], code: int) -> None:
    ended, out, err = ends(capsys, *words, "--json")
    told = json.loads(out)
    assert set(told) == {"error", "exit_code"}
    assert ended == told["exit_code"] == code
    assert err == f"error: {told['error']}\n"


def test_doctor_without_a_server_looks_at_the_history(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = ends(capsys, "doctor", "--json", "--cluster", "mine", "--history", "h")
    found = json.loads(out)
    assert (code, found["cluster"], found["days_stored"], found["server"]) == (0, "mine", [], {})


def test_f46_a_secret_is_in_no_error(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIOPS_PROMETHEUS_TOKEN", "s3cr3t-value")
    _, out, err = ends(capsys, "run", "s3cr3t-value", "--json", "--debug")
    assert "[redacted]" in out
    assert "[redacted]" in err
    assert "Traceback" in err
    assert "s3cr3t" not in out + err


def test_a_bug_ends_in_five_without_a_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    assert Session(json=True).failed("internal error: two\nlines", 5, ZeroDivisionError()) == 5
    out, err = capsys.readouterr()
    assert json.loads(out) == {"error": "internal error: two lines", "exit_code": 5}
    assert err == "error: internal error: two lines\n"


def test_an_unforeseen_error_in_a_verb_ends_in_five(capsys: pytest.CaptureFixture[str], home: Path) -> None:
    # build_demo clears and makes folders below a file: NotADirectoryError or the store's own refusal, never 1
    (home / "file").write_text("x")
    code, out, err = ends(capsys, "demo", "--into", str(home / "file"), "--json")
    assert code == json.loads(out)["exit_code"] == 5
    assert "Traceback" not in err


def test_pairs_are_papermills() -> None:
    assert joined_pairs(["run", "x", "-p", "a", "1=2", "-p", "b=", "--json"]) == ["run", "x", "-p", "a=1=2", "-p", "b=", "--json"]
    assert joined_pairs(["pull", "-p", "a"]) == ["pull", "-p", "a"]
    with pytest.raises(UsageError, match="needs a name"):
        joined_pairs(["run", "x", "-p"])


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signals_end_a_verb_that_waits(number: signal.Signals, code: int, home: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(60)
        command = [sys.executable, "-m", "aiops_analysis", "pull", "--json", "--prometheus", f"http://127.0.0.1:{server.getsockname()[1]}"]
        # a shell hands an ignored SIGINT to what it runs in the background
        heard = {"preexec_fn": lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)}
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **heard) as process:
            connection, _ = server.accept()  # the question is under way and will never be answered
            with connection:
                process.send_signal(number)
                out, err = process.communicate(timeout=60)
    assert process.returncode == json.loads(out)["exit_code"] == code
    assert err == "error: stopped by a signal\n"
    assert [path for path in home.rglob("*") if path.suffix == ".parquet"] == []


@pytest.mark.parametrize("verb", VERBS)
def test_help_of_every_verb_ends_with_an_example(capsys: pytest.CaptureFixture[str], verb: str) -> None:
    code, out, _ = ends(capsys, verb, "--help")
    assert code == 0
    assert f"Example: aiops-analysis {verb}" in " ".join(out.split())


def test_help_imports_typer_only() -> None:
    heavy = "{'matplotlib', 'nbconvert', 'numpy', 'pandas', 'papermill', 'pydantic_settings', 'requests', 'rich'}"
    code = (
        "import sys; from aiops_analysis.cli import main; main(['run', '--help'])\n"
        f"print(*sorted({{name.split('.')[0] for name in sys.modules}} & {heavy}))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.splitlines()[-1] == ""
    assert "monthly_cost_review" in done.stdout


def test_a_reader_that_goes_away_is_no_error() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-m", "aiops_analysis", "doctor"],
        cwd=ROOT,
        stdout=writer,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        timeout=60,
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_full_disk_under_stdout_ends_in_five() -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "aiops_analysis", "doctor"],
            cwd=ROOT,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            timeout=60,
        )
    assert done.returncode == 5
    assert "Traceback" not in done.stderr


def test_recommend_takes_the_prices_of_a_sheet(capsys: pytest.CaptureFixture[str], home: Path) -> None:
    (home / "prices.toml").write_text('currency = "EUR"\ncpu_hour = 0.1\nmemory_hour = 0.01\n')
    code, out, _ = ends(capsys, "recommend", "--prices", "prices.toml", "--json")
    assert code == 0
    prices = {row["resource"]: row["unit_price"] for row in json.loads(out)["recommendations"]}
    assert prices == {"cpu": pytest.approx(73.0), "memory": pytest.approx(7.3)}  # 730 hours
