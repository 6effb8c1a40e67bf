"""Real papermill, real kernels, tiny notebooks: what ends well, what does not, and what is left behind."""

from __future__ import annotations

import importlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from aiops_analysis.core.errors import ParameterError, RunFailed, SettingsError
from aiops_analysis.core.names import encode_path
from aiops_analysis.runner import RunResult, run_notebook
from aiops_analysis.runner.check import bounded
from aiops_analysis.runner.folders import building, clean, failed_folder, publish
from aiops_analysis.runner.kernel import absent
from aiops_analysis.settings import Settings
from tests.tiny import FINISH, PARAMETERS, START, PlainReport, settings_in, write_notebook

NOW = datetime(2026, 11, 24, 12, 0, 0, tzinfo=UTC)
ROOT = Path(__file__).resolve().parents[1]


def go(path: Path, parameters: dict | None = None, *, settings: Settings | None = None, **options) -> RunResult:
    return run_notebook(
        str(path), parameters, settings=settings or settings_in(path.parent), now=NOW, reporter=PlainReport(), warm=(), **options
    )


def leftovers(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("reports/.tmp-*"))


def kept(folder: Path) -> dict:
    (path,) = folder.glob("reports/failed/tiny-*/notebook.ipynb")
    return json.loads(path.read_bytes())


def test_a_run_writes_one_whole_folder(tmp_path: Path) -> None:
    here = tmp_path / "a {x} é 'q'"  # braces, blanks and quotes mean nothing to the paths (P09)
    history = tmp_path / "history"
    history.mkdir()
    path = write_notebook(here, START, "import os\nos.getcwd()", FINISH, parameters=PARAMETERS + '\nend: str = "2026-11-01"')
    result = go(path, {"share": "0.5", "cluster": "../x"}, settings=settings_in(here, history=str(history)))
    assert result.folder == here / "reports" / "tiny" / encode_path("../x") / "20261124T120000Z"
    assert sorted(p.name for p in result.folder.iterdir()) == ["evidence.json", "notebook.ipynb", "report.html"]
    assert result.evidence["figures"] == {"days": 3, "share": 0.5}
    assert result.evidence["question"] == "Is it so?"
    assert result.evidence["run_id"] == result.run_id
    assert result.report.read_text().startswith("Tiny ../x ")
    assert leftovers(here) == []
    assert sorted(tmp_path.iterdir()) == [here, history]
    notebook = result.folder.joinpath("notebook.ipynb").read_text()
    shown = json.loads(notebook)["cells"][4]["outputs"][0]["data"]["text/plain"]
    assert "/reports/.tmp-" in "".join(shown)  # each run has a working folder of its own
    assert str(path) not in notebook


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("shar", 1, "unknown parameter shar of the notebook tiny; did you mean share? (valid: cluster, days, share)"),
        ("share", "much", "the parameter share is 'much', expected float such as 0.95"),
        ("share", "1e999", "expected float"),
        ("days", 2.5, "expected int"),
        ("days", True, "expected int"),
        ("cluster", "x" * 5000, "expected str"),
        ("cluster", ["a"], "expected str"),
    ],
)
def test_f47_a_wrong_parameter_is_refused_before_a_kernel_starts(tmp_path: Path, name: str, value: object, said: str) -> None:
    path = write_notebook(tmp_path, "raise SystemError('a kernel ran')", FINISH)
    with pytest.raises(ParameterError) as caught:
        go(path, {name: value})
    assert said in str(caught.value)
    assert caught.value.exit_code == 2
    assert not (tmp_path / "reports").exists()


@pytest.mark.parametrize("name", ["a=1\nprint(1)\nq", "days\n", "__import__('os')", "", "days = 1", "é"])
def test_f48_a_parameter_name_that_is_code_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ParameterError, match="unknown parameter"):
        go(write_notebook(tmp_path, FINISH), {name: 1})


