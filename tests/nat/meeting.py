"""A caller behind ``la`` meets the Domain behind ``lb``: whether, how, and how much goes through."""

from __future__ import annotations

import statistics
import time
from dataclasses import asdict, dataclass
from typing import Any

import pytest
import torch

import syft_ext as sy
from syft_ext.errors import GridError
from syft_ext.transport import Connection
from syft_ext.transport.webrtc import transport as webrtc_transport
from syft_ext.transport.webrtc.transport import WebRTCTransport
from tests.nat.chromium import Chromium
from tests.nat.sessions import standing_in
from tests.nat.site import Site
from tests.sdk.live import EMAIL, PASSWORD

__all__ = ["Meeting", "meet"]

CALLS = 20


@dataclass(slots=True)
class Meeting:
    """What came of a try. Seconds, milliseconds, MB a second.

    Attributes:
        failed: why there was no session; "" if there was one.
        path: kind of the caller's candidate, and of the Domain's.
        equal: whether the tensor that came back is the one that was sent.
    """

    failed: str = ""
    path: str = ""
    relayed: bool = False
    opened: float = 0.0
    call: float = 0.0
    up: float = 0.0
    down: float = 0.0
    equal: bool = False

    def shown(self) -> dict[str, Any]:
        """For a table."""
        return {
            key: round(value, 3) if isinstance(value, float) else value for key, value in asdict(self).items()
        }


def meet(
    site: Site, megabytes: float = 0.0, browser: Chromium | None = None, *, settles: bool = False
) -> Meeting:
    """Open a session with the Domain of ``site``, and send a tensor of so many MB there and back.

    ``browser``: whose WebRTC it is; Python's, without one. ``settles``: it is to come to a way that no TURN server
    carries, maybe after it has begun with another.
    """
    meeting, begun = Meeting(), time.monotonic()
    with standing_in(site.bed, "la"), pytest.MonkeyPatch.context() as patch:
        if browser is not None:
            patch.setattr(webrtc_transport, "load_engine", lambda: browser.engine)
        transport = WebRTCTransport(site.webrtc)
        try:
            transport.open()
            meeting.opened = time.monotonic() - begun
            place = browser.settled() if browser is not None and settles else transport.place
            assert place is not None
            meeting.path, meeting.relayed = f"{place.local} -> {place.kind}", place.relayed
            connection = Connection(transport, node_key=site.key)
            meeting.call = statistics.median(_milliseconds(connection) for _ in range(CALLS))
            if megabytes:
                _carry(transport, megabytes, meeting)
        except GridError as error:
            meeting.failed = error.detail
        finally:
            transport.close()
    return meeting


def _milliseconds(connection: Connection) -> float:
    begun = time.monotonic()
    assert connection.metadata().name == "domain"
    return (time.monotonic() - begun) * 1e3


def _carry(transport: WebRTCTransport, megabytes: float, meeting: Meeting) -> None:
    domain = sy.login(transport.address, EMAIL, PASSWORD, transport=transport)
    assert isinstance(domain, sy.DomainClient)
    tensor = torch.randn(int(megabytes * 1e6 / 4))
    begun = time.monotonic()
    stored = domain.store.put(tensor)
    meeting.up = megabytes / (time.monotonic() - begun)
    begun = time.monotonic()
    back = stored.get()
    meeting.down = megabytes / (time.monotonic() - begun)
    meeting.equal = bool(torch.equal(back, tensor))
