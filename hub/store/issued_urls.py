"""The URLs that the hub issued."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from hub.model.issued_url import IssuedKind, IssuedUrl
from hub.ocpi.parties import PartyId
from hub.store.pool import Connection
from hub.store.statements import load_statements

SQL: Final = load_statements("issued_urls")


async def issue(connection: Connection, urls: Sequence[IssuedUrl]) -> None:
    """Store issued URLs. Idempotent by id."""
    if not urls:
        return
    await connection.execute(
        SQL["issue"],
        [url.url_id for url in urls],
        [url.kind.value for url in urls],
        [url.bound_platform_id for url in urls],
        [url.bound_party.country_code for url in urls],
        [url.bound_party.party_id for url in urls],
        [url.target_platform_id for url in urls],
        [url.target_party.country_code for url in urls],
        [url.target_party.party_id for url in urls],
        [url.target_url for url in urls],
        [url.correlation_id for url in urls],
        [url.expires_at for url in urls],
    )


async def find(connection: Connection, url_ids: Iterable[str]) -> Mapping[str, IssuedUrl]:
    """The live ones among these ids."""
    ids = list(dict.fromkeys(url_ids))
    if not ids:
        return {}
    rows = await connection.fetch(SQL["find"], ids)
    return {
        row["url_id"]: IssuedUrl(
            url_id=row["url_id"],
            kind=IssuedKind(row["kind"]),
            bound_platform_id=row["bound_platform_id"],
            bound_party=PartyId(row["bound_country_code"], row["bound_party_id"]),
            target_platform_id=row["target_platform_id"],
            target_party=PartyId(row["target_country_code"], row["target_party_id"]),
            target_url=row["target_url"],
            correlation_id=row["correlation_id"],
            expires_at=None,
        )
        for row in rows
    }


async def forget_expired(connection: Connection) -> int:
    """URLs that ran out go; says how many."""
    done: str = await connection.execute(SQL["forget_expired"])
    return int(done.rsplit(" ", 1)[1])
