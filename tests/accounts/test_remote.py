"""The caller's network address reaches the login throttle through the web front."""

from werkzeug.test import Client

from grid.web.app import create_app
from tests.accounts.people import House


def log_in(client: Client, number: int, address: str) -> int:
    fields = {"email": f"user{number}@x.org", "password": "wrong password"}
    return client.post("/auth/login", json=fields, environ_base={"REMOTE_ADDR": address}).status_code


def test_guesses_over_rest_are_counted_by_address(house: House) -> None:
    client = Client(create_app(house.node))
    statuses = [log_in(client, number, "192.0.2.7") for number in range(52)]
    assert statuses == [401] * 50 + [429] * 2
    assert log_in(client, 99, "2001:db8::1") == 401
    assert log_in(client, 1, "192.0.2.8") == 401  # the e-mail has tries left


def test_this_machine_is_not_counted(house: House) -> None:
    client = Client(create_app(house.node))
    for address in ("127.0.0.1", "::1", ""):
        assert [log_in(client, number, address) for number in range(52)] == [401] * 52
        house.clock.advance(1000)
