"""A webhook's receiver on this machine, and the two shapes that it takes, as strictly as they are promised."""

import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

PATH = "/services/T0/B0/canary-in-the-path"
Hex = Annotated[str, Meta(pattern=r"^[0-9a-f]{16}(-over)?$")]
Time = Annotated[str, Meta(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")]
Line = Annotated[str, Meta(pattern=r"^[^\x00-\x1f\x7f]*$")]


class Alert(msgspec.Struct, forbid_unknown_fields=True):
    id: Hex
    state: Literal["began", "over"]
    kind: Literal["check_failed", "breaker_open", "statement_late", "run_failed"]
    key: Annotated[str, Meta(min_length=1)]
    at: Time
    title: Annotated[str, Meta(min_length=1, max_length=120)]
    text: Annotated[Line, Meta(max_length=320)]
    fix: Annotated[Line, Meta(max_length=120)]


class Plain(msgspec.Struct, forbid_unknown_fields=True):
    version: Literal[1]
    source: Annotated[str, Meta(min_length=1)]
    sent_at: Time
    alerts: Annotated[list[Alert], Meta(min_length=1, max_length=40)]


class Text(msgspec.Struct, forbid_unknown_fields=True):
    type: Literal["mrkdwn"]
    # Of & only what escapes, and no bare angle bracket: Slack would make links and calls of them.
    text: Annotated[str, Meta(pattern=r"^([^&<>]|&amp;|&lt;|&gt;)+$", max_length=3000)]


class Section(msgspec.Struct, forbid_unknown_fields=True, tag="section"):
    text: Text


class Context(msgspec.Struct, forbid_unknown_fields=True, tag="context"):
    elements: Annotated[list[Text], Meta(min_length=1, max_length=10)]


class Slack(msgspec.Struct, forbid_unknown_fields=True):
    text: Annotated[str, Meta(pattern=r"^([^&<>]|&amp;|&lt;|&gt;)+$", max_length=3000)]
    blocks: Annotated[list[Section | Context], Meta(min_length=1, max_length=50)]


class Receiver:
    """What came, and what is answered: `status` and `headers` from now on, or nothing while `hang` or `drip`."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.paths: list[str] = []
        self.status, self.headers = 200, dict[str, str]()
        self.hang = self.drip = False
        self.closing = threading.Event()
        self.url = ""

    def plain(self) -> list[Alert]:
        """Return all alerts that came as JSON."""
        return [alert for body in self.bodies for alert in msgspec.json.decode(body, type=Plain).alerts]

    def slack(self) -> list[Slack]:
        return [msgspec.json.decode(body, type=Slack) for body in self.bodies]

    def titles(self) -> list[str]:
        """Return what came since the last call, in JSON's shape."""
        found = [f"{alert.state}: {alert.title}" for alert in self.plain()]
        self.bodies.clear()
        return found

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        body = request.rfile.read(int(request.headers["Content-Length"]))
        assert request.headers["Content-Type"] == "application/json; charset=utf-8"
        json.loads(body)
        self.paths.append(request.path)
        if self.hang:
            self.closing.wait(60)
        if self.drip:
            while not self.closing.wait(0.05):
                request.wfile.write(b"H")
        if 200 <= self.status < 300:
            self.bodies.append(body)
        request.send_response(self.status)
        for name, value in self.headers.items():
            request.send_header(name, value)
        request.send_header("Content-Length", "0")
        request.end_headers()


@contextmanager
def receiving(port: int = 0, tls: ssl.SSLContext | None = None) -> Iterator[Receiver]:
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            receiver.answer(self)

        def do_GET(self) -> None:  # what a followed redirect would be
            receiver.paths.append(f"GET {self.path}")

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  the library's name
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: Any, client_address: Any) -> None:
            """Those who gave up waiting are no error of ours."""

    server = Server(("127.0.0.1", port), Handler)
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    receiver.url = f"http{'s' if tls else ''}://127.0.0.1:{server.server_port}{PATH}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield receiver
    finally:
        receiver.closing.set()
        server.shutdown()
        server.server_close()
        thread.join()
