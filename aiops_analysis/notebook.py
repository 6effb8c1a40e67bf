"""The first package call of a notebook: parameters checked, settings resolved, evidence prepared (ecosystem.md E4, E5).

It works alike under our runner, bare papermill, Airflow, jupyter-scheduler and Run All in JupyterLab.
"""

from __future__ import annotations

import os
import sys
import uuid
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from aiops_analysis.core.errors import NotEnoughData, ParameterError
from aiops_analysis.core.window import DAY as _DAY
from aiops_analysis.core.window import Window, day_start, iso, last_whole_day, parse_duration, parse_instant
from aiops_analysis.runner.parameters import NotebookFile, Parameter, check, find_notebook, read_notebook, refuse_secrets, unknown
from aiops_analysis.settings import Settings, bundled, load

if TYPE_CHECKING:
    import pandas as pd

    from aiops_analysis.evidence.record import Record
    from aiops_analysis.sources.prometheus import Prometheus
    from aiops_analysis.sources.promql import Scope
    from aiops_analysis.workflows.money import Asked
    from aiops_analysis.workflows.review import Beside

__all__ = ["Finished", "Run", "start_run"]

_LITERALS = (str, int, float, bool, list, tuple, dict, type(None))
_IPYTHON = frozenset({"In", "Out", "exit", "quit", "get_ipython", "open"})
_MAIN_METRIC = "cpu_usage"


class ReviewLike(Protocol):
    """What a workflow hands to ``finish``; further attributes of evidence.json are taken when they are there."""

    @property
    def figures(self) -> Mapping[str, Any]: ...

    @property
    def findings(self) -> Any: ...


@dataclass(frozen=True, slots=True)
class Finished:
    """What ``finish`` wrote; shown in one line without any path of this machine."""

    folder: Path
    figures: int
    findings: int

    def __repr__(self) -> str:
        return f"evidence.json: {self.figures} figures, {self.findings} findings"


