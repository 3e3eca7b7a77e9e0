"""Who loses every race asks to be tried again later, and nothing is stored; what is gone needs no erasing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from shared.domain.alerts import AlertEvent
from shared.domain.erasures import Erasure
from shared.domain.evidence_images import LinkMode
from shared.domain.evidence_views import Item, Purpose
from shared.domain.guards import Guard
from shared.domain.incident_steps import Acknowledge
from shared.domain.neighbourhoods import Stated
from shared.errors import AlreadyExists, NotPermitted, Retryable, VersionConflict
from shared.handlers import (
    answering,
    bundling,
    erasing,
    erasures,
    evidence,
    guard_registry,
    incident_actions,
    incident_records,
    legal_hold,
    notify,
    pushes,
    registering,
    webhook_posts,
    webhook_registry,
)
from shared.handlers.evidence_links import EvidenceLinks
from shared.messages import AlertDue, encode
from shared.ports import Caller, Delivery, Query, Role, Write
from shared.repositories import erasures as stored
from shared.repositories import guards, incidents, webhooks
from tests.handlers.alerting import AlertWorld
from tests.handlers.pipeline import ListBus, Pipeline

ADA = Caller("ada", Role.ADMIN)
ANA = Guard("ana", "Ana", ("gate",), tokens=("phone",))


class Late:
    """The store of somebody who always comes too late to write."""

    def __init__(self, documents: Any, error: Exception) -> None:
        self._documents = documents
        self._error = error

    def __getattr__(self, name: str) -> Any:
        return getattr(self._documents, name)

    def commit(self, writes: Sequence[Write]) -> None:
        raise self._error


@pytest.fixture
def world(pipeline: Pipeline, bus: ListBus) -> AlertWorld:
    made = AlertWorld(pipeline, bus)
    made.employ(ANA)
    return made


@pytest.fixture(
    params=[VersionConflict("another was first"), AlreadyExists("another was first")], ids=["changed", "made"]
)
def late(world: AlertWorld, request: pytest.FixtureRequest) -> Any:
    return Late(world.documents, request.param)


def giving(world: AlertWorld, late: Any) -> evidence.Deps:
    ids = world.signals.observe.ids
    links = EvidenceLinks(world.pipeline.media, LinkMode.SIGNED, "http://x")
    return evidence.Deps(late, world.clock, ids, links, world.pipeline.media)


def webhook_deps(world: AlertWorld, documents: Any) -> webhook_registry.Deps:
    return webhook_registry.Deps(documents, world.clock, world.bus, lambda url: url)


WANTED = webhook_registry.Wanted("https://example.com/hook", tuple(AlertEvent), None, active=True)

ATTEMPTS: dict[str, Callable[[AlertWorld, Any, incident_records.Deps, str, str], object]] = {
    "act": lambda w, late, deps, incident, _: incident_actions.act(
        incident, incident_actions.Order(Acknowledge(), ADA, "ada"), deps
    ),
    "accept": lambda w, late, deps, _, alert: answering.accept(answering.GuardsAnswer(alert, "ana", None, ADA), deps),
    "decline": lambda w, late, deps, _, alert: answering.decline(answering.GuardsAnswer(alert, "ana", None, ADA), deps),
    "register": lambda w, late, deps, _, __: registering.register(late, [Stated("yard", "Yard")]),
    "guard": lambda w, late, deps, _, __: guard_registry.put(replace(ANA, rank=1), None, late),
    "webhook": lambda w, late, deps, _, __: webhook_registry.put("hook", WANTED, webhook_deps(w, late)),
    "bundle": lambda w, late, deps, incident, _: bundling.begin(
        incident, ADA, "x", bundling.Deps(giving(w, late), w.bus)
    ),
}


@pytest.mark.parametrize("what", ATTEMPTS)
def test_who_always_comes_late_is_asked_to_try_again(what: str, world: AlertWorld, late: Any) -> None:
    alert = world.open()
    incident, version = world.incident(alert.incident_id)
    deps = incident_records.Deps(late, world.bus, world.clock)
    with pytest.raises(Retryable):
        ATTEMPTS[what](world, late, deps, incident.id, alert.id)
    assert world.incident(incident.id) == (incident, version)
    assert world.alert(alert) == alert


def test_a_hold_that_always_comes_late(world: AlertWorld) -> None:
    alert = world.open()
    deps = incident_records.Deps(Late(world.documents, VersionConflict("x")), world.bus, world.clock)
    with pytest.raises(Retryable):
        legal_hold.set_hold(alert.incident_id, True, "court", ADA, deps)
    assert not world.incident(alert.incident_id)[0].legal_hold


def test_an_erasure_that_always_comes_late(world: AlertWorld) -> None:
    signal_event = world.signal()
    deps = incident_records.Deps(Late(world.documents, VersionConflict("x")), world.bus, world.clock)
    wanted = erasures.Order("somebody", "asked", (), (), tuple(_event_ids(world)))
    with pytest.raises(Retryable):
        erasures.order(wanted, ADA, deps)
    with pytest.raises(NotPermitted):
        erasures.order(wanted, Caller("bo", Role.ADMIN, places=("gate",)), deps)
    assert world.incident(signal_event.id)[0].revision == 1


def _event_ids(world: AlertWorld) -> list[int]:
    return [int(document.id) for document in world.documents.query(Query(incidents.AI_EVENTS)).documents]


def test_no_link_without_its_view(world: AlertWorld) -> None:
    late = Late(world.documents, AlreadyExists("x"))
    with pytest.raises(Retryable):
        evidence.write_view("ada", Purpose.LINK, Item.IMAGE, "1", None, world.clock.now(), None, giving(world, late))


def test_an_alert_that_is_always_changed_by_others(world: AlertWorld) -> None:
    late: Any = Late(world.documents, VersionConflict("x"))
    alert = world.open()
    behind = replace(world.deps, documents=late)
    world.clock.advance(60)
    due = encode(AlertDue(alert_id=alert.id), message_id="m", now=world.clock.now())
    with pytest.raises(Retryable):
        notify.handle(Delivery("m", due.data, due.attributes), behind)
    assert world.alert(alert) == alert


def test_an_opening_that_others_always_begin(world: AlertWorld, late: Any) -> None:
    world.signal()
    (opened,) = [message for message in world.bus.messages if message.topic == "incident-opened"]
    with pytest.raises(Retryable):
        notify.handle(Delivery("m", opened.data, opened.attributes), replace(world.deps, documents=late))


def test_dead_tokens_of_a_guard_whom_others_change(world: AlertWorld) -> None:
    late: Any = Late(world.documents, VersionConflict("x"))
    pushes._forget("ana", ["phone"], late)
    pushes._forget("nobody", ["phone"], world.documents)
    pushes._forget("ana", ["another phone"], world.documents)
    assert guards.get(world.documents, "ana")[0].tokens == ("phone",)
    pushes._forget("ana", ["phone"], world.documents)
    assert guards.get(world.documents, "ana")[0].tokens == ()


def test_a_webhook_that_is_gone_or_changed_is_not_switched_off(world: AlertWorld) -> None:
    webhook_registry.put("hook", WANTED, webhook_deps(world, world.documents))
    late: Any = Late(world.documents, VersionConflict("x"))
    webhook_posts._switch_off("hook", late)
    webhook_posts._switch_off("nobody's", world.documents)
    found = webhooks.find(world.documents, "hook")
    assert found is not None
    assert found[0].active


def test_what_is_gone_is_erased_and_what_is_held_waits(world: AlertWorld) -> None:
    incident = world.signal()
    deps = incident_records.Deps(world.documents, world.bus, world.clock)
    (event,) = _event_ids(world)
    order = Erasure("e", "s", "d", "asked", "ada", world.clock.now(), ("gone",), (5,), (6, event), ())
    world.documents.commit([stored.creation(order)])
    erased = erasing.Deps(world.documents, world.pipeline.media, world.pipeline.media)
    legal_hold.set_hold(incident.id, True, "court", ADA, deps)
    document = world.documents.get(stored.COLLECTION, "e")
    assert document is not None
    assert erasing.go_on(order, document.version, world.clock.now(), erased) == "partly_erased"
    further = stored.get(world.documents, "e")
    assert further.waiting() == (f"ai_event:{event}",)
    document = world.documents.get(stored.COLLECTION, "e")
    assert document is not None
    assert erasing.go_on(further, document.version, world.clock.now(), erased) is None
