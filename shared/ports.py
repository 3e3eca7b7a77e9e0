"""What Sightline asks of the world: Protocols, and the plain data that crosses them.

Each port has two homes, `adapters/google` and `adapters/embedded`, and one contract suite over both
(`tests/contract`). Nothing here may import an adapter, a Google library or a web framework.

All datetimes are time zone aware; a home returns them in UTC and refuses naive ones with `ValueError`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, BinaryIO, Literal, Protocol

from shared.errors import AnalyserFailed

# --------------------------------------------------------------------------- documents

MAX_DOCUMENT_BYTES = 1 << 20
MAX_ID_BYTES = 1500


@dataclass(frozen=True)
class Document:
    """One stored document. `version` is opaque: compare it, hand it back, never read it."""

    collection: str
    id: str
    data: Mapping[str, Any]
    version: str


@dataclass(frozen=True)
class Create:
    """Fails the commit with `AlreadyExists` if the document is there."""

    collection: str
    id: str
    data: Mapping[str, Any]


@dataclass(frozen=True)
class Set:
    """Replaces the whole document, or creates it."""

    collection: str
    id: str
    data: Mapping[str, Any]


@dataclass(frozen=True)
class Update:
    """Replaces the named top-level fields and leaves the others.

    Fails the commit with `VersionConflict` if the document is absent, or if `version` is given and not the present one.
    """

    collection: str
    id: str
    data: Mapping[str, Any]
    version: str | None = None


@dataclass(frozen=True)
class Increment:
    """Adds `amount` to a top-level numeric field (absent counts as 0), creating the document if need be."""

    collection: str
    id: str
    field: str
    amount: int | float = 1


@dataclass(frozen=True)
class Delete:
    """Removes the document; absent is fine unless `version` is given, which must then be the present one."""

    collection: str
    id: str
    version: str | None = None


Write = Create | Set | Update | Increment | Delete
Operator = Literal["==", "<", "<=", ">", ">=", "in", "array_contains"]


@dataclass(frozen=True)
class Filter:
    """`field operator value` on a top-level field. Documents without the field never match."""

    field: str
    operator: Operator
    value: Any


@dataclass(frozen=True)
class Order:
    """Sort by a top-level field; documents without the field are left out, as Firestore does."""

    field: str
    descending: bool = False


@dataclass(frozen=True)
class Query:
    """Documents of one collection. Ties are broken by id, in the direction of the last `Order`."""

    collection: str
    where: tuple[Filter, ...] = ()
    order_by: tuple[Order, ...] = ()


@dataclass(frozen=True)
class Page:
    """`next_cursor` is an opaque string for the following page, None on the last one."""

    documents: tuple[Document, ...]
    next_cursor: str | None


@dataclass(frozen=True)
class Index:
    """A composite index, as declared in `infra/pipeline.yaml`: equality fields first, then the ordered ones."""

    collection: str
    fields: tuple[Order, ...]


@dataclass(frozen=True)
class Unindexed:
    """A field that the store keeps no index of its own of: only a composite index may serve a query that names it."""

    collection: str
    field: str


class Subscription(Protocol):
    """Something that goes on until it is closed. `close` is idempotent and returns when no callback runs any more."""

    def close(self) -> None:
        """Ends it."""
        ...


class Documents(Protocol):
    """A document store with the semantics of Firestore.

    A write that changes nothing keeps the version: two writers of the same data at one `version` both succeed, so
    a claim must write something of its own. In one commit, a `Create` must be the first write to its document.

    Values: None, bool, int (64 bit), float, str, bytes, aware datetime (microseconds), lists (not of lists) and
    str-keyed mappings of these. Ids are any non-empty text whose stored form has at most 1,500 bytes of UTF-8; `/` is
    allowed. Anything else: `InvalidKey`. Reads see every commit that returned before they began (strong consistency).
    """

    def get(self, collection: str, id: str) -> Document | None:
        """The document, or None. Raises `InvalidKey`, `Retryable`."""
        ...

    def get_many(self, keys: Sequence[tuple[str, str]]) -> list[Document | None]:
        """Documents in the order asked, None where there is none, in one round trip. Raises as `get`."""
        ...

    def commit(self, writes: Sequence[Write]) -> None:
        """All writes or none, atomically.

        Raises `AlreadyExists`, `VersionConflict`, `InvalidKey`, `TooLarge` (a document over 1 MiB) and `Retryable`
        (unavailable or contended; the write may or may not have happened, so ask before repeating it).
        """
        ...

    def query(self, query: Query, *, limit: int = 100, cursor: str | None = None) -> Page:
        """One page. A cursor stays valid while documents come and go; a foreign one raises `Malformed`.

        Raises `UndeclaredIndex` when the query needs a composite index that is not declared, as it does where it names
        a field without an index of its own.
        """
        ...

    def count(self, query: Query) -> int:
        """How many documents match, counted by the store (none are transferred). Raises as `query`."""
        ...

    def watch(self, query: Query, on_change: Callable[[tuple[Document, ...]], None]) -> Subscription:
        """Calls `on_change` with all matching documents at once, and again after each change until closed.

        Changes that follow each other quickly may be seen as one. Calls come one at a time from a thread of the
        adapter's. A lost connection is re-established by the adapter.
        """
        ...


# --------------------------------------------------------------------------- blobs


@dataclass(frozen=True)
class BlobInfo:
    """One object at one generation. `size` in bytes; `generation` grows with each overwrite and is never 0."""

    name: str
    generation: int
    size: int
    content_type: str
    updated: datetime
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class SignedUpload:
    """What a client must send: `method` to `url` with exactly these `headers` (they are part of the signature)."""

    url: str
    method: str
    headers: Mapping[str, str]


class Blobs(Protocol):
    """One bucket. Writes are atomic: a reader sees the old object or the new one, never a part.

    `if_generation` is a precondition: the present generation, or 0 for "nothing is there". When it does not hold:
    `PreconditionFailed`. A missing object: `NotFound`. Everything may raise `Retryable`. Names are 1 to 1,024 bytes of
    UTF-8 without line breaks; others: `InvalidKey`.
    """

    def stat(self, name: str) -> BlobInfo | None:
        """The present generation, or None."""
        ...

    def open(self, name: str, *, generation: int | None = None) -> BinaryIO:
        """A seekable reader that fetches ranges as they are read; never the whole object at once.

        With `generation`, just that one (`NotFound` when it is gone).
        """
        ...

    def put(
        self,
        name: str,
        data: bytes | BinaryIO,
        *,
        content_type: str,
        metadata: Mapping[str, str] | None = None,
        if_generation: int | None = None,
    ) -> BlobInfo:
        """Stores an object, streaming a file-like `data`."""
        ...

    def copy(self, source: str, target: str, *, if_generation: int | None = None) -> BlobInfo:
        """Copies within the bucket, metadata included; `if_generation` speaks of the target."""
        ...

    def delete(self, name: str, *, if_generation: int | None = None) -> None:
        """Removes the object; `NotFound` if it is not there."""
        ...

    def list(self, prefix: str = "") -> Iterator[BlobInfo]:
        """Objects whose name starts with `prefix`, by name in UTF-8 order, fetched page by page."""
        ...

    def sign_get(self, name: str, *, expires_in: timedelta) -> str:
        """A V4-signed URL anyone may GET until it expires. The object need not exist yet."""
        ...

    def sign_put(
        self,
        name: str,
        *,
        content_type: str,
        max_bytes: int,
        expires_in: timedelta,
        resumable: bool = False,
        metadata: Mapping[str, str] | None = None,
    ) -> SignedUpload:
        """A V4-signed upload that creates the object once.

        Binds the content type, 1 to `max_bytes` bytes (`x-goog-content-length-range`), that nothing is there yet
        (`x-goog-if-generation-match: 0`) and the metadata. `resumable`: a POST that starts a resumable session.
        """
        ...


# --------------------------------------------------------------------------- messages


@dataclass(frozen=True)
class OutgoingMessage:
    """What is published: `data` is JSON, `attributes` carry the CloudEvent and trace headers."""

    topic: str
    data: bytes
    attributes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Delivery:
    """One attempt to deliver a message to one subscriber. `attempt` counts from 1.

    `message_id` is the same for every attempt and every subscriber of one published message.
    """

    message_id: str
    data: bytes
    attributes: Mapping[str, str]
    attempt: int = 1


@dataclass(frozen=True)
class DeadLetter:
    """A message that failed its last attempt at `subscription`; `handle` identifies it for replay."""

    handle: str
    subscription: str
    message: OutgoingMessage
    attempts: int
    published: datetime


class Bus(Protocol):
    """Publishes at least once, in no particular order."""

    def publish(self, message: OutgoingMessage) -> str:
        """The message id, once the message is durable. Raises `Retryable`; `NotFound` for an unknown topic."""
        ...


class DeadLetters(Protocol):
    """What was given up, kept until somebody decides."""

    def list(self, limit: int = 100) -> list[DeadLetter]:
        """Up to `limit` dead letters, which stay where they are."""
        ...

    def replay(self, handle: str) -> str:
        """Publishes the message to its topic again, then removes the dead letter; returns the new message id.

        Raises `NotFound`. Safe to repeat: stages are idempotent.
        """
        ...


# --------------------------------------------------------------------------- the rest


class Clock(Protocol):
    """The only source of the present time."""

    def now(self) -> datetime:
        """Aware, in UTC."""
        ...


@dataclass(frozen=True)
class MediaFacts:
    """What a file is, from its bytes alone.

    `container` is FFmpeg's short name reduced to one word (`mp4`, `matroska`, `avi`, ...), `duration` is in seconds,
    `width`/`height` in pixels as displayed (rotation applied), `frame_rate` in frames per second, `sha256` in hex,
    `perceptual_hash` 16 hex digits (64 bits). `truncated`: the file ends before its index says so.
    """

    container: str
    codec: str
    duration: float
    width: int
    height: int
    frame_rate: float
    sha256: str
    perceptual_hash: str
    size: int
    truncated: bool


class MediaProbe(Protocol):
    """Looks at a file once, streaming."""

    def probe(self, stream: BinaryIO) -> MediaFacts:
        """Raises `MediaUnusable` with one of the codes of SPEC §3 and the reason in a sentence."""
        ...


@dataclass(frozen=True)
class ScoredWindow:
    """A stretch [start, end) in seconds; `probability` (0-1), calibrated, that it shows the alarming class."""

    start: float
    end: float
    probability: float


FINGERPRINT_HZ = 2
FINGERPRINT_SIDE = 16


@dataclass(frozen=True)
class DetectionRun:
    """All windows of one video in order of time; `duration` in seconds.

    `truncated`: decoding ended early or skipped damaged parts, so the windows cover less than the file claims.
    `fingerprint`: how the video looks over time, `FINGERPRINT_HZ` gray pictures a second of `FINGERPRINT_SIDE` squared
    bytes; those of one model's version can be compared.
    """

    windows: tuple[ScoredWindow, ...]
    duration: float
    truncated: bool
    fingerprint: bytes = b""


class Detector(Protocol):
    """Pixels to probabilities."""

    @property
    def class_name(self) -> str:
        """The name of the alarming class (`violence` for the bundled model)."""
        ...

    @property
    def version(self) -> str:
        """Name and version of the model, for the ledger."""
        ...

    def detect(
        self, stream: BinaryIO, *, step: int = 1, report: Callable[[float], None] = lambda _: None
    ) -> DetectionRun:
        """Scores a whole video, streaming; memory does not grow with its length. Raises `MediaUnusable`.

        Looks at every `step`-th frame (1 or more), and of those at no more than the model's sampling rate. `report`
        hears the share (0-1) of the video that was looked at, as far as its length is known.
        """
        ...


class Depth(StrEnum):
    """How closely a context model looks, the dearest first."""

    VIDEO = "video"
    VIDEO_LOW = "video_low"
    STILLS = "stills"


@dataclass(frozen=True)
class ContextRequest:
    """One stored video, and what is asked of it.

    `content_type` is the file's real one (of its container), `duration` in seconds, `size` in bytes. `schema` is the
    JSON schema (the subset both client libraries know: type, properties, items, enum, maxItems, required) that the
    answer must have. `stills` is the JPEG to show instead of the video at the depth STILLS.
    """

    object_name: str
    generation: int
    content_type: str
    size: int
    duration: float
    prompt: str
    schema: Mapping[str, Any]
    depth: Depth = Depth.VIDEO
    stills: bytes | None = None


@dataclass(frozen=True)
class ContextAnswer:
    """What the model said, as text that nobody has checked, and what it counted (None where it did not say)."""

    text: str
    model: str
    input_tokens: int | None = None
    output_tokens: int | None = None


class ContextModel(Protocol):
    """Describes what a video shows. What it says is untrusted: the video may hold text that speaks to the model."""

    @property
    def name(self) -> str:
        """The model's name, for the ledger and the price table."""
        ...

    @property
    def depths(self) -> Sequence[Depth]:
        """The depths it knows, the dearest first."""
        ...

    def describe(self, request: ContextRequest, report: Callable[[float], None]) -> ContextAnswer:
        """Asks once. `report` hears the share (0-1) of the work that is done.

        Raises `AnalyserFailed` for every way in which the service can fail to answer (blocked, empty, slow, quota,
        not permitted, 5xx, ...), `NotFound` when the object is gone, and what the bucket raises. Whatever was uploaded
        to the service is deleted before it returns or raises.
        """
        ...


