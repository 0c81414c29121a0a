"""Take screenshots of every admin page, wide and narrow, light and dark: ``make screenshots``."""

import argparse
import os
import sys
import tempfile
from pathlib import Path

from segments_project.server.bundled_servers import redis_server
from tests.support import chromium
from tests.support.installation import Installation, installation

FOLDER = Path(__file__).resolve().parents[2] / "screenshots"
CUSTOMERS = 1_500


def main() -> None:
    """Create and serve the sample shop, and take the screenshots."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where the pictures go")
    parser.add_argument("--customers", type=int, default=CUSTOMERS, metavar="N", help="people in the shop")
    parser.add_argument("pages", nargs="*", help="parts of the names of pages (default: all pages)")
    options = parser.parse_args()
    if not chromium.executable():
        sys.exit("There is no chromium on PATH. Install it, or name it in CHROMIUM.")
    with tempfile.TemporaryDirectory(prefix="segments-screenshots-") as home, redis_server() as redis:
        database = f"sqlite:///{home}/shop.sqlite3"
        with installation(database, redis.url, Path(home), options.customers) as shop:
            take(shop, options.folder, options.pages)


def take(shop: Installation, folder: Path, wanted: list[str]) -> None:
    """Take the screenshots of the chosen pages."""
    folder.mkdir(parents=True, exist_ok=True)
    with (
        chromium.browser() as browser,
        chromium.context(browser, shop.url, shop.sessions["admin"]) as context,
    ):
        page = context.new_page()
        for view, address in shop.addresses.items():
            if wanted and not any(part in view for part in wanted):
                continue
            page.goto(address)
            page.wait_for_load_state("networkidle")  # panels that come later
            for theme in chromium.THEMES:
                chromium.put_on(page, theme)
                for width in (chromium.WIDE, chromium.NARROW):
                    page.set_viewport_size({"width": width, "height": chromium.HEIGHT})
                    page.screenshot(path=folder / f"{view}-{width}-{theme}.png", full_page=True)
            sys.stderr.write(f"{view}\n")


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "segments_project.settings")
    os.environ.setdefault("SECRET_KEY", "for the screenshots only")
    os.environ.setdefault("DATABASE_URL", "sqlite://:memory:")
    main()
