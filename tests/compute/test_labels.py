"""Random programs against an independent model of who may have what: no path gives more than the permissions do.

The model knows nothing of labels: it keeps, for each value and each stored result, the set of the owner's tensors
that went into it, by doing the arithmetic itself.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch

from syft_ext.errors import GridError
from syft_ext.messages import compute as c
from syft_ext.messages.objects import DeleteObject
from syft_ext.plans import Plan, trace

from .lab import Lab, ref

RIGHTS = ("none", "find", "compute", "read")  # each includes those before it


@dataclass
class Thing:
    """A value, or a stored result: what it is worth, what went into it, and by way of which stored objects."""

    worth: float
    roots: frozenset[str]
    atoms: frozenset[str]
    poisoned: bool = False


@dataclass
class World:
    """The owner's tensors with the scientist's rights on them, and what the scientist has stored."""

    rights: dict[str, str] = field(default_factory=dict)
    stored: dict[str, Thing] = field(default_factory=dict)

    def may(self, right: str, object_id: str) -> bool:
        """Whether the scientist may compute on (read) an object: a tensor by the right on it, a result by all
        that is in it."""
        if self.rights.get(object_id) == "gone":
            return False
        if object_id in self.rights:
            return RIGHTS.index(self.rights[object_id]) >= RIGHTS.index(right)
        return all(self.may(right, root) for root in self.stored[object_id].roots)

    def may_all(self, right: str, thing: Thing) -> bool:
        return all(self.may(right, atom) for atom in thing.atoms)


@pytest.fixture(scope="module")
def plan() -> Plan:
    return trace(lambda a, b: (a + 2 * b, a - b), name="mix", a=torch.ones(1), b=torch.ones(1))


class Program:
    """Does random things as Sue, and compares every answer with what the world says."""

    def __init__(self, lab: Lab, chance: random.Random, plan: Plan) -> None:
        self.lab, self.chance, self.plan = lab, chance, plan
        self.world = World()
        self.values: dict[int, Thing] = {}
        self.remote = lab.sue.open()
        self.obtained = self.refused = 0
        lab.sue.call(c.PutPlan(session_id=self.remote.id), plan.dumps())
        for index in range(4):
            object_id = lab.owner.put(torch.tensor([10.0**index]))
            self.world.rights[object_id] = "none"
            self.change(object_id)

    def change(self, object_id: str) -> None:
        right = self.chance.choice(RIGHTS)
        named: dict[str, list[str]] = {"finders": [], "programmers": [], "readers": []}
        lists = {"find": "finders", "compute": "programmers", "read": "readers"}
        if right in lists:
            named[lists[right]] = [self.lab.sue.id]
        self.lab.owner.share(object_id, **named)
        self.world.rights[object_id] = right

    # -- what the scientist does --------------------------------------------------------------------

    def rights(self) -> None:
        left = [each for each, right in self.world.rights.items() if right != "gone"]
        self.change(self.chance.choice(left))

    def load(self) -> None:
        object_id = self.chance.choice([*self.world.rights, *self.world.stored])
        allowed = self.world.may("compute", object_id)
        out = self.remote.load(object_id)
        stored = self.world.stored.get(object_id)
        worth = stored.worth if stored else 10.0 ** list(self.world.rights).index(object_id)
        roots = stored.roots if stored else frozenset({object_id})
        self.define(out, Thing(worth, roots, frozenset({object_id})), allowed)

    def define(self, out: int, thing: Thing, allowed: bool, *, inherits: bool = False) -> None:
        """What is refused is told, but for what only ``inherits`` the refusal of an operand."""
        thing.poisoned = not allowed
        self.values[out] = thing
        told = any(f.action == self.remote.sent - 1 for f in self.remote.failures())
        assert not told if allowed else told or inherits

    def pick(self) -> int:
        return self.chance.choice(list(self.values))

    def combine(self, *numbers: int, worth: float) -> tuple[Thing, bool]:
        things = [self.values[number] for number in numbers]
        joined = Thing(
            worth,
            frozenset().union(*(t.roots for t in things)),
            frozenset().union(*(t.atoms for t in things)),
        )
        permitted = all(self.world.may("compute", atom) for atom in joined.atoms)
        return joined, permitted and not any(t.poisoned for t in things)

    def call(self, numbers: Sequence[int], worth: float, op: str, *args: Any) -> int:
        thing, allowed = self.combine(*numbers, worth=worth)
        out = self.remote.do(op, *args)
        self.define(out, thing, allowed, inherits=any(self.values[n].poisoned for n in numbers))
        return out

    def add(self) -> None:
        a, b = self.pick(), self.pick()
        self.call([a, b], self.values[a].worth + self.values[b].worth, "aten.add.Tensor", ref(a), ref(b))

    def container(self) -> None:
        """What the original leaked through: a list of values, one of which is private."""
        picked = [self.pick() for _ in range(3)]
        worth = self.values[picked[0]].worth
        stacked = self.call(picked, worth, "aten.stack.default", ["l", *map(ref, picked)])
        self.call([stacked], worth, "aten.select.int", ref(stacked), 0, 0)
        del self.values[stacked]  # of another shape than the rest

    def run_plan(self) -> None:
        a, b = self.pick(), self.pick()
        thing, allowed = self.combine(a, b, worth=self.values[a].worth + 2 * self.values[b].worth)
        outs = [self.remote.new(), self.remote.new()]
        self.remote.send([c.RunPlan(outs, self.plan.id, [a, b])])
        self.define(outs[0], thing, allowed, inherits=self.values[a].poisoned or self.values[b].poisoned)

    def put(self) -> None:
        out = self.remote.put(torch.tensor([7.0]))
        self.define(out, Thing(7.0, frozenset(), frozenset()), True)

    def obtain(self, allowed: bool, worth: float, get: Any) -> None:
        try:
            found = get()
        except GridError:
            assert not allowed
            self.refused += 1
            return
        assert allowed
        assert found.item() == pytest.approx(worth, rel=1e-5)
        self.obtained += 1

    def fetch(self) -> None:
        number = self.pick()
        thing = self.values[number]
        allowed = not thing.poisoned and self.world.may_all("read", thing)
        self.obtain(allowed, thing.worth, lambda: self.remote.fetch(number))
        if not thing.poisoned:
            assert self.remote.check(number).readable == allowed

    def keep(self) -> None:
        number = self.pick()
        thing = self.values[number]
        allowed = not thing.poisoned and self.world.may_all("compute", thing)
        several = self.chance.random() < 0.3
        try:
            kept = self.remote.keep(*([number] * (1 + several)), names=["a", "b"] if several else None)
        except GridError:
            assert not allowed
            return
        assert allowed
        if not several:
            self.world.stored[kept.id] = Thing(thing.worth, thing.roots, thing.atoms)
            return
        may_read = all(self.world.may("read", root) for root in thing.roots)
        self.obtain(may_read, thing.worth, lambda: self.lab.sue.get(kept.id, "tensors")["b"])

    def get(self) -> None:
        if self.world.stored:
            object_id = self.chance.choice(list(self.world.stored))
            thing = self.world.stored[object_id]
            allowed = all(self.world.may("read", root) for root in thing.roots)
            self.obtain(allowed, thing.worth, lambda: self.lab.sue.get(object_id))

    def delete(self) -> None:
        left = [each for each, right in self.world.rights.items() if right != "gone"]
        if len(left) > 2:
            object_id = self.chance.choice(left)
            self.lab.owner.call(DeleteObject(object_id=object_id))
            self.world.rights[object_id] = "gone"

    def run(self, steps: int) -> None:
        self.put()
        often = (self.load, self.load, self.add, self.fetch, self.keep, self.get, self.rights, self.run_plan)
        for _ in range(steps):
            self.chance.choice((*often, self.container, self.put) * 3 + (self.delete,))()
        self.remote.close()


def test_whatever_is_obtained_is_covered_by_a_permission(lab: Lab, plan: Plan) -> None:
    programs = [Program(lab, random.Random(seed), plan) for seed in range(1, 7)]
    for program in programs:
        program.run(40)
    assert min(sum(p.obtained for p in programs), sum(p.refused for p in programs)) > 10
