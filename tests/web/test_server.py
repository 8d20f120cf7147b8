"""The server as a process under gevent: start, stop, memory, fairness, many clients, TLS."""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import json
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import urllib3
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from grid.web.testing import RunningNode
from syft_ext.transport import Connection, open_transport

from .fixtures import HERE
from .probe import DownloadBytes, Search, Upload, content
from .wire import CLOSE, RawSocket, Wire

HTTP = urllib3.PoolManager(retries=False)
MB = 1 << 20


def start(home: Path, *arguments: object, **environment: str) -> RunningNode:
    return RunningNode([sys.executable, HERE / "probe.py", home, *map(str, arguments)], env=environment)


def token(node: RunningNode) -> str:
    return (node.home / "user.token").read_text()  # type: ignore[attr-defined]


def posted(operation: str, **fields: object) -> str:
    """A request for an operation of the probe."""
    body = json.dumps(fields)
    head = f"POST /probe/{operation} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n{body}"


# -- the end ------------------------------------------------------------------------------------------


def test_running_requests_are_finished_and_everybody_else_is_sent_home(tmp_path: Path) -> None:
    """The gate of what is being answered opens only after everybody else was sent home."""
    with start(tmp_path, PROBE_GRACE="60") as node, contextlib.ExitStack() as stack:
        idle = stack.enter_context(Wire(node.url))
        assert idle.request("GET", "/healthz")[0] == 200
        ws = stack.enter_context(RawSocket(node.url, "/ws"))
        busy = stack.enter_context(Wire(node.url))
        busy.send(posted("gate"))
        assert (
            HTTP.request("GET", f"{node.url}/healthz").status == 200
        )  # so it has come, as what was sent before
        node.process.send_signal(signal.SIGTERM)
        assert ws.read_close() == 1001
        ws.frame(CLOSE, b"\x03\xe9")
        assert idle.closed()
        (tmp_path / "open").touch()
        status, headers, body = busy.response()
        assert (status, headers["connection"]) == (200, "close")
        assert json.loads(body)["kind"] == "let through"
        assert node.stop() == 0
        assert "stopped\n" in node.lines


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_what_takes_too_long_is_cut_off(tmp_path: Path, number: signal.Signals) -> None:
    with start(tmp_path) as node, Wire(node.url) as busy:
        busy.send(posted("wait", seconds=300))
        assert (
            HTTP.request("GET", f"{node.url}/healthz").status == 200
        )  # so it has come, as what was sent before
        begun = time.monotonic()
        node.process.send_signal(number)
        assert node.process.wait(120) == 0
        # The probe's grace is 3 seconds, the request would take 300; the rest is the process ending.
        assert 2 < time.monotonic() - begun < 200
        status, _, body = busy.response()
        assert (status, json.loads(body)["code"]) == (503, "unavailable")
        assert busy.closed()
        node.stop()
        assert not any("Traceback" in line for line in node.lines)


