"""An order's story on the live page: by click, by keyboard, by its address; what it tells, and to whom."""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from orders_platform.generator.stream import Message
from orders_platform.live import story
from orders_platform.settings import Settings
from orders_platform_tests.live.conftest import Visit
from orders_platform_tests.live.reading import shows_all_of, until, words
from orders_platform_tests.live.serving import Server
from orders_platform_tests.live.shop import HOUR_MS, MINUTE_MS, Shop, message, now_ms

pytestmark = pytest.mark.services
ATTACK = "<img src=x onerror=hacked=1>"


def is_open(page: Page, order_id: str) -> None:
    expect(page.get_by_role("dialog")).to_be_visible()
    expect(page.get_by_role("heading", name=order_id)).to_be_visible()
    assert page.evaluate("location.hash") == f"#order={order_id}"


def is_closed(page: Page) -> None:
    expect(page.locator("dialog")).to_be_hidden()
    until(page, lambda: page.evaluate("location.hash"), "")


def texts(page: Page, selector: str) -> list[str]:
    return page.locator(f"#story_body {selector}").all_text_contents()


def test_a_click_opens_it_and_every_way_out_closes_it(page: Page, shop: Shop) -> None:
    order_id = shop.breaks()
    shows_all_of(page, shop.store)
    entries = page.evaluate("history.length")
    for leave in (
        lambda: page.keyboard.press("Escape"),
        page.get_by_role("button", name="Close").click,
        lambda: page.mouse.click(3, 300),  # beside it
        page.go_back,
    ):
        page.get_by_role("link", name=order_id).click()
        is_open(page, order_id)
        leave()
        is_closed(page)
    page.go_forward()
    is_open(page, order_id)
    assert page.evaluate("history.length") == entries + 1  # Back leads out, not through everything that was read


def test_the_keyboard_opens_it_stays_in_it_and_comes_back(page: Page, shop: Shop) -> None:
    order_id = shop.breaks()
    shows_all_of(page, shop.store)
    page.get_by_label("Any order's story").focus()
    page.keyboard.press("Tab")  # the button beside it
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == order_id
    page.keyboard.press("Enter")
    is_open(page, order_id)
    shop.breaks()  # what lies behind is drawn anew meanwhile
    for _ in range(4):
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.closest('dialog, body').localName") in ("dialog", "body")
        assert page.evaluate("document.activeElement.matches('a, input, main, .wide')") is False
    page.keyboard.press("Escape")
    is_closed(page)
    assert page.evaluate("document.activeElement.textContent") == order_id


def test_its_address_can_be_sent_to_others(visit: Visit, shop: Shop) -> None:
    order_id = shop.breaks()
    page = visit(f"/#order={order_id}")
    is_open(page, order_id)
    page.keyboard.press("Escape")
    is_closed(page)
    assert page.url.endswith("/")
    page.get_by_label("Any order's story").fill(f"  {order_id} ")
    page.keyboard.press("Enter")
    is_open(page, order_id)


def stories() -> dict[str, list[Message]]:
    """Orders that happened two hours ago, by the status that they end in."""

    def happened(status: str, *events: tuple[str, int, Mapping[str, object]]) -> list[Message]:
        at_ms = now_ms() - 2 * HOUR_MS
        return [
            message(kind, f"o-{status}", occurred_at=at_ms + minutes * MINUTE_MS, **fields)
            for kind, minutes, fields in events
        ]

    placed = ("order_placed", 0, {"amount_minor": 4_200})
    paid = ("payment_captured", 2, {"amount_minor": 4_200, "payment_id": "p"})
    again = ("payment_captured", 3, {"amount_minor": 4_200, "payment_id": "p", "event_id": "again"})
    other = ("payment_captured", 5, {"amount_minor": 4_100, "payment_id": "p-2"})
    foreign = ("payment_captured", 4, {"amount_minor": 4_200, "payment_id": "p-3", "currency": "USD"})
    refunded = ("refund_issued", 50, {"amount_minor": 1_000, "refund_id": "r"})
    return {
        "unpaid": happened("unpaid", placed, ("payment_failed", 1, {"payment_id": "p"})),
        "refund_due": happened("refund_due", placed, ("order_cancelled", 1, {}), paid),
        "overpaid": happened("overpaid", placed, paid, again, other),
        "charged_back": happened("charged_back", placed, paid, ("chargeback_opened", 90, CHARGED_BACK)),
        "currency_mismatch": happened("currency_mismatch", placed, foreign),
        "partially_refunded": happened("partially_refunded", placed, paid, refunded),
        "orphan": happened("orphan", paid, refunded),
    }


