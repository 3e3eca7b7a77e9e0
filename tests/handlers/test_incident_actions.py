"""People act on incidents: one step a commit, each with its timeline entry and its news, whoever else acts."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

from shared.domain.assets import Asset
from shared.domain.incident_changes import Action
from shared.domain.incident_steps import Acknowledge, Assign, Remark, Resolve, Start, Step
from shared.domain.incidents import Beacon, Incident, IncidentStatus, Observation, Outcome, Priority, SignalKind
from shared.domain.labels import Accuracy, FeedbackLabel, Label
from shared.errors import Conflict, Malformed, NotFound, Retryable
from shared.handlers import incident_actions, signals
from shared.handlers.incident_actions import ActionRefused, Order, Result
from shared.handlers.incident_records import Deps
from shared.outbox import PATIENCE, publish_pending
from shared.ports import Caller, Role, Write
from shared.repositories import assets, beacons, idempotency, incident_timelines, incidents, labels
from tests.handlers.pipeline import ListBus, Pipeline, run_through

OLGA = Caller("olga", Role.OPERATOR)
RESOLVE = Resolve(Outcome.RESOLVED, "it is over")


@pytest.fixture
def deps(pipeline: Pipeline, bus: ListBus) -> Deps:
    return Deps(pipeline.documents, bus, pipeline.clock)


@pytest.fixture
def incident(pipeline: Pipeline, bus: ListBus) -> Incident:
    return opened(pipeline, bus)


def opened(pipeline: Pipeline, bus: ListBus, place: str = "gate", kind: SignalKind = SignalKind.VIOLENCE) -> Incident:
    beacons.put(pipeline.documents, Beacon(place, "Front gate", active=True))
    seen = Observation(kind, place, 0.9, "seen", "device-1")
    made = signals.report(seen, signals.Deps(pipeline.observe_deps(), bus)).plan.incident
    assert made is not None
    return made


def act(incident: Incident, step: Step, deps: Deps, *, revision: int | None = None, caller: Caller = OLGA) -> Incident:
    return incident_actions.act(incident.id, Order(step, caller, caller.name, revision), deps)


def numbers(incident: Incident, deps: Deps) -> list[int]:
    entries, _ = incident_timelines.of_incident(deps.documents, incident.id, limit=1000)
    return [entry.number for entry in entries]


def news(bus: ListBus) -> list[dict[str, Any]]:
    return [json.loads(message.data) for message in bus.of_topic("incident-changed")]


def test_a_step_is_stored_with_its_entry_and_told(incident: Incident, deps: Deps, bus: ListBus) -> None:
    after = act(incident, Assign("anna", "on shift"), deps)
    assert incidents.get(deps.documents, incident.id) == after
    assert (after.status, after.assignee, after.revision) == (IncidentStatus.ASSIGNED, "anna", 2)
    entries, _ = incident_timelines.of_incident(deps.documents, incident.id, limit=10)
    assert [(entry.number, entry.action, entry.actor) for entry in entries] == [
        (1, Action.OPENED, "device-1"),
        (2, Action.ASSIGNED, "olga"),
    ]
    assert news(bus) == [
        {
            "incident_id": incident.id,
            "beacon_id": "gate",
            "previous_priority": "Critical",
            "priority": "Critical",
            "signal_id": None,
            "change": "assigned",
            "revision": 2,
            "actor": "olga",
            "status": "ASSIGNED",
            "assignee": "anna",
        }
    ]


def test_the_way_of_an_incident(incident: Incident, deps: Deps) -> None:
    steps: list[Step] = [Acknowledge(), Assign("anna"), Start(), Remark("two people"), RESOLVE, Remark("report sent")]
    for step in steps:
        after = act(incident, step, deps)
    assert (after.status, after.outcome, after.revision) == (IncidentStatus.RESOLVED, Outcome.RESOLVED, 7)
    assert numbers(incident, deps) == [1, 2, 3, 4, 5, 6, 7]


def test_a_refused_step_changes_nothing_and_shows_the_incident(incident: Incident, deps: Deps, bus: ListBus) -> None:
    with pytest.raises(ActionRefused) as caught:
        act(incident, Start(), deps)
    assert (caught.value.code, caught.value.status) == ("illegal_transition", 409)
    assert caught.value.incident == incidents.get(deps.documents, incident.id) == incident
    assert (numbers(incident, deps), news(bus)) == ([1], [])


def test_who_saw_an_older_revision_is_refused(incident: Incident, deps: Deps) -> None:
    act(incident, Assign("anna"), deps, revision=1)
    with pytest.raises(ActionRefused) as caught:
        act(incident, Assign("ben"), deps, revision=1)
    assert caught.value.code == "stale"
    assert caught.value.incident.assignee == "anna"
    assert caught.value.sentence == "The incident is at revision 2 by now, not 1: look at it again."


def test_who_names_a_revision_that_never_was_is_refused(incident: Incident, deps: Deps) -> None:
    with pytest.raises(ActionRefused, match="stale"):
        act(incident, Start(), deps, revision=99)


def test_a_step_that_was_taken_is_not_taken_again(incident: Incident, deps: Deps) -> None:
    act(incident, RESOLVE, deps)
    with pytest.raises(ActionRefused) as caught:
        act(incident, RESOLVE, deps)
    assert caught.value.code == "already_resolved"
    assert numbers(incident, deps) == [1, 2]


def test_a_note_that_cannot_be_kept_is_refused_before_anything_is_read(deps: Deps) -> None:
    nowhere = Order(Remark("\x00"), OLGA, "olga")
    with pytest.raises(Malformed):
        incident_actions.act("nowhere", nowhere, deps)


@pytest.mark.parametrize("incident_id", ["nowhere", "", "x" * 2000])
def test_what_is_not_there_cannot_be_acted_on(incident_id: str, deps: Deps) -> None:
    with pytest.raises(NotFound):
        incident_actions.act(incident_id, Order(Start(), OLGA, "olga"), deps)


def test_incidents_of_other_places_are_not_there(incident: Incident, deps: Deps) -> None:
    guest = Caller("otto", Role.OPERATOR, places=("yard",))
    with pytest.raises(NotFound):
        act(incident, RESOLVE, deps, caller=guest)
    assert act(incident, RESOLVE, deps, caller=Caller("otto", Role.OPERATOR, ("gate",))).status == "RESOLVED"


def test_a_bus_that_is_away_loses_neither_step_nor_news(
    incident: Incident, deps: Deps, bus: ListBus, pipeline: Pipeline
) -> None:
    bus.failing = Retryable("away")
    assert act(incident, Assign("anna"), deps).assignee == "anna"
    bus.failing = None
    pipeline.clock.advance(PATIENCE.total_seconds())
    publish_pending(deps.documents, bus, pipeline.clock.now())
    assert [told["change"] for told in news(bus)] == ["assigned"]


def test_a_store_that_fails_leaves_no_half_step(
    incident: Incident, deps: Deps, bus: ListBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: Sequence[Write]) -> None:
        raise Retryable("away")

    with monkeypatch.context() as patched:
        patched.setattr(deps.documents, "commit", fail)
        with pytest.raises(Retryable):
            act(incident, RESOLVE, deps)
    assert incidents.get(deps.documents, incident.id) == incident
    assert (numbers(incident, deps), news(bus)) == ([1], [])


def keyed(incident: Incident, step: Step, deps: Deps, *, key: str = "k", actor: str = "olga") -> Incident:
    return incident_actions.act(incident.id, Order(step, OLGA, actor, None, key), deps)


def test_the_same_key_takes_a_step_once(incident: Incident, deps: Deps, bus: ListBus) -> None:
    first = keyed(incident, Remark("two people"), deps)
    act(incident, Assign("anna"), deps)
    again = keyed(incident, Remark("two people"), deps)
    assert (first.revision, again.revision, again.assignee) == (2, 3, "anna")
    assert numbers(incident, deps) == [1, 2, 3]
    assert [told["change"] for told in news(bus)] == ["noted", "assigned"]


def test_a_resolution_is_answered_again_under_its_key(incident: Incident, deps: Deps) -> None:
    assert keyed(incident, RESOLVE, deps) == keyed(incident, RESOLVE, deps)


@pytest.mark.parametrize("step", [Remark("three people"), Acknowledge("two people")])
def test_another_step_under_the_same_key_is_refused(step: Step, incident: Incident, deps: Deps) -> None:
    keyed(incident, Remark("two people"), deps)
    with pytest.raises(Conflict, match="key_reused"):
        keyed(incident, step, deps)


def test_a_key_is_its_actors_own_and_lasts_a_day(incident: Incident, deps: Deps, pipeline: Pipeline) -> None:
    keyed(incident, Remark("seen"), deps)
    assert keyed(incident, Remark("seen"), deps, actor="otto").revision == 3
    pipeline.clock.advance(24 * 3600)
    assert keyed(incident, Remark("seen"), deps).revision == 4
    assert keyed(incident, Remark("seen"), deps).revision == 4
    pipeline.clock.advance(25 * 3600)
    assert idempotency.remove_expired(deps.documents, pipeline.clock.now()) == 2


def test_a_refused_step_leaves_its_key_free(incident: Incident, deps: Deps) -> None:
    with pytest.raises(ActionRefused):
        keyed(incident, Start(), deps)
    act(incident, Assign("anna"), deps)
    assert keyed(incident, Start(), deps).status is IncidentStatus.IN_PROGRESS


def test_a_commit_whose_answer_was_lost_is_not_repeated(
    incident: Incident, deps: Deps, monkeypatch: pytest.MonkeyPatch
) -> None:
    working = deps.documents.commit

    def lose_the_answer(writes: Sequence[Write]) -> None:
        working(writes)
        raise Retryable("nobody heard")

    with monkeypatch.context() as patched:
        patched.setattr(deps.documents, "commit", lose_the_answer)
        with pytest.raises(Retryable):
            keyed(incident, Remark("seen"), deps)
    assert keyed(incident, Remark("seen"), deps).revision == 2


RACERS = 32


def at_once(work: Callable[[int], object]) -> list[object]:
    """What became of each of the racers, who begin together: what they got, or the error's code."""
    start = threading.Barrier(RACERS)

    def race(number: int) -> object:
        start.wait()
        try:
            return work(number)
        except ActionRefused as error:
            return error.code

    with ThreadPoolExecutor(RACERS) as pool:
        return list(pool.map(race, range(RACERS)))


