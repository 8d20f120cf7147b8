"""One-time codes: what RFC 6238 says, and what an attacker with the password or the database cannot do."""

from __future__ import annotations

import re
from base64 import b32decode
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import parse_qs, urlsplit

import pytest
from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.twofactor.totp import TOTP
from sqlalchemy import select, text

from grid.accounts.own_account import SecondFactorService
from grid.accounts.tables import RecoveryCode, Totp
from grid.accounts.totp import FREE_FAILURES
from grid.storage.sealed import CannotOpen, Sealer, is_sealed
from syft_ext.errors import (
    Conflict,
    Forbidden,
    GridError,
    InvalidToken,
    NotFound,
    TooManyRequests,
    TotpRequired,
    Unauthenticated,
)
from syft_ext.identity import Identity
from syft_ext.messages.accounts import (
    CreateUser,
    GetMe,
    ListUsers,
    Login,
    ResetTotp,
    UpdateSettings,
    UpdateUser,
)
from syft_ext.messages.own_account import ConfirmTotp, EnrolTotp, RemoveTotp, RenewRecoveryCodes
from syft_ext.transport import Connection
from tests.accounts.people import OWNER, PASSWORD, House

#: RFC 6238, appendix B, SHA-1: seconds → the last six of the eight digits.
RFC_6238 = {59: "287082", 1111111109: "081804", 1234567890: "005924", 20000000000: "353130"}


class Device:
    """An authenticator app."""

    def __init__(self, house: House, secret: str) -> None:
        self.house, self.totp = house, TOTP(b32decode(secret), 6, SHA1(), 30)

    def code(self, steps: int = 0) -> str:
        return self.totp.generate(int(self.house.clock.now()) + 30 * steps).decode()

    def next_code(self) -> str:
        """A code that was not used yet."""
        self.house.clock.advance(30)
        return self.code()


def enrolled(house: House, connection: Connection) -> tuple[Device, list[str]]:
    device = Device(house, connection.call(EnrolTotp(password=PASSWORD)).secret)
    return device, connection.call(ConfirmTotp(code=device.next_code())).codes


def log_in(house: House, code: str, email: str = OWNER) -> Connection:
    connection = house.call_in()
    connection.token = connection.call(Login(email=email, password=PASSWORD, totp=code)).token
    return connection


def test_the_codes_are_those_of_rfc_6238(house: House) -> None:
    owner = house.set_up()
    manager = house.node.service(SecondFactorService)._managers.totp
    row = Totp(user_id=owner.call(GetMe()).id, last_step=0, failures=0, blocked_until=0.0)
    # base32 of the RFC's secret "12345678901234567890"
    row.sealed_secret = manager._sealer.seal("GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ", row.user_id)
    for moment, code in RFC_6238.items():
        assert manager._is_next(row, code, float(moment))
        assert row.last_step == moment // 30


def test_nothing_changes_before_the_code_is_confirmed(house: House) -> None:
    owner, other = house.set_up(), house.log_in()
    secret = owner.call(EnrolTotp(password=PASSWORD))
    house.log_in()
    again = owner.call(EnrolTotp(password=PASSWORD))
    assert again.secret != secret.secret
    with pytest.raises(Forbidden):
        owner.call(ConfirmTotp(code=Device(house, secret.secret).code()))
    device = Device(house, again.secret)
    codes = owner.call(ConfirmTotp(code=device.code())).codes
    assert len(set(codes)) == 10 and all(re.fullmatch("([A-Z2-7]{4}-){3}[A-Z2-7]{4}", code) for code in codes)
    assert owner.call(GetMe()).totp
    with pytest.raises(InvalidToken):  # a session without the second factor is over
        other.call(GetMe())
    other.token = ""
    with pytest.raises(Unauthenticated):  # and so is what its key opens by itself
        other.call(GetMe())
    with pytest.raises(Conflict):
        owner.call(EnrolTotp(password=PASSWORD))


def test_the_provisioning_uri_is_what_apps_read(house: House) -> None:
    owner = house.set_up()
    owner.call(UpdateSettings(node_name="St. Mary: ward 7"))
    reply = owner.call(EnrolTotp(password=PASSWORD))
    uri = urlsplit(reply.uri)
    query = parse_qs(uri.query)
    assert (uri.scheme, uri.netloc, query["secret"]) == ("otpauth", "totp", [reply.secret])
    assert query["issuer"] == ["St. Mary  ward 7"]
    assert (query["digits"], query["period"], query["algorithm"]) == (["6"], ["30"], ["SHA1"])
    assert len(b32decode(reply.secret)) == 20


