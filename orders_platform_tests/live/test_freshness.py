"""The page while things behind it come and go: it says what is wrong, how old its figures are, and comes back alone."""

import re
import signal
from collections.abc import Iterator
from typing import Any

import psutil
import pytest
from bson.datetime_ms import DatetimeMS
from playwright.sync_api import Page, Route, expect

from orders_platform.local import mongod
from orders_platform_tests.live.conftest import BARE, Visit, told
from orders_platform_tests.live.reading import hide, shows_all_of, until
from orders_platform_tests.live.serving import Server
from orders_platform_tests.live.shop import MINUTE_MS, Shop, message, now_ms

pytestmark = pytest.mark.services
LOST = "net::ERR"  # what the browser says of a server that is gone


@pytest.fixture(scope="module")
def own_mongod(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, psutil.Process]]:
    """A mongod that nobody misses while it stands still."""
    home = tmp_path_factory.mktemp("mongo")
    process = mongod.start(home)
    yield mongod.uri(home), psutil.Process(process.pid)
    mongod.stop(home)


@pytest.fixture(scope="module")
def mongo_uri(own_mongod: tuple[str, psutil.Process]) -> str:
    return own_mongod[0]


def is_old(page: Page) -> None:
    """Nobody could take these figures for those of now."""
    expect(page.locator("#word")).to_have_text("out of date")
    expect(page.locator("#sentence")).to_contain_text("The figures are those of ")
    expect(page.locator("body")).to_have_attribute("data-kind", "bad")
    expect(page).to_have_title("out of date · orders-platform live")
    soft = page.evaluate("getComputedStyle(document.querySelector('#money_note, dt')).color")
    for figure in ("#stored", "#money td:last-child", "#statuses td:last-child", "#breaks td:nth-child(2)"):
        assert page.locator(figure).first.evaluate("figure => getComputedStyle(figure).color") == soft


def is_fresh(page: Page) -> None:
    expect(page.locator("#word")).to_have_text("matching")
    expect(page.locator("#as_of")).to_have_text(re.compile(r", [0-2] s ago\.$"))
    expect(page.locator("body")).not_to_have_class("old")


def age_s(page: Page) -> int:
    text = page.locator("#as_of").text_content() or ""
    return int(text.rpartition(", ")[2].split()[0])


def test_a_server_that_dies_leaves_old_figures_and_one_that_returns_new_ones(
    visit: Visit, server: Server, shop: Shop
) -> None:
    # The first test of these: the page that others share would complain of it.
    page = visit(expected=LOST)
    page.evaluate("window.isTheSame = true")
    is_fresh(page)
    shows_all_of(page, shop.store)
    shown = page.locator("#stored").text_content()
    server.stop(signal.SIGKILL)
    is_old(page)
    expect(page.locator("#sentence")).to_contain_text("This page's server does not answer.")
    before_s = age_s(page)
    assert before_s >= 3
    until(page, lambda: age_s(page) > before_s, True)
    assert page.locator("#stored").text_content() == shown
    shop.take([message("order_placed", "o-meanwhile", amount_minor=100)])
    server.start()
    shop.beat()
    is_fresh(page)
    shows_all_of(page, shop.store)
    assert page.evaluate("window.isTheSame")


HEARTBEATS: dict[str, tuple[dict[str, Any], str, str]] = {
    "starting": ({"state": "starting"}, "starting", "wait"),
    "stopped": ({"state": "stopped"}, "stopped", "wait"),
    "failed": ({"state": "failed", "failure": "Kafka <b>refused</b>"}, "failed", "bad"),
    "silent": ({"alive_at": DatetimeMS(0)}, "silent", "bad"),
    "busy": ({"committed_at": DatetimeMS(0)}, "matching", "good"),
}


def test_one_glance_tells_how_the_matcher_is(page: Page, shop: Shop) -> None:
    shop.take([message("order_placed", "o-glance", amount_minor=100)])
    its = shop.store.matcher.find_one({"_id": "heartbeat"})
    assert its is not None
    for fields, word, kind in HEARTBEATS.values():
        alive = {"alive_at": DatetimeMS(now_ms() + MINUTE_MS)}  # for as long as we look
        shop.store.matcher.replace_one({"_id": "heartbeat"}, its | alive | fields)
        expect(page.locator("#word")).to_have_text(word)
        expect(page.locator("body")).to_have_attribute("data-kind", kind)
        if word == "failed":
            expect(page.locator("#sentence")).to_have_text("The matcher failed: Kafka <b>refused</b>")
    shop.store.matcher.replace_one({"_id": "heartbeat"}, its)
    shop.beat()
    is_fresh(page)


