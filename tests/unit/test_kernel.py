"""Settings, ids, messages and logs."""

from __future__ import annotations

import io
import json
import logging
import random
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared import ids, logs, settings
from shared.domain.costs import Machine
from shared.domain.detections import Segment
from shared.domain.incidents import SignalKind
from shared.domain.reuse import ReuseMode
from shared.errors import Malformed, SettingsError
from shared.messages import IncidentOpened, MediaDetected, MediaUploaded, decode, decode_finalised, encode
from shared.ports import Delivery
from tests.fakes import ManualClock

NOW = datetime(2026, 11, 21, tzinfo=UTC)


class TestSettings:
    def test_all_missing_and_malformed_variables_are_named_in_one_error(self) -> None:
        with pytest.raises(SettingsError) as refused:
            settings.load(settings.UploadSettings, {"GOOGLE_CLOUD_PROJECT": "p"})
        assert str(refused.value) == "environment variables missing: MEDIA_BUCKET, SIGHTLINE_API_TOKEN"

    @pytest.mark.parametrize("name", ["LOG_LEVEL", "STAGE_LEASE_SECONDS"])
    def test_every_value_is_checked(self, name: str) -> None:
        with pytest.raises(SettingsError, match=name):
            settings.load(settings.EmbeddedSettings, {name: "999"})

    def test_a_malformed_variable_is_named_with_the_reason(self) -> None:
        environment = {"GOOGLE_CLOUD_PROJECT": "p", "INCIDENT_WINDOW_SECONDS": "soon", "STAGE_LEASE_SECONDS": "-1"}
        with pytest.raises(SettingsError, match=r"malformed: (?=.*STAGE_LEASE_SECONDS)(?=.*INCIDENT_WINDOW_SECONDS)"):
            settings.load(settings.CorrelateSettings, environment)

    def test_a_model_that_is_not_there_is_told_with_everything_else(self) -> None:
        with pytest.raises(
            SettingsError, match=r"malformed: LOG_LEVEL \(.*\), MODEL_PATH \(is no file: .*/absent.keras\)"
        ):
            settings.load(settings.EmbeddedSettings, {"LOG_LEVEL": "loud", "MODEL_PATH": "absent.keras"})

    def test_a_relative_model_path_begins_at_the_root(self) -> None:
        loaded = settings.load(settings.EmbeddedSettings, {"MODEL_PATH": "README.md"})
        assert loaded.model_path == settings.ROOT / "README.md"

    def test_defaults_are_those_of_the_specification(self) -> None:
        loaded = settings.load(settings.EmbeddedSettings, {})
        assert loaded.window_seconds == 300
        assert loaded.policy().window == timedelta(seconds=300)
        assert loaded.policy().quiet is None
        assert loaded.api_token is None
        assert loaded.reuse_policy().mode is ReuseMode.SIMILAR

    def test_the_kinds_that_take_part_in_incidents_are_words(self) -> None:
        assert settings.load(settings.EmbeddedSettings, {}).policy().kinds == set(SignalKind)
        loaded = settings.load(settings.EmbeddedSettings, {"INCIDENT_KINDS": "Violence, scream,"})
        assert loaded.policy().kinds == {SignalKind.VIOLENCE, SignalKind.SCREAM}
        with pytest.raises(SettingsError, match=r"INCIDENT_KINDS \(is no list of violence, scream, moderation"):
            settings.load(settings.EmbeddedSettings, {"INCIDENT_KINDS": "fights"})

    @pytest.mark.parametrize("mode", ReuseMode)
    def test_the_modes_of_reuse_are_words(self, mode: ReuseMode) -> None:
        loaded = settings.load(settings.EmbeddedSettings, {"REUSE_ANALYSES": f" {mode.upper()} "})
        assert loaded.reuse_policy().mode is mode

    def test_another_word_is_refused_with_those_there_are(self) -> None:
        with pytest.raises(SettingsError, match=r"REUSE_ANALYSES \(is none of never, exact, similar\)"):
            settings.load(settings.EmbeddedSettings, {"REUSE_ANALYSES": "yes"})

    @pytest.mark.parametrize("endpoint", ["localhost:9000", "[::1]:9000", "127.0.0.1:9000"])
    def test_an_endpoint_is_a_host_and_a_port(self, endpoint: str) -> None:
        loaded = settings.load(settings.GoogleWitnessSettings, {"VISION_ENDPOINT": f" {endpoint} "})
        assert (loaded.vision_endpoint, loaded.language_endpoint) == (endpoint, None)

    @pytest.mark.parametrize("endpoint", ["localhost", "http://localhost:9000", ":9000", "localhost:"])
    def test_an_endpoint_of_another_form_is_refused(self, endpoint: str) -> None:
        with pytest.raises(SettingsError, match=r"VISION_ENDPOINT \(is no host:port\)"):
            settings.load(settings.GoogleWitnessSettings, {"VISION_ENDPOINT": endpoint})

    @pytest.mark.parametrize(
        "function",
        [
            settings.ModerateSettings,
            settings.AnnotateSettings,
            settings.MaintainSettings,
            settings.ModerationSettings,
        ],
    )
    def test_every_function_that_asks_an_analyser_refuses_it(
        self, function: type[settings.GoogleWitnessSettings]
    ) -> None:
        with pytest.raises(SettingsError, match=r"VIDEO_INTELLIGENCE_ENDPOINT \(is no host:port\)"):
            settings.load(function, {"VIDEO_INTELLIGENCE_ENDPOINT": "http://localhost:9000"})

    @pytest.mark.parametrize("budget", ["-1", "nan", "inf", "ten", "1,5"])
    def test_a_budget_is_an_amount(self, budget: str) -> None:
        with pytest.raises(SettingsError, match="BUDGET_USD_GEMINI"):
            settings.load(settings.EmbeddedSettings, {"BUDGET_USD_GEMINI": budget})

    @pytest.mark.parametrize(("raw", "budget"), [("", None), ("0", 0.0), ("2.50", 2.5)])
    def test_without_a_budget_there_is_no_limit_and_zero_is_one(self, raw: str, budget: float | None) -> None:
        assert settings.load(settings.EmbeddedSettings, {"BUDGET_USD_GEMINI": raw}).gemini_budget == budget

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("CACHE_DURATION_HOURS", "0"),
            ("CACHE_DURATION_HOURS", "nan"),
            ("CACHE_DURATION_HOURS", "9000"),
            ("MODERATION_CONCURRENCY", "0"),
            ("MODERATION_CONCURRENCY", "65"),
            ("MODERATION_CONCURRENCY", "2.5"),
            ("MODERATION_BUCKETS", "/media"),
            ("MODERATION_BUCKETS", ","),
        ],
    )
    def test_moderations_are_checked(self, name: str, value: str) -> None:
        with pytest.raises(SettingsError, match=name):
            settings.load(settings.DirectModerationSettings, {name: value})

    def test_clients_may_name_the_uploads_unless_places_are_set(self) -> None:
        assert settings.load(settings.DirectModerationSettings, {}).places("own") == (("own", "media/"),)
        named = settings.load(settings.DirectModerationSettings, {"MODERATION_BUCKETS": "own/media/, other/a/b,whole"})
        assert named.places("own") == (("own", "media/"), ("other", "a/b"), ("whole", ""))

    def test_a_function_knows_what_its_instances_are_given(self) -> None:
        environment = {"GOOGLE_CLOUD_PROJECT": "p", "FUNCTION_CPU": "0.5", "FUNCTION_MEMORY_MIB": "512"}
        assert settings.load(settings.CorrelateSettings, environment).machine() == Machine(0.5, 512)
        assert settings.load(settings.CorrelateSettings, {"GOOGLE_CLOUD_PROJECT": "p"}).machine() is None
        with pytest.raises(SettingsError, match="FUNCTION_CPU"):
            settings.load(settings.CorrelateSettings, {**environment, "FUNCTION_CPU": "0"})

    def test_values_are_parsed(self) -> None:
        environment = {
            "GOOGLE_CLOUD_PROJECT": "p",
            "SIGHTLINE_API_TOKEN": " secret ",
            "EVIDENCE_BUCKET": "evidence",
            "ALLOWED_ORIGINS": "https://a.example, https://b.example",
            "INCIDENT_QUIET_SECONDS": "30",
        }
        loaded = settings.load(settings.SignalSettings, environment)
        assert loaded.api_token == "secret"
        assert loaded.allowed_origins == ("https://a.example", "https://b.example")
        assert loaded.policy().quiet == timedelta(seconds=30)

    def test_nothing_else_reads_the_environment(self) -> None:
        readers = [
            path
            for folder in ("shared", "functions")
            for path in Path(folder).rglob("*.py")
            if "os.environ" in path.read_text() or "getenv" in path.read_text()
        ]
        assert readers == [Path("shared/settings.py")]


