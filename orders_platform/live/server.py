"""The live page's server: the page, its stream of numbers, an order's story, JSON, metrics, health. It only reads."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import msgspec
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from orders_platform.errors import OrdersError, UnknownOrder
from orders_platform.live import story
from orders_platform.live.guard import Gate, Headers
from orders_platform.live.metrics import NumbersCollector
from orders_platform.live.numbers import Numbers
from orders_platform.live.watching import STALE_AFTER_S, State, Watching
from orders_platform.local import prometheus
from orders_platform.reports.money import digits_of
from orders_platform.settings import Settings
from orders_platform.supervision import dagster_home
from orders_platform.supervision.status import gather
from orders_platform.times import format_ms

STATIC = Path(__file__).with_name("static")
EVERY_S = 1.0
HEALTH_KEPT_S = 2.0


class Live:
    """The server's answers."""

    def __init__(self, settings: Settings, watching: Watching) -> None:
        self._settings, self._watching = settings, watching
        self._registry = CollectorRegistry()
        self._registry.register(NumbersCollector(watching.metrics))
        self.is_ending: Callable[[], bool] = lambda: False
        """Says whether the server is about to end, and with it all streams."""
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
                Middleware(Headers, frame=self._settings.live.charts_url),
                Middleware(Gate),
            ],
            lifespan=lifespan,
        )

    async def _page(self, _request: Request) -> Response:
        return FileResponse(STATIC / "live.html")

    async def _numbers(self, _request: Request) -> Response:
        return Response(self._told(), media_type="application/json")

    async def _events(self, request: Request) -> Response:
        async def stream() -> AsyncIterator[bytes]:
            while not self.is_ending() and not await request.is_disconnected():
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
        except OrdersError as error:
            status = 404 if isinstance(error, UnknownOrder) else 503
            return JSONResponse({"error": error.what, "fix": error.fix}, status)

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
        settings = self._settings
        links = {
            "dagster": dagster_home.SERVER.url(settings.home),
            "prometheus": prometheus.SERVER.url(settings.home),
            "charts": settings.live.charts_url,
        }
        return msgspec.json.encode(links | as_keys(self._watching.state, self._watching.stale_s()))


def as_keys(state: State, stale_s: float | None) -> dict[str, Any]:
    """Return the state in the keys of `/api/numbers.json`: times are RFC 3339, amounts in minor units.

    A key is absent until it was looked at: nothing and unknown are not the same.
    """
    numbers = state.numbers
    told: dict[str, Any] = {
        "stale": stale_s is None or stale_s > STALE_AFTER_S,
        "stale_s": None if stale_s is None else round(stale_s, 1),
        "trouble": state.trouble(),
        "at": None,
        "matcher": None,
    }
    if state.day_looked:
        told["day"] = state.day
    if numbers is None:
        return told
    told |= {
        "at": format_ms(numbers.at_ms),
        "digits": _digits(numbers, state.day),
        "rates": msgspec.to_builtins(numbers.rates),
        "orders": numbers.orders,
        "matched_minor": numbers.matched_minor(),
        "at_risk_minor": numbers.at_risk_minor(),
        "at_risk": numbers.at_risk,
        "newest_breaks": [_with_time(msgspec.to_builtins(each), "broke_at") for each in numbers.newest_breaks],
    }
    if numbers.counted.at_ms:
        told |= {
            "counted_at": format_ms(numbers.counted.at_ms),
            "dead_letters": numbers.counted.dead_letters,
            "restarts": numbers.counted.restarts,
            "minutes": [row | {"minute": format_ms(row["minute"])} for row in numbers.counted.minutes],
        }
    if (beat := numbers.heartbeat) is not None:
        told["matcher"] = {
            "state": beat.state,
            "epoch": beat.epoch,
            "silent_ms": numbers.silent_ms,
            "wanted": numbers.wanted,
            "behind": state.behind,
            "batch_id": beat.batch_id,
            "last_batch_ms": beat.last.get("duration_ms"),
            "last_commit_at": None if beat.committed_at_ms is None else format_ms(beat.committed_at_ms),
            "started_at": format_ms(beat.started_at_ms),
            "messages": beat.counts.get("messages", 0),
            "dead_letters": beat.counts.get("dead_letters", 0),
            "failure": beat.failure,
        }
    return told


def _digits(numbers: Numbers, day: Mapping[str, Any] | None) -> dict[str, int]:
    """Return how many digits the minor unit has of each currency that is shown."""
    currencies = {row["currency"] for row in (*numbers.orders, *numbers.at_risk) if row["currency"]}
    currencies |= set() if day is None else day["currencies"].keys()
    return {currency: digits_of(currency) for currency in sorted(currencies)}


def _with_time(fields: dict[str, Any], name: str) -> dict[str, Any]:
    return fields | {name: format_ms(fields.pop(f"{name}_ms"))}
