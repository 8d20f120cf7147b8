"""A page of another origin: refused where the node does not name it, and through a Network where it does."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from playwright.sync_api import Browser, Page, WebSocket

import syft_ext as sy
from syft_ext.messages.network import RequestAssociation
from tests.browser.conftest import OWNER
from tests.browser.site import own_site
from tests.browser.test_training import model_of, take_part
from tests.browser.trainings import columns_of, host, made_rows
from tests.nodes import NodeProcess
from tests.open_site import open_policy
from tests.sdk.live import EMAIL, PASSWORD
from tests.user_folder import fresh_user

MEETING = """async address => {
    const { Connection, Identity, openTransport } = await import("/static/peer/grid.js");
    const connection = new Connection(openTransport(address), await Identity.generate());
    return connection.metadata().then(() => "answered", (error) => `${error.name}: ${error.message}`);
}"""
ADDRESS = ["--port", "0", "--host", "127.0.0.1"]


class Far:
    """A Domain behind a Network, and a site that the Network names and the Domain does not."""

    def __init__(self, home: Path, site: str) -> None:
        self.site = site
        self.network = NodeProcess(
            "network",
            home / "net",
            ["--name", "net", "--auto-accept", *ADDRESS],
            environment=OWNER | {"GRID_ORIGINS": site},
        )
        self.domain = NodeProcess(
            "domain",
            home / "far",
            ["--name", "far", "--keep-line", "--heartbeat-interval", "1", *ADDRESS],
            environment=OWNER,
        )
        with fresh_user(home / "owner"):
            owner = sy.login(self.domain.url, EMAIL, PASSWORD)
            owner.call(open_policy())
            owner.call(RequestAssociation(address=self.network.url))
            self.key = owner.verify_key
            owner.close()

    def close(self) -> None:
        self.domain.kill()
        self.network.kill()

    def through(self, way: str) -> str:
        return f"{way}+{self.network.url}/{self.key}"


@pytest.fixture(scope="module")
def far(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Far]:
    home = tmp_path_factory.mktemp("elsewhere")
    with own_site(home / "site") as site:
        made = Far(home, site)
        yield made
        made.close()


@pytest.fixture
def page(browser: Browser, far: Far) -> Iterator[Page]:
    """A page of the site."""
    context = browser.new_context()
    context.add_init_script(path=Path(__file__).parent / "peer.js")
    opened = context.new_page()
    opened.goto(far.site)
    yield opened
    context.close()


@pytest.fixture(autouse=True)
def user_home(own_folder: Path) -> Path:
    return own_folder


def test_a_node_that_does_not_name_the_page_is_closed_to_it(page: Page, far: Far) -> None:
    for scheme in ("http", "ws"):
        address = far.domain.url.replace("http", scheme)
        became = page.evaluate(MEETING, address)
        assert became.startswith("Unavailable: "), became
        assert far.site in became and "origins" in became, became


@pytest.mark.parametrize("way", ["relay", "grid"])
def test_a_training_through_a_network(page: Page, far: Far, way: str) -> None:
    """The Network carries it, and cannot read it; what is learned is what one Python step gives."""
    training = host(far.domain.url, f"far-{way}", workers=1, cycles=2)
    became = take_part(page, address=far.through(way), name=f"far-{way}", data=columns_of(made_rows(3)))
    assert became.get("error") is None, became
    assert became["summary"]["cycles"] == 2, became
    if way == "grid":
        assert became["path"]["taken"] in ("direct", "webrtc", "turn", "relay"), became
        assert set(became["path"]["failed"]) | {became["path"]["taken"]} == {
            "direct",
            "webrtc",
            "turn",
            "relay",
        }
    assert torch.isfinite(model_of(training)).all() and model_of(training).abs().max() > 0.01


def test_another_node_than_the_address_names_is_refused(page: Page, far: Far) -> None:
    """The Network leads to the node of that key, or nowhere."""
    other = ("0" if far.key[0] != "0" else "1") + far.key[1:]
    address = far.through("relay").replace(far.key, other)
    became = page.evaluate(MEETING, address)
    assert became.startswith(("Unavailable: ", "BadSignature: ")), became


def test_the_direct_way_that_a_network_tells_is_sealed(
    page: Page, far: Far, tmp_path_factory: pytest.TempPathFactory, own_folder: Path
) -> None:
    """A Network may name an address of its own there: nothing that is said goes in the open, and no frame does."""
    near = NodeProcess(
        "domain",
        tmp_path_factory.mktemp("near"),
        ["--name", "near", "--heartbeat-interval", "1", *ADDRESS],
        environment=OWNER | {"GRID_ORIGINS": far.site},
    )
    try:
        owner = sy.login(near.url, EMAIL, PASSWORD)
        owner.call(open_policy())
        owner.call(RequestAssociation(address=far.network.url))
        opened, said = list[str](), list[bytes]()

        def watch(socket: WebSocket) -> None:
            opened.append(socket.url)
            if socket.url.startswith(near.url.replace("http", "ws")):
                socket.on(
                    "framesent", lambda data: said.append(data if isinstance(data, bytes) else data.encode())
                )

        page.on("websocket", watch)
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        host(near.url, "near", workers=1, cycles=1)
        address = f"grid+{far.network.url}/{owner.verify_key}"
        became = take_part(page, address=address, name="near", data=columns_of(made_rows(3)))
    finally:
        near.kill()
    assert became.get("error") is None, became
    assert became["path"]["taken"] == "direct", became
    assert near.url.replace("http", "ws") + "/sealed" in opened
    assert not any(url.startswith(near.url) for url in asked), asked
    assert said and not any(b"GRD1" in data or b"federated." in data for data in said)
