"""What may be done to an incident in which state, and what its timeline says of it: the table of SPEC §4."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain import incident_changes, incident_steps
from shared.domain.incident_changes import Action, Change, Refusal, sentence_of
from shared.domain.incident_steps import Acknowledge, Assign, Hold, Remark, Resolve, Start, Step
from shared.domain.incidents import Incident, IncidentStatus, Outcome, Priority
from shared.errors import Malformed
from shared.records import from_data, to_data

OPENED = datetime(2026, 1, 16, 10, 0, tzinfo=UTC)
CREATED = Incident("i-1", "gate", "Front gate", IncidentStatus.CREATED, Priority.HIGH, OPENED)
ASSIGNED = replace(CREATED, status=IncidentStatus.ASSIGNED, assignee="anna", revision=2, changed_at=OPENED)
IN_PROGRESS = replace(ASSIGNED, status=IncidentStatus.IN_PROGRESS, revision=3)
RESOLVED = replace(
    IN_PROGRESS,
    status=IncidentStatus.RESOLVED,
    revision=4,
    outcome=Outcome.ESCALATED,
    resolution_note="police",
    resolved_at=OPENED,
)
STATES = (CREATED, ASSIGNED, IN_PROGRESS, RESOLVED)

TO_ANNA, TO_BEN, TO_NOBODY = Assign("anna"), Assign("ben"), Assign(None)
RESOLVE = Resolve(Outcome.RESOLVED, "it is over")
ILLEGAL, OVER, SAME = Refusal.ILLEGAL_TRANSITION, Refusal.ALREADY_RESOLVED, Refusal.NOTHING_TO_CHANGE
NEW, ASS, PRO, RES = IncidentStatus

TABLE: Mapping[Step, tuple[IncidentStatus | Refusal, ...]] = {
    #            CREATED  ASSIGNED IN_PROGRESS RESOLVED
    Acknowledge(): (NEW, ASS, PRO, OVER),
    TO_ANNA: (ASS, SAME, ASS, OVER),
    TO_BEN: (ASS, ASS, ASS, OVER),
    TO_NOBODY: (SAME, NEW, ILLEGAL, OVER),
    Start(): (ILLEGAL, PRO, ILLEGAL, OVER),
    RESOLVE: (RES, RES, RES, OVER),
    Remark("seen on camera 2"): (NEW, ASS, PRO, RES),
    Hold(True, "court order"): (NEW, ASS, PRO, RES),
    Hold(False, "court order"): (SAME, SAME, SAME, SAME),
}


def taken(step: Step, incident: Incident, seconds: float = 60) -> Change | Refusal:
    return incident_steps.take(step, incident, OPENED + timedelta(seconds=seconds), actor="olga")


def change(step: Step, incident: Incident, seconds: float = 60) -> Change:
    made = taken(step, incident, seconds)
    assert isinstance(made, Change)
    return made


@pytest.mark.parametrize(
    ("step", "incident", "expected"),
    [(step, state, end) for step, row in TABLE.items() for state, end in zip(STATES, row, strict=True)],
)
def test_every_step_in_every_state(step: Step, incident: Incident, expected: IncidentStatus | Refusal) -> None:
    made = taken(step, incident)
    assert (made.incident.status if isinstance(made, Change) else made) == expected


def test_the_transitions_are_those_of_the_specification() -> None:
    assert {NEW: {ASS, RES}, ASS: {PRO, NEW, RES}, PRO: {ASS, RES}, RES: set()} == incident_changes.TRANSITIONS


def test_a_change_says_who_did_what_and_when_and_just_what_differs() -> None:
    made = change(Assign("anna", "on shift"), CREATED)
    assert made.entry == incident_changes.TimelineEntry(
        incident_id="i-1",
        beacon_id="gate",
        number=2,
        at=OPENED + timedelta(seconds=60),
        actor="olga",
        action=Action.ASSIGNED,
        before={"status": NEW, "assignee": None},
        after={"status": ASS, "assignee": "anna"},
        note="on shift",
    )
    assert (made.incident.revision, made.incident.changed_at) == (2, made.entry.at)


def test_going_to_another_person_leaves_the_state_out_of_the_entry() -> None:
    entry = change(TO_BEN, ASSIGNED).entry
    assert (entry.before, entry.after) == ({"assignee": "anna"}, {"assignee": "ben"})


def test_back_to_nobody_has_a_name_of_its_own() -> None:
    made = change(TO_NOBODY, ASSIGNED)
    assert (made.entry.action, made.incident.assignee) == (Action.UNASSIGNED, None)


def test_a_resolution_keeps_what_it_turned_out_to_be_and_who_had_it() -> None:
    incident = change(Resolve(Outcome.FALSE_ALARM, "a rehearsal"), IN_PROGRESS).incident
    assert (incident.outcome, incident.resolution_note) == (Outcome.FALSE_ALARM, "a rehearsal")
    assert (incident.assignee, incident.resolved_at) == ("anna", incident.changed_at)


@pytest.mark.parametrize("step", [Resolve(Outcome.RESOLVED, " \n"), Remark(""), Hold(True, "\t")])
def test_some_steps_need_a_note(step: Step) -> None:
    assert taken(step, CREATED) is Refusal.NOTE_NEEDED


def test_only_the_first_acknowledgement_counts() -> None:
    first = change(Acknowledge(), CREATED).incident
    assert (first.acknowledged_by, first.acknowledged_at) == ("olga", first.changed_at)
    assert taken(Acknowledge(), first) is SAME


def test_a_clock_that_lags_behind_does_not_turn_the_order_around() -> None:
    first = change(Acknowledge(), CREATED, seconds=60)
    second = change(RESOLVE, first.incident, seconds=59)
    assert second.entry.at == first.entry.at
    assert second.incident.resolved_at == second.incident.changed_at == first.entry.at
    assert change(TO_ANNA, CREATED, seconds=-5).entry.at == OPENED


@pytest.mark.parametrize(
    ("refusal", "incident", "sentence"),
    [
        (ILLEGAL, CREATED, "An incident that is CREATED can only become ASSIGNED or RESOLVED."),
        (ILLEGAL, IN_PROGRESS, "An incident that is IN_PROGRESS can only become ASSIGNED or RESOLVED."),
        (OVER, RESOLVED, "The incident is RESOLVED, which is final; notes may still be added."),
        (SAME, CREATED, "The incident is so already: nothing would change."),
        (Refusal.NOTE_NEEDED, CREATED, "A note is needed."),
    ],
)
def test_a_refusal_says_why(refusal: Refusal, incident: Incident, sentence: str) -> None:
    assert sentence_of(refusal, incident) == sentence


@pytest.mark.parametrize(
    "step",
    [
        Remark("x" * 2000),
        Remark("two\nlines,\ta tab and ünïcode"),
        Assign("x" * 100),
        Assign(None),
        Start(),
        Acknowledge("on it"),
    ],
)
def test_texts_that_may_be_kept(step: Step) -> None:
    incident_steps.check(step)


@pytest.mark.parametrize(
    ("step", "code"),
    [
        (Remark("x" * 2001), "invalid_note"),
        (Remark(" "), "invalid_note"),
        (Remark("bell \x07"), "invalid_note"),
        (Remark("turned around \u202e"), "invalid_note"),
        (Remark("half a pair \ud800"), "invalid_note"),
        (Acknowledge(""), "invalid_note"),
        (Assign(""), "invalid_assignee"),
        (Assign("anna\nben"), "invalid_assignee"),
        (Assign("x" * 101), "invalid_assignee"),
        (Assign("anna", "\x00"), "invalid_note"),
    ],
)
def test_texts_that_may_not(step: Step, code: str) -> None:
    with pytest.raises(Malformed) as caught:
        incident_steps.check(step)
    assert caught.value.code == code


NOTES = st.sampled_from(["seen", "checked"])
STEPS: st.SearchStrategy[Step] = st.one_of(
    st.builds(Acknowledge, st.none() | NOTES),
    st.builds(Assign, st.none() | st.sampled_from(["anna", "ben"]), st.none() | NOTES),
    st.builds(Start, st.none() | NOTES),
    st.builds(Resolve, st.sampled_from(Outcome), NOTES),
    st.builds(Remark, NOTES),
    st.builds(Hold, st.booleans(), NOTES),
)


@given(st.lists(st.tuples(STEPS, st.floats(-600, 600)), max_size=25))
def test_any_sequence_leaves_a_whole_timeline(ordered: list[tuple[Step, float]]) -> None:
    """Whatever is asked for, at whatever times: no gap, no jump, no change of what is over."""
    opening = incident_changes.opened(CREATED, actor="sightline", details={})
    incident, entries, clock = opening.incident, [opening.entry], OPENED
    for step, seconds in ordered:
        clock += timedelta(seconds=seconds)
        made = incident_steps.take(step, incident, clock, actor="olga")
        if isinstance(made, Refusal):
            continue
        assert _shown(incident, made.entry.before) == made.entry.before
        assert _shown(made.incident, made.entry.after) == made.entry.after
        _check_transition(incident, made.incident)
        incident, entries = made.incident, [*entries, made.entry]
    assert [entry.number for entry in entries] == list(range(1, incident.revision + 1))
    assert all(earlier.at <= later.at for earlier, later in pairwise(entries))
    assert _replayed(entries[1:]) == incident
    assert from_data(Incident, to_data(incident)) == incident


def _shown(incident: Incident, fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: getattr(incident, name) for name in fields}


def _check_transition(before: Incident, after: Incident) -> None:
    if before.status is RES:
        assert (after.status, after.outcome, after.resolved_at) == (RES, before.outcome, before.resolved_at)
        assert after.assignee == before.assignee
    if before.status is not after.status:
        assert after.status in incident_changes.TRANSITIONS[before.status]
    over = after.status is RES
    assert [after.outcome is not None, bool(after.resolution_note), after.resolved_at is not None] == [over] * 3
    assert (after.assignee is not None) >= (after.status in {ASS, PRO})


def _replayed(entries: list[incident_changes.TimelineEntry]) -> Incident:
    """The incident as the timeline alone tells it."""
    incident = CREATED
    for entry in entries:
        incident = replace(incident, **entry.after, revision=entry.number, changed_at=entry.at)
    return incident
