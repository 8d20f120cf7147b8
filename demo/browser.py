"""A person with a browser, without a window: opens the link of an invitation, reads, agrees, and takes part."""

from __future__ import annotations

import shutil
from pathlib import Path

__all__ = ["CHROMIUM", "train_in_browser"]

CHROMIUM = "chromium"
_PATIENCE = 180_000  # milliseconds for each step


def train_in_browser(link: str, file: Path) -> None:
    """Take part with ``file``, a CSV, until the training is complete. Raises what Playwright raises where the page
    does something else."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which(CHROMIUM), args=["--no-sandbox"])
        page = browser.new_context(locale="en-GB").new_page()
        page.set_default_timeout(_PATIENCE)
        page.goto(link)
        page.get_by_role("button", name="Use the invitation").click()
        page.get_by_role("button", name="I agree: choose data").click()
        page.locator("#csv").set_input_files(file)
        page.get_by_role("button", name="Take part").click()
        page.get_by_role("heading", level=1, name="The training is complete").wait_for()
        browser.close()
