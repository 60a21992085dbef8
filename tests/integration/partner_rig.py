"""Simulated partners for tests: each listens on real sockets and is driven over its control API, as a person would."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Literal

import aiohttp

from infra.dev.partner import Options, Partner


@dataclass(frozen=True, slots=True)
class Driven:
    """A running partner and the way to drive it."""

    partner: Partner
    session: aiohttp.ClientSession

    async def get(self, path: str, **query: Any) -> Any:
        """Ask the control API."""
        return await self._call("GET", path, params={name: str(value) for name, value in query.items()})

    async def post(self, path: str, order: Any = None) -> Any:
        """Give an order."""
        return await self._call("POST", path, json=order if order is not None else {})

    async def delete(self, path: str) -> Any:
        """Take something away."""
        return await self._call("DELETE", path)

    async def refusal(self, path: str, order: Any) -> tuple[int, str]:
        """Give an order that is refused, and the refusal."""
        async with self.session.post(self.partner.control_url + path, json=order) as response:
            assert response.status >= 400
            return response.status, (await response.json())["error"]

    async def send(self, method: str, module: str, path: str = "", **order: Any) -> Any:
        """Make the partner send one request."""
        return await self.post("/send", {"method": method, "module": module, "path": path, **order})

    async def received(self, **query: Any) -> list[Any]:
        """List the record."""
        items: list[Any] = (await self.get("/received", **query))["items"]
        return items

    async def fault(self, fault: str | int, **params: Any) -> Any:
        """Switch a fault on."""
        return await self.post("/faults", {"fault": fault, **params})

    async def _call(self, method: str, path: str, **options: Any) -> Any:
        async with self.session.request(method, self.partner.control_url + path, **options) as response:
            assert response.status == 200, await response.text()
            return await response.json()


async def eventually(ask: Callable[[], Awaitable[Any]], within_s: float = 10) -> Any:
    """Ask until the answer is true, and give it."""
    deadline = time.monotonic() + within_s
    while not (answer := await ask()):
        assert time.monotonic() < deadline, f"still {answer!r} after {within_s} s"
        await asyncio.sleep(0.005)
    return answer


@contextlib.asynccontextmanager
async def a_partner(role: Literal["cpo", "emsp", "both"], *parties: str, **options: Any) -> AsyncIterator[Driven]:
    """Run one partner."""
    async with Partner(Options(role=role, parties=parties, **options)) as partner, aiohttp.ClientSession() as session:
        yield Driven(partner, session)


async def connect(sender: Driven, receiver: Driven) -> None:
    """Register one partner at another."""
    await sender.post("/register", {"versions_url": receiver.partner.versions_url, "token": receiver.partner.token})


@contextlib.asynccontextmanager
async def a_pair(**options: Any) -> AsyncIterator[tuple[Driven, Driven]]:
    """Run a CPO (NL/CPO) that is registered at an eMSP (NL/MSP)."""
    async with a_partner("cpo", "NL/CPO", **options) as cpo, a_partner("emsp", "NL/MSP", **options) as emsp:
        await connect(cpo, emsp)
        yield cpo, emsp


def a_location(location_id: str = "L1", **fields: Any) -> dict[str, Any]:
    """Make a Location of NL/CPO with one EVSE."""
    return {
        "country_code": "NL",
        "party_id": "CPO",
        "id": location_id,
        "publish": True,
        "address": "Dorpsstraat 1",
        "city": "Wijchen",
        "country": "NLD",
        "coordinates": {"latitude": "51.793981", "longitude": "5.734244"},
        "evses": [an_evse()],
        "time_zone": "Europe/Amsterdam",
        "last_updated": "2026-06-01T10:00:00Z",
        **fields,
    }


def an_evse(uid: str = "E1", **fields: Any) -> dict[str, Any]:
    """Make an EVSE with one Connector."""
    connector = {
        "id": "1",
        "standard": "IEC_62196_T2",
        "format": "SOCKET",
        "power_type": "AC_3_PHASE",
        "max_voltage": 230,
        "max_amperage": 16,
        "last_updated": "2026-06-01T10:00:00Z",
    }
    moment = "2026-06-01T10:00:00Z"
    return {"uid": uid, "status": "AVAILABLE", "connectors": [connector], "last_updated": moment, **fields}


def a_token(uid: str = "012345678", **fields: Any) -> dict[str, Any]:
    """Make a Token of NL/MSP."""
    return {
        "country_code": "NL",
        "party_id": "MSP",
        "uid": uid,
        "type": "RFID",
        "contract_id": "NL8ACC12E46L89",
        "issuer": "An issuer",
        "valid": True,
        "whitelist": "ALLOWED",
        "last_updated": "2026-06-01T10:00:00Z",
        **fields,
    }


def a_tariff(tariff_id: str = "T1", **fields: Any) -> dict[str, Any]:
    """Make a Tariff of NL/CPO."""
    return {
        "country_code": "NL",
        "party_id": "CPO",
        "id": tariff_id,
        "currency": "EUR",
        "elements": [{"price_components": [{"type": "ENERGY", "price": 0.25, "step_size": 1}]}],
        "last_updated": "2026-06-01T10:00:00Z",
        **fields,
    }


def a_session(session_id: str = "S1", **fields: Any) -> dict[str, Any]:
    """Make a Session of NL/CPO for a driver of NL/MSP."""
    return {
        "country_code": "NL",
        "party_id": "CPO",
        "id": session_id,
        "start_date_time": "2026-06-01T10:00:00Z",
        "kwh": 0,
        "cdr_token": {
            "country_code": "NL",
            "party_id": "MSP",
            "uid": "012345678",
            "type": "RFID",
            "contract_id": "NL8ACC12E46L89",
        },
        "auth_method": "AUTH_REQUEST",
        "location_id": "L1",
        "evse_uid": "E1",
        "connector_id": "1",
        "currency": "EUR",
        "charging_periods": [a_period(1)],
        "status": "ACTIVE",
        "last_updated": "2026-06-01T10:00:00Z",
        **fields,
    }


def a_period(kwh: float) -> dict[str, Any]:
    """Make a charging period."""
    return {"start_date_time": "2026-06-01T10:00:00Z", "dimensions": [{"type": "ENERGY", "volume": kwh}]}


def a_cdr(cdr_id: str = "C1", **fields: Any) -> dict[str, Any]:
    """Make a CDR of NL/CPO for a driver of NL/MSP."""
    return {
        "country_code": "NL",
        "party_id": "CPO",
        "id": cdr_id,
        "start_date_time": "2026-06-01T10:00:00Z",
        "end_date_time": "2026-06-01T11:00:00Z",
        "cdr_token": a_session()["cdr_token"],
        "auth_method": "AUTH_REQUEST",
        "cdr_location": {
            "id": "L1",
            "address": "Dorpsstraat 1",
            "city": "Wijchen",
            "country": "NLD",
            "coordinates": {"latitude": "51.793981", "longitude": "5.734244"},
            "evse_uid": "E1",
            "evse_id": "NL*CPO*E1",
            "connector_id": "1",
            "connector_standard": "IEC_62196_T2",
            "connector_format": "SOCKET",
            "connector_power_type": "AC_3_PHASE",
        },
        "currency": "EUR",
        "charging_periods": [a_period(10)],
        "total_cost": {"excl_vat": 2.50},
        "total_energy": 10,
        "total_time": 1,
        "last_updated": "2026-06-01T11:00:00Z",
        **fields,
    }
