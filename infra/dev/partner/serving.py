"""The Sender interfaces of objects: its own ones, listed in pages or shown alone, and the questions about them.

Lists show the objects of the party that is addressed, or of all its parties where the request names none of them.
"""

from typing import Any, Final
from urllib.parse import urlencode
from uuid import uuid4

import msgspec

from infra.dev.partner.platform import Call, Handlers, Platform
from infra.dev.partner.store import Held, Name
from infra.dev.partner.wire import Reply, accepted, decode, parse_time, refused
from infra.dev.partner.words import Interface, Party, endpoint_path


async def list_objects(platform: Platform, call: Call) -> Reply:
    """Show one page of its own objects, filtered by `date_from` (inclusive) and `date_to` (exclusive)."""
    if call.segments:
        return await get_object(platform, call)
    if call.module == "sessions" and "date_from" not in call.query:
        return refused(2001, "sessions are listed with date_from only")
    try:
        offset, asked = int(call.query.get("offset", 0)), int(call.query.get("limit", platform.options.page_limit))
        found = _matching(platform, call)
    except ValueError as error:
        return refused(2001, f"a parameter has no meaning: {error}"[:255])
    if offset < 0 or asked < 0:
        return refused(2001, "offset and limit are not negative")
    limit = min(asked, platform.options.page_limit)
    headers = {"X-Total-Count": str(len(found)), "X-Limit": str(platform.options.page_limit)}
    if limit and offset + limit < len(found):
        following = urlencode({**call.query, "offset": offset + limit, "limit": limit})
        url = f"{platform.base_url}{endpoint_path(call.module, Interface.SENDER)}?{following}"
        headers["Link"] = f'<{url}>; rel="next"'
    return accepted([msgspec.Raw(held.current) for held in found[offset : offset + limit]], headers=headers)


async def get_object(platform: Platform, call: Call) -> Reply:
    """Show one Location, EVSE or Connector by its id; the other modules have lists only."""
    if call.module == "locations" and len(call.segments) <= 3:
        for held in _of_party(platform, call):
            if held.name.parts[2].upper() == call.segments[0].upper():
                found = platform.own.get("locations", Name("", held.name.parts, call.segments[1:]))
                if found is not None:
                    return accepted(msgspec.Raw(found))
    return refused(2001, "no such object", http_status=404)


async def authorize(platform: Platform, call: Call) -> Reply:
    """Decide whether a token may charge. Unknown ones are 404 and 2004; where it charges need not be told."""
    if len(call.segments) != 2 or call.segments[1] != "authorize":
        return refused(2001, "the path is {token_uid}/authorize", http_status=404)
    place: Any = call.json() if call.body else None
    uid, kind = call.segments[0], call.query.get("type", "RFID")
    wanted = (uid.upper(), kind.upper())
    held = next((h for h in _of_party(platform, call) if tuple(p.upper() for p in h.name.parts[2:]) == wanted), None)
    if held is None:
        return refused(2004, f"no token {uid} of type {kind}", http_status=404)
    token = decode(held.current)
    allowed = platform.behaviour.allowed.get(uid, "ALLOWED" if token.get("valid") else "BLOCKED")
    answer: dict[str, Any] = {"allowed": allowed, "token": msgspec.Raw(held.current)}
    if allowed == "ALLOWED":
        answer["authorization_reference"] = str(uuid4())
        if isinstance(place, dict):
            answer["location"] = place
    return accepted(answer)


async def put_charging_preferences(platform: Platform, call: Call) -> Reply:
    """Answer a driver's wishes for a Session."""
    if len(call.segments) != 2 or call.segments[1] != "charging_preferences":
        return refused(2001, "the path is {session_id}/charging_preferences", http_status=404)
    call.json()
    if platform.behaviour.check_sessions and not owns_session(platform, call.segments[0]):
        return refused(2001, "no such session", http_status=404)
    return accepted(platform.behaviour.charging_preferences)


def owns_session(platform: Platform, session_id: str) -> bool:
    """Say whether one of its own Sessions has this id."""
    return any(held.name.parts[2].upper() == session_id.upper() for held in platform.own.held("sessions"))


def _matching(platform: Platform, call: Call) -> list[Held]:
    date_from, date_to = (_time(call.query.get(name)) for name in ("date_from", "date_to"))
    found = _of_party(platform, call)
    if date_from is not None:
        found = [held for held in found if (clock := held.last_updated) is None or clock >= date_from]
    if date_to is not None:
        found = [held for held in found if (clock := held.last_updated) is None or clock < date_to]
    return found


def _of_party(platform: Platform, call: Call) -> list[Held]:
    asked = platform.hosted(call.to_party)
    held = platform.own.held(call.module)
    return [one for one in held if asked is None or Party(*one.name.parts[:2]).key == asked.key]


def _time(text: str | None) -> Any:
    if text is None:
        return None
    moment = parse_time(text)
    if moment is None:
        raise ValueError(f"{text!r} is not a time")
    return moment


HANDLERS: Final[Handlers] = {
    ("locations", Interface.SENDER): {"GET": list_objects},
    ("tariffs", Interface.SENDER): {"GET": list_objects},
    ("cdrs", Interface.SENDER): {"GET": list_objects},
    ("sessions", Interface.SENDER): {"GET": list_objects, "PUT": put_charging_preferences},
    ("tokens", Interface.SENDER): {"GET": list_objects, "POST": authorize},
}
