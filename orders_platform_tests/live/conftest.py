"""A stored shop, the live page's server over it as a process of its own, and a browser: one of each a module."""

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
from orders_platform_tests.live.shop import Shop, zone_of_noon

PATIENCE_MS = 20_000
ORDERS = 400
Visit = Callable[..., Page]


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
def shop(live_store: Store, stack: RunningStack) -> Shop:
    made = Shop(live_store, ORDERS, zone_of_noon())
    made.close_yesterday(stack.bootstrap_servers)
    return made


@pytest.fixture(scope="module")
def server(shop: Shop, mongo_uri: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    home: Path = tmp_path_factory.mktemp("live")
    made = Server(home, mongo_uri, shop.store.database.name, shop.zone)
    made.start()
    yield made
    made.stop()


@pytest.fixture
def visit(browser: Browser, server: Server, shop: Shop) -> Iterator[Visit]:
    """Opens the page. Whatever it does meanwhile, it asks nobody else, and nothing goes wrong in it but what the test
    expects, a part of a message."""
    contexts, problems = [], list[str]()
    shop.beat()

    def open_page(address: str = "/", *, expected: str | None = None, **options: Any) -> Page:
        def trouble(text: str) -> None:
            if expected is None or expected not in text:
                problems.append(text)

        context = browser.new_context(**options)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda said: trouble(said.text) if said.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: trouble(str(error)))
        page.on("request", lambda asked: None if asked.url.startswith((server.url, "data:")) else trouble(asked.url))
        page.goto(f"{server.url}{address}")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert problems == []


@pytest.fixture
def page(visit: Visit) -> Page:
    """The page, with figures in it."""
    page = visit()
    expect(page.locator("#word")).to_have_text("matching")
    return page
