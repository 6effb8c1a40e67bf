"""start_run: the same checks under our runner, bare papermill and Run All."""

from __future__ import annotations

import json
import math
from datetime import UTC, date, datetime
from pathlib import Path
from types import SimpleNamespace

import pytest

from aiops_analysis.core.errors import NotEnoughData, ParameterError
from aiops_analysis.notebook import Run, start_run
from aiops_analysis.runner.kernel import absent
from aiops_analysis.runner.parameters import Parameter, coerce, find_notebook, read_notebook
from tests.tiny import FINISH, START, settings_in, write_notebook

NOW = datetime(2026, 11, 24, 12, 0, 0, tzinfo=UTC)
CELL = (
    'cluster: str = ""  # cluster of the history\n'
    "days: int = 7  # length of the window\n"
    'end: str = ""  # ISO date\n'
    "share: float = 0.95\n"
    "draw: bool = True\n"
    "names: list[str] = []\n"
    "top: int | None = None\n"
    'policy: str = "seed"'
)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    write_notebook(tmp_path, START, "review = 5", FINISH, parameters=CELL)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def declared(**given: object) -> dict[str, object]:
    """What a notebook's globals hold after the parameters cell, with what was injected."""
    base: dict[str, object] = {"cluster": "", "days": 7, "end": "", "share": 0.95, "draw": True, "names": [], "top": None, "policy": "seed"}
    return {"__name__": "__main__", "In": [], "Out": {}, "get_ipython": print, "start_run": start_run, "_i1": "x", **base, **given}


def started(namespace: dict[str, object], **environ: str) -> Run:
    return start_run(namespace, "tiny", environ=environ, now=NOW)


def test_texts_become_what_the_cell_declares(here: Path) -> None:
    namespace = declared(days="14d", share="0.5", draw="false", names="a, b", top="3", end="2026-11-01")
    run = started(namespace)
    assert {name: namespace[name] for name in ("days", "share", "draw", "names", "top")} == {
        "days": 14,
        "share": 0.5,
        "draw": False,
        "names": ["a", "b"],
        "top": 3,
    }
    assert run.parameters["days"] == 14
    assert run.window.as_dict() == {"start": "2026-10-18T00:00:00Z", "end": "2026-11-01T00:00:00Z"}
    assert run.notebook.question == "Is it so?"
    assert (run.policy, run.policy_path, run.policy_text) == ("seed", None, "")


@pytest.mark.parametrize(
    ("kind", "many", "value", "expected"),
    [
        ("int", False, "7", 7),
        ("int", False, 7.0, 7),
        ("int", False, "2w", 14),  # the parameter is called days
        ("float", False, "1e-3", 0.001),
        ("float", False, 1, 1.0),
        ("bool", False, "YES", True),
        ("bool", False, 0, False),
        ("str", False, 12, "12"),
        ("str", False, datetime(2026, 11, 1, tzinfo=UTC), "2026-11-01T00:00:00Z"),
        ("str", False, date(2026, 11, 1), "2026-11-01"),
        ("int", True, "[1, 2]", [1, 2]),
        ("str", True, "a,b", ["a", "b"]),
    ],
)
def test_values_that_are_understood(kind: str, many: bool, value: object, expected: object) -> None:
    made = coerce(Parameter("days", kind, many, False, None, ""), value)
    assert made == expected
    assert type(made) is type(expected)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("int", "7.5"),
        ("int", True),
        ("int", "36h"),
        ("int", "\u0667"),
        ("int", "9" * 5000),
        ("int", None),
        ("float", "nan"),
        ("float", "1e999"),
        ("float", math.inf),
        ("float", ""),
        ("float", [1.0]),
        ("bool", "maybe"),
        ("bool", 2),
        ("str", True),
        ("str", {"a": 1}),
        ("str", datetime(2026, 11, 1)),  # noqa: DTZ001 - the fault itself
        ("str", "x" * 1_000_000),
    ],
)
def test_f47_values_that_are_not(kind: str, value: object) -> None:
    with pytest.raises(ParameterError, match="the parameter days is") as caught:
        coerce(Parameter("days", kind, False, False, 7, ""), value)
    assert len(str(caught.value)) < 250


