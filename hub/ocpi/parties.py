"""Party ids and roles, the addresses of OCPI.

Source: OCPI 2.2.1, types § CiString, § Role; transport_and_format, Message Routing.
"""

from enum import StrEnum
from functools import lru_cache
from typing import NamedTuple, Self


class PartyId(NamedTuple):
    """A party's address. Kept as received; compared after `folded` (RT-06, OB-13)."""

    country_code: str
    party_id: str

    @property
    def folded(self) -> "PartyId":
        """The same party in upper case, the form of every key."""
        return _folded(self)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `NL/ENE`.

        Raises:
            ValueError: not two letters, a slash and one to three characters.
        """
        country_code, separator, party_id = text.partition("/")
        if not separator or not cls.well_formed(country_code, party_id):
            raise ValueError(f"{text!r} is not a party: expected COUNTRY/PARTY such as NL/ENE")
        return cls(country_code, party_id)

    @staticmethod
    def well_formed(country_code: str, party_id: str) -> bool:
        """Whether the lengths are those of OCPI: CiString(2) and CiString(3), printable ASCII (RT-02)."""
        return (
            len(country_code) == 2
            and 1 <= len(party_id) <= 3
            and (both := country_code + party_id).isascii()
            and both.isprintable()
            and " " not in both
        )

    def __str__(self) -> str:
        return f"{self.country_code}/{self.party_id}"


@lru_cache(maxsize=10_000)
def _folded(party: PartyId) -> PartyId:
    return PartyId(party.country_code.upper(), party.party_id.upper())


class Role(StrEnum):
    """Market roles of OCPI 2.2.1."""

    CPO = "CPO"
    EMSP = "EMSP"
    HUB = "HUB"
    NAP = "NAP"
    NSP = "NSP"
    OTHER = "OTHER"
    SCSP = "SCSP"
