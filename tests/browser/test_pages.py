"""Every page in a real browser: nothing overflows or leaves the origin; everybody can use it."""

from pathlib import Path

from playwright.async_api import Browser, BrowserContext, Page, Request, expect

from browser.site import Site, sign_in
from browser.stage import fill
from xinghan.payments.model import Payment

AXE = Path(__file__).parent / "node_modules" / "axe-core" / "axe.min.js"
WIDTHS = (320, 390, 768, 1440)
HOSTILE = "<script>document.title='stolen'</script><img src=x onerror=alert(1)>\"'{{7*7}}"
# A page's own scrolling regions may be wider than the page; the page itself may not.
OVERFLOW = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
WCAG = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]


def listen(page: Page, site: Site) -> list[str]:
    """Gather what a page must never do: leave its origin, or fail."""
    faults: list[str] = []

    def check(request: Request) -> None:
        if not request.url.startswith(site.url):
            faults.append(f"asked {request.url}")

    page.on("request", check)
    page.on("pageerror", lambda error: faults.append(f"failed: {error}"))
    page.on("console", lambda line: line.type == "error" and faults.append(line.text))
    return faults


async def audit(page: Page) -> list[str]:
    """Name what axe finds wrong, and where."""
    found = await page.evaluate(
        "tags => axe.run(document, {runOnly: tags}).then(found => found.violations)", WCAG
    )
    return [f"{one['id']}: {node['html'][:120]}" for one in found for node in one["nodes"]]


async def test_every_page_fits_stays_and_can_be_used(
    chromium: Browser, site: Site, tmp_path: Path
) -> None:
    pages = await fill(site, tmp_path)
    for colours, language in (("light", "zh-CN"), ("dark", "en")):
        context = await chromium.new_context(
            color_scheme=colours, locale=language, reduced_motion="reduce", bypass_csp=True
        )
        page = await context.new_page()
        faults = listen(page, site)
        await page.goto(f"{site.url}/operator/sign-in")
        await page.add_script_tag(content=AXE.read_text(encoding="utf-8"))
        assert await audit(page) == []
        await sign_in(page, site)
        for name, address in pages.items():
            await page.goto(address)
            for width in WIDTHS:
                await page.set_viewport_size({"width": width, "height": 800})
                assert await page.evaluate(OVERFLOW) <= 0, f"{name} overflows at {width}"
            await page.add_script_tag(content=AXE.read_text(encoding="utf-8"))
            assert await audit(page) == [], f"{name} in {colours}"
        unfound = [fault for fault in faults if "404" not in fault]
        assert unfound == []


async def test_the_page_says_at_once_that_the_order_was_paid(
    phone: BrowserContext, site: Site
) -> None:
    order = await site.make_order(2800, subject="Oolong")
    page = await phone.new_page()
    faults = listen(page, site)
    await page.goto(site.page_of(order))
    await expect(page.get_by_role("heading", name="28.00")).to_be_visible()
    await expect(page.get_by_role("img", name="QR code of this order")).to_be_visible()
    left = page.locator("time[data-left]")
    before = await left.text_content()
    await expect(left).not_to_have_text(before or "")
    lin = site.sale.payer
    await site.sale.payments.pay(Payment(order.id, lin.id, site.sale.payer_account, "lin"))
    await expect(page.get_by_role("heading", name="Payment received")).to_be_visible()
    await expect(page.locator("#announce")).to_have_text("Paid")
    await expect(page.locator("#how-sandbox")).to_have_count(0)
    await site.sale.refund(order, 2800)
    await expect(page.get_by_role("heading", name="All of it was given back")).to_be_visible()
    assert faults == []


async def test_what_a_shop_writes_is_text_and_never_a_script(
    phone: BrowserContext, site: Site
) -> None:
    order = await site.make_order(2800, subject=HOSTILE)
    page = await phone.new_page()
    faults = listen(page, site)
    await page.goto(site.page_of(order))
    await expect(page.locator(".subject")).to_have_text(HOSTILE)
    await sign_in(page, site)
    await page.goto(f"{site.url}/operator/trades")
    await expect(page.locator("tbody th")).to_have_text(HOSTILE)
    await page.goto(f"{site.url}/operator/find?number={HOSTILE[:40]}")
    assert await page.title() == "Nothing found · Xinghan"
    await page.goto(f"{site.url}/q/<script>document.title='stolen'</script>")
    assert await page.title() == "This page cannot be shown · Xinghan"
    assert [fault for fault in faults if "404" not in fault] == []


async def test_an_order_can_be_read_without_scripts(chromium: Browser, site: Site) -> None:
    order = await site.make_order(2800)
    context = await chromium.new_context(java_script_enabled=False, locale="en")
    page = await context.new_page()
    await page.goto(site.page_of(order))
    await expect(page.get_by_role("link", name="Refresh the state")).to_be_visible()
    assert await page.locator("meta[http-equiv=refresh]").count() == 1
    await site.sale.payments.close(order.id, site.sale.merchant.id, site.sale.app_id)
    await page.get_by_role("link", name="Refresh the state").click()
    await expect(page.get_by_role("heading", name="This order is closed")).to_be_visible()


async def test_the_language_can_be_switched_and_stays(phone: BrowserContext, site: Site) -> None:
    order = await site.make_order(2800)
    page = await phone.new_page()
    await page.goto(site.page_of(order))
    await page.get_by_role("link", name="中文").click()
    await expect(page.get_by_text("等待支付")).to_be_visible()
    await page.goto(site.page_of(order))
    assert await page.locator("html").get_attribute("lang") == "zh-CN"


async def test_the_operator_finds_a_trade_by_keyboard_and_signs_out(
    phone: BrowserContext, site: Site
) -> None:
    trade = await site.pay(2800, subject="Oolong")
    page = await phone.new_page()
    await page.goto(f"{site.url}/operator/trades")
    await page.get_by_label("Operator's token").fill(site.token)
    await page.keyboard.press("Enter")
    await page.get_by_role("link", name="Oolong").focus()
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", name="Timeline")).to_be_visible()
    await expect(page.get_by_text(trade.out_trade_no, exact=True)).to_be_visible()
    await page.get_by_role("button", name="Sign out").click()
    await page.goto(f"{site.url}/operator/trades")
    await expect(page.get_by_role("heading", name="Operator sign-in")).to_be_visible()
