"""Parameters of a notebook: what its parameters cell declares, and what a person may give (ecosystem.md section 3, E5).

The notebook's own cell is the only list. Values are data: they are read as literals and never evaluated.
"""

from __future__ import annotations

import ast
import difflib
import io
import json
import math
import tokenize
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

from aiops_analysis.core.errors import ParameterError, UsageError
from aiops_analysis.core.names import visible
from aiops_analysis.core.redact import Redactor, looks_secret
from aiops_analysis.core.window import DAY, iso, parse_duration

__all__ = ["NotebookFile", "Parameter", "check", "coerce", "find_notebook", "read_notebook", "refuse_secrets", "unknown"]

_LONGEST = 4096  # characters of one text value
_SCALARS = ("str", "int", "float", "bool")
_TRUE, _FALSE = frozenset({"true", "yes", "on", "1"}), frozenset({"false", "no", "off", "0"})


@dataclass(frozen=True, slots=True)
class Parameter:
    """One line of a parameters cell: ``name: type = default  # help``."""

    name: str
    kind: str  # str | int | float | bool
    many: bool  # a list of that kind
    optional: bool  # None is a value
    default: Any
    help: str

    @property
    def type_text(self) -> str:
        """The type as it is written in the cell."""
        return (f"list[{self.kind}]" if self.many else self.kind) + (" | None" if self.optional else "")


@dataclass(frozen=True, slots=True)
class NotebookFile:
    """What the runner needs to know of a notebook before a kernel starts."""

    path: Path
    name: str
    title: str
    question: str
    parameters: Mapping[str, Parameter]
    assigned: frozenset[str]  # public names that its cells set


def find_notebook(name: str, home: Path, bundle: Path) -> Path:
    """The file of a notebook given as a path or as a name, in the working folder, its notebooks/, or the package's own.

    Raises ParameterError with the notebooks there are and the nearest name.
    """
    if name.endswith(".ipynb") or "/" in name:
        path = home / Path(name).expanduser()
        if not path.is_file():
            raise ParameterError(f"there is no notebook {visible(str(path))}")
        return path
    folders = (home / "notebooks", bundle)
    for folder in folders:
        if "\x00" not in name and len(name) < 200 and (folder / f"{name}.ipynb").is_file():
            return folder / f"{name}.ipynb"
    there = sorted({path.stem for folder in folders if folder.is_dir() for path in folder.glob("*.ipynb")})
    raise ParameterError(f"there is no notebook {visible(name)}{_nearest(name, there)}")


def read_notebook(path: Path) -> NotebookFile:
    """The declared parameters, title and question of a notebook file.

    Raises ParameterError for a file that is no notebook of format 4, or has no parameters cell, or two, or one with more than literals.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise ParameterError(f"{path} is not a readable notebook ({error})") from error
    if not isinstance(data, dict) or data.get("nbformat") != 4 or not isinstance(data.get("cells"), list):
        raise ParameterError(f"{path} is not a notebook of format 4; open and save it in JupyterLab")
    cells = [(cell.get("cell_type"), _source(cell), cell.get("metadata", {}).get("tags", [])) for cell in data["cells"]]
    tagged = [source for kind, source, tags in cells if kind == "code" and "parameters" in tags]
    if len(tagged) != 1:
        raise ParameterError(f"{path} has {len(tagged)} cells with the tag parameters; exactly one is needed")
    title, question = _words([source for kind, source, _ in cells if kind == "markdown"])
    assigned = frozenset(name for kind, source, _ in cells if kind == "code" for name in _assigned(source))
    return NotebookFile(path, path.stem, title or path.stem, question, _declared(tagged[0], path), assigned)


def _source(cell: Mapping[str, Any]) -> str:
    source = cell.get("source", "")
    return "".join(source) if isinstance(source, list) else str(source)


def _words(texts: list[str]) -> tuple[str, str]:
    """The first H1, and the first paragraph under it."""
    for text in texts:
        lines = text.strip().splitlines()
        if lines and lines[0].startswith("# "):
            paragraphs = "\n".join(lines[1:]).strip().split("\n\n")
            return lines[0][2:].strip(), " ".join(paragraphs[0].split())
    return "", ""


def _assigned(source: str) -> set[str]:
    """Public names that a cell sets; nothing for a cell with magics."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return set()
    return {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) and node.id[0] != "_"}


def _declared(source: str, path: Path) -> dict[str, Parameter]:
    """The parameters of a parameters cell; each must be a literal with a type or a default that shows it."""
    try:
        tree = ast.parse(source)
        comments = _comments(source)
    except (SyntaxError, ValueError, tokenize.TokenError) as error:
        raise ParameterError(f"the parameters cell of {path} is not Python: {error}") from error
    found: dict[str, Parameter] = {}
    for node in tree.body:
        target = node.target if isinstance(node, ast.AnnAssign) else node.targets[0] if isinstance(node, ast.Assign) else None
        if not isinstance(target, ast.Name) or not isinstance(node, ast.Assign | ast.AnnAssign) or node.value is None:
            raise ParameterError(f"line {node.lineno} of the parameters cell of {path} is not `name: type = literal`")
        try:
            default = ast.literal_eval(node.value)
        except ValueError:
            raise ParameterError(f"the default of {target.id} in {path} is not a literal") from None
        kind, many, optional = _type_of(node.annotation if isinstance(node, ast.AnnAssign) else None, default, target.id, path)
        found[target.id] = Parameter(target.id, kind, many, optional, default, comments.get(node.end_lineno or node.lineno, ""))
    return found


