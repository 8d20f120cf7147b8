"""Which outer ports a router gives to one inner one. As a program: makes a bed, and waits to be ended in it."""

from __future__ import annotations

import socket
import struct
import time

from tests.nat.bed import SERVER, Bed, Place

__all__ = ["outer_ports"]


def outer_ports(bed: Bed, place: Place, peers: int) -> list[int]:
    """The ports that so many peers on the wan see, whom one socket at ``place`` sends something."""
    receivers = []
    try:
        with bed.standing_in("srv"):
            for _ in range(peers):
                receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
                receiver.bind((SERVER, 0))
                receiver.settimeout(30)
                receivers.append(receiver)
        with bed.standing_in(place):
            sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        with sender:
            for receiver in receivers:
                sender.sendto(struct.pack("!I", 1), receiver.getsockname())
            return [receiver.recvfrom(16)[1][1] for receiver in receivers]
    finally:
        for receiver in receivers:
            receiver.close()


if __name__ == "__main__":
    import subprocess

    made = Bed()
    sleeping = subprocess.Popen(made.command("la", "sleep", "600"))
    print(*made.names.values(), sleeping.pid, flush=True)
    while True:
        time.sleep(60)
