"""What users are told of where nodes are."""

from __future__ import annotations

from syft_ext.messages.network import LINE, shown_address


def test_a_line_is_no_address_that_users_can_take() -> None:
    assert shown_address(LINE) == ""
    assert shown_address("https://north.example") == "https://north.example"
    assert shown_address("") == ""
