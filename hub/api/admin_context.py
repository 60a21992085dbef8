"""What every router of the admin API works with, and how a use case's end becomes an answer."""

from dataclasses import dataclass
from typing import Final, TypeVar

from hub.api.admin_errors import OperationDeclinedError
from hub.messaging.producer import Producer
from hub.messaging.topics import Topics
from hub.operations.declined import Declined
from hub.registration.register import Registrar
from hub.settings import Settings
from hub.store.directory import DirectoryKeeper
from hub.store.pool import Store
from hub.store.secrets import Secrets

OPERATOR: Final = "operator"
"""The name in the audit: whoever holds the one operator token."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class AdminContext:
    """What the use cases work with."""

    store: Store
    secrets: Secrets
    settings: Settings
    topics: Topics
    registrar: Registrar
    keeper: DirectoryKeeper
    durable: Producer


def done(result: T | Declined) -> T:
    """What a use case came to; a refusal goes on to the answer as an error.

    Raises:
        OperationDeclinedError: the use case did nothing.
    """
    if isinstance(result, Declined):
        raise OperationDeclinedError(result)
    return result
