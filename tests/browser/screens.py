"""Takes the pictures of docs/screens (`make screens`), or of every page with `--all DIRECTORY`."""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests"))

from playwright.async_api import Browser, Page  # noqa: E402 (found by the path above)

from browser.site import Site, open_chromium, open_site, sign_in  # noqa: E402
from browser.stage import fill  # noqa: E402
from xinghan.kit.embedded import EmbeddedPostgres  # noqa: E402
from xinghan.kit.migrate import migrate  # noqa: E402

SCREENS = ROOT / "docs" / "screens"
PHONE, DESK = (390, 844), (1440, 900)
# page, size, colours, language
SHOWN = {
    "order-phone": ("waiting", PHONE, "light", "zh-CN"),
    "order-paid-phone": ("paid", PHONE, "dark", "en"),
    "order-desk": ("waiting", DESK, "light", "en"),
    "operator-overview": ("overview", DESK, "light", "en"),
    "operator-trade": ("trade", DESK, "dark", "zh-CN"),
    "operator-account-phone": ("account", PHONE, "light", "zh-CN"),
}


async def photograph(everything: Path | None, data: Path) -> None:
    """Serve, fill and photograph."""
    with EmbeddedPostgres(data / "database") as embedded:
        await migrate(embedded.owner_url)
        async with open_site(embedded.owner_url, data) as site, open_chromium() as browser:
            pages = await fill(site, data)
            if everything is None:
                await take_shown(browser, site, pages, SCREENS)
            else:
                await take_all(browser, site, pages, everything)


async def take_shown(browser: Browser, site: Site, pages: dict[str, str], directory: Path) -> None:
    """Take the few pictures of the documentation."""
    for name, (page_name, size, colours, language) in SHOWN.items():
        page = await open_page(browser, site, size, colours, language)
        await page.goto(pages[page_name])
        await page.screenshot(path=directory / f"{name}.png")
        await page.context.close()


async def take_all(browser: Browser, site: Site, pages: dict[str, str], directory: Path) -> None:
    """Take every page whole, on a phone and a desk, in both colours, half of them in Chinese."""
    for size, colours, language in (
        (PHONE, "light", "zh-CN"),
        (PHONE, "dark", "en"),
        (DESK, "light", "en"),
        (DESK, "dark", "zh-CN"),
    ):
        page = await open_page(browser, site, size, colours, language)
        for name, address in pages.items():
            await page.goto(address)
            path = directory / f"{name}-{size[0]}-{colours}.png"
            await page.screenshot(path=path, full_page=True)
        await page.context.close()


async def open_page(
    browser: Browser, site: Site, size: tuple[int, int], colours: str, language: str
) -> Page:
    """Open an empty page of somebody who is signed in."""
    context = await browser.new_context(
        viewport={"width": size[0], "height": size[1]},
        color_scheme=colours,
        locale=language,
        reduced_motion="reduce",
    )
    page = await context.new_page()
    await sign_in(page, site)
    return page


def main() -> None:
    """Read the command line and begin."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--all", type=Path, metavar="DIRECTORY", help="every page, in every way")
    everything: Path | None = parser.parse_args().all
    with TemporaryDirectory() as directory:
        data = Path(directory)
        data.chmod(0o711)  # the server's account passes through it
        asyncio.run(photograph(everything, data))


if __name__ == "__main__":
    main()
