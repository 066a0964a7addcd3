"""The live page in a browser: it shows what is stored, to the last digit, and moves by itself."""

import re
import secrets
from collections import Counter
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from orders_platform.matching import Rules
from orders_platform.reports import charts
from orders_platform.reports.money import money
from orders_platform.reports.tally import make
from orders_platform.reports.words import LINE_NAMES
from orders_platform.store import queries, schema, views
from orders_platform.store.client import connect
from orders_platform_tests.live.conftest import Visit, Visitor
from orders_platform_tests.live.reading import rows, shows_all_of, until, words
from orders_platform_tests.live.serving import Server
from orders_platform_tests.live.shop import Shop, Topics, message

pytestmark = pytest.mark.services


def money_rows(shop: Shop) -> list[list[str]]:
    matched, risk = Counter[str](), Counter[str]()
    for row in views.rows(shop.store, "v_status_totals"):
        if row["status"] == "matched":
            matched[row["currency"]] += row["due_minor"]
        risk[row["currency"]] += row["at_risk_minor"]
    return [
        [each, "", money(matched[each], each), money(risk[each], each)]
        for each in sorted(matched.keys() | risk.keys() - {None})
        if matched[each] or risk[each]
    ]


def test_money_is_what_the_views_say(page: Page, shop: Shop) -> None:
    shows_all_of(page, shop.store)
    expected = money_rows(shop)
    assert {"EUR", "JPY", "KWD"} <= {currency for currency, *_ in expected}  # of 2, 0 and 3 digits
    assert rows(page, "#money") == expected


def test_orders_are_what_is_stored_by_status_and_outcome(page: Page, shop: Shop) -> None:
    shows_all_of(page, shop.store)
    statuses, outcomes = Counter[str](), Counter[str]()
    for document in queries.all_orders(shop.store):
        statuses[document.status] += 1
        outcomes[document.outcome] += 1
    shown = rows(page, "#statuses")
    assert {name: figure for name, _, figure in shown} == {words(each): f"{n:,}" for each, n in statuses.items()}
    assert [figure for *_, figure in shown] == [f"{n:,}" for n in sorted(statuses.values(), reverse=True)]
    shares = {name: outcomes[outcome] / outcomes.total() for outcome, name in WORDS.items() if outcomes[outcome]}
    told = page.locator("#outcome_words span").all_text_contents()
    assert told == [f"{share:.1%} {name}" for name, share in shares.items()]
    assert page.locator("#broken").text_content() == f"{outcomes['break']:,}"
    widths = page.locator("#outcomes i").evaluate_all("parts => parts.map(part => parseFloat(part.style.width) / 100)")
    assert widths == pytest.approx(list(shares.values()), abs=1e-4)


WORDS = {"ok": "add up", "break": "break", "pending": "wait"}


def test_breaks_by_kind_are_the_views(page: Page, shop: Shop) -> None:
    shows_all_of(page, shop.store)
    found = views.rows(shop.store, "v_value_at_risk")
    currencies = sorted({row["currency"] for row in found if row["currency"]})
    expected: dict[str, list[str]] = {}
    for kind in {row["kind"] for row in found}:
        its = {row["currency"]: row["at_risk_minor"] for row in found if row["kind"] == kind}
        breaks = sum(row["breaks"] for row in found if row["kind"] == kind)
        amounts = [money(its[each], each) if its.get(each) else "-" for each in currencies]
        expected[words(kind)] = [f"{breaks:,}", *amounts]
    assert rows(page, ".matrix thead") == [["kind", "breaks", *currencies]]
    assert {kind: rest for kind, *rest in rows(page, "#kinds")} == expected
    assert len(expected) > 8


def test_the_newest_breaks_are_named_newest_first(page: Page, shop: Shop) -> None:
    shows_all_of(page, shop.store)
    expected = [
        [
            document.order_id,
            words(document.status),
            ", ".join(map(words, document.reasons)),
            "-" if document.due_minor is None else money(document.due_minor, document.currency, code=True),
            money(document.net_minor, document.currency, code=True),
        ]
        for document, _ in queries.newest_breaks(shop.store)
    ]
    assert [row[:5] for row in rows(page, "#breaks")] == expected


def test_the_day_so_far_is_a_statement_of_all_events(page: Page, shop: Shop) -> None:
    today = make(shop.told(), shop.day(), Rules(), provisional=True)
    expected = {
        f"Bridge in {currency}": [
            [name if field != "closing_minor" else "so far", "", amount(field, sign * getattr(bridge, field), currency)]
            for field, name, sign in LINE_NAMES
        ]
        for currency, bridge in today.currencies.items()
    }
    captions = page.locator("#bridges caption")
    until(page, lambda: sorted(captions.all_text_contents()), sorted(expected))
    tables = page.locator("#bridges tbody")
    for at, caption in enumerate(captions.all_text_contents()):
        until(page, lambda at=at: tables.nth(at).evaluate(READ), expected[caption])
    assert f"{today.match_rate:.1%} of its orders are matched" in (page.locator("#day_note").text_content() or "")


