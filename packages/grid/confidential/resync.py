"""After the Domain's database was restored: what the key hosts know of since is not begun again.

A number of a round that they made keys for may have uploads, and a participant gives to a round once; one that
they gave away has its manifest. So the next round of a training is one that no host has heard of.
"""

from __future__ import annotations

from grid.confidential.books import RoundBook
from grid.confidential.choices import policy_of
from grid.confidential.hosts import KeyHosts
from grid.confidential.rounds import Rounds
from grid.confidential.witnessing import Witnessing
from grid.federated.hosting.training_definitions import TrainingDefinition, TrainingDefinitions
from grid.federated.state.store import TrainingStore
from syft_ext.confidential.policy import Host
from syft_ext.errors import GridError
from syft_ext.messages.confidential import Resynced
from syft_ext.messages.key_host import DomainRounds, ListDomainRounds

__all__ = ["Resyncing"]

_OVER = "its key hosts have made, or given away, its keys since this database was backed up"
_STATES = ("", "open", "granted", "released", "expired")
"""How far a round has come at a host."""
_EARLY = ("asked", "opened", "bound")


class Resyncing:
    """Asks all key hosts of the trainings that go on."""

    def __init__(
        self,
        store: TrainingStore,
        book: RoundBook,
        rounds: Rounds,
        definitions: TrainingDefinitions,
        hosts: KeyHosts,
        witnessing: Witnessing,
    ) -> None:
        self._store, self._book, self._rounds = store, book, rounds
        self._definitions, self._hosts, self._witnessing = definitions, hosts, witnessing

    def run(self) -> Resynced:
        """Ask them, and go on from there."""
        silent, ended, hosts = set[str](), 0, dict[bytes, Host]()
        for process_id in self._rounds.unfinished():
            definition = self._definitions.get(process_id)
            known: dict[int, str] = {}
            for host in policy_of(definition.server).hosts:
                hosts[host.key] = host
                try:
                    found: DomainRounds = self._hosts.call(host, ListDomainRounds(process_id=process_id))
                except GridError:
                    silent.add(host.name)
                    continue
                for each in found.rounds:
                    known[each.sequence] = max(known.get(each.sequence, ""), each.state, key=_STATES.index)
            ended += self._end(definition, known)
            self._rounds.ask(process_id)
        return Resynced(rounds=ended, entries=self._take_up(hosts, silent), silent=sorted(silent))

    def _end(self, definition: TrainingDefinition, known: dict[int, str]) -> int:
        policy, ended = policy_of(definition.server), 0
        with self._store.unit(definition.id) as unit:
            rows = {row.sequence: row for row in self._book.of_training(definition.id, unit)}
            for sequence, state in sorted(known.items()):
                row = rows.get(sequence)
                if row is None:
                    context = self._rounds.context(definition, policy, sequence)
                    self._book.skip(unit, context, _OVER)
                    ended += 1
                elif row.state in _EARLY and state != "open":
                    ended += self._book.change(unit, row, row.state, state="failed", reason=_OVER)
        return ended

    def _take_up(self, hosts: dict[bytes, Host], silent: set[str]) -> int:
        before = self._witnessing.size()
        for host in hosts.values():
            if host.name not in silent:
                try:
                    self._witnessing.sign(host)
                except GridError:
                    silent.add(host.name)
        return max(0, self._witnessing.size() - before)
