"""What every job queue must do. A test class says how one is made, and how time passes for it."""

from __future__ import annotations

import errno
import threading
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from grid.concurrency.jobs import ATTEMPTS, JobQueue, pause_after
from grid.concurrency.passing import LONGEST
from syft_ext.errors import BadRequest, InternalError, NotFound, Unavailable, Unsupported

__all__ = ["JobQueueContract"]

Args = Mapping[str, Any]


class Flaky:
    """A handler that fails with ``errors`` one after the other, then succeeds."""

    def __init__(self, *errors: Exception) -> None:
        self._errors = list(errors)
        self.calls: list[Args] = []

    def __call__(self, args: Args) -> None:
        self.calls.append(args)
        if self._errors:
            raise self._errors.pop(0)


class Gate:
    """A handler that waits to be let through; knows how many were inside at once."""

    def __init__(self) -> None:
        self.entered, self.open = threading.Semaphore(0), threading.Event()
        self._lock = threading.Lock()
        self.inside = self.most = 0
        self.order: list[int] = []

    def __call__(self, args: Args) -> None:
        with self._lock:
            self.inside += 1
            self.most = max(self.most, self.inside)
            self.order.append(args.get("n", 0))
        self.entered.release()
        assert self.open.wait(60)
        with self._lock:
            self.inside -= 1


