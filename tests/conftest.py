"""What every test gets: no settings of this machine, no way out to the network, servers that are always stopped."""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Callable, Iterator

import pytest

from tests import servers
from tests.demo_fixtures import demo_blocks, demo_cluster, demo_prometheus, demo_victoria

__all__ = ["demo_blocks", "demo_cluster", "demo_prometheus", "demo_victoria", "prometheus_server", "victoria_server"]


def pytest_configure() -> None:
    """Make the processes that tests start (kernels, the command line) as deaf to this machine as the tests are (fault row 58).

    pytest-socket guards this process only; an HTTP client in a child meets a proxy that nobody runs, unless it asks loopback.
    """
    for name in [name for name in os.environ if name.startswith("AIOPS_")]:
        del os.environ[name]
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        os.environ[name] = os.environ[name.upper()] = "http://127.0.0.1:9"
    os.environ["no_proxy"] = os.environ["NO_PROXY"] = "127.0.0.1,localhost,::1"
    os.environ["NETRC"] = os.devnull
    os.environ.setdefault("MPLBACKEND", "Agg")


@pytest.fixture
def prometheus_server() -> Iterator[Callable[..., servers.Running]]:
    """``prometheus_server(blocks, *flags)`` starts a real Prometheus that is stopped after the test."""
    with contextlib.ExitStack() as stack:
        yield functools.partial(_enter, stack, servers.prometheus_server)


@pytest.fixture
def victoria_server() -> Iterator[Callable[..., servers.Running]]:
    """``victoria_server(*flags)`` starts a real, empty VictoriaMetrics that is stopped after the test."""
    with contextlib.ExitStack() as stack:
        yield functools.partial(_enter, stack, servers.victoria_server)


def _enter(stack: contextlib.ExitStack, start: Callable[..., contextlib.AbstractContextManager[servers.Running]], *args, **options):
    return stack.enter_context(start(*args, **options))
