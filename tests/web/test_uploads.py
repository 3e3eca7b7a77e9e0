"""POST /video/upload-url and POST /video/analyze over real stores: what is bound, stored, refused and started."""

from __future__ import annotations

import json
from typing import Any

import pytest
from fastapi.testclient import TestClient

from local.home import Home, bucket_name
from shared.domain.stages import Stage, StageRecord, StageState
from shared.messages import ObjectFinalised, decode_finalised, notification_of
from shared.ports import Delivery
from shared.repositories import assets
from tests.fakes import NOON

UPLOAD_URL = "/video/upload-url"


def ticket_of(client: TestClient, **asked: Any) -> dict[str, Any]:
    reply = client.post(UPLOAD_URL, json=asked)
    assert reply.status_code == 200, reply.text
    body: dict[str, Any] = reply.json()
    return body


def upload(client: TestClient, content: bytes = b"video", **asked: Any) -> str:
    """Sends a file as its ticket says; gives its id."""
    ticket = ticket_of(client, **asked)
    target = ticket["upload_url"]
    if ticket["resumable"]:
        started = client.post(target, headers=ticket["headers"])
        assert started.status_code == 201, started.text
        target = started.headers["location"]
    sent = client.put(target, content=content, headers={} if ticket["resumable"] else ticket["headers"])
    assert sent.status_code == 200, sent.text
    video_id: str = ticket["video_id"]
    return video_id


class TestUploadUrl:
    @pytest.mark.parametrize("resumable", [False, True])
    def test_the_signature_binds_type_size_absence_and_metadata(
        self, client: TestClient, home: Home, resumable: bool
    ) -> None:
        ticket = ticket_of(
            client, content_type="video/webm", source_id="Tor 7, ü", metadata={"shift": "night"}, resumable=resumable
        )
        assert ticket["method"] == ("POST" if resumable else "PUT")
        assert ticket["resumable"] is resumable
        assert assets.get(home.documents, ticket["video_id"]).resumable is resumable
        assert ticket["headers"] == {
            "content-type": "video/webm",
            "x-goog-content-length-range": "1,5368709120",
            "x-goog-if-generation-match": "0",
            "x-goog-meta-shift": "night",
            "x-goog-meta-source-id": "UTF-8''Tor%207%2C%20%C3%BC",
            **({"x-goog-resumable": "start"} if resumable else {}),
        }
        for header, other in [
            ("content-type", "video/mp4"),
            ("x-goog-content-length-range", "1,5368709121"),
            ("x-goog-if-generation-match", "1"),
            ("x-goog-meta-shift", "day"),
            ("x-goog-meta-source-id", "gate"),
        ]:
            for headers in ({**ticket["headers"], header: other}, _without(ticket["headers"], header)):
                refused = client.request(ticket["method"], ticket["upload_url"], headers=headers, content=b"x")
                assert refused.status_code in {400, 403}, header

    @pytest.mark.parametrize("resumable", [False, True])
    def test_it_is_for_one_byte_to_five_gigabytes_once(self, client: TestClient, home: Home, resumable: bool) -> None:
        ticket = ticket_of(client, resumable=resumable)
        headers = ticket["headers"]
        target = ticket["upload_url"]
        if resumable:
            target, headers = client.post(target, headers=headers).headers["location"], {}
        assert client.put(target, content=b"", headers=headers).status_code == 400
        huge = {**headers, "content-length": str(5 * 2**30 + 1)}
        assert client.put(target, content=b"x", headers=huge).status_code == 400
        assert home.media.stat(f"media/{ticket['video_id']}") is None
        assert client.put(target, content=b"x", headers=headers).status_code == 200
        again = client.request(ticket["method"], ticket["upload_url"], content=b"y", headers=ticket["headers"])
        assert again.status_code == 412

    @pytest.mark.parametrize("resumable", [False, True])
    def test_source_and_metadata_travel_with_the_object_and_are_shown(
        self, client: TestClient, home: Home, resumable: bool
    ) -> None:
        metadata = {"shift": "night", "note": "Treppe, ü  2"}
        video_id = upload(client, source_id="入口", metadata=metadata, resumable=resumable)
        shown = client.get(f"/analysis/{video_id}").json()
        assert (shown["source_id"], shown["metadata"]) == ("入口", metadata)
        stored = home.media.stat(f"media/{video_id}")
        assert stored is not None
        assert stored.metadata == {
            "source-id": "UTF-8''%E5%85%A5%E5%8F%A3",
            "shift": "night",
            "note": "UTF-8''Treppe%2C%20%C3%BC%20%202",
        }

    def test_the_instructions_of_a_session_say_how_to_go_on(self, client: TestClient) -> None:
        text = " ".join(ticket_of(client, resumable=True)["instructions"])
        assert all(word in text for word in ("POST", "Location", "Content-Range: bytes */SIZE", "256 KiB", "308"))
        assert "Location" not in " ".join(ticket_of(client)["instructions"])

    @pytest.mark.parametrize(
        ("asked", "status"),
        [
            ({"metadata": {f"k{number}": "v" for number in range(17)}}, 400),
            ({"metadata": {"Upper": "v"}}, 400),
            ({"metadata": {"x" * 41: "v"}}, 400),
            ({"metadata": {"": "v"}}, 400),
            ({"metadata": {"-k": "v"}}, 400),
            ({"metadata": {"under_score": "v"}}, 400),
            ({"metadata": {"k": ""}}, 400),
            ({"metadata": {"k": "v" * 257}}, 400),
            ({"metadata": {"k": "a\r\nx-goog-acl: public-read"}}, 400),
            ({"metadata": {"k": "\u0000"}}, 400),
            ({"metadata": {"k": 7}}, 400),
            ({"metadata": {"source-id": "gate"}}, 400),
            ({"metadata": ["k"]}, 400),
            ({"metadata": {f"k{number}": "ü" * 256 for number in range(16)}}, 413),
            ({"resumable": "perhaps"}, 400),
        ],
    )
    def test_metadata_that_cannot_travel_is_refused(
        self, client: TestClient, asked: dict[str, Any], status: int
    ) -> None:
        reply = client.post(UPLOAD_URL, json=asked)
        assert (reply.status_code, type(reply.json()["detail"])) == (status, str)

    def test_the_most_metadata_there_may_be_is_taken(self, client: TestClient) -> None:
        metadata = {f"{number:040d}": "v" * 256 for number in range(16)}
        video_id = upload(client, metadata=metadata, source_id="s" * 256)
        assert client.get(f"/analysis/{video_id}").json()["metadata"] == metadata


