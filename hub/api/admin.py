"""The operators' HTTP API under `/admin/v1`: a thin door to `hub.operations`, for the command line and for scripts.

Every request shows the operator token as `Authorization: Bearer …`. Errors are `{"error": {"code", "message"}}`.
"""

from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import APIRouter, Query

from hub.api.admin_context import OPERATOR, AdminContext, done
from hub.api.admin_dead_letters import add_dead_letters
from hub.api.admin_errors import error_answer, guarded_route
from hub.api.admin_models import Connect, ErrorBody, Invite, PartyText, Rotate, SetQuirks, Tolerate
from hub.api.admin_receivers import add_receivers
from hub.ocpi.parties import PartyId
from hub.operations import inspect
from hub.operations.connect import connect
from hub.operations.disconnect import disconnect
from hub.operations.invite import Invitation, invite
from hub.operations.listing import SettingRow, list_settings
from hub.operations.rotate import Rotation, rotate_token
from hub.operations.status import HubStatus, status
from hub.operations.suspend import StatusChange, resume, suspend
from hub.operations.tolerate import Quirks, Tolerance, set_quirks, set_stale, show_quirks
from hub.store.incomplete import IncompleteObject
from hub.store.operators import PartyRow

PREFIX: Final = "/admin/v1"
_ERRORS: dict[int | str, dict[str, Any]] = {code: {"model": ErrorBody} for code in (401, 404, 409, 422, 502, 503)}


def router(context: AdminContext, operator_token: str) -> APIRouter:
    """The API for one operator token; without a token it opens to nobody."""
    made = APIRouter(prefix=PREFIX, route_class=guarded_route(operator_token), responses=_ERRORS, tags=["operators"])
    _add_invitations(made, context)
    _add_platforms(made, context)
    _add_looks(made, context)
    _add_hub(made, context)
    add_dead_letters(made, context)
    add_receivers(made, context)

    @made.api_route("/{rest:path}", methods=["GET", "POST", "PUT", "PATCH", "DELETE"], include_in_schema=False)
    async def nothing_here(rest: str) -> Any:
        return error_answer(404, "no_such_resource", f"the admin API has no {PREFIX}/{rest} with this method")

    return made


def _add_invitations(made: APIRouter, context: AdminContext) -> None:
    @made.post("/invitations", status_code=201)
    async def invite_party(body: Invite) -> Invitation:
        """Bind a party's roles to a platform; a new platform gets its one-time token, shown only here."""
        return done(
            await invite(
                context.store,
                context.secrets,
                operator=OPERATOR,
                hub_party=context.settings.hub_party,
                versions_url=f"{context.settings.ocpi_url}/versions",
                party=PartyId.parse(body.party),
                roles=tuple(dict.fromkeys(body.roles)),
                name=body.name,
                platform_id=str(body.platform_id) if body.platform_id else None,
            )
        )

    @made.post("/platforms", status_code=201)
    async def connect_platform(body: Connect) -> inspect.PlatformDetail:
        """Register the hub at a partner's platform, with the token that the partner gave."""
        return done(
            await connect(
                context.store,
                context.registrar,
                operator=OPERATOR,
                versions_url=body.url,
                token=body.token,
                party=PartyId.parse(body.party),
                roles=tuple(dict.fromkeys(body.roles)),
                name=body.name,
                platform_id=str(body.platform_id) if body.platform_id else None,
            )
        )

    @made.get("/parties")
    async def list_parties() -> tuple[PartyRow, ...]:
        """Every party in every role, quarantined ones included."""
        return await inspect.list_parties(context.store)


