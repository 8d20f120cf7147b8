"""A Domain and a Chromium for the tests of this room."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

import syft_ext as sy
from tests.nodes import NodeProcess
from tests.open_site import open_policy
from tests.sdk.live import EMAIL, PASSWORD
from tests.user_folder import fresh_user

OWNER = {"GRID_OWNER_EMAIL": EMAIL, "GRID_OWNER_PASSWORD": PASSWORD}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    program = shutil.which("chromium") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("no Chromium on this machine")
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def domain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeProcess]:
    """One in which anybody hosts and takes part."""
    home = tmp_path_factory.mktemp("browser")
    node = NodeProcess(
        "domain", home / "north", ["--name", "north", "--port", "0", "--host", "127.0.0.1"], environment=OWNER
    )
    with fresh_user(home / "owner"):
        owner = sy.login(node.url, EMAIL, PASSWORD)
        owner.call(open_policy())
        owner.close()
    yield node
    node.kill()


@pytest.fixture
def new_page(browser: Browser, domain: NodeProcess) -> Iterator[Callable[[], Page]]:
    """Opens a page of the Domain, in a browser that was never there, with what ``peer.js`` defines."""
    with contextlib.ExitStack() as stack:

        def opened() -> Page:
            context = browser.new_context()
            stack.callback(context.close)
            context.add_init_script(path=Path(__file__).parent / "peer.js")
            page = context.new_page()
            page.goto(domain.url)
            return page

        yield opened


@pytest.fixture
def page(new_page: Callable[[], Page]) -> Page:
    """One such page."""
    return new_page()