@dataclass(frozen=True)
class Moment:
    """A point in a video, in `seconds` from its beginning, and what to write below its picture."""

    seconds: float
    label: str


class ContactSheets(Protocol):
    """A page of pictures, for people who would rather look."""

    def draw(self, stream: BinaryIO, moments: Sequence[Moment]) -> bytes:
        """A JPEG with the picture at each of `moments` (at least one, in order of time) of a seekable video.

        A moment whose picture can't be decoded gets a tile that says so. Memory does not grow with the video. Raises
        `MediaUnusable` when the file can't even be opened, and what the stream raises.
        """
        ...


# --------------------------------------------------------------------------- moderation


class Feature(StrEnum):
    """What an image annotator can be asked for."""

    SAFE_SEARCH = "safe_search"
    OBJECTS = "objects"
    LABELS = "labels"
    FACES = "faces"
    LOGOS = "logos"
    TEXT = "text"


@dataclass(frozen=True)
class Frame:
    """A picture to look at, as a JPEG; `seconds` from the beginning of its video or animation, None in a still."""

    jpeg: bytes
    width: int
    height: int
    seconds: float | None = None


class FrameSampler(Protocol):
    """Takes pictures out of a video."""

    def sample(self, stream: BinaryIO, seconds: Sequence[float]) -> list[Frame]:
        """The picture at each of `seconds` (in order of time) of a seekable video; those that can be decoded.

        Memory does not grow with the video. Raises `MediaUnusable` when no picture at all can be decoded.
        """
        ...


