"""Small, right OCPI 2.2.1 objects with ids that no other case uses; each argument replaces or adds one field."""

import itertools
from typing import Any, Final

Json = dict[str, Any]

NOON: Final = "2026-06-02T12:00:00Z"
LATER: Final = "2026-06-02T13:00:00Z"
_numbers: Final = itertools.count(1)


def fresh(prefix: str) -> str:
    """An id that no other case uses."""
    return f"{prefix}{next(_numbers):05}"


def owner(party: str) -> Json:
    """The fields that name an owner; party as `NL/ABC`."""
    country_code, party_id = party.split("/")
    return {"country_code": country_code, "party_id": party_id}


def a_connector(**fields: Any) -> Json:
    connector = {
        "id": "1",
        "standard": "IEC_62196_T2",
        "format": "SOCKET",
        "power_type": "AC_3_PHASE",
        "max_voltage": 230,
        "max_amperage": 16,
        "last_updated": NOON,
    }
    return connector | fields


def an_evse(**fields: Any) -> Json:
    return {"uid": "E1", "status": "AVAILABLE", "connectors": [a_connector()], "last_updated": NOON} | fields


def a_location(party: str, **fields: Any) -> Json:
    location = owner(party) | {
        "id": fresh("LOC"),
        "publish": True,
        "address": "Kasteellaan 27",
        "city": "Wijchen",
        "country": "NLD",
        "coordinates": {"latitude": "51.808340", "longitude": "5.723800"},
        "evses": [an_evse()],
        "time_zone": "Europe/Amsterdam",
        "last_updated": NOON,
    }
    return location | fields


def a_tariff(party: str, **fields: Any) -> Json:
    component = {"type": "ENERGY", "price": 0.35, "vat": 21, "step_size": 1}
    tariff = {"id": fresh("TAR"), "currency": "EUR", "elements": [{"price_components": [component]}]}
    return owner(party) | tariff | {"last_updated": NOON} | fields


def a_token(party: str, **fields: Any) -> Json:
    token = owner(party) | {
        "uid": fresh("UID"),
        "type": "RFID",
        "contract_id": fresh("NL-TNM-C"),
        "issuer": "An eMSP",
        "valid": True,
        "whitelist": "ALLOWED",
        "last_updated": NOON,
    }
    return token | fields


def a_cdr_token(party: str, **fields: Any) -> Json:
    token = a_token(party)
    return {name: token[name] for name in ("country_code", "party_id", "uid", "type", "contract_id")} | fields


def a_session(party: str, emsp: str, **fields: Any) -> Json:
    session = owner(party) | {
        "id": fresh("SES"),
        "start_date_time": NOON,
        "kwh": 0.5,
        "cdr_token": a_cdr_token(emsp),
        "auth_method": "WHITELIST",
        "location_id": "LOC1",
        "evse_uid": "E1",
        "connector_id": "1",
        "currency": "EUR",
        "status": "ACTIVE",
        "last_updated": NOON,
    }
    return session | fields


def a_cdr(party: str, emsp: str, **fields: Any) -> Json:
    place = {
        "id": "LOC1",
        "address": "Kasteellaan 27",
        "city": "Wijchen",
        "country": "NLD",
        "coordinates": {"latitude": "51.808340", "longitude": "5.723800"},
        "evse_uid": "E1",
        "evse_id": "NL*ENE*E1",
        "connector_id": "1",
        "connector_standard": "IEC_62196_T2",
        "connector_format": "SOCKET",
        "connector_power_type": "AC_3_PHASE",
    }
    period = {"start_date_time": NOON, "dimensions": [{"type": "ENERGY", "volume": 1.5}]}
    cdr = owner(party) | {
        "id": fresh("CDR"),
        "start_date_time": NOON,
        "end_date_time": LATER,
        "cdr_token": a_cdr_token(emsp),
        "auth_method": "WHITELIST",
        "cdr_location": place,
        "currency": "EUR",
        "charging_periods": [period],
        "total_cost": {"excl_vat": 4.0},
        "total_energy": 1.5,
        "total_time": 1.0,
        "last_updated": LATER,
    }
    return cdr | fields


def tail_of(thing: Json, *more: str) -> str:
    """The path of an object below a Receiver endpoint."""
    own_id = thing.get("id") or thing["uid"]
    return "/" + "/".join([thing["country_code"], thing["party_id"], own_id, *more])
