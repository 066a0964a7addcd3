"""The page: everything that the statement says is on it, the sheet stays one, and it stands alone."""

import re
from html.parser import HTMLParser
from typing import Any

import msgspec
import pytest

from orders_platform.reports.markup import SCREEN
from orders_platform.reports.money import money, short
from orders_platform.reports.page_breaks import LARGEST, LISTED_MAX, ranked
from orders_platform.reports.page_bridges import DRAWN, PRINTED_OTHERS, by_size
from orders_platform.reports.page_style import STYLE
from orders_platform.reports.render import PRINTED_LINES, _rows, html
from orders_platform.reports.statement import Statement
from orders_platform.reports.words import AGES, LINE_NAMES, age_of
from orders_platform_tests.reports import pages

SHEET_PX = 277 / 25.4 * 96  # A4 less two margins of 10 mm
HEADINGS_ROWS = 20  # header, tiles, headings and footer, as measured on sheets
MODEST = pages.statement(2, 40, 7, 3)
HUGE = pages.statement(40, 5_000, len(pages.KINDS), len(pages.LETTERS), residuals=12, suspects=50)
EMPTY = {"meta", "rect", "path"}


class Page(HTMLParser):
    """What stands on a page: texts and rows, each with the word whether the sheet has it too."""

    def __init__(self, page: bytes) -> None:
        super().__init__()
        self.open: list[tuple[str, str]] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.screen: list[str] = []
        self.sheet: list[str] = []
        self.printed_rows = 0
        self.feed(page.decode())
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in EMPTY:
            self.open.append((tag, dict(attrs).get("class") or ""))
        self.printed_rows += tag == "tr" and not self._within(SCREEN)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop()[0] == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1][0] == "style":
            return
        if not self._within("print"):
            self.screen.append(data)
        if not self._within(SCREEN):
            self.sheet.append(data)

    def _within(self, kind: str) -> bool:
        return any(kind in classes.split() for _, classes in self.open)


def page_of(statement: Statement, **more: Any) -> Page:
    return Page(html(statement, more.get("changed"), more.get("earlier", pages.rates())))


@pytest.mark.parametrize("statement", [MODEST, HUGE, pages.statement(7, 200, 9, 9)])
def test_every_figure_is_on_the_page(statement: Statement) -> None:
    page = page_of(statement)
    told = set(page.screen)
    for code, bridge in statement.currencies.items():
        for name, words, sign in LINE_NAMES:
            amount = money(sign * getattr(bridge, name), code)
            assert {amount, f"+{amount}"} & told or (amount.strip("0.") == "" and "-" in told), (code, words)
    for status, count in statement.orders_by_status["opening"].items():
        assert {status, f"{count:,}"} <= told
    for reason, count in statement.dead_letters.items():
        assert {reason, f"{count:,}"} <= told
    there = [*statement.breaks.new, *statement.breaks.persisting]
    assert {
        f"{len(there):,}",
        f"{len(statement.breaks.new):,} new, {len(statement.breaks.resolved):,} resolved",
    } <= told
    for kind in {each.kind for each in there}:
        assert {kind, f"{sum(each.kind == kind for each in there):,}"} <= told
    for age in AGES:
        assert f"{sum(age_of(each.age_days) == age for each in there):,}" in told
    whole = " ".join(page.screen)
    assert statement.coverage.sha256 in whole
    assert "95 of 100 within 90.0 min" in told


def test_the_sheet_has_the_totals_of_every_currency_that_it_names() -> None:
    statement = pages.statement(DRAWN + 5, 100)
    sheet = set(page_of(statement).sheet)
    for code, bridge in statement.currencies.items():
        assert {code, money(bridge.opening_minor, code), money(bridge.closing_minor, code)} <= sheet
    (also, *_) = by_size(statement)[DRAWN:]
    placed_minor = statement.currencies[also].placed_minor
    assert short(placed_minor, also) in sheet
    assert f"+{money(placed_minor, also)}" not in sheet