def _without(headers: dict[str, str], name: str) -> dict[str, str]:
    return {key: value for key, value in headers.items() if key != name}


class TestAnalyze:
    def test_an_unknown_video_and_one_not_uploaded_are_told_apart(self, client: TestClient) -> None:
        unknown = client.post("/video/analyze", json={"video_id": "nothing"})
        assert (unknown.status_code, "no video of this id" in unknown.json()["detail"]) == (404, True)
        waiting = client.post("/video/analyze", json={"video_id": ticket_of(client)["video_id"]})
        assert (waiting.status_code, "not complete yet" in waiting.json()["detail"]) == (404, True)

    @pytest.mark.parametrize(
        "body",
        [b"", b"{", b"[]", b"{}", b'{"video_id": 7}', b'{"video_id": ""}', b'{"video_id": "x", "strict_mode": "yes"}'],
    )
    def test_malformed_requests_are_400(self, client: TestClient, body: bytes) -> None:
        reply = client.post("/video/analyze", content=body, headers={"Content-Type": "application/json"})
        assert (reply.status_code, type(reply.json()["detail"])) == (400, str)

    def test_ids_no_store_can_hold_are_400(self, client: TestClient) -> None:
        assert client.post("/video/analyze", json={"video_id": "x" * 2000}).status_code == 400

    def test_the_task_is_the_upload_and_strictness_is_kept(self, client: TestClient, home: Home) -> None:
        video_id = upload(client)
        for strict in (True, True, False):
            reply = client.post("/video/analyze", json={"video_id": video_id, "strict_mode": strict})
            assert reply.status_code == 202
            assert reply.json() == {
                "task_id": video_id,
                "video_id": video_id,
                "state": "processing",
                "strict_mode": strict,
                "status_url": f"/video/status/{video_id}",
            }
            assert assets.get(home.documents, video_id).strict_mode is strict
        assert client.get(reply.json()["status_url"]).status_code == 200

    @pytest.mark.parametrize(
        ("asked", "then", "kept"), [(True, None, True), (True, False, False), (False, None, False)]
    )
    def test_who_does_not_say_how_strictly_leaves_what_was_asked_for_with_the_upload(
        self, client: TestClient, home: Home, asked: bool, then: bool | None, kept: bool
    ) -> None:
        video_id = upload(client, strict_mode=asked)
        assert assets.get(home.documents, video_id).strict_mode is asked
        reply = client.post("/video/analyze", json={"video_id": video_id, "strict_mode": then})
        assert (reply.json()["strict_mode"], assets.get(home.documents, video_id).strict_mode) == (kept, kept)

    def test_a_lost_notification_is_published_again(self, client: TestClient, home: Home) -> None:
        video_id = upload(client, source_id="入口")
        home.folder.deliver_notifications(lambda _: None)  # it is lost on the way
        client.post("/video/analyze", json={"video_id": video_id})
        leased = home.queue.pull("ingest-on-media-finalised")
        assert leased is not None
        stored = home.media.stat(f"media/{video_id}")
        assert stored is not None
        assert decode_finalised(leased.delivery) == ObjectFinalised(
            bucket=bucket_name("media"), name=stored.name, generation=stored.generation, source_id="入口"
        )

    @pytest.mark.parametrize("state", list(StageState))
    def test_what_has_begun_is_not_started_again(self, client: TestClient, home: Home, state: StageState) -> None:
        video_id = upload(client)
        home.documents.commit([assets.stage_update(video_id, Stage.INGEST, StageRecord(state, 1, NOON))])
        reply = client.post("/video/analyze", json={"video_id": video_id})
        assert reply.status_code == 202
        assert reply.json()["state"] == client.get(f"/video/status/{video_id}").json()["state"]
        assert home.queue.pull("ingest-on-media-finalised") is None


def test_our_notification_means_the_same_as_the_buckets(home: Home, client: TestClient) -> None:
    video_id = upload(client, source_id="gate ü")
    (announced,) = _announcements(home)
    buckets = decode_finalised(Delivery("1", announced.data, announced.attributes))
    assert buckets is not None
    ours = notification_of(buckets)
    assert decode_finalised(Delivery("2", ours.data, ours.attributes)) == buckets
    assert (buckets.name, buckets.source_id) == (f"media/{video_id}", "gate ü")
    shared = set(ours.attributes) & set(announced.attributes)
    assert {name: ours.attributes[name] for name in shared} == {name: announced.attributes[name] for name in shared}
    assert set(json.loads(ours.data)) <= set(json.loads(announced.data))


def _announcements(home: Home) -> list[Any]:
    found: list[Any] = []
    home.folder.deliver_notifications(found.append)
    return found
