"""Whether a run ended well, and what its notebook may keep: nothing that papermill wrote is believed (reliability.md R9)."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiops_analysis.core.errors as errors
from aiops_analysis.core.errors import AiopsError, RunFailed
from aiops_analysis.core.names import visible
from aiops_analysis.core.redact import Redactor

__all__ = ["Failure", "bounded", "clean_metadata", "first_error", "leaking", "redacted", "unfinished"]

_MOST_TEXT = 200_000  # characters of one output
_MOST_OUTPUTS = 200  # of one cell
_MOST_PICTURE = 2_000_000  # characters of one picture or table
_ANSI = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")

Failure = tuple[int, str, str]  # number of the cell, name and text of the error


def _code_cells(notebook: dict[str, Any]) -> Iterator[tuple[int, dict[str, Any]]]:
    """Code cells that are not empty, numbered as the author's notebook counts them (papermill's own are 0)."""
    number = 0
    for cell in notebook["cells"]:
        tags = cell.get("metadata", {}).get("tags", [])
        if cell.get("cell_type") != "code":
            continue
        injected = "injected-parameters" in tags
        number += not injected
        if _source(cell).strip():
            yield (0 if injected else number), cell


def _source(cell: dict[str, Any]) -> str:
    source = cell.get("source", "")
    return "".join(source) if isinstance(source, list) else str(source)


def first_error(notebook: dict[str, Any]) -> Failure | None:
    """The first error output, also of a cell that was allowed to raise: (cell, name, text)."""
    for number, cell in _code_cells(notebook):
        for output in cell.get("outputs", []):
            if output.get("output_type") == "error":
                return number, str(output.get("ename", "")), _ANSI.sub("", str(output.get("evalue", "")))
    return None


def unfinished(notebook: dict[str, Any]) -> int | None:
    """The number of the first code cell that never ran; None when all did."""
    return next((number for number, cell in _code_cells(notebook) if cell.get("execution_count") is None), None)


def failed(number: int, what: str, notebook: dict[str, Any] | None = None, error: str = "") -> AiopsError:
    """The error of a failed run, with the cell and its first line; it has the exit code of the package's error ``error``."""
    line = ""
    for found, cell in _code_cells(notebook) if notebook else ():
        if found == number:
            line = visible(next((text for text in _source(cell).splitlines() if text.strip()), ""), 60)
    where = f"code cell {number} ({line})" if number else "the injected parameters"
    raised = RunFailed(f"{where} failed: {what}")
    kind = getattr(errors, error, None)
    if isinstance(kind, type) and issubclass(kind, AiopsError):
        raised.exit_code = kind.exit_code
    return raised


def bounded(notebook: dict[str, Any]) -> dict[str, Any]:
    """The notebook with outputs no longer than a report can hold, each cut with a mark."""
    for cell in notebook["cells"]:
        outputs = cell.get("outputs")
        if not outputs:
            continue
        if len(outputs) > _MOST_OUTPUTS:
            mark = {"output_type": "stream", "name": "stderr", "text": f"[{len(outputs) - _MOST_OUTPUTS} more outputs left out]\n"}
            cell["outputs"] = outputs = [*outputs[:_MOST_OUTPUTS], mark]
        for output in outputs:
            if "text" in output:
                output["text"] = _cut(output["text"], _MOST_TEXT)
            for kind, value in output.get("data", {}).items():
                if isinstance(value, str | list):
                    whole = "".join(map(str, value)) if isinstance(value, list) else value
                    limit = _MOST_TEXT if kind == "text/plain" else _MOST_PICTURE
                    if len(whole) > limit:
                        output["data"][kind] = _cut(whole, limit) if kind == "text/plain" else "[left out: too large]"
    return notebook


def _cut(text: str | list[str], limit: int) -> str:
    whole = "".join(text) if isinstance(text, list) else text
    return whole if len(whole) <= limit else f"{whole[:limit]}\n[{len(whole) - limit} more characters left out]\n"


def clean_metadata(notebook: dict[str, Any], name: str) -> dict[str, Any]:
    """The notebook without paths of this machine in papermill's metadata."""
    about = notebook.get("metadata", {}).get("papermill")
    if isinstance(about, dict):
        about.update({key: f"{name}.ipynb" for key in ("input_path", "output_path") if key in about})
        about.pop("environment_variables", None)
    return notebook


def redacted(value: Any, redactor: Redactor) -> Any:
    """The JSON value with every known secret taken out of its texts, keys included."""
    if isinstance(value, str):
        return redactor.clean(value)
    if isinstance(value, list):
        return [redacted(item, redactor) for item in value]
    if isinstance(value, dict):
        return {redactor.clean(key): redacted(item, redactor) for key, item in value.items()}
    return value


def leaking(folder: Path, redactor: Redactor) -> str | None:
    """The first file of a run folder that holds a known secret, plain, encoded or as JSON escapes; None when none does."""
    for path in sorted(folder.rglob("*")):
        if not path.is_file():
            continue
        data = path.read_bytes()
        if redactor.found(data):
            return path.relative_to(folder).as_posix()
        if path.suffix in (".json", ".ipynb"):
            decoded = json.loads(data)
            if redacted(decoded, redactor) != decoded:
                return path.relative_to(folder).as_posix()
    return None
