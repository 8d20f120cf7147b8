"""Where the platform says what runs on it: evidence over a session's binding.

- ``simulator``: the operator makes it. It protects nothing, and says so.
- ``tsm``: the kernel's interface to the security processor, the same for AMD SEV-SNP and Intel TDX
  (``Documentation/ABI/testing/configfs-tsm`` of Linux, 6.7 and later).
- ``confidential-space``: Google's launcher, over a socket in the container.
- ``nitro``: AWS Nitro's secure module, a device in the enclave. Its exchange is as its driver and API declare it
  (Linux ``include/uapi/linux/nsm.h``, aws-nitro-enclaves-nsm-api); none was at hand to try it on.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import socket
import struct
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ctypes import addressof, create_string_buffer
from pathlib import Path
from typing import Protocol

import msgspec

from grid.confidential_worker.operator import GivingUp, Operator
from syft_ext.attestation.binding import Binding
from syft_ext.attestation.cbor import Value, decode, encode
from syft_ext.attestation.evidence import MAX_COMPANION_SIZE, MAX_EVIDENCE_SIZE, Companion, Evidence
from syft_ext.errors import EvidenceRefused

__all__ = [
    "SOURCES",
    "ConfidentialSpaceSource",
    "EvidenceSource",
    "LauncherSource",
    "NitroSource",
    "TsmSource",
    "source_of",
]

_LONGEST = MAX_EVIDENCE_SIZE + MAX_COMPANION_SIZE
SOURCES = ("simulator", "tsm", "confidential-space", "nitro")

_NSM_REQUEST = 0xC0200A00
"""``_IOWR(0x0A, 0, struct nsm_raw)``: two ``iovec``, 32 bytes."""
_NSM_LONGEST = 0x3000
"""Bytes of a response, as the driver limits them."""


class EvidenceSource(Protocol):
    """A platform.

    Attributes:
        protects: whether there is anything behind it.
    """

    @property
    def protects(self) -> bool:
        """See above."""

    def evidence(self, binding: Binding, domain: str) -> Evidence:
        """Evidence over ``binding``, for the Domain with this id.

        Raises :class:`~grid.confidential_worker.operator.GivingUp` where there is none.
        """


class LauncherSource:
    """The operator makes the evidence: only simulated one is taken from them."""

    protects = False

    def __init__(self, operator: Operator) -> None:
        self._operator = operator

    def evidence(self, binding: Binding, domain: str) -> Evidence:
        try:
            found = msgspec.msgpack.decode(self._operator.quote(binding.digest, _LONGEST), type=Evidence)
        except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
            raise GivingUp("no_evidence") from error
        if found.kind != "simulator":
            raise GivingUp("no_evidence")
        return found


class TsmSource:
    """The kernel's reports.

    Args:
        place: where configfs has them.
    """

    protects = True
    _KINDS = {"sev_guest": "sev-snp", "tdx_guest": "tdx"}

    def __init__(self, place: Path = Path("/sys/kernel/config/tsm/report")) -> None:
        self._place = place

    def evidence(self, binding: Binding, domain: str) -> Evidence:
        try:
            with self._entry() as entry:
                return self._report(entry, binding.digest)
        except (OSError, ValueError, KeyError, struct.error) as error:
            raise GivingUp("no_evidence") from error

    @contextmanager
    def _entry(self) -> Iterator[Path]:
        entry = self._place / secrets.token_hex(8)
        entry.mkdir()
        try:
            yield entry
        finally:
            entry.rmdir()

    def _report(self, entry: Path, binding: bytes) -> Evidence:
        _write(entry / "inblob", binding)
        before = int((entry / "generation").read_text())
        content = (entry / "outblob").read_bytes()
        kind = self._KINDS[(entry / "provider").read_text().strip()]
        beside = snp_certificates(_optional(entry / "auxblob")) if kind == "sev-snp" else ()
        # Somebody else who used this entry would have moved it on: then the report is of another question.
        if int((entry / "generation").read_text()) != before or not content:
            raise ValueError("the report was replaced while it was read")
        return Evidence(kind, content, beside)


class ConfidentialSpaceSource:
    """Google's launcher gives a token over a socket in the container (PKI tokens: their root is pinned).

    Args:
        path: of the socket.
    """

    protects = True

    def __init__(self, path: str = "/run/container_launcher/teeserver.sock") -> None:
        self._path = path

    def evidence(self, binding: Binding, domain: str) -> Evidence:
        nonce = urlsafe_b64encode(binding.digest).rstrip(b"=").decode()
        body = json.dumps({"audience": f"grid:{domain}", "token_type": "PKI", "nonces": [nonce]}).encode()
        request = (
            b"POST /v1/token HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            b"Content-Length: %d\r\nConnection: close\r\n\r\n" % len(body)
        ) + body
        try:
            token = _http_body(self._exchange(request))
        except (OSError, ValueError) as error:
            raise GivingUp("no_evidence") from error
        return Evidence("confidential-space-pki", token)

    def _exchange(self, request: bytes) -> bytes:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(60)
            connection.connect(self._path)
            connection.sendall(request)
            reply = bytearray()
            while piece := connection.recv(65536):
                reply += piece
                if len(reply) > MAX_EVIDENCE_SIZE:
                    raise ValueError("a token is shorter")
        return bytes(reply)


class NitroSource:
    """AWS Nitro's secure module: one request and one response in CBOR, whose document the hypervisor signed.

    Args:
        path: of the device.
    """

    protects = True

    def __init__(self, path: str = "/dev/nsm") -> None:
        self._path = path

    def evidence(self, binding: Binding, domain: str) -> Evidence:
        asked: dict[int | str, Value] = {
            "user_data": binding.digest,
            "nonce": binding.challenge,
            "public_key": binding.session_key,
        }
        try:
            answer = decode(self._exchange(encode({"Attestation": asked})))
            said = (
                answer["Attestation"] if isinstance(answer, dict) and [*answer] == ["Attestation"] else None
            )
            document = said["document"] if isinstance(said, dict) and [*said] == ["document"] else None
        except (OSError, EvidenceRefused) as error:
            raise GivingUp("no_evidence") from error
        if not isinstance(document, bytes) or not document:
            raise GivingUp("no_evidence")  # {"Error": …}
        return Evidence("nitro", document)

    def _exchange(self, request: bytes) -> bytes:
        given, room = create_string_buffer(request, len(request)), create_string_buffer(_NSM_LONGEST)
        message = bytearray(
            struct.pack("@PNPN", addressof(given), len(request), addressof(room), _NSM_LONGEST)
        )
        handle = os.open(self._path, os.O_RDWR | os.O_CLOEXEC)
        try:
            fcntl.ioctl(handle, _NSM_REQUEST, message, True)
        finally:
            os.close(handle)
        length = struct.unpack("@PNPN", message)[3]
        if length > _NSM_LONGEST:
            raise OSError("the module answers with more than there is room for")
        return room.raw[:length]


def source_of(name: str, operator: Operator) -> EvidenceSource:
    """The platform of this name (:data:`SOURCES`). Raises ``KeyError`` for another."""
    makers: dict[str, Callable[[], EvidenceSource]] = {
        "simulator": lambda: LauncherSource(operator),
        "tsm": TsmSource,
        "confidential-space": ConfidentialSpaceSource,
        "nitro": NitroSource,
    }
    return makers[name]()


def snp_certificates(table: bytes) -> tuple[Companion, ...]:
    """The certificates that the host put beside a report, in AMD's table: entries of a GUID, offset and length
    (u32 each), up to one of zeros (AMD 56421, "Guest-Hypervisor Communication Block", section 4.1.8.1).

    Raises ``ValueError`` or ``struct.error`` for another table. They prove themselves, or nothing.
    """
    if len(table) > MAX_COMPANION_SIZE:
        raise ValueError("a longer table than what is looked at")
    found: list[Companion] = []
    start = 0
    while table:
        guid, offset, length = struct.unpack_from("<16sII", table, start)
        start += 24
        if guid == bytes(16):
            break
        if offset + length > len(table):
            raise ValueError("a certificate beyond its table")
        found.append(Companion(f"host {len(found) + 1}", table[offset : offset + length]))
    return tuple(found)


def _optional(path: Path) -> bytes:
    return path.read_bytes() if path.exists() else b""


def _write(path: Path, data: bytes) -> None:
    # An attribute of configfs takes its value in one write.
    handle = os.open(path, os.O_WRONLY)
    try:
        if os.write(handle, data) != len(data):
            raise ValueError("the kernel took a part of the binding")
    finally:
        os.close(handle)


def _http_body(reply: bytes) -> bytes:
    """The body of a whole reply with status 200; in pieces where it says so."""
    head, separator, body = reply.partition(b"\r\n\r\n")
    status, *fields = head.split(b"\r\n")
    if not separator or status.split(b" ")[1:2] != [b"200"]:
        raise ValueError("the launcher refused")
    named = dict(each.lower().split(b":", 1) for each in fields if b":" in each)
    if named.get(b"transfer-encoding", b"").strip() == b"chunked":
        whole = bytearray()
        while True:
            size, separator, body = body.partition(b"\r\n")
            length = int(size, 16)
            if not length:
                return bytes(whole)
            if not separator or len(body) < length + 2:
                raise ValueError("the launcher's reply is cut off")
            whole += body[:length]
            body = body[length + 2 :]
    if b"content-length" in named and int(named[b"content-length"]) != len(body):
        raise ValueError("the launcher's reply is cut off")
    return body