class TestIds:
    def test_ids_grow_and_fit_in_53_bits(self) -> None:
        clock = ManualClock(NOW)
        source = ids.TimeOrderedIds(clock, random.Random(1))
        drawn = []
        for _ in range(5000):
            drawn.append(source.next())
            if len(drawn) % 100 == 0:
                clock.advance(0.001)
        assert drawn == sorted(set(drawn))
        assert drawn[-1] <= 2**53 - 1

    def test_the_last_id_of_the_epoch_fits(self) -> None:
        source = ids.TimeOrderedIds(ManualClock(datetime(2094, 8, 1, tzinfo=UTC)))
        assert source.next() <= 2**53 - 1

    def test_a_later_millisecond_on_another_instance_gives_a_higher_id(self) -> None:
        earlier = ids.TimeOrderedIds(ManualClock(NOW)).next()
        later = ids.TimeOrderedIds(ManualClock(NOW + timedelta(milliseconds=2))).next()
        assert later > earlier

    def test_work_keys_tell_generations_and_stages_apart(self) -> None:
        keys = {ids.work_key("b", "o", generation, stage) for generation in (1, 2) for stage in ("detect", "ingest")}
        assert len(keys) == 4

    def test_derived_ids_repeat(self) -> None:
        assert ids.derived_uuid("a", "b") == ids.derived_uuid("a", "b") != ids.derived_uuid("ab", "")