CHARGED_BACK = {"amount_minor": 4_200, "chargeback_id": "c"}


def test_it_tells_what_the_rules_say(visit: Visit, shop: Shop) -> None:
    told = stories()
    shop.take([each for messages in told.values() for each in messages])
    page, settings = visit(), Settings(home=Path("home"))
    for status, messages in told.items():
        order_id = f"o-{status}"
        page.goto(f"{page.url.partition('#')[0]}#order={order_id}")
        is_open(page, order_id)
        expect(page.locator("#story_body .stamp")).to_have_text(words(status))
        its = story.as_json(story.trace(shop.store, settings, order_id))
        events = its["events"]
        assert len(events) == len(messages)
        assert texts(page, ".reason") == list(map(words, its["document"]["reasons"]))
        assert texts(page, ".line li:not(.deadline) .mark") == [MARKS[each["counts"]] for each in events]
        assert texts(page, ".line li:not(.deadline) .what + p") == [each["why"] for each in events]
        times = [text.removesuffix(" UTC").replace(" ", "T") + "Z" for text in texts(page, ".line li time")]
        assert times == sorted([*(each["occurred_at"] for each in events), its["document"]["deadline_at"]])
        asked = [each["condition"] + each["why"] for each in its["rules"] if each["holds"] is not None]
        assert texts(page, ".rules li") == asked
        assert texts(page, ".rules .held") == asked[-1:]
        assert texts(page, "h3 + ul li") == [each["what"] for each in its["settled_by"]]


MARKS = {True: "counts", False: "does not count"}


def test_time_is_told_by_distance(visit: Visit, shop: Shop) -> None:
    at_ms = now_ms() - 40 * 24 * HOUR_MS
    placed = message("order_placed", "o-apart", amount_minor=5_000, occurred_at=at_ms)
    soon = message("payment_captured", "o-apart", amount_minor=4_000, payment_id="p", occurred_at=at_ms + 5_000)
    later = message(
        "refund_issued", "o-apart", amount_minor=4_000, refund_id="r", occurred_at=at_ms + 30 * 24 * HOUR_MS
    )
    shop.take([placed, soon, later])
    page = visit("/#order=o-apart")
    is_open(page, "o-apart")
    expect(page.locator("#story_body .line li")).to_have_count(4)
    assert texts(page, ".gap") == ["5 s later", "29.9 min later", "30 days later"]
    assert texts(page, ".deadline .what") == ["the deadline has passed"]
    gaps = page.locator("#story_body .line li").evaluate_all("all => all.map(each => parseInt(each.style.marginTop))")[
        1:
    ]
    assert gaps == sorted(set(gaps))
    assert texts(page, "dd") == ["EUR 50.00", "40.00", "40.00", "0.00", "0.00"]


def test_an_order_that_nobody_knows_is_said_to_be_unknown(visit: Visit) -> None:
    page = visit("/#order=o-nowhere", expected="404")
    is_open(page, "o-nowhere")
    expect(page.locator("#story_body")).to_contain_text("There is no order 'o-nowhere'")
    expect(page.locator("#story_body")).to_contain_text("orders dead-letters")


def test_what_others_write_stays_text(visit: Visit, shop: Shop) -> None:
    shop.take(
        [
            message("order_placed", "o-hostile", amount_minor=700, method=ATTACK, customer_id=f"<b>{ATTACK}"),
            message(
                "payment_captured", "o-hostile", amount_minor=900, payment_id="p", method=f"'\">{ATTACK}", reason=ATTACK
            ),
        ]
    )
    page = visit("/#order=o-hostile", expected="404")
    expect(page.locator("#story_body")).to_contain_text(f"method '\">{ATTACK} · reason {ATTACK}")
    expect(page.locator("#story_body")).to_contain_text(f"customer <b>{ATTACK} · method {ATTACK}")
    page.keyboard.press("Escape")
    is_closed(page)
    page.get_by_label("Any order's story").fill(ATTACK)
    page.keyboard.press("Enter")
    expect(page.locator("#story_title")).to_have_text(ATTACK)
    expect(page.locator("#story_body")).to_contain_text(f"There is no order '{ATTACK}'")
    assert page.locator("img, #story_body b b").count() == 0
    assert page.evaluate("typeof hacked") == "undefined"


