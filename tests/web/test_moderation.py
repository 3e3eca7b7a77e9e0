"""POST /moderate and its neighbours over real stores, pictures and videos; only the witnesses say what a test wants."""

from __future__ import annotations

import base64
import io
import json
import threading
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import pytest
from fastapi.testclient import TestClient
from PIL import Image, ImageDraw, ImageFont

from local.home import Home
from shared import policies
from shared.domain.assets import DIRECT_PREFIX
from shared.domain.moderation.in_force import InForce
from shared.errors import Retryable
from shared.handlers import media_sources, moderation_batch, witnesses
from shared.ports import Feature, ImageAnnotation, Query, Seen, Update, Write
from shared.repositories import verdict_cache
from shared.web import app as web
from shared.web import moderation, shadows
from shared.web import verdict_cache as cache_routes
from tests.contract.media_servers import MediaServer, fetcher, ok, serving
from tests.fakes import ManualClock
from tests.handlers.scripted_witnesses import SAFE, ScriptedAnnotator, ScriptedText, failure, innocent
from tests.unit.detection.videos import encode, moving_square

GUN = replace(innocent(), objects=(Seen("Handgun", 0.93), Seen("Person", 0.5)))


def picture(shade: int = 120, kind: str = "PNG") -> bytes:
    page = io.BytesIO()
    Image.new("L", (64, 48), shade).save(page, kind)
    return page.getvalue()


def inline(data: bytes) -> str:
    return f"data:application/octet-stream;base64,{base64.b64encode(data).decode()}"


@dataclass
class Desk:
    """The routes with scripted witnesses, and what they were asked."""

    home: Home
    images: ScriptedAnnotator = field(default_factory=ScriptedAnnotator)
    clock: ManualClock | None = None
    servers: tuple[MediaServer, ...] = ()
    changes: Mapping[str, Any] = field(default_factory=dict)

    def deps(self) -> moderation_batch.Deps:
        own = self.home.moderation_deps()
        cache = replace(own.cache, clock=self.clock) if self.clock else own.cache
        sources = media_sources.Deps(fetcher(*self.servers), own.sources.media, own.sources.shelves)
        seeing = witnesses.Deps(self.images, ScriptedText(), own.witnesses.patterns)
        return replace(own, sources=sources, witnesses=seeing, cache=cache, **self.changes)

    def client(self) -> TestClient:
        deps = self.deps()
        routers = [
            moderation.router(lambda: deps),
            cache_routes.router(lambda: deps.cache),
            shadows.router(lambda: deps.cache, deps.profiles.shadow),
        ]
        return TestClient(web.create_app(routers, access=None), raise_server_exceptions=False)


@pytest.fixture
def desk(home: Home) -> Desk:
    """Witnesses that see nothing bad."""
    return Desk(home)


def moderate(client: TestClient, *urls: str, **options: Any) -> dict[str, Any]:
    reply = client.post("/moderate", json={"media_list": [{"url": url} for url in urls], **options})
    assert reply.status_code == 200, reply.text
    body: dict[str, Any] = reply.json()
    assert body["total_processed"] == len(urls) == len(body["results"])
    statuses = [result["status"] for result in body["results"]]
    assert body["total_passed"] == statuses.count("PASS")
    assert body["total_failed"] == len(urls) - statuses.count("PASS")
    assert body["total_errors"] == statuses.count("ERROR")
    return body


def one(client: TestClient, url: str, **options: Any) -> dict[str, Any]:
    (result,) = moderate(client, url, **options)["results"]
    assert isinstance(result, dict)
    return result


