"""The floors of the package (CONTRIBUTING.md): imports go down, one client has one place, modules and functions stay small."""

from __future__ import annotations

import ast
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = "aiops_analysis"
TOP = 6

FLOORS = {"core": 0, "sources": 1, "history": 2, "analysis": 3, "workflows": 4, "evidence": 5, "presentation": 5}
FLOORS |= dict.fromkeys(("cli", "runner", "settings", "notebook", "__init__", "__main__"), TOP)

_DEMO_PARTS = ("media", "model", "objects", "openmetrics", "places", "rules", "signal", "story", "timeline", "usage")
DEMO = ("demo", *(f"demo_{part}" for part in _DEMO_PARTS))

#: Who may import whom on one floor: a module, or every module below it.
NEIGHBOURS = {
    ("core", "core.errors"),
    ("core.schema", "core.contract"),
    ("core.schema_money", "core.contract"),
    ("history.days", "history.store"),
    ("history.inventory", "history.store"),
    ("history.weekly", "history.store"),
    ("history.weekly", "history.inventory"),
    ("analysis", "analysis.statistics"),
    ("analysis", "analysis.hours"),
    # parts of right-sizing; that they stand in an order is what test_no_module_imports_in_a_circle holds
    *(("analysis", f"analysis.{part}") for part in ("policy", "sizing", "java", "sufficiency", "guards", "bounds", "autoscaling")),
    *(("analysis", f"analysis.{part}") for part in ("priority", "usage", "allocation")),
    # node packing in its parts, and money
    *(("analysis", f"analysis.{part}") for part in ("scheduling", "packing", "packing_bounds", "node_prices", "savings", "costs")),
    # what can be banked, in its parts
    *(("analysis", f"analysis.{part}") for part in ("fleet", "pools", "node_autoscaler", "drain", "pool_need", "instance_mix")),
    *(("analysis", f"analysis.packing_{part}") for part in ("dot", "exact", "fit", "homes", "rules", "why")),
    # realised savings in their parts
    *(("analysis", f"analysis.{part}") for part in ("past", "applied", "work", "realised")),
    ("analysis.costs", "analysis.lifetimes"),
    # the verbs of the workflows share these parts
    ("workflows", "workflows.bounds"),
    ("workflows.review", "workflows.money"),
    ("workflows.nodes_packed", "workflows.mixes"),
    ("workflows", "workflows.events"),
    *(("workflows.review", f"workflows.{part}") for part in ("decisions", "habits", "happened", "marks", "stability", "top")),
    ("workflows.marks", "workflows.top"),
    ("workflows", "workflows.door"),
    ("workflows", "workflows.facts"),
    ("workflows", "workflows.job_runs"),
    ("workflows", "workflows.figures"),
    ("workflows", "workflows.measure"),
    ("workflows", "workflows.measured"),
    ("workflows", "workflows.objects"),
    ("workflows", "workflows.placement"),
    ("workflows", "workflows.pull_day"),
    ("workflows", "workflows.weeks"),
    ("workflows", "workflows.daybook"),
    ("workflows.doctor", "workflows.pull"),
    *(("sources.prices", f"sources.{part}") for part in ("price_lists", "price_sheet")),
    *(("workflows.costs", f"workflows.cost_{part}") for part in ("pieces", "words")),
    *(("workflows", f"workflows.{part}") for part in ("costs", "pricing", "pods", "nodes_packed", "ledger")),
    # a billing export in its parts
    *(("sources", f"sources.focus_{part}") for part in ("columns", "files", "kinds", "repeats", "rows")),
    ("analysis.billed", "analysis.provider_ids"),
    ("workflows.pricing", "workflows.billing"),
    *(("sources.prices", f"sources.{part}") for part in ("price_cells", "price_lists", "price_sheet")),
    *(("sources.manifest_files", f"sources.kube_{part}") for part in ("pods", "workloads")),
    *((f"sources.{part}", "sources.price_cells") for part in ("price_lists", "price_sheet")),
    *(("workflows", f"workflows.{part}") for part in ("costs", "pricing", "pods", "nodes_packed", "ledger", "slices")),
    ("sources.prometheus", "sources.http"),
    ("sources.prometheus", "sources.matrices"),
    ("sources.prometheus", "sources.session"),
    ("sources.prometheus", "sources.flavours"),
    ("sources.session", "sources.credentials"),
    ("sources.session", "sources.http"),
    ("sources.credentials", "sources.http"),
    ("sources.samples", "sources.promql"),
    ("sources.samples", "sources.flavours"),
    ("sources.clusters", "sources.promql"),
    ("sources.session", "sources.refusals"),
    ("sources.refusals", "sources.http"),
    ("sources.matrices", "sources.http"),
    ("sources", "sources.kube_parts"),
    ("sources.kubectl_top", "sources.pod_names"),
    ("sources.kube_workloads", "sources.kube_pods"),
    ("sources.kube_workloads", "sources.kube_scheduling"),
    *((f"sources.kube_{part}", "sources.kube_selectors") for part in ("workloads", "scheduling")),
    ("sources.kube_scheduling", "sources.kube_volumes"),
    ("sources.kube_scheduling", "sources.kube_pods"),
    ("sources.kube_rules", "sources.node_labels"),
    ("sources.promql", "sources.promql_asks"),
    *(("sources.kube_objects", f"sources.kube_{part}") for part in ("pods", "rules", "workloads")),
    # the demo cluster is one source in several files; that they stand in an order is what test_no_module_imports_in_a_circle holds
    *((f"sources.{a}", f"sources.{b}") for a in DEMO for b in DEMO),
    ("presentation", "presentation.escape"),
    ("presentation", "presentation.style"),
    ("presentation", "presentation.formats"),
    ("presentation", "presentation.cells"),
    ("presentation.charts", "presentation.charts"),
    ("presentation.tables", "presentation.money"),
    ("presentation.tables", "presentation.packed"),
    ("presentation.cells", "presentation.series"),
    ("presentation.rows", "presentation.series"),
    ("presentation.recommended", "presentation.folded"),
    ("presentation.recommended", "presentation.rows"),
    ("presentation.tables", "presentation.habits"),
    ("presentation.tables", "presentation.headlines"),
    ("presentation.tables", "presentation.recommended"),
    ("evidence", "evidence.record"),
    ("evidence", "evidence.reading"),
    # the files of patches/ are made in several steps; that they stand in an order is what test_no_module_imports_in_a_circle holds
    *(("evidence", f"evidence.{part}") for part in ("changes", "headers", "manifests", "markdown", "patchset", "pull_request", "yamltext")),
    ("evidence.headers", "presentation.formats"),
    ("evidence.pull_request", "presentation.formats"),
    ("evidence.predicted", "presentation.formats"),
    # a decision record in its parts
    *(("evidence", f"evidence.adr{part}") for part in ("", "_basis", "_change", "_files", "_header", "_text", "_words")),
    ("cli", "cli"),
    ("cli", "runner"),
    ("cli", "settings"),
    ("cli", "notebook"),
    ("notebook", "runner"),
    ("notebook", "settings"),
    ("runner", "runner"),
    ("runner", "settings"),
    ("settings", "settings"),
    ("__init__", "notebook"),
    ("__main__", "cli"),
}

