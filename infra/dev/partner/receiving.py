"""The Receiver interfaces of objects: what others push is stored as it came, and shown again on GET.

Commands and charging profiles, also Receiver interfaces, are in `serving`: they ask for something to be done.
"""

from typing import Any, Final

import msgspec

from infra.dev.partner.platform import Call, Handlers, Platform
from infra.dev.partner.store import Name, UnknownObjectError
from infra.dev.partner.wire import Reply, accepted, refused
from infra.dev.partner.words import Interface, endpoint_path


async def get_object(platform: Platform, call: Call) -> Reply:
    """Show the addressed party's copy of an object, or of a part of it."""
    name = _name(call)
    found = platform.received.get(call.module, name) if name else None
    return _shown(found)


async def put_object(platform: Platform, call: Call) -> Reply:
    """Take an object, or a part of one that is here, as it is."""
    name = _name(call)
    if name is None:
        return refused(2001, "the URL names country code, party and object", http_status=404)
    if not _is_object(platform, call):
        return refused(2001, "the body is a JSON object")
    try:
        created = platform.received.put(call.module, name, call.body)
    except UnknownObjectError as error:
        return _unknown(error)
    return accepted(http_status=201 if created else 200)


async def patch_object(platform: Platform, call: Call) -> Reply:
    """Change an object that is here; one that is not is answered 404, so that its owner sends all of it."""
    name, change = _name(call), call.json()
    if name is None or not isinstance(change, dict):
        return refused(2001, "the body is a JSON object, the URL names one")
    try:
        platform.received.patch(call.module, name, change)
    except UnknownObjectError as error:
        return _unknown(error)
    return accepted()


async def delete_object(platform: Platform, call: Call) -> Reply:
    """Remove an object."""
    name = _name(call)
    if name is None or not platform.received.delete(call.module, name):
        return refused(2001, "no such object", http_status=404)
    return accepted()


async def put_client_info(platform: Platform, call: Call) -> Reply:
    """Note what the hub says about a party. A party's roles are kept apart, though they share a URL."""
    info: Any = call.json()
    if len(call.segments) != 2 or not isinstance(info, dict):
        return refused(2001, "a ClientInfo belongs under country code and party")
    name = Name("", (*call.segments, str(info.get("role"))))
    return accepted(http_status=201 if platform.received.put(call.module, name, call.body) else 200)


async def get_client_info(platform: Platform, call: Call) -> Reply:
    """Show the copy of a ClientInfo."""
    wanted = tuple(part.upper() for part in call.segments)
    held = (
        held.current
        for held in platform.received.held(call.module)
        if tuple(part.upper() for part in held.name.parts[:2]) == wanted
    )
    return _shown(next(held, None))


async def post_cdr(platform: Platform, call: Call) -> Reply:
    """Take a CDR once. The same bytes again get the same Location; other bytes under its id are refused."""
    cdr: Any = call.json()
    if not isinstance(cdr, dict) or call.segments:
        return refused(2001, "a CDR is posted to the module's own URL")
    parts = tuple(str(cdr.get(field)) for field in ("country_code", "party_id", "id"))
    name = Name(call.receiver.key, parts)
    before = platform.received.get(call.module, name)
    if before is not None and before != call.body:
        return refused(2001, "another CDR has this id")
    if before is None:
        platform.received.put(call.module, name, call.body)
    location = f"{platform.base_url}{endpoint_path('cdrs', Interface.RECEIVER)}/{'/'.join(parts)}"
    return accepted(http_status=200 if before is not None else 201, headers={"Location": location})


def _name(call: Call) -> Name | None:
    if len(call.segments) < 3 or len(call.segments) > (5 if call.module == "locations" else 3):
        return None
    parts, below = call.segments[:3], call.segments[3:]
    if call.module == "tokens":
        parts = (*parts, call.query.get("type", "RFID"))
    return Name(call.receiver.key, parts, below)


def _is_object(platform: Platform, call: Call) -> bool:
    if platform.options.record == "light" and len(call.segments) == 3:
        return call.body[:1] == b"{"
    return isinstance(call.json(), dict)


def _shown(found: bytes | None) -> Reply:
    if found is None:
        return refused(2001, "no such object", http_status=404)
    return accepted(msgspec.Raw(found))


def _unknown(error: UnknownObjectError) -> Reply:
    return refused(2001, f"unknown object: {error}", http_status=404)


_objects = {"GET": get_object, "PUT": put_object, "PATCH": patch_object}
HANDLERS: Final[Handlers] = {
    ("locations", Interface.RECEIVER): _objects,
    ("sessions", Interface.RECEIVER): _objects,
    ("tokens", Interface.RECEIVER): _objects,
    ("tariffs", Interface.RECEIVER): {"GET": get_object, "PUT": put_object, "DELETE": delete_object},
    ("cdrs", Interface.RECEIVER): {"GET": get_object, "POST": post_cdr},
    ("hubclientinfo", Interface.RECEIVER): {"GET": get_client_info, "PUT": put_client_info},
}