def _comments(source: str) -> dict[int, str]:
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    return {token.start[0]: token.string.lstrip("# ").strip() for token in tokens if token.type == tokenize.COMMENT}


def _type_of(annotation: ast.expr | None, default: Any, name: str, path: Path) -> tuple[str, bool, bool]:
    """(kind, many, optional) of a declared type, else of the default's own."""
    if annotation is None:
        many = isinstance(default, list | tuple)
        sample = default[0] if many and default else "" if many or default is None else default
        text = type(sample).__name__
        optional = default is None
    else:
        parts = [part.strip() for part in ast.unparse(annotation).strip("'\"").split("|")]
        optional = "None" in parts
        parts = [part for part in parts if part != "None"]
        text = parts[0] if len(parts) == 1 else ""
        many = text.startswith(("list[", "tuple[")) or text in ("list", "tuple")
        if many:
            text = text.partition("[")[2].rstrip("]").removesuffix(", ...") or "str"
    if text not in _SCALARS:
        raise ParameterError(
            f"the parameter {name} of {path} has a type that cannot be given from outside; use {', '.join(_SCALARS)} or a list"
        )
    return text, many, optional


def check(declared: Mapping[str, Parameter], given: Mapping[str, Any], where: str) -> dict[str, Any]:
    """The given values in their declared types.

    Raises ParameterError for an unknown name (with the valid list and the nearest), another type, or a secret.
    """
    checked = {}
    for name, value in given.items():
        if not isinstance(name, str) or name not in declared:
            raise unknown(str(name), declared, where)
        checked[name] = coerce(declared[name], value)
    return checked


def refuse_secrets(values: Mapping[str, Any], redactor: Redactor) -> None:
    """Raises ParameterError when a value holds a secret of the settings; papermill would write it into the notebook twice."""
    for name, value in values.items():
        if redactor.found(str(value).encode("utf-8", "replace")):
            raise ParameterError(
                f"the value of {name} is a secret of the settings; secrets come from the environment, never from a parameter"
            )


def unknown(name: str, declared: Mapping[str, Parameter], where: str) -> ParameterError:
    """The refusal of a name that a notebook does not declare."""
    if looks_secret(name):
        return ParameterError(f"{visible(name, 60)} looks like a secret; secrets come from the environment, never from a parameter")
    return ParameterError(f"unknown parameter {visible(name, 60)} of {where}{_nearest(name, declared)}")


def coerce(parameter: Parameter, value: Any) -> Any:
    """The value in the parameter's type; texts such as "0.95", "14d" (days) and "true" are understood.

    Raises ParameterError that names the parameter, the value and what was expected.
    """
    if looks_secret(parameter.name, value) or (isinstance(value, list | tuple) and any(looks_secret("", item) for item in value)):
        raise ParameterError(
            f"the value of {parameter.name} looks like a secret; secrets come from the environment, never from a parameter"
        )
    if parameter.optional and (value is None or (isinstance(value, str) and value.strip().lower() in ("", "none", "null"))):
        return None
    if parameter.many:
        return [_scalar(parameter, item) for item in _items(parameter, value)]
    return _scalar(parameter, value)


def _items(parameter: Parameter, value: Any) -> list[Any]:
    if isinstance(value, list | tuple):
        return list(value)
    if not isinstance(value, str):
        raise _wrong(parameter, value)
    text = value.strip()
    if text.startswith("["):
        try:
            items = json.loads(text)
        except (json.JSONDecodeError, RecursionError):
            raise _wrong(parameter, value) from None
        return list(items)
    return [part.strip() for part in text.split(",") if part.strip()]


def _scalar(parameter: Parameter, value: Any) -> Any:
    made = _MAKERS[parameter.kind](parameter, value)
    if made is None:
        raise _wrong(parameter, value)
    return made


def _text(_: Parameter, value: Any) -> str | None:
    if isinstance(value, datetime):
        return iso(value) if value.tzinfo else None
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    text = str(value)
    return text if len(text) <= _LONGEST else None


def _int(parameter: Parameter, value: Any) -> int | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    if isinstance(value, float):
        return int(value) if value.is_integer() else None
    if not isinstance(value, str) or len(value) > 40:
        return None
    text = value.strip()
    if text.lstrip("+-").isdecimal() and text.isascii():
        return int(text)
    if parameter.name == "days" or parameter.name.endswith("_days"):
        try:
            days = parse_duration(text) / DAY
        except UsageError:
            return None
        return int(days) if days.is_integer() else None
    return None


def _float(_: Parameter, value: Any) -> float | None:
    if (
        isinstance(value, bool)
        or not isinstance(value, str | int | float)
        or (isinstance(value, str) and ("_" in value or len(value) > 40))
    ):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _bool(_: Parameter, value: Any) -> bool | None:
    if isinstance(value, bool):
        return value
    text = str(value).strip().lower() if isinstance(value, str | int) else ""
    return True if text in _TRUE else False if text in _FALSE else None


_MAKERS: dict[str, Callable[[Parameter, Any], Any]] = {"str": _text, "int": _int, "float": _float, "bool": _bool}


def _wrong(parameter: Parameter, value: Any) -> ParameterError:
    shown = visible(ascii(value) if not isinstance(value, str) else value, 60)
    return ParameterError(f"the parameter {parameter.name} is {shown!r}, expected {parameter.type_text} such as {parameter.default!r}")


def _nearest(name: str, valid: Mapping[str, Any] | list[str]) -> str:
    names = sorted(valid)
    close = difflib.get_close_matches(name[:100], names, n=1)
    return (f"; did you mean {close[0]}?" if close else "") + f" (valid: {', '.join(names) or 'none'})"