def test_a_login_needs_the_code(house: House) -> None:
    owner = house.set_up()
    device, _ = enrolled(house, owner)
    with pytest.raises(TotpRequired, match="asks for a one-time code"):
        house.log_in()
    with pytest.raises(TotpRequired, match="wrong"):
        log_in(house, "000000")
    with pytest.raises(Unauthenticated) as caught:  # a wrong password is not told apart by a code
        house.call_in().call(Login(email=OWNER, password="wrong password", totp=device.next_code()))
    assert type(caught.value) is Unauthenticated
    code = device.next_code()
    assert log_in(house, f" {code[:3]} {code[3:]} ").call(GetMe()).email == OWNER


def test_no_code_is_good_twice_and_time_runs_forward_only(house: House) -> None:
    owner = house.set_up()
    device, _ = enrolled(house, owner)
    with pytest.raises(TotpRequired):  # the one that confirmed the device
        log_in(house, device.code())
    house.clock.advance(90)
    late, now, early, too_early, too_late = (device.code(at) for at in (-1, 0, 1, 2, -2))
    for code in (too_early, too_late):
        with pytest.raises(TotpRequired):
            log_in(house, code)
    log_in(house, late)
    log_in(house, now)
    log_in(house, early)
    for code in (late, now, early):
        with pytest.raises(TotpRequired):
            log_in(house, code)


def test_one_code_opens_one_session_however_many_try_at_once(house: House) -> None:
    owner = house.set_up()
    device, recovery = enrolled(house, owner)
    for code in (device.next_code(), recovery[0]):

        def attempt(_: int, code: str = code) -> bool:
            try:
                log_in(house, code)
            except GridError:
                return False
            return True

        with ThreadPoolExecutor(4) as pool:
            assert list(pool.map(attempt, range(4))).count(True) == 1


def test_wrong_codes_are_slowed_down_beyond_the_throttle_of_passwords(house: House) -> None:
    owner = house.set_up()
    device, recovery = enrolled(house, owner)
    for number in range(FREE_FAILURES + 1):
        with pytest.raises(TotpRequired):
            log_in(house, f"{number:06}")
    for wait in (30, 60, 120, 240):
        with pytest.raises(TooManyRequests) as caught:
            log_in(house, recovery[0])  # the right one waits too: the attacker must not learn it
        assert caught.value.extra["retry_after"] == wait
        house.clock.advance(901)  # the throttle of passwords has forgotten everything; this one has not
        with pytest.raises(TotpRequired):
            log_in(house, "000000")
    house.clock.advance(901)
    log_in(house, device.next_code())
    with pytest.raises(TotpRequired):  # a right one forgives the wrong ones
        log_in(house, "000000")
    log_in(house, recovery[0])


def test_a_login_in_two_steps_is_no_guess(house: House) -> None:
    owner = house.set_up()
    device, _ = enrolled(house, owner)
    for _ in range(30):
        with pytest.raises(TotpRequired):
            house.log_in()
        log_in(house, device.next_code())


def test_recovery_codes_are_good_once_and_renewed(house: House) -> None:
    owner = house.set_up()
    device, old = enrolled(house, owner)
    log_in(house, old[0])
    with pytest.raises(TotpRequired):
        log_in(house, old[0])
    log_in(house, old[1].lower().replace("-", " "))
    with pytest.raises(Forbidden):
        owner.call(RenewRecoveryCodes(password=PASSWORD, code="000000"))
    with pytest.raises(Forbidden, match="not your password"):
        owner.call(RenewRecoveryCodes(password="wrong password", code=device.next_code()))
    new = owner.call(RenewRecoveryCodes(password=PASSWORD, code=device.next_code())).codes
    with pytest.raises(TotpRequired):
        log_in(house, old[2])
    log_in(house, new[0])


