"""A stored shop, the live page's server over it as a process of its own, and a browser: one of each a module."""

import json
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from orders_platform.local import chromium
from orders_platform.store import schema
from orders_platform.store.client import Store, connect
from orders_platform_tests.conftest import RunningStack
from orders_platform_tests.live.serving import Server
from orders_platform_tests.live.shop import Shop, Topics, adverse, message, zone_of_noon

PATIENCE_MS = 20_000
ORDERS, ADVERSE = 300, 150
Visit = Callable[..., Page]
BARE: dict[str, Any] = {
    "at": "2026-01-05T10:00:00.000Z",
    "stale": False,
    "trouble": "",
    "matcher": None,
    **{key: [] for key in ("orders", "at_risk", "newest_breaks")},
    **{key: {} for key in ("digits", "rates", "matched_minor", "at_risk_minor")},
}
"""What the page's server tells when nothing is stored."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as playwright:
        program = chromium.find_chromium()
        browser = playwright.chromium.launch(executable_path=program, args=list(chromium.OPTIONS))
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def mongo_uri(stack: RunningStack) -> str:
    return stack.mongo_uri


@pytest.fixture(scope="module")
def live_store(mongo_uri: str) -> Iterator[Store]:
    """A migrated store that the module's tests share."""
    store = connect(mongo_uri, f"live_{secrets.token_hex(6)}")
    schema.migrate(store)
    yield store
    store.client.drop_database(store.database.name)
    store.close()


@pytest.fixture(scope="module")
def live_topics(stack: RunningStack) -> Topics:
    """Topics that the module's tests share."""
    return Topics(stack.bootstrap_servers, f"live-{secrets.token_hex(6)}")


@pytest.fixture(scope="module")
def shop(live_store: Store, live_topics: Topics) -> Shop:
    of_no_and_three_digits = [
        message(kind, f"o-{currency}", amount_minor=12_345, currency=currency, payment_id="p")
        for currency in ("JPY", "KWD")
        for kind in ("order_placed", "payment_captured")
    ]
    before = [*adverse(ADVERSE), *of_no_and_three_digits]
    made = Shop(live_store, live_topics, ORDERS, zone_of_noon(), before=before)
    made.close_yesterday()
    return made


@pytest.fixture(scope="module")
def server(shop: Shop, mongo_uri: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    home: Path = tmp_path_factory.mktemp("live")
    made = Server(home, **shop.settings(mongo_uri))
    made.start()
    yield made
    made.stop()


@pytest.fixture
def serve(
    stack: RunningStack, database: tuple[str, str], topics: tuple[str, str, str], tmp_path: Path
) -> Iterator[Callable[..., Server]]:
    """Starts servers over the test's own database and topics; settings are given as variables."""
    made: list[Server] = []

    def start(**variables: str) -> Server:
        uri, name = database
        given = {"ORDERS_MONGO__URI": uri, "ORDERS_MONGO__DATABASE": name}
        given |= Topics(stack.bootstrap_servers, topics[0].removesuffix("-orders")).settings() | variables
        made.append(Server(tmp_path / f"home-{len(made)}", **given))
        made[-1].start()
        made[-1].until(lambda: made[-1].numbers()["at"] is not None)
        return made[-1]

    yield start
    for server in made:
        server.stop()


class Visitor:
    """Opens the page. Whatever it does meanwhile, it asks nobody else, and nothing goes wrong in it: what does is kept
    in `problems`."""

    def __init__(self, browser: Browser, url: str) -> None:
        self._browser, self._url = browser, url
        self.problems: list[str] = []

    def open(self, address: str, expected: str | None, **options: Any) -> Page:
        """Open an address in a context of its own; `expected` is a part of the messages that are no problem."""

        def trouble(text: str) -> None:
            if expected is None or expected not in text:
                self.problems.append(text)

        page = self._browser.new_context(**options).new_page()
        page.on("console", lambda said: trouble(said.text) if said.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: trouble(str(error)))
        page.on("request", lambda asked: None if asked.url.startswith((self._url, "data:")) else trouble(asked.url))
        page.goto(f"{self._url}{address}")
        return page


@pytest.fixture(scope="module")
def visitor(browser: Browser, server: Server) -> Visitor:
    return Visitor(browser, server.url)


@pytest.fixture
def visit(visitor: Visitor, shop: Shop) -> Iterator[Visit]:
    """Opens the page for this test alone."""
    opened: list[Page] = []
    shop.beat()

    def visit(address: str = "/", *, expected: str | None = None, **options: Any) -> Page:
        opened.append(visitor.open(address, expected, **options))
        return opened[-1]

    yield visit
    for page in opened:
        page.context.close()
    problems, visitor.problems = visitor.problems, []
    assert problems == []


def told(visit: Visit, *documents: object, **options: Any) -> Page:
    """Open the page of a server that tells these documents at once, again and again."""
    page = visit(**options)
    body = "".join(f"data: {json.dumps(each)}\n\n" for each in documents)
    page.route("**/events", lambda route: route.fulfill(content_type="text/event-stream", body=body))
    page.reload()
    return page


@pytest.fixture(scope="module")
def shared_page(visitor: Visitor) -> Page:
    return visitor.open("/", None)


@pytest.fixture
def page(shared_page: Page, visit: Visit) -> Page:
    """The page with figures in it, which the module's tests share: no story is open, and nobody is in a list."""
    assert visit is not None  # it looks for problems afterwards
    shared_page.evaluate("location.hash = ''")
    expect(shared_page.locator("dialog")).to_be_hidden()
    shared_page.evaluate("document.activeElement.blur()")  # where closing it had put the focus
    shared_page.mouse.move(0, 0)
    expect(shared_page.locator("#word")).to_have_text("matching")
    return shared_page