@dataclass(slots=True)
class Run:
    """One run of a notebook: what was asked, where the history is, and the way to write its evidence."""

    run_id: str
    notebook: NotebookFile
    parameters: Mapping[str, Any]
    settings: Settings
    cluster: str
    history_root: Path
    end: datetime  # the end of the window, UTC midnight
    days: int  # of the window [UTC days]
    started: datetime
    folder: Path | None  # given by the runner; None when the notebook is run otherwise
    notes: list[str] = field(default_factory=list)

    @property
    def window(self) -> Window:
        """The half-open window of whole UTC days that ends at ``end``."""
        return Window(self.end - self.days * _DAY, self.end)

    @property
    def policy(self) -> str:
        """The sizing policy's name, or the path of its TOML file; a parameter that was left at its default gives way to the settings."""
        given = str(self.parameters.get("policy") or "")
        if self.settings.policy and given in ("", _default(self.notebook.parameters, "policy")):
            return self.settings.policy
        return given or "seed"

    @property
    def policy_path(self) -> Path | None:
        """The policy's file when it is one."""
        return self.settings.home / Path(self.policy).expanduser() if self.policy.endswith(".toml") else None

    @property
    def policy_text(self) -> str:
        """The policy's file as text; "" when the policy is a preset."""
        path = self.policy_path
        if path is None:
            return ""
        try:
            return path.read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            raise ParameterError(f"the policy file {path} cannot be read ({getattr(error, 'strerror', None) or 'not UTF-8'})") from error

    def source(self) -> Prometheus | None:
        """The configured server; None when there is none, and the history answers alone."""
        server = self.settings.server()
        if server is None:
            return None
        from aiops_analysis.sources.prometheus import Prometheus

        return Prometheus(server, self.settings.redactor())

    @property
    def scope(self) -> Scope:
        """The part of the server that is asked: the cluster where a label holds it, and the namespaces of the settings."""
        return self.settings.scope()

    @property
    def names(self) -> Mapping[str, str]:
        """The server's own names of metrics, by their usual ones."""
        return self.settings.prometheus.names

    @property
    def money(self) -> Asked:
        """By which prices and rules money is counted: a price sheet, a billing export, or OpenCost's defaults."""
        return self.settings.money()

    @property
    def beside(self) -> Beside:
        """What the review is read beside: the decision records, and the last run of this notebook on this cluster."""
        from aiops_analysis.analysis.hours import HoursPolicy
        from aiops_analysis.workflows.review import Beside
        from aiops_analysis.workflows.stability import last_run

        hours = dict(self.settings.hours)
        policy = HoursPolicy(**{**hours, "days": tuple(hours["days"])}) if hours else None
        before = last_run(self.settings.reports, self.notebook.name, self.cluster, self.started)
        return Beside(self.settings.records, before, policy)

    def note(self, text: str) -> None:
        """Keep a sentence for the notes of evidence.json."""
        self.notes.append(text)

    def echo(self) -> None:
        """Two plain lines: what is asked, and what the history holds."""
        days = _history_days(self.history_root, self.cluster)
        held = f"{len(days)} days, {days[0]} to {days[-1]}" if days else "no day yet"
        last = (self.end - _DAY).date()
        sys.stdout.write(f"cluster {self.cluster}: {self.days} days, {self.window.start.date()} to {last} (UTC)\nhistory: {held}\n")

    def finish(self, review: ReviewLike) -> Finished:
        """Write recommendations.json, recommendations.csv, patches/, summary.md and, last, evidence.json; returns what was written.

        Under our runner they go into its folder; otherwise into ``reports/<notebook>/<cluster>/<stamp>``, complete or not at all.
        """
        import aiops_analysis
        from aiops_analysis.evidence.record import Record
        from aiops_analysis.runner.folders import building, publish

        policy = getattr(review, "policy", None)
        record = Record(
            run_id=self.run_id,
            question=self.notebook.question,
            notebook=self.notebook.name,
            cluster=self.cluster,
            window=getattr(review, "window", None) or self.window,
            created=self.started,
            package_version=aiops_analysis.__version__,
            parameters=self.parameters,
            queries=getattr(review, "queries", {}),
            source=getattr(review, "source", {}),
            fingerprint=getattr(review, "fingerprint", ""),
            policy=policy.as_dict() if policy is not None else {},
            figures=review.figures,
            findings=list(review.findings),
            summary=getattr(review, "summary", ""),
            notes=[*getattr(review, "notes", ()), *self.notes],
        )
        recommendations: pd.DataFrame | None = getattr(review, "recommendations", None)
        counts = len(record.figures), len(record.findings)
        outputs = {} if recommendations is None else self._proposed(review, recommendations, record)
        frames: Mapping[str, pd.DataFrame] = getattr(review, "frames", {})
        if self.folder is not None:
            record.write(self.folder, recommendations, outputs, frames)
            return Finished(self.folder, *counts)
        with building(self.settings.reports) as temporary:
            built = temporary / "run"
            built.mkdir()
            record.write(built, recommendations, outputs, frames)
            return Finished(publish(built, self.settings.reports, self.notebook.name, self.cluster, self.started), *counts)

    def _proposed(self, review: ReviewLike, recommendations: pd.DataFrame, record: Record) -> Mapping[str, bytes]:
        """``patches/`` and ``summary.md`` of a review with recommendations."""
        from aiops_analysis.evidence.proposal import proposal, roles_in
        from aiops_analysis.evidence.pull_request import Heading
        from aiops_analysis.history.store import open_store

        roles = getattr(review, "roles", None)
        if roles is None:
            roles = roles_in(open_store(self.history_root, self.cluster), record.window)
        about = Heading(
            cluster=record.cluster,
            window=record.window,
            fingerprint=record.fingerprint,
            policy=str(record.policy.get("name", "")),
            currency=getattr(getattr(review, "prices", None), "currency", ""),
            summary=record.summary,
            version=record.package_version,
        )
        return proposal(recommendations, about, roles=roles, helm=self.settings.helm).files


def start_run(
    namespace: MutableMapping[str, Any],
    notebook: str,
    *,
    environ: Mapping[str, str] | None = None,
    now: datetime | None = None,
) -> Run:
    """Check a notebook's parameters in its globals, give them their declared types, and resolve cluster, window and settings.

    Texts such as "0.95", "14d" and "true" become numbers, days and booleans; the typed values are put back into ``namespace``.
    Raises ParameterError for a public name that the notebook does not declare (with the nearest), for another type, and for a secret.
    """
    environ = os.environ if environ is None else environ
    settings = _settings(environ)
    file = _file(notebook, namespace, environ, settings)
    _refuse_undeclared(namespace, file)
    given = {name: namespace[name] for name in file.parameters if name in namespace}
    values = check(file.parameters, given, f"the notebook {file.name}")
    refuse_secrets(values, settings.redactor(environ))
    namespace.update(values)
    now = now or datetime.now(UTC)
    settings = _with_cluster(settings, file, values)
    folder = environ.get("AIOPS_RUN_DIR")
    cluster, root = settings.cluster_name, settings.history_root
    days = _days(values, settings)
    return Run(
        run_id=environ.get("AIOPS_RUN_ID") or uuid.uuid4().hex,
        notebook=file,
        parameters=values,
        settings=settings,
        cluster=cluster,
        history_root=root,
        end=_end(str(values.get("end") or ""), settings, now),
        days=days,
        started=now,
        folder=Path(folder) if folder else None,
    )


