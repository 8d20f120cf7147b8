"""Conditions and ranges of downloads, by themselves: every form that a client may send."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from werkzeug.http import parse_range_header

from grid.web.http.conditions import failed_condition, wanted_range
from grid.web.http.request import Request

TAG = "0a1b"


def request(method: str = "GET", **headers: str) -> Request:
    fields = {f"HTTP_{name.upper()}": value for name, value in headers.items()}
    return Request({"REQUEST_METHOD": method, **fields})


@pytest.mark.parametrize(
    ("field", "strong", "weak"),
    [
        ('"0a1b"', True, True),
        ('W/"0a1b"', False, True),
        ('"x", "0a1b"', True, True),
        ('"a,b" , W/"0a1b","y"', False, True),
        ("*", True, True),
        ("0a1b", True, True),
        ('"0a1b" and more, "y"', False, False),
        ('"x"', False, False),
        ('"0A1B"', False, False),
        ("", False, False),
        ('"', False, False),
        (",,", False, False),
        ('", "0a1b', False, False),
    ],
)
def test_if_match_is_strong_and_if_none_match_is_weak(field: str, strong: bool, weak: bool) -> None:
    for method in ("GET", "HEAD", "PUT"):
        assert failed_condition(request(method, if_match=field), TAG) == (None if strong else 412)
        refused = 412 if method == "PUT" else 304
        assert failed_condition(request(method, if_none_match=field), TAG) == (refused if weak else None)


def test_if_match_comes_first() -> None:
    both = {"if_none_match": "*", "if_match": '"x"'}
    assert failed_condition(request(**both), TAG) == 412
    assert failed_condition(request(**{**both, "if_match": "*"}), TAG) == 304
    assert failed_condition(request(if_modified_since="Sun, 06 Nov 1994 08:49:37 GMT"), TAG) is None


@example("bytes=- 1")
@given(st.from_regex(r"[bl]ytes ?= ?[0-9]{0,3} ?-? ?[0-9]{0,3}(,[0-9]?-[0-9]?)?", fullmatch=True) | st.text())
def test_ranges_agree_with_werkzeugs(field: str) -> None:
    size = 50
    got = wanted_range(request(range=field), TAG, size)
    known = parse_range_header(field)
    if known is None or known.units != "bytes" or len(known.ranges) != 1:
        assert got is None
        return
    start, end = known.ranges[0]
    if start < 0:  # of a suffix that is longer than all of it there is all of it (RFC 9110, section 14.1.2)
        assert got == (max(0, size + start), size)
    elif start < size:
        assert got == (start, size if end is None else min(end, size))
    else:
        assert got is not None
        assert got[0] >= size
    assert wanted_range(request("HEAD", range=field), TAG, size) is None
    assert wanted_range(request(range=field, if_range='"x"'), TAG, size) is None
    assert wanted_range(request(range=field, if_range=f'"{TAG}"'), TAG, size) == got
