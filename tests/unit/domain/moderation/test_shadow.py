"""What a shadow profile would have said."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from shared.domain.moderation.findings import Evidence, Likelihood, Part
from shared.domain.moderation.receipts import Rule, Status
from shared.domain.moderation.shadow import Comparison, Summary, compare, summarize
from shared.domain.moderation.verdicts import judge
from tests.unit.domain.moderation.evidence import BALANCED, STRICT, evidence, evidences, label, object_seen, safe_search


def compared(seen: Evidence) -> Comparison:
    return compare(judge(seen, BALANCED), judge(seen, STRICT))


def test_what_only_the_shadow_counts_is_the_cause() -> None:
    seen = evidence(object_seen("Gun", 0.4), object_seen("Beer", 0.7), safe_search(Part.ADULT, Likelihood.UNLIKELY))

    assert compared(seen) == Comparison(
        Status.PASS,
        Status.FAIL,
        Rule.NOTHING_FOUND,
        Rule.CLEAR_FINDING,
        flips=True,
        causes=("weapons: Gun", "adult: adult"),
    )


def test_verdicts_that_agree_have_no_causes() -> None:
    seen = evidence(object_seen("Gun", 0.9), object_seen("Rifle", 0.4))

    assert compared(seen) == Comparison(Status.FAIL, Status.FAIL, Rule.CLEAR_FINDING, Rule.CLEAR_FINDING, flips=False)


def test_what_only_one_profile_holds_for_harmless_is_a_cause() -> None:
    very_racy = safe_search(Part.RACY, Likelihood.VERY_LIKELY)
    comparison = compared(evidence(label("Beach", 0.7), very_racy))

    assert (comparison.status, comparison.shadow_status) == (Status.PASS, Status.FAIL)
    assert comparison.causes == ("racy: racy",)


def test_a_summary_counts_what_flips_and_why() -> None:
    gun, adult = object_seen("Gun", 0.4), safe_search(Part.ADULT, Likelihood.UNLIKELY)
    comparisons = [compared(evidence(*seen)) for seen in ((gun,), (gun, adult), (), (object_seen("Gun", 0.9),))]

    assert summarize(comparisons) == Summary(
        compared=4,
        flipped=2,
        rate=0.5,
        statuses={"PASS -> FAIL": 2, "FAIL -> FAIL": 1, "PASS -> PASS": 1},
        rules={"nothing_found -> clear_finding": 2},
        causes={"weapons: Gun": 2, "adult: adult": 1},
    )


def test_a_summary_of_nothing_is_no_division_by_zero() -> None:
    assert summarize([]) == Summary(0, 0, 0.0, {}, {}, {})


@given(st.lists(evidences(), max_size=6))
def test_a_summary_adds_up_in_any_order(many: list[Evidence]) -> None:
    comparisons = [compared(seen) for seen in many]
    summary = summarize(iter(comparisons))

    assert summary == summarize(reversed(comparisons))
    assert (summary.compared, sum(summary.statuses.values())) == (len(many), len(many))
    assert summary.flipped == sum(each.flips for each in comparisons) == sum(summary.rules.values())
