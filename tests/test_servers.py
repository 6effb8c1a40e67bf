"""The helpers of the other tests: servers start, answer, stop and leave nothing; the network is closed."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from urllib.parse import quote

import pytest
from pytest_socket import SocketConnectBlockedError

from tests import servers

#: Two samples of one series at 00:00 and 00:01 on 1 Nov 2026 UTC (1793491200 s).
OPENMETRICS = '# TYPE demo gauge\ndemo{pod="a"} 1.5 1793491200\ndemo{pod="a"} 2.5 1793491260\n# EOF\n'
AT = 1793491260


def is_gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def is_closed(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(5)
        return probe.connect_ex(("127.0.0.1", port)) != 0


def value_of(server: servers.Running, query: str) -> list[str]:
    status, body = server.get(f"/api/v1/query?query={quote(query)}&time={AT}")
    assert status == 200, body
    return [row["value"][1] for row in json.loads(body)["data"]["result"]]


@pytest.fixture
def blocks(tmp_path: Path) -> Path:
    text = tmp_path / "demo.om"
    text.write_text(OPENMETRICS)
    folder = tmp_path / "tsdb"
    folder.mkdir()
    servers.create_blocks(text, folder)
    return folder


@pytest.mark.server
def test_prometheus_answers_from_the_blocks_and_is_gone_afterwards(blocks: Path) -> None:
    with servers.prometheus_server(blocks) as server:
        assert value_of(server, 'demo{pod="a"}') == ["2.5"]  # the sample of 00:01
        assert not is_closed(server.port)
    assert is_gone(server.pid)
    assert is_closed(server.port)


@pytest.mark.server
def test_flags_reach_prometheus_and_its_port_can_be_kept(blocks: Path, prometheus_server) -> None:
    # max_over_time over both samples loads 2 samples, one more than allowed
    server = prometheus_server(blocks, "--query.max-samples=1")
    status, body = server.get(f"/api/v1/query?query={quote('max_over_time(demo[2m])')}&time={AT}")
    assert (status, json.loads(body)["errorType"]) == (422, "execution")


@pytest.mark.server
def test_prometheus_comes_back_on_the_same_port(blocks: Path) -> None:
    with servers.prometheus_server(blocks) as first:
        pass
    with servers.prometheus_server(blocks, port=first.port) as second:
        assert (second.port, value_of(second, "demo")) == (first.port, ["2.5"])


@pytest.mark.server
def test_victoria_takes_an_import_and_is_gone_afterwards() -> None:
    with servers.victoria_server() as server:
        servers.import_text(server, b'demo{pod="a"} 2.5 1793491260000\n')
        assert value_of(server, "demo") == ["2.5"]
    assert is_gone(server.pid)
    assert is_closed(server.port)


@pytest.mark.server
def test_a_server_that_ends_at_once_is_an_error_with_its_own_words(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="no-such-flag"), servers.prometheus_server(tmp_path, "--no-such-flag"):
        pass


@pytest.mark.server
def test_a_server_is_stopped_when_the_test_fails(blocks: Path) -> None:
    with pytest.raises(ZeroDivisionError), servers.prometheus_server(blocks) as server:
        _ = 1 / 0
    assert is_gone(server.pid)


@pytest.mark.server
def test_promtool_names_the_file_it_cannot_read(tmp_path: Path) -> None:
    broken = tmp_path / "broken.om"
    broken.write_text("this is no OpenMetrics\n")
    with pytest.raises(RuntimeError, match=r"broken\.om"):
        servers.create_blocks(broken, tmp_path)


def test_a_missing_program_skips_here_and_fails_in_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="no-such-server"):
        servers.need("no-such-server")
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="no-such-server"):
        servers.need("no-such-server")


def test_f58_no_test_reaches_beyond_loopback() -> None:
    # 192.0.2.1 is documentation space (RFC 5737): nothing answers there even without the guard. The guard warns before it
    # raises, and warnings are errors.
    blocked = (SocketConnectBlockedError, UserWarning)
    with socket.socket() as outside, pytest.raises(blocked, match=r"tried to use socket.*192\.0\.2\.1"):
        outside.connect(("192.0.2.1", 80))


def test_f58_loopback_and_unix_sockets_are_open(tmp_path: Path) -> None:
    for family, address in ((socket.AF_INET, ("127.0.0.1", 0)), (socket.AF_UNIX, str(tmp_path / "s"))):
        with socket.socket(family) as listener, socket.socket(family) as caller:
            listener.bind(address)
            listener.listen()
            caller.connect(listener.getsockname())


def test_f58_a_child_process_meets_the_closed_proxy() -> None:
    # urllib in a child, without pytest-socket: port 9 on loopback refuses, so no packet leaves the machine
    code = "import urllib.request; urllib.request.urlopen('http://192.0.2.1/', timeout=5)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 1
    assert "Connection refused" in done.stderr
    with pytest.raises(urllib.error.URLError, match="refused"):
        urllib.request.urlopen("http://192.0.2.1/", timeout=5)
