"""What follows from what administrators say of beacons."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from shared.domain.incidents import Beacon
from shared.domain.neighbourhoods import MAX_NEIGHBOURS, Stated, applied, crowded, problems_of, unknown_neighbours

PRESENT = {
    "gate": Beacon("gate", "Gate", True, ("hall", "yard")),
    "hall": Beacon("hall", "Hall", True, ("gate",)),
    "yard": Beacon("yard", "Yard", True, ("gate",)),
}


def near(after: dict[str, Beacon]) -> dict[str, tuple[str, ...]]:
    return {id: beacon.neighbours for id, beacon in after.items()}


def test_who_names_a_neighbour_becomes_its_neighbour_and_who_drops_one_loses_it_both_ways() -> None:
    after = applied([Stated("hall", "Hall", neighbours=("yard",))], PRESENT)
    assert near(after) == {"gate": ("yard",), "hall": ("yard",), "yard": ("gate", "hall")}


def test_what_is_left_out_stays_as_it_is() -> None:
    closed = {**PRESENT, "hall": Beacon("hall", "Hall", False, ("gate",))}
    after = applied([Stated("hall", "Great hall")], closed)
    assert after["hall"] == Beacon("hall", "Great hall", False, ("gate",))
    assert applied([Stated("new", "New")], {})["new"] == Beacon("new", "New", True)


def test_of_two_that_are_spoken_of_one_naming_the_other_is_enough() -> None:
    after = applied([Stated("hall", "Hall", neighbours=()), Stated("gate", "Gate", neighbours=("hall",))], PRESENT)
    assert near(after) == {"gate": ("hall",), "hall": ("gate",), "yard": ()}


def test_unknown_neighbours_are_named() -> None:
    stated = [Stated("new", "New", neighbours=("gate", "other", "gone"), line=2), Stated("other", "Other", line=3)]
    (problem,) = unknown_neighbours(stated, PRESENT)
    assert (problem.line, problem.sentence) == (2, "There is no beacon 'gone' to be a neighbour.")


def test_a_neighbour_that_is_full_is_named() -> None:
    ring = {f"b{number}": Beacon(f"b{number}", "B", True, ("hub",)) for number in range(MAX_NEIGHBOURS)}
    hub = Beacon("hub", "Hub", True, tuple(ring))
    stated = [Stated("new", "New", neighbours=("hub",), line=7)]
    (problem,) = crowded(stated, applied(stated, {**ring, "hub": hub}))
    assert (problem.line, problem.sentence) == (7, "The beacon 'hub' would have more than 10 neighbours.")


def test_ids_that_no_device_could_report_are_refused() -> None:
    for id in ("", " ", "gate ", "a\nb", "x" * 257):
        assert problems_of(Stated(id, "Gate")), id
        assert problems_of(Stated("gate", "Gate", neighbours=(id,))), id
    assert problems_of(Stated("safe:uuid/402:402", "Gate", neighbours=("é 漢",))) == []


names = st.sampled_from("abcdef")
sayings = st.lists(
    st.builds(
        lambda id, near: Stated(id, id, None, tuple(one for one in near if one != id)),
        names,
        st.lists(names, max_size=4),
    ),
    max_size=6,
    unique_by=lambda one: one.id,
)


@given(st.lists(sayings, max_size=4))
def test_neighbourhood_always_goes_both_ways(files: list[list[Stated]]) -> None:
    beacons = {id: Beacon(id, id, True) for id in "abcdef"}
    for stated in files:
        beacons = applied(stated, beacons)
        for id, beacon in beacons.items():
            assert all(id in beacons[neighbour].neighbours for neighbour in beacon.neighbours)
        for one in stated:
            assert set(one.neighbours or ()) <= set(beacons[one.id].neighbours)
        assert applied(stated, beacons) == beacons
