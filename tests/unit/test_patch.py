"""JSON objects are taken apart and put together without a value's bytes being touched."""

import msgspec
import pytest

from hub.ocpi.patch import merge, read_members, replace_in_list, write_members

ODD = b'{ "price": 0.250, "big": 12345678901234567890, "exp": 1E+2, "x": {"b":1,  "a" : [ ]}, "text": "\\u00e9\\/" }'


def test_values_and_their_order_survive_byte_for_byte() -> None:
    assert write_members(read_members(ODD)) == (
        b'{"price":0.250,"big":12345678901234567890,"exp":1E+2,"x":{"b":1,  "a" : [ ]},"text":"\\u00e9\\/"}'
    )


def test_a_patch_changes_named_members_in_their_place_and_adds_new_ones_at_the_end() -> None:
    merged = merge(read_members(b'{"a":1.0,"b":[1],"c":null}'), read_members(b'{"d":4,"b":[2.50]}'))

    assert write_members(merged) == b'{"a":1.0,"b":[2.50],"c":null,"d":4}'


def test_a_nested_object_is_replaced_whole() -> None:
    merged = merge(
        read_members(b'{"coordinates":{"latitude":"1","longitude":"2"}}'), read_members(b'{"coordinates":{"x":0}}')
    )

    assert write_members(merged) == b'{"coordinates":{"x":0}}'


def slices(*items: bytes) -> list[msgspec.Raw]:
    return [msgspec.Raw(item) for item in items]


def test_an_object_in_a_list_is_patched_in_its_place_without_regard_to_case() -> None:
    patched = replace_in_list(
        slices(b'{"id":"a","n":1.0}', b'{"id":"B","n":2.0}'), "id", "b", read_members(b'{"n":3.00}'), is_patch=True
    )

    assert patched == slices(b'{"id":"a","n":1.0}', b'{"id":"B","n":3.00}')


def test_an_object_put_into_a_list_replaces_its_namesake_or_comes_last() -> None:
    items = slices(b'{"id":"a","n":1}')

    replaced = replace_in_list(items, "id", "A", read_members(b'{"id":"A"}'), is_patch=False)
    added = replace_in_list(items, "id", "b", read_members(b'{"id":"b"}'), is_patch=False)

    assert replaced == slices(b'{"id":"A"}')
    assert added == slices(b'{"id":"a","n":1}', b'{"id":"b"}')


def test_a_patch_finds_nothing_to_patch_in_a_list_without_its_object() -> None:
    assert replace_in_list(slices(b'{"id":"a"}'), "id", "b", read_members(b"{}"), is_patch=True) is None


@pytest.mark.parametrize("body", [b"", b"[1]", b'"a"', b'{"a":', b"null"])
def test_what_is_no_object_cannot_be_taken_apart(body: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        read_members(body)
