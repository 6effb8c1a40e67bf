"""Tiny notebooks for the tests of the runner, and a reporter that needs no nbconvert."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from aiops_analysis.settings import Settings, load

PARAMETERS = 'cluster: str = ""  # cluster of the history\ndays: int = 3  # length of the window\nshare: float = 0.95  # a share'
START = 'from aiops_analysis import start_run\nrun = start_run(globals(), "tiny")'
FINISH = 'from types import SimpleNamespace\nrun.finish(SimpleNamespace(figures={"share": share, "days": days}, findings=[]))'


def write_notebook(
    folder: Path, *cells: str, parameters: str = PARAMETERS, name: str = "tiny", tags: Mapping[int, Sequence[str]] = {}
) -> Path:
    """A notebook of one title, the parameters cell and ``cells``; ``tags`` are of the code cells by position."""
    made: list[dict] = [{"cell_type": "markdown", "metadata": {}, "source": "# Tiny\n\nIs it so?\n\nMore words.", "id": "title"}]
    for number, source in enumerate((parameters, *cells)):
        given = ["parameters"] if number == 0 else list(tags.get(number - 1, ()))
        cell = {
            "cell_type": "code",
            "execution_count": None,
            "id": f"c{number}",
            "metadata": {"tags": given},
            "outputs": [],
            "source": source,
        }
        made.append(cell)
    kernel = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "no-such-kernel"}}
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.ipynb"
    path.write_text(json.dumps({"cells": made, "metadata": kernel, "nbformat": 4, "nbformat_minor": 5}))
    return path


def settings_in(folder: Path, **flags: object) -> Settings:
    """Settings of a folder, deaf to this machine."""
    return load(flags, environ={}, cwd=folder)


class PlainReport:
    """A reporter that writes the title and the meta as they are."""

    def load(self) -> None:
        """Nothing to import."""

    def render(self, notebook: Path, target: Path, *, title: str, meta: Mapping[str, str]) -> Path:
        """One line."""
        target.write_text(f"{title} {meta['cluster']} {len(notebook.read_bytes())}")
        return target
