"""The live page's looks, measured: every width, light and dark, still, by keyboard, for a screen reader."""

from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from orders_platform_tests.live.conftest import Visit
from orders_platform_tests.live.reading import hide, shows_all_of, until
from orders_platform_tests.live.shop import Shop, message

pytestmark = pytest.mark.services
AUDIT = Path(__file__).with_name("audit.js")
LONG = f"o-{'long-' * 12}id"  # as long as an order id may be
WIDTHS = {360: 740, 768: 1024, 1280: 800}


@pytest.fixture(scope="module")
def wide_shop(shop: Shop) -> Shop:
    """A shop with a long id, long texts and large amounts among its newest breaks."""
    assert len(LONG) == 64
    text = "W" * 64
    shop.take(
        [
            message("order_placed", LONG, amount_minor=10**15, customer_id=text),
            message("payment_captured", LONG, amount_minor=10**14, payment_id=text, method=text, reason=text),
            message("payment_captured", LONG, amount_minor=10**15, payment_id="p-2"),
            message("refund_issued", LONG, amount_minor=10**15, refund_id=text),
        ]
    )
    return shop


@pytest.fixture
def looked_at(page: Page, wide_shop: Shop) -> Page:
    page.set_viewport_size({"width": 1280, "height": 800})
    page.emulate_media(color_scheme="light", reduced_motion="no-preference")
    shows_all_of(page, wide_shop.store)
    expect(page.get_by_role("link", name=LONG)).to_be_attached()
    expect(page.locator("#bridges table").first).to_be_attached()
    page.evaluate(f"() => {{ {AUDIT.read_text()} }}")
    return page


def texts_are_readable(page: Page, least: int) -> None:
    faint = page.evaluate("audit.faint()")
    assert faint["found"] == []
    assert faint["looked"] > least


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
def test_nothing_sticks_out_and_everything_can_be_read(looked_at: Page, width: int, scheme: Any) -> None:
    page = looked_at
    page.set_viewport_size({"width": width, "height": WIDTHS[width]})
    page.emulate_media(color_scheme=scheme)
    assert page.evaluate("audit.wide()") == []
    texts_are_readable(page, 200)
    hide(page, True)  # the stream would make it fresh again
    expect(page.locator("body")).to_have_class("old")
    texts_are_readable(page, 200)
    hide(page, False)
    page.evaluate(f"location.hash = 'order={LONG}'")
    expect(page.locator("#story_body .line li")).to_have_count(5)
    assert page.evaluate("audit.wide()") == []
    texts_are_readable(page, 40)
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert ground == {"light": "rgb(255, 255, 255)", "dark": "rgb(20, 25, 31)"}[scheme]


@pytest.mark.parametrize("motion", ["reduce", "no-preference"])
def test_it_keeps_still_for_those_who_want_that(looked_at: Page, wide_shop: Shop, motion: Any) -> None:
    looked_at.emulate_media(reduced_motion=motion)
    looked_at.evaluate(WATCH)
    order_id = wide_shop.breaks()
    expect(looked_at.locator("#breaks tr").first).to_contain_text(order_id)
    looked_at.wait_for_timeout(600)
    moved, beats = looked_at.evaluate("[moved.length, beats.size]")
    assert (moved > 0, beats) == ((False, 1) if motion == "reduce" else (True, 2))


WATCH = """() => {
  window.moved = []; window.beats = new Set();
  clearInterval(window.watching);
  window.watching = setInterval(() => {
    moved.push(...document.getAnimations());
    beats.add(getComputedStyle(document.getElementById("beat")).opacity);
  }, 20);
}"""


def test_a_change_of_the_scheme_repaints_the_curves(looked_at: Page) -> None:
    """By night the blue of a line is brighter than by day."""
    expect(looked_at.locator("#rate_curve canvas")).to_be_visible()
    until(looked_at, lambda: looked_at.evaluate(INK) > 0, True)
    light = looked_at.evaluate(INK)
    looked_at.emulate_media(color_scheme="dark")
    until(looked_at, lambda: looked_at.evaluate(INK) > light + 60, True)


# How bright the curve's blue is.
INK = """(() => {
  const canvas = document.querySelector("#rate_curve canvas"), { width, height } = canvas;
  const copy = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
  copy.drawImage(canvas, 0, 0);
  const data = copy.getImageData(0, 0, width, height).data;
  let sum = 0, count = 0;
  for (let at = 0; at < data.length; at += 4)
    if (data[at + 3] > 200 && data[at + 2] - data[at] > 60) { sum += data[at] + data[at + 1]; count += 1; }
  return count ? sum / count / 2 : 0;
})()"""


def test_tab_leads_everywhere_and_shows_where_it_is(looked_at: Page) -> None:
    page = looked_at
    page.locator("h1").click()  # begin at the top
    reachable = page.evaluate("document.querySelectorAll('a:not([hidden]), input, body > main button, .wide').length")
    visited = []
    for _ in range(reachable - 1):
        page.keyboard.press("Tab")
        visited.append(page.evaluate(FOCUSED))
    assert visited[0]["name"] == "Metrics"
    assert len({each["path"] for each in visited}) == reachable - 1
    assert [each for each in visited if not each["name"] or not each["outline"]] == []


def test_the_first_tab_leads_past_the_head(visit: Visit) -> None:
    page = visit()
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="To the figures")).to_be_in_viewport()
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"


FOCUSED = """(() => {
  const its = document.activeElement, style = getComputedStyle(its);
  const label = its.labels?.[0] ?? document.getElementById(its.getAttribute("aria-labelledby") ?? "") ?? its;
  return {
    name: label.textContent.trim(), path: `${its.localName}#${its.id} ${its.textContent.slice(0, 80)}`,
    outline: style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2,
  };
})()"""


def test_a_screen_reader_hears_how_things_are_and_no_flood(looked_at: Page, wide_shop: Shop) -> None:
    page = looked_at
    speaking = page.locator("[aria-live], [role=status], [role=alert], [role=log], output")
    expect(speaking).to_have_count(1)
    page.evaluate(LISTEN)
    wide_shop.take([message("order_placed", "o-said", amount_minor=100)])
    shows_all_of(page, wide_shop.store)
    assert page.evaluate("said") == []
    wide_shop.beat(state="stopped")
    expect(speaking).to_have_text("stopped The matcher is stopped: nothing is matched meanwhile.")
    assert len(page.evaluate("said")) > 0
    assert page.locator(UNNAMED).count() == 0
    levels = page.locator("h1, h2").evaluate_all("all => all.map(each => each.localName)")
    assert (levels[0], levels.count("h1")) == ("h1", 1)


UNNAMED = (
    "section:not([aria-labelledby], [aria-label]), [role=img]:not([aria-label]), thead th:not([scope], [aria-hidden])"
)
LISTEN = """() => {
  window.said = [];
  const options = { subtree: true, childList: true, characterData: true };
  const observer = new MutationObserver((changes) => said.push(...changes.map(String)));
  observer.observe(document.querySelector("[role=status]"), options);
}"""