def test_of_many_who_start_at_once_one_does(incident: Incident, deps: Deps, bus: ListBus) -> None:
    act(incident, Assign("anna"), deps)
    ends = at_once(lambda _: act(incident, Start(), deps).status.value)
    assert Counter(ends) == {"IN_PROGRESS": 1, "illegal_transition": RACERS - 1}
    assert numbers(incident, deps) == [1, 2, 3]
    assert [told["change"] for told in news(bus)] == ["assigned", "started"]


def test_of_many_who_saw_the_same_revision_one_acts(incident: Incident, deps: Deps) -> None:
    ends = at_once(lambda number: act(incident, Assign(f"guard {number}"), deps, revision=1).revision)
    assert Counter(ends) == {2: 1, "stale": RACERS - 1}


def test_the_same_key_at_once_is_one_step(incident: Incident, deps: Deps) -> None:
    ends = at_once(lambda _: keyed(incident, RESOLVE, deps).revision)
    assert ends == [2] * RACERS
    assert numbers(incident, deps) == [1, 2]


def test_many_notes_at_once_are_all_kept(incident: Incident, deps: Deps, bus: ListBus) -> None:
    """They name no revision, so nobody is refused because somebody else was faster."""
    revisions = at_once(lambda number: act(incident, Remark(f"note {number}"), deps).revision)
    assert Counter(revisions) == Counter(range(2, RACERS + 2))
    entries, _ = incident_timelines.of_incident(deps.documents, incident.id, limit=1000)
    assert [entry.number for entry in entries] == list(range(1, RACERS + 2))
    assert {entry.note for entry in entries[1:]} == {f"note {number}" for number in range(RACERS)}
    assert sorted(told["revision"] for told in news(bus)) == list(range(2, RACERS + 2))


