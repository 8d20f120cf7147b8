from concurrent.futures import ThreadPoolExecutor

import msgspec
import pytest

from grid.accounts.bootstrap import bootstrap_owner
from syft_ext.errors import BadRequest, Conflict, Forbidden, GridError, Unauthenticated
from syft_ext.messages import GetMetadata
from syft_ext.messages.accounts import (
    CreateOwner,
    GetMe,
    GetSettings,
    GetSetupStatus,
    ListUsers,
    SearchUsers,
    SignUp,
    UpdateSettings,
)
from syft_ext.messages.own_account import ConfirmTotp, EnrolTotp
from tests.accounts.people import OWNER, PASSWORD, House
from tests.accounts.test_totp import Device


def test_twenty_parallel_attempts_make_one_owner(house: House) -> None:
    def attempt(number: int) -> str | GridError:
        try:
            message = CreateOwner(email=f"owner{number}@x.org", password=PASSWORD)
            return house.call_in().call(message).email
        except GridError as error:
            return error

    with ThreadPoolExecutor(20) as pool:
        outcomes = list(pool.map(attempt, range(20)))
    winners = [outcome for outcome in outcomes if isinstance(outcome, str)]
    assert len(winners) == 1
    assert {type(outcome) for outcome in outcomes if not isinstance(outcome, str)} == {Conflict}
    owner = house.log_in(winners[0])
    assert [user.email for user in owner.call(ListUsers()).users] == winners
    assert owner.call(SearchUsers(role="Owner")).total == 1


def test_set_up_is_refused_later_and_changes_nothing(house: House) -> None:
    owner = house.set_up()
    with pytest.raises(Conflict):
        house.call_in().call(CreateOwner(email="thief@x.org", password=PASSWORD, node_name="mine"))
    with pytest.raises(Conflict):
        owner.call(CreateOwner(email="second@x.org", password=PASSWORD))
    assert house.call_in().metadata().name == "hospital"
    assert owner.call(ListUsers()).total == 1
    assert bootstrap_owner(house.node, "other@x.org", PASSWORD) is False


def test_status_and_metadata_tell_whether_it_is_set_up(house: House) -> None:
    stranger = house.call_in()
    assert stranger.call(GetSetupStatus()).configured is False
    assert stranger.call(GetMetadata()).configured is False
    stranger.call(CreateOwner(email=OWNER, password=PASSWORD, node_name="St. Mary"))
    status = stranger.call(GetSetupStatus())
    assert (status.configured, status.node_name) == (True, "St. Mary")
    assert stranger.call(GetMetadata()).configured is True


BAD_OWNERS = [
    ("no-address", PASSWORD),
    ("a@b c", PASSWORD),
    ("a@b\n", "short"),
    ("a@b.c", "1234567"),
    ("@", PASSWORD),
]


def test_bad_owners_are_refused(house: House) -> None:
    for email, password in BAD_OWNERS:
        with pytest.raises(BadRequest):
            house.call_in().call(CreateOwner(email=email, password=password))
    assert house.call_in().call(GetSetupStatus()).configured is False


def test_every_setting_acts(house: House) -> None:
    owner = house.set_up()
    stranger = house.call_in()
    with pytest.raises(Forbidden):
        stranger.call(SignUp(email="a@x.org", password=PASSWORD))
    owner.call(UpdateSettings(allow_user_signup=True))
    assert stranger.call(SignUp(email="a@x.org", password=PASSWORD)).role == "User"
    assert stranger.call(GetSetupStatus()).allow_user_signup is True

    owner.call(UpdateSettings(node_name="Ward 7"))
    assert house.call_in().metadata().name == "Ward 7"

    owner.call(UpdateSettings(session_lifetime=120.0))
    session = house.log_in("a@x.org")
    claims = house.node.tokens.verify(session.token)
    assert claims["exp"] - claims["iat"] == 120.0

    keyed = house.log_in("a@x.org")
    keyed.token = ""
    keyed.call(GetMe())
    owner.call(UpdateSettings(key_lifetime=0.0))
    with pytest.raises(Unauthenticated):
        keyed.call(GetMe())

    admin, _ = house.add_user(owner, "admin@x.org", "Administrator")
    device = Device(house, owner.call(EnrolTotp(password=PASSWORD)).secret)
    owner.call(ConfirmTotp(code=device.code()))
    owner.call(UpdateSettings(require_totp=True))
    with pytest.raises(Forbidden):
        admin.call(ListUsers())

    changed = owner.call(GetSettings())
    walked = {
        "node_name": "Ward 7",
        "allow_user_signup": True,
        "session_lifetime": 120.0,
        "key_lifetime": 0.0,
        "require_totp": True,
    }
    assert msgspec.to_builtins(changed) == walked  # every setting that there is was changed above
    for wrong in ({"session_lifetime": 1.0}, {"key_lifetime": -1.0}, {"node_name": ""}):
        with pytest.raises(BadRequest):
            owner.call(UpdateSettings(**wrong))
    assert owner.call(GetSettings()) == changed


def test_sign_up_before_the_set_up_is_refused(house: House) -> None:
    with pytest.raises(Forbidden):
        house.call_in().call(SignUp(email="a@x.org", password=PASSWORD))


def test_settings_need_the_set_up(house: House) -> None:
    owner = house.set_up()
    house.restart()
    again = house.call_in(owner.identity, owner.token)
    assert again.call(GetSettings()).node_name == "hospital"
