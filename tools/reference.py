"""Write docs/reference.md from the code: notebooks and parameters, commands, reason codes, policy keys, metrics, frames.

python tools/reference.py            # writes docs/reference.md
python tools/reference.py --check    # ends with 1 when the file is not what the code says
"""

from __future__ import annotations

import io
import json
import re
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
TARGET = ROOT / "docs" / "reference.md"
PARAMETER = re.compile(r"^(\w+): ([^=]+) = (.+?)  # (.+)$", re.MULTILINE)
CONTRACTS = (
    "USAGE",
    "FACTS",
    "RECOMMENDATIONS",
    "INVENTORY",
    "NODES",
    "HPAS",
    "BURST",
    "RUNS",
    "BOUNDS",
    "WORKLOADS",
    "WEEKLY_CONTAINERS",
    "WEEKLY_POOLS",
)


def cell(text: str) -> str:
    """Text for a table cell."""
    return text.replace("|", "\\|").replace("\n", " ").replace("<", "&lt;")


def table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    """A Markdown table."""
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def comments(path: Path) -> dict[int, str]:
    """Trailing comments by line."""
    tokens = tokenize.generate_tokens(io.StringIO(path.read_text(encoding="utf-8")).readline)
    return {token.start[0]: token.string.lstrip("# ") for token in tokens if token.type == tokenize.COMMENT}


def commented(path: Path, pattern: str) -> dict[str, str]:
    """The trailing comment of each line that matches, by the pattern's group."""
    notes = comments(path)
    found = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        match = re.match(pattern, line)
        if match:
            found[match[1]] = notes.get(number, "")
    return found


def notebooks() -> str:
    parts = []
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        source = next("".join(c["source"]) for c in cells if "parameters" in c["metadata"].get("tags", []))
        rows = [(f"`{name}`", f"`{kind}`", f"`{cell(default)}`", cell(note)) for name, kind, default, note in PARAMETER.findall(source)]
        parts.append(f"### {path.stem}\n\n{table(('parameter', 'type', 'default', 'meaning'), rows)}")
    return "\n\n".join(parts)


def _verbs(group: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every command with its words; a group is its own commands."""
    for name, command in sorted(group.commands.items()):
        if hasattr(command, "commands"):
            yield from _verbs(command, f"{prefix}{name} ")
        else:
            yield f"{prefix}{name}", command


def commands() -> str:
    import typer

    from aiops_analysis import cli

    group = typer.main.get_command(cli.app)
    parts = []
    for name, command in _verbs(group):
        rows = [
            (
                ", ".join(f"`{o}`" for o in p.opts) if p.param_type_name == "option" else f"`{p.name.upper()}`",
                cell(getattr(p, "help", "") or ""),
            )
            for p in command.params
        ]
        about = (command.help or "").strip().split("\n")[0]
        parts.append(f"### aiops-analysis {name}\n\n{about}\n\n{table(('argument or option', 'meaning'), rows)}")
    return "\n\n".join(parts)


def reasons() -> str:
    from aiops_analysis.core.reasons import Code, refuses

    notes = commented(ROOT / "aiops_analysis/core/reasons.py", r"\s+([A-Z_]+) = ")
    rows = [(f"`{code}`", cell(notes[code.name]), "yes" if refuses(code) else "") for code in Code]
    return table(("code", "meaning", "no number"), rows)


def policy() -> str:
    from aiops_analysis.analysis.policy import PRESETS, SizingPolicy

    notes = commented(ROOT / "aiops_analysis/analysis/policy.py", r"    (\w+): [\w\s|]+ = ")
    known = PRESETS
    names = [name for name in SizingPolicy.__dataclass_fields__ if name != "name"]
    rows = [(f"`{name}`", *(f"`{getattr(p, name)}`" for p in known.values()), cell(notes.get(name, ""))) for name in names]
    return table(("key", *known, "meaning"), rows)


def metrics() -> str:
    from aiops_analysis.core.schema import METRICS

    return table(("metric", "unit", "what"), [(f"`{m.name}`", m.unit, cell(m.what)) for m in METRICS.values()])


def frames() -> str:
    from aiops_analysis.core import schema

    notes = commented(ROOT / "aiops_analysis/core/schema.py", r'        "(\w+)": ')
    parts = []
    for name in CONTRACTS:
        contract = getattr(schema, name)
        rows = [(f"`{column}`", f"`{kind}`", cell(notes.get(column, ""))) for column, kind in contract.columns.items()]
        parts.append(f"### {name}\n\n{table(('column', 'type', 'meaning'), rows)}")
    return "\n\n".join(parts)


def page() -> str:
    """The whole page."""
    sections = {
        "Notebooks and their parameters": notebooks(),
        "Commands": commands(),
        "Exit codes": table(
            ("code", "meaning"),
            [
                ("0", "ok"),
                ("1", "a condition asked for holds"),
                ("2", "usage: a flag, a parameter, a setting, a policy"),
                ("3", "a server could not be reached, or refused; another process writes the history"),
                ("4", "not enough data"),
                ("5", "a run failed, the history is damaged, or an internal error"),
                ("130, 143", "interrupted (SIGINT, SIGTERM); run again to resume"),
            ],
        ),
        "Reason codes": "A row of a recommendation says why it is as it is. *No number* marks the codes that leave it without one.\n\n"
        + reasons(),
        "Sizing policy": "`--policy` takes a preset or a TOML file with these keys.\n\n" + policy(),
        "Metrics of the history": metrics(),
        "Frames": "What crosses the floors of the package; the comments are the units.\n\n" + frames(),
    }
    body = "\n\n".join(f"## {title}\n\n{text}" for title, text in sections.items())
    return f"# Reference\n\nMade from the code by `make reference`; do not edit.\n\n{body}\n"


def main() -> None:
    made = page()
    if "--check" in sys.argv[1:]:
        sys.exit(
            0
            if TARGET.is_file() and TARGET.read_text(encoding="utf-8") == made
            else "docs/reference.md is not what the code says: run make reference"
        )
    TARGET.parent.mkdir(exist_ok=True)
    TARGET.write_text(made, encoding="utf-8")


if __name__ == "__main__":
    main()
