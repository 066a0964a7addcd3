"""Both shapes, held against what is promised of them."""

import re
from pathlib import Path

import msgspec
import pytest

from orders_platform.alerts import causes
from orders_platform.alerts.ledger import WAITING_MAX, Ledger, Notice, delivered, take
from orders_platform.alerts.payloads import as_json, as_slack
from orders_platform_tests.alerts.receiver import Plain, Section, Slack

DAY = causes.Days("2026-01-05", "2026-01-05")
ALL = [
    causes.check_failed("matched_orders", "no_event_twice", None, "Order ord-7 holds an event twice.", "3"),
    causes.check_failed("daily_statement", "closes", DAY, "It does not close.", "4"),
    causes.breaker_open("The matcher ended 5 times.", "Read its log."),
    causes.statement_late("2026-01-05", "Europe/Paris", "6h"),
    causes.run_failed("close_day", DAY, "MongoDB can't be reached.", "8d1f"),
]
PAGE = (Path(__file__).resolve().parents[2] / "docs" / "alerts.md").read_text()


def notices(found: list[causes.Cause] = ALL) -> tuple[Notice, ...]:
    began = take(Ledger(since_ms=0), found, set(), 1_700_000_000_000)
    over = take(delivered(began), [], {each.key for each in found}, 1_700_000_000_001)
    return (*began.waiting, *over.waiting)


def test_json_says_it_all() -> None:
    sent = msgspec.json.decode(as_json("shop", notices(), 1_700_000_000_002), type=Plain)
    assert (sent.source, sent.sent_at) == ("shop", "2023-11-14T22:13:20.002Z")
    assert [each.state for each in sent.alerts] == ["began"] * 5 + ["over"] * 5
    assert [each.key for each in sent.alerts] == [each.key for each in ALL] * 2
    assert sent.alerts[1].title == "The check closes of daily_statement for 2026-01-05 failed."
    assert (sent.alerts[2].text, sent.alerts[2].fix) == ("The matcher ended 5 times.", "Read its log.")
    assert len({each.id for each in sent.alerts}) == 10


def test_slack_has_a_block_for_each() -> None:
    sent = msgspec.json.decode(as_slack("shop", notices(), 0), type=Slack)
    sections = [block.text.text for block in sent.blocks if isinstance(block, Section)]
    assert len(sections) == 10
    assert sections[3].splitlines()[0] == ":red_circle: *The statement of 2026-01-05 is late.*"
    assert sections[8] == ":large_green_circle: *The statement of 2026-01-05 is kept.*"
    assert sent.text.startswith("shop: The check no_event_twice")


@pytest.mark.parametrize("text", ["<!channel> <https://evil|x> & co", "&<>" * 9999, "a\nb\x00\x1b[31m\u2028c", "", " "])
def test_what_a_check_says_neither_calls_anybody_nor_breaks_the_shape(text: str) -> None:
    many = [
        causes.check_failed(f"<a{text}>", f"&c{text}", causes.Days(text, text), text, str(number))
        for number in range(1)
    ]
    many += [causes.breaker_open(text, text), causes.run_failed(f"j{text}", causes.Days(text, "z"), text, "r")]
    msgspec.json.decode(as_json("shop", notices(many), 0), type=Plain)
    msgspec.json.decode(as_slack("<shop>", notices(many), 0), type=Slack)


def test_the_largest_message_fits_in_slack() -> None:
    many = [causes.check_failed("&" * 99, f"{'<' * 99}{number}", None, ">" * 9999, "1") for number in range(99)]
    waiting = take(Ledger(since_ms=0), many, set(), 1).waiting
    assert len(waiting) == WAITING_MAX
    msgspec.json.decode(as_slack("shop", waiting, 0), type=Slack)


def test_the_page_shows_what_is_sent() -> None:
    plain, slack = re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)
    shown = msgspec.json.decode(plain, type=Plain)
    (notice,) = take(Ledger(since_ms=0), [causes.statement_late("2026-01-05", "UTC", "6h")], set(), 1).waiting
    assert (shown.alerts[0].title, shown.alerts[0].text, shown.alerts[0].fix) == (
        notice.title, notice.text, notice.fix
    )  # fmt: skip
    assert msgspec.json.decode(slack) == msgspec.json.decode(as_slack("orders_platform", [notice], 1))
