"""Reads an object out of what its owner answered to a GET. Decision D-12; rules AM-36, AM-42, RT-15."""

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl

import msgspec

from hub.model.directory import Platform
from hub.model.unit import UnitKey
from hub.ocpi.modules import Interface, find
from hub.ocpi.status import Refusal
from hub.routing.admit import check_broadcast, url_owner
from hub.routing.open_keys import token_key
from hub.routing.plan import is_own_url
from hub.routing.rewrite import absolute, next_link

LONGEST_PAUSE_SECONDS = 3600.0
_LONGEST_COUNT = 12


class _Answer(msgspec.Struct):
    data: msgspec.Raw = msgspec.Raw(b"null")


_answers = msgspec.json.Decoder(_Answer)
_lists = msgspec.json.Decoder(list[msgspec.Raw])


@dataclass(frozen=True, slots=True)
class Pulled:
    """An object as its owner sent it, byte for byte."""

    body: bytes


def pause_seconds(tries: int) -> float:
    """How long to wait after so many attempts: twice as long each time, an hour at most."""
    return min(2.0 ** min(tries, 16), LONGEST_PAUSE_SECONDS)


def read_single(content: bytes) -> bytes:
    """The `data` of an answer, as sent.

    Raises:
        msgspec.DecodeError: no OCPI answer.
    """
    return bytes(_answers.decode(content).data)


def read_page(content: bytes) -> list[bytes]:
    """The objects of one page, each as sent.

    Raises:
        msgspec.DecodeError: no page of an OCPI list.
    """
    return [bytes(entry) for entry in _lists.decode(read_single(content))]


def next_page(
    headers: Mapping[str, str], called: str, platform: Platform, read: int, by_offset: str | None
) -> str | None:
    """The URL of the page after the one called; None after the last.

    Where the owner gives no Link of its own platform: `by_offset`, unless its total says that all of it was `read`.
    """
    given = next_link(headers.get("link", ""))
    url = absolute(given, called) if given else None
    if url is not None and is_own_url(url, platform):
        return url
    total = headers.get("x-total-count", "")
    is_all = total.isascii() and total.isdigit() and len(total) <= _LONGEST_COUNT and read >= int(total)
    return None if is_all else by_offset


def names(root: UnitKey, raw: bytes) -> bool:
    """Whether an object of a list is the one that is wanted."""
    value = msgspec.json.decode(raw)
    if not isinstance(value, Mapping):
        return False
    own = value.get("uid" if root.module == "tokens" else "id")
    object_id = token_key(str(own), {"type": str(value.get("type", ""))}) if root.module == "tokens" else str(own)
    owner = (str(value.get("country_code")).upper(), str(value.get("party_id")).upper())
    return object_id.upper() == root.object_id and owner == (root.country_code, root.party_id)


def admit(version: str, root: UnitKey, tail: str, query: str, raw: bytes) -> Pulled | Refusal:
    """The object if it may be stored like a push of its owner: whole, and the very one that was asked for (D-30).

    Raises:
        msgspec.DecodeError: it is no JSON.
    """
    match = find(version, root.module, Interface.RECEIVER, tail)
    owner = url_owner(match) if match else None
    assert match is not None, "an incomplete unit has the URL of its patch"
    assert owner is not None, "the URL of a patch names the owner"
    parameters = dict(parse_qsl(query, keep_blank_values=True))
    checked = check_broadcast(match, match.resource.operations["PUT"], owner, parameters, msgspec.json.decode(raw))
    return checked if isinstance(checked, Refusal) else Pulled(raw)
