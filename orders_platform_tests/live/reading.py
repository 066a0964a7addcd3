"""What a person reads off the page."""

from collections.abc import Callable
from typing import Any

from playwright.sync_api import Page, expect

from orders_platform.store.client import Store


def rows(page: Page, selector: str) -> list[list[str]]:
    """The texts of a table's rows; a cell that only draws has none."""
    return page.locator(selector).evaluate(
        "table => [...table.querySelectorAll('tr')].map(row => [...row.cells].map(cell => cell.textContent))"
    )


def until(page: Page, what: Callable[[], Any], wanted: Any) -> None:
    """Wait until something on the page is as wanted."""
    for _ in range(200):
        if what() == wanted:
            return
        page.wait_for_timeout(100)
    seen = what()
    assert seen == wanted, f"{seen} is not {wanted}"


def shows_all_of(page: Page, store: Store) -> None:
    """Wait until the page counts as many orders as are stored."""
    expect(page.locator("#stored")).to_have_text(f"{store.orders.count_documents({}):,}")


def hide(page: Page, is_hidden: bool) -> None:
    """Let the page's tab go out of sight, or come back."""
    page.evaluate(_HIDE, is_hidden)


_HIDE = """isHidden => {
  Object.defineProperty(document, "hidden", { configurable: true, get: () => isHidden });
  document.dispatchEvent(new Event("visibilitychange"));
}"""


def words(name: str) -> str:
    """A name of the rules as the page writes it."""
    return name.replace("_", " ")
