"""Who calls: from the Authorization header to the platform.

Rules AU-01 … AU-07; decision D-14. A token that the snapshot lacks costs a look-up. Look-ups are bounded: beyond the bound the
answer is 429, not 401, since the token may be one that another process gave a moment ago, and 401 would make its owner throw it
away.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from hub.errors import StoreUnavailable
from hub.model.directory import Directory, InboundToken, Platform, PlatformStatus, TokenKind
from hub.ocpi.headers import token_candidates
from hub.ocpi.status import (
    PLATFORM_SUSPENDED,
    STORE_UNAVAILABLE,
    TOKEN_MISSING,
    TOKEN_ONLY_REGISTERS,
    TOKEN_UNKNOWN,
    TOO_MANY_UNKNOWN_TOKENS,
    Refusal,
)
from hub.store.directory import DirectoryKeeper
from hub.store.secrets import Secrets
from hub.telemetry import get_logger

log = get_logger(__name__)

_LOOKUPS_PER_SECOND: Final = 20.0
_LOOKUPS_BURST: Final = 40.0
_LONGEST_TOKEN: Final = 1024
_LONGEST_KEPT: Final = 2 * _LONGEST_TOKEN
"""Room for the longest token in Base64; a header may pad a token with spaces to any length."""
_MOST_ADMITTED: Final = 10_000


@dataclass(frozen=True, slots=True)
class Caller:
    """An authenticated platform and the token it showed; `presented` is the token in clear, for GET credentials only."""

    platform: Platform
    token: InboundToken
    token_hash: bytes
    presented: str

    def __repr__(self) -> str:
        return f"Caller({self.platform.platform_id}, {self.presented[:3]}…)"


class Admitted:
    """Whom a header has admitted under one directory: under the same one nothing can have changed since."""

    def __init__(self) -> None:
        self._callers: dict[str, Caller] = {}
        self._under: Directory | None = None

    def find(self, shown: str, directory: Directory) -> Caller | None:
        """Whom this very header has admitted under this very directory."""
        if directory is not self._under:
            self._under = directory
            self._callers.clear()
        return self._callers.get(shown)

    def keep(self, shown: str, caller: Caller) -> None:
        """Remember a caller under the directory of the last `find`, while there is room and only if it stays admitted."""
        if caller.token.expires_at is None and len(shown) <= _LONGEST_KEPT and len(self._callers) < _MOST_ADMITTED:
            self._callers[shown] = caller


class Gate:
    """Admits callers by their credentials token."""

    def __init__(
        self, keeper: DirectoryKeeper, secrets: Secrets, retire: Callable[[str, bytes], Awaitable[None]]
    ) -> None:
        """`retire` drops the replaced tokens of a platform once it has used its newest, of this hash (AM-21)."""
        self._keeper = keeper
        self._secrets = secrets
        self._retire = retire
        self._retiring: set[str] = set()
        self._admitted = Admitted()
        self._tasks: set[asyncio.Task[None]] = set()
        self._lookups = _LOOKUPS_BURST
        self._refilled_at = time.monotonic()

    async def admit(self, headers: Mapping[str, str]) -> Caller | Refusal:
        """The caller of versions or credentials, with a registration token or an access token."""
        shown = headers.get("authorization", "")
        caller = self._admitted.find(shown, self._keeper.current)
        if caller is not None:
            self._note_use(caller)
            return caller
        candidates = token_candidates(shown)
        if not candidates or len(candidates[-1]) > _LONGEST_TOKEN:
            return Refusal(TOKEN_MISSING, TOKEN_MISSING.message)
        caller = self._known(candidates)
        if caller is None:
            if not self._may_look_up():
                return Refusal(TOO_MANY_UNKNOWN_TOKENS, TOO_MANY_UNKNOWN_TOKENS.message, retry_after_seconds=1)
            try:
                found = [await self._keeper.knows_token(self._secrets.hash_inbound(text)) for text in candidates]
            except StoreUnavailable:
                return Refusal(STORE_UNAVAILABLE, STORE_UNAVAILABLE.message, retry_after_seconds=5)
            if any(found):
                caller = self._known(candidates)
        if caller is None:
            return Refusal(TOKEN_UNKNOWN, TOKEN_UNKNOWN.message)
        if caller.platform.status is PlatformStatus.SUSPENDED:
            return Refusal(PLATFORM_SUSPENDED, PLATFORM_SUSPENDED.message)
        self._note_use(caller)
        self._admitted.keep(shown, caller)
        return caller

    async def admit_registered(self, headers: Mapping[str, str]) -> Caller | Refusal:
        """The caller of any module but versions and credentials: a registration token does not open it (AU-07)."""
        caller = await self.admit(headers)
        if isinstance(caller, Caller) and caller.token.kind is not TokenKind.ACCESS:
            return Refusal(TOKEN_ONLY_REGISTERS, TOKEN_ONLY_REGISTERS.message)
        return caller

    def _known(self, candidates: tuple[str, ...]) -> Caller | None:
        directory = self._keeper.current
        for text in candidates:
            token_hash = self._secrets.hash_inbound(text)
            token = directory.tokens.get(token_hash)
            if token is None or (token.expires_at and token.expires_at <= datetime.now(UTC)):
                continue
            platform = directory.platforms.get(token.platform_id)
            if platform is not None:
                return Caller(platform, token, token_hash, text)
        return None

    def _note_use(self, caller: Caller) -> None:
        platform_id = caller.platform.platform_id
        token = caller.token
        is_newest = token.kind is TokenKind.ACCESS and token.expires_at is None and not token.is_replaced
        if is_newest and platform_id in self._keeper.current.rotating and platform_id not in self._retiring:
            self._retiring.add(platform_id)
            task = asyncio.create_task(self._retire_replaced(platform_id, caller.token_hash))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _retire_replaced(self, platform_id: str, used_hash: bytes) -> None:
        try:
            await self._retire(platform_id, used_hash)
            await self._keeper.refresh()
        except StoreUnavailable as error:
            log.warning("replaced_tokens.not_retired", platform_id=platform_id, error=str(error))
        finally:
            self._retiring.discard(platform_id)

    def _may_look_up(self) -> bool:
        now = time.monotonic()
        self._lookups = min(_LOOKUPS_BURST, self._lookups + (now - self._refilled_at) * _LOOKUPS_PER_SECOND)
        self._refilled_at = now
        if self._lookups < 1:
            return False
        self._lookups -= 1
        return True
