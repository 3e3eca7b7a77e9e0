"""A signal with its pictures is stored whole or not at all, and once however often it is sent under its key."""

from __future__ import annotations

import hashlib
import io
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from shared.adapters.embedded.blob_folder import BlobFolder
from shared.adapters.embedded.blobs import FolderBlobs
from shared.detection.evidence_pictures import EvidencePictures
from shared.domain.evidence_images import EvidenceImage, image_id_of
from shared.domain.incidents import AiEvent, Beacon, Observation, SignalKind
from shared.domain.submissions import KEPT, Answer, Became, RepetitionKey
from shared.errors import Conflict, MediaUnusable, Permanent, Retryable, VersionConflict
from shared.handlers import maintain, signals, submissions
from shared.handlers.submissions import Submission
from shared.ports import Query, Write
from shared.records import from_data
from shared.repositories import beacons, evidence_images, idempotency, incidents
from tests.handlers.pipeline import ListBus, Pipeline

KEY = RepetitionKey("camera", SignalKind.VIOLENCE, "7")


def photo(colour: str) -> bytes:
    target = io.BytesIO()
    Image.new("RGB", (40, 30), colour).save(target, "JPEG")
    return target.getvalue()


PHOTOS = tuple(map(photo, ("red", "green", "blue")))


@pytest.fixture
def bucket(tmp_path: Path) -> Iterator[FolderBlobs]:
    folder = BlobFolder(tmp_path / "evidence")
    yield FolderBlobs(folder, "evidence")
    folder.close()


@pytest.fixture
def deps(pipeline: Pipeline, bus: ListBus, bucket: FolderBlobs) -> submissions.Deps:
    beacons.put(pipeline.documents, Beacon("gate", "Front gate", active=True))
    return submissions.Deps(signals.Deps(pipeline.observe_deps(), bus), bucket, EvidencePictures())


def seen(confidence: float = 0.9, kind: SignalKind = SignalKind.VIOLENCE, beacon_id: str = "gate") -> Observation:
    return Observation(kind, beacon_id, confidence, "Fight", "camera-1")


def records(deps: submissions.Deps) -> list[EvidenceImage]:
    page = deps.documents.query(Query(evidence_images.COLLECTION))
    return [from_data(EvidenceImage, document.data) for document in page.documents]


def events(deps: submissions.Deps) -> list[AiEvent]:
    page = deps.documents.query(Query(incidents.AI_EVENTS))
    return [from_data(AiEvent, document.data) for document in page.documents]


def names(deps: submissions.Deps) -> list[str]:
    return [info.name for info in deps.evidence.list()]


class TestStoring:
    def test_pictures_lie_under_their_day_and_their_records_tell_of_them(self, deps: submissions.Deps) -> None:
        answer = submissions.submit(Submission(seen(), PHOTOS[:2]), deps)
        first, second = records(deps)
        assert answer.joined is not None
        assert names(deps) == [f"incidents/2026/03/01/{image.id}.jpg" for image in (first, second)]
        assert [image.description for image in (first, second)] == [
            "AI Detection Image 1 (VIOLENCE)",
            "AI Detection Image 2 (VIOLENCE)",
        ]
        assert (first.incident_id, first.signal_id) == (answer.joined.incident_id, answer.joined.signal_id)
        assert first.received_sha256 == hashlib.sha256(PHOTOS[0]).hexdigest()
        with deps.evidence.open(first.object_name) as stored:
            data = stored.read()
        assert (first.sha256, first.size) == (hashlib.sha256(data).hexdigest(), len(data))
        assert (first.width, first.height, first.beacon_id) == (40, 30, "gate")

    def test_pictures_of_the_next_signal_join_the_incident(self, deps: submissions.Deps) -> None:
        opened = submissions.submit(Submission(seen(), PHOTOS[:1]), deps)
        joined = submissions.submit(Submission(seen(0.92), PHOTOS[1:]), deps)
        assert (opened.became, joined.became) == (Became.INCIDENT_CREATED, Became.SIGNAL_ADDED)
        assert opened.joined is not None
        found, _ = evidence_images.of_incident(deps.documents, opened.joined.incident_id)
        assert len(found) == 3

    def test_below_the_threshold_pictures_are_kept_for_review(self, deps: submissions.Deps) -> None:
        answer = submissions.submit(Submission(seen(0.5), PHOTOS[:1]), deps)
        assert (answer.became, len(answer.images)) == (Became.LOGGED_ONLY, 1)
        (kept,) = records(deps)
        assert (kept.incident_id, kept.signal_id, kept.ai_event_id) == (None, None, answer.ai_event_id)

    def test_many_signals_at_once_make_one_incident_with_all_pictures(self, deps: submissions.Deps) -> None:
        with ThreadPoolExecutor(12) as pool:
            answers = list(pool.map(lambda _: submissions.submit(Submission(seen(), PHOTOS[:1]), deps), range(12)))
        assert len({answer.joined.incident_id for answer in answers if answer.joined}) == 1
        assert sorted(names(deps)) == sorted(image.object_name for image in records(deps))
        assert len(records(deps)) == 12


