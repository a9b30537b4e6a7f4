"""The replay page in a real Chromium: a session is built, replayed as live, and LIVE returns."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from playwright.sync_api import Page, expect, sync_playwright

from tests.e2e.running_system import System
from tests.e2e.test_dashboard import CHROMIUM, FLAGS, START_S, STEP_S, Tab, _open_tab

pytestmark = pytest.mark.e2e

RECORDED_S = 30.0
ENOUGH_LINES = 3_000
WAIT_MS = STEP_S * 1000


@pytest.fixture
def tab(system: System) -> Iterator[Tab]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        viewport = {"width": 1440, "height": 1100}
        tab = _open_tab(browser, system, viewport=viewport, color_scheme="dark")
        yield tab
        browser.close()
        assert tab.complaints == []


def _build(page: Page, name: str) -> None:
    """At most the last half minute; the newest second may still be on its way to the disk."""
    to = datetime.now(UTC) - timedelta(seconds=2)
    for field, moment in (("from", to - timedelta(seconds=RECORDED_S)), ("to", to)):
        page.fill(f"#b-{field}", f"{moment:%Y-%m-%dT%H:%M:%S}")
    page.fill("#b-symbols", "btcusdt ethusdt")
    page.fill("#b-id", name)
    page.click("#build-form button[type=submit]")
    expect(page.locator("#build-outcome")).to_contain_text("is built", timeout=START_S * 1000)
    expect(page.locator("#sessions")).to_contain_text(name)


def _recorded_lines(system: System) -> int:
    beats = system.beats()
    return (
        0
        if "market" not in beats
        else int(beats["market"].details.get("recorder", {}).get("writtenLines", 0))
    )


def _connected(system: System) -> bool:
    return bool(system.beats()["market"].details.get("connected"))


def test_a_session_is_built_replayed_as_live_and_live_returns(tab: Tab, system: System) -> None:
    page = tab.page
    system.until(lambda: _recorded_lines(system) > ENOUGH_LINES, "a recording", START_S)
    tab.go("/replay/")
    _build(page, "e2e-session")

    page.select_option("#run-speed", "0.5")
    page.click("button[aria-label='Run e2e-session']")
    page.click("#confirm-yes")

    expect(page.locator("#now-line")).to_contain_text(
        "Replaying e2e-session", timeout=START_S * 1000
    )
    expect(page.locator("#mode-badge")).to_contain_text("REPLAY MODE")
    expect(page.locator("#replay-session")).to_have_text("Session: e2e-session @ 0.5x")
    first = page.locator("#now-index").inner_text()
    expect(page.locator("#now-index")).not_to_have_text(first, timeout=WAIT_MS)
    assert not _connected(system)
    tab.shoot("replay-page")

    page.click("#pause")
    expect(page.locator("#pause")).to_have_text("Resume", timeout=WAIT_MS)
    tab.go("/")
    tab.wait(  # the page may still be waiting for its first snapshot
        "live.state.system?.mode === 'REPLAY' && Object.keys(live.state.symbols ?? {}).length === 2"
    )
    assert tab.page.evaluate("document.body.dataset.mode") == "REPLAY"
    tab.go("/trades/")
    expect(page.locator("#replay-session")).to_contain_text("e2e-session")
    expect(page.locator("#live-rows")).to_be_visible()

    tab.go("/replay/")
    expect(page.locator("#pause")).to_be_enabled()
    page.click("#pause")
    tab.go("/symbol/BTCUSDT/")
    tab.wait("live.state.quote?.mid > 0")
    before = tab.page.evaluate("live.state.system.marketTs")
    tab.wait(f"live.state.system?.marketTs > '{before}'")
    tab.shoot("replay-symbol")

    tab.go("/replay/")
    page.select_option("#speed-now", "null")
    expect(page.locator("#now-line")).to_contain_text("ended", timeout=WAIT_MS)
    expect(page.locator("#mode-badge")).to_contain_text("SIM")
    system.until(lambda: _connected(system), "the live feed back")
    page.locator("#runs a.strong").first.click()
    expect(page.locator("h1")).to_contain_text(re.compile("Run p[0-9a-f]{10}"))
    tab.shoot("replay-run")

    tab.go("/trades/")
    expect(page.locator("#live-rows")).to_be_hidden()
