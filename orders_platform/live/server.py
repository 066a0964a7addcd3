"""The live page's server: the page, its stream of numbers, an order's story, JSON, metrics, health. It only reads.

Nobody logs in, so it listens on the loopback interface, and takes requests for this machine's names alone: a page from
elsewhere that lets its own name point here gets nothing.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import msgspec
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from orders_platform.errors import OrdersError, StackError, StoreError
from orders_platform.live import story
from orders_platform.live.metrics import NumbersCollector
from orders_platform.live.numbers import Counted, Numbers
from orders_platform.live.watching import STALE_AFTER_S, State, Watching
from orders_platform.reports.money import digits_of
from orders_platform.settings import Settings
from orders_platform.supervision import dagster_home
from orders_platform.supervision.status import gather
from orders_platform.times import format_ms

STATIC = Path(__file__).with_name("static")
EVERY_S = 1.0
HEALTH_KEPT_S = 2.0
_HEADERS = {
    b"content-security-policy": b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    b"connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    b"x-content-type-options": b"nosniff",
    b"referrer-policy": b"no-referrer",
    b"cross-origin-resource-policy": b"same-origin",
    b"cache-control": b"no-store",
}


class Headers:
    """Adds the headers that keep a page from being used by others."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, with the headers."""

        async def told(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *_HEADERS.items()]
            await send(message)

        await self._app(scope, receive, told)


class Live:
    """The server's answers."""

    def __init__(self, settings: Settings, watching: Watching) -> None:
        self._settings, self._watching = settings, watching
        self._registry = CollectorRegistry()
        self._registry.register(NumbersCollector(watching.metrics))
        self._health: tuple[float, bool, dict[str, Any]] | None = None
        self._asking = asyncio.Lock()

    def app(self) -> Starlette:
        """Return the application; it looks on for as long as it runs."""

        @asynccontextmanager
        async def lifespan(_app: Starlette) -> AsyncIterator[None]:
            self._watching.start()
            yield
            self._watching.stop()

        return Starlette(
            routes=[
                Route("/", self._page),
                Route("/events", self._events),
                Route("/api/numbers.json", self._numbers),
                Route("/api/order.json", self._order),
                Route("/metrics", self._metrics),
                Route("/healthz", self._healthz),
                Mount("/static", StaticFiles(directory=STATIC)),
            ],
            middleware=[
                Middleware(Headers),
                Middleware(TrustedHostMiddleware, allowed_hosts=["127.0.0.1", "localhost"]),
            ],
            lifespan=lifespan,
        )

    async def _page(self, _request: Request) -> Response:
        return FileResponse(STATIC / "live.html")

    async def _numbers(self, _request: Request) -> Response:
        return Response(self._told(), media_type="application/json")

    async def _events(self, request: Request) -> Response:
        async def stream() -> AsyncIterator[bytes]:
            while not await request.is_disconnected():
                yield b"data: " + self._told() + b"\n\n"
                await asyncio.sleep(EVERY_S)

        return StreamingResponse(stream(), media_type="text/event-stream")

    async def _order(self, request: Request) -> Response:
        order_id = request.query_params.get("id", "")

        def read() -> dict[str, Any]:
            with closing(self._watching.store()) as store:
                return story.as_json(story.trace(store, self._settings, order_id))

        try:
            return JSONResponse(await run_in_threadpool(read))
        except (StoreError, StackError) as error:
            return JSONResponse({"error": error.what, "fix": error.fix}, 503)
        except OrdersError as error:
            return JSONResponse({"error": error.what, "fix": error.fix}, 404)

    async def _metrics(self, request: Request) -> Response:
        encoder, media_type = choose_encoder(request.headers.get("accept", ""))
        return Response(encoder(self._registry), headers={"content-type": media_type})

    async def _healthz(self, _request: Request) -> Response:
        """Say what `orders status` says: 200 where its exit status is 0, else 503."""
        async with self._asking:
            if self._health is None or self._health[0] < time.monotonic() - HEALTH_KEPT_S:
                status = await run_in_threadpool(gather, self._settings)
                self._health = (time.monotonic(), status.healthy(), msgspec.to_builtins(status))
        _, healthy, told = self._health
        return JSONResponse(told, 200 if healthy else 503)

    def _told(self) -> bytes:
        return msgspec.json.encode(
            as_keys(self._watching.state, self._watching.stale_s(), dagster_home.url(self._settings.home))
        )


def as_keys(state: State, stale_s: float | None, dagster: str | None) -> dict[str, Any]:
    """Return the state in the keys of `/api/numbers.json`: times are RFC 3339, amounts in minor units."""
    numbers = state.numbers
    told: dict[str, Any] = {
        "stale": stale_s is None or stale_s > STALE_AFTER_S,
        "stale_s": None if stale_s is None else round(stale_s, 1),
        "trouble": state.trouble,
        "day": state.day,
        "dagster": dagster,
        "at": None,
        "matcher": None,
        "rates": None,
    }
    if numbers is None:
        return told
    counted = numbers.counted
    told |= {"at": format_ms(numbers.at_ms), "rates": msgspec.to_builtins(numbers.rates)}
    if counted.at_ms:
        told |= _counted_keys(numbers, counted)
    if (beat := numbers.heartbeat) is not None:
        told["matcher"] = {
            "state": beat.state,
            "epoch": beat.epoch,
            "silent_ms": numbers.silent_ms,
            "behind": beat.events_behind,
            "batch_id": beat.batch_id,
            "last_batch_ms": beat.last.get("duration_ms"),
            "last_commit_at": None if beat.committed_at_ms is None else format_ms(beat.committed_at_ms),
            "started_at": format_ms(beat.started_at_ms),
            "messages": beat.counts.get("messages", 0),
            "dead_letters": beat.counts.get("dead_letters", 0),
            "failure": beat.failure,
        }
    return told


def _counted_keys(numbers: Numbers, counted: Counted) -> dict[str, Any]:
    """Return the keys of what is counted; they are absent until it was, as nothing and unknown are not the same."""
    return {
        "counted_at": format_ms(counted.at_ms),
        "counted_age_s": round((numbers.at_ms - counted.at_ms) / 1000, 1),
        "count_took_ms": counted.took_ms,
        "orders": counted.statuses,
        "matched_minor": counted.matched_minor(),
        "at_risk_minor": counted.at_risk_minor(),
        "at_risk": counted.at_risk,
        "dead_letters": counted.dead_letters,
        "restarts": counted.restarts,
        "minutes": [row | {"minute": format_ms(row["minute"])} for row in counted.minutes],
        "digits": {row["currency"]: digits_of(row["currency"]) for row in counted.statuses if row["currency"]},
        "newest_breaks": [
            {name: value for name, value in msgspec.to_builtins(each).items() if name != "updated_at_ms"}
            | {"updated_at": format_ms(each.updated_at_ms)}
            for each in counted.newest_breaks
        ],
    }
