"""What is kept of many sightings, and what two looks say together."""

from __future__ import annotations

import json
import random

from hypothesis import given
from hypothesis import strategies as st

from shared.domain.moderation.findings import Evidence, Gap, MediaKind, Part, combined, strongest
from shared.records import from_data, to_data
from tests.unit.domain.moderation.evidence import SIGHTINGS, evidences, label, object_seen


@given(st.lists(SIGHTINGS, max_size=20), st.randoms(use_true_random=False), st.integers(1, 10))
def test_the_strongest_do_not_depend_on_the_order(
    sightings: list[object], shuffler: random.Random, at_most: int
) -> None:
    shuffled = list(sightings)
    shuffler.shuffle(shuffled)

    kept = strongest(sightings, at_most)  # type: ignore[arg-type]

    assert kept == strongest(shuffled, at_most)  # type: ignore[arg-type]
    assert strongest(kept, at_most) == kept


def test_a_flood_of_labels_does_not_drive_out_the_one_weapon() -> None:
    flood = [label(f"label {number}", 0.99) for number in range(1000)]

    kept = strongest([*flood, object_seen("Gun", 0.55)])

    assert len(kept) == 300
    assert object_seen("Gun", 0.55) in kept


@given(evidences(), evidences())
def test_nothing_that_either_look_saw_is_lost(first: Evidence, second: Evidence) -> None:
    both = combined(first, second)

    for sighting in (*first.sightings, *second.sightings):
        kept = [each for each in both.sightings if (each.part, each.name) == (sighting.part, sighting.name)]
        assert max(each.confidence for each in kept) >= sighting.confidence
    assert all(both.covered(part) == max(first.covered(part), second.covered(part)) for part in Part)


def test_a_gap_that_the_other_look_filled_is_closed() -> None:
    gaps = (Gap(Part.ADULT, "not_available", "Nobody looks here."), Gap(Part.SHOTS, "not_counted", "Nobody counts."))
    first = Evidence(MediaKind.VIDEO, gaps=gaps)
    second = Evidence(MediaKind.VIDEO, coverage={Part.ADULT: 1.0, Part.SHOTS: 0.5}, gaps=gaps[:1])

    assert combined(first, second).gaps == gaps[1:]


@given(evidences())
def test_evidence_survives_the_store(seen: Evidence) -> None:
    assert from_data(Evidence, json.loads(json.dumps(to_data(seen)))) == seen
