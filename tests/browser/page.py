"""The page of a training in real Chromium: opened, driven, and watched for what it must never do."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

__all__ = ["Visitor", "chromium", "draw", "visit"]

#: Milliseconds that a step of the page may take on a machine with much else to do.
PATIENCE = 120_000
_WATCH = """
window.violations = [];
document.addEventListener('securitypolicyviolation', (event) => {
  window.violations.push(`${event.violatedDirective} ${event.blockedURI}`);
});
"""


@contextmanager
def chromium(*arguments: str) -> Iterator[Browser]:
    """Debian's Chromium, without a window; skips where it is not installed."""
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        pytest.skip("chromium is not installed: apt install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox", *arguments])
        try:
            yield browser
        finally:
            browser.close()


@dataclass
class Visitor:
    """Somebody with a browser: what their page said to its console, and asked of whom."""

    context: BrowserContext
    page: Page
    said: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    def check(self) -> None:
        """Nothing was refused by the page's policy, nothing went wrong unseen, nobody else was asked."""
        assert self.page.evaluate("window.violations") == []
        assert self.said == []
        origin = self.page.evaluate("location.origin")
        assert all(url.startswith((origin, "blob:", "data:")) for url in self.asked), self.asked

    def reopen(self) -> None:
        """Close the tab and open the page again in the same browser."""
        url = self.page.url
        self.page.close()
        self.page = self.context.new_page()
        self._watch()
        self.page.goto(url)

    def _watch(self) -> None:
        self.page.set_default_timeout(PATIENCE)
        self.page.add_init_script(_WATCH)
        self.page.on(
            "console", lambda line: line.type in ("error", "warning") and self.said.append(line.text)
        )
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("request", lambda request: self.asked.append(request.url))


@contextmanager
def visit(browser: Browser, url: str, **options: Any) -> Iterator[Visitor]:
    """Open a page in a browser profile of its own; at its end it is held against what it must not do."""
    context = browser.new_context(**{"locale": "en-GB", **options})
    visitor = Visitor(context, context.new_page())
    visitor._watch()
    visitor.page.goto(url)
    try:
        yield visitor
        visitor.check()
    finally:
        context.close()


def draw(page: Page, strokes: int = 1) -> None:
    """Draw a line on the page's canvas with the mouse, and keep the picture."""
    box = page.locator("canvas").bounding_box()
    assert box is not None
    for number in range(strokes):
        x = box["x"] + box["width"] * (0.3 + 0.1 * number)
        page.mouse.move(x, box["y"] + 40)
        page.mouse.down()
        page.mouse.move(x + 30, box["y"] + box["height"] - 40, steps=5)
        page.mouse.up()
    page.get_by_role("button", name="Keep it").or_(page.get_by_role("button", name="Guardar")).click()
