"""Opens a tunnel to its hub for each caller that comes there. A node that nobody can connect to keeps a line, over
which it is asked to."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from ipaddress import ip_address

from grid.network.associations import AssociationService
from grid.network.tables import Association
from grid.node import Context, Node, Service, handles
from grid.node.networks import is_this_machine, network_of, told_by
from syft_ext.errors import Forbidden, GridError, TooManyRequests, Unavailable
from syft_ext.identity import node_id_of
from syft_ext.messages import Empty
from syft_ext.messages.network import OpenTunnel
from syft_ext.transport.backoff import Backoff
from syft_ext.transport.pipe import MessagePipe
from syft_ext.transport.relayed import line, tunnel
from syft_ext.transport.relayed.sealed import MAX_SEALED, answer_sealed

__all__ = ["LineKeeper", "takes_one_more"]

logger = logging.getLogger(__name__)

TUNNELS = 256
"""Callers that are connected through hubs at a time."""


def takes_one_more(held: Mapping[str, int], hub: str, hubs: int) -> bool:
    """Whether a caller of ``hub`` is connected too, where ``held`` are those of each, of all ``hubs``.

    A hub has all places while it is the only one; else half of an even share is kept free for each of the others,
    so that none, be it crowded or hostile, keeps the callers of another out.
    """
    kept = (hubs - 1) * (TUNNELS // (2 * max(hubs, 1)))
    return sum(held.values()) < TUNNELS and held.get(hub, 0) < TUNNELS - kept


class LineKeeper(Service):
    """Keeps the lines that this node's associations need; those that break are opened again.

    Args:
        believed: verify keys of hubs that are believed about where their callers are.
    """

    def __init__(self, node: Node, *, believed: Collection[str] = ()) -> None:
        super().__init__(node)
        self._believed = frozenset(believed)
        self.associations = node.service(AssociationService)
        self._lines: dict[str, _Line] = {}
        self._held: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._stopped = False
        self._tunnels: Counter[str] = Counter()  # callers by the hub's key

    def keep(self, hubs: Mapping[str, str]) -> None:
        """Keep lines to ``hubs`` (verify key → address), and to no others but those that are held."""
        with self._lock:
            needed = {*hubs, *self._held}
            gone = [self._lines.pop(key) for key in list(self._lines) if key not in needed]
        for each in gone:
            each.end()
        for key, address in hubs.items():
            self._line(key, address)

    @contextlib.contextmanager
    def held(self, verify_key: str) -> Iterator[None]:
        """Meanwhile, a line to the hub of ``verify_key`` that was opened stays, whatever is kept."""
        with self._lock:
            self._held[verify_key] += 1
        try:
            yield
        finally:
            with self._lock:
                self._held[verify_key] -= 1
                self._held += Counter()

    def open(self, verify_key: str, address: str, timeout: float) -> None:
        """Open a line to the hub of ``verify_key``, and wait until there is one. Raises why there is none."""
        self._line(verify_key, address).wait_until_up(timeout)

    def _line(self, verify_key: str, address: str) -> _Line:
        with self._lock:
            if self._stopped:
                raise Unavailable("the node is stopping")
            kept = self._lines.get(verify_key)
            if kept is None or kept.address != address:
                if kept is not None:
                    kept.end()
                kept = self._lines[verify_key] = _Line(self, verify_key, address)
                threading.Thread(target=kept.run, name="line", daemon=True).start()
            return kept

    def stop(self) -> None:
        with self._lock:
            self._stopped, lines = True, list(self._lines.values())
            self._lines.clear()
        for each in lines:
            each.end()

    @handles(OpenTunnel)
    def open_tunnel(self, ctx: Context, message: OpenTunnel) -> Empty:
        hub = self.associations.registry.by_key(ctx.principal.verify_key, direction="outgoing")
        if hub is None or hub.status != "accepted":
            raise Forbidden("only a hub that this node asked opens tunnels to it")
        hubs = len(self.associations.registry.accepted("outgoing"))
        with self._lock:
            if not takes_one_more(self._tunnels, hub.verify_key, hubs):
                raise TooManyRequests("too many callers are connected")
            self._tunnels[hub.verify_key] += 1
        try:
            remote = self._place(hub, message.remote)
            given = (hub.verify_key, hub.address, message.name, remote)
            threading.Thread(target=self._serve, args=given, daemon=True).start()
        except BaseException:
            self._ended(hub.verify_key)
            raise
        return Empty()

    def _ended(self, hub: str) -> None:
        with self._lock:
            self._tunnels[hub] -= 1
            self._tunnels += Counter()  # without those that have none

    def _place(self, hub: Association, said: str) -> str:
        """Where a caller counts as coming from. A hub's word could make of an attacker another network each time,
        or one that an account is known at: only whom the owner believes is taken for what this node saw itself."""
        if hub.verify_key in self._believed and _is_elsewhere(said):
            return said
        return told_by(hub.node_id, said)

    def _serve(self, key: str, hub: str, name: str, remote: str) -> None:
        try:
            carried = self.associations.open_pipe(hub, f"{tunnel.PATH}/{name}", MAX_SEALED)
            try:
                self.node.answer_pipe(answer_sealed(carried, self.node.identity), remote=remote)
            finally:
                carried.close()
        except GridError as error:
            logger.info("a caller at %s was not connected: %s", hub, error)
        except Exception:
            logger.exception("a caller at %s could not be served", hub)
        finally:
            self._ended(key)


def _is_elsewhere(network: str) -> bool:
    """Whether it is an address, or an IPv6 network, and not this machine's own."""
    try:
        ip_address(network.removesuffix("/64"))
    except ValueError:
        return False
    return not is_this_machine(network_of(network))


