"""The log of deliveries: what is still to be tried, and what became of everything, as pages."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from infra import topology
from shared.adapters.embedded.documents import SqliteDocuments
from shared.domain.alerts import AlertDelivery, AlertEvent, Channel, DeliveryState, delivery_id
from shared.errors import AlreadyExists, VersionConflict
from shared.ports import Documents
from shared.repositories import deliveries
from tests.fakes import NOON

ALERT = "inc-1:High"


@pytest.fixture
def documents(tmp_path: Path) -> Iterator[Documents]:
    store = SqliteDocuments(tmp_path / "documents.sqlite3", topology.load().document_indexes())
    yield store
    store.close()


def planned(target: str, *, seconds: int = 0, channel: Channel = Channel.PUSH, alert: str = ALERT) -> AlertDelivery:
    moment = NOON + timedelta(seconds=seconds)
    return AlertDelivery(
        id=delivery_id(alert, AlertEvent.OPENED, channel, target, 1),
        alert_id=alert,
        incident_id="inc-1",
        event=AlertEvent.OPENED,
        channel=channel,
        target=target,
        created_at=moment,
        due=moment,
        round=1,
    )


def stored(documents: Documents, delivery: AlertDelivery) -> tuple[AlertDelivery, str]:
    documents.commit([deliveries.creation(delivery)])
    found = deliveries.find(documents, delivery.id)
    assert found is not None
    return found


def test_what_is_planned_twice_is_one_delivery(documents: Documents) -> None:
    stored(documents, planned("ann"))
    with pytest.raises(AlreadyExists):
        documents.commit([deliveries.creation(planned("ann"))])


def test_of_two_who_claim_a_delivery_one_has_it(documents: Documents) -> None:
    delivery, version = stored(documents, planned("ann"))
    until = NOON + timedelta(seconds=30)
    taken = deliveries.claimed(delivery, NOON, until)
    documents.commit([deliveries.update(taken, version)])
    with pytest.raises(VersionConflict):
        documents.commit([deliveries.update(taken, version)])
    assert (taken.attempts, taken.due, taken.claimed_until, taken.last_attempt_at) == (1, until, until, NOON)


def test_the_pending_ones_of_an_alert_come_by_due_time_and_no_others(documents: Documents) -> None:
    for delivery in (planned("late", seconds=9), planned("soon"), planned("other", alert="inc-2:High")):
        stored(documents, delivery)
    done, version = stored(documents, planned("done"))
    documents.commit([deliveries.update(_sent(done), version)])
    assert [one.target for one, _ in deliveries.pending_of(documents, ALERT)] == ["soon", "late"]


def test_the_log_of_an_alert_and_of_a_target_come_in_pages_newest_first(documents: Documents) -> None:
    for second, target in enumerate(["a", "b", "c"]):
        stored(documents, planned(target, seconds=second))
    stored(documents, planned("a", seconds=5, alert="inc-2:High"))
    stored(documents, planned("a", seconds=7, channel=Channel.WEBHOOK, alert="inc-2:High"))

    first, cursor = deliveries.of_alert(documents, ALERT, limit=2)
    second_page, end = deliveries.of_alert(documents, ALERT, limit=2, cursor=cursor)
    assert [one.target for one in [*first, *second_page]] == ["c", "b", "a"]
    assert end is None
    of_a, _ = deliveries.of_target(documents, Channel.PUSH, "a")
    assert [one.alert_id for one in of_a] == ["inc-2:High", ALERT]


def _sent(delivery: AlertDelivery) -> AlertDelivery:
    return replace(delivery, state=DeliveryState.SENT)
