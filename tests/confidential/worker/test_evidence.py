"""Where evidence comes from: the kernel's reports and Google's launcher, as far as they can be had without them.

Neither was tried on its platform: the files are laid out as Linux documents them, the launcher is a socket that
answers.
"""

from __future__ import annotations

import ctypes
import json
import socket
import struct
import threading
from base64 import urlsafe_b64decode
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from grid.confidential_worker.evidence import (
    SOURCES,
    ConfidentialSpaceSource,
    NitroSource,
    TsmSource,
    snp_certificates,
    source_of,
)
from grid.confidential_worker.hardening import keep_off_disk
from grid.confidential_worker.operator import GivingUp, Operator
from syft_ext.attestation import cbor
from syft_ext.attestation.appraise import kinds, verify
from syft_ext.attestation.binding import Binding
from syft_ext.attestation.evidence import Companion, Evidence
from syft_ext.confidential.frames import worker_pipe
from tests.shared_material import shared

BINDING = Binding(
    session_key=bytes(range(32)),
    policy=bytes(32),
    runtime=b"",
    domain="d",
    process="e" * 32,
    challenge=bytes(range(32, 64)),
)


class Laid(TsmSource):
    """With an entry that the test laid out."""

    def __init__(self, place: Path) -> None:
        super().__init__(place)
        self.entry = place / "entry"

    @contextmanager
    def _entry(self) -> Iterator[Path]:
        yield self.entry


def lay(place: Path, provider: str, aux: bytes | None) -> Laid:
    source = Laid(place)
    source.entry.mkdir()
    (source.entry / "inblob").touch()
    (source.entry / "generation").write_text("1\n")
    (source.entry / "provider").write_text(provider + "\n")
    (source.entry / "outblob").write_bytes(b"a report")
    if aux is not None:
        (source.entry / "auxblob").write_bytes(aux)
    return source


def table(*certificates: bytes) -> bytes:
    head, body = b"", b""
    start = 24 * (len(certificates) + 1)
    for number, each in enumerate(certificates):
        head += struct.pack("<16sII", bytes([number + 1]) * 16, start + len(body), len(each))
        body += each
    return head + bytes(24) + body


def test_the_kernels_report_is_over_the_binding(tmp_path: Path) -> None:
    source = lay(tmp_path, "sev_guest", table(b"vcek", b"ask"))
    assert source.evidence(BINDING, "domain") == Evidence(
        "sev-snp", b"a report", (Companion("host 1", b"vcek"), Companion("host 2", b"ask"))
    )
    assert (source.entry / "inblob").read_bytes() == BINDING.digest and source.protects


def test_a_recorded_report_verifies_with_the_certificates_of_the_hosts_table(tmp_path: Path) -> None:
    folder = shared("confidential", "evidence", "snp")
    names = ("trustee-milan-vcek.der", "amd-milan-ask.der", "amd-milan-ark.der")
    source = lay(tmp_path, "sev_guest", table(*((folder / name).read_bytes() for name in names)))
    (source.entry / "outblob").write_bytes((folder / "trustee-milan-report.bin").read_bytes())
    verified = verify(source.evidence(BINDING, "d"), datetime(2023, 6, 1, tzinfo=UTC))
    assert verified.kind == "sev-snp" and verified.workload


@pytest.mark.parametrize(("provider", "kind"), [("sev_guest", "sev-snp"), ("tdx_guest", "tdx")])
def test_certificates_beside_it_may_be_missing(tmp_path: Path, provider: str, kind: str) -> None:
    assert lay(tmp_path, provider, None).evidence(BINDING, "d") == Evidence(kind, b"a report")
    assert kind in kinds(), "there is a verifier of this name"


