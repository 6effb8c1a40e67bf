"""The demo cluster in real servers, once for all tests of a session (and for all workers of pytest-xdist).

Every test may ask for these fixtures by name; conftest.py hands them out.

``demo_cluster``     the DemoCluster with its whole story, 28 days that end with 1 Nov 2026: the numbers that the servers must give back.
``demo_blocks``      a folder of TSDB blocks with the raw samples of its last DAYS days, scraped every 60 s. It is shared: start no server
                     on it, but on a copy, ``own_blocks(demo_blocks, tmp_path / "tsdb")`` (hard links, costs nothing).
``demo_prometheus``  a running Prometheus with them (servers.Running, its ``url``); it is shared, so only ask it.
``demo_victoria``    a running VictoriaMetrics with the samples of the last VICTORIA_DAYS days; shared as well.

``window(days)`` is ``(start, end)`` of the last days as datetimes. Building the blocks takes about 20 s, so a test that uses any of these
bears the mark ``server``.
"""

from __future__ import annotations

import io
import os
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from filelock import FileLock

from aiops_analysis.sources.demo import DemoCluster
from tests import servers

__all__ = ["DAYS", "VICTORIA_DAYS", "demo_blocks", "demo_cluster", "demo_prometheus", "demo_victoria", "own_blocks", "window"]

DAYS = 9
VICTORIA_DAYS = 2
_END = datetime(2026, 11, 2, tzinfo=UTC)
_BLOCK = timedelta(hours=54)  # one of promtool's block lengths; a file within one block is read once


def window(days: int = DAYS) -> tuple[datetime, datetime]:
    """Start and end of the last ``days`` days of the demo."""
    return _END - timedelta(days=days), _END


def own_blocks(blocks: Path, target: Path) -> Path:
    """A copy of the blocks that a server may lock and write beside."""
    return Path(shutil.copytree(blocks, target, copy_function=os.link))


@pytest.fixture(scope="session")
def demo_cluster() -> DemoCluster:
    return DemoCluster()


@pytest.fixture(scope="session")
def demo_blocks(demo_cluster: DemoCluster, tmp_path_factory: pytest.TempPathFactory) -> Path:
    servers.need("promtool")
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    blocks = shared / "demo-blocks"
    with FileLock(shared / "demo-blocks.lock"):
        if not blocks.exists():
            work = shared / "demo-blocks.tmp"
            work.mkdir()
            start, end = window()
            with ThreadPoolExecutor(2) as pool:
                parts = list(pool.map(lambda span: _backfill(demo_cluster, *span, work), _spans(start, end)))
            for part in parts:
                for block in part.iterdir():
                    block.rename(work / block.name)
                part.rmdir()
            work.rename(blocks)
    return blocks


def _spans(start: datetime, end: datetime) -> Iterator[tuple[datetime, datetime]]:
    """The range cut where promtool's blocks end."""
    while start < end:
        edge = datetime.fromtimestamp((start.timestamp() // _BLOCK.total_seconds() + 1) * _BLOCK.total_seconds(), UTC)
        yield start, min(edge, end)
        start = edge


def _backfill(cluster: DemoCluster, start: datetime, end: datetime, work: Path) -> Path:
    part = work / f"part-{start:%Y%m%d%H}"
    part.mkdir()
    text = work / f"{part.name}.om"
    with text.open("wb") as file:
        cluster.openmetrics(start, end, file)
    servers.create_blocks(text, part, f"--max-block-duration={_BLOCK // timedelta(hours=1)}h")
    text.unlink()
    return part


@pytest.fixture(scope="session")
def demo_prometheus(demo_blocks: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[servers.Running]:
    with servers.prometheus_server(own_blocks(demo_blocks, tmp_path_factory.mktemp("demo-prometheus") / "tsdb")) as running:
        yield running


@pytest.fixture(scope="session")
def demo_victoria(demo_cluster: DemoCluster) -> Iterator[servers.Running]:
    with servers.victoria_server() as running:
        start, end = window(VICTORIA_DAYS)
        while start < end:
            text = io.BytesIO()
            demo_cluster.prometheus_text(start, min(start + timedelta(hours=12), end), text)
            servers.import_text(running, text.getvalue())
            start += timedelta(hours=12)
        yield running
