"""Whatever dies, and whenever: the round has one output, or none, and who waits goes on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from sqlalchemy import delete, update

from grid.confidential.choices import policy_of
from grid.confidential.launching import ChildWorkers
from grid.confidential.outputs import SealedOutputs
from grid.confidential.restored import MARKS, put_right
from grid.confidential.tables import ConfidentialOutput, ConfidentialRound
from grid.key_host.rounds import open_rounds
from grid.key_host.service import KeyHostService
from grid.key_host.tables import KeyHostRound
from grid.spending.record import Spent, SpentRecord
from syft_ext.confidential.canonical import Signed, key_of
from syft_ext.confidential.frames import FramePipe
from syft_ext.confidential.policy import Host
from syft_ext.confidential.rounds import OpenRounds
from syft_ext.errors import Unavailable
from syft_ext.messages.key_host import ListDomainRounds
from syft_ext.transport import Connection, open_transport
from tests.confidential_training.conftest import MODEL, changes, on_the_grid
from tests.confidential_training.consortium import GRID_BITS, Consortium, until
from tests.user_folder import fresh_user


class MortalWorkers(ChildWorkers):
    """Workers of which the first ones are killed: after so many of their frames were received each."""

    def __init__(self) -> None:
        super().__init__("apps.confidential_worker")
        self.deaths: list[int] = []
        self.started = 0

    @contextmanager
    def running(self, longest: float) -> Iterator[Any]:
        self.started += 1
        with super().running(longest) as pipe:
            yield _Killed(pipe, self.deaths.pop(0)) if self.deaths else pipe


class _Killed:
    """The operator's end of a worker that is gone after ``left`` frames."""

    def __init__(self, pipe: FramePipe[Any, Any], left: int) -> None:
        self._pipe, self._left = pipe, left

    def send(self, frame: Any) -> None:
        self._pipe.send(frame)

    def receive(self) -> Any:
        if not self._left:
            return None
        self._left -= 1
        return self._pipe.receive()


@pytest.fixture(scope="module")
def workers() -> MortalWorkers:
    return MortalWorkers()


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, workers: MortalWorkers) -> Iterator[Consortium]:
    folder = tmp_path_factory.mktemp("crashes")
    with pytest.MonkeyPatch.context() as patch, fresh_user(folder / "user"):
        consortium = Consortium(folder, patch, hosts=2, workers=workers)
        yield consortium
        consortium.close()


def begin(home: Consortium, plans: dict[str, bytes], name: str, **changed: Any) -> str:
    """A training of which one participant has reported, and whose worker was appraised."""
    process_id = home.host(MODEL, home.approve(home.policy(plans, **changed)), plans, name=name)
    home.join("first", name).report(changes(2)[0])
    until(lambda: home.service.book.session(process_id))
    return process_id


def is_the_mean(home: Consortium, name: str) -> bool:
    mean = sum(on_the_grid(each)["w"] for each in changes(2)) / 2 / 2**GRID_BITS
    return np.array_equal(home.model(name)["w"].numpy(), MODEL["w"].numpy() - mean.astype(np.float32))


def test_workers_that_die_at_every_point(
    home: Consortium, plans: dict[str, bytes], workers: MortalWorkers
) -> None:
    """Before anything, after a challenge, a session, a grant, all grants, an upload; with its output sent."""
    process_id = begin(home, plans, "mortal")
    second = home.join("second", "mortal")
    workers.deaths = [0, 3, 6, 9]
    before = workers.started
    second.report(changes(2)[1])
    home.completed(process_id)
    assert workers.started == before + 5
    assert is_the_mean(home, "mortal")