def test_another_provider_or_an_empty_report_is_none(tmp_path: Path) -> None:
    source = lay(tmp_path, "other_guest", None)
    with pytest.raises(GivingUp, match="no_evidence"):
        source.evidence(BINDING, "d")
    (source.entry / "provider").write_text("tdx_guest")
    (source.entry / "outblob").write_bytes(b"")
    with pytest.raises(GivingUp, match="no_evidence"):
        source.evidence(BINDING, "d")
    with pytest.raises(GivingUp, match="no_evidence"):
        TsmSource(tmp_path / "nowhere").evidence(BINDING, "d")


def test_a_report_that_was_replaced_while_it_was_read_is_none(tmp_path: Path) -> None:
    source = lay(tmp_path, "tdx_guest", None)
    numbers = iter(["1", "2"])

    class Moving(type(source.entry)):  # type: ignore[misc]
        def read_text(self, *arguments: object, **named: object) -> str:
            return next(numbers) if self.name == "generation" else super().read_text()

    source.entry = Moving(source.entry)
    with pytest.raises(GivingUp, match="no_evidence"):
        source.evidence(BINDING, "d")


@pytest.mark.parametrize(
    "bad", [b"x", table(b"abc")[:20], struct.pack("<16sII", b"g" * 16, 40, 1) + bytes(16), b"g" * 48]
)
def test_a_table_that_is_none_is_refused(bad: bytes) -> None:
    with pytest.raises((ValueError, struct.error)):
        snp_certificates(bad)
    assert snp_certificates(b"") == snp_certificates(bytes(24)) == ()


# -- Confidential Space


def launcher(path: Path, reply: bytes) -> tuple[threading.Thread, list[bytes]]:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(str(path))
    listener.listen(1)
    heard: list[bytes] = []

    def answer() -> None:
        with listener, listener.accept()[0] as connection:
            heard.append(connection.recv(65536))
            connection.sendall(reply)

    thread = threading.Thread(target=answer)
    thread.start()
    return thread, heard


@pytest.mark.parametrize(
    "reply",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\ntoken",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\ntok\r\n2\r\nen\r\n0\r\n\r\n",
        b"HTTP/1.0 200 OK\r\n\r\ntoken",
    ],
)
def test_the_launchers_token_is_asked_for_with_the_binding_as_its_nonce(tmp_path: Path, reply: bytes) -> None:
    thread, heard = launcher(tmp_path / "socket", reply)
    found = ConfidentialSpaceSource(str(tmp_path / "socket")).evidence(BINDING, "d0")
    thread.join()
    assert found == Evidence("confidential-space-pki", b"token") and found.kind in kinds()
    head, _, body = heard[0].partition(b"\r\n\r\n")
    asked = json.loads(body)
    assert head.startswith(b"POST /v1/token HTTP/1.1\r\n")
    assert (asked["audience"], asked["token_type"]) == ("grid:d0", "PKI")
    assert [urlsafe_b64decode(each + "==") for each in asked["nonces"]] == [BINDING.digest]


@pytest.mark.parametrize(
    "reply",
    [
        b"",
        b"HTTP/1.1 500 No\r\n\r\ntoken",
        b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\ntoken",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n30\r\ntok",
        b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 70_000,
    ],
)
def test_a_launcher_that_gives_no_token_gives_no_evidence(tmp_path: Path, reply: bytes) -> None:
    thread, _ = launcher(tmp_path / "socket", reply)
    with pytest.raises(GivingUp, match="no_evidence"):
        ConfidentialSpaceSource(str(tmp_path / "socket")).evidence(BINDING, "d")
    thread.join()


# -- Nitro


class SecureModule:
    """What answers at ``/dev/nsm``: reads the two ``iovec`` of an exchange, as the driver does."""

    def __init__(self, answer: bytes, length: int | None = None) -> None:
        self._answer, self._length = answer, length
        self.asked = b""

    def ioctl(self, handle: int, code: int, message: bytearray, mutate: bool) -> int:
        assert (code, len(message), mutate) == (0xC0200A00, 32, True)
        request, size, response, room = struct.unpack("@PNPN", message)
        assert room == 0x3000
        self.asked = ctypes.string_at(request, size)
        ctypes.memmove(response, self._answer, min(len(self._answer), room))
        length = len(self._answer) if self._length is None else self._length
        message[:] = struct.pack("@PNPN", request, size, response, length)
        return 0


