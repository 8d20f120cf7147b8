"""Replays, tokens, permissions and dispatch, with the clock in hand."""

from __future__ import annotations

import time
from pathlib import Path

import msgspec
import pytest

from grid.node import ANONYMOUS, Context, Principal
from grid.node.replay import ReplayGuard
from grid.node.tokens import Tokens
from syft_ext.clock import ManualClock
from syft_ext.errors import (
    ExpiredMessage,
    Forbidden,
    InvalidToken,
    ReplayedMessage,
    TooManyRequests,
    Unauthenticated,
)
from syft_ext.identity import Identity
from syft_ext.messages import ANYONE, NODE, SIGNED, USER, WORKER, Permission, flag
from syft_ext.messages.envelope import Envelope, seal_request
from tests.web.probe import Echo, ProbeService, make_node, token_of

ME = Identity.generate()


def message(at: float) -> Envelope:
    return seal_request(ME, Echo(name="x"), now=at, recipient="r")


class TestReplayGuard:
    def test_a_nonce_is_good_once(self) -> None:
        clock = ManualClock()
        guard = ReplayGuard(clock)
        envelope = message(clock.now())
        guard.admit(envelope)
        with pytest.raises(ReplayedMessage):
            guard.admit(envelope)
        guard.admit(message(clock.now()))

    def test_no_moment_at_which_a_replay_passes(self) -> None:
        clock = ManualClock()
        guard = ReplayGuard(clock, window=10.0)
        clock.advance(20)
        envelope = message(clock.now() + 10)  # as far in the future as is allowed
        guard.admit(envelope)
        for _ in range(60):
            with pytest.raises((ReplayedMessage, ExpiredMessage)):
                guard.admit(envelope)
            clock.advance(0.5)

    def test_the_window_ends_on_both_sides(self) -> None:
        clock = ManualClock()
        guard = ReplayGuard(clock, window=10.0)
        clock.advance(100)
        for offset in (-10.1, 10.1, float("nan"), float("inf"), float("-inf")):
            with pytest.raises(ExpiredMessage):
                guard.admit(message(clock.now() + offset))
        for offset in (-9.9, 9.9):
            guard.admit(message(clock.now() + offset))

    def test_a_restart_does_not_open_the_window_again(self) -> None:
        clock = ManualClock()
        envelope = message(clock.now())
        ReplayGuard(clock).admit(envelope)
        clock.advance(1)
        with pytest.raises(ExpiredMessage, match="before this node started"):
            ReplayGuard(clock).admit(envelope)

    def test_memory_is_bounded_and_forgets(self) -> None:
        clock = ManualClock()
        guard = ReplayGuard(clock, window=10.0, capacity=3)
        for _ in range(3):
            guard.admit(message(clock.now()))
        with pytest.raises(TooManyRequests):
            guard.admit(message(clock.now()))
        clock.advance(21)
        guard.admit(message(clock.now()))


class TestTokens:
    def test_claims_come_back_until_they_expire(self) -> None:
        clock = ManualClock()
        tokens = Tokens(ME, clock)
        token, _ = tokens.issue("user", "u1", 60.0, role="owner")
        for _ in range(2):  # the second time from the cache
            claims = tokens.verify(token)
            assert (claims["sub"], claims["typ"], claims["role"]) == ("u1", "user", "owner")
            claims["sub"] = "changed by a caller"
        clock.advance(60)
        with pytest.raises(InvalidToken, match="expired"):
            tokens.verify(token)

    def test_a_bound_token_needs_its_key(self) -> None:
        tokens = Tokens(ME, ManualClock())
        token, _ = tokens.issue("user", "u1", 60.0, key="k1")
        assert tokens.verify(token, signed_by="k1")["sub"] == "u1"
        with pytest.raises(InvalidToken, match="another key"):
            tokens.verify(token, signed_by="k2")

    def test_tokens_are_for_one_node(self) -> None:
        clock = ManualClock()
        token, _ = Tokens(Identity.generate(), clock).issue("user", "u1", 60.0)
        with pytest.raises(InvalidToken):
            Tokens(ME, clock).verify(token)


PRINCIPALS = {
    "anonymous": ANONYMOUS,
    "key": Principal("key", verify_key="k"),
    "user": Principal("user", "u"),
    "officer": Principal("user", "o", flags=frozenset({"can_triage_requests"})),
    "worker": Principal("worker", "w"),
    "node": Principal("node", "n", verify_key="k"),
}
MATRIX: list[tuple[Permission, set[str]]] = [
    (ANYONE, set(PRINCIPALS)),
    (SIGNED, {"key", "node"}),
    (USER, {"user", "officer"}),
    (WORKER, {"worker"}),
    (NODE, {"node"}),
    (flag("can_triage_requests"), {"officer"}),
    (flag("can_upload_data"), set()),
]


@pytest.mark.parametrize(
    ("permission", "allowed"),
    MATRIX,
    ids=lambda v: str(v) if isinstance(v, Permission) else "+".join(sorted(v)),
)
def test_who_has_which_permission(permission: Permission, allowed: set[str]) -> None:
    assert {name for name, principal in PRINCIPALS.items() if principal.has(permission)} == allowed
    for name, principal in PRINCIPALS.items():
        if name not in allowed:
            wanted = Unauthenticated if principal.kind in ("anonymous", "key") else Forbidden
            with pytest.raises(wanted):
                principal.require(permission)


def test_dispatch_checks_again_whatever_the_transport_did(tmp_path: Path) -> None:
    from tests.web.probe import Forget

    node = make_node(tmp_path)
    with pytest.raises(Unauthenticated):
        node.dispatch(Context(ANONYMOUS), Forget(name="x"))
    assert node.service(ProbeService).calls == 0
    node.stop()


def test_the_identity_survives_a_restart_and_so_do_tokens(tmp_path: Path) -> None:
    node = make_node(tmp_path)
    token, node_id = token_of(node), node.id
    node.stop()
    again = make_node(tmp_path)
    assert again.id == node_id
    assert again.principal_of_token(token).id == "somebody"
    again.stop()


def test_no_message_has_a_field_that_says_who_the_caller_is() -> None:
    """Identity comes from the verified key or token, never from the body."""
    forbidden = {"sender", "principal", "caller", "current_user", "verify_key_of_sender"}
    from syft_ext.messages import operations

    for spec in operations().values():
        assert forbidden.isdisjoint(field.name for field in msgspec.structs.fields(spec.message)), spec.name


def test_old_clocks_are_told_about_the_time() -> None:
    guard = ReplayGuard(ManualClock(start=time.time()))
    with pytest.raises(ExpiredMessage) as caught:
        guard.admit(message(5.0))
    assert abs(caught.value.extra["time"] - time.time()) < 60
