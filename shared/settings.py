"""The only reader of the environment: one frozen dataclass a function, filled by `load`.

Every variable that is missing or malformed is named in one `SettingsError`, so that a deployment is mended in one go.
Nothing else in Sightline may look at `os.environ`.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, dataclass, field, fields
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

from shared.buckets import Buckets
from shared.domain.actors import is_reserved
from shared.domain.assets import MEDIA_PREFIX, is_shown_text
from shared.domain.costs import Machine
from shared.domain.evidence_images import LinkMode
from shared.domain.incidents import IncidentPolicy, SignalKind
from shared.domain.moderation.moderated import ANNOTATIONS_PREFIX, QUARANTINE_PREFIX
from shared.domain.reuse import ReuseMode, ReusePolicy
from shared.domain.timeline import ANALYSIS_PREFIX
from shared.errors import SettingsError
from shared.ports import Caller, Role

T = TypeVar("T")

MAX_LEASE_SECONDS = 120.0
"""Pub/Sub gives up after about 150 s (five deliveries, 10 s minimum backoff): a dead worker must be replaced before."""

ROOT = Path(__file__).resolve().parent.parent
"""The root of the repository or of a function's bundle; a relative MODEL_PATH begins there."""

BUNDLED_MODEL = ROOT / "models" / "violence-motion-1.json"

DEFAULT_GEMINI_MODEL = "gemini-2.5-flash"

USER_ROLES = (Role.VIEWER.value, Role.OPERATOR.value, Role.ADMIN.value)
SHORTEST_USER_TOKEN = 16

FIREBASE_KEYS = "https://www.googleapis.com/service_accounts/v1/jwk/securetoken@system.gserviceaccount.com"
"""The public keys of Firebase's ID tokens, as a JWK set."""


def _text(raw: str) -> str:
    if not raw.strip():
        raise ValueError("is empty")
    return raw.strip()


def _seconds(raw: str) -> float:
    value = float(raw)
    if not 0 < value <= 86_400 * 31:
        raise ValueError("is not a number of seconds above 0")
    return value


def _level(raw: str) -> str:
    level = raw.strip().upper()
    if level not in {"DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"}:
        raise ValueError("is no log level")
    return level


def _lease(raw: str) -> float:
    value = _seconds(raw)
    if value > MAX_LEASE_SECONDS:
        raise ValueError(f"is more than {MAX_LEASE_SECONDS:.0f} seconds")
    return value


def _file(raw: str) -> Path:
    path = ROOT / raw.strip()
    if not path.is_file():
        raise ValueError(f"is no file: {path}")
    return path


def _dollars(raw: str) -> float:
    value = float(raw)
    if not 0 <= value < math.inf:
        raise ValueError("is no amount of USD, 0 or more")
    return value


def _address(raw: str) -> str:
    host, colon, port = raw.strip().rpartition(":")
    if not colon or not host or "/" in host or not port.isdecimal():
        raise ValueError("is no host:port")
    return raw.strip()


def _size(raw: str) -> float:
    value = float(raw)
    if not 0 < value < math.inf:
        raise ValueError("is not a number above 0")
    return value


def _whole_number(raw: str) -> int:
    value = int(raw)
    if not 1 <= value <= 64:
        raise ValueError("is not a whole number from 1 to 64")
    return value


def _hours(raw: str) -> float:
    value = float(raw)
    if not 0 < value <= 24 * 365:
        raise ValueError("is not a number of hours above 0, at most a year")
    return value


def _places(raw: str) -> tuple[tuple[str, str], ...]:
    """`bucket/prefix,bucket/prefix`: each bucket with the beginning of the names that are meant."""
    places = tuple(part.strip().partition("/") for part in raw.split(",") if part.strip())
    if not places or not all(bucket for bucket, _, _ in places):
        raise ValueError("names no bucket")
    return tuple((bucket, prefix) for bucket, _, prefix in places)


def _days(raw: str) -> float:
    value = float(raw)
    if not 0 < value <= 3650:
        raise ValueError("is not a number of days above 0, up to 3650")
    return value


