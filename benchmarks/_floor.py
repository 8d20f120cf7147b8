"""The bare floor of a federated round: stream the model out, stream the updates in, add. Nothing else.

No HTTP, no identities, no database, nothing kept: one process with one thread per worker over plain TCP.
"""

from __future__ import annotations

import socket
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import TracebackType

import numpy as np

CHUNK = 1 << 20


def _receive_into(connection: socket.socket, view: memoryview) -> None:
    while view:
        count = connection.recv_into(view, min(len(view), CHUNK))
        if not count:
            raise ConnectionError("peer hung up")
        view = view[count:]


def serve(workers: int, size: int, cycles: int) -> None:
    """The server's process: prints its port, then runs ``cycles`` rounds."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=workers)
    print(listener.getsockname()[1], flush=True)
    connections = [listener.accept()[0] for _ in range(workers)]
    model = np.zeros(size // 4, dtype=np.float32)
    total = np.zeros_like(model)
    lock = threading.Lock()
    barrier = threading.Barrier(workers, action=lambda: np.subtract(model, total / workers, out=model))

    def work(connection: socket.socket) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        buffer = np.empty(CHUNK // 4, dtype=np.float32)
        for cycle in range(cycles):
            _receive_into(connection, memoryview(bytearray(4)))
            connection.sendall(struct.pack("<I", cycle))
            connection.sendall(memoryview(model).cast("B"))
            for start in range(0, len(model), len(buffer)):
                piece = buffer[: min(len(buffer), len(model) - start)]
                _receive_into(connection, memoryview(piece).cast("B"))
                with lock:
                    target = total[start : start + len(piece)]
                    np.add(target, piece, out=target)
            barrier.wait()
            connection.sendall(b"done")

    threads = [threading.Thread(target=work, args=(c,)) for c in connections]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


class FloorServer:
    """The server, in a process of its own."""

    def __init__(self, workers: int, size: int, cycles: int) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(Path(__file__)), str(workers), str(size), str(cycles)],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        self.port = int(self.process.stdout.readline())

    def __enter__(self) -> FloorServer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()


class FloorWorker:
    """One peer of the floor's server."""

    def __init__(self, port: int, size: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._model = bytearray(size)

    def round(self) -> None:
        self._socket.sendall(b"next")
        _receive_into(self._socket, memoryview(bytearray(4)))
        _receive_into(self._socket, memoryview(self._model))
        self._socket.sendall(self._model)
        _receive_into(self._socket, memoryview(bytearray(4)))

    @classmethod
    def run_all(cls, server: FloorServer, workers: int, size: int, cycles: int) -> list[float]:
        """Seconds of every round of the first worker (all move in step)."""
        crowd = [cls(server.port, size) for _ in range(workers)]
        times: list[float] = []

        def work(index: int, worker: FloorWorker) -> None:
            for _ in range(cycles):
                begin = time.perf_counter()
                worker.round()
                if index == 0:
                    times.append(time.perf_counter() - begin)

        threads = [threading.Thread(target=work, args=pair) for pair in enumerate(crowd)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for worker in crowd:
            worker._socket.close()
        return times[1:] or times


if __name__ == "__main__":
    serve(*(int(argument) for argument in sys.argv[1:4]))