def test_a_domain_that_dies_between_its_output_and_the_hosts(
    home: Consortium, plans: dict[str, bytes], workers: MortalWorkers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The output is on its disk: after a restart the hosts are asked about that one, and no worker runs again."""
    process_id = begin(home, plans, "domain")
    opened = SealedOutputs.open

    def dead(*args: Any) -> Any:
        raise Unavailable("the power is gone")

    monkeypatch.setattr(SealedOutputs, "open", dead)
    home.join("second", "domain").report(changes(2)[1])
    output = until(lambda: home.service.book.output(home.service.book.of_training(process_id)[0]))
    home.stop()
    monkeypatch.setattr(SealedOutputs, "open", opened)
    before = workers.started
    home.start()
    home.completed(process_id)
    assert workers.started == before
    row = home.service.book.of_training(process_id)[0]
    assert home.service.book.output(row).digest == output.digest
    assert is_the_mean(home, "domain")


def test_a_host_that_is_away_is_waited_for(
    home: Consortium, plans: dict[str, bytes], workers: MortalWorkers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No other host is asked for a key meanwhile: each gives a round's a few times only."""
    process_id = begin(home, plans, "away")
    second = home.join("second", "away")
    blob, declaration = second.seal(changes(2)[1])
    second.declare(declaration)
    hosts, away, before = home.service.hosts, home.hosts[0].node.name, workers.started
    call = hosts.call

    def no_answer(host: Host, *args: Any, **options: Any) -> Any:
        if host.name == away:
            raise Unavailable("nobody answers")
        return call(host, *args, **options)

    monkeypatch.setattr(hosts, "call", no_answer)
    second.send(blob)
    until(lambda: away in home.pipeline.averaging.waiting.get(process_id, ""))
    assert workers.started == before
    monkeypatch.undo()
    home.completed(process_id)
    assert is_the_mean(home, "away")


def test_an_older_database_gets_the_output_that_there_was(home: Consortium, plans: dict[str, bytes]) -> None:
    """What is kept beside the contents outlives it."""
    process_id = begin(home, plans, "older", **home.noisy(1.0, 4))
    home.join("second", "older").report(changes(2)[1])
    home.completed(process_id)
    node = home.domain.node
    row = home.service.book.of_training(process_id)[0]
    output = home.service.book.output(row)
    assert node.blobs.marks is not None
    marks = SpentRecord(node.blobs.marks, node.identity).read().of(MARKS)
    assert marks[process_id]["digest"] == output.digest
    with node.db.transaction() as session:  # as it was when the manifest was fixed
        session.execute(delete(ConfidentialOutput).where(ConfidentialOutput.process_id == process_id))
        session.execute(
            update(ConfidentialRound)
            .where(ConfidentialRound.process_id == process_id)
            .values(state="closed", checkpoint=None, receipt=None)
        )
    with node.db.transaction() as session:
        assert put_right(session, Spent(marks={MARKS: {process_id: marks[process_id]}}), False) == 1
    definition = home.pipeline.definitions.get(process_id)
    sums, base = (
        home.pipeline.outside.of(definition.server),
        home.pipeline.sums.base(process_id, row.cycle_id),
    )
    assert sums is not None
    again = sums.sum(definition, row.cycle_id, base.base)
    model = home.model("older")
    names = [spec.name for spec in base.base.layout.specs]
    assert len(again.aggregate.values) == len(base.base.runs) and set(names) == set(model)
    assert home.service.book.output(row).digest == output.digest


def test_an_even_older_database_gives_the_round_up(home: Consortium, plans: dict[str, bytes]) -> None:
    """Before its manifest: the hosts would refuse another one for ever, so the cycle gets another round."""
    process_id = begin(home, plans, "oldest")
    marks = {
        "sequence": 1,
        "manifest": "ab" * 32,
        "digest": "cd" * 32,
        "size": 1,
        "release": "",
        "sessions": "",
    }
    with home.domain.node.db.transaction() as session:
        assert put_right(session, Spent(marks={MARKS: {process_id: marks | {"stored_at": 0.0}}}), False) == 1
    home.service.rounds.ask(process_id)
    with home.pipeline.store.unit(process_id) as unit:
        assert unit.cycle is not None
        cycle_id = unit.cycle.id
    until(lambda: (r := home.service.book.of_cycle(cycle_id)) is not None and r.row.state == "bound")
    states = [row.state for row in home.service.book.of_training(process_id)]
    assert states == ["failed", "bound"]


def test_keys_that_are_gone_end_the_cycle_with_the_reason(home: Consortium, plans: dict[str, bytes]) -> None:
    process_id = begin(home, plans, "gone")
    second = home.join("second", "gone")
    blob, declaration = second.seal(changes(2)[1])
    second.declare(declaration)
    with home.hosts[0].node.db.transaction() as session:  # its erase_at came
        session.execute(update(KeyHostRound).values(state="expired"))
    second.send(blob)
    view = until(lambda: (v := home.status(process_id)).status == "failed" and v)
    assert "this round is over" in view.reason
    only = home.client.confidential.rounds(process_id).rounds[0]
    assert only.state == "failed" and "over" in only.reason


def test_a_restored_domain_begins_no_round_that_its_hosts_know(
    home: Consortium, plans: dict[str, bytes]
) -> None:
    """Two rounds later than the backup: one that was released, and one whose keys are made."""
    process_id = begin(home, plans, "resync", rounds=20)
    node = home.domain.node
    with node.db.transaction() as session:  # as it would be without the second round's keys
        place = (ConfidentialRound.process_id == process_id, ConfidentialRound.sequence > 1)
        session.execute(delete(ConfidentialRound).where(*place))
    for served in home.hosts:
        core, key = served.node.service(KeyHostService).core, key_of(node.identity)
        definition = home.pipeline.definitions.get(process_id)
        policy = policy_of(definition.server)
        context = home.service.rounds.context(definition, policy, 2)
        request = OpenRounds(host=core.key, contexts=(context,), at=core.now())
        assert open_rounds(core, Signed.make(request, node.identity))
        with core.db.transaction() as session:  # and the first one was given away since
            session.execute(
                update(KeyHostRound)
                .where(KeyHostRound.process_id == process_id, KeyHostRound.sequence == 1)
                .values(state="granted", manifest="ab" * 32)
            )
        assert key == context.domain
    silent, call = home.hosts[0].node.name, home.service.hosts.call

    def no_answer(host: Host, *args: Any, **options: Any) -> Any:
        if host.name == silent:
            raise Unavailable("nobody answers")
        return call(host, *args, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(home.service.hosts, "call", no_answer)
        done = home.client.confidential.resync()
        assert done.rounds >= 2 and silent in done.silent  # other trainings here may have such rounds, too
    done = home.client.confidential.resync()
    assert not done.silent
    until(lambda: [row.state for row in home.service.book.of_training(process_id)][2:] == ["bound"])
    rounds = home.client.confidential.rounds(process_id).rounds
    assert [each.state for each in rounds] == ["failed", "failed", "bound"]
    assert "since this database was backed up" in rounds[0].reason
    assert home.client.confidential.resync().rounds == 0


def test_nobody_is_told_of_others_rounds(home: Consortium, plans: dict[str, bytes]) -> None:
    process_id = begin(home, plans, "others")
    stranger = home.join("stranger", "others")
    host = home.hosts[0]
    connection = Connection(open_transport(host.url), stranger.identity)
    assert connection.call(ListDomainRounds(process_id=process_id)).rounds == []
    connection.close()
