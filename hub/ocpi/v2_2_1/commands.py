"""The Commands module: requests to a charge point, their direct answer and their later result.

Source: OCPI 2.2.1, mod_commands.
"""

from __future__ import annotations

from hub.ocpi.types import URL, DateTime, Integer, Many, OcpiObject, Open
from hub.ocpi.v2_2_1.enums import CommandResponseType, CommandResultType
from hub.ocpi.v2_2_1.tokens import Token
from hub.ocpi.v2_2_1.types import DisplayText, Id


class CancelReservation(OcpiObject):
    """Gives a reservation up.

    Source: OCPI 2.2.1, mod_commands § CancelReservation Object.
    """

    response_url: URL
    reservation_id: Id


class CommandResponse(OcpiObject):
    """The CPO's direct answer: whether it takes the command, and how many seconds the result may take.

    Source: OCPI 2.2.1, mod_commands § CommandResponse Object.
    """

    result: Open[CommandResponseType]
    timeout: Integer
    message: Many[DisplayText] = ()


class CommandResult(OcpiObject):
    """The charge point's answer, posted to the ``response_url``.

    Source: OCPI 2.2.1, mod_commands § CommandResult Object.
    """

    result: Open[CommandResultType]
    message: Many[DisplayText] = ()


class ReserveNow(OcpiObject):
    """Asks a CPO to keep an EVSE free until ``expiry_date``; the same id again replaces the reservation.

    Source: OCPI 2.2.1, mod_commands § ReserveNow Object.
    """

    response_url: URL
    token: Token
    expiry_date: DateTime
    reservation_id: Id
    location_id: Id
    evse_uid: Id | None = None
    authorization_reference: Id | None = None


class StartSession(OcpiObject):
    """Asks a CPO to start charging for a token.

    Source: OCPI 2.2.1, mod_commands § StartSession Object.
    """

    response_url: URL
    token: Token
    location_id: Id
    evse_uid: Id | None = None
    connector_id: Id | None = None
    authorization_reference: Id | None = None


class StopSession(OcpiObject):
    """Asks a CPO to end a session.

    Source: OCPI 2.2.1, mod_commands § StopSession Object.
    """

    response_url: URL
    session_id: Id


class UnlockConnector(OcpiObject):
    """Asks a CPO to free a stuck cable.

    Source: OCPI 2.2.1, mod_commands § UnlockConnector Object.
    """

    response_url: URL
    location_id: Id
    evse_uid: Id
    connector_id: Id
