"""JSON objects as raw slices: taken apart, merged and put together without touching a value's bytes.

Source: OCPI 2.2.1, transport_and_format § PATCH: only the named members change; a list is replaced whole.
"""

from collections.abc import Mapping

import msgspec

Members = Mapping[str, msgspec.Raw]
Slices = list[msgspec.Raw]

_members = msgspec.json.Decoder(dict[str, msgspec.Raw])
_value = msgspec.json.Decoder()
_encoder = msgspec.json.Encoder()


def read_members(raw: bytes | msgspec.Raw) -> Members:
    """The members of a JSON object as slices, in their order.

    Raises:
        msgspec.DecodeError: not a JSON object.
    """
    return _members.decode(raw)


def write_members(members: Members) -> bytes:
    """The JSON object of these members; every value is the slice that it was."""
    return _encoder.encode(members)


def write_list(items: Slices) -> msgspec.Raw:
    """The JSON list of these slices."""
    return msgspec.Raw(_encoder.encode(items))


def merge(base: Members, patch: Members) -> Members:
    """The base with the members of the patch in place of its own (OB-04)."""
    return {**base, **patch}


def replace_in_list(items: Slices, id_name: str, wanted: str, members: Members, *, is_patch: bool) -> Slices | None:
    """The list with one object put or patched, found by its id without regard to case; None where a patch finds none."""
    result: Slices = []
    found = False
    for item in items:
        held = read_members(item)
        if not found and id_name in held and str(_value.decode(held[id_name])).upper() == wanted.upper():
            found = True
            result.append(msgspec.Raw(write_members(merge(held, members) if is_patch else members)))
        else:
            result.append(item)
    if not found:
        if is_patch:
            return None
        result.append(msgspec.Raw(write_members(members)))
    return result
