"""The bodies that the admin API takes, and the shape of its errors. What it answers are the values of `hub.operations`."""

from typing import Annotated, Literal
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from hub.model.directory import Quirk
from hub.ocpi.parties import PartyId, Role
from hub.operations.receivers import CatchUp, Touches
from hub.operations.tolerate import Stale


def _party(text: str) -> str:
    return str(PartyId.parse(text).folded)


PartyText = Annotated[str, AfterValidator(_party), Field(examples=["NL/ENE"])]
"""A party as `COUNTRY/PARTY`, in upper case after reading."""


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Invite(_Body):
    """Bind roles of a party to a new platform, or to the one with this id."""

    party: PartyText
    roles: tuple[Role, ...] = Field(min_length=1)
    name: str | None = Field(None, min_length=1, max_length=100)
    platform_id: UUID | None = Field(None, description="Add the roles to this platform instead of a new one")


class Connect(_Body):
    """Register the hub at a partner's platform with the token that the partner gave."""

    url: str = Field(min_length=1, max_length=255, description="The partner's versions URL")
    token: str = Field(min_length=1, max_length=64, repr=False, description="CREDENTIALS_TOKEN_A that the partner made")
    party: PartyText
    roles: tuple[Role, ...] = Field(min_length=1)
    name: str | None = Field(None, min_length=1, max_length=100)
    platform_id: UUID | None = Field(None, description="Connect this platform again instead of a new one")


class Settle(_Body):
    """Do something with a dead letter; `again` where something was done with it before."""

    again: bool = False


class Rotate(_Body):
    """Renew tokens; `is_leaked`: what the platform shows is dead at once, before it is told."""

    is_leaked: bool = False


class Tolerate(_Body):
    """What the hub lets pass from a platform."""

    stale: Stale


class SetQuirks(_Body):
    """The habits of a platform that the hub serves, instead of those before."""

    quirks: tuple[Quirk, ...]


class ReceiverChange(_Body):
    """Change a receiver; what is not given stays. `platform_id` where its party is on several platforms."""

    is_paused: bool | None = None
    catch_up: CatchUp | None = None
    touches: Touches | None = None
    rate: float | None = Field(None, ge=0, le=1_000_000)
    platform_id: UUID | None = None


class ReceiverResync(_Body):
    """Send a receiver all that it may see, of one module or of all."""

    module: Literal["locations", "tariffs", "tokens"] | None = None
    platform_id: UUID | None = None


class ErrorDetail(_Body):
    """`code` is one word for programs, `message` one line for people."""

    code: str
    message: str


class ErrorBody(_Body):
    """Every answer of the admin API with an HTTP status of 400 and above."""

    error: ErrorDetail