def _reuse(raw: str) -> ReuseMode:
    known = {mode.value: mode for mode in ReuseMode}
    if raw.strip().lower() not in known:
        raise ValueError(f"is none of {', '.join(known)}")
    return known[raw.strip().lower()]


def _truth(raw: str) -> bool:
    known = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
    if raw.strip().lower() not in known:
        raise ValueError("is neither true nor false")
    return known[raw.strip().lower()]


def _link_mode(raw: str) -> LinkMode:
    if raw.strip().lower() not in list(LinkMode):
        raise ValueError(f"is none of {', '.join(LinkMode)}")
    return LinkMode(raw.strip().lower())


def _user_tokens(raw: str) -> tuple[tuple[str, Caller], ...]:
    """`[{"name": "Ana", "role": "operator", "token": "…", "places": ["gate:1"]}]`; without `places`: all.

    JSON, because the ids of places may hold any separator. What is wrong is said without showing a token.
    """
    try:
        entries = json.loads(raw)
    except ValueError:
        raise ValueError("is no JSON") from None
    if not isinstance(entries, list):
        raise ValueError("is no list of objects")
    users = tuple(_user_token(number, entry) for number, entry in enumerate(entries, start=1))
    if len({token for token, _ in users}) < len(users):
        raise ValueError("has the same token twice")
    return users


def _user_token(number: int, entry: object) -> tuple[str, Caller]:
    if not isinstance(entry, dict) or set(entry) - {"places"} != {"name", "role", "token"}:
        raise ValueError(f"entry {number} does not have name, role, token and perhaps places, and nothing else")
    name, role, token, places = entry["name"], entry["role"], entry["token"], entry.get("places")
    if not isinstance(name, str) or not is_shown_text(name, 100):
        raise ValueError(f"entry {number}: name is not 1 to 100 printable characters")
    if is_reserved(name):
        raise ValueError(f"entry {number}: the name is reserved")
    if role not in USER_ROLES:
        raise ValueError(f"entry {number}: role is none of {', '.join(USER_ROLES)}")
    if not isinstance(token, str) or len(token) < SHORTEST_USER_TOKEN or not token.isascii() or " " in token:
        raise ValueError(f"entry {number}: token is not {SHORTEST_USER_TOKEN} or more ASCII characters without blanks")
    if places is not None and not (isinstance(places, list) and all(isinstance(place, str) for place in places)):
        raise ValueError(f"entry {number}: places is no list of beacons' ids")
    return token, Caller(name, Role(role), None if places is None else tuple(places))


def _kinds(raw: str) -> frozenset[SignalKind]:
    named = {part.strip().lower() for part in raw.split(",") if part.strip()}
    if not named or not named <= set(SignalKind):
        raise ValueError(f"is no list of {', '.join(SignalKind)}")
    return frozenset(SignalKind(name) for name in named)


def _optional_seconds(value: float | None) -> timedelta | None:
    return None if value is None else timedelta(seconds=value)


def _origins(raw: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in raw.split(",") if part.strip())


def variable(name: str, parse: Callable[[str], Any] = _text, **default: Any) -> Any:
    """A dataclass field read from the environment variable `name`; required unless it has a default (or a factory)."""
    return field(metadata={"variable": name, "parse": parse}, **default)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What every function needs."""

    project: str = variable("GOOGLE_CLOUD_PROJECT")
    database: str = variable("FIRESTORE_DATABASE", default="(default)")
    log_level: str = variable("LOG_LEVEL", _level, default="INFO")


@dataclass(frozen=True, kw_only=True)
class MachineSettings:
    """What the function's own instances are given, in vCPU and MiB: the bill counts these. Unset, nothing is billed."""

    function_cpu: float | None = variable("FUNCTION_CPU", _size, default=None)
    function_memory: float | None = variable("FUNCTION_MEMORY_MIB", _size, default=None)

    def machine(self) -> Machine | None:
        """As the domain wants it."""
        if self.function_cpu is None or self.function_memory is None:
            return None
        return Machine(self.function_cpu, self.function_memory)