class TestReply:
    def test_a_harmless_picture_passes_with_the_sources_fields(self, desk: Desk) -> None:
        reply = desk.client().post(
            "/moderate",
            json={"media_list": [{"url": inline(picture()), "type": "image", "id": "img_001"}], "strict_mode": False},
        )
        (result,) = reply.json()["results"]
        assert list(result)[:6] == [
            "media_id",
            "status",
            "confidence",
            "reasons",
            "processing_time_ms",
            "analysis_details",
        ]
        assert (result["media_id"], result["status"], result["cached"]) == ("img_001", "PASS", False)
        assert result["reasons"] == ["No inappropriate content detected"]
        assert result["confidence"] == pytest.approx(1.0)
        assert result["error"] is None
        assert result["analysis_details"] == {
            "safe_search": {
                "adult": "VERY_UNLIKELY",
                "adult_confidence": 1,
                "violence": "VERY_UNLIKELY",
                "violence_confidence": 1,
                "racy": "VERY_UNLIKELY",
                "racy_confidence": 1,
                "spoof": "VERY_UNLIKELY",
                "spoof_confidence": 1,
                "medical": "VERY_UNLIKELY",
                "medical_confidence": 1,
            },
            "detected_objects": [{"name": "Chair", "confidence": 0.9}],
            "faces_detected": 0,
            "top_labels": [{"label": "Furniture", "confidence": 0.9}],
            "scene_labels": [],
            "detected_logos": [],
            "not_evaluated": [],
        }

    def test_a_weapon_fails_with_its_receipt(self, desk: Desk) -> None:
        desk.images.answer = lambda _: GUN
        result = one(desk.client(), inline(picture()))
        assert result["status"] == "FAIL"
        assert "Handgun" in result["reasons"][0]
        receipt = result["receipt"]
        assert receipt["rule"] == "clear_finding"
        assert receipt["score"] == pytest.approx(sum(finding["contribution"] for finding in receipt["findings"]))
        assert receipt["flip"]["to"] == "PASS"
        assert result["profile"] == f"balanced {receipt['profile_version']}"

    def test_what_nobody_could_look_at_is_not_shown_as_clean(self, desk: Desk) -> None:
        desk.images.unable = {feature: "Not here." for feature in Feature if feature is not Feature.TEXT}
        result = one(desk.client(), inline(picture()))
        details = result["analysis_details"]
        assert result["status"] == "PASS"
        assert result["confidence"] < 0.5
        assert (details["safe_search"]["adult"], details["safe_search"]["adult_confidence"]) == ("UNKNOWN", 0)
        assert details["faces_detected"] is None
        assert "safe_search.adult" in details["not_evaluated"]
        assert {gap["part"] for gap in result["receipt"]["not_evaluated"]} == set(details["not_evaluated"])

    def test_an_item_about_which_nobody_can_say_anything_is_an_error_with_its_receipt(self, desk: Desk) -> None:
        desk.images.answer = lambda _: ImageAnnotation(error=failure("quota_exceeded"))
        client = desk.client()
        for _ in range(2):  # it is not cached either
            result = one(client, inline(picture()))
            assert (result["status"], result["cached"]) == ("ERROR", False)
            assert (result["error"]["code"], result["error"]["status"]) == ("not_evaluated", 429)
            assert result["receipt"]["status"] == "ERROR"
            assert result["confidence"] == 0
        assert len(desk.images.asked) == 2

    def test_strict_mode_asks_the_strict_profile(self, desk: Desk) -> None:
        desk.images.answer = lambda _: replace(innocent(), safe_search={**SAFE, "adult": "UNLIKELY"})
        client = desk.client()
        assert one(client, inline(picture()))["status"] == "PASS"
        strict = one(client, inline(picture()), strict_mode=True)
        assert (strict["status"], strict["cached"]) == ("FAIL", False)  # another profile is another verdict
        assert strict["profile"].startswith("strict ")

    def test_every_frame_of_an_animation_is_looked_at(self, desk: Desk) -> None:
        page = io.BytesIO()
        shades = [Image.new("L", (64, 48), 40 * number) for number in range(4)]
        shades[0].save(page, "GIF", save_all=True, append_images=shades[1:], duration=100)
        desk.images.answer = lambda number: GUN if number == 3 else innocent()
        assert one(desk.client(), inline(page.getvalue()))["status"] == "FAIL"


