"""No path that the hub carries to a receiver can be read there as leading to another endpoint."""

from urllib.parse import quote, unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.ocpi.status import URL_UNKNOWN, Refusal
from hub.routing.incoming import find_operation, stays_below

CLIMBING = [
    "..",
    "a/..",
    "a/../b",
    "./a",
    "a/.",
    "%2e%2e",
    "%2E./b",
    ".%2e/b",
    "a%2f..%2fb",
    "a%2F%2e%2e",
    "..%5cb",
    "..\\b",
    "..;x=1/b",
    "a/%2e%2e;/b",
    "%252e%252e/b",
    "%25252e%25252e/b",
    "a%00",
    "a%0ab",
    "a%7f",
    "%2500",
]


@pytest.mark.parametrize("tail", CLIMBING)
def test_a_tail_that_climbs_is_seen_however_it_is_written(tail: str) -> None:
    assert not stays_below(tail)


@pytest.mark.parametrize(
    "tail", ["", "L1", "L1/E1/1", "a.b", "...", "a..b", "..a", ".well", "a%2Fb", "a%20b", "50%25", "%", "é"]
)
def test_ids_of_any_other_form_pass(tail: str) -> None:
    assert stays_below(tail)


@given(st.lists(st.sampled_from(["..", ".", "a", "a.b", "%"]), max_size=4), st.integers(0, 2), st.sampled_from("/\\"))
def test_what_passes_holds_no_such_segment_after_any_decoding(parts: list[str], times: int, slash: str) -> None:
    tail = slash.join(parts)
    for _ in range(times):
        tail = quote(tail, safe="").replace(".", "%2e")
    if stays_below(tail):
        for _ in range(4):
            assert not {".", ".."} & set(tail.replace("\\", "/").split("/"))
            tail = unquote(tail)


@pytest.mark.parametrize("interface", ["sender", "receiver", ""])
@pytest.mark.parametrize(
    ("module", "tail"), [("tokens", "UID-1/x"), ("tokens", "NL/ENE/UID-1/x"), ("UID-1", "authorize")]
)
def test_the_uid_of_a_driver_is_not_said_again_where_a_url_leads_nowhere(
    interface: str, module: str, tail: str
) -> None:
    """What a refusal says goes into the ledger."""
    refusal = find_operation("2.2.1", module, interface, tail, "POST")
    assert isinstance(refusal, Refusal)
    assert refusal.status is URL_UNKNOWN
    assert "UID-1" not in refusal.message
