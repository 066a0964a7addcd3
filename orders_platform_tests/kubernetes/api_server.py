"""An API server on this machine that answers as Kubernetes' does, for what the backend asks.

Every write gets a new resourceVersion; a patch that names an old one gets 409; strategic merge patches
merge containers and variables by name and heed `$patch: delete`; a list names its version; a watch goes on from a
version, sends bookmarks, ends in time, and says 410 in an ERROR event where that version is compacted; a delete heeds
preconditions and grace periods; errors are Status objects. What happens to pods is for `nodes.py`.
"""

import copy
import json
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

Object = dict[str, Any]
STRATEGIC = "application/strategic-merge-patch+json"
TOKEN = "a-token-of-the-tests"
_MERGED_BY_NAME = ("containers", "env")
_BOOKMARK_S = 1.0


class Refused(Exception):
    """An answer that is an error."""

    def __init__(self, code: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.status = {
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": message, "reason": reason, "code": code,
        }  # fmt: skip


class Storage:
    """Every object with its version, and what changed in which order."""

    def __init__(self) -> None:
        self.lock = threading.Condition(threading.RLock())
        self._objects: dict[tuple[str, str], Object] = {}
        self._events: list[tuple[int, str, str, Object]] = []
        self._version = 100
        self._compacted = 0

    @property
    def version(self) -> int:
        return self._version

    def get(self, kind: str, name: str) -> Object:
        with self.lock:
            if (kind, name) not in self._objects:
                raise Refused(404, "NotFound", f'{kind} "{name}" not found')
            return copy.deepcopy(self._objects[kind, name])

    def all(self, kind: str) -> list[Object]:
        with self.lock:
            return [copy.deepcopy(item) for (its, _), item in sorted(self._objects.items()) if its == kind]

    def put(self, kind: str, made: Object) -> Object:
        """Create or replace an object; a spec that differs is a new generation."""
        with self.lock:
            before = self._objects.get((kind, made["metadata"]["name"]))
            if before is None:
                created = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
                made["metadata"] |= {"uid": str(uuid.uuid4()), "creationTimestamp": created, "generation": 1}
            elif before["spec"] != made["spec"]:
                made["metadata"]["generation"] += 1
            self._keep(kind, "ADDED" if before is None else "MODIFIED", made)
            return copy.deepcopy(made)

    def change(self, kind: str, name: str, change: Callable[[Object], None]) -> Object:
        with self.lock:
            found = self.get(kind, name)
            change(found)
            return self.put(kind, found)

    def remove(self, kind: str, name: str) -> None:
        with self.lock:
            gone = self._objects.pop((kind, name))
            self._keep(kind, "DELETED", gone)
            del self._objects[kind, name]

    def compact(self) -> None:
        """Forget what changed so far: who watches from before has to list again."""
        with self.lock:
            self._version += 1
            self._compacted = self._version
            self._events.clear()

    def since(self, kind: str, version: int) -> list[tuple[int, str, Object]]:
        if version < self._compacted:
            raise Refused(410, "Expired", f"too old resource version: {version} ({self._compacted})")
        return [(at, what, item) for at, its, what, item in self._events if its == kind and at > version]

    def _keep(self, kind: str, what: str, item: Object) -> None:
        self._version += 1
        item["metadata"]["resourceVersion"] = str(self._version)
        self._objects[kind, item["metadata"]["name"]] = copy.deepcopy(item)
        self._events.append((self._version, kind, what, copy.deepcopy(item)))
        self.lock.notify_all()


class ApiServer:
    """The server in a thread, and the faults that a test gives it."""

    def __init__(self, namespace: str) -> None:
        self.namespace = namespace
        self.storage = Storage()
        self.requests: list[tuple[str, str]] = []
        self.forbidden: set[tuple[str, str]] = set()
        self.answers: list[tuple[str, Callable[[], Refused | None]]] = []
        """Answers in waiting, by verb: given once, instead of what was asked; None breaks off after it was done."""
        self.away = False
        self.token = TOKEN
        self.watches = 0
        self._break = 0
        outer = self

        class Handler(_Handler):
            server_of = outer

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        self.address = f"http://127.0.0.1:{self._http.server_port}"
        threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def kubeconfig(self) -> str:
        """Return the file with which a client finds it."""
        context = {"cluster": "here", "user": "me", "namespace": self.namespace}
        return json.dumps(
            {
                "apiVersion": "v1", "kind": "Config", "current-context": "tests",
                "clusters": [{"name": "here", "cluster": {"server": self.address}}],
                "users": [{"name": "me", "user": {"token": TOKEN}}],
                "contexts": [{"name": "tests", "context": context}],
            }
        )  # fmt: skip

    def count(self, verb: str, resource: str) -> int:
        return self.requests.count((verb, resource))

    def drop_watches(self) -> None:
        """Break every watch off in the middle."""
        with self.storage.lock:
            self._break += 1
            self.storage.lock.notify_all()

    def close(self) -> None:
        self.away = True
        self.drop_watches()
        self._http.shutdown()
        self._http.server_close()

    def answer(self, verb: str, resource: str, name: str, query: dict[str, str], body: Object, kind: str) -> Object:
        """Do what is asked and return the answer.

        Raises:
            Refused: it is an error.
        """
        if verb == "patch":
            if kind != STRATEGIC:
                raise Refused(415, "UnsupportedMediaType", f"the body of the request was in an unknown format: {kind}")
            if not query.get("fieldManager"):
                raise Refused(400, "BadRequest", "this server wants to know who patches")
            return self._patch(resource, name, body)
        if verb == "get":
            return self.storage.get(resource, name)
        if verb == "delete":
            return self._delete(resource, name, body)
        with self.storage.lock:
            items = [item for item in self.storage.all(resource) if _selected(item, query.get("labelSelector", ""))]
            return {"kind": "List", "metadata": {"resourceVersion": str(self.storage.version)}, "items": items}

    def watch(self, resource: str, query: dict[str, str]) -> Iterator[Object | None]:
        """Yield events; None where the connection is to break."""
        self.watches += 1
        mine = self._break
        version = int(query["resourceVersion"])
        until_s = time.monotonic() + int(query.get("timeoutSeconds", "30"))
        while time.monotonic() < until_s:
            with self.storage.lock:
                try:
                    found = self.storage.since(resource, version)
                except Refused as refused:
                    yield {"type": "ERROR", "object": refused.status}
                    return
                if not found:
                    self.storage.lock.wait(_BOOKMARK_S)
                if self._break != mine:
                    yield None
                    return
            for version, what, item in found:  # noqa: B007 - where the next look goes on
                if _selected(item, query.get("labelSelector", "")):
                    yield {"type": what, "object": item}
            if not found and query.get("allowWatchBookmarks") == "true":
                yield {"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": str(version)}}}

    def _patch(self, resource: str, name: str, body: Object) -> Object:
        with self.storage.lock:
            found = self.storage.get(resource, name)
            wanted = body.get("metadata", {}).pop("resourceVersion", None)
            if wanted is not None and wanted != found["metadata"]["resourceVersion"]:
                message = f'Operation cannot be fulfilled on {resource} "{name}": the object has been modified'
                raise Refused(409, "Conflict", message)
            merged = _merged(found, body)
            return found if merged == found else self.storage.put(resource, merged)

    def _delete(self, resource: str, name: str, body: Object) -> Object:
        with self.storage.lock:
            found = self.storage.get(resource, name)
            if (uid := body.get("preconditions", {}).get("uid")) not in (None, found["metadata"]["uid"]):
                raise Refused(409, "Conflict", f"the UID in the precondition ({uid}) does not match")
            grace_s = body.get("gracePeriodSeconds", found["spec"].get("terminationGracePeriodSeconds", 30))
            if grace_s == 0:
                self.storage.remove(resource, name)
                return found
            return self.storage.change(resource, name, lambda pod: terminate(pod, grace_s))


