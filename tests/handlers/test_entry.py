"""The edge of the event functions: every form of push, and every broken one."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared import entry
from shared.delivery import REJECTED, StageRunner
from shared.errors import Malformed, NotFound, Retryable, VersionConflict
from shared.handlers import detect
from shared.messages import MediaUploaded
from shared.ports import Delivery, Query
from tests.handlers.pipeline import LEASE, ListBus, Pipeline

DATA = {"asset_id": "a", "bucket": "b", "object_name": "media/a", "generation": 1, "duration": 2.0}
ENCODED = base64.b64encode(json.dumps(DATA).encode()).decode()
WRAPPED = {"message": {"data": ENCODED, "messageId": "7", "attributes": {"ce-type": "media-uploaded.v1"}}}
CE = {"ce-id": "e1", "ce-source": "//x", "ce-specversion": "1.0"}


def body(value: object) -> bytes:
    return json.dumps(value).encode()


class TestDecodePush:
    def test_the_pubsub_envelope_with_its_attempt(self) -> None:
        envelope = {**WRAPPED, "subscription": "s", "deliveryAttempt": 3}
        delivery = entry.decode_push({"content-type": "application/json"}, body(envelope))
        assert (delivery.message_id, delivery.attempt) == ("7", 3)
        assert json.loads(delivery.data) == DATA
        assert delivery.attributes == {"ce-type": "media-uploaded.v1"}

    def test_an_envelope_without_data_or_attributes(self) -> None:
        delivery = entry.decode_push({}, body({"message": {"messageId": "7"}}))
        assert (delivery.data, delivery.attributes) == (b"", {})

    def test_an_unwrapped_push_arrives_as_a_binary_cloud_event(self) -> None:
        headers = {**CE, "Ce-Type": "media-uploaded.v1", "traceparent": "00-x", "Host": "x"}
        delivery = entry.decode_push(headers, body(DATA))
        assert delivery.message_id == "e1"
        assert delivery.attributes["ce-type"] == "media-uploaded.v1"
        assert "host" not in delivery.attributes

    def test_a_pubsub_event_in_a_cloud_event(self) -> None:
        headers = {**CE, "ce-type": "google.cloud.pubsub.topic.v1.messagePublished"}
        assert entry.decode_push(headers, body(WRAPPED)).message_id == "7"
        structured = {"specversion": "1.0", "id": "e", "type": headers["ce-type"], "data": WRAPPED}
        assert entry.decode_push({}, body(structured)).message_id == "7"

    def test_a_storage_event_in_a_structured_cloud_event(self) -> None:
        event = {"specversion": "1.0", "id": "e", "type": "google.cloud.storage.object.v1.finalized", "data": {"a": 1}}
        delivery = entry.decode_push({}, body(event))
        assert json.loads(delivery.data) == {"a": 1}
        assert delivery.attributes["ce-type"].endswith("finalized")

    @pytest.mark.parametrize(
        "broken",
        [
            b"",
            b"\xff",
            b"null",
            b"[" * 100_000,
            body([]),
            body({}),
            body({"message": 1}),
            body({"message": {}}),
            body({"message": {"messageId": 7}}),
            body({"message": {"messageId": "7", "data": "%%%"}}),
            body({"message": {"messageId": "7", "data": 5}}),
            body({"message": {"messageId": "7", "attributes": {"a": 1}}}),
            body({"message": {"messageId": "7", "attributes": []}, "deliveryAttempt": "x"}),
            body({"specversion": "1.0", "type": "x"}),
            b" " * (entry.MAX_BODY_BYTES + 1),
        ],
    )
    def test_what_is_no_push_is_malformed(self, broken: bytes) -> None:
        with pytest.raises(Malformed):
            entry.decode_push({}, broken)

    @given(st.binary(max_size=300))
    def test_no_bytes_raise_anything_else(self, data: bytes) -> None:
        try:
            entry.decode_push({}, data)
        except Malformed:
            return

    @given(
        st.recursive(
            st.none() | st.booleans() | st.text() | st.integers(),
            lambda c: (
                st.lists(c)
                | st.dictionaries(
                    st.sampled_from(["message", "data", "messageId", "attributes", "specversion", "id", "type"]), c
                )
            ),
            max_leaves=8,
        )
    )
    def test_no_json_raises_anything_else(self, value: Any) -> None:
        try:
            entry.decode_push({}, body(value))
        except Malformed:
            return


@pytest.fixture
def function(pipeline: Pipeline, bus: ListBus) -> entry.EventFunction[MediaUploaded, detect.Deps]:
    runner = StageRunner(pipeline.documents, bus, pipeline.clock, LEASE)
    return entry.EventFunction(detect.consumer, pipeline.detect_deps(), runner)


Detect = entry.EventFunction[MediaUploaded, detect.Deps]


class TestEventFunction:
    def test_success_acknowledges(self, function: Detect, pipeline: Pipeline, bus: ListBus) -> None:
        _, notification = pipeline.upload("fight")
        pipeline.handlers()["ingest"](notification)
        sent = bus.messages[0]
        message = {
            "messageId": "7",
            "data": base64.b64encode(sent.data).decode(),
            "attributes": dict(sent.attributes),
        }
        assert function.answer({}, body({"message": message})) == ("", 204)
        assert len(bus.of_topic("media-detected")) == 1

    def test_a_broken_envelope_is_recorded_once_and_acknowledged(self, function: Detect, pipeline: Pipeline) -> None:
        assert function.answer({}, b"broken") == ("", 204)
        assert function.answer({}, b"broken") == ("", 204)
        rejected = pipeline.documents.query(Query(REJECTED)).documents
        assert [document.data["code"] for document in rejected] == ["not_json"]

    def test_a_retryable_error_asks_for_redelivery(self, function: Detect, pipeline: Pipeline, bus: ListBus) -> None:
        asset_id, notification = pipeline.upload("fight")
        pipeline.handlers()["ingest"](notification)
        sent = bus.messages[0]
        message = {"messageId": "7", "data": base64.b64encode(sent.data).decode()}
        pipeline.detector.detect = _raise_os_error  # type: ignore[method-assign, assignment]
        assert function.answer({}, body({"message": message})) == ("", 500)
        bus.failing = Retryable("away")
        del pipeline.detector.detect
        assert function.answer({}, body({"message": message})) == ("", 503)
        assert pipeline.asset(asset_id).detection is not None


def _raise_os_error(_: object) -> None:
    raise OSError("disk")


class TestScheduledFunction:
    @pytest.fixture
    def ticks(self) -> list[str]:
        return []

    @pytest.fixture
    def scheduled(self, pipeline: Pipeline, ticks: list[str]) -> entry.ScheduledFunction:
        return entry.ScheduledFunction("chore", lambda: ticks.append("tick"), pipeline.documents, pipeline.clock)

    @pytest.mark.parametrize("data", ["", "e30=", base64.b64encode(b"anything").decode()])
    def test_whatever_the_message_says_it_is_time(
        self, data: str, scheduled: entry.ScheduledFunction, ticks: list[str]
    ) -> None:
        assert scheduled.answer({}, body({"message": {"messageId": "7", "data": data}})) == ("", 204)
        assert ticks == ["tick"]

    def test_a_failure_is_acknowledged_because_the_next_tick_comes_sooner(
        self, scheduled: entry.ScheduledFunction
    ) -> None:
        failing = replace(scheduled, perform=lambda: _raise_os_error(None))
        assert failing.answer({}, body({"message": {"messageId": "7"}})) == ("", 204)

    def test_a_broken_envelope_is_recorded_once_and_acknowledged(
        self, scheduled: entry.ScheduledFunction, pipeline: Pipeline, ticks: list[str]
    ) -> None:
        assert scheduled.answer({}, b"broken") == scheduled.answer({}, b"broken") == ("", 204)
        rejected = pipeline.documents.query(Query(REJECTED)).documents
        assert [(d.data["stage"], d.data["code"]) for d in rejected] == [("chore", "not_json")]
        assert ticks == []

    def test_a_broken_envelope_that_cannot_be_recorded_comes_again(
        self, scheduled: entry.ScheduledFunction, pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(pipeline.documents, "commit", _unavailable)
        assert scheduled.answer({}, b"broken") == ("", 503)


class TestNewsFunction:
    """Messages of any topic, each handed to one function."""

    @pytest.fixture
    def heard(self) -> list[Delivery]:
        return []

    @pytest.fixture
    def news(self, pipeline: Pipeline, heard: list[Delivery]) -> entry.NewsFunction:
        return entry.NewsFunction("caller", heard.append, pipeline.documents, pipeline.clock)

    def test_what_was_handled_is_acknowledged(self, news: entry.NewsFunction, heard: list[Delivery]) -> None:
        assert news.answer({}, body(WRAPPED)) == ("", 204)
        assert [(one.message_id, json.loads(one.data)) for one in heard] == [("7", DATA)]

    def test_what_no_retry_can_mend_is_recorded_once_and_acknowledged(
        self, news: entry.NewsFunction, pipeline: Pipeline
    ) -> None:
        refusing = replace(news, handle=_refuse)
        assert refusing.answer({}, body(WRAPPED)) == refusing.answer({}, body(WRAPPED)) == ("", 204)
        assert news.answer({}, b"broken") == ("", 204)
        rejected = pipeline.documents.query(Query(REJECTED)).documents
        assert sorted((d.data["stage"], d.data["code"]) for d in rejected) == [
            ("caller", "not_json"),
            ("caller", "unknown_alert"),
        ]

    @pytest.mark.parametrize(("raised", "status"), [(Retryable("away"), 503), (VersionConflict("lost"), 500)])
    def test_whatever_else_goes_wrong_asks_for_redelivery(
        self, raised: Exception, status: int, news: entry.NewsFunction, pipeline: Pipeline
    ) -> None:
        def fail(_: Delivery) -> None:
            raise raised

        assert replace(news, handle=fail).answer({}, body(WRAPPED)) == ("", status)
        assert pipeline.documents.count(Query(REJECTED)) == 0


def _refuse(_: Delivery) -> None:
    raise NotFound("unknown_alert", "No such alert.")


def _unavailable(_: object) -> None:
    raise Retryable("away")