def test_f48_a_parameter_value_that_is_code_stays_a_literal(tmp_path: Path) -> None:
    hostile = '"; raise SystemExit # {pm[run_uuid]} ${x} {{7*7}} \\\' """ __import__(\'os\').abort()\n\t\u2028\u00e9'
    finish = 'from types import SimpleNamespace\nrun.finish(SimpleNamespace(figures={"cluster": cluster}, findings=[]))'
    history = tmp_path / "history"
    history.mkdir()
    path = write_notebook(tmp_path, START, finish, parameters='cluster: str = ""\nend: str = ""\ndays: int = 3')
    result = go(path, {"cluster": hostile, "end": "2026-11-01"}, settings=settings_in(tmp_path, history="history"))
    assert result.evidence["figures"] == {"cluster": hostile}
    assert result.folder.parent.parent == tmp_path / "reports" / "tiny"


@pytest.mark.parametrize(
    ("name", "value"),
    [("token", "x"), ("db_password", "x"), ("cluster", "eyJhbGciOiJI.eyJzdWIiOiIx.c2ln"), ("cluster", "AKIAABCDEFGHIJKLMNOP")],
)
def test_f46_a_secret_is_no_parameter(tmp_path: Path, name: str, value: str) -> None:
    with pytest.raises(ParameterError, match="secrets come from the environment") as caught:
        go(write_notebook(tmp_path, FINISH), {name: value})
    assert value not in str(caught.value) or value == "x"


def test_f46_a_token_of_the_environment_reaches_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    token = "c4n4ry/+=token\"'"
    monkeypatch.setenv("AIOPS_PROMETHEUS_TOKEN", token)
    path = write_notebook(tmp_path, START, "import os\nprint(os.environ)\nraise ValueError(os.environ['AIOPS_PROMETHEUS_TOKEN'])", FINISH)
    with pytest.raises(RunFailed) as caught:
        go(path)
    assert "[redacted]" in str(caught.value)
    files = [p for p in tmp_path.rglob("*") if p.is_file() and p != path]
    assert [p.name for p in files] == ["notebook.ipynb"]
    assert "c4n4ry" not in str(caught.value) + files[0].read_text()
    with pytest.raises(ParameterError, match="is a secret of the settings"):
        go(path, {"cluster": token})


def test_f46_a_run_that_shows_a_secret_is_not_published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIOPS_PROMETHEUS_PASSWORD", "hunter22")
    show = "import base64, os\nprint(base64.b64encode(os.environ['AIOPS_PROMETHEUS_PASSWORD'].encode()).decode())"
    with pytest.raises(RunFailed, match=r"notebook.ipynb of this run would hold a secret"):
        go(write_notebook(tmp_path, START, show, FINISH))
    assert not (tmp_path / "reports" / "tiny").exists()
    assert "aHVudGVyMjI" not in json.dumps(kept(tmp_path))  # base64 of hunter22


@pytest.mark.parametrize(
    ("cell", "tags", "code", "said"),
    [
        ("x = 1\nx / 0", (), 5, "code cell 3 (x = 1) failed: ZeroDivisionError: division by zero"),
        ("1 / 0", ("raises-exception",), 5, "code cell 3 (1 / 0) failed: ZeroDivisionError"),
        ("import sys\nsys.exit(0)", (), 5, "code cell 3 (import sys) failed: SystemExit"),
        ("import os\nos._exit(0)", (), 5, "code cell 3 (import os) failed: the kernel died"),
        ("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)", (), 5, "code cell 3 (import os, signal) failed: the kernel died"),
        ("from aiops_analysis.core.errors import NotEnoughData\nraise NotEnoughData('3 days')", (), 4, "NotEnoughData: 3 days"),
    ],
    ids=["exception", "allowed-exception", "sys-exit", "os-exit", "sigkill", "own-error"],
)
def test_f38_a_cell_that_fails(tmp_path: Path, cell: str, tags: tuple[str, ...], code: int, said: str) -> None:
    path = write_notebook(tmp_path, START, cell, FINISH, tags={1: tags})
    with pytest.raises(RunFailed) as caught:
        go(path, {"days": 4})
    assert said in str(caught.value)
    assert "reports/failed/tiny-20261124T120000Z/notebook.ipynb" in str(caught.value)
    assert caught.value.exit_code == code
    assert said in kept(tmp_path)["metadata"]["aiops_failed"]
    assert leftovers(tmp_path) == []
    assert not (tmp_path / "reports" / "tiny").exists()


