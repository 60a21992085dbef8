"""Builders of small, right OCPI 2.2.1 objects as parsed JSON; each argument replaces or adds one field."""

from typing import Any

Json = dict[str, Any]

NOON = "2026-06-02T12:00:00Z"


def without(value: Json, *names: str) -> Json:
    """Return a copy of ``value`` that lacks the fields ``names``."""
    return {name: item for name, item in value.items() if name not in names}


def a_connector(**fields: Any) -> Json:
    connector = {
        "id": "1",
        "standard": "IEC_62196_T2",
        "format": "SOCKET",
        "power_type": "AC_3_PHASE",
        "max_voltage": 230,
        "max_amperage": 16,
        "tariff_ids": ["T1"],
        "last_updated": NOON,
    }
    return connector | fields


def an_evse(**fields: Any) -> Json:
    evse = {"uid": "E1", "status": "AVAILABLE", "connectors": [a_connector()], "last_updated": NOON}
    return evse | fields


def a_location(**fields: Any) -> Json:
    location = {
        "country_code": "NL",
        "party_id": "ENE",
        "id": "LOC1",
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


def a_tariff(**fields: Any) -> Json:
    tariff = {
        "country_code": "NL",
        "party_id": "ENE",
        "id": "T1",
        "currency": "EUR",
        "elements": [{"price_components": [{"type": "ENERGY", "price": 0.35, "vat": 21, "step_size": 1}]}],
        "last_updated": NOON,
    }
    return tariff | fields


def a_token(**fields: Any) -> Json:
    token = {
        "country_code": "NL",
        "party_id": "TNM",
        "uid": "0412AB34",
        "type": "RFID",
        "contract_id": "NL-TNM-C00000001-X",
        "issuer": "An eMSP",
        "valid": True,
        "whitelist": "ALLOWED",
        "last_updated": NOON,
    }
    return token | fields


def a_cdr_token(**fields: Any) -> Json:
    return {name: a_token()[name] for name in ("country_code", "party_id", "uid", "type", "contract_id")} | fields


def a_charging_period(**fields: Any) -> Json:
    return {"start_date_time": NOON, "dimensions": [{"type": "ENERGY", "volume": 1.5}]} | fields


def a_session(**fields: Any) -> Json:
    session = {
        "country_code": "NL",
        "party_id": "ENE",
        "id": "S1",
        "start_date_time": NOON,
        "kwh": 1.5,
        "cdr_token": a_cdr_token(),
        "auth_method": "WHITELIST",
        "location_id": "LOC1",
        "evse_uid": "E1",
        "connector_id": "1",
        "currency": "EUR",
        "status": "ACTIVE",
        "last_updated": NOON,
    }
    return session | fields


def a_cdr(**fields: Any) -> Json:
    cdr = {
        "country_code": "NL",
        "party_id": "ENE",
        "id": "C1",
        "start_date_time": NOON,
        "end_date_time": NOON,
        "cdr_token": a_cdr_token(),
        "auth_method": "WHITELIST",
        "cdr_location": {
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
        },
        "currency": "EUR",
        "charging_periods": [a_charging_period()],
        "total_cost": {"excl_vat": 0.53},
        "total_energy": 1.5,
        "total_time": 0.5,
        "last_updated": NOON,
    }
    return cdr | fields
