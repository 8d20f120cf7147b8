"""Random programs with all of the privacy toolkit: no detour opens what a grant keeps, and each use is logged.

As :mod:`tests.compute.test_labels`, whose model of the world knows nothing of labels; with encrypted values,
private queries and tensors, and members of runs on shares.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import torch

import syft_ext as sy
from syft_ext.client.plan_requests import create_plan_request
from syft_ext.encrypted.context import library_child
from syft_ext.errors import GridError
from syft_ext.messages import compute as c
from syft_ext.messages import requests as r
from syft_ext.messages import shared_runs as s
from syft_ext.messages.audit import ListAudit
from syft_ext.messages.datasets import Asset, Column, CreateDataset
from syft_ext.messages.objects import DeleteObject
from syft_ext.messages.policy import SitePolicy
from syft_ext.messages.private_queries import AskQuery
from syft_ext.messages.private_tensors import PrivateTable, PublishTensor
from syft_ext.messages.shared_terms import SharedInput, SharedTerms
from syft_ext.plans import Plan, trace
from syft_ext.privacy.steps import Step

from .lab import Lab, ref
from .test_labels import Program, Thing, World

#: What each right on an object of the owner's gives; nothing else does.
GIVES = {
    "none": set(),
    "find": {"find"},
    "statistics": {"find", "statistics"},
    "compute": {"find", "compute"},
    "read": {"find", "statistics", "compute", "read"},
    "gone": set(),
}
LISTS = {"find": "finders", "statistics": "analysts", "compute": "programmers", "read": "readers"}
ROWS = 40


class ToolkitWorld(World):
    def may(self, right: str, object_id: str) -> bool:
        if object_id in self.rights:
            return right in GIVES[self.rights[object_id]]
        # Of what was computed, statistics are reading.
        needed = "read" if right == "statistics" else right
        return all(self.may(needed, root) for root in self.stored[object_id].roots)


@pytest.fixture(autouse=True)
def nursery_as_deployed() -> None:
    """Hosts that are warm, as elsewhere: what they may do is what counts here."""


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """With room for the library of encrypted numbers, which the other tests of this room do not need."""
    lab = Lab(tmp_path_factory.mktemp("toolkit"), compute_sessions_per_user=8)
    yield lab
    lab.close()


@pytest.fixture(scope="module")
def keys() -> Iterator[sy.EncryptionKeys]:
    yield sy.EncryptionKeys.generate("add4096")
    library_child().close()


@pytest.fixture(scope="module")
def plan() -> Plan:
    return trace(lambda a, b: (a + b).sum(), name="total", a=torch.ones(1), b=torch.ones(1))


class ToolkitProgram(Program):
    """The owner has two tensors, two encrypted numbers and two tables of patients; Sue has rights on some.

    ``bounds``: of what is encrypted, by number or object: whatever might wrap around is refused to everybody.
    """

    def __init__(self, lab: Lab, chance: random.Random, keys: sy.EncryptionKeys, plan: Plan) -> None:
        self.lab, self.chance, self.keys, self.plan = lab, chance, keys, plan
        self.world = ToolkitWorld()
        self.values, self.ciphers, self.worths = {}, {}, {}
        self.bounds: dict[int | str, float] = {}
        self.kinds: dict[str, str] = {}
        self.asked: dict[str, tuple[str, str]] = {}
        self.used: set[tuple[str, str]] = set()
        self.remote = lab.sue.open()
        self.obtained = self.refused = 0
        for worth in (1.0, 2.0):
            self.own(lab.owner.put(torch.tensor([worth])), worth, "tensor")
            value = sy.CKKSVector.encrypt(keys.public, [worth + 2], bound=8.0)
            hidden = lab.owner.put(value.serialize(), "he.ckks")
            self.own(hidden, worth + 2, "he.ckks")
            self.bounds[hidden] = 8.0
            rows = {"x": torch.ones(ROWS), "patient": torch.arange(ROWS)}
            table = lab.owner.put(rows, "tensors")
            schema = [Column(name="x", low=0.0, high=1.0), Column(name="patient", rows_per_person=1)]
            assets = [Asset(name="a", object_id=table, columns=schema)]
            lab.owner.call(CreateDataset(name=f"visits {table}", assets=assets))
            self.own(table, 0.0, "tensors")
        self.context = self.put_content("he.context", keys.public.content)

    def own(self, object_id: str, worth: float, kind: str) -> None:
        self.world.rights[object_id], self.worths[object_id], self.kinds[object_id] = "none", worth, kind
        self.change(object_id)

    def change(self, object_id: str) -> None:
        right = self.chance.choice([each for each in GIVES if each != "gone"])
        named: dict[str, list[str]] = {each: [] for each in LISTS.values()}
        if right in LISTS:
            named[LISTS[right]] = [self.lab.sue.id]
        self.lab.owner.share(object_id, **named)
        self.world.rights[object_id] = right

    def put_content(self, kind: str, content: bytes) -> int:
        out = self.remote.new()
        self.remote.send([c.Put(out, kind, [len(content)], 0)], content)
        return out

    def some(self, *kinds: str) -> str:
        return self.chance.choice([each for each, kind in self.kinds.items() if kind in kinds])

    # -- values in the session ----------------------------------------------------------------------

    def load(self) -> None:
        object_id = self.some("tensor", "he.ckks")
        allowed = self.world.may("compute", object_id)
        out = self.remote.load(object_id)
        stored = self.world.stored.get(object_id)
        roots = stored.roots if stored else frozenset({object_id})
        thing = Thing(self.worths[object_id], roots, frozenset({object_id}))
        self.into(self.kinds[object_id], out, thing, allowed)
        self.bounds[out] = self.bounds.get(object_id, 0.0)
        if allowed:
            self.used.add(("compute.run", object_id))

    def into(self, kind: str, out: int, thing: Thing, allowed: bool, *, inherits: bool = False) -> None:
        thing.poisoned = not allowed
        (self.values if kind == "tensor" else self.ciphers)[out] = thing
        told = any(f.action == self.remote.sent - 1 for f in self.remote.failures())
        assert not told if allowed else told or inherits

    def encrypt(self) -> None:
        value = sy.CKKSVector.encrypt(self.keys.public, [5.0], bound=8.0)
        out = self.put_content("he.ckks", value.serialize())
        self.into("he.ckks", out, Thing(5.0, frozenset(), frozenset()), True)
        self.bounds[out] = 8.0

    def compute(self, op: str, first: int, second: Thing | None, worth: float, *more: Any) -> int:
        things = [self.ciphers[first], *([] if second is None else [second])]
        joined = Thing(
            worth,
            frozenset().union(*(each.roots for each in things)),
            frozenset().union(*(each.atoms for each in things)),
        )
        stained = any(each.poisoned for each in things)
        allowed = not stained and all(self.world.may("compute", atom) for atom in joined.atoms)
        out = self.remote.do(op, ref(self.context), ref(first), *more)
        self.into("he.ckks", out, joined, allowed, inherits=stained)
        return out

    def combine_ciphers(self) -> None:
        first, second = self.small(), self.small()
        worth = self.ciphers[first].worth
        if self.chance.random() < 0.5:
            out = self.compute("he.neg", first, None, -worth)
            self.bounds[out] = self.bounds[first]
        else:
            other = self.ciphers[second]
            out = self.compute("he.add", first, other, worth + other.worth, ref(second))
            self.bounds[out] = self.bounds[first] + self.bounds[second]

    def with_plain(self) -> None:
        """A plain tensor of the owner's goes into a ciphertext whose key is Sue's."""
        if not self.values:
            return
        first, number = self.small(), self.chance.choice(list(self.values))
        plain = self.values[number]
        if abs(plain.worth) <= 8.0:
            worth = self.ciphers[first].worth + plain.worth
            out = self.compute("he.add_plain", first, plain, worth, ref(number), 8.0)
            self.bounds[out] = self.bounds[first] + 8.0

    def small(self) -> int:
        """A ciphertext that is far from wrapping around."""
        return self.chance.choice([each for each in self.ciphers if self.bounds[each] <= 1000.0])

    def fetch(self) -> None:
        number = self.chance.choice([*self.values, *self.ciphers])
        cipher = number in self.ciphers
        thing = self.ciphers[number] if cipher else self.values[number]
        allowed = not thing.poisoned and self.world.may_all("read", thing)
        self.obtain(allowed, thing.worth, lambda: self.opened(self.remote.fetch(number), cipher))
        if not thing.poisoned:
            assert self.remote.check(number).readable == allowed

    def opened(self, found: Any, cipher: bool) -> Any:
        if not cipher:
            return found
        content = found.numpy().tobytes() if isinstance(found, torch.Tensor) else bytes(found)
        return sy.CKKSVector.deserialize(content).decrypt(self.keys)

    def keep(self) -> None:
        number = self.chance.choice([*self.values, *self.ciphers])
        cipher = number in self.ciphers
        thing = self.ciphers[number] if cipher else self.values[number]
        allowed = not thing.poisoned and self.world.may_all("compute", thing)
        try:
            kept = self.remote.keep(number)
        except GridError as error:
            assert not allowed, error
            return
        assert allowed
        self.bounds[kept.id] = self.bounds.get(number, 0.0)
        self.world.stored[kept.id] = Thing(thing.worth, thing.roots, thing.atoms)
        self.kinds[kept.id], self.worths[kept.id] = ("he.ckks" if cipher else "tensor"), thing.worth
        self.used |= {("compute.keep", atom) for atom in thing.atoms}

    def get(self) -> None:
        object_id = self.some("tensor", "he.ckks")
        cipher = self.kinds[object_id] == "he.ckks"

        def get() -> Any:
            return self.opened(self.lab.sue.get(object_id, "bytes" if cipher else "tensor"), cipher)

        self.obtain(self.world.may("read", object_id), self.worths[object_id], get)

    # -- under noise --------------------------------------------------------------------------------

    def query(self) -> None:
        object_id = self.some("tensor", "tensors")
        column = "x" if self.kinds[object_id] == "tensors" else ""
        message = AskQuery(object_id=object_id, query="count", column=column or "0", epsilon=50.0)
        self.told("queries.ask", [object_id], lambda: self.lab.sue.call(message).value)

    def publish(self) -> None:
        tables = [each for each, kind in self.kinds.items() if kind == "tensors"]
        picked = self.chance.sample(tables, self.chance.choice((1, 2)))
        steps = []
        for place in range(len(picked)):
            steps += [Step(op="column", table=place, column="x"), Step(op="sum", of=[2 * place])]
        if len(picked) == 2:
            steps.append(Step(op="add", of=[1, 3]))
        message = PublishTensor(
            tables=[PrivateTable(object_id=each) for each in picked], steps=steps, epsilon=50.0
        )
        self.told("private_tensors.publish", picked, lambda: self.lab.sue.call(message).values[0])

    def told(self, operation: str, objects: list[str], ask: Any) -> None:
        allowed = all(self.world.may("statistics", each) for each in objects)
        try:
            found = ask()
        except GridError:
            assert not allowed
            self.refused += 1
            return
        assert allowed
        # One person is at most one row of one value: the noise of ε 50 is below a row.
        right = sum(ROWS if self.kinds[each] == "tensors" else 1 for each in objects)
        assert abs(found - right) < 5
        self.obtained += 1
        self.used |= {(operation, each) for each in objects}

    # -- on shares ----------------------------------------------------------------------------------

    def ask_for_shares(self) -> None:
        """Sue asks that an object becomes an input on shares; its owner sometimes agrees."""
        object_id = self.some("tensor")
        node, other, dealer = self.lab.node.identity.verify_key, "a" * 64, "b" * 64
        shared = [
            SharedInput(name=name, party=place, shape=[1], bound=64.0) for place, name in enumerate("ab")
        ]
        terms = SharedTerms(
            protocol="Beaver", precision=16, parties=[node, other], dealer=dealer, inputs=shared,
            opened=[self.plan.outputs[0].name], reader="c" * 64,
        )  # fmt: skip
        try:
            view = create_plan_request(
                _caller(self.lab.sue), self.plan, {"a": object_id}, "", {}, shared=terms
            )
        except GridError:
            assert not self.visible(object_id)
            return
        assert self.visible(object_id)
        state = view.state  # who asks for the same again is shown what was decided
        if state == "pending" and self.alive(object_id):
            state = self.chance.choice(("pending", "approved", "revoked"))
            if state != "pending":
                self.lab.owner.call(r.ApproveRequest(request_id=view.id))
            if state == "revoked":
                self.lab.owner.call(r.RevokeRequest(request_id=view.id))
        self.asked[view.id] = (object_id, state)

    def visible(self, object_id: str) -> bool:
        return object_id in self.world.stored or self.world.may("find", object_id)

    def alive(self, object_id: str) -> bool:
        stored = self.world.stored.get(object_id)
        return all(self.world.rights[each] != "gone" for each in (stored.roots if stored else [object_id]))

    def join(self) -> None:
        if not self.asked:
            return
        request_id, (object_id, state) = self.chance.choice(list(self.asked.items()))
        person = self.chance.choice((self.lab.sue, self.lab.sue, self.lab.sam))
        allowed = person is self.lab.sue and state == "approved" and self.alive(object_id)
        try:
            view = person.call(
                s.JoinSharedRun(request_id=request_id, run=f"{self.chance.getrandbits(128):032x}")
            )
        except GridError:
            assert not allowed
            self.refused += 1
            return
        assert allowed
        person.call(s.EndSharedRun(session_id=view.session_id))
        self.obtained += 1
        self.used.add(("shares.join", object_id))

    def delete(self) -> None:
        left = [
            each
            for each, right in self.world.rights.items()
            if right != "gone" and self.kinds[each] != "tensors"
        ]
        if len(left) > 2:
            object_id = self.chance.choice(left)
            self.lab.owner.call(DeleteObject(object_id=object_id))
            self.world.rights[object_id] = "gone"

    def run(self, steps: int) -> None:
        self.put()
        self.encrypt()
        often = (
            self.load, self.load, self.combine_ciphers, self.with_plain, self.fetch, self.keep, self.get,
            self.rights, self.query, self.publish, self.ask_for_shares, self.join,
        )  # fmt: skip
        for _ in range(steps):
            self.chance.choice((*often * 3, self.encrypt, self.put, self.delete))()
        self.remote.close()


def _caller(person: Any) -> Any:
    def call(message: Any, payload: Any = (), **_: Any) -> Any:
        return person.connection.call(message, [bytes(piece) for piece in payload])

    return SimpleNamespace(call=call, open=person.connection.open, name="lab", id="lab")


@pytest.mark.slow
def test_no_detour_opens_what_a_grant_keeps_and_each_use_is_in_the_log(
    lab: Lab, keys: sy.EncryptionKeys, plan: Plan
) -> None:
    lab.policy(SitePolicy(statistics_total=1e6))
    programs = []
    for seed in range(4):
        programs.append(ToolkitProgram(lab, random.Random(seed), keys, plan))
        programs[-1].run(60)
    assert min(sum(p.obtained for p in programs), sum(p.refused for p in programs)) > 20
    logged, before = set(), None
    while True:
        page = lab.owner.call(ListAudit(actor=lab.sue.id, limit=200, before=before))
        logged |= {(e.operation, each) for e in page.entries if e.outcome == "ok" for each in e.objects}
        if not page.more:
            break
        before = page.entries[-1].seq
    used = set().union(*(program.used for program in programs))
    assert used <= logged
    operations = {"compute.run", "compute.keep", "queries.ask", "private_tensors.publish", "shares.join"}
    assert {operation for operation, _ in used} == operations
