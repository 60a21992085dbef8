"""A trace goes on where a partner's header can be read, and keeps its id on every leg."""

import pytest

from hub.model import trace

THEIRS = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.mark.parametrize(
    ("text", "read"),
    [
        (THEIRS, THEIRS),
        (f" {THEIRS}\t", THEIRS),
        (THEIRS.replace("00-", "cc-", 1) + "-what-later-versions-add", THEIRS),
        (THEIRS[:-2] + "ff", THEIRS),
        (THEIRS[:-2] + "00", THEIRS[:-2] + "00"),
        (THEIRS + "-more", None),
        (THEIRS.upper(), None),
        (THEIRS.replace("00-", "ff-", 1), None),
        (THEIRS.replace("4bf92f3577b34da6a3ce929d0e0e4736", "0" * 32), None),
        (THEIRS.replace("00f067aa0ba902b7", "0" * 16), None),
        (THEIRS[:-3], None),
        ("", None),
    ],
)
def test_a_header_is_read_as_the_specification_asks(text: str, read: str | None) -> None:
    assert trace.read(text) == read


def test_a_leg_has_a_span_of_its_own_in_the_same_trace() -> None:
    leg = trace.child(THEIRS, "1" * 16)

    assert leg == "00-4bf92f3577b34da6a3ce929d0e0e4736-1111111111111111-01"
    assert trace.trace_id(leg) == trace.trace_id(THEIRS) == "4bf92f3577b34da6a3ce929d0e0e4736"
    assert trace.read(leg) == leg


def test_a_new_trace_can_be_gone_on_with_and_no_trace_has_neither_leg_nor_id() -> None:
    assert trace.read(trace.begin("ab" * 24)) == f"00-{'ab' * 16}-{'ab' * 8}-01"
    assert (trace.child("", "1" * 16), trace.trace_id("")) == ("", None)
