"""The browser's own client behind a NAT: what grid_js makes of a page's WebRTC, from signalling to a training."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, sync_playwright

import syft_ext as sy
from tests.browser.site import own_site
from tests.browser.trainings import columns_of, host, made_rows
from tests.coturn import Coturn
from tests.nat.bed import Bed, Nat
from tests.nat.chromium import MISSING, program
from tests.nat.site import STUN, TURN, Site
from tests.open_site import open_policy
from tests.sdk.live import EMAIL, PASSWORD

MEETING = """async address => {
    const { Connection, Identity, openTransport } = await import("/static/peer/grid.js");
    const connection = new Connection(openTransport(address), await Identity.generate());
    return connection.metadata().then(() => "answered", (error) => `${error.name}: ${error.message}`);
}"""
PEER = Path(__file__).parents[1] / "browser" / "peer.js"
pytestmark = pytest.mark.skipif(not program(), reason=MISSING)


@pytest.fixture(scope="module")
def page(bed: Bed, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """A page of a site in the browser's own network, in a Chromium that is there, too."""
    with (
        bed.standing_in("la"),
        own_site(tmp_path_factory.mktemp("site") / "www") as origin,
        sync_playwright() as playwright,
    ):
        browser = playwright.chromium.launch(
            executable_path=program(), args=["--no-sandbox"], timeout=120_000
        )
        page = browser.new_page()
        page.set_default_timeout(240_000)
        page.add_init_script(path=PEER)
        page.goto(origin)
        yield page
        browser.close()


@pytest.fixture(scope="module")
def site(bed: Bed, coturn: Coturn, page: Page, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    bed.translate("cone", "cone")
    origin: str = page.evaluate("location.origin")
    site = Site(bed, tmp_path_factory.mktemp("nodes"), TURN, STUN, origins=[origin])
    yield site
    site.close()


@pytest.fixture(autouse=True)
def user_home(own_folder: Path) -> Path:
    return own_folder


def take_part(site: Site, page: Page, name: str, address: str) -> dict[str, Any]:
    """What became of a participant in the page: two cycles of a training, hosted at the Domain."""
    with site.bed.standing_in("lb"):
        owner = sy.login(site.nodes["domain"].url, EMAIL, PASSWORD)
        owner.call(open_policy())
        owner.close()
        training = host(site.nodes["domain"].url, name, workers=1, cycles=2)
    options = {"address": address, "name": name, "data": columns_of(made_rows(3))}
    became: dict[str, Any] = page.evaluate("options => takePart(options)", options)
    if "error" not in became:
        with site.bed.standing_in("lb"):
            assert [cycle.reported for cycle in training.metrics()] == [1, 1]
    return became


@pytest.mark.parametrize(
    ("a", "b", "carried"), [("cone", "cone", ("webrtc", "turn")), ("symmetric", "symmetric", ("turn",))]
)
def test_a_page_trains_over_webrtc(
    site: Site, bed: Bed, page: Page, a: Nat, b: Nat, carried: tuple[str, ...]
) -> None:
    """Where a TURN server is told, ICE may use it although there is a shorter way: whichever is there first."""
    bed.translate(a, b)
    became = take_part(site, page, f"over-{a}", site.webrtc)
    assert "error" not in became, f"{became}\n{site.log()}"
    assert became["summary"]["cycles"] == 2, became
    assert became["path"]["taken"] in carried, became


def test_a_page_goes_through_the_network_where_no_session_is_made(site: Site, bed: Bed, page: Page) -> None:
    """UDP leaves to TURN's port alone, and only the page has a TURN server: WebRTC says why, the relay carries."""
    bed.translate("only-3478", "only-3478")
    met: str = page.evaluate(MEETING, site.webrtc)
    assert met.startswith("Unavailable: "), met
    became = take_part(site, page, "every-way", site.every_way)
    assert "error" not in became, f"{became}\n{site.log()}"
    assert became["path"]["taken"] == "relay", became
    assert set(became["path"]["failed"]) == {"direct", "webrtc", "turn"}, became