def test_signals_and_steps_at_once_leave_a_whole_timeline(pipeline: Pipeline, bus: ListBus, deps: Deps) -> None:
    """The priority rises while operators act: nothing is lost on either side."""
    incident = opened(pipeline, bus, kind=SignalKind.SCREAM)
    grave = Observation(SignalKind.VIOLENCE, "gate", 0.9, "seen", "device-2")

    def mixed(number: int) -> object:
        if number % 2:
            return signals.report(grave, signals.Deps(pipeline.observe_deps(), bus)).plan.reason.value
        return act(incident, Remark("seen"), deps).status.value

    assert len(at_once(mixed)) == RACERS
    after = incidents.get(deps.documents, incident.id)
    assert after.priority is Priority.CRITICAL
    assert numbers(incident, deps) == list(range(1, after.revision + 1))
    assert after.revision == 1 + 1 + RACERS // 2
    assert incidents.signal_count(deps.documents, incident.id) == 1 + RACERS // 2


def each(ids: Sequence[str], step: Step, deps: Deps) -> list[Result]:
    return incident_actions.act_on_each(ids, Order(step, OLGA, "olga"), deps)


def test_several_at_once_each_on_its_own(pipeline: Pipeline, bus: ListBus, deps: Deps) -> None:
    first, second, third = (opened(pipeline, bus, place) for place in ("gate", "yard", "hall"))
    act(second, RESOLVE, deps)
    results = each([first.id, second.id, "nowhere", third.id, first.id], RESOLVE, deps)
    assert [result.incident_id for result in results] == [first.id, second.id, "nowhere", third.id]
    assert [result.error is None for result in results] == [True, False, False, True]
    assert isinstance(results[1].error, ActionRefused)
    assert isinstance(results[2].error, NotFound)
    assert results[1].incident == incidents.get(deps.documents, second.id)
    assert {incidents.get(deps.documents, one.id).status.value for one in (first, second, third)} == {"RESOLVED"}


