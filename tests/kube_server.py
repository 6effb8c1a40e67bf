"""A small Kubernetes API on loopback that serves objects handed in, page by page, and misbehaves as told; it answers GET alone."""

from __future__ import annotations

import gzip
import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

__all__ = ["REALDATA", "Cluster", "kubeconfig", "real_objects", "serve", "why_no_objects"]

REALDATA = Path(__file__).resolve().parents[2] / "shared" / "realdata"
_PLURAL = {
    "Pod": "pods",
    "Node": "nodes",
    "Deployment": "deployments",
    "ReplicaSet": "replicasets",
    "StatefulSet": "statefulsets",
    "DaemonSet": "daemonsets",
    "Job": "jobs",
    "CronJob": "cronjobs",
    "HorizontalPodAutoscaler": "horizontalpodautoscalers",
    "PodDisruptionBudget": "poddisruptionbudgets",
    "LimitRange": "limitranges",
    "ResourceQuota": "resourcequotas",
}


def why_no_objects() -> str:
    """Why the recorded objects cannot be used here; "" when they can."""
    there = (REALDATA / "troubleshoot_bundles").is_dir() and (REALDATA / "k9s_objects").is_dir()
    return "" if there else "the shared recorded objects are not beside this checkout"


def real_objects() -> dict[str, list[dict[str, Any]]]:
    """Every recorded object of a kind that we read, by plural name."""
    found: dict[str, list[dict[str, Any]]] = {plural: [] for plural in _PLURAL.values()}
    for path in sorted([*(REALDATA / "troubleshoot_bundles").rglob("*.json*"), *(REALDATA / "k9s_objects").glob("*.json")]):
        data = json.loads(gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes())
        kind = str(data.get("kind") or "")
        plural = _PLURAL.get(kind.removesuffix("List"))
        if plural is not None:
            found[plural] += (data.get("items") or []) if kind.endswith("List") else [data]
    return found


@dataclass
class Cluster:
    """What is served: ``objects`` by plural name, ``metrics`` as PodMetrics (None: no metrics-server), and the faults.

    ``refuse`` answers a plural name ("pods.metrics.k8s.io" for PodMetrics) with a status for ever, ``once`` for the next requests only;
    ``expire`` is how many page tokens expire; ``raw`` replaces the body of a plural name.
    """

    objects: Mapping[str, Sequence[Mapping[str, Any]]] = field(default_factory=dict)
    metrics: Sequence[Mapping[str, Any]] | None = None
    refuse: dict[str, int] = field(default_factory=dict)
    once: dict[str, list[int]] = field(default_factory=dict)
    raw: dict[str, bytes] = field(default_factory=dict)
    expire: int = 0
    asked: list[str] = field(default_factory=list)
    methods: set[str] = field(default_factory=set)
    tokens: set[str] = field(default_factory=set)
    url: str = ""

    def answer(self, path: str) -> tuple[int, bytes]:
        """Status and body of a GET."""
        parts, query = urlsplit(path), parse_qs(urlsplit(path).query)
        self.asked.append(path)
        steps = parts.path.strip("/").split("/")
        group = steps[1] if steps[0] == "apis" else ""
        steps = steps[3 if group else 2 :]
        namespace, steps = (steps[1], steps[2:]) if steps[0] == "namespaces" and len(steps) > 2 else ("", steps)
        name = f"{steps[0]}.{group}" if group == "metrics.k8s.io" else steps[0]
        status = self.once[name].pop(0) if self.once.get(name) else self.refuse.get(name, 200)
        items = self.metrics if group == "metrics.k8s.io" else self.objects.get(steps[0])
        if status == 200 and items is None:
            status = 404
        if status != 200:
            return status, _status(status, f"{name} says {status}")
        if name in self.raw:
            return 200, self.raw[name]
        return self._page([o for o in items or () if not namespace or o["metadata"].get("namespace") == namespace], query)

    def _page(self, items: Sequence[Mapping[str, Any]], query: Mapping[str, list[str]]) -> tuple[int, bytes]:
        start = int(query.get("continue", ["0"])[0])
        if start and self.expire:
            self.expire -= 1
            return 410, _status(410, "The provided continue parameter is too old")
        size = int(query.get("limit", ["500"])[0])
        meta = {"resourceVersion": "1"} | ({"continue": str(start + size)} if start + size < len(items) else {})
        return 200, json.dumps({"kind": "List", "apiVersion": "v1", "metadata": meta, "items": list(items[start : start + size])}).encode()


def _status(code: int, message: str) -> bytes:
    return json.dumps(
        {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": message, "code": code}
    ).encode()


@contextmanager
def serve(cluster: Cluster) -> Iterator[Cluster]:
    """Serve a cluster on a free port until the block ends; ``cluster.url`` says where."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            cluster.methods.add("GET")
            cluster.tokens.add(self.headers.get("Authorization", ""))
            status, body = cluster.answer(self.path)
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            if status == 302:
                self.send_header("Location", f"{cluster.url}/elsewhere")
            self.end_headers()
            self.wfile.write(body)

        def __getattr__(self, name: str) -> Any:
            if name.startswith("do_"):
                cluster.methods.add(name[3:])
            raise AttributeError(name)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.block_on_close = False
    cluster.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield cluster
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)


def kubeconfig(folder: Path, url: str, token: str = "s3cret-token", **cluster: object) -> Path:
    """A kubeconfig with the contexts ``test`` (current) and ``other``."""
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "test",
        "clusters": [{"name": "c", "cluster": {"server": url, **cluster}}],
        "users": [{"name": "u", "user": {"token": token}}],
        "contexts": [{"name": name, "context": {"cluster": "c", "user": "u"}} for name in ("test", "other")],
    }
    path = folder / "kubeconfig"
    path.write_text(json.dumps(config))
    return path