@dataclass(frozen=True, kw_only=True)
class StageSettings(Settings, MachineSettings):
    """A stage of the pipeline. `lease_seconds`: how long a silent worker keeps its claim (renewed at a third of it)."""

    lease_seconds: float = variable("STAGE_LEASE_SECONDS", _lease, default=30.0)

    def lease(self) -> timedelta:
        """As the runner wants it."""
        return timedelta(seconds=self.lease_seconds)


@dataclass(frozen=True, kw_only=True)
class ReuseSettings:
    """Whether the analysis of an upload that was seen before is reused (docs of `shared/domain/reuse.py`)."""

    reuse_analyses: ReuseMode = variable("REUSE_ANALYSES", _reuse, default=ReuseMode.SIMILAR)

    def reuse_policy(self) -> ReusePolicy:
        """As the domain wants it."""
        return ReusePolicy(mode=self.reuse_analyses)


@dataclass(frozen=True, kw_only=True)
class MediaBucketSettings:
    """Where uploads lie. `MediaBucketSettings` and what follows say which buckets a function knows."""

    media_bucket: str = variable("MEDIA_BUCKET")

    def prefixes(self) -> dict[str, str]:
        """The known buckets by what the names of their objects begin with."""
        return {"": self.media_bucket}

    def buckets(self) -> Buckets:
        """As the adapters want them."""
        return Buckets(self.prefixes())


@dataclass(frozen=True, kw_only=True)
class QuarantineBucketSettings(MediaBucketSettings):
    """Uploads and the flagged ones among them."""

    quarantine_bucket: str = variable("QUARANTINE_BUCKET")

    def prefixes(self) -> dict[str, str]:
        """With that of flagged files."""
        return {**super().prefixes(), QUARANTINE_PREFIX: self.quarantine_bucket}


@dataclass(frozen=True, kw_only=True)
class ResultsBucketSettings(MediaBucketSettings):
    """Uploads and what analysers wrote of them."""

    results_bucket: str = variable("RESULTS_BUCKET")

    def prefixes(self) -> dict[str, str]:
        """With that of results."""
        return {
            **super().prefixes(),
            ANALYSIS_PREFIX: self.results_bucket,
            ANNOTATIONS_PREFIX: self.results_bucket,
        }


@dataclass(frozen=True, kw_only=True)
class AllMediaSettings(QuarantineBucketSettings, ResultsBucketSettings):
    """Everything of an upload, wherever it lies."""


@dataclass(frozen=True, kw_only=True)
class MediaSettings(StageSettings, ReuseSettings, QuarantineBucketSettings):
    """A stage that reads uploads; a replay's may lie in quarantine."""


@dataclass(frozen=True, kw_only=True)
class DetectSettings(MediaSettings, AllMediaSettings):
    """`model_path`: the bundled model's, or a user's own with its sidecar beside it."""

    model_path: Path = variable("MODEL_PATH", _file, default=BUNDLED_MODEL)


@dataclass(frozen=True, kw_only=True)
class GeminiSettings:
    """Which Gemini model describes videos. `gemini_endpoint`: another origin than Google's.

    `gemini_model` `none`: none is asked. `gemini_budget`: USD for each UTC day, over all instances; unset, there is no
    limit.
    """

    gemini_model: str = variable("GEMINI_MODEL", default=DEFAULT_GEMINI_MODEL)
    gemini_endpoint: str | None = variable("GEMINI_ENDPOINT", default=None)
    gemini_budget: float | None = variable("BUDGET_USD_GEMINI", _dollars, default=None)

    @property
    def asks_gemini(self) -> bool:
        """Whether there is a model to ask."""
        return self.gemini_model.lower() != "none"


@dataclass(frozen=True, kw_only=True)
class ContextSettings(MediaSettings, AllMediaSettings, GeminiSettings):
    """The stage that lets Gemini describe an upload, in place. `location`: where the model runs."""

    location: str = variable("GEMINI_LOCATION", default="global")
    gemini_timeout: float = variable("GEMINI_TIMEOUT_SECONDS", _seconds, default=240.0)


