import time
from concurrent.futures import ThreadPoolExecutor

import jwt
import pytest
from argon2 import PasswordHasher, extract_parameters
from argon2.profiles import RFC_9106_LOW_MEMORY
from sqlalchemy import func, select

from grid.accounts.passwords import Passwords
from grid.accounts.service import PASSWORDS
from grid.accounts.tables import LoginFailures, User, UserSession
from grid.node import Context
from grid.node.principal import ANONYMOUS
from syft_ext.errors import GridError, InvalidToken, NotFound, TooManyRequests, Unauthenticated
from syft_ext.identity import Identity
from syft_ext.messages.accounts import (
    ChangePassword,
    CreateUser,
    DeleteUser,
    GetMe,
    ListUsers,
    Login,
    Logout,
    RevokeSessions,
    RevokeUser,
    UpdateRole,
    UpdateSettings,
    UpdateUser,
)
from tests.accounts.people import OWNER, PASSWORD, House


def test_login_gives_a_token_that_names_the_user(house: House) -> None:
    connection = house.set_up()
    me = connection.call(GetMe())
    assert (me.email, me.role) == (OWNER, "Owner")
    assert me.verify_keys == [connection.identity.verify_key]


@pytest.mark.parametrize("email", [OWNER, "nobody@x.org", "no address"])
def test_wrong_logins_look_the_same(house: House, email: str) -> None:
    house.set_up()
    with pytest.raises(Unauthenticated, match=r"^e-mail or password is wrong$") as caught:
        house.call_in().call(Login(email=email, password="wrong password"))
    assert type(caught.value) is Unauthenticated
    assert caught.value.extra == {}


def test_an_unknown_user_costs_the_same_hash(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PASSWORDS, "hasher", PasswordHasher.from_parameters(RFC_9106_LOW_MEMORY))
    house.set_up()

    def seconds(email: str) -> float:
        """CPU time of this process: other processes of a busy machine do not count."""
        begun = time.process_time()
        with pytest.raises(Unauthenticated):
            house.call_in().call(Login(email=email, password="wrong password"))
        return time.process_time() - begun

    known = min(seconds(OWNER) for _ in range(3))
    unknown = min(seconds("nobody@x.org") for _ in range(3))
    assert 0.5 < unknown / known < 2.0


def test_a_token_expires(house: House) -> None:
    connection = house.set_up()
    house.clock.advance(3599)
    connection.call(GetMe())
    house.clock.advance(2)
    with pytest.raises(InvalidToken, match="expired"):
        connection.call(GetMe())
    house.log_in()
    with house.node.db.read() as session:  # expired sessions do not pile up
        assert session.scalar(select(func.count()).select_from(UserSession)) == 1


def test_logout_ends_token_and_key(house: House) -> None:
    connection, other = house.set_up(), house.log_in()
    connection.call(Logout())
    with pytest.raises(InvalidToken):
        connection.call(GetMe())
    connection.token = ""
    with pytest.raises(Unauthenticated):
        connection.call(GetMe())
    other.call(GetMe())


def test_revoking_ends_all_own_sessions(house: House) -> None:
    first, second = house.set_up(), house.log_in()
    first.call(RevokeSessions())
    for connection in (first, second):
        with pytest.raises(InvalidToken):
            connection.call(GetMe())


def test_an_administrator_ends_a_users_sessions(house: House) -> None:
    owner = house.set_up()
    ann, user = house.add_user(owner, "ann@x.org")
    owner.call(RevokeUser(user_id=user.id))
    with pytest.raises(InvalidToken):
        ann.call(GetMe())


def test_disabling_acts_on_the_very_next_call(house: House) -> None:
    owner = house.set_up()
    ann, user = house.add_user(owner, "ann@x.org")
    ann.call(GetMe())
    owner.call(UpdateUser(user_id=user.id, disabled=True))
    with pytest.raises(InvalidToken):
        ann.call(GetMe())
    ann.token = ""
    with pytest.raises(Unauthenticated):
        ann.call(GetMe())
    with pytest.raises(Unauthenticated):
        house.log_in("ann@x.org")
    owner.call(UpdateUser(user_id=user.id, disabled=False))
    house.log_in("ann@x.org").call(GetMe())


