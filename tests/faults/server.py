"""A scripted HTTP server on loopback that misbehaves as told: each request gets the next answer, the last one for ever."""

from __future__ import annotations

import contextlib
import gzip
import json
import socket
import socketserver
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import parse_qs

__all__ = [
    "Fault",
    "Request",
    "chunked",
    "cut",
    "good",
    "hang",
    "matrix",
    "page",
    "raw",
    "refusal",
    "serve",
    "trickle",
    "vector",
]


@dataclass(frozen=True)
class Request:
    """What a client sent."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def form(self) -> dict[str, str]:
        """The fields of a form body."""
        return {name: values[0] for name, values in parse_qs(self.body.decode()).items()}


Answer = Callable[[socket.socket, Request, threading.Event], None]


class Fault(socketserver.ThreadingTCPServer):
    """The running server: ``url``, ``seen`` requests and the number of ``connections``."""

    daemon_threads = True
    allow_reuse_address = True
    block_on_close = False

    def __init__(self, answers: Sequence[Answer], port: int = 0, context: ssl.SSLContext | None = None) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.answers, self.context = list(answers), context
        self.seen: list[Request] = []
        self.connections = 0
        self.stop = threading.Event()
        self.lock = threading.Lock()
        self.port = int(self.server_address[1])
        self.url = f"{'https' if context else 'http'}://127.0.0.1:{self.port}"

    def next_answer(self, request: Request) -> Answer:
        with self.lock:
            self.seen.append(request)
            return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


class _Handler(socketserver.BaseRequestHandler):
    server: Fault

    def handle(self) -> None:
        with self.server.lock:
            self.server.connections += 1
        with contextlib.suppress(OSError):
            live = self.server.context.wrap_socket(self.request, server_side=True) if self.server.context else self.request
            request = _read(live)
            if request is not None:
                self.server.next_answer(request)(live, request, self.server.stop)
            if live is not self.request:
                live.close()


def _read(live: socket.socket) -> Request | None:
    data = b""
    while b"\r\n\r\n" not in data:
        part = live.recv(65536)
        if not part:
            return None
        data += part
        if data[:1] == b"\x16":  # TLS, of which a plain server understands nothing
            live.sendall(_head(400, {}))
            return None
    head, body = data.split(b"\r\n\r\n", 1)
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    while len(body) < int(headers.get("content-length", "0")):
        part = live.recv(65536)
        if not part:
            return None
        body += part
    method, path, _ = first.split(" ", 2)
    return Request(method, path, headers, body)


@contextlib.contextmanager
def serve(*answers: Answer, port: int = 0, context: ssl.SSLContext | None = None) -> Iterator[Fault]:
    """The server while the block runs; hanging answers end with it."""
    server = Fault(answers, port, context)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.stop.set()
        server.shutdown()
        server.server_close()
        thread.join()


def raw(data: bytes) -> Answer:
    """These bytes, then the end of the connection."""

    def answer(live: socket.socket, _: Request, __: threading.Event) -> None:
        live.sendall(data)

    return answer


def _head(status: int, headers: Mapping[str, object]) -> bytes:
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 {status} Status\r\nConnection: close\r\n{lines}\r\n".encode()


def page(status: int, body: bytes | str, kind: str = "text/html", **headers: object) -> Answer:
    """A whole answer; header names have _ for -."""
    data = body.encode() if isinstance(body, str) else body
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return raw(_head(status, {"Content-Type": kind, "Content-Length": len(data), **named}) + data)


def good(document: object) -> Answer:
    """A JSON document with status 200."""
    return page(200, json.dumps(document), "application/json")


def refusal(status: int, kind: str, text: str, **headers: object) -> Answer:
    """An error as Prometheus words it."""
    return page(status, json.dumps({"status": "error", "errorType": kind, "error": text}), "application/json", **headers)


def matrix(*series: tuple[Mapping[str, str], Sequence[Sequence[object]]], **more: object) -> dict[str, object]:
    """The document of a range answer."""
    rows = [{"metric": dict(labels), "values": [list(pair) for pair in values]} for labels, values in series]
    return {"status": "success", "data": {"resultType": "matrix", "result": rows}, **more}


def vector(*series: tuple[Mapping[str, str], Sequence[object]], **more: object) -> dict[str, object]:
    """The document of an instant answer."""
    rows = [{"metric": dict(labels), "value": list(pair)} for labels, pair in series]
    return {"status": "success", "data": {"resultType": "vector", "result": rows}, **more}


def cut(document: object, how: str) -> Answer:
    """A good document that does not arrive whole: the variants of fault row 6."""
    data = json.dumps(document).encode()
    squeezed = gzip.compress(data)
    json_head = {"Content-Type": "application/json"}
    bodies = {
        "body cut at 20 bytes": (json_head | {"Content-Length": len(data)}, data[:20]),
        "content-length too large": (json_head | {"Content-Length": len(data) + 7}, data),
        "content-length too small": (json_head | {"Content-Length": len(data) - 7}, data),
        "no content-length, cut": (json_head, data[:-9]),
        "chunked, no last chunk": (json_head | {"Transfer-Encoding": "chunked"}, chunked(data)[:-5]),
        "chunked, cut in a chunk": (json_head | {"Transfer-Encoding": "chunked"}, chunked(data)[:30]),
        "chunked, no size": (json_head | {"Transfer-Encoding": "chunked"}, b"zz\r\n" + data),
        "gzip corrupt": (
            json_head | {"Content-Encoding": "gzip", "Content-Length": len(squeezed)},
            squeezed[:12] + b"\0\xff" + squeezed[14:],
        ),
        "gzip cut": (json_head | {"Content-Encoding": "gzip"}, squeezed[: len(squeezed) // 2]),
        "gzip that is none": (json_head | {"Content-Encoding": "gzip", "Content-Length": len(data)}, data),
    }
    if how == "head cut":
        return raw(b"HTTP/1.1 200 OK\r\nContent-Ty")
    if how == "closed at once":
        return raw(b"")
    headers, body = bodies[how]
    return raw(_head(200, headers) + body)


def chunked(data: bytes, size: int = 50) -> bytes:
    """Data in chunks, with the last one."""
    parts = [data[i : i + size] for i in range(0, len(data), size)]
    return b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"


def hang(live: socket.socket, request: Request, stop: threading.Event) -> None:
    """No answer while the server runs."""
    stop.wait()


def trickle(data: bytes, gap_s: float = 0.02) -> Answer:
    """The data once, then one blank after the other: never a time-out between two bytes, never an end."""

    def answer(live: socket.socket, _: Request, stop: threading.Event) -> None:
        live.sendall(data)
        while not stop.wait(gap_s):
            live.sendall(b" ")

    return answer
