"""A moderation profile: all numbers and words by which evidence is judged, as data (SPEC §5).

`profile_of` (`profile_files.py`) makes one from a parsed TOML file and refuses what is wrong in it, all at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from shared.domain.incidents import Priority
from shared.domain.moderation.findings import Factor, Likelihood, Part, Tier
from shared.ports import Feature


@dataclass(frozen=True)
class Word:
    """What a vocabulary says of a witness's word: the category it stands for, and how much that means."""

    category: str
    tier: Tier


@dataclass(frozen=True)
class Context:
    """Surroundings in which contextual findings mean less: `labels` show it, findings of `lowers` become social.

    No label is a word of a vocabulary as well: else a more confident finding could make a verdict milder.
    """

    labels: frozenset[str]
    lowers: frozenset[str]


@dataclass(frozen=True)
class VideoPlan:
    """How a video is looked at: `frames` pictures with `features` each; Video Intelligence only in doubt.

    `doubt`: the frame scores (from, below) that are too uncertain to decide on. `always_full`: every video is looked at
    by Video Intelligence, whatever the frames say (strict mode).
    """

    frames: int
    features: tuple[Feature, ...]
    doubt: tuple[float, float]
    always_full: bool = False


@dataclass(frozen=True)
class IncidentRule:
    """Whether a FAIL opens an incident: only one that rests on a finding of these categories does."""

    open: bool
    categories: frozenset[str]
    priority: Priority


@dataclass(frozen=True)
class Profile:
    """One profile in force. `version` changes with everything that its file says, so that caches are keyed by it.

    Thresholds are confidences (0-1) at and above which a sighting counts, except `sentiment` (at or below), `crowd` and
    `shots` (more than). `categories`: thresholds of a contextual finding's category, before those of its tier.
    `shortest_text`: what is read in fewer characters is not judged. Words are as `words.normal` makes them.
    `context_confidence`: from which a label shows a context. `required`: parts without which no PASS is given.
    """

    name: str
    version: str
    weights: Mapping[Factor, float]
    safe_search: Mapping[str, Likelihood]
    safe_search_tiers: Mapping[str, Tier]
    detector: float
    objects: Mapping[Tier, float]
    scenes: Mapping[Tier, float]
    categories: Mapping[str, float]
    text: float
    shortest_text: int
    sentiment: float
    crowd: int
    shots: int
    fail_score: float
    caution_score: float
    lone_contextual: float
    object_words: Mapping[str, Word]
    scene_words: Mapping[str, Word]
    text_words: Mapping[str, Word]
    contexts: Mapping[str, Context]
    context_confidence: float
    video: VideoPlan
    image_features: tuple[Feature, ...]
    incident: IncidentRule
    quarantine: bool = True
    required: frozenset[Part] = field(default_factory=frozenset)