def test_removing_it_needs_password_and_code(house: House) -> None:
    owner = house.set_up()
    with pytest.raises(NotFound):
        owner.call(RemoveTotp(password=PASSWORD, code="000000"))
    device, _ = enrolled(house, owner)
    for password, code in (("wrong password", device.next_code()), (PASSWORD, "000000")):
        with pytest.raises(Forbidden):
            owner.call(RemoveTotp(password=password, code=code))
    owner.call(RemoveTotp(password=PASSWORD, code=device.next_code()))
    assert not house.log_in().call(GetMe()).totp


def test_an_administrator_resets_whom_they_may_edit(house: House) -> None:
    owner = house.set_up()
    admin, _ = house.add_user(owner, "admin@x.org", "Administrator")
    ann, view = house.add_user(owner, "ann@x.org")
    enrolled(house, ann)
    enrolled(house, owner)
    with pytest.raises(Forbidden):
        admin.call(ResetTotp(user_id=owner.call(GetMe()).id))
    with pytest.raises(Forbidden):
        owner.call(ResetTotp(user_id=owner.call(GetMe()).id))
    admin.call(ResetTotp(user_id=view.id))
    with pytest.raises(InvalidToken):
        ann.call(GetMe())
    house.log_in("ann@x.org")


def test_a_stolen_database_gives_no_codes(house: House) -> None:
    owner = house.set_up()
    secret = owner.call(EnrolTotp(password=PASSWORD)).secret
    recovery = owner.call(ConfirmTotp(code=Device(house, secret).code())).codes
    with house.node.db.read() as session:
        row = session.scalars(select(Totp)).one()
        hashes = list(session.scalars(select(RecoveryCode.code_hash)))
        dump = str([list(session.execute(text(f"SELECT * FROM {t}")).all()) for t in ("user_totp",)])
    assert is_sealed(row.sealed_secret) and secret not in dump
    assert len(hashes) == 10 and not any(code.replace("-", "") in str(hashes) for code in recovery)
    thief = Sealer(Identity.generate().derive_secret("one-time codes"), "totp secret")
    with pytest.raises(CannotOpen):
        thief.open(row.sealed_secret, row.user_id)
    own = Sealer(house.node.identity.derive_secret("one-time codes"), "totp secret")
    assert own.open(row.sealed_secret, row.user_id) == secret
    with pytest.raises(CannotOpen):  # nor does it open in another's row
        own.open(row.sealed_secret, "f" * 32)


def test_it_survives_a_restart(house: House) -> None:
    owner = house.set_up()
    device, recovery = enrolled(house, owner)
    house.restart()
    house.clock.advance(60)
    log_in(house, device.next_code())
    log_in(house, recovery[3])


# -- the owner's setting -------------------------------------------------------------------------------


def test_flags_count_only_with_codes_where_the_owner_says_so(house: House) -> None:
    owner = house.set_up()
    admin, view = house.add_user(owner, "admin@x.org", "Administrator")
    user, _ = house.add_user(owner, "user@x.org")
    with pytest.raises(Conflict, match="yourself first"):
        owner.call(UpdateSettings(require_totp=True))
    enrolled(house, owner)
    with pytest.raises(Forbidden, match="only the owner"):
        admin.call(UpdateSettings(require_totp=True))
    admin.call(ListUsers())
    owner.call(UpdateSettings(require_totp=True))
    with pytest.raises(Forbidden, match=r"can_triage_requests \(this node asks for one-time codes"):
        admin.call(ListUsers())
    with pytest.raises(Forbidden):
        admin.call(UpdateSettings(require_totp=False))
    assert "can_triage_requests" in admin.call(GetMe()).flags  # the role still says so
    user.call(GetMe())
    admin.token = ""
    with pytest.raises(Forbidden, match=r"totp\.enrol"):
        admin.call(ListUsers())
    admin = house.log_in("admin@x.org")
    device, _ = enrolled(house, admin)
    admin.call(ListUsers())
    house.clock.advance(30)
    log_in(house, device.code(), "admin@x.org").call(ListUsers())
    owner.call(UpdateUser(user_id=view.id, password="something new"))
    owner.call(CreateUser(email="deputy@x.org", password=PASSWORD, role="Administrator"))
    with pytest.raises(Forbidden):
        house.log_in("deputy@x.org").call(ListUsers())
    owner.call(UpdateSettings(require_totp=False))
    house.log_in("deputy@x.org").call(ListUsers())
