"""Asking STUN and TURN servers what peers will ask of them, for an owner: a sentence for each thing that fails.

Of the node's process nothing runs here; the extra ``webrtc`` has the library that speaks the protocols.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Literal, TypeVar

from aioice import stun
from aioice.turn import TurnClientMixin, TurnClientTcpProtocol, TurnClientUdpProtocol

from grid.peers.ice_servers import IceUrl, mint
from syft_ext.errors import GridError, Unavailable

__all__ = ["Found", "probe_stun", "probe_turn"]

Found = tuple[Literal["ok", "warning", "failed"], str]
PATIENCE = 5.0
"""Seconds that a server has for each answer."""
FAR = 10 * 365 * 86_400
"""Seconds after which credentials end that no difference of clocks makes old."""
INSIDE = ("127.0.0.1", "10.255.255.254", "172.31.255.254", "192.168.255.254", "169.254.169.254")
"""Addresses that a server on the internet has no business with."""
_ALLOCATED = 60
_UNAUTHORIZED, _FORBIDDEN = 401, 403
_MESSAGE = b"from one relayed address to the other"

T = TypeVar("T")
Client = TurnClientUdpProtocol | TurnClientTcpProtocol


def probe_stun(url: IceUrl, patience: float = PATIENCE) -> Found:
    """Ask how the server sees this machine (RFC 8489)."""
    return asyncio.run(_said(_stun(url, patience)))


def probe_turn(
    url: IceUrl,
    secret: str,
    lifetime: int,
    name: str = "doctor",
    patience: float = PATIENCE,
    now: float = 0.0,
) -> Found:
    """Take two relayed addresses with credentials as peers get them (RFC 8656), and send from one to the other.

    Args:
        secret, lifetime: what credentials are minted from and how many seconds they are good for.
        name: in whose name. now: this machine's time, seconds since the epoch.
    """
    return asyncio.run(_said(_turn(url, secret, lifetime, name, patience, now or time.time())))


async def _said(asked: Awaitable[Found]) -> Found:
    try:
        return await asked
    except GridError as error:
        return "failed", error.detail


async def _stun(url: IceUrl, patience: float) -> Found:
    async with _client(url, "", "", patience) as client:
        request = stun.Message(stun.Method.BINDING, stun.Class.REQUEST)
        answer = await _answered(url, client, client.request(request), patience)
        seen = answer[0].attributes.get("XOR-MAPPED-ADDRESS") or answer[0].attributes.get("MAPPED-ADDRESS")
    if seen is None:
        return "failed", f"{url}: it answers, but not how it sees this machine"
    return "ok", f"{url}: it sees this machine at {_place(seen)}"


async def _turn(url: IceUrl, secret: str, lifetime: int, name: str, patience: float, now: float) -> Found:
    username, credential = mint(secret, name, int(now) + lifetime)
    async with contextlib.AsyncExitStack() as stack:
        first, second = [
            await stack.enter_async_context(_client(url, username, credential, patience)) for _ in range(2)
        ]
        try:
            here = await _answered(url, first, first.connect(), patience)
        except stun.TransactionFailed as error:
            return "failed", await _refused(url, error, secret, name, patience, now)
        stack.push_async_callback(_delete, first)
        if first.integrity_key is None:
            return "failed", f"{url}: it relays for everybody, without credentials: it needs use-auth-secret"
        try:
            there = await _answered(url, second, second.connect(), patience)
        except stun.TransactionFailed as error:
            return "failed", f"{url}: it gave one address, and no second one: {_reason(error)}"
        stack.push_async_callback(_delete, second)
        detail = f"{url}: it relays at {here[0]}"
        if wrong := await _carries(url, first, second, here, there, patience):
            return "failed", f"{detail}, but {wrong}"
        inside = [each for each in INSIDE if await _permits(url, first, each, patience)]
    if inside:
        return "warning", f"{detail}, and carries to {', '.join(inside)}: deny such peers (denied-peer-ip)"
    return "ok", f"{detail}, for peers only that are not in private networks"


async def _refused(
    url: IceUrl, error: stun.TransactionFailed, secret: str, name: str, patience: float, now: float
) -> str:
    """Why there is no address. Servers say the same of a wrong secret and of credentials that ended."""
    if error.response.error_code != _UNAUTHORIZED:
        return f"{url}: it gives no relayed address: {_reason(error)}"
    async with _client(url, *mint(secret, name, int(now) + FAR), patience) as client:
        try:
            await _answered(url, client, client.connect(), patience)
        except stun.TransactionFailed:
            return (
                f"{url}: it refuses the credentials: turn_secret is not its static-auth-secret, "
                "or it does not have use-auth-secret"
            )
        await _delete(client)
    return (
        f"{url}: the credentials are expired when they come: its clock is ahead of this machine's by "
        "turn_lifetime or more"
    )


async def _carries(
    url: IceUrl, one: Client, other: Client, here: tuple[str, int], there: tuple[str, int], patience: float
) -> str:
    """Why nothing comes from one relayed address to the other, as peers meet that both need TURN, or ""."""
    for client, peer in ((one, there), (other, here)):
        if not await _permits(url, client, peer[0], patience):
            return (
                f"carries nothing to {peer[0]}, its own address: two peers that both need it would not meet "
                f"(allowed-peer-ip={peer[0]})"
            )
    came = _Receiver()
    other.receiver = came
    other.peer_to_channel[here] = 0  # what aioice takes data from
    for _ in range(5):  # UDP may lose some
        indication = stun.Message(stun.Method.SEND, stun.Class.INDICATION)
        indication.attributes["XOR-PEER-ADDRESS"] = there
        indication.attributes["DATA"] = _MESSAGE
        one.send_stun(indication, one.server)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(asyncio.shield(came.message), patience / 5)
            return ""
    return "what is sent from one such address to another does not arrive: see its relay-ip and external-ip"


async def _permits(url: IceUrl, client: Client, address: str, patience: float) -> bool:
    request = stun.Message(stun.Method.CREATE_PERMISSION, stun.Class.REQUEST)
    request.attributes["XOR-PEER-ADDRESS"] = (address, 9)
    try:
        await _answered(url, client, client.request_with_retry(request), patience)
    except stun.TransactionFailed as error:
        if error.response.error_code == _FORBIDDEN:
            return False
        raise Unavailable(
            f"{url}: it does not say whether it carries to {address}: {_reason(error)}"
        ) from error
    return True


class _Receiver(asyncio.DatagramProtocol):
    """What comes from the other relayed address."""

    def __init__(self) -> None:
        self.message: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    def datagram_received(self, data: bytes, addr: object) -> None:
        if data == _MESSAGE and not self.message.done():
            self.message.set_result(data)


class _Udp(TurnClientUdpProtocol):
    """Notes what the system says of the server."""

    failure: OSError | None = None

    def error_received(self, exc: Exception) -> None:
        if isinstance(exc, OSError):
            self.failure = exc
            for transaction in self.transactions.values():
                transaction.response_received(_gone(), self.server)


def _gone() -> stun.Message:
    """Ends a transaction that nobody will answer. It stands for no answer of a server."""
    message = stun.Message(stun.Method.ALLOCATE, stun.Class.ERROR)
    message.attributes["ERROR-CODE"] = (_UNAUTHORIZED, "")
    return message


@contextlib.asynccontextmanager
async def _client(url: IceUrl, username: str, credential: str, patience: float) -> AsyncIterator[Client]:
    """Connected to the server, as far as UDP connects. Raises :class:`Unavailable`."""
    loop = asyncio.get_running_loop()
    try:
        kind = socket.SOCK_STREAM if url.transport == "tcp" else socket.SOCK_DGRAM
        found = await loop.getaddrinfo(url.host, url.port, type=kind)
    except (OSError, UnicodeError) as error:
        raise Unavailable(f"{url}: the name {url.host} cannot be resolved") from error
    server = (str(found[0][4][0]), url.port)

    def make(protocol: Callable[..., Client]) -> Callable[[], Client]:
        return lambda: protocol(server, username, credential, _ALLOCATED, _ALLOCATED)

    transport: asyncio.BaseTransport
    client: Client
    try:
        async with asyncio.timeout(patience):
            if url.transport == "tcp":
                tls = ssl.create_default_context() if url.secure else None
                name = url.host if url.secure else None
                transport, client = await loop.create_connection(
                    make(TurnClientTcpProtocol), *server, ssl=tls, server_hostname=name
                )
            else:
                transport, client = await loop.create_datagram_endpoint(make(_Udp), remote_addr=server)
    except TimeoutError as error:
        raise Unavailable(f"{url}: no connection to {_place(server)} in {patience:g} s") from error
    except ssl.SSLError as error:
        raise Unavailable(f"{url}: TLS failed: {error.reason or error}") from error
    except OSError as error:
        raise Unavailable(f"{url}: {_place(server)} cannot be reached: {_system(error)}") from error
    try:
        yield client
    finally:
        transport.close()


async def _answered(url: IceUrl, client: TurnClientMixin, asked: Awaitable[T], patience: float) -> T:
    """What the server answers. Raises :class:`Unavailable` when it does not, :class:`stun.TransactionFailed` when
    that is a refusal."""
    try:
        async with asyncio.timeout(patience):
            return await asked
    except (TimeoutError, stun.TransactionTimeout) as error:
        raise Unavailable(await _silent(url, client.server, patience)) from error
    except stun.TransactionFailed as error:
        failure = getattr(client, "failure", None)
        if failure is not None:
            raise Unavailable(
                f"{url}: nothing listens at {_place(client.server)} ({_system(failure)})"
            ) from error
        raise
    except ConnectionError as error:
        raise Unavailable(f"{url}: {error}") from error


async def _silent(url: IceUrl, server: tuple[str, int], patience: float) -> str:
    if url.transport == "tcp":
        return f"{url}: {_place(server)} takes connections and answers nothing: it is no such server"
    said = f"{url}: no answer over UDP in {patience:g} s: UDP is blocked on the way, or no such server runs there"
    try:
        async with asyncio.timeout(patience):
            _, writer = await asyncio.open_connection(*server)
    except (OSError, TimeoutError):
        return f"{said}; nobody answers there over TCP either"
    writer.close()
    return f"{said}; TCP gets through there: name it with ?transport=tcp as well"


async def _delete(client: Client) -> None:
    with contextlib.suppress(Exception):  # it ends by itself in a minute
        async with asyncio.timeout(1.0):
            await client.delete()


def _reason(error: stun.TransactionFailed) -> str:
    code, reason = error.response.attributes.get("ERROR-CODE", (0, "no reason"))
    return f"{code} {reason}".strip()


def _system(error: OSError) -> str:
    """What the system says; asyncio's own text leaves it out."""
    return os.strerror(error.errno) if error.errno else str(error)


def _place(address: tuple[str, int]) -> str:
    host = f"[{address[0]}]" if ":" in address[0] else address[0]
    return f"{host}:{address[1]}"