def test_f38_a_cell_that_hangs(tmp_path: Path) -> None:
    path = write_notebook(tmp_path, "import threading\nthreading.Event().wait()", FINISH)
    with pytest.raises(RunFailed, match=r"code cell 2 \(import threading\) failed: it ran longer than 1 s"):
        go(path, timeout=1)
    assert len(kept(tmp_path)["cells"]) >= 4


def test_evidence_of_another_run_or_none_is_a_failure(tmp_path: Path) -> None:
    forged = "import json, os, pathlib\npath = pathlib.Path(os.environ['AIOPS_RUN_DIR'], 'evidence.json')\n"
    forged += "path.write_text(json.dumps({'schema': 1, 'run_id': 'f' * 32})) and None"
    with pytest.raises(RunFailed, match="is of another run"):
        go(write_notebook(tmp_path, forged))
    with pytest.raises(RunFailed, match="wrote no evidence"):
        go(write_notebook(tmp_path / "b", "1"))


def test_f49_templates_in_outputs_are_kept_as_text(tmp_path: Path) -> None:
    result = go(write_notebook(tmp_path, START, "print('{{7*7}} {% include x %} ${x}')", FINISH))
    assert "{{7*7}} {% include x %} ${x}" in result.folder.joinpath("notebook.ipynb").read_text()


def test_two_runs_at_once(tmp_path: Path) -> None:
    """Both of one second and one notebook, in processes of their own: two folders, nothing mixed."""
    write_notebook(tmp_path, START, FINISH)
    children = [driver(tmp_path, {"share": share}) for share in (0.25, 0.75)]
    assert [child.wait(60) for child in children] == [0, 0]
    found = sorted((tmp_path / "reports/tiny/demo").iterdir())
    assert [p.name for p in found] == ["20261124T120000Z", "20261124T120000Z-2"]
    assert sorted(json.loads((p / "evidence.json").read_bytes())["figures"]["share"] for p in found) == [0.25, 0.75]


DRIVER = """
import json, sys
from datetime import UTC, datetime
from pathlib import Path
from aiops_analysis.runner import run_notebook
from tests.tiny import PlainReport, settings_in
here = Path(sys.argv[1])
try:
    now = datetime(2026, 11, 24, 12, tzinfo=UTC)
    run_notebook(str(here / "tiny.ipynb"), json.loads(sys.argv[2]), settings=settings_in(here), now=now, reporter=PlainReport(), warm=())
except KeyboardInterrupt as error:
    sys.exit(getattr(error, "exit_code", 130))
"""


def driver(folder: Path, parameters: dict) -> subprocess.Popen:
    return subprocess.Popen([sys.executable, "-c", DRIVER, str(folder), json.dumps(parameters)], cwd=ROOT)


def wait_for(what, seconds: float = 30) -> None:
    """Look until it is so; fails when the time is over."""
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "it never happened"
        threading.Event().wait(0.05)


def gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return Path(f"/proc/{pid}/stat").is_file() and Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGKILL, -9)])
def test_f37_a_signal_stops_the_kernel_and_leaves_nothing(tmp_path: Path, number: int, code: int) -> None:
    mark = tmp_path / "kernel.pid"
    cell = f"import os, pathlib, threading\npath = pathlib.Path({str(mark)!r})\npath.with_suffix('.tmp').write_text(str(os.getpid()))\n"
    cell += "path.with_suffix('.tmp').rename(path)\nthreading.Event().wait()"
    write_notebook(tmp_path, cell, FINISH)
    child = driver(tmp_path, {})
    try:
        wait_for(mark.is_file)
        child.send_signal(number)
        assert child.wait(10) == code
    finally:
        child.kill()
        child.wait()
    wait_for(lambda: gone(int(mark.read_text())), 15)
    assert len(leftovers(tmp_path)) == (number == signal.SIGKILL)
    clean(tmp_path / "reports", time.time())  # what a killed run left goes at the next start
    assert leftovers(tmp_path) == []
    assert not (tmp_path / "reports/tiny").exists()


