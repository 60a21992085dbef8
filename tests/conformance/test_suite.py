"""The suite itself: every rule has cases or a reason, and every fault can be put where it belongs."""

from pathlib import Path

from tests.conformance.check import BINDING, RULES
from tests.conformance.mutants import mutants
from tests.conformance.report import OPEN, cases, deferrals

ROOT = Path(__file__).parents[2]
REASONS = {
    "note without a duty",
    "other version",
    "TLS at the ingress",
    "not visible from outside",
    "deferred to a later issue",
    OPEN,
}


def test_cases_and_reasons_name_rules_that_bind() -> None:
    assert sorted({*cases(), *deferrals()} - set(BINDING)) == []
    assert set(cases()) <= set(RULES)


def test_no_rule_has_a_case_and_a_reason_to_have_none() -> None:
    assert sorted(set(cases()) & set(deferrals())) == []


def test_only_the_agreed_reasons_are_given_each_with_a_note() -> None:
    assert {reason for reason, _ in deferrals().values()} <= REASONS
    assert [rule_id for rule_id, (_, note) in deferrals().items() if not note] == []


def test_every_fault_stands_exactly_once_and_its_rule_has_a_case() -> None:
    counts = {
        (mutant.rule, mutant.file): (ROOT / mutant.file).read_text(encoding="utf-8").count(mutant.find)
        for mutant in mutants()
    }
    assert {place: count for place, count in counts.items() if count != 1} == {}
    assert sorted({mutant.rule for mutant in mutants()} - set(cases())) == []