def _refuse_undeclared(namespace: Mapping[str, Any], file: NotebookFile) -> None:
    """Raises ParameterError for a public value that no cell sets and no parameter declares; not when cells are run again."""
    if any(isinstance(value, Run) for value in namespace.values()):
        return
    known = {*file.parameters, *file.assigned, *_IPYTHON}
    for name, value in namespace.items():
        if name[0] != "_" and name not in known and isinstance(value, _LITERALS):
            raise unknown(name, file.parameters, f"the notebook {file.name}")


def _settings(environ: Mapping[str, str]) -> Settings:
    """Those that the runner handed over, else this process's own."""
    handed = environ.get("AIOPS_RUN_SETTINGS")
    return Settings.from_json(handed) if handed else load(environ=environ)


def _file(name: str, namespace: Mapping[str, Any], environ: Mapping[str, str], settings: Settings) -> NotebookFile:
    """The notebook's own file: the runner's, the one open in JupyterLab or VS Code, one in the working folder, the package's."""
    hints = (environ.get("AIOPS_RUN_NOTEBOOK"), environ.get("JPY_SESSION_NAME"), namespace.get("__vsc_ipynb_file__"))
    for hint in hints:
        if isinstance(hint, str) and hint.endswith(".ipynb") and Path(hint).is_file():
            return read_notebook(Path(hint))
    beside = Path.cwd() / f"{name}.ipynb"
    return read_notebook(beside if beside.is_file() else find_notebook(name, settings.home, bundled("notebooks")))


def _with_cluster(settings: Settings, file: NotebookFile, values: Mapping[str, Any]) -> Settings:
    """The settings with the notebook's own cluster and files, where a parameter differs from its default or settings say nothing."""
    from dataclasses import replace

    cluster = values.get("cluster")
    if cluster and (not settings.cluster or cluster != _default(file.parameters, "cluster")):
        settings = replace(settings, cluster=str(cluster))
    named: dict[str, Any] = {
        n: settings.home / Path(str(values[n])).expanduser() for n in ("history", "prices", "billing") if values.get(n)
    }
    return replace(settings, **named) if named else settings


def _default(parameters: Mapping[str, Parameter], name: str) -> Any:
    return parameters[name].default if name in parameters else None


def _days(values: Mapping[str, Any], settings: Settings) -> int:
    """The window's length, from ``days`` (a number) or ``window`` (a text such as 14d)."""
    days = values.get("days")
    if days is None and isinstance(values.get("window"), str) and values["window"]:
        length = parse_duration(values["window"]) / _DAY
        if not length.is_integer():
            raise ParameterError(f"the parameter window is {values['window']!r}, expected whole days such as 14d")
        days = int(length)
    days = settings.days if days is None else days
    if not 1 <= days <= 1100:
        raise ParameterError(f"the window is {days} days, expected 1 to 1100")
    return int(days)


def _end(text: str, settings: Settings, now: datetime) -> datetime:
    """The window's end: as asked, else the last settled day of the clock with a server, else the newest day of the history."""
    if text:
        asked = parse_instant(text)
        if asked > now:
            raise ParameterError(f"the parameter end is {iso(asked)}, which is in the future")
        return day_start(asked.date())
    if not settings.prometheus.url:
        days = _history_days(settings.history_root, settings.cluster_name)
        if days:
            return day_start(days[-1]) + _DAY
        if not settings.demo:
            raise NotEnoughData(
                f"the history {settings.history_root} holds no day of the cluster {settings.cluster_name!r}; "
                "pull it with: aiops-analysis pull --prometheus URL"
            )
    return day_start(last_whole_day(now)) + _DAY


def _history_days(root: Path, cluster: str) -> list[date]:
    from aiops_analysis.history.store import open_store

    return open_store(root, cluster).days(_MAIN_METRIC)
