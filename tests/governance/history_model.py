"""The rules of governance once more, in another form: what a whole history of grants, requests, rules, decisions,
revocations, role changes and time allows. It shares no code with the platform."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

OWNER_OF = {0: "ann", 1: "bob"}
MADE_FROM = {0: {0}, 1: {1}, 2: {0, 1}}  # 2 is Sue's, computed from both
PEOPLE = ("ann", "bob", "sue", "otto", "olga")
GIVES = {"read": {"read", "compute", "statistics"}, "compute": {"compute"}, "statistics": {"statistics"}}


@dataclass
class Grant:
    id: str | None
    scope: str
    user: str
    object: int
    uses: int | None
    ends: float | None
    request: int | None
    revoked: bool = False


@dataclass
class Asked:
    user: str
    scope: str
    about: tuple[int, ...]  # whose owners have to agree; () for a budget
    epsilon: float = 0.0
    state: str = "pending"
    given: float = 0.0
    said: dict[str, dict[str, Any]] = field(default_factory=dict)


@dataclass
class Rule:
    author: str
    accepts: bool
    scope: str
    object: int | None
    user: str
    times: int | None
    uses: int | None


class Model:
    """Every method says whether it is allowed, and does it if so."""

    def __init__(self) -> None:
        self.now, self.needed = 1000.0, 1
        self.reviewers, self.disabled = {"otto", "olga"}, set[str]()
        self.grants: list[Grant] = []
        self.asked: list[Asked] = []
        self.rules: dict[int, Rule] = {}
        self.made_rules = 0
        self.budget: dict[str, float] = {}

    # -- who decides --------------------------------------------------------------------------------

    def governs(self, who: str, number: int) -> bool:
        return all(OWNER_OF[each] == who for each in MADE_FROM[number])

    def decides(self, who: str, asked: Asked) -> set[Any]:
        about: set[Any] = set(asked.about) or {"budget"}
        if who in self.reviewers and who != asked.user:
            return about
        return {each for each in about if each != "budget" and self.governs(who, each)}

    # -- grants -------------------------------------------------------------------------------------

    def live(self, grant: Grant) -> bool:
        return not grant.revoked and grant.uses != 0 and (grant.ends is None or grant.ends > self.now)

    def give(self, giver: str, user: str, number: int, scope: str, uses: Any, lasts: Any) -> bool:
        if not self.governs(giver, number) and (
            giver not in self.reviewers or user == giver or self.needed > 1
        ):
            return False
        ends = None if lasts is None else self.now + lasts
        self.grants.append(Grant(None, scope, user, number, uses, ends, None))
        return True

    def take(self, who: str, grant: Grant) -> bool:
        if not (who in self.reviewers or self.governs(who, grant.object)):
            return False
        grant.revoked = True
        return True

    def resting_on(self, who: str, scope: str, number: int) -> list[Grant] | None:
        """The grants that this rests on; None when it is not allowed."""
        own = self._itself(who, scope, number)
        if own is not None:
            return own
        if MADE_FROM[number] == {number}:
            return None
        needed = (
            "read" if scope == "statistics" else scope
        )  # aggregates of what they chose to compute tell rows
        parts = [self._itself(who, needed, each) for each in MADE_FROM[number]]
        if any(part is None for part in parts):
            return None
        return [grant for part in parts for grant in part or []]

    def _itself(self, who: str, scope: str, number: int) -> list[Grant] | None:
        if OWNER_OF.get(number) == who:
            return []  # on the list of readers
        found = [
            grant
            for grant in self.grants
            if grant.user == who and grant.object == number and self.live(grant)
            if scope in GIVES.get(grant.scope, ())
        ]
        # The unlimited first, then the one that ends first.
        found.sort(
            key=lambda g: (g.uses is not None, g.ends is None, -1.0 if g.ends is None else g.ends, g.id)
        )
        return found[:1] or None

    def use(self, who: str, scope: str, number: int) -> bool:
        grants = self.resting_on(who, scope, number)
        for grant in grants or []:
            if grant.uses is not None:
                grant.uses -= 1
        return grants is not None

    def run(self, who: str, index: int) -> bool:
        asked = self.asked[index]
        grants = [each for each in self.grants if each.request == index and self.live(each)]
        if asked.user != who or asked.state != "approved" or {g.object for g in grants} != set(asked.about):
            return False
        for grant in grants:
            if grant.uses is not None:
                grant.uses -= 1
        return True

    # -- requests -----------------------------------------------------------------------------------

    def ask(self, who: str, scope: str, numbers: tuple[int, ...], epsilon: float = 0.0) -> bool:
        about: tuple[int, ...] = numbers
        if scope == "plan":
            about = tuple(sorted(set().union(*(MADE_FROM[each] for each in numbers))))
        for other in self.asked:
            same = (other.user, other.scope, other.about) == (who, scope, about)
            if same and other.state == "pending":
                return False
        asked = Asked(who, scope, about, epsilon)
        self.asked.append(asked)
        if scope == "plan" and any(self.governs(who, each) for each in about):
            asked.said[who] = {"at": self.now}
        self._rules_speak(asked)
        return True

    def _rules_speak(self, asked: Asked) -> None:
        heard = set()
        for _, rule in sorted(self.rules.items(), key=lambda item: (item[1].accepts, item[0])):
            if rule.author in heard or rule.author in self.disabled or not self.decides(rule.author, asked):
                continue
            if rule.scope not in ("", asked.scope) or rule.user not in ("", asked.user) or rule.times == 0:
                continue
            if rule.object is not None and (set(asked.about) != {rule.object}):
                continue
            if rule.times is not None:
                rule.times -= 1
            heard.add(rule.author)
            if not rule.accepts:
                asked.state = "denied"
                return
            asked.said[rule.author] = {"at": self.now, "uses": rule.uses}
        if asked.said:
            self._count(asked)

    def _count(self, asked: Asked) -> None:
        counting = {
            who: (said, self.decides(who, asked))
            for who, said in asked.said.items()
            if who not in self.disabled
        }
        about: set[Any] = set(asked.about) or {"budget"}
        if any(sum(each in on for _, on in counting.values()) < self.needed for each in about):
            return
        asked.state = "approved"
        said = [words for words, on in counting.values() if on]
        if asked.scope == "budget":
            asked.given = min([asked.epsilon, *(w["epsilon"] for w in said if w.get("epsilon") is not None)])
            self.budget[asked.user] = self.budget.get(asked.user, 0.0) + asked.given
            return
        uses = min((w["uses"] for w in said if w.get("uses") is not None), default=None)
        ends = min((w["at"] + w["lasts"] for w in said if w.get("lasts") is not None), default=None)
        for each in asked.about:
            index = self.asked.index(asked)
            self.grants.append(Grant(None, asked.scope, asked.user, each, uses, ends, index))

    def approve(self, who: str, index: int, uses: Any, lasts: Any, epsilon: Any) -> bool:
        asked = self.asked[index]
        if asked.state != "pending" or not self.decides(who, asked):
            return False
        asked.said[who] = {"at": self.now, "uses": uses, "lasts": lasts, "epsilon": epsilon}
        self._count(asked)
        return True

    def deny(self, who: str, index: int) -> bool:
        asked = self.asked[index]
        if asked.state != "pending" or not self.decides(who, asked):
            return False
        asked.state = "denied"
        return True

    def withdraw(self, who: str, index: int) -> bool:
        asked = self.asked[index]
        if asked.state != "pending" or asked.user != who:
            return False
        asked.state = "withdrawn"
        return True

    def revoke(self, who: str, index: int) -> bool:
        asked = self.asked[index]
        if asked.state != "approved" or not self.decides(who, asked):
            return False
        asked.state = "revoked"
        for grant in self.grants:
            if grant.request == index:
                grant.revoked = True
        if asked.scope == "budget":
            self.budget[asked.user] -= asked.given
        return True

    # -- rules --------------------------------------------------------------------------------------

    def add_rule(self, rule: Rule) -> bool:
        if rule.author not in self.reviewers:
            if rule.object is not None and not self.governs(rule.author, rule.object):
                return False
            if rule.object is None and (rule.author not in OWNER_OF.values() or rule.scope == "budget"):
                return False
        self.rules[self.made_rules] = rule
        self.made_rules += 1
        return True

    def end_rule(self, who: str, number: int) -> bool:
        if number not in self.rules or self.rules[number].author != who:
            return False
        del self.rules[number]
        return True