@dataclass(frozen=True, kw_only=True)
class GoogleWitnessSettings:
    """Where Google's analysers are: host:port of an emulator, asked without credentials; unset, Google's own."""

    vision_endpoint: str | None = variable("VISION_ENDPOINT", _address, default=None)
    language_endpoint: str | None = variable("LANGUAGE_ENDPOINT", _address, default=None)
    video_endpoint: str | None = variable("VIDEO_INTELLIGENCE_ENDPOINT", _address, default=None)


@dataclass(frozen=True, kw_only=True)
class IncidentSettings:
    """How signals become incidents (SPEC §4), in seconds. Quiet time and maximum age are off unless set.

    `kinds`: which kinds of signals take part; the others are logged.
    """

    window_seconds: float = variable("INCIDENT_WINDOW_SECONDS", _seconds, default=300.0)
    quiet_seconds: float | None = variable("INCIDENT_QUIET_SECONDS", _seconds, default=None)
    max_age_seconds: float | None = variable("INCIDENT_MAX_AGE_SECONDS", _seconds, default=None)
    joins_neighbours: bool = variable("INCIDENT_JOINS_NEIGHBOURS", _truth, default=False)
    kinds: frozenset[SignalKind] = variable("INCIDENT_KINDS", _kinds, default=frozenset(SignalKind))

    def policy(self) -> IncidentPolicy:
        """As the domain wants it."""
        return IncidentPolicy(
            window=timedelta(seconds=self.window_seconds),
            quiet=_optional_seconds(self.quiet_seconds),
            max_age=_optional_seconds(self.max_age_seconds),
            joins_neighbours=self.joins_neighbours,
            kinds=self.kinds,
        )


@dataclass(frozen=True, kw_only=True)
class LinkSettings:
    """How evidence is linked to: signed, or public as the bucket must be then."""

    evidence_urls: LinkMode = variable("EVIDENCE_URLS", _link_mode, default=LinkMode.SIGNED)


@dataclass(frozen=True, kw_only=True)
class EvidenceSettings(LinkSettings):
    """Where evidence lies. `evidence_signer`: the account that signs links; not needed where the credentials can."""

    evidence_bucket: str = variable("EVIDENCE_BUCKET")
    evidence_signer: str | None = variable("EVIDENCE_SIGNER_ACCOUNT", default=None)

    def public_base(self) -> str:
        """What public URLs of the bucket begin with, as the source has them."""
        return f"https://storage.googleapis.com/{self.evidence_bucket}"


@dataclass(frozen=True, kw_only=True)
class CorrelateSettings(StageSettings, IncidentSettings):
    """The stage that opens incidents."""


@dataclass(frozen=True, kw_only=True)
class QuarantineSettings:
    """`quarantine_days`: how long a flagged file is kept for review.

    `evidence_days`: how long a picture is kept for review, and one of an incident after the incident was resolved.
    """

    quarantine_days: float = variable("QUARANTINE_DAYS", _days, default=30.0)
    evidence_days: float = variable("EVIDENCE_RETENTION_DAYS", _days, default=30.0)

    def quarantine(self) -> timedelta:
        """As the sweeper wants it."""
        return timedelta(days=self.quarantine_days)

    def evidence_retention(self) -> timedelta:
        """As the sweeper wants it."""
        return timedelta(days=self.evidence_days)


@dataclass(frozen=True, kw_only=True)
class MaintainSettings(Settings, AllMediaSettings, QuarantineSettings):
    """The sweeper. `grace_seconds`: how long work must have been left alone before its message is sent again.

    `video_endpoint`: another place than Google's for Video Intelligence, without TLS.
    """

    evidence_bucket: str = variable("EVIDENCE_BUCKET")
    grace_seconds: float = variable("SWEEP_GRACE_SECONDS", _seconds, default=300.0)
    video_endpoint: str | None = variable("VIDEO_INTELLIGENCE_ENDPOINT", _address, default=None)

    def grace(self) -> timedelta:
        """As the sweeper wants it."""
        return timedelta(seconds=self.grace_seconds)