#: Third-party clients and the only modules that may import them.
CLIENTS = {
    "filelock": ("history.store", "evidence.adr_files"),
    "great_tables": ("presentation.tables",),
    "jupyter_client": ("runner",),
    "kubernetes": ("sources.kube_api",),
    "matplotlib": ("presentation.charts",),
    "mistune": ("presentation.report",),
    "nbclient": ("runner",),
    "nbconvert": ("presentation.report", "runner"),
    "nbformat": ("presentation.report", "runner", "notebook"),
    "papermill": ("runner",),
    "prometheus_api_client": ("sources.prometheus",),
    "pyarrow": ("history", "sources.billing", "sources.focus_files", "sources.focus_kinds", "sources.focus_rows"),
    "pydantic": ("settings",),
    "pydantic_settings": ("settings",),
    "botocore": ("sources.credentials",),
    "requests": ("sources.credentials", "sources.refusals", "sources.session"),
    "requests_aws4auth": ("sources.credentials",),
    "rich": ("cli",),
    "typer": ("cli",),
    "urllib3": ("sources.kube_api", "sources.refusals", "sources.session"),
    "yaml": ("core.yaml_text", "evidence.yamltext", "sources.kube_api"),
}

CLOCKS = {("datetime", "now"), ("datetime", "utcnow"), ("datetime", "today"), ("date", "today"), ("time", "time"), ("time", "time_ns")}


@dataclass(frozen=True)
class Module:
    """One file of the package; ``name`` is dotted and without the package, an ``__init__`` of a folder has the folder's name."""

    path: Path
    name: str

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.path.read_text(encoding="utf-8"))

    @property
    def floor(self) -> int:
        return FLOORS[self.name.split(".")[0]]