class TestBatch:
    def test_results_have_the_order_asked_and_errors_are_each_items_own(self, desk: Desk) -> None:
        delays = {str(number): 0.05 * (9 - number) for number in range(10)}

        def script(connection: Any) -> None:
            number = script.server.requests[-1].split(b" ")[1].decode().strip("/")  # type: ignore[attr-defined]
            connection.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n" if number == "4" else b"")
            time.sleep(delays.get(number, 0))
            connection.sendall(ok(picture(int(number))))

        with serving(script) as server:
            script.server = server  # type: ignore[attr-defined]
            desk.servers = (server,)
            items = [{"url": server.url(f"/{number}"), "id": f"m{number}"} for number in range(10)]
            items[7]["url"] = "http://169.254.169.254/latest"
            body = desk.client().post("/moderate", json={"media_list": items}).json()
        assert [result["media_id"] for result in body["results"]] == [f"m{number}" for number in range(10)]
        wrong = {result["media_id"]: result["error"]["status"] for result in body["results"] if result["error"]}
        assert wrong == {"m4": 404, "m7": 400}
        assert (body["total_passed"], body["total_failed"], body["total_errors"]) == (8, 2, 2)

    def test_fifty_at_once_are_taken_and_one_more_is_not(self, desk: Desk) -> None:
        client = desk.client()
        urls = [inline(picture(number)) for number in range(51)]
        assert moderate(client, *urls[:50])["total_passed"] == 50
        refused = client.post("/moderate", json={"media_list": [{"url": url} for url in urls]})
        assert refused.status_code == 400
        assert "at most 50 items" in refused.json()["detail"]

    def test_duplicates_in_a_batch_cost_one_analysis_and_keep_their_names(self, desk: Desk) -> None:
        client = desk.client()
        items = [{"url": inline(picture()), "id": name} for name in "abc"]
        body = client.post("/moderate", json={"media_list": items, "cache_results": True}).json()
        assert [result["media_id"] for result in body["results"]] == ["a", "b", "c"]
        assert len(desk.images.asked) == 1
        assert client.delete("/cache/c").json() == {"deleted": 1}

    def test_the_same_content_at_two_urls_costs_one_analysis(self, desk: Desk) -> None:
        with serving(ok(picture())) as server:
            desk.servers = (server,)
            body = moderate(desk.client(), *(server.url(f"/{number}") for number in range(8)))
        assert len(desk.images.asked) == 1
        assert sorted(result["cached"] for result in body["results"]) == [False] + [True] * 7

    def test_items_that_are_too_slow_are_errors_and_hold_up_nobody(self, desk: Desk) -> None:
        released = threading.Event()

        def slow(connection: Any) -> None:
            released.wait(10)

        with serving(slow) as server:
            desk.servers = (server,)
            desk.changes = {"concurrency": 2, "seconds": 1.0}
            began = time.monotonic()
            body = moderate(desk.client(), server.url("/1"), *(inline(picture(n)) for n in range(5)))
            took = time.monotonic() - began
            released.set()
        assert took < 4
        assert body["results"][0]["error"] == {
            "code": "timeout",
            "status": 408,
            "detail": "The request's time was over before this item was done.",
        }
        assert [result["status"] for result in body["results"][1:]] == ["PASS"] * 5

    def test_more_batches_than_there_is_room_for_are_told_to_come_again(self, desk: Desk) -> None:
        release = threading.Event()

        def slow(_: int) -> ImageAnnotation:
            release.wait(10)
            return innocent()

        desk.images.answer = slow
        client = desk.client()
        with ThreadPoolExecutor(moderation.MAX_REQUESTS) as pool:
            under_way = [pool.submit(one, client, inline(picture(n))) for n in range(moderation.MAX_REQUESTS)]
            while len(desk.images.asked) < moderation.MAX_REQUESTS:
                time.sleep(0.01)
            refused = client.post("/moderate", json={"media_list": [{"url": inline(picture(99))}]})
            release.set()
            assert {result.result()["status"] for result in under_way} == {"PASS"}
        assert (refused.status_code, refused.headers["Retry-After"]) == (503, "1")
        assert one(client, inline(picture(99)))["status"] == "PASS"

    def test_a_store_that_is_away_is_each_items_503(self, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
        def away(*_: Any) -> list[Any]:
            raise Retryable("secret host away")

        client = desk.client()
        monkeypatch.setattr(desk.home.documents, "get_many", away)
        result = one(client, inline(picture()))
        assert result["error"] == {
            "code": "unavailable",
            "status": 503,
            "detail": "Temporarily unavailable, please try again.",
        }

    def test_a_mistake_of_ours_is_a_500_that_says_nothing(self, desk: Desk) -> None:
        def broken(_: int) -> ImageAnnotation:
            raise ZeroDivisionError("secret")

        desk.images.answer = broken
        reply = desk.client().post("/moderate", json={"media_list": [{"url": inline(picture())}]})
        assert reply.json()["results"][0]["error"]["status"] == 500
        assert "secret" not in reply.text


class TestRequests:
    @pytest.mark.parametrize(
        ("body", "says"),
        [
            ({"media_list": []}, "at least 1 item"),
            ({}, "media_list: Field required"),
            ({"media_list": "x"}, "media_list"),
            ({"media_list": [{}]}, "media_list.0.url: Field required"),
            ({"media_list": [{"url": ""}]}, "media_list.0.url"),
            ({"media_list": [{"url": 7}]}, "media_list.0.url"),
            ({"media_list": [{"url": "data:,x", "type": "audio"}]}, "'image' or 'video'"),
            ({"media_list": [{"url": "data:,x"}], "strict_mode": "yes"}, "strict_mode"),
            ({"media_list": [{"url": "data:,x"}], "cache_results": 1}, "cache_results"),
            ({"media_list": [{"url": "data:,x", "id": "a"}, {"url": "data:,y", "id": "a"}]}, "'a' is given to more"),
            ({"media_list": [{"url": "data:,x", "id": "\n"}]}, "printable"),
            ({"media_list": [{"url": "data:,x", "id": "x" * 201}]}, "printable"),
        ],
    )
    def test_a_malformed_batch_is_refused_as_a_whole(self, body: Any, says: str, desk: Desk) -> None:
        reply = desk.client().post("/moderate", json=body)
        assert reply.status_code == 400
        assert says in reply.json()["detail"]

    @pytest.mark.parametrize(
        "body", [b"", b"{", b"[]", b"null", b"[" * 100_000, b'{"media_list": [{"url": "\xff"}]}', b"NaN"]
    )
    def test_hostile_json_is_a_400_in_a_sentence(self, body: bytes, desk: Desk) -> None:
        reply = desk.client().post("/moderate", content=body, headers={"Content-Type": "application/json"})
        assert reply.status_code == 400
        assert isinstance(reply.json()["detail"], str)

    def test_a_lone_surrogate_is_that_items_error(self, desk: Desk) -> None:
        content = b'{"media_list": [{"url": "http://example.com/\\ud800"}]}'
        reply = desk.client().post("/moderate", content=content, headers={"Content-Type": "application/json"})
        assert reply.status_code in {200, 400}
        assert b"Traceback" not in reply.content

    def test_a_body_over_the_limit_is_refused_declared_or_not(self, desk: Desk) -> None:
        client = desk.client()
        large = b" " * (moderation.MAX_REQUEST_BYTES + 1)
        assert client.post("/moderate", content=large).status_code == 413
        chunks = iter([large])
        assert client.post("/moderate", content=chunks).status_code == 413

    @pytest.mark.parametrize(
        ("url", "status", "code"),
        [
            ("ftp://example.com/a.jpg", 400, "scheme_refused"),
            ("http://127.0.0.2/a.jpg", 400, "host_refused"),
            ("gs://sightline-media/quarantine/1", 403, "access_denied"),
            ("gs://sightline-media/media/absent", 404, "not_found"),
            ("data:image/png;base64,####", 400, "data_url_invalid"),
            (inline(b"<html>"), 400, "unsupported_format"),
            (inline(picture()[:60]), 400, "damaged_picture"),
            (inline(b"\x00\x00\x00\x18ftypisom" + bytes(99)), 400, None),
            (inline(picture().ljust(10 * 1024 * 1024 + 1, b"\0")), 413, "image_too_large"),
        ],
        ids=["scheme", "loopback", "denied", "absent", "base64", "html", "damaged", "no video", "large"],
    )
    def test_each_items_error_has_a_status_and_a_sentence(
        self, url: str, status: int, code: str | None, desk: Desk
    ) -> None:
        result = one(desk.client(), url)
        assert result["status"] == "ERROR"
        assert result["error"]["status"] == status
        assert code is None or result["error"]["code"] == code
        assert result["reasons"] == [result["error"]["detail"]]
        assert result["receipt"] is None


class TestCache:
    def test_the_second_time_is_cached_and_says_the_same(self, desk: Desk) -> None:
        desk.images.answer = lambda _: GUN
        client = desk.client()
        first, second = one(client, inline(picture())), one(client, inline(picture()))
        assert (first.pop("cached"), second.pop("cached")) == (False, True)
        for result in (first, second):
            result.pop("processing_time_ms")
            result.pop("media_id")
        assert first == second
        assert len(desk.images.asked) == 1

    def test_many_hits_without_an_id_crowd_out_no_clients_own(self, desk: Desk) -> None:
        client = desk.client()
        client.post("/moderate", json={"media_list": [{"url": inline(picture()), "id": "mine"}]})
        made = {one(client, inline(picture()))["media_id"] for _ in range(verdict_cache.MAX_MEDIA_IDS)}
        assert len(made) == 1
        assert client.delete("/cache/mine").json() == {"deleted": 1}

    def test_a_made_id_finds_what_is_cached(self, desk: Desk) -> None:
        client = desk.client()
        made = one(client, inline(picture()))["media_id"]
        assert client.delete(f"/cache/{made}").json() == {"deleted": 1}

    def test_changed_bytes_at_one_url_are_looked_at_anew(self, desk: Desk) -> None:
        served = [picture(1)]

        def script(connection: Any) -> None:
            connection.sendall(ok(served[0]))

        with serving(script) as server:
            desk.servers = (server,)
            client = desk.client()
            assert one(client, server.url())["status"] == "PASS"
            served[0] = picture(2)
            desk.images.answer = lambda _: GUN
            assert one(client, server.url())["status"] == "FAIL"

    def test_what_another_version_wrote_and_nobody_can_read_is_made_anew(self, desk: Desk) -> None:
        client = desk.client()
        one(client, inline(picture()))
        (entry,) = desk.home.documents.query(Query(verdict_cache.VERDICTS)).documents
        desk.home.documents.commit([Update(entry.collection, entry.id, {"result": {"verdict": {"status": "MAYBE"}}})])
        result = one(client, inline(picture()))
        assert (result["status"], result["cached"]) == ("PASS", False)

    def test_without_the_cache_nothing_is_kept_or_read(self, desk: Desk) -> None:
        client = desk.client()
        for _ in range(2):
            assert one(client, inline(picture()), cache_results=False)["cached"] is False
        assert len(desk.images.asked) == 2
        assert client.get("/cache/stats").json()["entries"] == 0

    def test_it_ends_after_its_time(self, desk: Desk) -> None:
        desk.clock = ManualClock()
        client = desk.client()
        one(client, inline(picture(1)))
        desk.clock.advance(23.9 * 3600)
        assert one(client, inline(picture(1)))["cached"] is True
        desk.clock.advance(0.1 * 3600)
        assert one(client, inline(picture(1)))["cached"] is False

    def test_a_verdict_with_a_gap_that_may_close_is_served_for_minutes_only(self, desk: Desk) -> None:
        desk.clock = ManualClock()
        page = io.BytesIO()
        shades = [Image.new("L", (64, 48), 40 * number) for number in range(2)]
        shades[0].save(page, "GIF", save_all=True, append_images=shades[1:], duration=100)
        desk.images.answer = lambda number: ImageAnnotation(error=failure()) if number else innocent()
        client = desk.client()
        assert one(client, inline(page.getvalue()))["status"] == "PASS"
        assert one(client, inline(page.getvalue()))["cached"] is True
        desk.clock.advance(300)
        assert one(client, inline(page.getvalue()))["cached"] is False

    def test_eight_clients_of_two_instances_cost_one_analysis(self, home: Home) -> None:
        def slow(_: int) -> ImageAnnotation:
            time.sleep(0.3)
            return innocent()

        images = ScriptedAnnotator(answer=slow)
        clients = [Desk(home, images).client() for _ in range(2)]
        together = threading.Barrier(8)  # as many as the two instances take batches at a time

        def ask(number: int) -> list[dict[str, Any]]:
            together.wait()
            found: list[dict[str, Any]] = moderate(clients[number % 2], inline(picture()))["results"]
            return found

        with ThreadPoolExecutor(8) as pool:
            results = [result for found in pool.map(ask, range(8)) for result in found]
        assert len(images.asked) == 1
        assert sorted(result["cached"] for result in results) == [False] + [True] * 7
        stats = clients[0].get("/cache/stats").json()
        assert (stats["hits"], stats["misses"], stats["entries"]) == (7, 1, 1)

    def test_who_waits_for_anothers_verdict_waits_no_longer_than_its_batch(self, desk: Desk) -> None:
        release = threading.Event()

        def slow(_: int) -> ImageAnnotation:
            release.wait(10)
            return innocent()

        desk.images.answer = slow
        maker = desk.client()
        desk.changes = {"seconds": 1.0}
        waiting = desk.client()
        with ThreadPoolExecutor(1) as pool:
            made = pool.submit(one, maker, inline(picture()))
            while not desk.images.asked:
                time.sleep(0.01)
            assert one(waiting, inline(picture()))["error"]["status"] == 408
            release.set()
            assert made.result()["status"] == "PASS"
        assert len(desk.images.asked) == 1

    def test_statistics(self, desk: Desk) -> None:
        client = desk.client()
        empty = client.get("/cache/stats").json()
        assert empty == {
            "entries": 0,
            "hits": 0,
            "misses": 0,
            "hit_rate": None,
            "oldest": None,
            "newest": None,
            "duration_hours": 24.0,
        }
        moderate(client, inline(picture(1)), inline(picture(2)), "http://127.0.0.2/")
        moderate(client, inline(picture(1)), inline(picture(2)), inline(picture(3)))
        stats = client.get("/cache/stats").json()
        assert (stats["entries"], stats["hits"], stats["misses"], stats["hit_rate"]) == (3, 2, 3, 0.4)
        assert stats["oldest"] < stats["newest"]

    def test_clearing(self, desk: Desk) -> None:
        client = desk.client()
        items = [{"url": inline(picture(number)), "id": f"folder/{number} ä"} for number in range(3)]
        client.post("/moderate", json={"media_list": items})
        assert client.delete("/cache/folder/1 ä").json() == {"deleted": 1}
        again = client.delete("/cache/folder/1 ä")
        assert (again.status_code, again.json()) == (404, {"detail": "Nothing is cached under this id."})
        assert client.delete("/cache").json() == {"deleted": 2}
        assert client.delete("/cache").json() == {"deleted": 0}

    def test_the_sweeper_removes_what_expired(self, desk: Desk) -> None:
        one(desk.client(), inline(picture()))
        later = desk.deps().clock.now() + timedelta(hours=26)
        assert verdict_cache.remove_expired(desk.home.documents, later) == 1


def still_life(number: int, width: int, height: int) -> Any:
    """Nothing moves."""
    return moving_square(0, width, height)


@pytest.fixture(scope="module")
def clip() -> bytes:
    """Two drawn seconds in which nothing happens."""
    return encode(paint=still_life)


class TestVideos:
    def test_a_video_is_streamed_looked_at_and_removed(self, desk: Desk, clip: bytes) -> None:
        with serving(ok(clip)) as server:
            desk.servers = (server,)
            result = one(desk.client(), server.url("/a.mp4"))
        assert result["status"] == "PASS"
        assert desk.home.detector.version in result["receipt"]["witnesses"]
        (asked,) = desk.images.asked
        assert 1 <= asked[0] <= 10
        assert Feature.FACES in asked[1]  # nobody bills for it, so it is asked as of a video that was uploaded
        assert list(desk.home.media.list(DIRECT_PREFIX)) == []

    def test_it_is_cached_by_its_content(self, desk: Desk, clip: bytes) -> None:
        client = desk.client()
        assert [one(client, inline(clip))["cached"] for _ in range(2)] == [False, True]
        desk.home.media.put("media/clip.mp4", clip, content_type="video/mp4")
        assert one(client, "gs://sightline-media/media/clip.mp4")["cached"] is True
        assert len(desk.images.asked) == 1

    def test_strict_mode_says_where_the_full_look_is_to_be_had(self, desk: Desk, clip: bytes) -> None:
        embedded = one(desk.client(), inline(clip), strict_mode=True, cache_results=False)
        sentences = [gap["sentence"] for gap in embedded["receipt"]["not_evaluated"]]
        assert [each for each in sentences if each.endswith("at the whole video, which is not asked here.")]
        desk.changes = {"full_look": True}
        result = one(desk.client(), inline(clip), strict_mode=True)
        (gap,) = [gap for gap in result["receipt"]["not_evaluated"] if gap["code"] == "not_in_direct_moderation"]
        assert "POST /video/upload-url" in gap["sentence"]

    def test_a_truncated_one_is_looked_at_as_far_as_it_goes_and_says_so(self, desk: Desk) -> None:
        whole = encode(container="matroska")
        result = one(desk.client(), inline(whole[: len(whole) * 2 // 3]))
        assert "truncated" in {gap["code"] for gap in result["receipt"]["not_evaluated"]}

    def test_a_batch_that_is_over_ends_the_detection_and_removes_the_file(self, desk: Desk, clip: bytes) -> None:
        desk.clock = ManualClock()
        client = desk.client()

        class Slow:
            class_name, version = "violence", "slow-1"

            def detect(self, stream: Any, *, step: int = 1, report: Any = None) -> Any:
                assert desk.clock is not None
                desk.clock.advance(1000)
                report(0.5)
                raise AssertionError("it goes on")

        desk.changes = {"pixels": replace(desk.deps().pixels, detector=Slow())}
        client = desk.client()
        assert one(client, inline(clip))["error"]["status"] == 408
        assert list(desk.home.media.list(DIRECT_PREFIX)) == []
        assert verdict_cache.clear(desk.home.documents) == 0


class TestRules:
    def test_the_receipt_is_documented(self, desk: Desk) -> None:
        schemas = desk.client().get("/openapi.json").json()["components"]["schemas"]
        assert {"Verdict", "Finding", "Flip", "ItemReply"} <= set(schemas)

    def test_both_pages_are_made_of_the_profiles_in_force(self, desk: Desk) -> None:
        client = desk.client()
        levels = client.get("/confidence-levels").json()
        assert set(levels["profiles"]) == {"balanced", "strict"}
        config = client.get("/moderation-config").json()
        assert config["profile_version"] == levels["profiles"]["balanced"]["version"]
        assert client.get("/moderation-config?strict_mode=true").json()["profile"] == "strict"

    def test_without_a_shadow_profile_the_report_is_empty_and_says_so(self, desk: Desk) -> None:
        body = desk.client().get("/moderation/shadow").json()
        assert (body["enabled"], body["shadow_profile"], body["compared"], body["flip_rate"]) == (False, None, 0, None)

    def test_a_shadow_profile_judges_alongside(self, desk: Desk) -> None:
        balanced, strict = policies.load_profile("balanced"), policies.load_profile("strict")
        desk.changes = {"profiles": InForce(balanced, strict, shadow=strict)}
        annotations = [innocent(), replace(innocent(), safe_search={**SAFE, "adult": "UNLIKELY"})]
        desk.images.answer = lambda _: annotations[len(desk.images.asked) - 1]
        client = desk.client()
        for number in range(2):
            assert one(client, inline(picture(number)))["status"] == "PASS"
        body = client.get("/moderation/shadow?hours=1").json()
        assert (body["enabled"], body["compared"], body["flipped"], body["flip_rate"]) == (True, 2, 1, 0.5)
        assert body["statuses"] == {"PASS -> FAIL": 1, "PASS -> PASS": 1}
        (flip,) = body["flips"]
        assert (flip["status"], flip["shadow_status"]) == ("PASS", "FAIL")
        assert client.get("/moderation/shadow?hours=0").status_code == 400

    def test_a_comparison_that_cannot_be_stored_costs_no_verdict(
        self, desk: Desk, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        balanced, strict = policies.load_profile("balanced"), policies.load_profile("strict")
        desk.changes = {"profiles": InForce(balanced, strict, shadow=strict)}
        commit = desk.home.documents.commit

        def fails_for_shadows(writes: list[Write]) -> None:
            if any(write.collection == "shadow_comparisons" for write in writes):
                raise Retryable("away")
            commit(writes)

        client = desk.client()
        monkeypatch.setattr(desk.home.documents, "commit", fails_for_shadows)
        assert one(client, inline(picture()))["status"] == "PASS"


def test_the_embedded_home_moderates_with_nothing_but_its_own_witnesses(client: TestClient) -> None:
    """The whole application: text is read off a picture, and what nobody can see is said."""
    pages = []
    for words in ("I will kill you tomorrow", "The meeting is at noon"):
        page, drawn = io.BytesIO(), Image.new("RGB", (900, 160), "white")
        ImageDraw.Draw(drawn).text((30, 50), words, "black", ImageFont.load_default(48))
        drawn.save(page, "PNG")
        pages.append(inline(page.getvalue()))
    threat, harmless = moderate(client, *pages)["results"]
    assert (threat["status"], harmless["status"]) == ("FAIL", "PASS")
    assert "threat" in threat["reasons"][0]
    assert harmless["confidence"] < 0.5
    assert "safe_search.adult" in harmless["analysis_details"]["not_evaluated"]
    assert client.get("/cache/stats").json()["entries"] == 2
    assert client.delete("/cache").json() == {"deleted": 2}


def test_logs_name_the_place_and_no_secret(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    one(desk.client(), "http://user:hunter2@example.com/a.jpg?token=hunter3")
    text = json.dumps([record.getMessage() for record in caplog.records])
    assert "no verdict on http://example.com/a.jpg: credentials_refused" in text
    assert "hunter" not in text
