"""The live page drawn from documents that a test wrote, as no shop is like that just now."""

from typing import Any

import pytest
from playwright.sync_api import expect

from orders_platform_tests.live.conftest import BARE, Visit, told
from orders_platform_tests.live.reading import rows, until

pytestmark = pytest.mark.services


def test_a_day_that_is_not_counted_says_so(visit: Visit) -> None:
    page = told(visit, BARE | {"day": None})
    expect(page.locator("#day_note")).to_contain_text("Not counted")
    assert page.locator("#bridges").is_hidden()


def test_a_step_of_the_bridge_is_right_where_its_sums_are_too_large_to_be(visit: Visit) -> None:
    bridge = {**dict.fromkeys(BRIDGE, 0), "opening_minor": 2**53, "placed_minor": 1, "captured_minor": 12_345}
    day = {"date": "2026-01-05", "time_zone": "UTC", "match_rate": 1, "currencies": {"EUR": bridge}}
    page = told(visit, BARE | {"day": day, "digits": {"EUR": 2}})
    expect(page.locator("#bridges tbody")).to_be_visible()
    steps = {name: amount for name, _, amount in rows(page, "#bridges tbody")}
    assert (steps["placed"], steps["cancelled"], steps["captured"]) == ("+0.01", "-", "-123.45")
    assert steps["opening"] == "≈90,071,992,547,409.92"


BRIDGE = (
    *("opening_minor", "placed_minor", "cancelled_minor", "captured_minor", "refunded_minor", "charged_back_minor"),
    *("chargebacks_reversed_minor", "corrections_minor", "closing_minor", "residual_minor"),
)


def test_what_has_no_name_is_called_none(visit: Visit) -> None:
    orders = [{"status": status, "outcome": "break", "currency": "EUR", "orders": 1} for status in (None, "orphan")]
    at_risk = [{"kind": kind, "currency": "EUR", "breaks": 1, "at_risk_minor": 5} for kind in (None, "orphan")]
    page = told(visit, BARE | {"orders": orders, "at_risk": at_risk})
    until(page, lambda: [row[0] for row in rows(page, "#statuses")], ["none", "orphan"])
    assert [row[0] for row in rows(page, "#kinds")] == ["none", "orphan"]


def counted(at: str) -> dict[str, Any]:
    """A document of 10:00, counted at an earlier time: full minutes until 9:50, of which not all was over."""
    minutes = [
        {"minute": f"2026-01-05T09:{minute:02}:00.000Z", "messages": 6_000, "longest_wait_ms": 900}
        for minute in range(1, 51)
    ]
    matcher = {"state": "running", "epoch": 1, "silent_ms": 0, "batch_id": None, "messages": 0, "dead_letters": 0}
    return BARE | {
        "counted_at": f"2026-01-05T{at}.000Z",
        "minutes": minutes,
        "restarts": 2,
        "dead_letters": {},
        "matcher": matcher | {"started_at": "2026-01-05T09:00:00.000Z"},
    }


def test_minutes_that_are_not_counted_yet_are_not_drawn_as_none(visit: Visit) -> None:
    page = told(visit, counted("09:50:30"))
    canvas = page.locator("#rate_curve canvas")
    expect(canvas).to_be_visible()
    until(page, lambda: 0.75 < canvas.evaluate(LAST) < 0.86, True)


# How far to the right of the canvas, beside its axis, the curve's blue reaches.
LAST = """canvas => {
  const { width, height } = canvas;
  const copy = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
  copy.drawImage(canvas, 0, 0);
  const data = copy.getImageData(0, 0, width, height).data;
  const left = 60 * devicePixelRatio;
  for (let x = width - 1; x > left; x--)
    for (let y = 0; y < height; y++) {
      const at = 4 * (y * width + x);
      if (data[at + 3] > 200 && data[at + 2] - data[at] > 60) return (x - left) / (width - left);
    }
  return -1;
}"""


@pytest.mark.parametrize(("at", "note"), [("09:59:52", ""), ("09:59:20", "as of 40 s ago")])
def test_what_was_counted_a_while_ago_says_when(visit: Visit, at: str, note: str) -> None:
    page = told(visit, counted(at))
    expect(page.locator("#life")).to_have_text("life 1")
    expect(page.locator("#letters_at")).to_have_text(note)
    expected = ", ".join(filter(None, ("2", note)))
    assert dict(rows(page, "#matcher"))["restarts in 24 h"] == expected
    expect(page.locator("#life_note")).to_have_text(expected.replace("2", "2 restarts in 24 h", 1))
