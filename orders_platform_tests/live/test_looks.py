"""The live page's looks, measured: every width, light and dark, still, by keyboard, for a screen reader."""

from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from orders_platform_tests.live.conftest import Visit
from orders_platform_tests.live.reading import shows_all_of, until
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


def look(page: Page, shop: Shop) -> None:
    shop.beat()
    expect(page.locator("#word")).to_have_text("matching")
    shows_all_of(page, shop.store)
    expect(page.get_by_role("link", name=LONG)).to_be_attached()
    page.evaluate(f"() => {{ {AUDIT.read_text()} }}")


def texts_are_readable(page: Page, least: int) -> None:
    faint = page.evaluate("audit.faint()")
    assert faint["found"] == []
    assert faint["looked"] > least


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
def test_nothing_sticks_out_and_everything_can_be_read(visit: Visit, wide_shop: Shop, width: int, scheme: str) -> None:
    page = seen(visit, width, color_scheme=scheme)
    look(page, wide_shop)
    expect(page.locator("#bridges table").first).to_be_visible()
    assert page.evaluate("audit.wide()") == []
    texts_are_readable(page, 200)
    page.evaluate("document.body.classList.add('old')")
    texts_are_readable(page, 200)
    page.evaluate(f"location.hash = 'order={LONG}'")
    expect(page.locator("#story_body .line li")).to_have_count(5)
    assert page.evaluate("audit.wide()") == []
    texts_are_readable(page, 40)
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert ground == {"light": "rgb(255, 255, 255)", "dark": "rgb(20, 25, 31)"}[scheme]


def seen(visit: Visit, width: int, **options: Any) -> Page:
    return visit(viewport={"width": width, "height": WIDTHS[width]}, **options)


@pytest.mark.parametrize("motion", ["reduce", "no-preference"])
def test_it_keeps_still_for_those_who_want_that(visit: Visit, wide_shop: Shop, motion: str) -> None:
    page = seen(visit, 1280, reduced_motion=motion)
    look(page, wide_shop)
    page.evaluate("window.moved = []; setInterval(() => moved.push(...document.getAnimations()), 20)")
    order_id = wide_shop.breaks()
    expect(page.locator("#breaks tr").first).to_contain_text(order_id)
    page.wait_for_timeout(1_100)
    moved = page.evaluate("moved.length")
    assert (moved > 0) == (motion == "no-preference")


def test_a_change_of_the_scheme_repaints_the_curves(visit: Visit, wide_shop: Shop) -> None:
    page = seen(visit, 1280, color_scheme="light")
    wide_shop.remember([(ago, 60, 500) for ago in range(5, 59)])
    look(page, wide_shop)
    expect(page.locator("#rate_curve canvas")).to_be_visible()
    light = page.evaluate(INK)
    page.emulate_media(color_scheme="dark")
    until(page, lambda: page.evaluate(INK) > light + 60, True)


# How bright the brightest of the curve's own paint is: lines are darker than paper by day, and lighter at night.
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


def test_tab_leads_everywhere_and_shows_where_it_is(visit: Visit, wide_shop: Shop) -> None:
    page = seen(visit, 1280)
    look(page, wide_shop)
    reachable = page.evaluate("document.querySelectorAll('a:not([hidden]), input, body > main button, .wide').length")
    visited = []
    for _ in range(reachable):
        page.keyboard.press("Tab")
        visited.append(page.evaluate(FOCUSED))
    assert [each["name"] for each in visited[:2]] == ["To the figures", "Metrics"]
    assert len({each["path"] for each in visited}) == reachable
    assert [each for each in visited if not each["name"] or not each["outline"]] == []


FOCUSED = """(() => {
  const its = document.activeElement, style = getComputedStyle(its);
  const label = its.labels?.[0] ?? document.getElementById(its.getAttribute("aria-labelledby") ?? "") ?? its;
  return {
    name: label.textContent.trim(), path: `${its.localName}#${its.id} ${its.textContent.slice(0, 80)}`,
    outline: style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2,
  };
})()"""


def test_a_screen_reader_hears_how_things_are_and_no_flood(visit: Visit, wide_shop: Shop) -> None:
    page = seen(visit, 1280)
    look(page, wide_shop)
    speaking = page.locator("[aria-live], [role=status], [role=alert], [role=log], output")
    expect(speaking).to_have_count(1)
    page.evaluate(LISTEN)
    for number in range(3):
        wide_shop.take([message("order_placed", f"o-said-{number}", amount_minor=100)])
        page.wait_for_timeout(800)
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