def test_a_sheet_has_so_many_rows_and_no_more() -> None:
    huge = page_of(HUGE, changed=pages.changes(500, 500))
    twice = msgspec.structs.replace(
        pages.statement(len(pages.CODES), 9_000, len(pages.KINDS), len(pages.LETTERS), residuals=40, suspects=900)
    )
    assert page_of(twice, changed=pages.changes(900)).printed_rows == huge.printed_rows
    others = PRINTED_OTHERS + 1
    tables = DRAWN * (len(LINE_NAMES) + 1) + others + (len(pages.KINDS) + 3) + (len(pages.STATUSES) + 1)
    assert huge.printed_rows == tables + (LARGEST + 1) + (PRINTED_LINES + 2)
    assert sum(text.endswith("are unexplained.") for text in huge.sheet) <= PRINTED_LINES
    assert sum(" became " in text for text in huge.sheet) <= PRINTED_LINES
    assert sum(text.endswith("are unexplained.") for text in huge.screen) == 12
    assert sum(" became " in text for text in huge.screen) == 500


@pytest.mark.parametrize("currencies", [0, 1, 2, 3, 4, 6, 7, 12, 20, 40])
@pytest.mark.parametrize("kinds", [1, 6, len(pages.KINDS)])
@pytest.mark.parametrize("residuals", [0, 20])
def test_the_rows_fit_on_a_sheet_in_the_size_that_is_chosen(currencies: int, kinds: int, residuals: int) -> None:
    statement = pages.statement(currencies, 60 * bool(currencies), kinds, 9, residuals=residuals)
    changed = pages.changes() if residuals else None
    page = html(statement, changed, [])
    size = re.search(rb'<body class="(\w+)">', page)
    assert size
    tall = re.search(rf"body\.{size[1].decode()}{{font-size:[\d.]+px;--r:([\d.]+)px}}", STYLE)
    assert tall
    assert (_rows(statement, changed) + HEADINGS_ROWS) * float(tall[1]) <= SHEET_PX


def test_whatever_an_event_says_stays_text() -> None:
    evil = "<script>alert('&amp;')</script>\"onload="
    breaks = [msgspec.structs.replace(each, order_id=evil, kind=evil, currency=evil) for each in MODEST.breaks.new]
    statement = msgspec.structs.replace(
        MODEST,
        breaks=msgspec.structs.replace(MODEST.breaks, new=breaks),
        currencies={evil: MODEST.currencies["EUR"]},
        orders_by_status={"opening": {evil: 1}, "closing": {}},
        dead_letters={evil: 3},
        time_zone=evil,
        coverage=msgspec.structs.replace(MODEST.coverage, suspects=[evil], offsets={evil: {"0": 1}}),
    )
    changed = msgspec.structs.replace(pages.changes(), breaks_appeared=[evil])
    page = page_of(statement, changed=changed)
    assert "script" not in {tag for tag, _ in page.tags}
    assert not any(name.startswith("on") for _, attributes in page.tags for name in attributes)
    assert page.screen.count(evil) > len(breaks)


def test_it_stands_alone() -> None:
    page = html(HUGE, pages.changes(), pages.rates()).decode()
    assert not re.search(r"url\(|@import|https?:|<(script|img|link|iframe|object)|\s(src|href)=", page)


def test_it_is_made_of_the_statement_alone() -> None:
    kept = msgspec.convert(msgspec.json.decode(msgspec.json.encode(HUGE)), Statement)
    assert html(kept, pages.changes(), pages.rates()) == html(HUGE, pages.changes(), pages.rates())


def test_those_who_cannot_see_it_are_told_what_each_table_is() -> None:
    page = page_of(HUGE)
    tags = [tag for tag, _ in page.tags]
    assert tags.count("table") == tags.count("caption") == tags.count("thead") > DRAWN
    assert all("scope" in attributes for tag, attributes in page.tags if tag == "th")
    for _, attributes in (each for each in page.tags if each[0] == "svg"):
        assert attributes.get("aria-label") or attributes.get("aria-hidden") == "true"
    assert ("html", {"lang": "en"}) in page.tags
    assert tags.count("h1") == tags.count("title") - tags.count("circle") == 1


