"""The project's own promises: nothing of one machine in it, locks in step, a wheel that carries what a run needs."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

import aiops_analysis

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))

#: Written in halves, so that this file does not find itself.
FOREIGN = re.compile(
    "|".join(
        [
            r"/ho" + r"me/[a-z]",
            r"/ro" + r"ot/",
            r"/Us" + r"ers/[A-Za-z]",
            r"\bpy" + r"pi\.org",
            r"python" + r"hosted\.org",
            r"deb\.deb" + r"ian\.org",
            r"--(?:extra-)?index" + r"-url[ =]",
            r"--find" + r"-links[ =]",
        ]
    )
)
BINARY = {".parquet", ".png", ".gz", ".zst"}


def tracked() -> list[Path]:
    if not (ROOT / ".git").exists():
        pytest.skip("not a git clone, so nothing says which files belong to the project")
    names = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60).stdout.split("\0")
    return [ROOT / name for name in names if name and (ROOT / name).is_file()]


def pins(lock: str) -> dict[str, set[str]]:
    """Name to versions of a lock; environments may need different ones."""
    found: dict[str, set[str]] = {}
    for name, version in re.findall(r"^([a-z0-9-]+)(?:\[[^\]]*\])?==([^\s;]+)", (ROOT / lock).read_text(encoding="utf-8"), re.MULTILINE):
        found.setdefault(name, set()).add(version)
    return found


def names(requirements: list[str]) -> set[str]:
    return {re.sub(r"[-_.]+", "-", re.match(r"[A-Za-z0-9._-]+", requirement)[0]).lower() for requirement in requirements}


def test_no_file_names_a_machine_or_an_index_host() -> None:
    wrong = [
        f"{path.relative_to(ROOT)}:{number}: {match[0]}"
        for path in tracked()
        if path.suffix not in BINARY
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if (match := FOREIGN.search(line))
    ]
    assert wrong == []


def test_no_environment_or_run_is_tracked() -> None:
    inside = [path.relative_to(ROOT).parts for path in tracked()]
    assert [parts for parts in inside if parts[0] in (".venv", ".tools", "build", "dist") or "__pycache__" in parts] == []
    assert [parts for parts in inside if parts[0] == "reports" and parts != ("reports", ".gitkeep")] == []
    assert [parts for parts in inside if parts[0] == "data" and parts[1] != "demo"] == []


def test_locks_hold_what_pyproject_asks_for() -> None:
    setup = PROJECT["dependency-groups"]["setup"]
    extras = PROJECT["project"]["optional-dependencies"]
    users = names(PROJECT["project"]["dependencies"] + setup)
    assert users - pins("requirements.lock").keys() == set()
    assert (users | names(extras["dev"] + extras["bench"])) - pins("requirements-dev.lock").keys() == set()


def test_tests_run_on_what_users_get() -> None:
    users, tests = pins("requirements.lock"), pins("requirements-dev.lock")
    assert {name: versions for name, versions in users.items() if tests.get(name) != versions} == {}


@pytest.mark.parametrize("lock", ["requirements.lock", "requirements-dev.lock"])
def test_every_pin_has_a_hash(lock: str) -> None:
    text = (ROOT / lock).read_text(encoding="utf-8")
    blocks = re.split(r"^(?=[a-z0-9])", text, flags=re.MULTILINE)[1:]
    assert len(blocks) > 100
    assert [block.split()[0] for block in blocks if "--hash=sha256:" not in block] == []


def test_locked_versions_are_above_the_known_holes() -> None:
    # the floors of versions with published holes, as the project states them
    floors = {
        "nbconvert": (7, 17, 1),
        "jupyter-server": (2, 20),
        "jinja2": (3, 1, 6),
        "pyarrow": (14, 0, 1),
        "requests": (2, 32, 4),
        "urllib3": (2, 7),
    }
    locked = pins("requirements.lock")
    below = {
        name: version
        for name, floor in floors.items()
        for version in locked[name]
        if tuple(int(part) for part in version.split(".")) < floor
    }
    assert below == {}


def test_the_package_is_quick_to_import() -> None:
    heavy = "{'matplotlib', 'numpy', 'pandas', 'requests', 'typer'}"
    code = f"import sys, aiops_analysis; print(*sorted({{name.split('.')[0] for name in sys.modules}} & {heavy}))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == ""


def test_unknown_names_of_the_package_are_attribute_errors() -> None:
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = aiops_analysis.no_such_name


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of the tracked files, built without a network by the hatchling of the lock."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for path in tracked():
        target = source / path.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(out)]
    done = subprocess.run(command, cwd=source, capture_output=True, text=True, check=False, timeout=120, env=os.environ | {"CI": ""})
    assert done.returncode == 0, done.stderr
    (built,) = out.glob("*.whl")
    return built


def test_the_wheel_carries_notebooks_demo_and_templates(wheel: Path) -> None:
    inside = set(zipfile.ZipFile(wheel).namelist())
    expected = {
        path.relative_to(ROOT): prefix + path.relative_to(ROOT / folder).as_posix()
        for folder, prefix in (
            ("notebooks", "aiops_analysis/_bundle/notebooks/"),
            ("data/demo", "aiops_analysis/_bundle/demo/"),
            ("aiops_analysis", "aiops_analysis/"),
        )
        for path in tracked()
        if path.is_relative_to(ROOT / folder)
    }
    assert {source for source, name in expected.items() if name not in inside} == set()
    assert any(name.startswith("aiops_analysis/_bundle/demo/history/") and name.endswith(".parquet") for name in inside)
    assert "aiops_analysis/_bundle/notebooks/monthly_cost_review.ipynb" in inside
    assert any(name.startswith("aiops_analysis/presentation/templates/") and name.endswith(".j2") for name in inside)


def test_the_wheel_carries_nothing_else(wheel: Path) -> None:
    tops = {name.split("/")[0] for name in zipfile.ZipFile(wheel).namelist()}
    assert tops == {"aiops_analysis", f"aiops_analysis-{aiops_analysis.__version__}.dist-info"}


def test_the_wheel_says_how_it_is_called(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        folder = f"aiops_analysis-{aiops_analysis.__version__}.dist-info"
        points, about = (archive.read(f"{folder}/{name}").decode() for name in ("entry_points.txt", "METADATA"))
    assert "aiops-analysis = aiops_analysis.cli:main" in points
    assert "aiops-report = aiops_analysis.presentation.report:ReportExporter" in points
    assert "License-Expression: Apache-2.0" in about
    assert "Requires-Python: >=3.11" in about


@pytest.mark.slow
def test_the_report_runs_from_the_wheel(wheel: Path, tmp_path: Path) -> None:
    site, work = tmp_path / "site", tmp_path / "work"
    zipfile.ZipFile(wheel).extractall(site)
    work.mkdir()
    # the unpacked wheel comes before the source tree that `make setup` put on the path; nothing of the clone is the working directory
    environment = os.environ | {"PYTHONPATH": str(site), "HOME": str(work)}
    where = [sys.executable, "-c", "import aiops_analysis; print(aiops_analysis.__file__)"]
    done = subprocess.run(where, cwd=work, env=environment, capture_output=True, text=True, check=True, timeout=60)
    assert Path(done.stdout.strip()).is_relative_to(site)
    run = [sys.executable, "-c", "from aiops_analysis.cli import main; main()", "run", "monthly_cost_review"]
    done = subprocess.run(run, cwd=work, env=environment, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    report = work / done.stdout.splitlines()[-1]
    assert report.name == "report.html"
    assert report.is_relative_to(work)
    assert report.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
