"""U+0000 in any text of any operation is refused, on every plane, before a handler runs."""

from __future__ import annotations

import json
import types
import typing
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import msgspec
import pytest
from prometheus_client import CollectorRegistry
from werkzeug.test import Client

from grid.web.api.events import Events
from grid.web.app import create_app
from grid.web.http.metrics import Instruments
from grid.web.http.settings import WebSettings
from syft_ext.errors import BadRequest, GridError
from syft_ext.messages import Operation, operation_of, operations
from syft_ext.messages.accounts import GetMe
from syft_ext.messages.envelope import open_frame, seal_request
from syft_ext.messages.federated import HostTraining
from syft_ext.messages.text import refuse_nul
from syft_ext.transport import PayloadReader
from tests.accounts.people import PASSWORD, House

SPECS = list(operations().values())


def texts(hint: Any) -> list[Any]:
    """Values with U+0000 in them that a field of this type might otherwise take."""
    while get_origin(hint) is Annotated:
        hint = get_args(hint)[0]
    origin, args = get_origin(hint), get_args(hint)
    if hint is str:
        return ["a\0b"]
    if origin in (typing.Union, types.UnionType):
        return [value for arg in args for value in texts(arg)]
    if origin is list:
        return [[value] for value in texts(args[0])]
    if origin is dict:
        inner = texts(args[1]) if args[1] is not Any else ["x\0", ["\0"], {"k": "\0"}]
        return [*({"key": value} for value in inner), *({value: 1} for value in texts(args[0]))]
    if hint is Any:
        return ["\0"]
    return []


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.name)
def test_no_operation_takes_it(spec: Operation) -> None:
    names = spec.message.__struct_fields__
    hints = get_type_hints(spec.message, include_extras=True)
    for name in names:
        for value in texts(hints[name]):
            message = spec.message(**{**dict.fromkeys(names), name: value})  # constructors check no types
            with pytest.raises(BadRequest, match=rf"U\+0000 - at `\$\.{name}`"):
                refuse_nul(message, spec.name)


def test_decoding_asks() -> None:
    spec = operation_of(HostTraining)
    fields = {"name": "n", "version": "1", "client_plans": {}, "client_config": {}, "server_config": {}}
    assert isinstance(spec.convert(fields), spec.message)
    for bad in ("\0", ["\0"], {"\0": 1}, {"deep": [{"er": "\0"}]}):
        wrong = {**fields, "client_config": {"note": bad}}
        with pytest.raises(BadRequest, match=r"U\+0000 - at `\$\.client_config`"):
            spec.convert(wrong)
        with pytest.raises(BadRequest, match=r"U\+0000 - at `\$\.client_config`"):
            spec.decode(msgspec.msgpack.encode(wrong))
    spec.convert({**fields, "client_plans": {"plan": b"\0"}})  # bytes may hold anything


def test_every_plane_refuses_it(house: House) -> None:
    owner = house.set_up()
    client = Client(create_app(house.node))
    bearer = {"Authorization": f"Bearer {owner.token}"}
    body = {"email": "a\0@x.org", "password": PASSWORD}
    answers = [
        client.post("/users", json=body, headers=bearer),
        client.get("/users?offset=0&limit=%00", headers=bearer),
        client.get(f"/users/{'%00' * 32}", headers=bearer),
    ]
    assert [answer.status_code for answer in answers] == [400, 400, 400]
    events = Events(house.node, WebSettings(), Instruments(CollectorRegistry()))
    event = json.dumps({"type": "users.create", "data": body})
    assert json.loads(events.answer(event, bearer["Authorization"]))["error"]["code"] == "bad-request"
    envelope = seal_request(
        owner.identity, GetMe(), now=house.clock.now(), recipient=house.node.id, token=owner.token
    )
    envelope.operation, envelope.body = "users.create", msgspec.msgpack.encode(body)
    envelope.sign(owner.identity)
    frame = b"".join(house.node.receive(envelope, PayloadReader.of(b"")))
    with pytest.raises(GridError) as caught:
        open_frame(frame)[0].reply_as(msgspec.Struct)
    assert isinstance(caught.value, BadRequest)