@dataclass(frozen=True, kw_only=True)
class UserSettings:
    """Who may call beside the holder of the shared token: people, each with a token of their own."""

    user_tokens: tuple[tuple[str, Caller], ...] = variable(
        "SIGHTLINE_USER_TOKENS", _user_tokens, default=(), repr=False
    )

    def callers_beside(self, api_token: str | None) -> dict[str, Caller]:
        """Who holds which token. The shared one's holder is an administrator that speaks for others."""
        shared = {} if api_token is None else {api_token: Caller("token holder", Role.ADMIN, speaks_for_others=True)}
        return {**dict(self.user_tokens), **shared}


@dataclass(frozen=True, kw_only=True)
class FirebaseSettings:
    """Whether people may call by Firebase's ID tokens. `firebase_keys_url`: other keys than Google's."""

    firebase_auth: bool = variable("FIREBASE_AUTH", _truth, default=False)
    firebase_keys_url: str = variable("FIREBASE_KEYS_URL", default=FIREBASE_KEYS)

    def firebase_keys(self) -> str | None:
        """Where the keys are; None: ID tokens open nothing."""
        return self.firebase_keys_url if self.firebase_auth else None


@dataclass(frozen=True, kw_only=True)
class WebSettings(Settings, UserSettings, FirebaseSettings):
    """What every HTTP function needs. The token is required here; only the embedded default may do without."""

    api_token: str = variable("SIGHTLINE_API_TOKEN", repr=False)
    allowed_origins: tuple[str, ...] = variable("ALLOWED_ORIGINS", _origins, default=())

    def callers(self) -> dict[str, Caller]:
        """Who holds which token of the environment."""
        return self.callers_beside(self.api_token)


@dataclass(frozen=True, kw_only=True)
class UploadSettings(WebSettings, MediaBucketSettings):
    """`upload_signer`: the service account that signs URLs; not needed where the credentials can sign themselves."""

    upload_signer: str | None = variable("UPLOAD_SIGNER_ACCOUNT", default=None)


@dataclass(frozen=True, kw_only=True)
class AnalysisSettings(WebSettings, ResultsBucketSettings, MachineSettings):
    """The function that analyses a file while the client waits. `model_path` as in `DetectSettings`."""

    model_path: Path = variable("MODEL_PATH", _file, default=BUNDLED_MODEL)


@dataclass(frozen=True, kw_only=True)
class ProfileSettings:
    """By which rules media is judged. A profile is a name of `policies/profiles/`, or the path of a file.

    `strict_profile` judges where a client asks for strictness; `shadow_profile` judges alongside and decides nothing.
    """

    profile: str = variable("MODERATION_PROFILE", default="balanced")
    strict_profile: str = variable("MODERATION_STRICT_PROFILE", default="strict")
    shadow_profile: str | None = variable("MODERATION_SHADOW_PROFILE", default=None)

    def profile_names(self) -> tuple[str, str, str | None]:
        """The standard one, the strict one, and the shadow."""
        return self.profile, self.strict_profile, self.shadow_profile


@dataclass(frozen=True, kw_only=True)
class WitnessBudgetSettings:
    """USD for each UTC day, over all instances and stages; unset, there is no limit."""

    vision_budget: float | None = variable("BUDGET_USD_VISION", _dollars, default=None)
    language_budget: float | None = variable("BUDGET_USD_LANGUAGE", _dollars, default=None)

    def budgets(self) -> dict[str, float | None]:
        """By the names of the services, pictures first."""
        return {"Vision": self.vision_budget, "Language": self.language_budget}


@dataclass(frozen=True, kw_only=True)
class WitnessSettings(ProfileSettings, WitnessBudgetSettings, GoogleWitnessSettings):
    """Who looks at uploads. `video_budget` 0: Video Intelligence is never asked."""

    video_budget: float | None = variable("BUDGET_USD_VIDEO_INTELLIGENCE", _dollars, default=None)