class TestRefusals:
    def test_an_unknown_place_is_refused_before_a_picture_is_drawn(self, deps: submissions.Deps) -> None:
        with pytest.raises(Permanent, match="Beacon not found or inactive"):
            submissions.submit(Submission(seen(beacon_id="nowhere"), (b"no picture",)), deps)

    def test_one_bad_picture_keeps_all_from_being_stored(self, deps: submissions.Deps) -> None:
        with pytest.raises(MediaUnusable) as refused:
            submissions.submit(Submission(seen(), (*PHOTOS[:2], b"no picture")), deps)
        assert refused.value.sentence.startswith("Image 3: ")
        assert (names(deps), events(deps)) == ([], [])


class _Dies(BaseException):
    """The process is gone."""


def failing(
    call: Callable[..., Any], error: BaseException, *, after: int = 0, does: bool = False
) -> Callable[..., Any]:
    """A call that fails once `after` calls went well. `does`: what it was to do happens all the same."""
    left = [after]

    def called(*arguments: Any, **named: Any) -> Any:
        left[0] -= 1
        if left[0] >= 0:
            return call(*arguments, **named)
        if does:
            call(*arguments, **named)
        raise error

    return called


@contextmanager
def replaced(owner: object, name: str, by: object) -> Iterator[None]:
    """The attribute is another one while the block lasts."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(owner, name, by)
        yield


class TestHalfWay:
    @pytest.mark.parametrize("does", [True, False])
    def test_a_bucket_that_fails_at_the_second_picture_keeps_neither(
        self, deps: submissions.Deps, monkeypatch: pytest.MonkeyPatch, does: bool
    ) -> None:
        monkeypatch.setattr(deps.evidence, "put", failing(deps.evidence.put, Retryable("away"), after=1, does=does))
        with pytest.raises(Retryable):
            submissions.submit(Submission(seen(), PHOTOS), deps)
        assert (names(deps), events(deps)) == ([], [])

    def test_a_store_that_refuses_for_ever_keeps_nothing(
        self, deps: submissions.Deps, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(deps.documents, "commit", failing(deps.documents.commit, VersionConflict("lost")))
        with pytest.raises(Retryable):
            submissions.submit(Submission(seen(), PHOTOS), deps)
        assert names(deps) == []

    @pytest.mark.parametrize("error", [Retryable("away"), _Dies()])
    def test_what_the_store_did_not_answer_for_is_swept_if_it_did_not_happen(
        self, deps: submissions.Deps, pipeline: Pipeline, error: BaseException
    ) -> None:
        commit = failing(deps.documents.commit, error)
        with replaced(deps.documents, "commit", commit), pytest.raises((Retryable, _Dies)):
            submissions.submit(Submission(seen(), PHOTOS), deps)
        assert len(names(deps)) == 3
        swept(pipeline, deps, minutes=30)
        assert len(names(deps)) == 3, "they may still belong to somebody"
        swept(pipeline, deps, minutes=120)
        assert names(deps) == []

    @pytest.mark.parametrize("error", [Retryable("away"), _Dies()])
    def test_what_happened_unheard_stays(
        self, deps: submissions.Deps, pipeline: Pipeline, error: BaseException
    ) -> None:
        commit = failing(deps.documents.commit, error, does=True)
        with replaced(deps.documents, "commit", commit), pytest.raises((Retryable, _Dies)):
            submissions.submit(Submission(seen(), PHOTOS, KEY), deps)
        assert submissions.submit(Submission(seen(), PHOTOS, KEY), deps).ai_event_id == events(deps)[0].id
        swept(pipeline, deps, minutes=120)
        assert sorted(names(deps)) == sorted(image.object_name for image in records(deps))
        assert (len(events(deps)), len(names(deps))) == (1, 3)

    def test_names_that_are_not_ours_are_left_alone(self, deps: submissions.Deps, pipeline: Pipeline) -> None:
        for name in ("incidents/2026/03/01/notes.txt", "incidents/readme.md", "incidents/2026/03/01/007.jpg"):
            deps.evidence.put(name, b"x", content_type="text/plain")
        swept(pipeline, deps, minutes=120)
        assert len(names(deps)) == 3

    def test_a_name_that_is_taken_is_another_pictures(
        self, deps: submissions.Deps, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Two instances drew the same id in the same millisecond."""
        ids, drawn = deps.signals.observe.ids, iter([7, 7, 8])
        deps.evidence.put("incidents/2026/03/01/7.jpg", b"another's", content_type="image/jpeg")
        monkeypatch.setattr(ids, "next", lambda: next(drawn, 99))
        monkeypatch.setattr(deps.documents, "commit", failing(deps.documents.commit, VersionConflict("lost")))
        with pytest.raises(Retryable):
            submissions.submit(Submission(seen(), PHOTOS[:1]), deps)
        with deps.evidence.open("incidents/2026/03/01/7.jpg") as stored:
            assert stored.read() == b"another's"
        assert len(names(deps)) == 1


