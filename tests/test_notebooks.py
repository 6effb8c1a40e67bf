"""The notebooks themselves: thin, clean, typed; and they give the same figures under our runner, bare papermill and Run All."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from aiops_analysis.evidence.reading import read_evidence
from aiops_analysis.runner import run_notebook
from tests.tiny import settings_in

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
REVIEW = ROOT / "notebooks" / "monthly_cost_review.ipynb"
FORBIDDEN = (
    ast.FunctionDef,
    ast.AsyncFunctionDef,
    ast.ClassDef,
    ast.For,
    ast.While,
    ast.Try,
    ast.With,
    ast.BinOp,
    ast.Subscript,
    ast.ListComp,
)
PARAMETER = re.compile(r"\w+: (str|int|float|bool) = .+  # .+")


def code(path: Path) -> list[dict]:
    return [cell for cell in json.loads(path.read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == "code"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_a_notebook_is_stored_clean(path):
    stored = json.loads(path.read_text(encoding="utf-8"))
    assert stored["metadata"]["kernelspec"] == {"display_name": "Python 3", "language": "python", "name": "python3"}
    assert set(stored["metadata"]) <= {"kernelspec", "language_info"}
    for cell in code(path):
        assert cell["outputs"] == []
        assert cell["execution_count"] is None
        assert set(cell["metadata"]) <= {"tags"}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_a_notebook_is_thin(path):
    """At most ten lines a cell, no function, loop, try or arithmetic: a cell that needs one lacks a function in the package."""
    for cell in code(path):
        source = "".join(cell["source"])
        assert len(source.splitlines()) <= 10, source
        for node in ast.walk(ast.parse(source)):
            assert not isinstance(node, FORBIDDEN), ast.unparse(node)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_the_parameters_are_typed_commented_literals(path):
    cells = [cell for cell in code(path) if "parameters" in cell["metadata"].get("tags", [])]
    assert len(cells) == 1
    for line in "".join(cells[0]["source"]).splitlines():
        assert PARAMETER.fullmatch(line), line
        ast.literal_eval(ast.parse(line).body[0].value)


def figures_in(folder: Path) -> dict:
    return read_evidence(next(folder.rglob("evidence.json")))["figures"]


@pytest.fixture(scope="module")
def ours(tmp_path_factory):
    """The review of the last 14 days of the demo under our runner."""
    here = tmp_path_factory.mktemp("ours")
    return run_notebook("monthly_cost_review", {"days": 14}, settings=settings_in(here))


def test_the_run_leaves_what_the_readme_says(ours):
    assert sorted(p.name for p in ours.folder.iterdir()) == [
        "blockers.csv",
        "bridge.csv",
        "costs.csv",
        "evidence.json",
        "ledger.csv",
        "mixes.csv",
        "next_nodes.csv",
        "node_costs.csv",
        "notebook.ipynb",
        "packing.csv",
        "patches",
        "recommendations.csv",
        "recommendations.json",
        "report.html",
        "savings.csv",
        "summary.md",
    ]
    evidence = read_evidence(ours.folder / "evidence.json")
    assert evidence["window"] == {"start": "2026-10-19T00:00:00Z", "end": "2026-11-02T00:00:00Z"}
    assert evidence["figures"]["days_stored"] == 14
    rows = json.loads((ours.folder / "recommendations.json").read_text())["recommendations"]
    # what a decision record keeps quiet is in no sum
    assert sum(row["paper"] or 0 for row in rows if not row["decided"]) == pytest.approx(evidence["figures"]["paper_month"])


def test_every_headline_figure_of_the_page_is_in_the_evidence(ours):
    page, figures = (ours.folder / "report.html").read_text(encoding="utf-8"), figures_in(ours.folder)
    assert f"{figures['paper_month']:,.2f}" in page.replace("−", "-").replace("\xa0", " ")
    assert f"{figures['containers_short']} containers" in page.replace("\xa0", " ")
    assert f"{round(figures['cpu_overprovision'] * 100)}" in page


def test_f59_two_runs_on_one_history_are_byte_identical(ours, tmp_path):
    again = run_notebook("monthly_cost_review", {"days": 14}, settings=settings_in(tmp_path))
    files = sorted(p.relative_to(ours.folder) for p in ours.folder.rglob("*") if p.is_file() and p.parent != ours.folder)
    assert len(files) > 50  # five formats of more than ten workloads
    for name in ("recommendations.json", "recommendations.csv", "summary.md", *files):
        assert (again.folder / name).read_bytes() == (ours.folder / name).read_bytes()
    one, two = (json.loads((run.folder / "evidence.json").read_text()) for run in (ours, again))
    for of_this_run in ("run_id", "created"):
        one.pop(of_this_run), two.pop(of_this_run)
    assert json.dumps(one) == json.dumps(two)

    def body(run):
        text = (run.folder / "report.html").read_text(encoding="utf-8").replace(run.run_id[:12], "RUN")
        return re.sub(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", "TIME", text)

    assert body(ours) == body(again)  # the charts too


def test_bare_papermill_gives_the_same_figures(ours, tmp_path):
    command = [
        sys.executable,
        "-m",
        "papermill",
        str(REVIEW),
        str(tmp_path / "out.ipynb"),
        "-p",
        "days",
        "14",
        "-k",
        "python3",
        "--no-progress-bar",
    ]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert figures_in(tmp_path / "reports") == figures_in(ours.folder)


def test_run_all_gives_the_same_figures_after_an_edit_of_the_parameters_cell(ours, tmp_path):
    """What a person does in JupyterLab: change a line of the parameters cell, run every cell in a kernel."""
    edited = json.loads(REVIEW.read_text(encoding="utf-8"))
    for cell in edited["cells"]:
        if "parameters" in cell["metadata"].get("tags", []):
            cell["source"] = "".join(cell["source"]).replace("days: int = 28", "days: int = 14")
    (tmp_path / REVIEW.name).write_text(json.dumps(edited), encoding="utf-8")
    command = [sys.executable, "-m", "nbconvert", "--to", "notebook", "--execute", "--output", "done.ipynb", REVIEW.name]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert figures_in(tmp_path / "reports") == figures_in(ours.folder)
