"""Getting hold of media: by URL, inline and from a bucket; what is refused, and that nothing is left behind."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path

import pytest

from shared.adapters.embedded.blob_folder import BlobFolder
from shared.adapters.embedded.blobs import FolderBlobs
from shared.adapters.fetching.url_fetcher import UrlFetcher
from shared.domain.assets import DIRECT_PREFIX
from shared.domain.moderation.findings import MediaKind
from shared.errors import FetchFailed, Malformed, MediaUnusable, NotFound, Permanent, Retryable, TooLarge
from shared.handlers import media_sources
from shared.handlers.media_sources import MAX_IMAGE_BYTES, MAX_VIDEO_BYTES, PictureFile, Shelf, VideoFile, opened, shown
from tests.contract.media_servers import fetcher, ok, serving
from tests.handlers.scripted_witnesses import jpeg

BUCKET = "sightline-media"
MP4 = b"\x00\x00\x00\x18ftypisom" + b"\x00" * 100


@pytest.fixture
def media(tmp_path: Path) -> Iterator[FolderBlobs]:
    """A bucket of its own: these tests list what lies in it."""
    folder = BlobFolder(tmp_path / "blobs")
    yield FolderBlobs(folder, BUCKET)
    folder.close()


@pytest.fixture
def deps(media: FolderBlobs) -> media_sources.Deps:
    """Loopback may be fetched from; uploads may be named."""
    return media_sources.Deps(fetcher(), lambda: media, (Shelf(BUCKET, "media/", lambda: media),))


def inline(data: bytes, media_type: str = "image/jpeg") -> str:
    return f"data:{media_type};base64,{base64.b64encode(data).decode()}"


def refused(url: str, deps: media_sources.Deps, declared: MediaKind | None = None) -> Permanent:
    with pytest.raises(Permanent) as caught, opened(url, declared, deps):
        pass
    return caught.value


def direct_objects(media: FolderBlobs) -> list[str]:
    return [info.name for info in media.list(DIRECT_PREFIX)]


def test_a_picture_comes_into_memory_whatever_its_type_is_said_to_be(deps: media_sources.Deps) -> None:
    with opened(inline(jpeg(), "text/html"), None, deps) as found:
        assert found == PictureFile(jpeg())


def test_a_video_lies_in_the_bucket_while_it_is_looked_at(deps: media_sources.Deps, media: FolderBlobs) -> None:
    with serving(ok(MP4, "Content-Type: video/mp4")) as server:
        at = media_sources.Deps(fetcher(server), deps.media)
        with opened(server.url("/a.mp4"), MediaKind.VIDEO, at) as found:
            assert isinstance(found, VideoFile)
            assert direct_objects(media) == [found.name]
            with found.open() as stream:
                assert stream.read() == MP4
        assert direct_objects(media) == []


def test_it_is_removed_when_looking_fails(deps: media_sources.Deps, media: FolderBlobs) -> None:
    with pytest.raises(Retryable), opened(inline(MP4, "video/mp4"), None, deps):
        raise Retryable("the store is away")
    assert direct_objects(media) == []


def test_a_video_that_breaks_off_leaves_nothing(deps: media_sources.Deps, media: FolderBlobs) -> None:
    with serving(b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n" + MP4) as server:
        error = refused(server.url(), media_sources.Deps(fetcher(server), deps.media))
    assert (error.code, error.status) == ("incomplete", 503)
    assert direct_objects(media) == []


class TestObjects:
    def test_a_picture_and_a_video_of_an_allowed_place(self, deps: media_sources.Deps, media: FolderBlobs) -> None:
        media.put("media/pictures/1.jpg", jpeg(), content_type="image/jpeg")
        stored = media.put("media/1.mp4", MP4, content_type="video/mp4")
        with opened(f"gs://{BUCKET}/media/pictures/1.jpg", None, deps) as found:
            assert found == PictureFile(jpeg())
        with opened(f"gs://{BUCKET}/media/1.mp4", MediaKind.VIDEO, deps) as found:
            assert found == VideoFile(media, "media/1.mp4", stored.generation)
        assert media.stat("media/1.mp4") == stored  # the client's own file stays

    @pytest.mark.parametrize(
        "url",
        [
            f"gs://{BUCKET}/quarantine/1",
            f"gs://{BUCKET}/analysis/1",
            f"gs://{BUCKET}/media/",
            f"gs://{BUCKET}/media",
            f"gs://{BUCKET}/",
            f"gs://{BUCKET}",
            f"gs://{BUCKET}x/media/1",
            f"gs://{BUCKET.upper()}/media/1",
            "gs://another/media/1",
            f"gs://user@{BUCKET}/media/1",
            f"GS:///{BUCKET}/media/1",
            "gs://",
        ],
    )
    def test_other_places_are_denied_whether_they_exist_or_not(
        self, url: str, deps: media_sources.Deps, media: FolderBlobs
    ) -> None:
        media.put("quarantine/1", jpeg(), content_type="image/jpeg")
        error = refused(url, deps)
        assert (error.code, error.status, error.sentence) == ("access_denied", 403, "Access denied to media URL.")

    @pytest.mark.parametrize("name", ["media/absent", "media/../quarantine/1", "media/%2e%2e/quarantine/1"])
    def test_an_object_that_is_not_there(self, name: str, deps: media_sources.Deps, media: FolderBlobs) -> None:
        media.put("quarantine/1", jpeg(), content_type="image/jpeg")
        assert isinstance(refused(f"gs://{BUCKET}/{name}", deps), NotFound)

    def test_a_large_one_is_refused_without_being_read(self, deps: media_sources.Deps, media: FolderBlobs) -> None:
        media.put("media/large.mp4", MP4 + bytes(MAX_VIDEO_BYTES), content_type="video/mp4")
        error = refused(f"gs://{BUCKET}/media/large.mp4", deps)
        media.delete("media/large.mp4")
        assert error.status == 413
        assert "POST /video/upload-url" in error.sentence


class TestLimits:
    def test_a_picture_of_exactly_the_limit(self, deps: media_sources.Deps) -> None:
        with opened(inline(jpeg().ljust(MAX_IMAGE_BYTES, b"\0")), None, deps) as found:
            assert isinstance(found, PictureFile)

    @pytest.mark.parametrize("declared", [None, MediaKind.IMAGE])
    def test_a_picture_of_one_byte_more(self, declared: MediaKind | None, deps: media_sources.Deps) -> None:
        error = refused(inline(jpeg().ljust(MAX_IMAGE_BYTES + 1, b"\0")), deps, declared)
        assert isinstance(error, TooLarge)
        assert error.sentence == "The image is larger than 10 MB."

    @pytest.mark.parametrize("declared", [None, MediaKind.VIDEO])
    def test_a_video_over_the_limit_is_told_where_to_go(
        self, declared: MediaKind | None, deps: media_sources.Deps, media: FolderBlobs
    ) -> None:
        head = f"HTTP/1.1 200 OK\r\nContent-Length: {MAX_VIDEO_BYTES + 1}\r\n\r\n".encode()
        with serving(head + MP4) as server:
            error = refused(server.url(), media_sources.Deps(fetcher(server), deps.media), declared)
        assert error.status == 413
        assert "POST /video/upload-url" in error.sentence
        assert direct_objects(media) == []


@pytest.mark.parametrize(
    ("data", "declared", "code"),
    [
        (b"<html>", None, "unsupported_format"),
        (b"", None, "unsupported_format"),
        (b"%PDF-1.7", MediaKind.IMAGE, "unsupported_format"),
        (b"\x00\x00\x00\x18ftypheic", None, "unsupported_format"),
        (b"RIFF\x00\x00\x00\x00WAVE", MediaKind.VIDEO, "unsupported_format"),
        (MP4, MediaKind.IMAGE, "type_contradicted"),
        (jpeg(), MediaKind.VIDEO, "type_contradicted"),
    ],
)
def test_the_bytes_decide_what_it_is(
    data: bytes, declared: MediaKind | None, code: str, deps: media_sources.Deps
) -> None:
    error = refused(inline(data), deps, declared)
    assert (error.code, error.status) == (code, 400)
    assert isinstance(error, MediaUnusable | Malformed)


@pytest.mark.parametrize(
    "url", ["ftp://example.com/a", "file:///etc/passwd", "nonsense", "http://127.0.0.1/", "\ud800"]
)
def test_what_the_fetcher_refuses_stays_refused(url: str, media: FolderBlobs) -> None:
    error = refused(url, media_sources.Deps(UrlFetcher(), lambda: media))
    assert isinstance(error, FetchFailed)
    assert error.status == 400


@pytest.mark.parametrize(
    ("url", "logged"),
    [
        ("https://example.com/a.jpg?token=secret#part", "https://example.com/a.jpg"),
        ("https://user:secret@example.com/a.jpg", "https://example.com/a.jpg"),
        ("https://user:sec@ret@example.com/a@b", "https://example.com/a@b"),
        ("data:image/png;base64,c2VjcmV0", "data:…"),
        ("gs://bucket/media/1", "gs://bucket/media/1"),
        ("http://h/\n\x1b[31mred", r"http://h/\n\x1b[31mred"),
        ("secret", "secret:…"),
    ],
)
def test_logs_show_no_secret_of_a_url(url: str, logged: str) -> None:
    assert shown(url) == logged