UPLOADED = MediaUploaded(asset_id="a", bucket="b", object_name="media/a", generation=7, duration=2.5)


def delivered(data: object, **attributes: str) -> Delivery:
    raw = data if isinstance(data, bytes) else json.dumps(data).encode()
    return Delivery("message-1", raw, attributes)


class TestMessages:
    def test_a_message_comes_back_as_it_was_sent(self) -> None:
        found = MediaDetected(
            asset_id="a",
            bucket="b",
            object_name="media/a",
            generation=7,
            segments=(Segment(0.5, 2.0, 0.9, "violence"),),
            confidence=0.9,
            model="m",
        )
        sent = encode(found, message_id=ids.new_uuid(), now=NOW)
        assert decode(MediaDetected, Delivery("x", sent.data, sent.attributes)) == found
        assert sent.topic == "media-detected"
        assert sent.attributes["ce-type"] == "media-detected.v1"

    def test_times_survive(self) -> None:
        opened = IncidentOpened(
            incident_id="i", beacon_id="b", beacon_location="l", priority="High", opened_at=NOW, signal_id=1
        )
        sent = encode(opened, message_id=ids.new_uuid(), now=NOW)
        assert decode(IncidentOpened, Delivery("x", sent.data, sent.attributes)) == opened

    def test_unknown_fields_are_ignored(self) -> None:
        fields = {"asset_id": "a", "bucket": "b", "object_name": "media/a", "generation": 7, "duration": 2.5, "new": 1}
        assert decode(MediaUploaded, delivered(fields)) == UPLOADED

    @pytest.mark.parametrize(
        ("data", "code"),
        [
            (b"\xff\xfe", "not_json"),
            (b"[" * 100_000, "not_json"),
            ([1], "not_an_object"),
            ({}, "invalid_fields"),
            ({"asset_id": "a", "bucket": "b", "object_name": "o", "generation": "x", "duration": 1}, "invalid_fields"),
        ],
    )
    def test_what_cannot_be_read_is_a_permanent_error(self, data: object, code: str) -> None:
        with pytest.raises(Malformed) as refused:
            decode(MediaUploaded, delivered(data))
        assert refused.value.code == code

    def test_another_type_is_refused(self) -> None:
        with pytest.raises(Malformed, match="unexpected_type"):
            decode(MediaUploaded, delivered({}, **{"ce-type": "media-uploaded.v2"}))

    def test_a_storage_notification_is_read(self) -> None:
        resource = {
            "bucket": "b",
            "name": "media/a",
            "generation": "12",
            "metadata": {"source-id": "gate"},
            "size": "5",
        }
        read = decode_finalised(delivered(resource, eventType="OBJECT_FINALIZE"))
        assert read is not None
        assert (read.generation, read.source_id) == (12, "gate")

    @pytest.mark.parametrize(
        "attributes", [{"eventType": "OBJECT_DELETE"}, {"ce-type": "google.cloud.storage.object.v1.deleted"}]
    )
    def test_other_events_of_a_bucket_are_ignored(self, attributes: dict[str, str]) -> None:
        assert decode_finalised(delivered({}, **attributes)) is None

    @given(st.binary(max_size=200))
    def test_no_bytes_raise_anything_but_malformed(self, data: bytes) -> None:
        try:
            decode(MediaUploaded, delivered(data))
        except Malformed:
            return

    def test_the_trace_travels_with_the_message(self) -> None:
        with logs.context(trace="0af7651916cd43dd8448eb211c80319c"):
            sent = encode(UPLOADED, message_id=ids.new_uuid(), now=NOW)
        assert logs.trace_of(sent.attributes) == "0af7651916cd43dd8448eb211c80319c"


class TestLogs:
    def test_a_line_is_json_with_severity_trace_asset_and_stage(self) -> None:
        stream = io.StringIO()
        root = logging.getLogger()
        before, level = root.handlers, root.level
        try:
            logs.configure("info", project="p", stream=stream)
            with logs.context(trace="ab" * 16, asset="a1", stage="detect"):
                logging.getLogger("x").warning("slow: %d s", 3)
        finally:
            root.handlers, root.level = before, level
        line = json.loads(stream.getvalue())
        assert line["severity"] == "WARNING"
        assert line["message"] == "slow: 3 s"
        assert line["asset"] == "a1"
        assert line["stage"] == "detect"
        assert line["logging.googleapis.com/trace"] == f"projects/p/traces/{'ab' * 16}"

    @pytest.mark.parametrize(
        "headers",
        [
            {"Traceparent": f"00-{'ab' * 16}-{'cd' * 8}-01"},
            {"X-Cloud-Trace-Context": f"{'ab' * 16}/1234;o=1"},
        ],
    )
    def test_both_trace_headers_are_understood(self, headers: dict[str, str]) -> None:
        assert logs.trace_of(headers) == "ab" * 16

    def test_other_text_is_no_trace(self) -> None:
        assert logs.trace_of({"traceparent": "nonsense"}) is None
