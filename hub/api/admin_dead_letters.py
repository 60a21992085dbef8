"""The part of the operators' API that is about dead letters."""

from functools import partial
from typing import Annotated, Final

from fastapi import APIRouter, Path, Query

from hub.api.admin_context import OPERATOR, AdminContext, done
from hub.api.admin_models import Settle
from hub.messaging.dead_letters import LetterPlace, put_back
from hub.operations.dead_letters import Desk, LetterDetail, LetterList, list_letters, show_letter
from hub.operations.redrive import Settled, Sweep, settle, sweep
from hub.store.dead_letters import Action

MOST_LISTED: Final = 1_000
_LARGEST_OFFSET: Final = 2**63 - 1
_LARGEST_PARTITION: Final = 2**31 - 1

Partition = Annotated[int, Path(ge=0, le=_LARGEST_PARTITION)]
Offset = Annotated[int, Path(ge=0, le=_LARGEST_OFFSET)]


def add_dead_letters(made: APIRouter, context: AdminContext) -> None:
    """Add what is below `/dead-letters`."""
    bootstrap = context.settings.require("kafka_bootstrap")
    desk = Desk(context.store, context.topics, bootstrap, partial(put_back, context.durable))
    _add_looks(made, desk)
    _add_deeds(made, desk)


def _add_looks(made: APIRouter, desk: Desk) -> None:
    @made.get("/dead-letters")
    async def list_dead_letters(
        limit: Annotated[int, Query(ge=1, le=MOST_LISTED)] = 50, only_open: bool = False
    ) -> LetterList:
        """The newest dead letters, newest first."""
        return await list_letters(desk, limit=limit, only_open=only_open)

    @made.get("/dead-letters/{partition}/{offset}")
    async def show_dead_letter(partition: Partition, offset: Offset, body: bool = False) -> LetterDetail:
        """One dead letter with its record's headers, and its body where that is asked for and may be shown."""
        return done(await show_letter(desk, LetterPlace(partition, offset), with_body=body))


def _add_deeds(made: APIRouter, desk: Desk) -> None:
    @made.post("/dead-letters/redrive")
    async def redrive_all() -> Sweep:
        """Put the records of all open letters back where they came from."""
        return await sweep(desk, Action.REDRIVEN, operator=OPERATOR)

    @made.post("/dead-letters/discard")
    async def discard_all() -> Sweep:
        """Discard all open letters."""
        return await sweep(desk, Action.DISCARDED, operator=OPERATOR)

    @made.post("/dead-letters/{partition}/{offset}/redrive")
    async def redrive_dead_letter(partition: Partition, offset: Offset, body: Settle) -> Settled:
        """Put a letter's record back where it came from."""
        place = LetterPlace(partition, offset)
        return done(await settle(desk, Action.REDRIVEN, operator=OPERATOR, place=place, again=body.again))

    @made.post("/dead-letters/{partition}/{offset}/discard")
    async def discard_dead_letter(partition: Partition, offset: Offset, body: Settle) -> Settled:
        """Note that nothing is to be done with a letter."""
        place = LetterPlace(partition, offset)
        return done(await settle(desk, Action.DISCARDED, operator=OPERATOR, place=place, again=body.again))
