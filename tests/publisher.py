"""A web server on this machine: publishes as PhysioNet, Zenodo and figshare do, and misbehaves as told."""

from __future__ import annotations

import hashlib
import json
import threading
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit


@dataclass(frozen=True)
class Fault:
    """How one answer goes wrong."""

    status: int | None = None
    """Answer this, with no content."""
    headers: dict[str, str] = field(default_factory=dict)
    drop_after: int | None = None
    """Close the connection after so many bytes of the content, whatever length was stated."""
    add_to_length: int = 0
    """State so many bytes more (or less) than there are."""
    without_length: bool = False
    ignore_range: bool = False
    shift_range: int = 0
    """Serve, and state in Content-Range, what begins so many bytes on."""
    content: bytes | None = None
    """Serve this in place of the file."""
    stall: bool = False
    """Send nothing, and wait until the test lets go."""


class Asked(NamedTuple):
    """One request."""

    method: str
    path: str
    headers: dict[str, str]


class Publisher:
    """The server; use it as a context manager. `files` by path, `faults` by path: one for each answer in turn."""

    def __init__(self):
        self.files: dict[str, bytes] = {}
        self.faults: defaultdict[str, list[Fault]] = defaultdict(list)
        self.always: dict[str, Fault] = {}
        self.validators, self.most_rows = True, 1000
        self.asked: list[Asked] = []
        self.sent: Counter[str] = Counter()
        self.stalled, self.let_go = threading.Event(), threading.Event()
        self.lock = threading.Lock()

    def __enter__(self):
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.publisher = self
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_):
        self.let_go.set()
        self._server.shutdown()
        self._thread.join(10)
        self._server.server_close()

    def fault_for(self, path):
        with self.lock:
            return self.faults[path].pop(0) if self.faults[path] else self.always.get(path, Fault())

    def asked_for(self, path, method="GET"):
        """The requests for a path, in turn."""
        return [each for each in self.asked if (each.path, each.method) == (path, method)]

    def physionet(self, project, files):
        """Publish files by path, with their SHA256SUMS.txt; returns the base address, for `--mirror`."""
        for path, content in files.items():
            self.files[f"/files/{project}/{path}"] = content
        sums = "".join(f"{hashlib.sha256(content).hexdigest()}  {path}\n" for path, content in files.items())
        self.files[f"/files/{project}/SHA256SUMS.txt"] = sums.encode()
        return f"{self.url}/files"

    def zenodo(self, record, files):
        """Publish files by name in a record whose links are those of the real host."""
        rows = []
        for name, content in files.items():
            self.files[zenodo_path(record, name)] = content
            link = f"https://zenodo.org{zenodo_path(record, name)}"
            rows.append(
                {
                    "id": "1b2c",
                    "key": name,
                    "size": len(content),
                    "checksum": f"md5:{hashlib.md5(content).hexdigest()}",
                    "links": {"self": link},
                }
            )
        self.files[f"/api/records/{record}"] = json.dumps({"id": int(record), "files": rows}).encode()
        return f"{self.url}/api"

    def figshare(self, collection, articles):
        """Publish a collection of articles `{id: {name: content}}`, in pages of as many rows as are asked for."""
        self.files[f"/v2/collections/{collection}/articles"] = json.dumps([{"id": each} for each in articles]).encode()
        for article, files in articles.items():
            rows = []
            for number, (name, content) in enumerate(files.items()):
                path = f"/files/{article}{number}"
                self.files[path] = content
                digest = hashlib.md5(content).hexdigest()
                rows.append(
                    {
                        "id": number,
                        "name": name,
                        "size": len(content),
                        "is_link_only": False,
                        "download_url": f"{self.url}{path}",
                        "supplied_md5": digest,
                        "computed_md5": digest,
                    }
                )
            self.files[f"/v2/articles/{article}/files"] = json.dumps(rows).encode()
        return f"{self.url}/v2"


def zenodo_path(record, name):
    """Where Zenodo serves a file of a record."""
    return f"/api/records/{record}/files/{name}/content"


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    publisher: Publisher

    def handle_error(self, request, client_address):
        """Clients that go away are part of the tests."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # a small answer would wait 40 ms for the client's acknowledgement
    server: _Server

    def log_message(self, *_):
        pass

    def do_HEAD(self):
        self._answer(body=False)

    def do_GET(self):
        self._answer(body=True)

    def _answer(self, *, body):
        publisher, split = self.server.publisher, urlsplit(self.path)
        path = unquote(split.path)
        publisher.asked.append(Asked(self.command, path, dict(self.headers)))
        fault = publisher.fault_for(path) if body else Fault()
        if fault.stall:
            publisher.stalled.set()
            publisher.let_go.wait(60)
            self.close_connection = True
            return
        if fault.status is not None or path not in publisher.files:
            self.send_response(fault.status or 404)
            self._headers({"Content-Length": "0"} | fault.headers)
            return
        content = publisher.files[path] if fault.content is None else fault.content
        if "page" in (query := parse_qs(split.query)) and content.startswith(b"["):
            rows, size = json.loads(content), min(int(query["page_size"][0]), self.server.publisher.most_rows)
            content = json.dumps(rows[(int(query["page"][0]) - 1) * size :][:size]).encode()
        tag = f'"{hashlib.md5(content).hexdigest()}"'
        headers = {"ETag": tag, "Accept-Ranges": "bytes"} if publisher.validators else {}
        start, end = 0, len(content)
        wanted = self.headers.get("Range")
        if wanted and not fault.ignore_range and self.headers.get("If-Range", tag) == tag:
            first, _, last = wanted.removeprefix("bytes=").partition("-")
            start, end = int(first) + fault.shift_range, min(int(last or end) + 1, end)
            if start >= len(content):
                self.send_response(416)
                self._headers(headers | {"Content-Range": f"bytes */{len(content)}", "Content-Length": "0"})
                return
            headers["Content-Range"] = f"bytes {start}-{end - 1}/{len(content)}"
        part = content[start:end]
        self.send_response(206 if "Content-Range" in headers else 200)
        if fault.without_length:
            self.close_connection = True
            headers["Connection"] = "close"
        else:
            headers["Content-Length"] = str(len(part) + fault.add_to_length)
        self._headers(headers | fault.headers)
        if not body:
            return
        if fault.drop_after is not None:
            part = part[: fault.drop_after]
        if fault.drop_after is not None or fault.add_to_length:
            self.close_connection = True
        with publisher.lock:
            publisher.sent[path] += len(part)
        self.wfile.write(part)

    def _headers(self, headers):
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
