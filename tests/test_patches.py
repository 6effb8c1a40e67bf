"""``aiops-analysis patches`` and the files that a notebook's run leaves: complete, sealed, never over somebody else's."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import pytest

from aiops_analysis import cli
from aiops_analysis.cli.target import publish_files
from aiops_analysis.core.errors import RunFailed, UsageError
from aiops_analysis.core.reasons import Code
from aiops_analysis.evidence.proposal import MANY, proposal
from aiops_analysis.evidence.pull_request import Heading
from aiops_analysis.evidence.reading import read_evidence
from aiops_analysis.notebook import start_run
from aiops_analysis.runner.folders import sync_tree
from tests.patching import both, frame, reason, row
from tests.test_pull_request import ABOUT

FILES = {"index.json": b"", "strategic/a.yaml": b"a", "summary.md": b"s"}
NOW = datetime(2026, 11, 24, tzinfo=UTC).timestamp()


def sealed(files: dict[str, bytes]) -> dict[str, bytes]:
    digests = {name: hashlib.sha256(data).hexdigest() for name, data in files.items() if "/" in name}
    return files | {"index.json": json.dumps({"files": digests}).encode()}


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("AIOPS_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


def ends(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    return cli.main(words), *capsys.readouterr()


# --- the verb -------------------------------------------------------------------------------------------------------------------


def test_f59_the_demo_twice_is_the_same_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    first = ends(capsys, "patches", "--out", str(out))
    assert first[0] == 0, first[2]
    assert first[1].splitlines()[-1] == str(out / "summary.md")
    before = {path.relative_to(out): path.read_bytes() for path in out.rglob("*") if path.is_file()}
    assert ends(capsys, "patches", "--out", str(out))[0] == 0  # replaces its own
    assert {path.relative_to(out): path.read_bytes() for path in out.rglob("*") if path.is_file()} == before
    assert {"strategic", "json-patch", "components", "helm", "vpa", "index.json", "summary.md"} == {path.name for path in out.iterdir()}
    assert b"todo.deployment.backend.yaml" in before[Path("components/rightsizing/kustomization.yaml")]


def test_filters_and_formats(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("patches", "--out", str(tmp_path / "o"), "-n", "todo", "--workload", "backend", "--format", "strategic", "--json")
    code, out, _ = ends(capsys, *words)
    told = json.loads(out)
    assert (code, told["workloads"]) == (0, 1)
    assert told["files"] == ["index.json", "strategic/todo.deployment.backend.yaml", "summary.md"]
    assert {one["container"] for one in told["left_out"]} == {"istio-proxy"}
    code, _, err = ends(capsys, *words[:-1], "-n", "nowhere")
    assert (code, "--namespace is 'nowhere', which has no container" in err) == (2, True)


def test_a_folder_of_somebody_else_is_not_touched(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    code, _, err = ends(capsys, "patches", "--out", str(tmp_path))
    assert (code, "was not written by this command" in err) == (2, True)
    assert (tmp_path / "mine.txt").read_text() == "mine"


def test_recommendations_for_what_reads_krr(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = ends(capsys, "recommend", "--format", "krr")
    told = json.loads(out)
    assert (code, told["strategy"]["settings"]["name"]) == (0, "seed")
    assert {scan["object"]["cluster"] for scan in told["scans"]} == {"demo"}


# --- the folder -----------------------------------------------------------------------------------------------------------------


def test_the_whole_folder_is_replaced(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "patches"
    publish_files(sealed(FILES | {"vpa/b.yaml": b"b"}), target, NOW)
    publish_files(sealed(FILES), target, NOW)
    assert sorted(p.relative_to(target).as_posix() for p in target.rglob("*") if p.is_file()) == sorted(FILES)
    assert [path.name for path in target.parent.iterdir()] == ["patches"]


@pytest.mark.parametrize("change", ["strategic/a.yaml", "strategic/new.yaml"])
def test_a_file_that_was_edited_or_added_stays(tmp_path: Path, change: str) -> None:
    target = tmp_path / "patches"
    publish_files(sealed(FILES), target, NOW)
    (target / change).write_text("edited")
    with pytest.raises(UsageError, match=f"holds {change}, which was added or edited by hand"):
        publish_files(sealed(FILES), target, NOW)
    assert (target / change).read_text() == "edited"


@pytest.mark.parametrize("index", [b"{}", b"[]", b"\xff", b'{"files": 3}'])
def test_a_lying_index_protects_the_folder(tmp_path: Path, index: bytes) -> None:
    (tmp_path / "index.json").write_bytes(index)
    with pytest.raises(UsageError, match="was not written by this command"):
        publish_files(sealed(FILES), tmp_path, NOW)


def test_f42_a_link_or_a_file_is_no_target(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    (tmp_path / "file").write_text("x")
    for name in ("link", "file"):
        with pytest.raises(UsageError, match="no plain folder"):
            publish_files(sealed(FILES), tmp_path / name, NOW)
    assert list((tmp_path / "real").iterdir()) == []


def test_f32_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(RunFailed, match="cannot be written"):
        publish_files(sealed(FILES), tmp_path / "file" / "patches", NOW)


def test_f35_leftovers_of_an_interrupted_write_are_swept(tmp_path: Path) -> None:
    old, other = tmp_path / ".patches.1-ab.aiops-new", tmp_path / ".else.1-ab.aiops-new"
    old.mkdir()
    other.mkdir()
    publish_files(sealed(FILES), tmp_path / "patches", old.stat().st_mtime + 7200)
    assert not old.exists()
    assert other.exists()
    assert sorted(path.name for path in tmp_path.iterdir() if path not in (tmp_path / "home", other)) == ["patches"]


def test_many_files_are_synced_at_once(tmp_path: Path) -> None:
    for number in range(150):
        (tmp_path / str(number)).write_bytes(b"")
    sync_tree(tmp_path)  # neither way raises
    sync_tree(tmp_path / "home")


# --- what a run leaves ----------------------------------------------------------------------------------------------------------


def test_a_large_cluster_gets_one_format_in_its_run_folder() -> None:
    rows = [line for number in range(MANY + 1) for line in [row("cpu", workload=f"w{number}")]]
    assert proposal(frame(rows), ABOUT).formats == ("strategic",)
    assert proposal(frame(rows[:2]), ABOUT, formats=["vpa"]).formats == ("vpa",)
    assert len(proposal(frame(rows[:2]), ABOUT).formats) == 5


def test_the_folder_of_the_text_is_where_its_files_are() -> None:
    made = proposal(frame(both()), Heading("demo", ABOUT.window, "f" * 64, folder=""))
    assert "cd strategic" in made.files["summary.md"].decode()
    assert "strategic/todo.deployment.backend.yaml" in made.files


def finished(here: Path, **more: object) -> Path:
    from tests.test_notebook import CELL, START, write_notebook

    path = write_notebook(here, START, parameters=CELL)
    environ = {"AIOPS_HOME": str(here), "AIOPS_HISTORY": str(here / "h"), "AIOPS_CLUSTER": "prod", "AIOPS_RUN_NOTEBOOK": str(path)}
    namespace = {"share": 0.25, "end": "2026-11-01"}
    run = start_run(namespace, "tiny", environ=environ, now=datetime(2026, 11, 24, 12, tzinfo=UTC))
    return run.finish(SimpleNamespace(figures={}, findings=[], fingerprint="f" * 64, **more)).folder


def test_a_run_with_recommendations_leaves_patches_sealed_in_its_evidence(home: Path) -> None:
    roles = {("todo", "Deployment", "backend", "log"): "sidecar"}
    rows = [*both(), *both(container="log"), *both(workload="m", reasons=[reason(Code.SIDECAR)])]
    folder = finished(home, recommendations=frame(rows), roles=roles)
    assert sorted(path.name for path in folder.iterdir()) == [
        "evidence.json",
        "patches",
        "recommendations.csv",
        "recommendations.json",
        "summary.md",
    ]
    sealed_files = read_evidence(folder / "evidence.json")["files"]
    assert sorted(sealed_files) == ["patches/index.json", "recommendations.csv", "recommendations.json", "summary.md"]
    for name, digest in sealed_files.items():
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest
    inner = json.loads((folder / "patches/index.json").read_bytes())["files"]
    assert {p.relative_to(folder / "patches").as_posix() for p in (folder / "patches").rglob("*") if p.is_file()} == {*inner, "index.json"}
    assert "initContainers" in (folder / "patches/strategic/todo.deployment.backend.yaml").read_text()
    assert "`todo/m`" in (folder / "summary.md").read_text()


def test_a_run_without_recommendations_leaves_none(home: Path) -> None:
    assert sorted(path.name for path in finished(home).iterdir()) == ["evidence.json"]