READ = "body => [...body.rows].map(row => [...row.cells].map(cell => cell.textContent))"


def amount(field: str, minor: int, currency: str) -> str:
    if field in ("opening_minor", "closing_minor", "residual_minor"):
        return money(minor, currency)
    return ("+" if minor > 0 else "") + money(minor, currency) if minor else "-"


def test_waterfalls_are_drawn_like_the_statement_s(page: Page, shop: Shop) -> None:
    today = make(shop.told(), shop.day(), Rules(), provisional=True)
    expect(page.locator("#bridges table")).to_have_count(len(today.currencies))
    for caption, steps in page.locator("#bridges table").evaluate_all(STEPS):
        expected = charts.steps(today.currencies[caption.removeprefix("Bridge in ")])
        for drawn, svg in zip(steps, expected, strict=True):
            rect = re.search(r'<rect class="(\w+)" x="([^"]+)" y="1.5" width="([^"]+)"', svg)
            kind, *place = rect.groups() if rect else ("", "0", "0")
            assert drawn == [kind, *(pytest.approx(float(each), abs=0.01) for each in place)]


STEPS = """tables => tables.map(table => [table.caption.textContent, [...table.tBodies[0].rows].map(row => {
  const rect = row.querySelector("rect");
  const number = name => Number(rect.getAttribute(name));
  return rect ? [rect.getAttribute("class"), number("x"), number("width")] : ["", 0, 0];
})])"""


def test_rejected_messages_and_the_matcher_are_told(page: Page, shop: Shop) -> None:
    shop.restart()
    shop.take([message("order_placed", f"o-life-{at}", amount_minor=100) for at in range(3)])
    shows_all_of(page, shop.store)
    letters = queries.dead_letter_counts(shop.store)
    until(page, lambda: rows(page, "#letters"), listed(letters))
    until(page, lambda: dict(rows(page, "#matcher"))["restarts in 24 h"], str(shop.epoch - 1))
    facts = dict(rows(page, "#matcher"))
    assert facts["state"] == "running"
    assert facts["life"].startswith(f"{shop.epoch}, began ")
    assert facts["last batch"].startswith("number 1, took ")
    assert facts["messages in this life"].startswith("3, ")
    assert page.locator("#life").text_content() == f"life {shop.epoch}"


def listed(letters: dict[str, int]) -> list[list[str]]:
    return [[words(reason), f"{n:,}"] for reason, n in sorted(letters.items(), key=lambda pair: (-pair[1], pair[0]))]


def test_it_moves_by_itself(page: Page, shop: Shop) -> None:
    page.evaluate("window.isTheSame = true")
    shows_all_of(page, shop.store)
    shop.take(
        [
            message("order_placed", "o-moves", amount_minor=1_234_567),
            message("payment_captured", "o-moves", amount_minor=1_299_999, payment_id="p"),
        ]
    )
    first = page.locator("#breaks tr").first
    expect(first).to_contain_text("o-moves")
    expect(first).to_contain_text("EUR 12,345.67")
    expect(first).to_contain_text("EUR 12,999.99")
    shows_all_of(page, shop.store)
    assert rows(page, "#money") == money_rows(shop)
    assert page.evaluate("window.isTheSame")


def test_the_list_stands_still_under_the_pointer(page: Page, shop: Shop) -> None:
    shows_all_of(page, shop.store)
    page.locator("#breaks tr").nth(2).hover()
    before = [row[0] for row in rows(page, "#breaks")]
    order_id = shop.breaks()
    expect(page.locator("#held")).to_contain_text("1 newer break waits")
    age = rows(page, "#breaks")[0][-1]
    until(page, lambda: rows(page, "#breaks")[0][-1] == age, False)  # its figures go on
    assert [row[0] for row in rows(page, "#breaks")] == before
    page.locator("h1").hover()
    expect(page.locator("#breaks tr").first).to_contain_text(order_id)
    expect(page.locator("#held")).to_be_empty()


