"""Evidence: a statement's page prints on one sheet, however much the day has to tell.

python -m orders_platform_tests.e2e.sheets --to DIRECTORY

Needs Chromium. Writes the pages and what was printed to the directory.
"""

import argparse
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from orders_platform.local import chromium
from orders_platform.reports.render import html
from orders_platform.reports.statement import Statement
from orders_platform_tests.reports import pages

DAYS: dict[str, Statement] = {
    "nothing-ever": pages.statement(0, 0, 0, 0),
    "quiet": pages.statement(1, 0, 0, 0),
    "normal": pages.statement(2, 40, 7, 3),
    "four-currencies": pages.statement(4, 200, 9, 5),
    "six-currencies": pages.statement(6, 1_300, 12, 6),
    "every-kind": pages.statement(6, 1_300, len(pages.KINDS), 9),
    "twenty-currencies": pages.statement(20, 1_300, 12, 6),
    "everything": pages.statement(24, 3_000, len(pages.KINDS), 9, residuals=8, suspects=30),
}


def printed(browser: Path, page: Path, profile: Path) -> int:
    """Print a page to a PDF beside it and return how many sheets that took."""
    sheet = page.with_suffix(".pdf")
    options = ["--headless", "--no-sandbox", "--no-pdf-header-footer", f"--user-data-dir={profile}"]
    subprocess.run(
        [browser, *chromium.OPTIONS, *options, f"--print-to-pdf={sheet}", page.as_uri()],
        check=True,
        capture_output=True,
        timeout=120,
    )
    return len(re.findall(rb"/Type\s*/Page\b", sheet.read_bytes()))


def main() -> int:
    """Print a page of each kind of day; the exit status is 1 if one takes more than a sheet."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--to", type=Path, required=True, help="Where pages and sheets are written.")
    arguments.add_argument("--only", choices=DAYS, nargs="*", default=list(DAYS), help="Only these days.")
    chosen = arguments.parse_args()
    browser = chromium.ensure_chromium()
    chosen.to.mkdir(parents=True, exist_ok=True)
    most = 0
    with tempfile.TemporaryDirectory() as profile:
        for name in chosen.only:
            page = chosen.to.resolve() / f"{name}.html"
            page.write_bytes(html(DAYS[name], pages.changes() if name == "everything" else None, pages.rates()))
            sheets = printed(browser, page, Path(profile))
            most = max(most, sheets)
            print(f"{name}: {page.stat().st_size:,} bytes, {sheets} sheet{'s' * (sheets != 1)}")
    return most > 1


if __name__ == "__main__":
    sys.exit(main())