def test_an_occupied_port_is_said_at_once(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        command = [sys.executable, HERE / "probe.py", tmp_path, str(port)]
        result = subprocess.run(command, capture_output=True, text=True, timeout=240)
    assert result.returncode != 0
    assert "ready" not in result.stdout
    assert "Address already in use" in result.stderr


# -- memory and fairness --------------------------------------------------------------------------------


def peak(node: RunningNode) -> int:
    """Peak resident memory so far, bytes."""
    status = Path(f"/proc/{node.process.pid}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) * 1024


def pieces(count: int) -> Iterator[bytes]:
    block = bytes(range(256)) * (MB // 256)
    return (block for _ in range(count))


def test_memory_is_flat_in_uploads_and_downloads(tmp_path: Path) -> None:
    with start(tmp_path) as node:
        node.home = tmp_path  # type: ignore[attr-defined]
        headers = {"Authorization": f"Bearer {token(node)}"}
        url = f"{node.url}/probe/uploads/big"
        HTTP.request("PUT", url, headers=headers, body=pieces(8), chunked=True)  # warm
        before = peak(node)
        known = {**headers, "Content-Length": str(300 * MB)}
        for options in ({"headers": known, "chunked": False}, {"headers": headers, "chunked": True}):
            reply = HTTP.request("PUT", url, body=pieces(300), **options).json()
            assert reply["size"] == 300 * MB
        response = HTTP.request("GET", f"{node.url}/probe/downloads/{300 * MB}", preload_content=False)
        assert sum(len(piece) for piece in response.stream(MB)) == 300 * MB
        response.release_conn()
        connection = Connection(open_transport(node.url), token=token(node))
        block = bytes(MB)
        assert connection.call(Upload(name="signed"), [block] * 300).size == 300 * MB
        sink = _Counting()
        connection.download(DownloadBytes(size=300 * MB), sink)  # type: ignore[arg-type]
        assert sink.size == 300 * MB
        connection.close()
        assert peak(node) - before < 24 * MB


class _Counting:
    def __init__(self) -> None:
        self.size = 0

    def write(self, data: bytes) -> int:
        self.size += len(data)
        return len(data)


def test_a_fast_upload_does_not_stop_the_others(running: RunningNode) -> None:
    stop = threading.Event()

    def upload() -> None:
        headers = {"Authorization": f"Bearer {token(running)}"}
        block = bytes(MB)

        def endless() -> Iterator[bytes]:
            while not stop.is_set():
                yield block

        url = f"{running.url}/probe/uploads/endless"
        HTTP.request("PUT", url, headers=headers, body=endless(), chunked=True)

    thread = threading.Thread(target=upload)
    thread.start()
    try:
        time.sleep(0.2)
        for _ in range(20):  # each while the upload goes on, and not after it
            assert HTTP.request("GET", f"{running.url}/healthz", timeout=240.0).status == 200
    finally:
        stop.set()
        thread.join()


def test_two_hundred_clients_wait_at_the_same_time(running: RunningNode) -> None:
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(RawSocket(running.url, "/ws", timeout=90)) for _ in range(200)]
        threads = psutil.Process(running.process.pid).num_threads()
        for client in clients:
            client.frame(1, b'{"type":"probe.meet","data":{"name":"all","count":200},"request_id":1}')
        for client in clients:
            answer = json.loads(client.read_frame()[1])
            assert answer["request_id"] == 1 and answer["data"]["kind"] == "met", answer
        assert psutil.Process(running.process.pid).num_threads() <= threads + 2


def test_the_content_is_right_under_load(running: RunningNode) -> None:
    wanted = hashlib.sha256(b"".join(content(0, 3 * MB))).hexdigest()
    wrong: list[str] = []

    def fetch() -> None:
        for _ in range(3):
            data = HTTP.request("GET", f"{running.url}/probe/downloads/{3 * MB}").data
            if hashlib.sha256(data).hexdigest() != wanted:
                wrong.append(f"{len(data)} bytes")

    threads = [threading.Thread(target=fetch) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_a_head_that_drips_in_is_cut_off(tmp_path: Path) -> None:
    with RunningNode([sys.executable, HERE / "sockets_app.py", "20"]) as node, Wire(node.url) as wire:
        wire.send("GET /plain HTTP/1.1\r\nHost: x\r\n")
        begun = time.monotonic()
        with contextlib.suppress(OSError):
            for letter in "X-Slow: " + "x" * 100:
                wire.send(letter)
                time.sleep(0.05)  # never silent, never done
                if time.monotonic() - begun > 2:
                    break
        assert wire.response()[0] == 408
        assert wire.closed()


# -- TLS ----------------------------------------------------------------------------------------------


def certificate(folder: Path) -> tuple[Path, Path]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    import ipaddress

    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(minutes=5))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(address, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    cert_file, key_file = folder / "cert.pem", folder / "key.pem"
    cert_file.write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return cert_file, key_file


def test_https(tmp_path: Path) -> None:
    cert, key = certificate(tmp_path)
    with start(tmp_path / "home", 0, cert, key) as node:
        assert node.url.startswith("https://")
        connection = Connection(open_transport(node.url, ca_file=str(cert)))
        assert connection.call(Search(number=5)).number == 5
        reply, data = connection.download(DownloadBytes(size=3 * MB))
        assert (reply.size, len(data)) == (3 * MB, 3 * MB)
        with Wire(node.url.replace("https", "http")) as plain:  # somebody forgot the s
            plain.send("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
            assert plain.closed()
        assert connection.call(Search(number=6)).number == 6
        connection.close()