@dataclass(frozen=True)
class Seen:
    """Something in a picture, in the annotator's word, `confidence` 0-1; `box`: left, top, width, height as 0-1."""

    name: str
    confidence: float
    box: tuple[float, float, float, float] | None = None


@dataclass(frozen=True)
class ImageAnnotation:
    """What was seen in one picture. None: that feature was not asked for, or can't be (see `unable`).

    `safe_search` gives each of adult, violence, racy, spoof, medical one of the likelihoods' names (UNKNOWN, …,
    VERY_LIKELY). `text` is all that was read, empty where there is none. `error`: why this picture was not looked at.
    """

    safe_search: Mapping[str, str] | None = None
    objects: tuple[Seen, ...] | None = None
    labels: tuple[Seen, ...] | None = None
    faces: tuple[Seen, ...] | None = None
    logos: tuple[Seen, ...] | None = None
    text: str | None = None
    error: AnalyserFailed | None = None


class ImageAnnotator(Protocol):
    """Looks at pictures."""

    @property
    def name(self) -> str:
        """Name and version, for the receipt (`vision-v1`, …)."""
        ...

    @property
    def unable(self) -> Mapping[Feature, str]:
        """The features that it can never give, each with the reason in a sentence: not evaluated, and never clean."""
        ...

    def annotate(self, frames: Sequence[Frame], features: Sequence[Feature]) -> list[ImageAnnotation]:
        """One annotation a frame, in order; 1 to 10 frames in one request. What can't be done stays None.

        A picture that could not be looked at has an `error`. Raises `AnalyserFailed` when the whole request failed.
        """
        ...


