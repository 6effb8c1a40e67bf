"""A kernel of this very interpreter, with its own working folder and ipc sockets (ecosystem.md section 3).

Installed kernelspecs are not asked: ``python3`` may be anybody's interpreter.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from types import FrameType
from typing import Any

import aiops_analysis
from aiops_analysis.core.errors import RunFailed

__all__ = ["Terminated", "absent", "kernel", "terminating"]

# The kernel imports what every notebook needs while this process still imports papermill.
_BOOT = "import {modules}\nfrom ipykernel.kernelapp import launch_new_instance as start\nstart()"
_LONGEST_SOCKET = 90  # characters; a unix socket's path ends at 104 (macOS) or 108


class Terminated(KeyboardInterrupt):
    """SIGTERM arrived; like Ctrl-C, it passes through asyncio and every ``except Exception`` of other packages."""

    exit_code = 143


@contextmanager
def terminating() -> Iterator[None]:
    """Turn SIGTERM into Terminated in the main thread; other threads cannot and need not."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(_number: int, _frame: FrameType | None) -> None:
        raise Terminated

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Signals wait until the kernel is stopped: it is killed at once, so that takes no time."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def absent(*modules: str) -> Iterator[None]:
    """Inside, the named optional modules cannot be imported; those that are loaded already stay."""
    hidden = [name for name in modules if name not in sys.modules]
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]
    try:
        yield
    finally:
        for name in hidden:
            sys.modules.pop(name, None)


@contextmanager
def kernel(cwd: Path, environment: Mapping[str, str], warm: tuple[str, ...] = ()) -> Iterator[Any]:
    """A started kernel manager for ``papermill.execute_notebook(km=...)``; the kernel is gone at the end, whatever happens.

    Raises RunFailed when ipykernel is missing.
    """
    if find_spec("ipykernel") is None:
        raise RunFailed("this environment has no ipykernel to run notebooks; install it with: python -m pip install ipykernel")
    private = Path(tempfile.mkdtemp(prefix="aiops-"))
    try:
        manager, clients = _manager(private, warm)
        with (private / "kernel.log").open("wb") as log:
            manager.start_kernel(cwd=str(cwd), env={**os.environ, **_environment(private), **environment}, stdout=log, stderr=log)
        try:
            yield manager
        finally:
            with _undisturbed():
                _stop(manager, clients)
    finally:
        shutil.rmtree(private, ignore_errors=True)


def _manager(private: Path, warm: tuple[str, ...]) -> tuple[Any, list[Any]]:
    """A kernel manager, and the clients it will have made: nbclient closes only what it started itself."""
    from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
    from jupyter_client.manager import KernelManager

    argv = [sys.executable, "-P", "-c", _BOOT.format(modules=", ".join(("os", *warm)))]
    # No history database and no debugger files: nothing is written outside of the run's own folders.
    spec = KernelSpec(argv=[*argv, "-f", "{connection_file}", "--HistoryManager.enabled=False"], display_name="Python 3", language="python")

    class OurSpec(KernelSpecManager):
        def get_kernel_spec(self, kernel_name: str) -> KernelSpec:  # noqa: ARG002 - every name is our interpreter
            return spec

    class OurManager(KernelManager):
        def client(self, **options: Any) -> Any:
            made = super().client(**options)
            clients.append(made)
            return made

    clients: list[Any] = []
    sockets = str(private / "k-ipc")
    transport = "ipc" if os.name == "posix" and len(sockets) < _LONGEST_SOCKET else "tcp"
    manager = OurManager(
        transport=transport,
        connection_file=str(private / "k.json"),
        client_class="jupyter_client.asynchronous.AsyncKernelClient",
        kernel_spec_manager=OurSpec(),
        kernel_name="python3",
    )
    return manager, clients


def _environment(private: Path) -> dict[str, str]:
    """What the kernel needs to find this package in a source tree, to stay quiet, and to run nobody's IPython start-up files."""
    home = Path(aiops_analysis.__file__).resolve().parent.parent
    found = {"PYDEVD_DISABLE_FILE_VALIDATION": "1", "IPYTHONDIR": str(private / "ipython")}
    if home.name not in ("site-packages", "dist-packages"):
        found["PYTHONPATH"] = os.pathsep.join(filter(None, (str(home), os.environ.get("PYTHONPATH", ""))))
    return found


def _stop(manager: Any, clients: list[Any]) -> None:
    for client in clients:
        with suppress(RuntimeError, OSError):
            client.stop_channels()
    with suppress(RuntimeError, OSError):
        manager.shutdown_kernel(now=True)
    with suppress(RuntimeError, OSError):
        manager.cleanup_resources()