@pytest.mark.parametrize("error", [Retryable("away"), OSError("disk")])
def test_a_store_that_fails_once_fails_one_of_several(
    error: Exception, pipeline: Pipeline, bus: ListBus, deps: Deps, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = [opened(pipeline, bus, place).id for place in ("gate", "yard")]
    working = deps.documents.commit

    def fail_one(writes: Sequence[Write]) -> None:
        if any(write.id == ids[0] for write in writes):
            raise error
        working(writes)

    monkeypatch.setattr(deps.documents, "commit", fail_one)
    results = each(ids, Acknowledge(), deps)
    assert isinstance(results[0].error, Retryable)
    assert results[1].error is None


def analysed(pipeline: Pipeline, bus: ListBus, word: str) -> Asset:
    asset_id, notification = pipeline.upload(word)
    run_through(pipeline, bus, notification)
    return pipeline.asset(asset_id)


def labels_of(asset: Asset, deps: Deps) -> list[FeedbackLabel]:
    return labels.newest(deps.documents, asset.id, limit=10)[0]


def test_a_false_alarm_teaches_the_detector(pipeline: Pipeline, bus: ListBus, deps: Deps) -> None:
    fight, calm = analysed(pipeline, bus, "fight"), analysed(pipeline, bus, "calm")
    incident = incidents.get(deps.documents, fight.incident_ids[0])
    after = act(incident, Resolve(Outcome.FALSE_ALARM, "a rehearsal"), deps)
    (label,) = labels_of(fight, deps)
    assert (label.label, label.accuracy, label.rating) == (Label.CALM, Accuracy.FALSE_POSITIVE, None)
    assert (label.incident_id, label.created_by, label.comments) == (incident.id, "olga", "a rehearsal")
    assert label.created_at == after.resolved_at
    assert labels_of(calm, deps) == []


@pytest.mark.parametrize("outcome", [Outcome.RESOLVED, Outcome.ESCALATED])
def test_other_outcomes_teach_nothing(outcome: Outcome, pipeline: Pipeline, bus: ListBus, deps: Deps) -> None:
    fight = analysed(pipeline, bus, "fight")
    act(incidents.get(deps.documents, fight.incident_ids[0]), Resolve(outcome, "so it was"), deps)
    assert labels_of(fight, deps) == []


def test_an_upload_that_is_calm_by_now_teaches_nothing(pipeline: Pipeline, bus: ListBus, deps: Deps) -> None:
    fight = analysed(pipeline, bus, "fight")
    incident = incidents.get(deps.documents, fight.incident_ids[0])
    assert fight.detection is not None
    nothing = replace(fight.detection, segments=(), peak_probability=0.1)
    deps.documents.commit([assets.detection_update(fight.id, nothing)])
    assert act(incident, Resolve(Outcome.FALSE_ALARM, "a rehearsal"), deps).outcome is Outcome.FALSE_ALARM
    assert labels_of(fight, deps) == []