def test_a_living_run_keeps_its_folder_and_an_old_one_of_another_host_goes(tmp_path: Path) -> None:
    foreign = tmp_path / ".tmp-other-1-abcd"
    foreign.mkdir()
    with building(tmp_path) as mine:
        assert clean(tmp_path, time.time()) == []
        assert mine.is_dir()
        assert clean(tmp_path, time.time() + 90_000) == sorted([foreign.name, mine.name])  # older than a day: nobody runs that long


@pytest.mark.parametrize("name", ["../../etc", "..", "/abs", "a\x00b", "CON", "x" * 10_000, "Prod"])
def test_f42_no_cluster_name_leaves_the_reports_folder(tmp_path: Path, name: str) -> None:
    built = tmp_path / "built"
    built.mkdir()
    folder = publish(built, tmp_path / "reports", name, name, NOW)
    assert folder.parent.parent.parent == tmp_path / "reports"
    assert folder.resolve() == folder
    assert sorted(p.name for p in tmp_path.iterdir()) == ["reports"]


def test_f42_a_link_out_of_the_reports_folder_is_not_followed(tmp_path: Path) -> None:
    outside, reports, built = tmp_path / "outside", tmp_path / "reports", tmp_path / "built"
    for folder in (outside, reports, built):
        folder.mkdir()
    (reports / "tiny").symlink_to(outside)
    with pytest.raises(RunFailed, match="leads out of"):
        publish(built, reports, "tiny", "prod", NOW)
    assert list(outside.rglob("*.json")) == []
    assert failed_folder(built, reports, "tiny", NOW).name == "tiny-20261124T120000Z"


def test_f32_a_reports_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "reports").write_text("a file")
    with pytest.raises(SettingsError, match=r"reports cannot be written .*--reports") as caught:
        go(write_notebook(tmp_path, FINISH))
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda nb: nb["cells"][1]["metadata"].clear(), "has 0 cells with the tag parameters"),
        (lambda nb: nb["cells"][2]["metadata"].update(tags=["parameters"]), "has 2 cells with the tag parameters"),
        (lambda nb: nb.update(nbformat=3), "not a notebook of format 4"),
        (lambda nb: nb["cells"][1].update(source="import os"), "line 1 of the parameters cell"),
        (lambda nb: nb["cells"][1].update(source="a: int = len('x')"), "the default of a in"),
        (lambda nb: nb["cells"][1].update(source="a: bytes = b'x'"), "a type that cannot be given"),
    ],
)
def test_a_notebook_edited_by_hand_is_named(tmp_path: Path, change, said: str) -> None:
    path = write_notebook(tmp_path, FINISH)
    notebook = json.loads(path.read_bytes())
    change(notebook)
    path.write_text(json.dumps(notebook))
    with pytest.raises(ParameterError, match=said):
        go(path)


def test_long_outputs_are_cut_with_a_mark() -> None:
    stream = {"output_type": "stream", "name": "stdout", "text": "x" * 300_000}
    picture = {"output_type": "display_data", "data": {"image/svg+xml": "y" * 3_000_000, "text/plain": "z"}}
    cell = {"cell_type": "code", "source": "1", "outputs": [stream, picture, *[dict(stream, text="a")] * 10_000]}
    (done,) = bounded({"cells": [cell]})["cells"]
    # 200 outputs of 10,002 stay, and one line that says how many do not
    assert len(done["outputs"]) == 201
    assert done["outputs"][-1]["text"] == "[9802 more outputs left out]\n"
    assert done["outputs"][0]["text"].endswith("[100000 more characters left out]\n")
    assert done["outputs"][1]["data"]["image/svg+xml"] == "[left out: too large]"


def test_absent_hides_a_module_only_inside() -> None:
    with absent("module_of_nobody", "json"):
        assert sys.modules["json"] is json  # what is loaded stays
        with pytest.raises(ImportError, match="import of module_of_nobody halted"):
            importlib.import_module("module_of_nobody")
    assert "module_of_nobody" not in sys.modules


def test_f39_without_ipykernel_the_command_that_installs_it_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ipykernel", None)
    with pytest.raises(RunFailed, match="pip install ipykernel"):
        go(write_notebook(tmp_path, FINISH, parameters=PARAMETERS))