def test_deleting_acts_on_the_very_next_call(house: House) -> None:
    owner = house.set_up()
    ann, user = house.add_user(owner, "ann@x.org")
    owner.call(DeleteUser(user_id=user.id))
    with pytest.raises(InvalidToken):
        ann.call(GetMe())
    with pytest.raises(NotFound):
        owner.call(DeleteUser(user_id=user.id))


def test_a_role_that_changes_acts_on_the_very_next_call(house: House) -> None:
    owner = house.set_up()
    officer, user = house.add_user(owner, "officer@x.org", "Compliance Officer")
    officer.call(ListUsers())
    owner.call(UpdateRole(role_id=2, can_triage_requests=False))
    with pytest.raises(GridError, match="can_triage_requests"):
        officer.call(ListUsers())
    owner.call(UpdateUser(user_id=user.id, role="Administrator"))
    officer.call(ListUsers())


def test_a_new_password_ends_the_other_sessions(house: House) -> None:
    house.set_up()
    mine, stolen = house.log_in(), house.log_in()
    mine.call(ChangePassword(password=PASSWORD, new_password="something new"))
    mine.call(GetMe())
    with pytest.raises(InvalidToken):
        stolen.call(GetMe())
    stolen.token = ""
    with pytest.raises(Unauthenticated):
        stolen.call(GetMe())
    with pytest.raises(Unauthenticated):
        house.log_in()
    house.log_in(password="something new")


# -- keys ----------------------------------------------------------------------------------------------


def test_a_key_alone_is_its_user_until_it_rests_too_long(house: House) -> None:
    connection = house.set_up()
    connection.token = ""
    assert connection.call(GetMe()).email == OWNER
    house.log_in().call(UpdateSettings(key_lifetime=7200.0))
    house.clock.advance(7199)
    assert connection.call(GetMe()).email == OWNER
    house.clock.advance(2)
    with pytest.raises(Unauthenticated):
        connection.call(GetMe())


def test_key_lifetime_zero_means_tokens_only(house: House) -> None:
    connection = house.set_up()
    connection.call(UpdateSettings(key_lifetime=0.0))
    connection.call(GetMe())
    connection.token = ""
    with pytest.raises(Unauthenticated):
        connection.call(GetMe())


def test_a_bound_token_is_useless_to_another_key(house: House) -> None:
    connection = house.set_up()
    thief = house.call_in(Identity.generate(), connection.token)
    with pytest.raises(InvalidToken, match="another key"):
        thief.call(GetMe())


def test_a_key_belongs_to_whoever_logged_in_with_it_last(house: House) -> None:
    owner = house.set_up()
    owner.call(CreateUser(email="ann@x.org", password=PASSWORD))
    ann = house.log_in("ann@x.org", identity=owner.identity)
    assert owner.call(GetMe()).email == OWNER  # the token decides
    owner.call(Logout())  # and does not take Ann's key away
    ann.token = ""
    assert ann.call(GetMe()).email == "ann@x.org"


def test_a_login_without_signature_gives_an_unbound_token(house: House) -> None:
    house.set_up()
    reply = house.node.dispatch(Context(ANONYMOUS, scheme="http"), Login(email=OWNER, password=PASSWORD))
    assert reply.bound is False
    assert house.node.principal_of_token(reply.token).name == OWNER
    assert house.call_in(token=reply.token).call(GetMe()).email == OWNER


# -- forged tokens -------------------------------------------------------------------------------------


def test_forged_and_foreign_tokens_are_refused(
    house: House, tmp_path_factory: pytest.TempPathFactory
) -> None:
    owner = house.set_up()
    me = owner.call(GetMe())
    elsewhere = House(
        tmp_path_factory.mktemp("other"), f"sqlite:///{tmp_path_factory.mktemp('db')}/node.db", house.clock
    )
    foreign = elsewhere.set_up()
    claims = house.node.tokens.verify(owner.token)
    attacker = Identity.generate()
    forged = [
        foreign.token,
        jwt.encode(claims, "secret-that-is-thirty-two-bytes!", algorithm="HS256"),
        jwt.encode(claims, "", algorithm="none"),
        jwt.encode(claims, attacker.private_pem(), algorithm="EdDSA"),
        owner.token[:-4] + "AAAA",
        "not.a.token",
        # Signed by the node, but never a session of a user:
        house.node.tokens.issue("user", me.id, 60)[0],
        house.node.tokens.issue("worker", me.id, 60)[0],
    ]
    # HS256 with the node's public key as the secret (RFC 8725, 2.1)
    public = house.node.identity.verify_key
    forged.append(jwt.encode(claims, public, algorithm="HS256"))
    for token in forged:
        with pytest.raises(InvalidToken):
            house.call_in(owner.identity, token).call(GetMe())
    elsewhere.node.stop()


