"""The whole `aiops-analysis run monthly_cost_review` on the demo: seconds, peak memory, and where the time goes; and `--help`.

    python -m bench.report [--runs 5] [--rows 10000]

Whole processes, after set-up. Aims: the report under 8 s on 2 cores, --help under 0.4 s. Then a page with 10,000 made-up
recommendations: seconds to build, size, and in a real browser (if there is one) milliseconds to paint, filter and sort. Aims: under 4 MB,
painted within 1 s, a keystroke in the filter and a click that sorts within 200 ms, 1 s where the list of thousands is open.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench.machine import describe

PROGRAM = str(Path(sys.executable).parent / "aiops-analysis")
#: What the parent and its kernel import, each in a process of its own.
PARTS = {
    "python alone": "pass",
    "import papermill": "import papermill",
    "import nbconvert": "import nbconvert",
    "import matplotlib": "import matplotlib.figure",
    "import pandas": "import pandas",
    "the review without notebook": (
        "from aiops_analysis.settings import bundled; from aiops_analysis.workflows import review\n"
        "from aiops_analysis.history.store import open_store\n"
        "from aiops_analysis.analysis.policy import policy_of; from aiops_analysis.analysis.savings import DEFAULT_PRICES\n"
        "store = open_store(bundled('demo') / 'history', 'demo')\n"
        "review.monthly(store, review.review_window(store, days=28), policy_of('seed'))"
    ),
}


def once(command: list[str], folder: str) -> tuple[float, float, float]:
    """Wall seconds, processor seconds and peak MiB of the largest process of one run."""
    with tempfile.TemporaryFile() as said:
        begin = time.perf_counter()
        process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=said)
        _, status, used = os.wait4(process.pid, 0)
        wall = time.perf_counter() - begin
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            said.seek(0)
            sys.exit(f"{' '.join(command)} ended with {process.returncode}:\n{said.read()[-2000:].decode(errors='replace')}")
    return wall, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024


def show(name: str, command: list[str], runs: int, folder: str) -> None:
    once(command, folder)  # a first one warms the file caches
    got = [once(command, folder) for _ in range(runs)]
    walls = [g[0] for g in got]
    print(
        f"{name:30s} {statistics.median(walls):6.2f} s ({min(walls):.2f}-{max(walls):.2f}), {got[-1][1]:5.2f} s CPU, {got[-1][2]:5.0f} MiB"
    )


#: What is done to the page, each timed until the new layout is there; the list below the table is opened before the last two.
STEPS = {
    "first letter in the filter": "type('b')",
    "next letter in the filter": "type('bi')",
    "filter taken back": "type('')",
    "sort by saving": "sort('table.recommended', 'Paper')",
    "sort by workload": "sort('table.recommended', 'Workload')",
    "open the list of the other containers": "list.closest('details').open = true",
    "next letter, list open": "type('b')",
    "filter taken back, list open": "type('')",
    "sort the open list by paper saving": "sort('table.lines', 'Paper')",
}
STARTS = {
    "first paint": "new Promise((done) => setTimeout(() => done(painted())))",
    "loaded, scripts run": "performance.timing.loadEventEnd - performance.timing.fetchStart",
}
HELPERS = """
const list = document.querySelector('table.lines'), box = list.closest('.filtered').querySelector('input');
const type = (text) => { box.value = text; box.dispatchEvent(new Event('input')); };
const heads = (table) => [...document.querySelectorAll(table + ' thead button')];
const sort = (table, head) => heads(table).find((button) => button.textContent.startsWith(head)).click();
const timed = (what) => {
  const begin = performance.now();
  what();
  document.body.getBoundingClientRect();
  return performance.now() - begin;
};
const painted = () => performance.getEntriesByName('first-contentful-paint')[0]?.startTime;
"""


def large_page(count: int) -> None:
    """Build a report of ``count`` recommendations and use it in a browser."""
    import nbformat

    from aiops_analysis.presentation import report, tables
    from tests import browser, frames

    recs = frames.large(count)
    begin = time.perf_counter()
    tables.recommendations(recs, events=frames.events(recs), window=frames.window())
    print(f"{'table of recommendations':40s} {time.perf_counter() - begin:6.2f} s for {count:,} rows")
    with tempfile.TemporaryDirectory() as folder:
        source, page = Path(folder) / "notebook.ipynb", Path(folder) / "report.html"
        nbformat.write(frames.notebook(recs), source)
        begin = time.perf_counter()
        report.render(source, page, title="Large", meta={})
        print(f"{'notebook to page':40s} {time.perf_counter() - begin:6.2f} s, {page.stat().st_size / 1e6:.2f} MB")
        if not any(map(shutil.which, browser.NAMES)):
            print("no browser here: nothing is painted")
            return
        with browser.browser(Path(folder) / "profile") as tab:
            tab.open(page)
            tab.run(HELPERS)
            for name, what in STARTS.items():
                print(f"{name:40s} {float(str(tab.run(what) or 'nan')):6.0f} ms")
            for name, what in STEPS.items():
                print(f"{name:40s} {float(str(tab.run(f'timed(() => {{ {what} }})'))):6.0f} ms")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--rows", type=int, default=10_000)
    args = parser.parse_args()
    print(describe())
    for name in [name for name in os.environ if name.startswith("AIOPS_")]:
        del os.environ[name]
    with tempfile.TemporaryDirectory() as folder:
        show("run monthly_cost_review", [PROGRAM, "run", "monthly_cost_review"], args.runs, folder)
        show("--help", [PROGRAM, "--help"], args.runs, folder)
        for name, code in PARTS.items():
            show(name, [sys.executable, "-c", code], args.runs, folder)
    large_page(args.rows)


if __name__ == "__main__":
    main()