def terminate(pod: Object, grace_s: int) -> None:
    """Mark a pod as being ended; a second time changes nothing."""
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    pod["metadata"].setdefault("deletionTimestamp", now)
    pod["metadata"].setdefault("deletionGracePeriodSeconds", grace_s)


def _merged(found: Any, patch: Any) -> Any:
    """Return a strategic merge of what deployments hold."""
    merged = copy.deepcopy(found)
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        elif isinstance(value, dict) and isinstance(merged.get(key), dict):
            merged[key] = _merged(merged[key], value)
        elif key in _MERGED_BY_NAME and isinstance(merged.get(key), list):
            merged[key] = _merged_by_name(merged[key], value)
        else:
            merged[key] = (
                [each for each in value if each.get("$patch") != "delete"] if key in _MERGED_BY_NAME else value
            )
    return merged


def _merged_by_name(found: list[Object], patch: Any) -> list[Object]:
    merged = {item["name"]: item for item in found}
    for item in patch:
        if item.get("$patch") == "delete":
            merged.pop(item["name"], None)
        else:
            merged[item["name"]] = _merged(merged.get(item["name"], {}), item)
    return list(merged.values())


def _selected(item: Object, selector: str) -> bool:
    labels = item["metadata"].get("labels", {})
    return all(
        labels.get(name) == value for name, _, value in (part.partition("=") for part in selector.split(",") if part)
    )


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_of: ApiServer

    def do_GET(self) -> None:
        self._serve("get")

    def do_PATCH(self) -> None:
        self._serve("patch")

    def do_DELETE(self) -> None:
        self._serve("delete")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - http.server's name
        """Say nothing: requests are counted."""

    def _serve(self, verb: str) -> None:
        server = self.server_of
        if server.away:
            self.close_connection = True
            return
        parts = urlsplit(self.path)
        query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or b"{}")
        where = parts.path.strip("/").split("/")
        where = where[where.index("namespaces") + 1 :]
        resource, name = where[1], where[2] if len(where) > 2 else ""
        if verb == "get" and not name:
            verb = "watch" if query.get("watch") == "true" else "list"
        server.requests.append((verb, resource))
        try:
            self._check(verb, resource, where[0])
            after = self._answer_in_waiting(verb)
            if verb == "watch":
                self._stream(server.watch(resource, query))
                return
            answer = server.answer(verb, resource, name, query, body, self.headers.get("Content-Type", ""))
            if after:
                self.close_connection = True  # done, and nobody will ever hear
                return
            self._send(200, answer)
        except Refused as refused:
            self._send(refused.status["code"], refused.status)

    def _check(self, verb: str, resource: str, namespace: str) -> None:
        server = self.server_of
        if self.headers.get("Authorization") != f"Bearer {server.token}":
            raise Refused(401, "Unauthorized", "Unauthorized")
        if (verb, resource) in server.forbidden:
            message = f'{resource} is forbidden: User "me" cannot {verb} resource "{resource}"'
            raise Refused(403, "Forbidden", message)
        if namespace != server.namespace:
            raise Refused(404, "NotFound", f'namespaces "{namespace}" not found')

    def _answer_in_waiting(self, verb: str) -> bool:
        for answer in self.server_of.answers:
            if answer[0] == verb:
                self.server_of.answers.remove(answer)
                if (refused := answer[1]()) is not None:
                    raise refused
                return True
        return False

    def _send(self, code: int, answer: Object) -> None:
        data = json.dumps(answer).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _stream(self, events: Iterator[Object | None]) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        try:
            for event in events:
                if event is None:
                    self.close_connection = True
                    return
                data = json.dumps(event).encode() + b"\n"
                self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
                self.wfile.flush()
            self.wfile.write(b"0\r\n\r\n")
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True
