"""First step: every object of every feed passes the check of content that guards the hub (D-30).

What comes out has to equal the counts in `expected.json`, and the Dutch national feed has to be accepted whole.
"""

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from msgspec import DecodeError

from hub.ocpi.validate import Checked, check_object, check_patch, contradictions
from tests.feeds.catalogue import NATIONAL, Item, feeds_in
from tests.feeds.check import Check

EXPECTED: Final = Path(__file__).with_name("expected.json")
VERSION: Final = "2.2.1"
_INDEX: Final = re.compile(r"\[\d+\]")


@dataclass(slots=True)
class Tally:
    """What became of one feed. A reason counts once per object; an object shows no more than its first reasons."""

    objects: int = 0
    refused: int = 0
    refusals: Counter[str] = field(default_factory=Counter)
    deviations: Counter[str] = field(default_factory=Counter)

    @property
    def accepted(self) -> int:
        """Objects that the hub takes."""
        return self.objects - self.refused

    def add(self, checked: Checked) -> None:
        """Count one object."""
        self.objects += 1
        self.refused += bool(checked.refusals)
        self.refusals.update({_INDEX.sub("[]", fault.message) for fault in checked.refusals})
        for deviation in checked.deviations:
            self.deviations[f"{deviation.kind.value} {deviation.field}"] += deviation.count

    def counts(self) -> dict[str, Any]:
        """As it is kept in `expected.json`."""
        return {
            "objects": self.objects,
            "accepted": self.accepted,
            "refused": self.refused,
            "refusals": dict(sorted(self.refusals.items())),
            "deviations": dict(sorted(self.deviations.items())),
        }


def check_contents(folder: Path, expected: Path = EXPECTED) -> Iterator[Check]:
    """Count every feed below `folder`, print the table, and compare it with the expected one."""
    feeds, unknown = feeds_in(folder)
    tallies = {}
    for feed in feeds:
        try:
            tallies[feed.name] = tally(feed.items())
        except (DecodeError, KeyError, OSError) as error:
            yield Check(f"{feed.name} can be read", (f"{type(error).__name__}: {error}",))
    print(table(tallies))
    yield Check("every file is read or left out for a reason", tuple(f"unknown: {name}" for name in unknown))
    yield Check("the national feed is accepted whole", tuple(_refused_in(NATIONAL, tallies)))
    yield from compare(tallies, json.loads(expected.read_text()))


def write_expected(folder: Path, expected: Path = EXPECTED) -> None:
    """Make the counts of today the expected ones."""
    counts = {feed.name: tally(feed.items()).counts() for feed in feeds_in(folder)[0]}
    expected.write_text(json.dumps(counts, indent=2, sort_keys=True) + "\n")


def tally(items: Iterable[Item]) -> Tally:
    """Check every item and count."""
    counted = Tally()
    for item in items:
        counted.add(_check(item))
    return counted


def compare(tallies: Mapping[str, Tally], expected: Mapping[str, Mapping[str, Any]]) -> Iterator[Check]:
    """One check per feed that is there or should be."""
    for name in sorted(tallies.keys() | expected.keys()):
        found = _flat(tallies[name].counts()) if name in tallies else {}
        wanted = _flat(expected.get(name, {}))
        differing = sorted(key for key in found.keys() | wanted.keys() if found.get(key) != wanted.get(key))
        yield Check(
            f"{name} counts as expected",
            tuple(f"{key}: {wanted.get(key, 0)} expected, {found.get(key, 0)} found" for key in differing),
        )


def table(tallies: Mapping[str, Tally]) -> str:
    """The counts for people: a line per feed, below it why objects were refused and which deviations were accepted."""
    width = max(map(len, tallies), default=0)
    lines = [f"{'feed':{width}}  {'objects':>8}  {'accepted':>8}  {'refused':>8}  {'deviations':>10}"]
    for name, counted in tallies.items():
        row = (counted.objects, counted.accepted, counted.refused, counted.deviations.total())
        lines.append("{:{}}  {:>8}  {:>8}  {:>8}  {:>10}".format(name, width, *row))
        lines += [f"    refused {count:>6}  {reason}" for reason, count in counted.refusals.most_common()]
        lines += [f"    counted {count:>6}  {kind}" for kind, count in _by_kind(counted).most_common()]
    return "\n".join(lines)


def _check(item: Item) -> Checked:
    checked = (check_patch if item.is_patch else check_object)(VERSION, item.kind, item.body)
    contrary = contradictions(item.body, item.address)
    return Checked(checked.refusals + contrary, checked.deviations) if contrary else checked


def _by_kind(counted: Tally) -> Counter[str]:
    kinds: Counter[str] = Counter()
    for deviation, count in counted.deviations.items():
        kinds[deviation.partition(" ")[0]] += count
    return kinds


def _refused_in(prefix: str, tallies: Mapping[str, Tally]) -> Iterator[str]:
    national = {name: counted for name, counted in tallies.items() if name.startswith(prefix)}
    if not national:
        yield f"there is no feed {prefix}"
    for name, counted in national.items():
        if counted.refused:
            yield f"{name}: {counted.refused} refused"


def _flat(counts: Mapping[str, Any]) -> dict[str, int]:
    flat: dict[str, int] = {}
    for key, value in counts.items():
        if isinstance(value, Mapping):
            flat |= {f"{key} {inner}": count for inner, count in value.items()}
        else:
            flat[key] = value
    return flat
