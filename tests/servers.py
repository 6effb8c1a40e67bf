"""Real servers for tests: Prometheus and VictoriaMetrics on a free loopback port, always stopped by their own process.

The programs come from ``.tools/usr/bin`` (``make tools``) or from PATH. A test that needs one that cannot be had skips with the
reason, and fails when ``CI=true``.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

__all__ = ["ROOT", "Running", "create_blocks", "find", "free_port", "import_text", "need", "prometheus_server", "victoria_server"]

ROOT = Path(__file__).resolve().parents[1]
TOOLS = ROOT / ".tools" / "usr" / "bin"
_READY_S = 60.0  # [s] two cores may be busy with other tests
_STOP_S = 20.0  # [s]
_TRIES = 3  # another process may take the free port between our look and the server's start


@dataclass(frozen=True)
class Running:
    """A started server: its base URL without a slash at the end, its port and its process id."""

    url: str
    port: int
    pid: int

    def get(self, path: str) -> tuple[int, bytes]:
        """Status and body of one GET."""
        return _ask(self.port, "GET", path)

    def post(self, path: str, body: bytes) -> tuple[int, bytes]:
        """Status and body of one POST."""
        return _ask(self.port, "POST", path, body)


class _NotReady(RuntimeError):
    """The server ended or did not become ready in time."""


def find(program: str) -> Path | None:
    """The program from ``.tools`` or PATH, or None."""
    if os.access(TOOLS / program, os.X_OK):
        return TOOLS / program
    found = shutil.which(program)
    return Path(found) if found else None


def need(program: str) -> Path:
    """The program; without it the test skips with the reason, or fails when ``CI=true``."""
    found = find(program)
    if found is not None:
        return found
    reason = f"{program} is neither in .tools/usr/bin (make tools) nor on PATH"
    if os.environ.get("CI") == "true":
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


def free_port() -> int:
    """A loopback TCP port that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def create_blocks(openmetrics: Path, blocks: Path, *flags: str) -> None:
    """Turn OpenMetrics text into TSDB blocks below ``blocks`` with promtool; ``flags`` are added."""
    command = [str(need("promtool")), "tsdb", "create-blocks-from", "openmetrics", "-q", *flags, str(openmetrics), str(blocks)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
    if done.returncode != 0:
        raise RuntimeError(f"promtool could not read {openmetrics.name}: {(done.stderr or done.stdout).strip()[-500:]}")


@contextlib.contextmanager
def prometheus_server(blocks: Path, *flags: str, port: int | None = None, scrape: str = "") -> Iterator[Running]:
    """A real Prometheus over the TSDB folder ``blocks`` that compacts nothing; ``flags`` are added, a given port is kept.

    It scrapes nothing but what the YAML text ``scrape`` says.
    """
    program = need("prometheus")
    with tempfile.TemporaryDirectory(prefix="prometheus-") as folder:
        config = Path(folder, "prometheus.yml")
        config.write_text(f"global: {{scrape_interval: 1m}}\n{scrape}")
        command = [
            str(program),
            f"--config.file={config}",
            f"--storage.tsdb.path={blocks}",
            "--storage.tsdb.retention.time=30y",
            "--storage.tsdb.min-block-duration=2h",
            "--storage.tsdb.max-block-duration=2h",
            "--log.level=warn",
            *flags,
        ]
        with _started(command, "--web.listen-address=127.0.0.1:{port}", "/-/ready", Path(folder, "log"), port) as running:
            yield running


@contextlib.contextmanager
def victoria_server(*flags: str, folder: Path | None = None, port: int | None = None) -> Iterator[Running]:
    """A real VictoriaMetrics over ``folder``, or over an empty temporary one; ``flags`` are added, a given port is kept."""
    program = need("victoria-metrics")
    with tempfile.TemporaryDirectory(prefix="victoria-") as own:
        command = [str(program), f"-storageDataPath={folder or Path(own, 'data')}", "-retentionPeriod=30y", "-loggerLevel=WARN", *flags]
        with _started(command, "-httpListenAddr=127.0.0.1:{port}", "/health", Path(own, "log"), port) as running:
            yield running


def import_text(server: Running, text: bytes) -> None:
    """Load Prometheus text with millisecond timestamps into VictoriaMetrics and make it searchable."""
    status, body = server.post("/api/v1/import/prometheus", text)
    if status not in (200, 204):
        raise RuntimeError(f"VictoriaMetrics refused the import: {status} {body[:200]!r}")
    for path in ("/internal/force_flush", "/internal/resetRollupResultCache"):
        server.get(path)


@contextlib.contextmanager
def _started(command: Sequence[str], listen: str, health: str, log: Path, port: int | None) -> Iterator[Running]:
    """Start, wait until healthy, hand over, stop; a taken port is tried again with another one."""
    for left in reversed(range(_TRIES)):
        chosen = port or free_port()
        with log.open("wb") as out:
            process = subprocess.Popen(
                [*command, listen.format(port=chosen)], stdout=out, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL
            )
        try:
            try:
                _wait_ready(process, chosen, health, log)
            except _NotReady:
                if left and port is None and b"address already in use" in log.read_bytes():
                    continue
                raise
            yield Running(f"http://127.0.0.1:{chosen}", chosen, process.pid)
            return
        finally:
            _stop(process)


def _wait_ready(process: subprocess.Popen[bytes], port: int, health: str, log: Path) -> None:
    """Poll the health page until it says 200; raises _NotReady when the process ends or the time is over."""
    deadline = time.monotonic() + _READY_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        with contextlib.suppress(OSError, http.client.HTTPException):
            if _ask(port, "GET", health)[0] == 200 and process.poll() is None:
                return
        time.sleep(0.05)
    tail = log.read_text(errors="replace")[-800:]
    raise _NotReady(f"{Path(process.args[0]).name} was not ready on port {port} (exit code {process.poll()}): {tail}")  # type: ignore[index,arg-type]


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End this one process, politely first."""
    process.terminate()
    try:
        process.wait(_STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(_STOP_S)


def _ask(port: int, method: str, path: str, body: bytes | None = None) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request(method, path, body)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()