def test_it_goes_on_while_it_is_read(visit: Visit, shop: Shop) -> None:
    shop.take([message("order_placed", "o-goes-on", amount_minor=2_500)])
    page = visit("/#order=o-goes-on")
    expect(page.locator("#story_body .stamp")).to_have_text("awaiting payment")
    shop.take([message("payment_captured", "o-goes-on", amount_minor=2_500, payment_id="p")])
    expect(page.locator("#story_body .stamp")).to_have_text("matched")
    expect(page.locator("#story_body")).to_contain_text("Nothing: it is settled.")


def test_a_story_stays_while_nobody_can_tell_more(visit: Visit, shop: Shop) -> None:
    order_id = shop.breaks()
    page = visit(f"/#order={order_id}", expected="Failed to load resource")
    expect(page.locator("#story_body .line li")).to_have_count(2)
    page.route("**/api/order.json*", lambda route: route.abort())
    expect(page.locator("#story_note")).to_have_text(
        "This page's server does not answer. The story may have gone on since."
    )
    expect(page.locator("#story_body .line li")).to_have_count(2)
    page.unroute("**/api/order.json*")
    expect(page.locator("#story_note")).to_be_empty()


def test_amounts_are_right_where_no_figures_come(visit: Visit, shop: Shop) -> None:
    """A currency that no order has is told by the story itself."""
    paid = {"JPY": "JPY 4,200", "KWD": "KWD 4.200"}
    shop.take([message("order_placed", "o-abroad", amount_minor=4_200)])
    for currency in paid:
        shop.take([message("payment_captured", "o-abroad", amount_minor=4_200, payment_id=currency, currency=currency)])
    page = visit("/metrics", expected="Failed to load resource")
    page.route("**/events", lambda route: route.abort())
    page.goto(page.url.replace("/metrics", "/#order=o-abroad"))
    expect(page.locator("#story_body .amount")).to_have_text(["EUR 42.00", *paid.values()])


def test_a_document_that_can_t_be_read_is_told_with_what_to_do(visit: Visit, server: Server, shop: Shop) -> None:
    shop.take([message("order_placed", "o-damaged", amount_minor=4_200)])
    found = shop.store.orders.find_one({"_id": "o-damaged"})
    assert found is not None
    damaged = {**found, "events": ["no event"]}
    shop.store.orders.replace_one({"_id": "o-damaged"}, damaged, bypass_document_validation=True)
    try:
        assert server.get("/api/order.json?id=o-damaged")[0] == 503
        page = visit("/#order=o-damaged", expected="503")
        expect(page.locator("#story_note")).to_contain_text("can't be read")
        expect(page.locator("#story_note")).to_contain_text("orders dead-letters replay")
    finally:
        shop.store.orders.replace_one({"_id": "o-damaged"}, found)
    expect(page.locator("#story_body .stamp")).to_have_text("awaiting payment")


def test_an_order_is_not_unknown_because_a_secret_can_t_be_read(mongo_uri: str, shop: Shop, tmp_path: Path) -> None:
    secret = tmp_path / "uri"
    secret.write_text(mongo_uri)
    variables = shop.settings(mongo_uri)
    del variables["ORDERS_MONGO__URI"]
    server = Server(tmp_path / "home", **variables, ORDERS_MONGO__URI_FILE=str(secret))
    server.start()
    try:
        order_id = shop.breaks()
        assert server.get(f"/api/order.json?id={order_id}")[0] == 200
        secret.unlink()
        status, body = server.get(f"/api/order.json?id={order_id}")
        told = json.loads(body)
        assert (status, told["fix"]) == (503, "Correct its path or mode.")
        assert "mongo.uri_file can't be read" in told["error"]
    finally:
        server.stop()
