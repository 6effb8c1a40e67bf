"""Run a notebook with papermill in a kernel of this interpreter, and publish its folder complete or not at all (ecosystem.md section 3).

Parameters are checked before a kernel starts; the result is checked here and not taken from papermill's metadata.
"""

from __future__ import annotations

import importlib
import json
import shutil
import threading
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from aiops_analysis.core.errors import AiopsError, RunFailed
from aiops_analysis.core.redact import Redactor
from aiops_analysis.core.window import DAY, iso, parse_instant
from aiops_analysis.runner.check import bounded, clean_metadata, failed, first_error, leaking, redacted, unfinished
from aiops_analysis.runner.folders import building, failed_folder, publish
from aiops_analysis.runner.kernel import absent, kernel, terminating
from aiops_analysis.runner.parameters import NotebookFile, check, find_notebook, read_notebook, refuse_secrets
from aiops_analysis.settings import Settings, bundled

__all__ = ["OurReport", "Reporter", "RunResult", "run_notebook"]

_CELL_TIMEOUT = 900  # [s] of one cell
_START_TIMEOUT = 60  # [s] of the kernel
# Imported by the kernel while this process still imports papermill; every review needs them.
_WARM = ("pandas",)
# Optional parts of papermill and jsonschema that a local run never uses and that cost 1.5 s and 0.4 s: a checker of
# international URLs (it compiles a grammar on import), and the file systems of Hadoop and GitHub.
_UNUSED = ("rfc3987_syntax", "pyarrow", "github")


@dataclass(frozen=True, slots=True)
class RunResult:
    """A finished run: its folder, its report, the content of its evidence, and where the time went [s]."""

    folder: Path
    report: Path
    run_id: str
    evidence: Mapping[str, Any]
    seconds: Mapping[str, float]


class Reporter(Protocol):
    """What makes report.html of an executed notebook."""

    def load(self) -> None:
        """Import what is needed; called in a thread while the kernel computes."""

    def render(self, notebook: Path, target: Path, *, title: str, meta: Mapping[str, str]) -> Path:
        """Write the page to ``target`` and return it."""


class OurReport:
    """The page of presentation.report."""

    def load(self) -> None:
        """Import nbconvert, which takes most of the time of a page."""
        importlib.import_module("aiops_analysis.presentation.report")

    def render(self, notebook: Path, target: Path, *, title: str, meta: Mapping[str, str]) -> Path:
        """Write the page to ``target`` and return it."""
        from aiops_analysis.presentation import report

        return report.render(notebook, target, title=title, meta=meta)


@dataclass(slots=True)
class _Execution:
    """What is known of a notebook while it is executed."""

    file: NotebookFile
    values: Mapping[str, Any]
    settings: Settings
    redactor: Redactor
    now: datetime
    timeout: int
    progress: bool
    reporter: Reporter
    warm: tuple[str, ...]
    run_id: str = field(default_factory=lambda: uuid.uuid4().hex)
    cell: int = -1  # index of the cell under way
    began: float = field(default_factory=time.perf_counter)
    seconds: dict[str, float] = field(default_factory=dict)

    def lap(self, name: str) -> None:
        """Note the time since the start under a name."""
        self.seconds[name] = round(time.perf_counter() - self.began, 3)

    def at_cell(self, cell: Any, cell_index: int) -> None:  # noqa: ARG002 - nbclient calls it by these names
        """Remember which cell is under way: papermill's file does not say it after a kernel died."""
        self.cell = cell_index


def run_notebook(
    name: str,
    parameters: Mapping[str, Any] | None = None,
    *,
    settings: Settings,
    now: datetime | None = None,
    timeout: int = _CELL_TIMEOUT,
    progress: bool = False,
    reporter: Reporter | None = None,
    warm: Sequence[str] = _WARM,
) -> RunResult:
    """Execute a notebook, check it, render its report, and publish ``reports/<notebook>/<cluster>/<UTC stamp>``.

    ``timeout`` is of one cell [s]; ``reporter`` renders the page, presentation.report when it is None; ``warm`` are modules
    that the kernel imports at once.
    Raises ParameterError before any kernel starts, and RunFailed (with the exit code of the notebook's own error, if it is one of
    this package) when the run does not end well; the broken notebook is then kept in ``reports/failed``.
    SIGINT and SIGTERM raise KeyboardInterrupt and Terminated with kernel and temporary folder gone.
    """
    file = read_notebook(find_notebook(name, settings.home, bundled("notebooks")))
    values = check(file.parameters, parameters or {}, f"the notebook {file.name}")
    redactor = settings.redactor()
    refuse_secrets(values, redactor)
    run = _Execution(file, values, settings, redactor, now or datetime.now(UTC), timeout, progress, reporter or OurReport(), tuple(warm))
    with terminating(), building(settings.reports) as temporary:
        built = temporary / "run"
        built.mkdir()
        try:
            _execute(run, temporary, built)
            evidence = _accept(run, built)
            _render(run, built, evidence)
            if leak := leaking(built, redactor):
                raise RunFailed(f"{leak} of this run would hold a secret of the settings; remove the cell that shows it")
        except AiopsError as error:
            raise _keep(run, temporary, built, error) from error
        except OSError as error:
            raise RunFailed(f"the run folder below {settings.reports} cannot be written ({error.strerror})") from error
        folder = publish(built, settings.reports, file.name, str(evidence["cluster"]), run.now)
    run.lap("total")
    return RunResult(folder, folder / "report.html", run.run_id, evidence, run.seconds)


