"""The summary for terminals: short whatever a day, or a revision of it, has to tell."""

import msgspec

from orders_platform.reports.summary import CHANGES_TOLD, markdown
from orders_platform_tests.reports import pages


def test_it_says_what_came_late_first_and_does_not_go_on_for_pages() -> None:
    statement = msgspec.structs.replace(pages.statement(6, 300, 12), revision=2, replaces=1)
    lines = markdown(statement, pages.changes(figures=200, late=20)).splitlines()
    told = [line for line in lines if line.startswith("- ")]
    assert told[0] == "- late: payment_captured evt-0 of order ord-0, which occurred at 2026-01-05T10:00:00Z"
    assert told[10] == "- and 10 more late events"
    assert told[11] == "- breaks that appeared: ord-1:unpaid"
    assert len(told) == CHANGES_TOLD + 1
    assert told[-1] == (
        f"- and {213 - CHANGES_TOLD} more, which the page of `orders report {statement.date} --html FILE` tells"
    )
    assert len(lines) < 80


def test_a_short_revision_is_told_whole() -> None:
    statement = msgspec.structs.replace(pages.statement(1, 3), revision=2, replaces=1)
    text = markdown(statement, pages.changes(figures=2, late=1))
    assert "Revision 2 replaces 1:" in text
    assert text.rstrip().endswith("- currencies.EUR.figure_1: 1 became 2")
