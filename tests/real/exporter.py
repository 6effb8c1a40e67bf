"""Recorded scrape texts as they were, read apart from the package: as a target that a real server scrapes, and as samples of a whole day.

One recorded scrape stands still, so a rate would be zero. Here, and nowhere else, something is made up: CPU seconds and CFS periods grow
by ``GROWTH`` of their recorded value a second, so that the true rate of every series is known (``GROWTH * value``). Gauges, facts and event
counters keep their recorded value. Stamps in a text (cAdvisor's) are moved as a whole to the time of the scrape, so their ages stay.
"""

from __future__ import annotations

import contextlib
import gzip
import re
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

__all__ = ["GROWING", "GROWTH", "Sample", "day_text", "read", "series", "target"]

GROWTH = 0.01  # [1/s]
GROWING = frozenset({"container_cpu_usage_seconds_total", "container_cpu_cfs_periods_total", "container_cpu_cfs_throttled_periods_total"})
_LINE = re.compile(r"([A-Za-z_:][\w:]*)(?:\{(.*)\})? (\S+)(?: (\d+))?")
_LABEL = re.compile(r'([A-Za-z_]\w*)="((?:[^"\\]|\\.)*)"')


@dataclass(frozen=True)
class Sample:
    """One line of a text: name, labels, recorded value, and the stamp [ms] where it has one."""

    name: str
    labels: Mapping[str, str]
    value: float
    stamp: int | None


def read(path: Path) -> list[Sample]:
    """The samples of a gzipped Prometheus text; every line that is no comment must be one."""
    out = []
    for line in gzip.decompress(path.read_bytes()).decode().splitlines():
        if line and not line.startswith("#"):
            name, labels, value, stamp = _LINE.fullmatch(line).groups()  # type: ignore[union-attr]
            out.append(Sample(name, dict(_LABEL.findall(labels or "")), float(value), int(stamp) if stamp else None))
    return out


def series(name: str, labels: Mapping[str, str]) -> str:
    """A series as it is written in a text; empty labels do not exist."""
    inner = ",".join(f'{key}="{value}"' for key, value in labels.items() if value)
    return f"{name}{{{inner}}}"


def _value(sample: Sample, seconds: float) -> float:
    return sample.value * (1 + GROWTH * seconds) if sample.name in GROWING else sample.value


def day_text(samples: Iterable[Sample], added: Mapping[str, str], stamps: Iterable[int], *, unit: int = 1) -> str:
    """Lines of all samples at every stamp [s], with the labels a server would have ``added``; ``unit`` is 1000 for stamps in ms."""
    times = list(stamps)
    lines = []
    for sample in samples:
        text = series(sample.name, {**sample.labels, **added})
        lines += [f"{text} {_value(sample, stamp - times[0])!r} {stamp * unit}" for stamp in times]
    return "\n".join(lines) + "\n"


@contextlib.contextmanager
def target(samples: list[Sample]) -> Iterator[str]:
    """``host:port`` of a target that serves the recorded samples at /metrics until the block ends."""
    begin = time.time()
    newest = max((s.stamp for s in samples if s.stamp), default=0)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            now = time.time()
            lines = []
            for sample in samples:
                stamp = f" {int(now * 1000) - newest + sample.stamp}" if sample.stamp else ""
                lines.append(f"{series(sample.name, sample.labels)} {_value(sample, now - begin)!r}{stamp}")
            body = ("\n".join(lines) + "\n").encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
