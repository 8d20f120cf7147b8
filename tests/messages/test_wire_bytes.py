"""The bytes of messages that derive from shared options are what they were before they derived from anything."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from syft_ext.messages import Message, operation_of
from syft_ext.messages.datasets import (
    Asset,
    CreateDataset,
    MakeMock,
    SearchPublished,
    SearchQuery,
    UpdateDataset,
)
from syft_ext.messages.network import SearchNetwork
from syft_ext.messages.requests import CreateRequest

ID = "0123456789abcdef" * 2
TERMS: dict[str, Any] = {
    "text": "a b",
    "tags": ["t"],
    "columns": ["age"],
    "name": "n",
    "min_bytes": 1,
    "max_bytes": 2,
    "min_rows": 3,
    "max_rows": 4,
    "limit": 5,
}
#: Recorded before the options were declared in one place.
RECORDED: list[tuple[Message, str]] = [
    (
        SearchQuery(),
        "8aa474657874a0a47461677390a7636f6c756d6e7390a46e616d65a0a46b696e64a0a96d696e5f6279746573c0"
        "a96d61785f6279746573c0a86d696e5f726f7773c0a86d61785f726f7773c0a56c696d697464",
    ),
    (
        SearchQuery(kind="model", **TERMS),
        "8aa474657874a3612062a47461677391a174a7636f6c756d6e7391a3616765a46e616d65a16ea46b696e64a56d"
        "6f64656ca96d696e5f627974657301a96d61785f627974657302a86d696e5f726f777303a86d61785f726f7773"
        "04a56c696d697405",
    ),
    (
        SearchPublished(),
        "8ba474657874a0a47461677390a7636f6c756d6e7390a46e616d65a0a56b696e647390a96d696e5f6279746573"
        "c0a96d61785f6279746573c0a86d696e5f726f7773c0a86d61785f726f7773c0a56c696d697464a56b6e6f776e"
        "c400",
    ),
    (
        SearchPublished(kinds=["dataset"], known=b"k", **TERMS),
        "8ba474657874a3612062a47461677391a174a7636f6c756d6e7391a3616765a46e616d65a16ea56b696e647391"
        "a764617461736574a96d696e5f627974657301a96d61785f627974657302a86d696e5f726f777303a86d61785f"
        "726f777304a56c696d697405a56b6e6f776ec4016b",
    ),
    (
        SearchNetwork(),
        "8ba474657874a0a47461677390a46e616d65a0a7636f6c756d6e7390a46b696e64a0a96d696e5f6279746573c0"
        "a96d61785f6279746573c0a86d696e5f726f7773c0a86d61785f726f7773c0a56c696d697464a8646561646c69"
        "6e65c0",
    ),
    (
        SearchNetwork(kind="object", deadline=1.5, **TERMS),
        "8ba474657874a3612062a47461677391a174a46e616d65a16ea7636f6c756d6e7391a3616765a46b696e64a66f"
        "626a656374a96d696e5f627974657301a96d61785f627974657302a86d696e5f726f777303a86d61785f726f77"
        "7304a56c696d697405a8646561646c696e65cb3ff8000000000000",
    ),
    (
        CreateDataset(name="d"),
        "88a46e616d65a164ab6465736372697074696f6ea0a47461677390a87375626a65637473a0a661737365747390"
        "aa7669736962696c697479a67075626c6963a97075626c697368656498ab6465736372697074696f6ea4746167"
        "73a6617373657473a6736368656d61a473697a65a46d6f636ba87375626a65637473a876657273696f6e73a776"
        "69657765727390",
    ),
    (
        CreateDataset(
            name="d",
            description="x",
            tags=["t"],
            subjects="s",
            assets=[Asset(name="a", object_id=ID)],
            visibility="users",
            published=["size"],
            viewers=[ID],
        ),
        "88a46e616d65a164ab6465736372697074696f6ea178a47461677391a174a87375626a65637473a173a6617373"
        "6574739185a46e616d65a161a96f626a6563745f6964d920303132333435363738396162636465663031323334"
        "3536373839616263646566a76d6f636b5f6964c0ab6465736372697074696f6ea0a7636f6c756d6e7390aa7669"
        "736962696c697479a57573657273a97075626c697368656491a473697a65a77669657765727391d92030313233"
        "34353637383961626364656630313233343536373839616263646566",
    ),
    (
        MakeMock(dataset_id=ID, asset="a"),
        "84aa646174617365745f6964d92030313233343536373839616263646566303132333435363738396162636465"
        "66a56173736574a161a4726f777364a47365656400",
    ),
    (
        MakeMock(dataset_id=ID, asset="a", rows=7, seed=8),
        "84aa646174617365745f6964d92030313233343536373839616263646566303132333435363738396162636465"
        "66a56173736574a161a4726f777307a47365656408",
    ),
    (
        CreateRequest(object_id=ID),
        "83a96f626a6563745f6964d9203031323334353637383961626364656630313233343536373839616263646566"
        "a573636f7065a472656164a6726561736f6ea0",
    ),
    (
        CreateRequest(object_id=ID, scope="compute", reason="why"),
        "83a96f626a6563745f6964d9203031323334353637383961626364656630313233343536373839616263646566"
        "a573636f7065a7636f6d70757465a6726561736f6ea3776879",
    ),
    (
        UpdateDataset(dataset_id=ID, visibility="users"),
        "8aaa646174617365745f6964d92030313233343536373839616263646566303132333435363738396162636465"
        "66a46e616d65c0ab6465736372697074696f6ec0a474616773c0a87375626a65637473c0a6617373657473c0a4"
        "6e6f7465a0aa7669736962696c697479a57573657273a97075626c6973686564c0a776696577657273c0",
    ),
]


@pytest.mark.parametrize(("message", "recorded"), RECORDED, ids=lambda each: type(each).__name__)
def test_bytes_are_as_recorded(message: Message, recorded: str) -> None:
    assert msgspec.msgpack.encode(message).hex() == recorded
    assert operation_of(message).decode(bytes.fromhex(recorded)) == message