@dataclass(frozen=True)
class TextAnnotation:
    """What a text is about. `categories` None, `sentiment` None: not evaluated, `problems` says why.

    `sentiment` is -1 to 1, `language` an ISO 639-1 code as far as it was recognised. `problems`: by "categories" and
    "sentiment", the failure.
    """

    categories: tuple[Seen, ...] | None = None
    sentiment: float | None = None
    language: str | None = None
    problems: Mapping[str, AnalyserFailed] = field(default_factory=dict)


class TextAnalyzer(Protocol):
    """Judges a text by more than patterns."""

    @property
    def name(self) -> str:
        """Name and version, for the receipt."""
        ...

    def analyze(self, text: str) -> TextAnnotation:
        """Never raises for a service that fails: what it could not say is in `problems`."""
        ...


class OperationState(StrEnum):
    """How a long-running operation stands. `LOST`: the service knows nothing of it."""

    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    LOST = "lost"


@dataclass(frozen=True)
class Operation:
    """A long-running operation as the service tells it; `progress` 0-1, `sentence` why it failed (fit for a client)."""

    name: str
    state: OperationState
    progress: float = 0.0
    code: str | None = None
    sentence: str | None = None


@dataclass(frozen=True)
class Spotted:
    """Something in a video: `confidence` 0-1, at `start` to `end` seconds; `likelihood` where the service says one."""

    name: str
    confidence: float
    start: float
    end: float


