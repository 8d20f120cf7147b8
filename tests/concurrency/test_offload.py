from __future__ import annotations

import threading
import time

import pytest

from grid.concurrency.offload import Lock, Semaphore, Signal, offload, patched, start_thread
from grid.storage.blobs import group as group_module
from grid.storage.blobs.group import GroupCommit


def test_without_gevent_offloaded_work_runs_at_once() -> None:
    assert not patched()
    assert offload(threading.get_ident) == threading.get_ident()
    with pytest.raises(ZeroDivisionError):
        offload(divmod, 1, 0)


@pytest.mark.parametrize("first", ["set", "wait"])
def test_a_signal_wakes_its_waiter(first: str) -> None:
    signal = Signal()
    if first == "set":
        signal.set()
    else:
        start_thread(lambda: (time.sleep(0.02), signal.set())[1])
    signal.wait()


def test_a_semaphore_lets_only_so_many_in() -> None:
    semaphore, inside, most = Semaphore(3), [0], [0]
    guard = threading.Lock()

    def work() -> None:
        for _ in range(20):
            with semaphore:
                with guard:
                    inside[0] += 1
                    most[0] = max(most[0], inside[0])
                time.sleep(0.0002)
                with guard:
                    inside[0] -= 1

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most[0] == 3 and inside[0] == 0


def test_a_lock_is_released_by_an_error() -> None:
    lock = Lock()
    with pytest.raises(ZeroDivisionError), lock:
        raise ZeroDivisionError
    with lock:
        pass


def test_items_that_wait_form_one_group() -> None:
    groups: list[list[int]] = []
    begun, go_on = threading.Event(), threading.Event()

    def commit(items: list[int]) -> list[BaseException | None]:
        groups.append(sorted(items))
        begun.set()
        assert go_on.wait(60)
        return [ValueError(item) if item == 3 else None for item in items]

    group = GroupCommit(commit)
    refused: list[int] = []

    def submit(item: int) -> None:
        try:
            group.submit(item)
        except ValueError as error:
            refused.append(error.args[0])

    threads = [threading.Thread(target=submit, args=(n,)) for n in range(10)]
    threads[0].start()
    assert begun.wait(60)
    for thread in threads[1:]:
        thread.start()
    while len(group._pending) < 9:
        time.sleep(0.001)
    go_on.set()
    for thread in threads:
        thread.join()
    assert groups == [[0], list(range(1, 10))] and refused == [3]


@pytest.mark.parametrize("linger", [5.0, 0.0])
def test_one_thread_commits_until_nothing_came_for_a_while(
    linger: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(group_module, "LINGER", linger)
    threads: set[int] = set()

    def commit(items: list[int]) -> list[BaseException | None]:
        threads.add(threading.get_native_id())
        return [None] * len(items)

    group = GroupCommit(commit)
    for item in range(200):
        group.submit(item)
        if item % 20 == 0:
            time.sleep(0.01)
    assert (len(threads) == 1) == (linger > 0)


def test_what_the_group_raises_is_everybodys_error() -> None:
    def commit(items: list[int]) -> list[BaseException | None]:
        raise OSError("the disk is gone")

    group = GroupCommit(commit)
    for item in range(2):  # the second one: its thread goes on after an error
        with pytest.raises(OSError, match="gone"):
            group.submit(item)