def swept(pipeline: Pipeline, deps: submissions.Deps, *, minutes: int) -> None:
    """The sweeper runs when this much time has passed since the bucket's own clock."""
    latest = max(info.updated for info in deps.evidence.list()) if names(deps) else pipeline.clock.now()
    ahead = latest + timedelta(minutes=minutes, seconds=1) - pipeline.clock.now()
    pipeline.clock.advance(max(ahead.total_seconds(), 0))
    maintain.sweep(replace(pipeline.maintain_deps(), evidence=deps.evidence))


class TestRepetitions:
    def test_the_same_again_is_answered_the_same_and_stores_nothing(self, deps: submissions.Deps, bus: ListBus) -> None:
        first = submissions.submit(Submission(seen(), PHOTOS, KEY), deps)
        again = submissions.submit(Submission(seen(), PHOTOS, KEY), deps)
        assert again == first
        assert again.became is Became.INCIDENT_CREATED
        assert (len(events(deps)), len(names(deps)), len(bus.messages)) == (1, 3, 1)

    def test_it_is_answered_the_same_though_the_place_is_closed_now(self, deps: submissions.Deps) -> None:
        first = submissions.submit(Submission(seen(), key=KEY), deps)
        beacons.put(deps.documents, Beacon("gate", "Front gate", active=False))
        assert submissions.submit(Submission(seen(), key=KEY), deps) == first

    @pytest.mark.parametrize(
        "other",
        [
            Submission(seen(0.91), PHOTOS[:1], KEY),
            Submission(seen(), (), KEY),
            Submission(seen(), PHOTOS[1:2], KEY),
            Submission(seen(), (PHOTOS[0], PHOTOS[0]), KEY),
            Submission(replace(seen(), description="Fright"), PHOTOS[:1], KEY),
            Submission(replace(seen(), device_id=None), PHOTOS[:1], KEY),
        ],
    )
    def test_another_content_under_the_same_key_is_a_conflict(self, deps: submissions.Deps, other: Submission) -> None:
        submissions.submit(Submission(seen(), PHOTOS[:1], KEY), deps)
        with pytest.raises(Conflict):
            submissions.submit(other, deps)
        assert (len(events(deps)), len(names(deps))) == (1, 1)

    @pytest.mark.parametrize("key", [replace(KEY, caller="other"), replace(KEY, kind=SignalKind.SCREAM), None])
    def test_a_key_means_something_to_its_caller_and_route_only(
        self, deps: submissions.Deps, key: RepetitionKey | None
    ) -> None:
        submissions.submit(Submission(seen(), key=KEY), deps)
        submissions.submit(Submission(seen(), key=key), deps)
        assert len(events(deps)) == 2

    def test_after_a_day_a_key_is_new(self, deps: submissions.Deps, pipeline: Pipeline) -> None:
        submissions.submit(Submission(seen(), key=KEY), deps)
        pipeline.clock.advance(KEPT.total_seconds())
        submissions.submit(Submission(seen(0.8), key=KEY), deps)
        assert len(events(deps)) == 2
        again = submissions.submit(Submission(seen(0.8), key=KEY), deps)
        assert (again.confidence, len(events(deps))) == (0.8, 2)

    def test_expired_keys_are_removed_and_others_are_not(self, deps: submissions.Deps, pipeline: Pipeline) -> None:
        submissions.submit(Submission(seen(), key=KEY), deps)
        pipeline.clock.advance(60)
        submissions.submit(Submission(seen(), key=replace(KEY, key="8")), deps)
        over = pipeline.clock.now() - timedelta(seconds=30) + KEPT
        assert [idempotency.remove_expired(deps.documents, over) for _ in range(2)] == [1, 0]
        assert idempotency.find(deps.documents, KEY.id) is None
        assert idempotency.find(deps.documents, replace(KEY, key="8").id) is not None

    @pytest.mark.parametrize("opens", [True, False])
    def test_the_same_at_once_is_one_signal(self, deps: submissions.Deps, bus: ListBus, opens: bool) -> None:
        """All have found the key unused, and stored their pictures, before the first of them commits."""
        if not opens:
            submissions.submit(Submission(seen()), deps)
        answers = at_once(deps, [Submission(seen(), PHOTOS[:1], KEY)] * RACERS)
        assert len(set(map(repr, answers))) == 1
        assert (len(events(deps)), len(names(deps))) == (1 if opens else 2, 1)
        assert names(deps) == [image.object_name for image in records(deps)]
        assert len(bus.of_topic("incident-opened")) == 1

    def test_of_different_ones_at_once_one_wins(self, deps: submissions.Deps) -> None:
        answers = at_once(deps, [Submission(seen(0.80 + number / 100), PHOTOS[:1], KEY) for number in range(RACERS)])
        assert sum(isinstance(answer, Answer) for answer in answers) == 1
        assert sum(isinstance(answer, Conflict) for answer in answers) == RACERS - 1
        assert (len(events(deps)), len(names(deps))) == (1, 1)