class JobQueueContract(ABC):
    @abstractmethod
    def make(self) -> JobQueue:
        """A queue that is not started."""

    @abstractmethod
    def pass_time(self, queue: JobQueue, seconds: float) -> None:
        """So much time passes, and what it brings is done."""

    @pytest.fixture
    def queue(self) -> Iterator[JobQueue]:
        queue = self.make()
        queue.start()
        yield queue
        queue.stop()

    # -- what is submitted --------------------------------------------------------------------------

    def test_a_handler_gets_what_comes_out_of_json(self, queue: JobQueue) -> None:
        handler, shared = Flaky(), [1]
        queue.handle("x", handler)
        queue.submit("x", {"list": shared, "tuple": (1, 2), "text": "é", "none": None})
        shared.append(2)
        assert queue.drain()
        assert handler.calls == [{"list": [1], "tuple": [1, 2], "text": "é", "none": None}]

    def test_what_is_no_json_and_what_nobody_handles_is_refused_at_once(self, queue: JobQueue) -> None:
        handler = Flaky()
        queue.handle("x", handler)
        for wrong in ({"x": object()}, {"x": lambda: 1}):
            with pytest.raises(TypeError):
                queue.submit("x", wrong)
        with pytest.raises(ValueError, match="nobody handles"):
            queue.submit("y", {})
        with pytest.raises(ValueError, match="two handlers"):
            queue.handle("x", handler)
        assert queue.drain() and handler.calls == []

    def test_what_is_submitted_before_the_start_is_run_after_it(self) -> None:
        queue, handler = self.make(), Flaky()
        queue.handle("x", handler)
        queue.submit("x", {})
        assert handler.calls == []
        queue.start()
        assert queue.drain() and len(handler.calls) == 1
        queue.stop()

    def test_a_handler_may_submit(self, queue: JobQueue) -> None:
        handler = Flaky()
        queue.handle("first", lambda args: queue.submit("second", {"from": args["n"]}, key="same"))
        queue.handle("second", handler)
        queue.submit("first", {"n": 7}, key="same")
        assert queue.drain() and handler.calls == [{"from": 7}]

    def test_a_delay_is_kept(self, queue: JobQueue) -> None:
        handler = Flaky()
        queue.handle("x", handler)
        queue.submit("x", {}, delay=3.0)
        self.pass_time(queue, 2.5)
        assert handler.calls == []
        self.pass_time(queue, 1.0)
        assert len(handler.calls) == 1

    def test_many_from_many_threads_are_all_run(self, queue: JobQueue) -> None:
        handler = Flaky()
        queue.handle("x", handler)

        def submit(thread: int) -> None:
            for n in range(50):
                queue.submit("x", {"n": [thread, n]}, key=str(n % 7))

        threads = [threading.Thread(target=submit, args=(thread,)) for thread in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert queue.drain()
        counts = Counter(tuple(args["n"]) for args in handler.calls)
        assert set(counts) == {(thread, n) for thread in range(8) for n in range(50)}

    # -- together and one by one --------------------------------------------------------------------

    def test_jobs_of_one_key_follow_one_another(self, queue: JobQueue) -> None:
        gate = Gate()
        queue.handle("x", gate)
        for n in range(4):
            queue.submit("x", {"n": n}, key="k")
        assert gate.entered.acquire(timeout=240)
        assert not gate.entered.acquire(timeout=0.1)
        gate.open.set()
        assert queue.drain()
        assert (gate.most, gate.order) == (1, [0, 1, 2, 3])

    def test_a_slow_job_holds_up_no_other_key(self, queue: JobQueue) -> None:
        gate = Gate()
        queue.handle("x", gate)
        for key in ("a", "b", ""):
            queue.submit("x", {}, key=key)
        for _ in range(3):
            assert gate.entered.acquire(timeout=240)
        gate.open.set()
        assert queue.drain() and gate.most == 3

    def test_drain_says_when_something_is_left(self, queue: JobQueue) -> None:
        gate = Gate()
        queue.handle("x", gate)
        queue.submit("x", {})
        assert not queue.drain(timeout=0.05)
        gate.open.set()
        assert queue.drain()

    # -- the same one twice -------------------------------------------------------------------------

    def test_one_that_is_not_done_is_not_submitted_again(self, queue: JobQueue) -> None:
        gate, other = Gate(), Flaky()
        queue.handle("x", gate)
        queue.handle("y", other)
        first = queue.submit("x", {"n": 1}, key="k", idempotency_key="i")
        assert gate.entered.acquire(timeout=240)
        waiting = queue.submit("x", {"n": 2}, key="k", idempotency_key="j")
        assert queue.submit("x", {"n": 3}, key="k", idempotency_key="i") == first, "it is run now"
        assert queue.submit("x", {"n": 3}, key="k", idempotency_key="j") == waiting, "it waits"
        assert queue.submit("y", {}, idempotency_key="i") != first, "that is another name"
        gate.open.set()
        assert queue.drain()
        assert (gate.order, len(other.calls)) == ([1, 2], 1)
        assert queue.submit("x", {"n": 4}, idempotency_key="i") != first, "the first one is done"
        assert queue.drain() and gate.order == [1, 2, 4]

    def test_without_a_key_each_is_another(self, queue: JobQueue) -> None:
        handler = Flaky()
        queue.handle("x", handler)
        assert len({queue.submit("x", {}) for _ in range(3)}) == 3
        assert queue.drain() and len(handler.calls) == 3

    # -- what fails ---------------------------------------------------------------------------------

    def test_what_fails_is_tried_again_after_growing_pauses(self, queue: JobQueue) -> None:
        handler = Flaky(InternalError("stumbled"), RuntimeError("worse"))
        queue.handle("x", handler)
        job_id = queue.submit("x", {"n": 1}, key="k", idempotency_key="i")
        assert queue.drain() and len(handler.calls) == 1
        for attempts in (1, 2):
            self.pass_time(queue, 0.9 * pause_after(attempts))
            assert len(handler.calls) == attempts
            assert queue.submit("x", {"n": 2}, idempotency_key="i") == job_id, "it is not done"
            self.pass_time(queue, 0.2 * pause_after(attempts))
            assert len(handler.calls) == attempts + 1
        assert handler.calls == [{"n": 1}] * 3
        assert pause_after(2) > 2 * pause_after(1) and pause_after(50) == pause_after(10_000) == 60.0
        assert queue.dead_letters() == []

    def test_what_fails_too_often_is_kept_and_can_be_tried_anew(self, queue: JobQueue) -> None:
        handler = Flaky(*[InternalError(f"down {n}") for n in range(ATTEMPTS + 1)])
        queue.handle("x", handler)
        job_id = queue.submit("x", {"n": 1}, key="k", idempotency_key="i")
        for attempts in range(1, ATTEMPTS + 1):
            assert queue.drain() and len(handler.calls) == attempts
            self.pass_time(queue, pause_after(attempts) + 0.1)
        (dead,) = queue.dead_letters()
        assert (dead.id, dead.name, dead.args, dead.key) == (job_id, "x", {"n": 1}, "k")
        assert (dead.attempts, dead.error) == (ATTEMPTS, f"down {ATTEMPTS - 1}")
        self.pass_time(queue, 3600.0)
        assert len(handler.calls) == ATTEMPTS
        assert queue.submit("x", {"n": 2}, idempotency_key="i") == job_id, "it is not done"
        queue.retry(job_id)
        assert queue.dead_letters() == []
        assert queue.drain() and len(handler.calls) == ATTEMPTS + 1
        self.pass_time(queue, pause_after(1) + 0.1)
        assert len(handler.calls) == ATTEMPTS + 2
        assert queue.submit("x", {"n": 3}, idempotency_key="i") != job_id

    @pytest.mark.parametrize(
        "error", [Unavailable("down"), OSError(errno.ENOSPC, "No space left on device"), ConnectionError()]
    )
    def test_what_passes_is_tried_until_it_is_over(self, queue: JobQueue, error: Exception) -> None:
        handler = Flaky(*[error] * (3 * ATTEMPTS))
        queue.handle("x", handler)
        queue.submit("x", {})
        for _ in range(3 * ATTEMPTS):
            self.pass_time(queue, LONGEST + 0.1)
        assert queue.drain() and len(handler.calls) == 3 * ATTEMPTS + 1
        assert queue.dead_letters() == []

    @pytest.mark.parametrize("error", [BadRequest("no such thing"), Unsupported("never")])
    def test_what_cannot_succeed_is_not_tried_again(self, queue: JobQueue, error: Exception) -> None:
        handler = Flaky(error)
        queue.handle("x", handler)
        queue.submit("x", {})
        assert queue.drain()
        assert [job.attempts for job in queue.dead_letters()] == [1]

    def test_of_an_unknown_error_only_its_type_is_kept(self, queue: JobQueue) -> None:
        queue.handle("x", Flaky(*[ValueError("patient 17 is ill")] * ATTEMPTS))
        queue.submit("x", {})
        for attempts in range(1, ATTEMPTS + 1):
            self.pass_time(queue, pause_after(attempts) + 0.1)
        assert [job.error for job in queue.dead_letters()] == ["ValueError"]

    def test_a_dead_letter_can_be_given_up(self, queue: JobQueue) -> None:
        handler = Flaky(BadRequest("no"))
        queue.handle("x", handler)
        job_id = queue.submit("x", {}, idempotency_key="i")
        assert queue.drain()
        queue.discard(job_id)
        assert queue.dead_letters() == []
        for act in (queue.retry, queue.discard):
            with pytest.raises(NotFound):
                act(job_id)
        assert queue.submit("x", {}, idempotency_key="i") != job_id
        assert queue.drain() and len(handler.calls) == 2

    def test_a_failed_job_does_not_hold_up_its_key(self, queue: JobQueue) -> None:
        bad, good = Flaky(Unavailable("busy")), Flaky()
        queue.handle("bad", bad)
        queue.handle("good", good)
        queue.submit("bad", {}, key="k")
        queue.submit("good", {}, key="k")
        assert queue.drain()
        assert (len(bad.calls), len(good.calls)) == (1, 1)

    # -- the end ------------------------------------------------------------------------------------

    def test_a_stop_waits_for_what_runs_and_begins_nothing(self) -> None:
        queue, gate = self.make(), Gate()
        queue.handle("x", gate)
        queue.start()
        for n in range(2):
            queue.submit("x", {"n": n}, key="k")
        assert gate.entered.acquire(timeout=240)
        stopping = threading.Thread(target=queue.stop)
        stopping.start()
        stopping.join(0.1)
        assert stopping.is_alive(), "one job still runs"
        gate.open.set()
        stopping.join(60)
        assert not stopping.is_alive() and gate.inside == 0
        queue.submit("x", {"n": 2})
        assert not gate.entered.acquire(timeout=0.1)
        assert gate.order == [0]

    def test_it_may_be_stopped_without_a_start(self) -> None:
        queue = self.make()
        queue.handle("x", Flaky())
        queue.submit("x", {})
        queue.stop()
