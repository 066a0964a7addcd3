"""An API server on this machine, for what a deployment asks: find, and apply by the server, also as a dry run."""

import copy
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import yaml

CONTEXT = "tests"


@dataclass
class Kube:
    """Objects by their path. `defaults` is what the server adds to each."""

    objects: dict[str, dict[str, Any]] = field(default_factory=dict)
    applied: list[str] = field(default_factory=list)
    refuse: tuple[str, int] | None = None
    """The method that is refused, and how."""
    after: Callable[["Kube", str], None] | None = None
    """What controllers do once an object was applied."""

    def answer(self, method: str, url: str, headers: Any, body: bytes) -> tuple[int, dict[str, Any]]:
        path, query = urlsplit(url).path, parse_qs(urlsplit(url).query)
        if self.refuse is not None and self.refuse[0] == method:
            return self.refuse[1], {"kind": "Status", "message": "refused by the test"}
        if method == "GET":
            if path not in self.objects:
                return 404, {"kind": "Status", "message": "not found"}
            found = copy.deepcopy(self.objects[path])
            if "PartialObjectMetadata" in headers["Accept"]:
                found.pop("data", None)
            return 200, found
        assert headers["Content-Type"] == "application/apply-patch+yaml", headers
        assert query["fieldManager"] == ["orders-deploy"]
        merged = merge(self.objects.get(path, {"status": {}}), json.loads(body))
        before = self.objects.get(path, {}).get("metadata", {})
        merged["metadata"]["uid"] = before.get("uid", path)
        if query.get("dryRun") == ["All"]:
            return 200, merged
        merged["metadata"]["resourceVersion"] = str(len(self.applied) + 1)
        self.objects[path] = merged
        self.applied.append(path)
        if self.after is not None:
            self.after(self, path)
        return 200, merged


def merge(found: Any, wanted: Any) -> Any:
    """Merge maps by key and lists of named things by name; all else is replaced."""
    if isinstance(found, dict) and isinstance(wanted, dict):
        return copy.deepcopy(found) | {key: merge(found.get(key), value) for key, value in wanted.items()}
    if isinstance(found, list) and isinstance(wanted, list) and all(isinstance(each, dict) for each in wanted):
        by_name = {each.get("name"): each for each in found if isinstance(each, dict) and "name" in each}
        return [merge(by_name.get(each.get("name")), each) for each in wanted]
    return copy.deepcopy(wanted)


@contextmanager
def serving(kube: Kube, kubeconfig: Path) -> Iterator[None]:
    """Serve it, and write the kubeconfig that names it."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            status, told = kube.answer(self.command, self.path, self.headers, body)
            content = json.dumps(told).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_PATCH = _answer  # noqa: N815 - the names that the base class looks for

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    cluster = {"name": "c", "cluster": {"server": f"http://127.0.0.1:{server.server_port}"}}
    contexts = [{"name": CONTEXT, "context": {"cluster": "c", "user": "u"}}]
    users = [{"name": "u", "user": {"token": "a-token"}}]
    kubeconfig.write_text(
        yaml.safe_dump({"clusters": [cluster], "contexts": contexts, "users": users, "current-context": CONTEXT})
    )
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
