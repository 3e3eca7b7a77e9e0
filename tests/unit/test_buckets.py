"""Where objects lie, by what their names begin with."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared import settings
from shared.buckets import Buckets

ROUTES = Buckets({"": "media", "analysis/": "results", "annotations/": "results", "quarantine/": "quarantine"})
WORDS = st.text(alphabet="ab/", max_size=4)


@pytest.mark.parametrize(
    ("name", "bucket"),
    [
        ("media/1", "media"),
        ("released/1", "media"),
        ("quarantine/1", "quarantine"),
        ("quarantine", "media"),
        ("media/quarantine/1", "media"),
        ("analysis/1/timeline.json", "results"),
        ("annotations/1/first.json", "results"),
    ],
)
def test_the_beginning_of_a_name_says_its_bucket(name: str, bucket: str) -> None:
    assert ROUTES.of(name) == bucket
    assert ROUTES.uri(name) == f"gs://{bucket}/{name}"


@pytest.mark.parametrize(
    ("prefix", "buckets"),
    [
        ("", ("media", "results", "quarantine")),
        ("an", ("media", "results")),
        ("analysis/7", ("results",)),
        ("media/", ("media",)),
    ],
)
def test_only_buckets_that_may_hold_such_names_are_listed(prefix: str, buckets: tuple[str, ...]) -> None:
    assert ROUTES.holding(prefix) == buckets


@given(st.dictionaries(WORDS, st.sampled_from("xyz")), WORDS, WORDS)
def test_no_listing_leaves_out_a_bucket_that_holds_such_a_name(routes: dict[str, str], prefix: str, rest: str) -> None:
    buckets = Buckets({"": "rest", **routes})
    assert buckets.of(prefix + rest) in buckets.holding(prefix)


def test_every_name_has_a_bucket() -> None:
    with pytest.raises(ValueError, match="no bucket"):
        Buckets({"analysis/": "results"})


def test_a_function_knows_the_buckets_its_settings_name() -> None:
    environment = {
        "GOOGLE_CLOUD_PROJECT": "p",
        "SIGHTLINE_API_TOKEN": "t",
        "EVIDENCE_BUCKET": "e",
        "MEDIA_BUCKET": "media",
        "QUARANTINE_BUCKET": "quarantine",
        "RESULTS_BUCKET": "results",
    }
    assert settings.load(settings.IncidentsSettings, environment).buckets() == ROUTES
    assert settings.load(settings.UploadSettings, environment).buckets().holding("") == ("media",)