def test_f47_an_unknown_name_in_the_globals_is_refused(here: Path) -> None:
    with pytest.raises(
        ParameterError, match=r"unknown parameter shaer of the notebook tiny; did you mean share\? \(valid: cluster, days, draw"
    ):
        started(declared(shaer=0.5))


def test_f46_a_secret_in_the_globals_is_refused(here: Path) -> None:
    with pytest.raises(ParameterError, match="api_token looks like a secret"):
        started(declared(api_token="x"))
    with pytest.raises(ParameterError, match="secrets come from the environment"):
        started(declared(cluster="AKIAABCDEFGHIJKLMNOP"))
    with pytest.raises(ParameterError, match="is a secret of the settings") as caught:
        started(declared(cluster="c4n4ry"), AIOPS_PROMETHEUS_TOKEN="c4n4ry")
    assert "c4n4ry" not in str(caught.value)


def test_cells_run_again_in_one_kernel_are_no_parameters(here: Path) -> None:
    namespace = declared(review=5)  # a later cell of the notebook sets it
    namespace["run"] = started(namespace)
    namespace["tried"] = 3  # and a reader tried something
    assert started(namespace).days == 7


def test_cluster_and_policy_of_notebook_and_settings(here: Path) -> None:
    (here / "h").mkdir()
    asked = {"AIOPS_HISTORY": str(here / "h"), "AIOPS_CLUSTER": "env", "AIOPS_POLICY": "krr"}
    run = started(declared(end="2026-11-01"), **asked)
    assert (run.cluster, run.policy) == ("env", "krr")
    run = started(declared(end="2026-11-01", cluster="mine", policy="vpa"), **asked)
    assert (run.cluster, run.policy) == ("mine", "vpa")
    (here / "p.toml").write_text("cpu_request_factor = 2.5")
    run = started(declared(end="2026-11-01", policy="p.toml"), **asked)
    assert run.policy_text == "cpu_request_factor = 2.5"
    with pytest.raises(ParameterError, match="cannot be read"):
        _ = started(declared(end="2026-11-01", policy="gone.toml"), **asked).policy_text


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"days": 0}, "the window is 0 days"),
        ({"days": 5000}, "the window is 5000 days"),
        ({"end": "2027-01-01"}, "in the future"),
        ({"end": "2026-02-30"}, "is not a date"),
        ({"end": "2026-11-01T00:00:00"}, "no time zone"),
    ],
)
def test_windows_that_cannot_be(here: Path, more: dict, said: str) -> None:
    with pytest.raises(Exception, match=said) as caught:
        started(declared(**more))
    assert caught.value.exit_code == 2


def test_without_a_server_the_newest_day_ends_the_window(here: Path) -> None:
    with pytest.raises(NotEnoughData, match="holds no day of the cluster 'prod'"):
        started(declared(cluster="prod"), AIOPS_HISTORY=str(here / "h"))
    for day in ("2026-10-30", "2026-10-31"):
        folder = here / "h/prod/cpu_usage" / f"day={day}"
        folder.mkdir(parents=True)
        (folder / "manifest.json").write_text("{}")
    run = started(declared(cluster="prod"), AIOPS_HISTORY=str(here / "h"))
    assert run.end == datetime(2026, 11, 1, tzinfo=UTC)
    assert run.source() is None


def test_with_a_server_the_last_settled_day_ends_the_window(here: Path) -> None:
    run = started(declared(), AIOPS_PROMETHEUS_URL="http://127.0.0.1:9")
    assert run.end == datetime(2026, 11, 24, tzinfo=UTC)
    assert run.cluster == "default"


