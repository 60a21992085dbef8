"""The part of the operators' API that is about receivers of broadcasts."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Path

from hub.api.admin_context import OPERATOR, AdminContext, done
from hub.api.admin_models import ReceiverChange, ReceiverResync
from hub.ocpi.parties import PartyId
from hub.operations.receivers import (
    ReceiverDesk,
    ReceiverDetail,
    ReceiverRow,
    Resync,
    change_receiver,
    list_receivers,
    resync,
    show_receiver,
)

Code = Annotated[str, Path(pattern="^[A-Za-z]{2}$")]
Id = Annotated[str, Path(pattern="^[A-Za-z0-9]{3}$")]


def add_receivers(made: APIRouter, context: AdminContext) -> None:
    """Add what is below `/receivers`."""

    def desk() -> ReceiverDesk:
        return ReceiverDesk(context.store, context.keeper.current)

    @made.get("/receivers")
    async def list_all() -> list[ReceiverRow]:
        """Every receiver, by party."""
        return await list_receivers(desk())

    @made.get("/receivers/{country_code}/{party_id}")
    async def show(country_code: Code, party_id: Id, platform_id: UUID | None = None) -> ReceiverDetail:
        """One receiver in full."""
        return done(await show_receiver(desk(), PartyId(country_code, party_id), _text(platform_id)))

    @made.post("/receivers/{country_code}/{party_id}")
    async def change(country_code: Code, party_id: Id, body: ReceiverChange) -> ReceiverDetail:
        """Pause or resume a receiver, or change what is set for it."""
        return done(
            await change_receiver(
                desk(),
                PartyId(country_code, party_id),
                _text(body.platform_id),
                operator=OPERATOR,
                is_paused=body.is_paused,
                catch_up=body.catch_up,
                touches=body.touches,
                rate=body.rate,
            )
        )

    @made.post("/receivers/{country_code}/{party_id}/resync")
    async def resync_one(country_code: Code, party_id: Id, body: ReceiverResync) -> Resync:
        """Mark all that a receiver may see."""
        party = PartyId(country_code, party_id)
        return done(await resync(desk(), party, _text(body.platform_id), operator=OPERATOR, module=body.module))


def _text(platform_id: UUID | None) -> str | None:
    return str(platform_id) if platform_id else None