def test_a_token_of_one_session_does_not_become_another_user(house: House) -> None:
    owner = house.set_up()
    ann, _ = house.add_user(owner, "ann@x.org")
    claims = house.node.tokens.verify(ann.token)
    service = next(s for s in house.node.services if s.token_kind == "user")
    with pytest.raises(InvalidToken):
        service.principal_of_token({**claims, "sub": owner.call(GetMe()).id})


# -- guessing ------------------------------------------------------------------------------------------


def test_guessing_is_slowed_down_per_email(house: House) -> None:
    owner = house.set_up()
    owner.call(CreateUser(email="ann@x.org", password=PASSWORD))
    waits = []
    for _ in range(14):
        try:
            house.log_in("Ann@X.org", "wrong password")
        except TooManyRequests as error:
            waits.append(error.extra["retry_after"])
            house.clock.advance(error.extra["retry_after"])
        except Unauthenticated:
            pass
    assert waits == [1, 2]
    house.log_in()  # nobody else waits
    for _ in range(8):
        with pytest.raises(GridError):
            house.log_in("ann@x.org", "wrong password")
    with pytest.raises(TooManyRequests):
        house.log_in("ann@x.org")  # the right password waits too: the attacker must not learn it
    house.clock.advance(301)
    house.log_in("ann@x.org")
    house.log_in("ann@x.org")


def test_guessing_is_slowed_down_per_address(house: House) -> None:
    owner = house.set_up()
    del owner

    def attempt(number: int, password: str = "wrong password", remote: str = "192.0.2.7") -> None:
        message = Login(email=f"user{number}@x.org" if password != PASSWORD else OWNER, password=password)
        house.node.dispatch(Context(ANONYMOUS, remote=remote), message)

    for number in range(50):
        with pytest.raises(Unauthenticated):
            attempt(number)
    with pytest.raises(TooManyRequests):
        attempt(99)
    attempt(99, PASSWORD, remote="192.0.2.8")


def test_parallel_guesses_gain_nothing(house: House) -> None:
    house.set_up()

    def attempt(_: int) -> type[GridError] | None:
        try:
            house.log_in(OWNER, "wrong password")
        except GridError as error:
            return type(error)
        return None

    with ThreadPoolExecutor(8) as pool:
        outcomes = list(pool.map(attempt, range(40)))
    assert outcomes.count(Unauthenticated) == 10
    assert outcomes.count(TooManyRequests) == 30


def test_failures_are_forgotten(house: House) -> None:
    house.set_up()
    for number in range(5):
        with pytest.raises(Unauthenticated):
            house.log_in(f"{number}@x.org", "wrong password")
    house.clock.advance(901)
    house.log_in()
    with house.node.db.read() as session:
        assert session.scalar(select(func.count()).select_from(LoginFailures)) == 1


# -- passwords -----------------------------------------------------------------------------------------


def test_the_parameters_are_those_of_rfc_9106() -> None:
    passwords = Passwords()
    stored = passwords.hash("something long")
    assert extract_parameters(stored) == RFC_9106_LOW_MEMORY
    assert passwords.verify(stored, "something long")
    assert not passwords.verify(stored, "something else")
    assert not passwords.verify(None, "something long")
    assert not passwords.outdated(stored)


def test_an_old_hash_is_renewed_at_login(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    house.set_up()
    monkeypatch.setattr(PASSWORDS, "hasher", PasswordHasher.from_parameters(RFC_9106_LOW_MEMORY))
    house.log_in()
    with house.node.db.read() as session:
        stored = session.scalars(select(User.password_hash)).one()
    assert extract_parameters(stored) == RFC_9106_LOW_MEMORY
    house.log_in()