def test_messages_that_no_batch_comes_for_are_told_with_patience(page: Page, shop: Shop) -> None:
    shop.fall_behind(5)
    shop.beat()
    expect(page.locator("#behind")).to_have_text("5")
    words = page.evaluate(VERDICTS)
    shop.catch_up()
    expect(page.locator("#behind")).to_have_text("0")
    assert words == {"at once": "matching", "11 s": "waiting", "61 s": "stalled", "61 s, a batch": "matching"}


# The minute would be long: the server's own document, with later times.
VERDICTS = """async () => {
  const { verdict } = await import("/static/verdict.js?alone");
  const now = await (await fetch("/api/numbers.json")).json();
  const word = (afterMs, batch) => {
    const at = new Date(Date.parse(now.at) + afterMs).toISOString(), matcher = { ...now.matcher, batch_id: batch };
    return verdict({ ...now, stale: false, rates: {}, at, matcher }, "heard").word;
  };
  return { "at once": word(0, 1), "11 s": word(11e3, 1), "61 s": word(61e3, 1), "61 s, a batch": word(61e3, 2) };
}"""


def test_messages_that_wait_for_long_are_catching_up(page: Page, shop: Shop) -> None:
    shop.fall_behind(500)
    for _ in range(3):
        shop.take([message("order_placed", f"o-late-{now_ms()}", amount_minor=100)], waited_ms=2 * MINUTE_MS)
        page.wait_for_timeout(500)
    expect(page.locator("#behind")).to_have_text("497")
    expect(page.locator("#behind_note")).to_contain_text("at this pace")
    expect(page.locator("#word")).to_have_text("catching up")
    shop.catch_up()
    expect(page.locator("#behind")).to_have_text("0")


def test_a_hidden_tab_asks_for_nothing(visit: Visit, shop: Shop) -> None:
    page = visit()
    is_fresh(page)
    hide(page, True)
    expect(page).to_have_title("paused · orders-platform live")
    shown = page.locator("#as_of").text_content()
    shop.take([message("order_placed", "o-unseen", amount_minor=100)])
    page.wait_for_timeout(1_500)
    assert page.locator("#as_of").text_content() == shown
    hide(page, False)
    is_fresh(page)
    shows_all_of(page, shop.store)


def test_what_it_can_t_draw_leaves_old_figures(visit: Visit) -> None:
    page = told(visit, BARE, BARE | {"at": "2026-01-05T10:00:01.000Z", "orders": 1}, expected="is not iterable")
    expect(page.locator("#word")).to_have_text("out of date")
    expect(page.locator("#sentence")).to_have_text(
        "This page can't draw what its server tells: load it again. The figures are those of 10:00:00 UTC."
    )
    expect(page.locator("body")).to_have_class("old")
    page.unroute("**/events")
    is_fresh(page)


def test_an_answer_that_is_no_stream_is_not_the_end(visit: Visit, shop: Shop) -> None:
    """What stands between may answer for the server while that is away; a browser then asks no more by itself."""
    page = visit("/metrics", expected="Failed to load resource")
    page.route("**/events", gone)
    with page.expect_response("**/events"):
        page.goto(page.url.replace("/metrics", "/"))
    page.unroute("**/events")
    shop.beat()
    is_fresh(page)


def gone(route: Route) -> None:
    route.fulfill(status=502, body="Bad gateway")


def test_a_mongodb_that_stands_still_is_told_and_forgotten(
    visit: Visit, shop: Shop, own_mongod: tuple[str, psutil.Process]
) -> None:
    order_id = shop.breaks()
    page = visit()
    is_fresh(page)
    expect(page.locator("#breaks tr").first).to_be_visible()
    _, process = own_mongod
    process.suspend()
    try:
        is_old(page)
        expect(page.locator("#sentence")).to_contain_text("MongoDB")
        assert age_s(page) >= 5
        late = visit(f"/#order={order_id}", expected="503")  # by somebody who comes now
        is_old(late)
        expect(late.locator("#story_note")).to_contain_text("It is asked again.")
    finally:
        process.resume()
    shop.beat()
    is_fresh(page)
    is_fresh(late)
    expect(late.locator("#story_body .stamp")).to_have_text("awaiting order")
