"""The rule list is what coverage is counted against, so a lost, doubled or misspelt entry must not go unnoticed."""

import re
import tomllib
from collections import Counter
from pathlib import Path
from typing import Any

RULES_FILE = Path(__file__).parents[1] / "conformance" / "rules.toml"
LAST_NUMBER = {
    "TP": 11,
    "AU": 14,
    "FM": 17,
    "VE": 18,
    "CR": 33,
    "RT": 24,
    "BP": 20,
    "OR": 9,
    "GA": 11,
    "ID": 8,
    "PG": 13,
    "OB": 16,
    "ST": 15,
    "OF": 9,
    "CB": 16,
    "HC": 21,
    "AM": 45,
    "D": 31,
}
VERSIONS = ["2.1.1", "2.2.1", "2.3.0"]
LEVELS = {"shall", "should", "may", "fact", "advice", "derived", "figure", "maintainer", "decision"}
REQUIRED_FIELDS = {"id", "versions", "level", "clause", "test"}
LONGEST_LINE = 200

DOCUMENT: dict[str, Any] = tomllib.loads(RULES_FILE.read_text(encoding="utf-8"))
RULES: list[dict[str, Any]] = DOCUMENT["rule"]


def family(rule_id: str) -> str:
    return rule_id.partition("-")[0]


def ids_where(broken: list[bool]) -> list[str]:
    return [rule["id"] for rule, is_broken in zip(RULES, broken, strict=True) if is_broken]


def test_the_file_holds_rules_and_nothing_else() -> None:
    assert set(DOCUMENT) == {"rule"}


def test_every_entry_has_the_documented_fields_and_no_others() -> None:
    assert ids_where([set(rule) - {"amended_by"} != REQUIRED_FIELDS for rule in RULES]) == []


def test_ids_are_a_family_and_two_digits() -> None:
    assert ids_where([not re.fullmatch(r"([A-Z]{2}|D)-\d{2}", rule["id"]) for rule in RULES]) == []


def test_no_id_stands_twice() -> None:
    assert [rule_id for rule_id, count in Counter(rule["id"] for rule in RULES).items() if count > 1] == []


def test_families_stand_in_order_and_count_up_without_gaps() -> None:
    expected = [f"{name}-{number:02}" for name, last in LAST_NUMBER.items() for number in range(1, last + 1)]
    assert [rule["id"] for rule in RULES] == expected


def test_versions_are_known_in_ascending_order_and_never_none() -> None:
    in_order = [[version for version in VERSIONS if version in rule["versions"]] for rule in RULES]
    assert ids_where([not kept or kept != rule["versions"] for kept, rule in zip(in_order, RULES, strict=True)]) == []


def test_levels_are_known_and_decision_is_kept_for_decisions() -> None:
    assert {rule["level"] for rule in RULES} == LEVELS
    assert ids_where([(rule["level"] == "decision") != (family(rule["id"]) == "D") for rule in RULES]) == []


def test_every_amendment_names_decisions_that_exist_once_each_in_order() -> None:
    decisions = {rule["id"] for rule in RULES if family(rule["id"]) == "D"}
    amendments = {rule["id"]: rule["amended_by"] for rule in RULES if "amended_by" in rule}
    assert [rule_id for rule_id, names in amendments.items() if not names or not decisions.issuperset(names)] == []
    assert [rule_id for rule_id, names in amendments.items() if names != sorted(set(names))] == []


def test_decisions_are_not_amended_themselves() -> None:
    assert ids_where([family(rule["id"]) == "D" and "amended_by" in rule for rule in RULES]) == []


def test_test_lines_and_clauses_are_single_trimmed_lines_within_the_limit() -> None:
    for field in ("test", "clause"):
        lines = [rule[field] for rule in RULES]
        assert ids_where([not line or len(line) > LONGEST_LINE for line in lines]) == []
        assert ids_where([line != " ".join(line.split()) for line in lines]) == []


def test_no_two_rules_assert_the_same_line() -> None:
    assert [line for line, count in Counter(rule["test"] for rule in RULES).items() if count > 1] == []