RACERS = 8


def at_once(deps: submissions.Deps, submitted: Sequence[Submission]) -> list[Answer | Conflict]:
    everybody, decided, commit = threading.Barrier(len(submitted)), threading.local(), deps.documents.commit

    def commit_together(writes: Sequence[Write]) -> None:
        if not getattr(decided, "once", False):
            decided.once = True
            everybody.wait(timeout=30)
        commit(writes)

    def answer(submission: Submission) -> Answer | Conflict:
        try:
            return submissions.submit(submission, deps)
        except Conflict as refused:
            return refused

    with replaced(deps.documents, "commit", commit_together), ThreadPoolExecutor(len(submitted)) as pool:
        return list(pool.map(answer, submitted))


@pytest.mark.parametrize(
    ("name", "image_id"),
    [
        ("incidents/2026/03/01/244109611889495.jpg", 244109611889495),
        ("incidents/2026/03/01/7.webp", 7),
        ("incidents/2026/03/01/07.jpg", None),
        ("incidents/2026/03/01/7.jpg.zip", None),
        ("incidents/7.jpg", None),
        ("media/2026/03/01/7.jpg", None),
    ],
)
def test_a_picture_is_known_by_its_name(name: str, image_id: int | None) -> None:
    assert image_id_of(name) == image_id