def test_what_is_settled_meanwhile_is_told_from_what_still_breaks(page: Page, shop: Shop) -> None:
    order_id = "o-settles"
    charged_back = {"amount_minor": 4_200, "chargeback_id": "c"}
    placed = message("order_placed", order_id, amount_minor=4_200)
    paid = message("payment_captured", order_id, amount_minor=4_200, payment_id="p")
    shop.take([placed, paid, message("chargeback_opened", order_id, **charged_back)])
    first = page.locator("#breaks tr").first
    expect(first).to_contain_text(order_id)
    page.locator("#breaks tr").nth(2).hover()
    shop.take([message("chargeback_reversed", order_id, **charged_back)])
    expect(page.locator("#held")).to_have_text("1 order is no longer among the newest breaks.")
    expect(first).to_contain_text(order_id)
    expect(first.locator("td").last).to_have_text("left the list")
    soft = page.evaluate("getComputedStyle(document.querySelector('dt')).color")
    expect(first.locator("td").first).to_have_css("color", soft)
    page.locator("h1").hover()
    expect(first).not_to_contain_text(order_id)
    expect(page.locator("#held")).to_be_empty()
    expect(first.locator("td").first).not_to_have_css("color", soft)


def test_a_closed_story_s_link_holds_the_list_for_the_keyboard_alone(page: Page, shop: Shop) -> None:
    read = shop.breaks()
    page.get_by_role("link", name=read).click()
    expect(page.get_by_role("dialog")).to_be_visible()
    page.mouse.move(0, 0)
    page.keyboard.press("Escape")
    expect(page.locator("dialog")).to_be_hidden()
    assert page.evaluate("document.activeElement.textContent") == read
    order_id = shop.breaks()
    expect(page.locator("#breaks tr").first).to_contain_text(order_id)
    page.keyboard.press("Shift+Tab")
    assert page.evaluate("document.activeElement.textContent") == order_id
    shop.breaks()
    expect(page.locator("#held")).to_contain_text("1 newer break waits")
    expect(page.locator("#breaks tr").first).to_contain_text(order_id)


def test_the_curves_begin_with_what_was_before_the_page(visit: Visit, shop: Shop) -> None:
    """A minute that stands out is drawn where it was, before the page has heard anything for longer than a moment."""
    shop.remember([(ago, 6_000 if ago == 30 else 60, 20_000 if ago == 30 else 500) for ago in range(5, 59)])
    page = visit()
    for curve in ("rate", "wait"):
        canvas = page.locator(f"#{curve}_curve canvas")
        expect(canvas).to_be_visible()
        until(page, lambda canvas=canvas: 0.35 < canvas.evaluate(HIGHEST) < 0.65, True)


HIGHEST = """canvas => {
  const { width, height } = canvas;
  const copy = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
  copy.drawImage(canvas, 0, 0);
  const data = copy.getImageData(0, 0, width, height).data;
  const left = 60 * devicePixelRatio; // beside the axis and its words
  const isLine = at => data[at + 3] > 200 && data[at] < 140 && data[at + 1] < 150;
  for (let y = 0; y < height; y++)
    for (let x = left; x < width; x++)
      if (isLine(4 * (y * width + x))) return (x - left) / (width - left);
  return -1;
}"""


def test_charts_from_elsewhere_are_framed_and_fenced(visit: Visit) -> None:
    """The policy of a server that names no charts keeps the browser from asking for them."""
    page = visit(expected="Content Security Policy")
    assert page.locator("iframe").count() == 0
    page.evaluate("import('/static/embed.js').then(({embed}) => embed('https://charts.mongodb.com/embed'))")
    frame = page.locator("iframe")
    assert frame.get_attribute("title") == "Charts of MongoDB Atlas"
    assert frame.get_attribute("loading") == "lazy"
    assert frame.get_attribute("sandbox") == "allow-scripts allow-same-origin allow-popups"


def test_a_new_platform_has_nothing_to_show_yet(
    browser: Browser, mongo_uri: str, live_topics: Topics, tmp_path: Path
) -> None:
    store = connect(mongo_uri, f"live_{secrets.token_hex(6)}")
    schema.migrate(store)
    where = {"ORDERS_MONGO__URI": mongo_uri, "ORDERS_MONGO__DATABASE": store.database.name}
    server = Server(tmp_path, **where, **live_topics.settings())
    server.start()
    try:
        visitor = Visitor(browser, server.url)
        page = visitor.open("/", None)
        expect(page.locator("#word")).to_have_text("no matcher")
        expect(page.locator("#stored")).to_have_text("0")
        for table, text in EMPTY.items():
            until(page, lambda table=table: rows(page, table), [[text]])
        expect(page.locator("#day_note")).to_contain_text("No order was placed yet.")
        assert page.locator("#bridges").is_hidden()
        page.context.close()
        assert visitor.problems == []
    finally:
        server.stop()
        store.client.drop_database(store.database.name)
        store.close()


EMPTY = {
    "#money": "No money has moved yet.",
    "#statuses": "No order is stored yet.",
    "#matcher": "No matcher has run here yet.",
    "#letters": "No message was rejected.",
    "#kinds": "Nothing breaks.",
    "#breaks": "No order breaks.",
}