def test_echo_is_two_lines_without_a_path(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    started(declared(end="2026-11-01"), AIOPS_HISTORY=str(here / "h"), AIOPS_CLUSTER="prod").echo()
    assert capsys.readouterr().out == "cluster prod: 7 days, 2026-10-25 to 2026-10-31 (UTC)\nhistory: no day yet\n"


def test_finish_outside_of_the_runner_publishes_a_folder(here: Path) -> None:
    run = started(declared(end="2026-11-01"), AIOPS_HISTORY=str(here / "h"), AIOPS_CLUSTER="a/b")
    run.note("looked at by hand")
    done = run.finish(SimpleNamespace(figures={"a": 1.0}, findings=[], notes=("computed",), source={"flavour": "demo"}))
    assert done.folder == here / "reports/tiny/a%2fb/20261124T120000Z"
    assert repr(done) == "evidence.json: 1 figures, 0 findings"
    evidence = json.loads((done.folder / "evidence.json").read_bytes())
    assert (evidence["run_id"], evidence["notes"]) == (run.run_id, ["computed", "looked at by hand"])
    assert list((here / "reports").glob(".tmp-*")) == []


def test_bare_papermill_gives_the_same(here: Path) -> None:
    """No runner, texts as a templating engine hands them over, the kernel of this interpreter."""
    with absent("rfc3987_syntax"):
        import papermill
    from aiops_analysis.runner.kernel import kernel

    cells = ("from types import SimpleNamespace\nrun.finish(SimpleNamespace(figures={'share': share}, findings=[]))",)
    path = write_notebook(here, START, *cells, parameters=CELL)
    home = {"AIOPS_HOME": str(here), "AIOPS_HISTORY": str(here / "h"), "AIOPS_CLUSTER": "prod"}
    with kernel(here, home) as manager:
        papermill.execute_notebook(
            str(path),
            str(here / "out.ipynb"),
            {"share": "0.25", "end": "2026-11-01"},
            kernel_name="python3",
            language="python",
            km=manager,
            progress_bar=False,
        )
    (evidence,) = here.glob("reports/tiny/prod/*/evidence.json")
    assert json.loads(evidence.read_bytes())["figures"] == {"share": 0.25}


def test_f47_an_unknown_notebook_names_the_nearest(tmp_path: Path) -> None:
    write_notebook(tmp_path / "notebooks", FINISH, name="monthly")
    settings = settings_in(tmp_path)
    assert find_notebook("monthly", settings.home, tmp_path / "none").name == "monthly.ipynb"
    with pytest.raises(ParameterError, match=r"there is no notebook montly; did you mean monthly\?"):
        find_notebook("montly", settings.home, tmp_path / "none")
    with pytest.raises(ParameterError, match="there is no notebook"):
        find_notebook("../x.ipynb", settings.home, tmp_path / "none")


def test_what_a_notebook_declares(here: Path) -> None:
    parameters = read_notebook(here / "tiny.ipynb").parameters
    assert {name: p.type_text for name, p in parameters.items()} == {
        "cluster": "str",
        "days": "int",
        "end": "str",
        "share": "float",
        "draw": "bool",
        "names": "list[str]",
        "top": "int | None",
        "policy": "str",
    }
    assert parameters["cluster"].help == "cluster of the history"


def test_the_run_knows_the_prices_and_the_bill_of_the_settings(here: Path) -> None:
    (here / "p.toml").write_text('currency = "EUR"\ncpu_hour = 0.1\nmemory_hour = 0.01\n')
    plain = started(declared(end="2026-11-01"))
    assert (plain.money.prices.name, plain.money.billing) == ("opencost-default", None)
    given = started(declared(end="2026-11-01"), AIOPS_PRICES="p.toml", AIOPS_BILLING="b.csv")
    assert (given.money.prices.source, given.money.prices.currency, given.money.billing) == ("price sheet p.toml", "EUR", here / "b.csv")
