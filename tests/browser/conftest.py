"""A served platform and a Chromium to look at it with."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from playwright.async_api import Browser, BrowserContext

from browser.site import Site, find_chromium, open_chromium, open_site

WITHOUT_CHROMIUM = "there is no Chromium here: apt-get install chromium"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.slow)
            item.add_marker(pytest.mark.skipif(find_chromium() is None, reason=WITHOUT_CHROMIUM))


@pytest.fixture
async def site(database_url: str, tmp_path: Path) -> AsyncIterator[Site]:
    """The platform, served."""
    async with open_site(database_url, tmp_path) as site:
        yield site


@pytest.fixture
async def chromium() -> AsyncIterator[Browser]:
    """A Chromium of its own."""
    async with open_chromium() as browser:
        yield browser


@pytest.fixture
async def phone(chromium: Browser) -> BrowserContext:
    """An English reader's phone."""
    return await chromium.new_context(
        viewport={"width": 390, "height": 844}, locale="en", reduced_motion="reduce"
    )
