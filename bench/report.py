"""The whole `aiops-analysis run monthly_cost_review` on the demo: seconds, peak memory, and where the time goes; and `--help`.

    python -m bench.report [--runs 5]

Whole processes, after set-up. Aims: the report under 8 s on 2 cores, --help under 0.4 s.
"""

from __future__ import annotations

import argparse
import os
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
        "review.monthly(store, review.review_window(store, days=28), policy_of('seed'), DEFAULT_PRICES)"
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5)
    args = parser.parse_args()
    print(describe())
    for name in [name for name in os.environ if name.startswith("AIOPS_")]:
        del os.environ[name]
    with tempfile.TemporaryDirectory() as folder:
        show("run monthly_cost_review", [PROGRAM, "run", "monthly_cost_review"], args.runs, folder)
        show("--help", [PROGRAM, "--help"], args.runs, folder)
        for name, code in PARTS.items():
            show(name, [sys.executable, "-c", code], args.runs, folder)


if __name__ == "__main__":
    main()