@dataclass(frozen=True)
class VideoAnnotation:
    """What was seen in a whole video; None: not evaluated.

    `explicit`: the pictures that are at least UNLIKELY, the likelihood's name as `name`. `shots`: how many. `problems`:
    the features that failed, with the reason.
    """

    explicit: tuple[Spotted, ...] | None = None
    labels: tuple[Spotted, ...] | None = None
    shots: int | None = None
    texts: tuple[Spotted, ...] | None = None
    problems: Mapping[str, str] = field(default_factory=dict)


class VideoAnnotator(Protocol):
    """Looks at every picture of a stored video, in an operation that takes minutes to hours."""

    @property
    def name(self) -> str:
        """Name and version, for the receipt."""
        ...

    def start(self, object_name: str, output_name: str) -> str:
        """Starts the operation, whose result will be written as the object `output_name`; returns its name.

        Raises `AnalyserFailed`. Starting the same twice gives two operations that write the same result.
        """
        ...

    def look_up(self, operation: str) -> Operation:
        """How the operation stands. Raises `AnalyserFailed` when the service does not answer."""
        ...

    def cancel(self, operation: str) -> None:
        """Gives the operation up; nothing happens when it has ended."""
        ...

    def read(self, stream: BinaryIO) -> VideoAnnotation:
        """The result object, parsed as it arrives and never loaded whole. Raises `Malformed` for what is no result."""
        ...


# --------------------------------------------------------------------------- media by URL, and still pictures


@dataclass(frozen=True)
class RemoteMedia:
    """What a URL gives. `stream` is read forward only; reading it raises `FetchFailed` (see `MediaFetcher`).

    `content_type` is what the other side claims, lower case and without parameters: never believe it. `url` is where
    the media was found in the end, without its query (which may hold a secret), for logs.
    """

    stream: BinaryIO
    content_type: str
    url: str


class MediaFetcher(Protocol):
    """Opens URLs that strangers name. Only public addresses are ever contacted. One may serve all threads."""

    def open(self, url: str, *, max_bytes: int) -> AbstractContextManager[RemoteMedia]:
        """Opens an `http`, `https` or `data` URL; the connection ends with the context.

        Raises `FetchFailed` on entering, and from every read of the stream: when more than `max_bytes` come, when the
        time for the whole fetch is over (it runs from entering, the caller's own pauses included), or when less comes
        than was declared. A stream that failed goes on failing. Memory does not grow with the body, but for `data`
        URLs, which are memory already.
        """
        ...


@dataclass(frozen=True)
class Picture:
    """One still for an analyser: `data` is a JPEG of `width` x `height` pixels without any metadata.

    `frame` counts from 0 in the file it was taken from.
    """

    data: bytes
    width: int
    height: int
    frame: int
    media_type: str = "image/jpeg"


@dataclass(frozen=True)
class PictureFacts:
    """What an image file is, from its bytes alone, and what it shows.

    `format` is `jpeg`, `png`, `gif`, `webp`, `bmp` or `tiff`; `width`/`height` in pixels as displayed (rotation
    applied), `frames` all there are (of an animation, or pages), `size` in bytes, `sha256` in hex, both of the file.
    `pictures` (one or more) are in the order of the file.
    """

    format: str
    width: int
    height: int
    frames: int
    size: int
    sha256: str
    pictures: tuple[Picture, ...]


class PictureReader(Protocol):
    """Turns an untrusted image file into pictures that are safe to pass on. One may serve all threads."""

    def read(self, data: bytes, *, at_most: int = 10) -> PictureFacts:
        """Every picture is drawn anew, so nothing that was embedded in or appended to the file travels on.

        Of an animation, up to `at_most` (1 or more) frames spread over all of it. Raises `MediaUnusable` with
        `empty_file`, `not_a_picture`, `damaged_picture` or `too_large_picture`.
        """
        ...


# --------------------------------------------------------------------------- evidence


