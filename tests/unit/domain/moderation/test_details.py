"""What a client is shown beside the verdict, and when asking again is worth it."""

from __future__ import annotations

import pytest

from shared.domain.moderation.details import MAX_NAMES, Name, details_of
from shared.domain.moderation.findings import (
    Count,
    Evidence,
    Gap,
    Likelihood,
    MediaKind,
    Part,
    Sighting,
    is_worth_asking_again,
)
from shared.domain.moderation.verdicts import judge
from shared.policies import load_profile

PROFILE = load_profile("balanced")


def seen(part: Part, name: str, confidence: float) -> Sighting:
    return Sighting(part, name, confidence, "vision-v1")


def test_what_was_seen_the_surest_first_and_scenes_as_the_profile_knows_them() -> None:
    evidence = Evidence(
        MediaKind.IMAGE,
        sightings=(
            seen(Part.OBJECTS, "Chair", 0.4),
            seen(Part.OBJECTS, "Handgun", 0.9),
            seen(Part.LABELS, "Nightclub", 0.7),
            seen(Part.LABELS, "Furniture", 0.8),
            seen(Part.LABELS, "safe-search: medical", 0.8),
        ),
        faces=Count(3, "vision-v1"),
        safe_search={"adult": Likelihood.LIKELY, "medical": Likelihood.LIKELY},
        logos=("Acme",),
        coverage=dict.fromkeys((Part.OBJECTS, Part.LABELS), 1.0),
    )
    found = details_of(evidence, judge(evidence, PROFILE))
    assert found.objects == (Name("Handgun", 0.9), Name("Chair", 0.4))
    assert found.labels == (Name("Furniture", 0.8), Name("Nightclub", 0.7))
    assert found.scenes == (Name("Nightclub", 0.7),)
    assert (found.faces, found.logos) == (3, ("Acme",))
    assert list(found.safe_search.items()) == [
        ("adult", Likelihood.LIKELY),
        ("violence", Likelihood.UNKNOWN),
        ("racy", Likelihood.UNKNOWN),
        ("spoof", Likelihood.UNKNOWN),
        ("medical", Likelihood.LIKELY),
    ]
    assert Part.ADULT in found.not_evaluated
    assert Part.OBJECTS not in found.not_evaluated


def test_of_nothing_nothing_is_shown_and_all_is_missing() -> None:
    evidence = Evidence(MediaKind.VIDEO)
    found = details_of(evidence, judge(evidence, PROFILE))
    assert (found.faces, found.objects, found.logos) == (None, (), ())
    assert found.not_evaluated == tuple(Part)


def test_of_many_names_the_surest_are_shown() -> None:
    sightings = tuple(seen(Part.OBJECTS, f"Thing {number}", number / 100) for number in range(2 * MAX_NAMES))
    evidence = Evidence(MediaKind.IMAGE, sightings=sightings)
    names = details_of(evidence, judge(evidence, PROFILE)).objects
    assert len(names) == MAX_NAMES
    assert names[0].name == f"Thing {2 * MAX_NAMES - 1}"


@pytest.mark.parametrize(
    ("gaps", "worth"),
    [
        ((), False),
        ((Gap(Part.ADULT, "not_available", "…"),), False),
        ((Gap(Part.ADULT, "not_available", "…"), Gap(Part.CATEGORIES, "unavailable", "…", tries=3)), True),
        ((Gap(Part.ADULT, "budget_exhausted", "…"),), True),
    ],
)
def test_asking_again_is_worth_it_where_a_gap_may_close(gaps: tuple[Gap, ...], worth: bool) -> None:
    assert is_worth_asking_again(gaps) is worth