def _add_platforms(made: APIRouter, context: AdminContext) -> None:
    store = context.store

    @made.get("/platforms")
    async def list_platforms(party: Annotated[PartyText | None, Query()] = None) -> tuple[inspect.PlatformSummary, ...]:
        """All platforms, or those that host a party."""
        return await inspect.list_platforms(store, PartyId.parse(party) if party else None)

    @made.get("/platforms/{platform_id}")
    async def show_platform(platform_id: UUID) -> inspect.PlatformDetail:
        """One platform with its parties, endpoints and the dates of its tokens."""
        return done(await inspect.show_platform(store, str(platform_id)))

    @made.post("/platforms/{platform_id}/rotate-token")
    async def rotate_platform_token(platform_id: UUID, body: Rotate | None = None) -> Rotation:
        """Renew the tokens between a platform and the hub."""
        return done(
            await rotate_token(
                store,
                context.secrets,
                context.registrar,
                operator=OPERATOR,
                platform_id=str(platform_id),
                is_leaked=body is not None and body.is_leaked,
            )
        )

    @made.post("/platforms/{platform_id}/suspend")
    async def suspend_platform(platform_id: UUID) -> StatusChange:
        """Cut a platform off; answered once no process reaches it any more."""
        return done(await suspend(store, operator=OPERATOR, platform_id=str(platform_id)))

    @made.post("/platforms/{platform_id}/resume")
    async def resume_platform(platform_id: UUID) -> StatusChange:
        """Let a suspended platform back in."""
        return done(await resume(store, operator=OPERATOR, platform_id=str(platform_id)))

    @made.post("/platforms/{platform_id}/tolerance")
    async def tolerate_platform(platform_id: UUID, body: Tolerate) -> Tolerance:
        """Let its pushes with old clocks count, or not."""
        return done(await set_stale(store, operator=OPERATOR, platform_id=str(platform_id), stale=body.stale))

    @made.get("/platforms/{platform_id}/quirks")
    async def show_platform_quirks(platform_id: UUID) -> Quirks:
        """The habits of a platform that the hub serves."""
        return done(await show_quirks(store, str(platform_id)))

    @made.post("/platforms/{platform_id}/quirks")
    async def set_platform_quirks(platform_id: UUID, body: SetQuirks) -> Quirks:
        """Serve these habits and no others."""
        return done(await set_quirks(store, operator=OPERATOR, platform_id=str(platform_id), quirks=body.quirks))

    @made.post("/platforms/{platform_id}/disconnect")
    async def disconnect_platform(platform_id: UUID) -> StatusChange:
        """End a connection: both tokens are dead, everything else stays."""
        return done(await disconnect(store, context.registrar, operator=OPERATOR, platform_id=str(platform_id)))


def _add_looks(made: APIRouter, context: AdminContext) -> None:
    @made.get("/exchanges")
    async def show_exchange(correlation_id: Annotated[str, Query(min_length=1)]) -> inspect.Story:
        """The story of one message in order."""
        return done(await inspect.show_exchange(context.store, correlation_id))

    @made.get("/objects")
    async def show_object(
        module: Annotated[str, Query(min_length=1)],
        party: Annotated[PartyText, Query()],
        object_id: Annotated[str, Query(min_length=1)],
    ) -> inspect.ObjectUnits:
        """One object as the hub holds it, unit by unit; `raw` is its JSON, every value as it was pushed."""
        return done(await inspect.show_object(context.store, module, PartyId.parse(party), object_id))

    @made.get("/objects/incomplete")
    async def list_incomplete(
        party: Annotated[PartyText | None, Query()] = None, limit: Annotated[int, Query(ge=1, le=1000)] = 100
    ) -> tuple[IncompleteObject, ...]:
        """Objects of which patches only are known: since when, how often their owner was asked, what came of it, when next."""
        return await inspect.list_incomplete(context.store, PartyId.parse(party) if party else None, limit)


def _add_hub(made: APIRouter, context: AdminContext) -> None:
    @made.get("/status")
    async def show_status() -> HubStatus:
        """The state of the hub; 200 also while its database or Kafka is away, which the body then says."""
        return await status(context.store, context.settings, context.topics)

    @made.get("/settings")
    async def show_settings() -> tuple[SettingRow, ...]:
        """The settings that this HTTP process runs with, secrets masked."""
        return list_settings(context.settings)