def module(monkeypatch: pytest.MonkeyPatch, answer: bytes, length: int | None = None) -> SecureModule:
    made = SecureModule(answer, length)
    monkeypatch.setattr("fcntl.ioctl", made.ioctl)
    return made


def test_the_module_is_asked_for_a_document_that_is_bound_to_the_session(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The bytes are those of the published API: serde's enum as a map of one entry."""
    asked = module(monkeypatch, cbor.encode({"Attestation": {"document": b"a document" * 400}}))
    found = NitroSource("/dev/null").evidence(BINDING, "d")
    assert found == Evidence("nitro", b"a document" * 400) and found.kind in kinds()
    assert asked.asked == (
        b"\xa1\x6bAttestation\xa3"
        b"\x69user_data\x58\x40" + BINDING.digest + b"\x65nonce\x58\x20" + BINDING.challenge
        + b"\x6apublic_key\x58\x20" + BINDING.session_key
    )  # fmt: skip


def test_a_recorded_document_comes_through_the_module_as_it_was_signed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = shared("confidential", "evidence", "nitro")
    documents = [
        path.read_bytes() for path in sorted(folder.iterdir()) if 1000 < path.stat().st_size < 12_000
    ]
    assert documents
    for document in documents:
        module(monkeypatch, cbor.encode({"Attestation": {"document": document}}))
        assert NitroSource("/dev/null").evidence(BINDING, "d").content == document


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"\xa1\x65Error\x70InvalidOperation",
        b"\xa1\x6bAttestation\xa1\x68document\x40",
        b"\xa1\x6bAttestation\xa1\x68document\x65words",
        b"\xa1\x6bAttestation\xf6",
        b"\x83\x01\x02\x03",
        b"\xa2\x6bAttestation\xa1\x68document\x41a\x65Error\x61x",
    ],
)
def test_a_module_that_gives_no_document_gives_no_evidence(
    monkeypatch: pytest.MonkeyPatch, answer: bytes
) -> None:
    module(monkeypatch, answer)
    with pytest.raises(GivingUp, match="no_evidence"):
        NitroSource("/dev/null").evidence(BINDING, "d")


def test_a_module_that_is_not_there_or_says_too_much_gives_none(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for path in ("/dev/null", str(tmp_path / "nsm")):  # what is there is no secure module
        with pytest.raises(GivingUp, match="no_evidence"):
            NitroSource(path).evidence(BINDING, "d")
    module(monkeypatch, b"\xa0", length=0x3001)
    with pytest.raises(GivingUp, match="no_evidence"):
        NitroSource("/dev/null").evidence(BINDING, "d")


# -- which, and where memory may go


def test_sources_are_named_and_only_the_simulator_protects_nothing() -> None:
    one, other = socket.socketpair()
    with one, other:
        operator = Operator(worker_pipe(one))
        assert [source_of(name, operator).protects for name in SOURCES] == [False, True, True, True]
    with pytest.raises(KeyError):
        source_of("sgx", operator)


def test_memory_stays_off_disks_only_where_there_is_no_swap_or_it_is_locked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Refusing:
        @staticmethod
        def mlockall(flags: int) -> int:
            return -1

    monkeypatch.setattr("grid.confidential_worker.hardening._libc", Refusing())
    swaps = tmp_path / "swaps"
    assert not keep_off_disk(swaps)
    swaps.write_text("Filename Type Size Used Priority\n")
    assert keep_off_disk(swaps)
    swaps.write_text("Filename Type Size Used Priority\n/swapfile file 1 0 -2\n")
    assert not keep_off_disk(swaps)