@dataclass(frozen=True, kw_only=True)
class ModerateSettings(MediaSettings, AllMediaSettings, WitnessSettings):
    """The stage that judges uploads."""


@dataclass(frozen=True, kw_only=True)
class AnnotateSettings(StageSettings, ResultsBucketSettings, WitnessSettings):
    """The stage that goes on with what Video Intelligence saw. Work is known by the uploads' bucket."""


@dataclass(frozen=True, kw_only=True)
class EscalateSettings(CorrelateSettings):
    """The stage in which verdicts open incidents."""


@dataclass(frozen=True, kw_only=True)
class DirectModerationSettings:
    """`cache_hours`: how long a verdict is served again. `concurrency`: items of one batch at a time.

    `named_places`: which objects clients may name by `gs://`; unset, the uploads.
    """

    cache_hours: float = variable("CACHE_DURATION_HOURS", _hours, default=24.0)
    concurrency: int = variable("MODERATION_CONCURRENCY", _whole_number, default=8)
    named_places: tuple[tuple[str, str], ...] = variable("MODERATION_BUCKETS", _places, default=())

    def cache_duration(self) -> timedelta:
        """As the cache wants it."""
        return timedelta(hours=self.cache_hours)

    def places(self, media_bucket: str) -> tuple[tuple[str, str], ...]:
        """Buckets, each with the beginning of the names that are meant."""
        return self.named_places or ((media_bucket, MEDIA_PREFIX),)


@dataclass(frozen=True, kw_only=True)
class ModerationSettings(
    WebSettings,
    MediaBucketSettings,
    ProfileSettings,
    WitnessBudgetSettings,
    GoogleWitnessSettings,
    DirectModerationSettings,
):
    """The function that moderates while the client waits. `model_path` as in `DetectSettings`."""

    model_path: Path = variable("MODEL_PATH", _file, default=BUNDLED_MODEL)


@dataclass(frozen=True, kw_only=True)
class SignalSettings(WebSettings, IncidentSettings, EvidenceSettings):
    """The function that devices report to."""


@dataclass(frozen=True, kw_only=True)
class IncidentsSettings(WebSettings, AllMediaSettings, EvidenceSettings):
    """The function by which operators see incidents and act on them."""


@dataclass(frozen=True, kw_only=True)
class WebhookSettings:
    """`private_hosts`: receivers of webhooks within the own network, `host` or `host:port`; others must be public."""

    private_hosts: tuple[str, ...] = variable("WEBHOOK_PRIVATE_HOSTS", _origins, default=())


@dataclass(frozen=True, kw_only=True)
class RegistrySettings(WebSettings, WebhookSettings):
    """The function by which administrators set up places, guards, webhooks and devices."""


@dataclass(frozen=True, kw_only=True)
class AlertSettings:
    """`cool_down_seconds`: after an alert, others of the same place that are no more urgent are held back."""

    cool_down_seconds: float | None = variable("ALERT_COOL_DOWN_SECONDS", _seconds, default=None)

    def cool_down(self) -> timedelta | None:
        """As the handler wants it."""
        return _optional_seconds(self.cool_down_seconds)


@dataclass(frozen=True, kw_only=True)
class NotifySettings(Settings, AlertSettings, EvidenceSettings, WebhookSettings):
    """The function that alerts. `timer_queue`: the Cloud Tasks queue, whole (`projects/…/locations/…/queues/…`).

    `timer_account`: in whose name its tasks publish. Without both no alert would reach a second round.

    `timer_endpoint` (host:port), `pubsub_origin`, `fcm_origin`: other places than Google's, asked without credentials.
    """

    timer_queue: str = variable("TIMER_QUEUE")
    timer_account: str = variable("TIMER_ACCOUNT")
    timer_endpoint: str | None = variable("CLOUD_TASKS_ENDPOINT", _address, default=None)
    pubsub_origin: str = variable("PUBSUB_ORIGIN", default="https://pubsub.googleapis.com")
    fcm_origin: str | None = variable("FCM_ORIGIN", default=None)

    def emulated_timers(self) -> tuple[str, str] | None:
        """Where the emulator of Cloud Tasks is, and to which origin its tasks publish; None for Google's own."""
        return None if self.timer_endpoint is None else (self.timer_endpoint, self.pubsub_origin)