def test_the_currencies_that_do_not_close_come_first_then_the_largest() -> None:
    statement = pages.statement(12)
    smallest = by_size(statement)[-1]
    assert set(by_size(statement)[:5]) < set(pages.CODES[:8])  # ten times as large as the others
    statement.currencies[smallest].residual_minor = 1
    assert by_size(statement)[0] == smallest
    assert "0.01" in page_of(statement).sheet


def test_the_largest_breaks_of_each_currency_come_in_turn() -> None:
    statement = pages.statement(3, 60)
    found = ranked(statement)
    assert sorted(each.id for each in found) == sorted(
        each.id for each in (*statement.breaks.new, *statement.breaks.persisting)
    )
    assert [each.currency for each in found[:6]] == by_size(statement) * 2
    for code in statement.currencies:
        amounts = [each.at_risk_minor for each in found if each.currency == code]
        assert amounts == sorted(amounts, reverse=True)
    sheet = page_of(statement).sheet
    for each in found[:LARGEST]:
        assert money(each.at_risk_minor, each.currency, code=True) in sheet
    assert "48 more are in the CSV: " in sheet
    assert "orders export --collection breaks --format csv" in sheet


def test_the_screen_lists_every_break_up_to_a_bound() -> None:
    page = page_of(MODEST)
    there = [*MODEST.breaks.new, *MODEST.breaks.persisting]
    assert all(each.order_id in page.screen for each in (*there, *MODEST.breaks.resolved))
    told = page_of(HUGE)
    listed = sum(text.startswith("ord-56faae8d") and len(text) == 21 for text in told.screen)
    assert listed == LISTED_MAX + len(HUGE.breaks.resolved) + LARGEST
    assert f"5,000 breaks open; the first {LISTED_MAX:,} are here, the rest in the CSV" in told.screen


def test_a_long_id_keeps_both_its_ends_on_the_sheet() -> None:
    long = "customer-4711-order-2026-01-05-000000017"
    breaks = [msgspec.structs.replace(each, order_id=long) for each in MODEST.breaks.new]
    page = page_of(msgspec.structs.replace(MODEST, breaks=msgspec.structs.replace(MODEST.breaks, new=breaks)))
    assert long in page.screen
    assert long not in page.sheet
    assert "customer-4…-000000017" in page.sheet


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        (pages.statement(0, 0, 0, 0), "Every amount is explained, and nothing is open."),
        (pages.statement(1, 1), "Every amount is explained. 1 break is open, in 1 order."),
        (MODEST, "Every amount is explained. 40 breaks are open, in 40 orders."),
        (HUGE, "Don't book this day yet."),
    ],
)
def test_the_verdict_is_a_sentence(statement: Statement, said: str) -> None:
    assert said in page_of(statement).sheet


def test_a_day_that_has_not_ended_says_so() -> None:
    assert "provisional" not in page_of(MODEST).sheet
    assert "provisional" in page_of(msgspec.structs.replace(MODEST, provisional=True)).sheet


def luminance(colour: str) -> float:
    channels = [int(part * (2 if len(part) == 1 else 1), 16) / 255 for part in re.findall("..?", colour)]
    if len(colour) == 3:
        channels = [int(part * 2, 16) / 255 for part in colour]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_texts_stand_out_from_what_is_behind_them(scheme: int) -> None:
    colours = [dict(re.findall(r"--(\w+):#([0-9a-f]+)", each)) for each in re.findall(r":root{([^}]*)}", STYLE)][scheme]
    behind = {"ink": ("paper", "faint", "h1", "h2", "h3", "h4"), "soft": ("paper", "faint")} | dict.fromkeys(
        ("up", "wrong", "good"), ("paper",)
    )
    for text, papers in behind.items():
        for paper in papers:
            one, other = sorted((luminance(colours[text]), luminance(colours[paper])))
            assert (other + 0.05) / (one + 0.05) >= 4.5, (text, paper)