def modules(root: Path) -> dict[str, Module]:
    found = {}
    for path in sorted((root / PACKAGE).rglob("*.py")):
        parts = path.relative_to(root / PACKAGE).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)
        found[name] = Module(path, name)
    return found


def imports(module: Module, known: dict[str, Module]) -> Iterator[tuple[int, str]]:
    """Line and full dotted target of each import, at any depth; names taken from a folder are resolved to its modules."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                inner = f"{node.module}.{alias.name}".removeprefix(f"{PACKAGE}.")
                yield node.lineno, f"{PACKAGE}.{inner}" if inner in known else node.module


def cycles(root: Path) -> list[str]:
    """Modules that import each other in a circle, by removing again and again what imports nothing that is left.

    A folder's ``__init__`` that hands out its own parts does not count.
    """
    known, left = modules(root), {}
    for module in known.values():
        targets = {full.removeprefix(f"{PACKAGE}.") for _, full in imports(module, known)}
        left[module.name] = {target for target in targets & known.keys() if not within(target, module.name)}
    while free := {name for name, needs in left.items() if not needs & left.keys()}:
        left = {name: needs for name, needs in left.items() if name not in free}
    return sorted(left)


def within(name: str, place: str) -> bool:
    return name == place or name.startswith(f"{place}.")


def upward(root: Path) -> list[str]:
    """Imports inside the package that do not go down."""
    known, wrong = modules(root), []
    for module in known.values():
        for line, full in imports(module, known):
            target = "__init__" if full == PACKAGE else full.removeprefix(f"{PACKAGE}.")
            if not within(full, PACKAGE) or target == "__init__":
                continue  # the package itself is only its version and a lazy name
            floor = FLOORS.get(target.split(".")[0])
            if floor is None:
                wrong.append(f"{module.name}:{line} imports {target}, which is on no floor")
            elif floor > module.floor:
                wrong.append(f"{module.name}:{line} (floor {module.floor}) imports {target} (floor {floor})")
            elif floor == module.floor and not any(within(module.name, a) and within(target, b) for a, b in NEIGHBOURS):
                wrong.append(f"{module.name}:{line} imports its neighbour {target}")
    return wrong


def misplaced_clients(root: Path) -> list[str]:
    known, wrong = modules(root), []
    for module in known.values():
        for line, full in imports(module, known):
            places = CLIENTS.get(full.split(".")[0])
            if places is not None and not any(within(module.name, place) for place in places):
                wrong.append(f"{module.name}:{line} imports {full}, whose place is {' or '.join(places)}")
    return wrong


def clocks(root: Path) -> list[str]:
    """Calls that ask the clock below the top floor."""
    return [
        f"{module.name}:{node.lineno} asks the clock"
        for module in modules(root).values()
        if module.floor < TOP
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
        if (getattr(node.func.value, "attr", getattr(node.func.value, "id", "")), node.func.attr) in CLOCKS
    ]


def lines_of(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines from ``def`` to the end, without the docstring."""
    first = function.body[0]
    words = first.end_lineno - first.lineno + 1 if ast.get_docstring(function) is not None else 0
    return function.end_lineno - function.lineno + 1 - words


def habits(root: Path) -> list[str]:
    """Broad excepts, print outside the command line, modules without ``__all__``, modules and functions that grew too long."""
    wrong = []
    for module in modules(root).values():
        if all(isinstance(node, ast.Expr) for node in module.tree.body):
            continue  # the __init__ of a folder, empty or a docstring
        length = len(module.path.read_text(encoding="utf-8").splitlines())
        if length >= 400:
            wrong.append(f"{module.name} has {length} lines")
        exported = {t.id for n in module.tree.body if isinstance(n, ast.Assign) for t in n.targets if isinstance(t, ast.Name)}
        if "__all__" not in exported and module.name != "__main__":
            wrong.append(f"{module.name} has no __all__")
        wrong += [f"{module.name}:{node.lineno} {fault}" for node in ast.walk(module.tree) if (fault := fault_of(node, module))]
    return wrong


def fault_of(node: ast.AST, module: Module) -> str:
    if isinstance(node, ast.ExceptHandler):
        kinds = node.type.elts if isinstance(node.type, ast.Tuple) else [node.type]
        if any(kind is None or getattr(kind, "id", "") in ("Exception", "BaseException") for kind in kinds):
            # the command line turns a bug into exit 5, and what cleans up may catch everything if it raises again
            ends_in_raise = isinstance(node.body[-1], ast.Raise) and node.body[-1].exc is None
            return "" if ends_in_raise or within(module.name, "cli") else "catches every exception"
    if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "print" and not within(module.name, "cli"):
        return "prints"
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and lines_of(node) > 40:
        return f"{node.name} has {lines_of(node)} lines"
    return ""