@dataclass(frozen=True)
class CleanPicture:
    """A picture drawn anew: what is seen is the same, nothing else of the file is left.

    `content_type` and `extension` (without a dot) are those of `data`; `width`/`height` in pixels as displayed;
    `received_sha256` in hex, of the file it was made from.
    """

    data: bytes
    content_type: str
    extension: str
    width: int
    height: int
    received_sha256: str


class PictureCleaner(Protocol):
    """Turns a stranger's image file into evidence that is safe to keep and to show. One may serve all threads."""

    def clean(self, data: bytes) -> CleanPicture:
        """A JPEG, PNG, WebP or GIF (by its bytes) without metadata, turned as displayed, in full resolution.

        Raises `MediaUnusable` for any other file, and for what is empty, damaged or too large to decode.
        """
        ...


# --------------------------------------------------------------------------- alerts


class Timers(Protocol):
    """Says something later."""

    def publish_at(self, when: datetime, message: OutgoingMessage, *, name: str) -> None:
        """Publishes the message when `when` has come: at least once, never earlier, perhaps later.

        The same `name` (any text) again, within an hour, may be taken for a repetition and does nothing. Raises
        `Retryable`.
        """
        ...


@dataclass(frozen=True)
class Push:
    """A notification for a phone. `data` are short texts for the app; one with the same `collapse_key` replaces it.

    `lifetime`: for how long the service shall try to reach a phone that is off.
    """

    title: str
    body: str
    data: Mapping[str, str]
    collapse_key: str
    lifetime: timedelta
    urgent: bool = True


class PushOutcome(StrEnum):
    """What became of a push to one token. UNREGISTERED: the token is dead and must be forgotten. LATER: try again."""

    SENT = "sent"
    UNREGISTERED = "unregistered"
    LATER = "later"
    REFUSED = "refused"


@dataclass(frozen=True)
class PushReceipt:
    """`reference`: the service's own name of the message. `code`: a stable word for what went wrong."""

    outcome: PushOutcome
    reference: str | None = None
    code: str | None = None


class PushSender(Protocol):
    """Reaches phones."""

    @property
    def name(self) -> str:
        """What it is called in the delivery log (`fcm`, `log`)."""
        ...

    def send(self, push: Push, tokens: Sequence[str]) -> list[PushReceipt]:
        """One receipt a token (1 to 500), in order. Raises `Retryable` when nothing at all could be asked."""
        ...


@dataclass(frozen=True)
class WebhookReply:
    """What the other side answered: `status` is the HTTP status. Its body is never read beyond what TCP needs.

    `retry_after`: the seconds it asks to be left alone, where it says a number of seconds.
    """

    status: int
    retry_after: float | None = None


class WebhookSender(Protocol):
    """Posts to URLs that an administrator named."""

    def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> WebhookReply:
        """One attempt; redirects are not followed. Raises `FetchFailed` where no answer came or none may be asked."""
        ...


# --------------------------------------------------------------------------- access


class Role(StrEnum):
    """What somebody may do; each may do what those before it may, except that a viewer reports no signals."""

    DEVICE = "device"
    VIEWER = "viewer"
    OPERATOR = "operator"
    ADMIN = "admin"

    def includes(self, other: Role) -> bool:
        """Whether who has this role may do what `other` may."""
        order = list(Role)
        return order.index(self) >= order.index(other)


@dataclass(frozen=True)
class Caller:
    """Somebody known. `places`: the beacons of which they may see, act on and report what is there; None: all.

    `speaks_for_others`: a program that many use, which is believed when it says on whose behalf it acts.
    """

    name: str
    role: Role
    places: tuple[str, ...] | None = None
    speaks_for_others: bool = False

    @property
    def identity(self) -> str:
        """The name with what its holder is: a device, a program and a person may all be called the same."""
        if self.speaks_for_others:
            return f"program:{self.name}"
        return f"{'device' if self.role is Role.DEVICE else 'person'}:{self.name}"

    def may_see(self, beacon_id: str) -> bool:
        """Whether incidents of this place, and what was uploaded for it, are theirs to see."""
        return self.places is None or beacon_id in self.places


class Identities(Protocol):
    """Knows who holds a bearer token. One may serve all threads."""

    def identify(self, token: str) -> Caller | None:
        """Who holds it; None: nobody known. Never raises for a token, however strange.

        Raises `Retryable` where it can't be told at present: an outage must not look like a wrong token.
        """
        ...
