"""Who gets what of the live page."""

import asyncio
from typing import Any

import pytest
from starlette.responses import PlainTextResponse
from starlette.types import Message

from orders_platform.live.guard import Gate, Headers


def answer(app: Any, path: str, client: str, host: str | None) -> tuple[int, dict[str, str]]:
    """Return status and headers of one request."""
    sent: list[Message] = []
    headers = [] if host is None else [(b"host", host.encode())]
    scope = {"type": "http", "method": "GET", "path": path, "headers": headers, "client": (client, 4711)}

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        sent.append(message)

    asyncio.run(app(scope, receive, send))
    return sent[0]["status"], {name.decode(): value.decode() for name, value in sent[0]["headers"]}


@pytest.mark.parametrize(
    ("path", "client", "host", "status"),
    [
        ("/", "127.0.0.1", "127.0.0.1:4000", 200),
        ("/", "127.0.0.1", "localhost:4000", 200),
        ("/", "127.0.0.1", "localhost", 200),
        ("/", "::1", "[::1]:4000", 200),
        ("/api/order.json", "127.0.0.1", "evil.example:4000", 403),
        ("/api/order.json", "127.0.0.1", "127.0.0.1.evil.example:4000", 403),
        ("/metrics", "127.0.0.1", "evil.example", 403),
        ("/", "127.0.0.1", None, 403),
        ("/", "127.0.0.1", "", 403),
        ("/metrics", "10.1.2.3", "10.9.8.7:4000", 200),
        ("/healthz", "10.1.2.3", "orders-live.orders:4000", 403),
        ("/", "10.1.2.3", "localhost:4000", 403),
        ("/api/numbers.json", "10.1.2.3", "127.0.0.1:4000", 403),
        ("/metrics/../api/order.json", "10.1.2.3", "127.0.0.1:4000", 403),
    ],
)
def test_this_machine_sees_all_by_its_own_names_and_others_the_metrics(
    path: str, client: str, host: str | None, status: int
) -> None:
    assert answer(Gate(PlainTextResponse("all of it")), path, client, host)[0] == status


def test_a_page_may_embed_what_the_settings_name_and_nothing_else() -> None:
    _, bare = answer(Headers(PlainTextResponse("")), "/", "127.0.0.1", "localhost")
    assert "frame-src 'none';" in bare["content-security-policy"]
    assert "default-src 'none'" in bare["content-security-policy"]
    charts = "https://charts.mongodb.com/charts-shop/embed/dashboards?id=1"
    _, embedding = answer(Headers(PlainTextResponse(""), charts), "/", "127.0.0.1", "localhost")
    assert "frame-src https://charts.mongodb.com;" in embedding["content-security-policy"]
    assert bare["cache-control"] == "no-store"