def test_imports_only_go_down() -> None:
    assert upward(ROOT) == []


def test_no_module_imports_in_a_circle() -> None:
    assert cycles(ROOT) == []


def test_each_client_has_one_place() -> None:
    assert misplaced_clients(ROOT) == []


def test_nothing_below_the_top_asks_the_clock() -> None:
    assert clocks(ROOT) == []


def test_habits() -> None:
    assert habits(ROOT) == []


def test_the_package_itself_is_light() -> None:
    # the only import that is not inside a function is `typing`
    tree = ast.parse((ROOT / PACKAGE / "__init__.py").read_text())
    outer = [name.name for node in tree.body if isinstance(node, ast.Import) for name in node.names]
    outer += [str(node.module) for node in tree.body if isinstance(node, ast.ImportFrom)]
    assert outer == ["__future__", "typing"]


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("copy")
    shutil.copytree(ROOT / PACKAGE, folder / PACKAGE, ignore=shutil.ignore_patterns("__pycache__", "_bundle"))
    return folder


@pytest.fixture
def plant(copy: Path) -> Iterator[Callable[[str, str], None]]:
    """``plant(place, text)`` adds a module to the copy, for one test."""
    planted: list[Path] = []

    def add(place: str, text: str) -> None:
        planted.append(copy / PACKAGE / place)
        planted[-1].parent.mkdir(exist_ok=True)
        planted[-1].write_text(text)

    yield add
    for path in planted:
        path.unlink()


@pytest.mark.parametrize(
    ("place", "line", "check", "says"),
    [
        (
            "core/planted.py",
            "from aiops_analysis.history import store\n",
            upward,
            "core.planted:2 (floor 0) imports history.store (floor 2)",
        ),
        ("core/planted.py", "import aiops_analysis.cli\n", upward, "core.planted:2 (floor 0) imports cli (floor 6)"),
        (
            "history/planted.py",
            "def f():\n    from aiops_analysis.analysis import policy\n",
            upward,
            "history.planted:3 (floor 2) imports analysis",
        ),
        (
            "history/planted.py",
            "from aiops_analysis.history.store import Store\n",
            upward,
            "history.planted:2 imports its neighbour history.store",
        ),
        ("analysis/planted.py", "import aiops_analysis.elsewhere\n", upward, "analysis.planted:2 imports elsewhere, which is on no floor"),
        (
            "analysis/planted.py",
            "import requests.auth\n",
            misplaced_clients,
            "analysis.planted:2 imports requests.auth, whose place is sources.credentials",
        ),
        ("analysis/planted.py", "import datetime\nT = datetime.datetime.now()\n", clocks, "analysis.planted:3 asks the clock"),
        ("analysis/planted.py", "try:\n    pass\nexcept Exception:\n    pass\n", habits, "analysis.planted:4 catches every exception"),
        ("analysis/planted.py", "try:\n    pass\nexcept:\n    pass\n", habits, "analysis.planted:4 catches every exception"),
        ("analysis/planted.py", "print(1)\n", habits, "analysis.planted:2 prints"),
        ("analysis/planted.py", "x = 1\n" * 399, habits, "analysis.planted has 400 lines"),
        ("analysis/planted.py", "def f():\n" + "    x = 1\n" * 40, habits, "analysis.planted:2 f has 41 lines"),
    ],
)
def test_a_planted_fault_is_found(copy: Path, plant, place: str, line: str, check, says: str) -> None:
    plant(place, "__all__ = []\n" + line)
    (fault,) = [fault for fault in check(copy) if ".planted" in fault.split()[0]]
    assert fault.startswith(says)


def test_a_module_without_all_is_found(copy: Path, plant) -> None:
    plant("core/planted.py", "x = 1\n")
    assert "core.planted has no __all__" in habits(copy)


def test_a_circle_on_one_floor_is_found(copy: Path, plant) -> None:
    plant("cli/planted.py", "from aiops_analysis.cli import planted_too\n")
    plant("cli/planted_too.py", "def f():\n    import aiops_analysis.cli.planted\n")
    assert cycles(copy) == ["cli.planted", "cli.planted_too"]
