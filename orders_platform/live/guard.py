"""Who gets what of the live page: it has no accounts, so where a request comes from decides."""

from ipaddress import ip_address
from urllib.parse import urlsplit

from starlette.datastructures import Headers as Received
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

OPEN = frozenset({"/metrics"})
"""What anybody gets who can reach the server: it holds no order and no person, no process and no failure's text."""
_REFUSAL = (
    "This is for the machine that it runs on, by its names 127.0.0.1 and localhost. "
    "Forward a port to it, or put a proxy there that signs people in and sends `Host: localhost`, with its port.\n"
)
_HERE = frozenset({"127.0.0.1", "localhost", "[::1]"})


class Gate:
    """Lets this machine see everything, by its own names alone: a page from elsewhere that lets its own name point here
    gets nothing. Others get what is `OPEN`."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, or refuse."""
        if scope["type"] != "http" or _may(scope):
            await self._app(scope, receive, send)
            return
        await PlainTextResponse(_REFUSAL, 403)(scope, receive, send)


def _may(scope: Scope) -> bool:
    client = scope["client"]
    if client is not None and ip_address(client[0]).is_loopback:
        host = Received(scope=scope).get("host", "")
        return host.rpartition(":")[0] in _HERE or host in _HERE
    return scope["path"] in OPEN


class Headers:
    """Adds the headers that keep a page from being used by others. `frame` is the address of what it may embed."""

    def __init__(self, app: ASGIApp, frame: str | None = None) -> None:
        self._app = app
        embedded = "'none'" if frame is None else "https://" + urlsplit(frame).netloc
        policy = (
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
            f"frame-src {embedded}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        )
        self._added = {
            b"content-security-policy": policy.encode(),
            b"x-content-type-options": b"nosniff",
            b"referrer-policy": b"no-referrer",
            b"cross-origin-resource-policy": b"same-origin",
            b"cache-control": b"no-store",
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, with the headers."""

        async def told(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *self._added.items()]
            await send(message)

        await self._app(scope, receive, told)