def _execute(run: _Execution, temporary: Path, built: Path) -> None:
    """Run every cell; raises for the first that fails, a kernel that dies, and a cell that takes too long."""
    work = temporary / "work"
    work.mkdir()
    source = temporary / "source.ipynb"  # a name without braces: papermill formats its paths
    shutil.copyfile(run.file.path, source)
    environment = {
        "AIOPS_RUN_ID": run.run_id,
        "AIOPS_RUN_DIR": str(built.resolve()),
        "AIOPS_RUN_NOTEBOOK": str(run.file.path.resolve()),
        "AIOPS_RUN_SETTINGS": run.settings.to_json(),
    }
    with kernel(work, environment, run.warm) as manager:
        run.lap("kernel started")
        with absent(*_UNUSED):
            import papermill  # noqa: F401 - while the kernel starts; what it leaves out is hidden for this import only
        run.lap("papermill imported")
        report = threading.Thread(target=run.reporter.load, name="load-report", daemon=True)
        report.start()
        _cells(run, manager, source, built / "notebook.ipynb")
        run.lap("notebook executed")
        report.join()
    run.lap("kernel stopped")


def _cells(run: _Execution, manager: Any, source: Path, target: Path) -> None:
    """Let papermill run the cells of ``source`` in a kernel, and translate how they may end."""
    import papermill
    from nbclient.exceptions import CellTimeoutError, DeadKernelError
    from papermill.exceptions import PapermillExecutionError

    try:
        papermill.execute_notebook(
            _unformatted(source),
            _unformatted(target),
            dict(run.values),
            kernel_name="python3",
            language="python",
            km=manager,
            progress_bar=run.progress,
            start_timeout=_START_TIMEOUT,
            execution_timeout=run.timeout,
            on_cell_start=run.at_cell,
        )
    except PapermillExecutionError as error:
        notebook = _load(target)
        number, name, text = first_error(notebook) or (0, error.ename, str(error.evalue))
        raise failed(number, f"{name}: {text}", notebook, name) from error
    except CellTimeoutError as error:
        raise _stopped(run, target, f"it ran longer than {run.timeout} s") from error
    except DeadKernelError as error:
        raise _stopped(run, target, "the kernel died (out of memory?)") from error
    except RuntimeError as error:  # a kernel that never answered
        raise RunFailed(f"the kernel did not start ({error}); try: python -m pip install --force-reinstall ipykernel") from error


def _unformatted(path: Path) -> str:
    """The path as papermill's ``str.format`` gives it back."""
    return str(path.resolve()).replace("{", "{{").replace("}", "}}")


def _load(path: Path) -> dict[str, Any]:
    """The notebook as papermill left it; raises RunFailed when there is none."""
    try:
        notebook: dict[str, Any] = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise RunFailed(f"the executed notebook cannot be read ({error})") from error
    return notebook


def _stopped(run: _Execution, target: Path, what: str) -> AiopsError:
    """The error of a cell that ended without an answer."""
    if not target.is_file():
        return RunFailed(f"before the first cell: {what}")
    notebook = _load(target)
    cells = notebook["cells"][: run.cell + 1]
    injected = any("injected-parameters" in cell.get("metadata", {}).get("tags", []) for cell in cells)
    return failed(sum(cell["cell_type"] == "code" for cell in cells) - injected, what, notebook)


def _accept(run: _Execution, built: Path) -> dict[str, Any]:
    """The evidence of a run that really ended well (R9); raises RunFailed for any other."""
    from aiops_analysis.evidence.reading import read_evidence

    target = built / "notebook.ipynb"
    notebook = _load(target)
    if found := first_error(notebook):
        raise failed(found[0], f"{found[1]}: {found[2]}", notebook, found[1])
    if (number := unfinished(notebook)) is not None:
        raise failed(number, "it never ran; an earlier cell ended the kernel", notebook)
    path = built / "evidence.json"
    if not path.is_file():
        raise RunFailed(f"the notebook {run.file.name} wrote no evidence.json; its last cell must call run.finish(...)")
    evidence = read_evidence(path)
    if evidence.get("run_id") != run.run_id:
        raise RunFailed("evidence.json is of another run")
    notebook = clean_metadata(bounded(notebook), run.file.name)
    target.write_text(json.dumps(notebook, ensure_ascii=False, indent=1) + "\n", encoding="utf-8", errors="backslashreplace")
    return evidence


def _render(run: _Execution, built: Path, evidence: Mapping[str, Any]) -> None:
    start, end = (parse_instant(evidence["window"][edge]) for edge in ("start", "end"))
    meta = {
        "cluster": evidence["cluster"],
        "window": f"{start.date()} to {(end - DAY).date()} (UTC days)",
        "created": iso(run.now),
        "run": run.run_id[:12],
        "version": evidence["package_version"],
    }
    run.reporter.render(built / "notebook.ipynb", built / "report.html", title=run.file.title, meta=meta)
    run.lap("report rendered")


def _keep(run: _Execution, temporary: Path, built: Path, error: AiopsError) -> AiopsError:
    """The error, with the place of the broken notebook, which is kept without any secret."""
    text = run.redactor.clean(str(error))
    source = built / "notebook.ipynb"
    if source.is_file():
        notebook = redacted(clean_metadata(bounded(_load(source)), run.file.name), run.redactor)
        notebook.setdefault("metadata", {})["aiops_failed"] = text
        kept = temporary / "failed"
        kept.mkdir()
        (kept / "notebook.ipynb").write_text(json.dumps(notebook, indent=1) + "\n", encoding="utf-8")
        folder = failed_folder(kept, run.settings.reports, run.file.name, run.now)
        text = f"{text}; the notebook is kept in {folder / 'notebook.ipynb'}"
    said = RunFailed(text)
    said.exit_code = error.exit_code
    return said
