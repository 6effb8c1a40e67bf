"""A stand-in for a Kubernetes API server: a few objects in memory, read and patched as kubectl asks for it, on loopback."""

from __future__ import annotations

import copy
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.patching import Refused, applied, merged, tidy

__all__ = ["ApiServer", "api_server"]

_PLURALS = {
    "Deployment": "deployments",
    "StatefulSet": "statefulsets",
    "CronJob": "cronjobs",
    "HorizontalPodAutoscaler": "horizontalpodautoscalers",
}
_VERBS = ["get", "list", "patch", "create", "delete"]


class ApiServer:
    """Objects by path; ``calls`` are the writes that were asked for, with whether they were a dry run."""

    def __init__(self, *things: dict[str, Any]) -> None:
        self.things = {self._path(thing): copy.deepcopy(thing) for thing in things}
        for thing in self.things.values():
            thing["metadata"] |= {"resourceVersion": "7", "uid": "u", "generation": 1}
        self.calls: list[tuple[str, str, bool]] = []

    @staticmethod
    def _path(thing: dict[str, Any]) -> str:
        about = thing["metadata"]
        return f"/apis/{thing['apiVersion']}/namespaces/{about['namespace']}/{_PLURALS[thing['kind']]}/{about['name']}"

    def named(self, kind: str, name: str) -> dict[str, Any]:
        """The object as it stands now, without what the server added."""
        thing = copy.deepcopy(next(one for one in self.things.values() if (one["kind"], one["metadata"]["name"]) == (kind, name)))
        for key in ("resourceVersion", "uid", "generation", "annotations"):
            thing["metadata"].pop(key, None)
        return thing

    def discovery(self, path: str) -> dict[str, Any] | None:
        """What the server says of itself."""
        versions = sorted({thing["apiVersion"] for thing in self.things.values()})
        if path == "/version":
            return {"major": "1", "minor": "32", "gitVersion": "v1.32.4"}
        if path == "/api":
            return {"kind": "APIVersions", "versions": ["v1"]}
        if path == "/api/v1":
            return {"kind": "APIResourceList", "groupVersion": "v1", "resources": []}
        if path == "/apis":
            groups = [
                {"name": v.split("/")[0], "versions": [each], "preferredVersion": each}
                for v in versions
                for each in [{"groupVersion": v, "version": v.split("/")[1]}]
            ]
            return {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}
        if path.removeprefix("/apis/") in versions:
            kinds = sorted({t["kind"] for t in self.things.values() if t["apiVersion"] == path.removeprefix("/apis/")})
            resources = [
                {"name": _PLURALS[kind], "singularName": kind.lower(), "namespaced": True, "kind": kind, "verbs": _VERBS} for kind in kinds
            ]
            return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": path.removeprefix("/apis/"), "resources": resources}
        return None

    def patch(self, path: str, body: Any, how: str, dry: bool) -> dict[str, Any]:
        """The object with the patch; kept unless it is a dry run."""
        live = self.things[path]
        new = applied(live, body) if how == "json-patch" else tidy(merged(live, body))
        self.calls.append(("PATCH", path, dry))
        if new != live:
            new["metadata"]["generation"] = live["metadata"]["generation"] + 1
        if not dry:
            self.things[path] = new
        return new


def _handler(server: ApiServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            """Quiet."""

        def answer(self, value: Any, status: int = 200) -> None:
            data = json.dumps(value).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def failed(self, status: int, message: str) -> None:
            words = {404: "NotFound", 422: "Invalid"}
            about = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": message, "reason": words[status], "code": status}
            self.answer(about, status)

        def do_GET(self) -> None:
            path = urlsplit(self.path).path
            found = server.things.get(path) or server.discovery(path)
            self.answer(found) if found is not None else self.failed(404, f"{path} not found")

        def do_PATCH(self) -> None:
            parts = urlsplit(self.path)
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            how = self.headers["Content-Type"].removeprefix("application/").removesuffix("+json")
            if parts.path not in server.things:
                self.failed(404, f"{parts.path} not found")
                return
            try:
                self.answer(server.patch(parts.path, body, how, parse_qs(parts.query).get("dryRun") == ["All"]))
            except Refused as error:
                self.failed(422, f"the server rejected our request: test failed: {error}")

    return Handler


@contextmanager
def api_server(*things: dict[str, Any]) -> Iterator[tuple[ApiServer, str]]:
    """A running server with these objects, and its URL."""
    server = ApiServer(*things)
    with ThreadingHTTPServer(("127.0.0.1", 0), _handler(server)) as http:
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server, f"http://127.0.0.1:{http.server_address[1]}"
        finally:
            http.shutdown()
            thread.join()
