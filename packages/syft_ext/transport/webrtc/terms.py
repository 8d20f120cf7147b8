"""What both ends of a session must agree on: the numbers of ``docs/peers-protocol.md``."""

from __future__ import annotations

from enum import IntEnum

__all__ = [
    "BUFFERED",
    "BUFFERED_LOW",
    "CONTROL_FRAME",
    "GATHERING",
    "LABEL",
    "LINGER",
    "MAX_CANDIDATES",
    "MAX_MESSAGE",
    "OPENING",
    "STALLED",
    "STREAMS",
    "WINDOW",
    "Channel",
]


class Channel(IntEnum):
    """The two channels of a session, by their negotiated ids (RFC 8831, section 6.4)."""

    CONTROL = 0
    BULK = 1


LABEL = "grid"
MAX_MESSAGE = 16 << 10
"""Bytes of a message (RFC 8831, section 6.6: what every implementation takes whole)."""
WINDOW = 1 << 20
"""Bytes of a frame that may be under way on a stream."""
STREAMS = 32
"""Exchanges that a node has under way on a channel."""
CONTROL_FRAME = 64 << 10
"""Bytes of the largest frame that a caller sends on the control channel."""
BUFFERED, BUFFERED_LOW = 256 << 10, 128 << 10
"""Bytes handed to a channel and not sent at which nothing more is handed to it, and at which it goes on."""
MAX_CANDIDATES = 64
"""Candidates of the other end that are taken for a session, in its description and later: each is an address that
is asked again and again, and who names it need not be there (RFC 8445, section 19.5.1)."""
OPENING = 10.0
"""Seconds from an offer's answer in which both channels are open."""
GATHERING = 1.0
"""Seconds for an end's own candidates, where they are gathered at once."""
STALLED = 40.0
"""Seconds in which nothing arrives of what a channel has to send, after which the session is over. Longer than
consent takes to find that nobody is there (30 s), and than SCTP needs to send again: its timer has been seen at
12 s on a machine with nothing left to give."""
LINGER = 5.0
"""Seconds that what is on its way is given when a session is closed."""
