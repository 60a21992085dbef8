"""The trace of a message: one id for all that the hub does with it, in the form of W3C Trace Context, `traceparent`.

A partner's own trace is gone on with where its header can be read; else the hub begins one. Partners are shown the hub's trace
only where a setting says so.

Source: W3C Trace Context § traceparent header.
"""

import re
from typing import Final

HEADER: Final = "traceparent"

_FORM: Final = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_NO_TRACE: Final = "0" * 32
_NO_SPAN: Final = "0" * 16


def read(text: str) -> str | None:
    """A traceparent that can be gone on with, as version 00 writes it; None where it breaks the form.

    Of a later version the four known fields are read, as the specification asks.
    """
    found = _FORM.fullmatch(text.strip(" \t"))
    if found is None:
        return None
    version, trace, span, flags, rest = found.groups()
    if version == "ff" or (version == "00" and rest is not None) or trace == _NO_TRACE or span == _NO_SPAN:
        return None
    return f"00-{trace}-{span}-{int(flags, 16) & 1:02x}"


def begin(random_hex: str) -> str:
    """A new trace out of 48 random hex digits."""
    return f"00-{random_hex[:32]}-{random_hex[32:48]}-01"


def child(traceparent: str, random_hex: str) -> str:
    """The same trace with a span of its own for one leg, out of 16 random hex digits."""
    return f"{traceparent[:36]}{random_hex}{traceparent[52:]}" if traceparent else ""


def trace_id(traceparent: str) -> str | None:
    """The id that all legs share."""
    return traceparent[3:35] or None