class _Line:
    """One line, opened again and again until it is ended.

    Attributes:
        address: of the hub.
    """

    def __init__(self, keeper: LineKeeper, verify_key: str, address: str) -> None:
        self._keeper, self._verify_key, self.address = keeper, verify_key, address
        self._ended, self._hurry = threading.Event(), threading.Event()
        self._changed = threading.Condition()
        self._up, self._failures = False, 0
        self._failure: GridError | None = None
        self._pipe: MessagePipe | None = None

    def wait_until_up(self, timeout: float) -> None:
        """Until the hub can ask over it. Raises why the next try failed, or that there will be none."""
        with self._changed:
            before = self._failures
            self._hurry.set()
            self._changed.wait_for(
                lambda: self._up or self._failures > before or self._ended.is_set(), timeout
            )
            if self._ended.is_set():
                raise Unavailable(f"the line to {self.address} is kept no more")
            if not self._up:
                raise self._failure or Unavailable(f"{self.address} took no line in time")

    def _note(self, *, up: bool, failure: GridError | None = None) -> None:
        with self._changed:
            self._up, self._failure = up, failure
            self._failures += failure is not None
            self._changed.notify_all()

    def run(self) -> None:
        pause, silent = Backoff(0.5, 30.0, stop=self._hurry), False
        while not self._ended.is_set():
            try:
                self._serve(pause)
                logger.info("the line to %s ended", self.address)
                silent = False
            except GridError as error:
                self._note(up=False, failure=error)
                if not silent:  # said once, not at every try
                    logger.warning("no line to %s: %s", self.address, error)
                silent = True
            except Exception:
                logger.exception("the line to %s failed", self.address)
                self._note(up=False, failure=Unavailable(f"the line to {self.address} failed"))
            pause.wait()
            self._hurry.clear()

    def _serve(self, pause: Backoff) -> None:
        node = self._keeper.node
        pipe = self._keeper.associations.open_pipe(self.address, line.PATH, line.MAX_MESSAGE)
        self._pipe = pipe
        try:
            if self._ended.is_set():
                return
            line.greet_hub(pipe, node.identity, self._verify_key)
            pause.reset()
            self._note(up=True)
            logger.info("a line to %s is open", self.address)
            node.answer_pipe(pipe, remote=told_by(node_id_of(self._verify_key)))
        finally:
            self._note(up=False)
            pipe.close()

    def end(self) -> None:
        """Close it for good; whoever waits for it is told."""
        with self._changed:
            self._ended.set()
            self._changed.notify_all()
        self._hurry.set()
        if self._pipe is not None:
            self._pipe.close()
