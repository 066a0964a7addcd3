"""Cloud Storage's JSON API on this machine, as far as a deployment speaks it: buckets, objects, uploads in one or more
requests, and the precondition that keeps an object from being written over."""

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import google_crc32c


@dataclass
class FakeStorage:
    """Buckets with their objects."""

    buckets: dict[str, dict[str, bytes]] = field(default_factory=dict)
    uploads: list[str] = field(default_factory=list)
    refuse: int | None = None
    _begun: dict[str, tuple[str, str]] = field(default_factory=dict)

    def answer(self, method: str, url: str, body: bytes) -> tuple[int, dict[str, Any], dict[str, str]]:
        """Return status, JSON and headers."""
        path, query = urlsplit(url).path, parse_qs(urlsplit(url).query)
        if self.refuse is not None:
            return self.refuse, {"error": {"message": "refused by the test"}}, {}
        if method == "PUT":
            return self._finish(query["upload_id"][0], body)
        if (found := re.fullmatch(r"/storage/v1/b/([^/]+)", path)) is not None:
            name = found.group(1)
            return (200, {"name": name}, {}) if name in self.buckets else (404, {}, {})
        if (found := re.fullmatch(r"/storage/v1/b/([^/]+)/o/(.+)", path)) is not None:
            bucket, name = found.group(1), unquote(found.group(2))
            content = self.buckets.get(bucket, {}).get(name)
            return (404, {}, {}) if content is None else (200, described(bucket, name, content), {})
        bucket = path.split("/")[5]
        if query["uploadType"] == ["resumable"]:
            name = json.loads(body)["name"] if body else query["name"][0]
            if query.get("ifGenerationMatch") == ["0"] and name in self.buckets[bucket]:
                return 412, {"error": {"message": "exists"}}, {}
            number = str(len(self._begun))
            self._begun[number] = (bucket, name)
            return 200, {}, {"Location": f"/upload/storage/v1/b/{bucket}/o?uploadType=resumable&upload_id={number}"}
        boundary = body.split(b"\r\n", 1)[0]
        described_as, content = (part.split(b"\r\n\r\n", 1)[1][:-2] for part in body.split(boundary)[1:3])
        name = json.loads(described_as)["name"]
        if query.get("ifGenerationMatch") == ["0"] and name in self.buckets[bucket]:
            return 412, {"error": {"message": "exists"}}, {}
        return self._store(bucket, name, content)

    def _finish(self, number: str, body: bytes) -> tuple[int, dict[str, Any], dict[str, str]]:
        return self._store(*self._begun[number], body)

    def _store(self, bucket: str, name: str, content: bytes) -> tuple[int, dict[str, Any], dict[str, str]]:
        self.buckets[bucket][name] = content
        self.uploads.append(name)
        return 200, described(bucket, name, content), {}


def described(bucket: str, name: str, content: bytes) -> dict[str, Any]:
    """Return an object as the API describes it."""
    md5 = base64.b64encode(hashlib.md5(content, usedforsecurity=False).digest()).decode()
    crc32c = base64.b64encode(google_crc32c.value(content).to_bytes(4)).decode()
    hashes = {"md5Hash": md5, "crc32c": crc32c}
    return {"kind": "storage#object", "bucket": bucket, "name": name, "size": str(len(content))} | hashes


@contextmanager
def storing(fake: FakeStorage) -> Iterator[str]:
    """Serve it, and give the address."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            status, told, headers = fake.answer(self.command, self.path, body)
            content = json.dumps(told).encode()
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, f"http://127.0.0.1:{server.server_port}{value}" if name == "Location" else value)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PUT = _answer  # noqa: N815 - the names that the base class looks for

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
