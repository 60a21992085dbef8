"""The common types, and the texts with a fixed form that several chapters use.

Source: OCPI 2.2.1, types.
"""

from __future__ import annotations

from typing import Annotated

from hub.ocpi.types import CiString, Number, OcpiObject, String

Id = Annotated[str, CiString(36)]
"""The usual identifier."""
CountryCode = Annotated[str, CiString(2, r"[A-Za-z]{2}")]
"""ISO 3166-1 alpha-2 of a party."""
PartyId = Annotated[str, CiString(3, r"[A-Za-z0-9]{3}")]
"""ISO 15118 id of a party, unique inside its country code only."""
Country = Annotated[str, String(3, r"[A-Z]{3}")]
"""ISO 3166-1 alpha-3 of a place."""
Currency = Annotated[str, String(3, r"[A-Z]{3}")]
"""ISO 4217."""
Language = Annotated[str, String(2, r"[a-z]{2}")]
"""ISO 639-1."""
LocalTime = Annotated[str, String(5, r"([0-1][0-9]|2[0-3]):[0-5][0-9]")]
"""Hours and minutes in the time zone of the Location."""
LocalDate = Annotated[str, String(10, r"[12][0-9]{3}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])")]
"""A day in the time zone of the Location."""


class DisplayText(OcpiObject):
    """A text for the driver, without markup, in one language.

    Source: OCPI 2.2.1, types § DisplayText class.
    """

    language: Language
    text: Annotated[str, String(512)]


class Price(OcpiObject):
    """Money with and without VAT.

    Source: OCPI 2.2.1, types § Price class.
    """

    excl_vat: Number
    incl_vat: Number | None = None