@dataclass(frozen=True, kw_only=True)
class StreamSettings:
    """`ws_enabled`: whether `/stream` takes WebSockets, too."""

    ws_enabled: bool = variable("WS_ENABLED", _truth, default=True)


@dataclass(frozen=True, kw_only=True)
class LiveSettings(WebSettings, StreamSettings):
    """The service that tells what changes as it happens."""


@dataclass(frozen=True, kw_only=True)
class QuerySettings(WebSettings, StreamSettings):
    """The function that reads everything back: of files, only what analysers wrote."""

    results_bucket: str = variable("RESULTS_BUCKET")


@dataclass(frozen=True, kw_only=True)
class EmbeddedSettings(
    IncidentSettings,
    GeminiSettings,
    ReuseSettings,
    ProfileSettings,
    DirectModerationSettings,
    QuarantineSettings,
    LinkSettings,
    AlertSettings,
    UserSettings,
    WebhookSettings,
    StreamSettings,
):
    """The embedded home. Without a token everything is open, and `/` says so; without a key, Gemini is not asked.

    `sweep_seconds`: how often the sweeper runs, if not as often as on Google Cloud. Its grace is shorter than there: a
    delivery here is repeated within seconds.
    """

    google_api_key: str | None = variable("GOOGLE_API_KEY", default=None)

    api_token: str | None = variable("SIGHTLINE_API_TOKEN", default=None)
    allowed_origins: tuple[str, ...] = variable("ALLOWED_ORIGINS", _origins, default=())
    log_level: str = variable("LOG_LEVEL", _level, default="INFO")
    lease_seconds: float = variable("STAGE_LEASE_SECONDS", _lease, default=30.0)
    grace_seconds: float = variable("SWEEP_GRACE_SECONDS", _seconds, default=60.0)
    sweep_seconds: float | None = variable("SWEEP_SECONDS", _seconds, default=None)
    model_path: Path = variable("MODEL_PATH", _file, default=BUNDLED_MODEL)

    def callers(self) -> dict[str, Caller]:
        """Who holds which token; without any, everything is open."""
        return self.callers_beside(self.api_token)


@dataclass(frozen=True, kw_only=True)
class UploaderSettings:
    """The command that uploads files. `cache_folder`: the user's, for what an interrupted one needs to go on."""

    api_token: str | None = variable("SIGHTLINE_API_TOKEN", default=None)
    cache_folder: Path = variable("XDG_CACHE_HOME", Path, default_factory=lambda: Path("~/.cache").expanduser())


def variables(settings: type) -> dict[str, bool]:
    """The environment variables a settings class reads, each with whether it is required."""
    return {entry.metadata["variable"]: _required(entry) for entry in fields(settings)}


def load(settings: type[T], environ: Mapping[str, str] | None = None) -> T:
    """Reads one settings class. Raises `SettingsError` that names every missing and every malformed variable."""
    environ = os.environ if environ is None else environ
    values: dict[str, Any] = {}
    missing: list[str] = []
    malformed: list[str] = []
    for entry in fields(settings):  # type: ignore[arg-type]
        name = entry.metadata["variable"]
        raw = environ.get(name, "")
        if raw == "":
            if _required(entry):
                missing.append(name)
            continue
        try:
            values[entry.name] = entry.metadata["parse"](raw)
        except ValueError as error:
            malformed.append(f"{name} ({error})")
    if missing or malformed:
        raise SettingsError(_complaint(missing, malformed))
    return settings(**values)


def _required(entry: Field[Any]) -> bool:
    return entry.default is MISSING and entry.default_factory is MISSING


def _complaint(missing: list[str], malformed: list[str]) -> str:
    parts = []
    if missing:
        parts.append("missing: " + ", ".join(missing))
    if malformed:
        parts.append("malformed: " + ", ".join(malformed))
    return "environment variables " + "; ".join(parts)
