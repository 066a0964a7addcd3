"""The README's pictures of the live page, of a generated stream as it is matched.

python -m orders_platform_tests.live.pictures --to docs/images

Needs Chromium and pngquant; takes some minutes, as the curves need something to show.
"""

import argparse
import math
import subprocess
import tempfile
from pathlib import Path
from random import Random

from playwright.sync_api import Browser, Page, expect, sync_playwright

from orders_platform.local import broker, chromium, mongod
from orders_platform.store import schema
from orders_platform.store.client import connect
from orders_platform_tests.live.serving import Server
from orders_platform_tests.live.shop import MINUTE_MS, Shop, Topics

ORDERS = 60_000
BEHIND_MS = 20 * MINUTE_MS
BATCHES = 110
DATABASE = "orders_platform"


def earlier(random: Random) -> list[tuple[int, int, int]]:
    """Some quiet minutes, in one of which the matcher was away."""
    minutes = []
    for ago in range(1, 30):
        messages = int(420 + 120 * math.sin(ago / 6) + random.randrange(90))
        waited_ms = random.randrange(600, 1_400)
        if ago == 11:
            messages, waited_ms = 60, 19_000
        if ago == 10:
            messages, waited_ms = 2 * messages, 41_000
        minutes.append((ago, messages, waited_ms))
    return minutes


def go_on(shop: Shop, random: Random, page: Page, batches: int, messages: int) -> None:
    for _ in range(batches):
        shop.go_on(random.randrange(messages // 2, messages * 3 // 2 + 1))
        page.wait_for_timeout(600)


def opened(browser: Browser, server: Server, width: int, height: int, scheme: str) -> Page:
    context = browser.new_context(
        viewport={"width": width, "height": height},
        color_scheme="dark" if scheme == "dark" else "light",
    )
    page = context.new_page()
    page.goto(server.url)
    expect(page.locator("#word")).to_have_text("matching")
    return page


def take(to: Path, shop: Shop, server: Server) -> None:
    random = Random(3)
    with sync_playwright() as playwright:
        program = chromium.ensure_chromium()
        browser = playwright.chromium.launch(executable_path=program, args=list(chromium.OPTIONS))
        messages = len(shop.coming) // (BATCHES + 30)
        go_on(shop, random, browser.new_page(), 15, messages)
        desk = opened(browser, server, 1180, 1000, "light")
        go_on(shop, random, desk, BATCHES, messages)
        desk.screenshot(path=to / "live.png", full_page=True)
        phone = opened(browser, server, 390, 844, "dark")
        go_on(shop, random, phone, 5, messages)
        phone.locator("#breaks tr", has_text="refund due").first.get_by_role("link").click()
        expect(phone.locator("#story_body .line li").first).to_be_visible()
        phone.screenshot(path=to / "live-phone-dark.png")
        browser.close()
    for name in ("live.png", "live-phone-dark.png"):
        subprocess.run(["pngquant", "--force", "--ext", ".png", "--speed", "1", to / name], check=True)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--to", type=Path, required=True, help="Where the pictures are written.")
    to: Path = arguments.parse_args().to
    with tempfile.TemporaryDirectory() as directory:
        home = Path(directory) / "home"
        broker.start(home)
        mongod.start(home)
        store = connect(mongod.uri(home), DATABASE)
        schema.migrate(store)
        shop = Shop(store, Topics(broker.bootstrap_servers(home), "shop"), ORDERS, "UTC", behind_ms=BEHIND_MS, seed=7)
        server = Server(home, **shop.settings(mongod.uri(home)))
        try:
            shop.close_yesterday()
            shop.restart()
            shop.remember(earlier(Random(5)))
            server.start()
            take(to, shop, server)
        finally:
            server.stop()
            store.close()
            mongod.stop(home)
            broker.stop(home)


if __name__ == "__main__":
    main()
