"""Which receivers may hold whose objects: the audience of every owner, seen from the receiver's side.

Rules BP-02, BP-03, AM-16, AM-35; decisions D-08, D-26.
"""

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from hub.model.delivery import Receiver
from hub.model.directory import Directory
from hub.ocpi.parties import PartyId
from hub.routing.audience import audience

IN_ORDER: Final = ("tariffs", "locations", "tokens")
"""The modules that are held for all, what is referred to before what refers to it (D-26)."""

Owners = frozenset[PartyId]


class Share(NamedTuple):
    """What one receiver gets of one module; its party is folded."""

    receiver: Receiver
    module: str


class Step(NamedTuple):
    """What is to be done for a share: objects of `granted` owners are marked, those of `withdrawn` ones forgotten."""

    share: Share
    granted: Owners
    withdrawn: Owners
    is_over: bool
    """Whether the receiver gets nothing of the module any more."""


def entitlements(directory: Directory) -> dict[Share, Owners]:
    """Every share that somebody has, and the owners in it, all folded."""
    found: dict[Share, set[PartyId]] = {}
    for module in IN_ORDER:
        for owner, entries in directory.by_party.items():
            for platform_id in dict.fromkeys(entry.platform_id for entry in entries):
                for receiver in audience(directory, platform_id, owner, module):
                    share = Share(Receiver(receiver.platform_id, receiver.party.folded), module)
                    found.setdefault(share, set()).add(owner)
    return {share: frozenset(owners) for share, owners in found.items()}


def steps(entitled: Mapping[Share, Owners], filled: Mapping[Share, Owners]) -> list[Step]:
    """What is to be done so that `filled` becomes `entitled`: withdrawals first, then grants in the order of modules."""
    made = [_step(share, entitled.get(share), filled.get(share)) for share in _all(entitled, filled)]
    return sorted(
        (step for step in made if step.granted or step.withdrawn or step.is_over),
        key=lambda step: (not step.is_over, IN_ORDER.index(step.share.module), step.share),
    )


def _all(*known: Iterable[Share]) -> dict[Share, None]:
    return dict.fromkeys(share for shares in known for share in shares)


def _step(share: Share, entitled: Owners | None, filled: Owners | None) -> Step:
    due, held = entitled or frozenset(), filled or frozenset()
    return Step(share, due - held, held - due, is_over=entitled is None)
