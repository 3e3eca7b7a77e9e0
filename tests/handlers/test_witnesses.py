"""The evidence of several witnesses: what they saw, what nobody looked at, and what it cost."""

from __future__ import annotations

from dataclasses import replace

import pytest

from shared.domain.assets import Detection
from shared.domain.detections import Segment
from shared.domain.moderation.findings import MAX_TEXT, Count, Evidence, MediaKind, Part
from shared.domain.moderation.prices_of_looks import image_cost, text_cost
from shared.domain.moderation.profiles import Profile
from shared.domain.moderation.receipts import Status
from shared.domain.moderation.verdicts import judge
from shared.handlers import witnesses
from shared.handlers.spending import Spending
from shared.policies import load_patterns, load_profile
from shared.ports import Documents, Feature, ImageAnnotation, Seen, TextAnnotation
from tests.fakes import ManualClock
from tests.handlers.scripted_witnesses import SAFE, ScriptedAnnotator, ScriptedText, failure, frames, innocent

PATTERNS = load_patterns()
ALL = tuple(Feature)


@pytest.fixture(scope="module")
def profile() -> Profile:
    return load_profile("balanced")


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


class Account:
    """What was charged."""

    def __init__(self) -> None:
        self.usd = 0.0

    def charge(self, usd: float, note: str | None) -> None:
        self.usd += usd


def look(
    profile: Profile,
    images: ScriptedAnnotator | None = None,
    text: ScriptedText | None = None,
    *,
    count: int = 1,
    kind: MediaKind = MediaKind.IMAGE,
    features: tuple[Feature, ...] = ALL,
    deps: witnesses.Deps | None = None,
    account: Account | None = None,
    detection: Detection | None = None,
    shots: Count | None = None,
    missing: int = 0,
) -> Evidence:
    deps = deps or witnesses.Deps(images or ScriptedAnnotator(), text or ScriptedText(), PATTERNS)
    charge = (account or Account()).charge
    return witnesses.look(
        frames(count),
        kind,
        features,
        profile,
        deps,
        charge,
        "asset-1",
        detection=detection,
        shots=shots,
        missing=missing,
    )


def gap(evidence: Evidence, part: Part) -> str | None:
    return next((each.code for each in evidence.gaps if each.part is part), None)


def test_a_picture_that_everybody_looked_at_has_no_gap(profile: Profile) -> None:
    evidence = look(profile, ScriptedAnnotator(lambda _: innocent("Mind the gap between train and platform")))

    assert evidence.gaps == ()
    assert {part for part in Part if evidence.covered(part) == 1.0} == set(Part) - {Part.SHOTS}
    assert evidence.text == "Mind the gap between train and platform"


def test_each_sighting_says_who_saw_what_and_when(profile: Profile) -> None:
    gun = replace(innocent(), objects=(Seen("Gun", 0.7, (0.1, 0.2, 0.3, 0.4)),))
    images = ScriptedAnnotator(lambda number: gun if number == 2 else innocent())

    evidence = look(profile, images, count=4, kind=MediaKind.VIDEO)

    seen = next(each for each in evidence.sightings if each.name == "Gun")
    assert (seen.part, seen.confidence, seen.witness, seen.place.start) == (Part.OBJECTS, 0.7, "scripted-images-1", 2.0)
    assert seen.place.box is not None
    assert seen.place.box.left == 0.1


def test_unknown_is_no_signal(profile: Profile) -> None:
    unknown = replace(innocent(), safe_search={**SAFE, "adult": "UNKNOWN"})

    evidence = look(profile, ScriptedAnnotator(lambda number: unknown if number else innocent()), count=2)

    assert evidence.covered(Part.ADULT) == 0.5
    assert evidence.covered(Part.RACY) == 1.0
    assert gap(evidence, Part.ADULT) == "no_signal"


def test_medical_from_likely_on_is_a_label_that_contexts_can_name(profile: Profile) -> None:
    medical = replace(innocent(), safe_search={**SAFE, "medical": "LIKELY", "spoof": "POSSIBLE"})

    evidence = look(profile, ScriptedAnnotator(lambda _: medical))

    names = {each.name: each.confidence for each in evidence.sightings if each.part is Part.LABELS}
    assert names["safe-search: medical"] == 0.8
    assert "safe-search: spoof" not in names
    assert evidence.safe_search["medical"] == "LIKELY"


def test_a_picture_that_failed_leaves_its_share_uncovered(profile: Profile) -> None:
    images = ScriptedAnnotator(lambda number: innocent() if number else ImageAnnotation(error=failure("too_slow", 3)))

    evidence = look(profile, images, count=4, kind=MediaKind.VIDEO)

    assert evidence.covered(Part.ADULT) == 0.75
    assert gap(evidence, Part.OBJECTS) == "too_slow"
    assert max(each.tries for each in evidence.gaps) == 3


def test_moments_that_could_not_be_decoded_are_not_covered(profile: Profile) -> None:
    evidence = look(profile, kind=MediaKind.VIDEO, count=2, missing=6)

    assert {evidence.covered(part) for part in (Part.ADULT, Part.OBJECTS, Part.PATTERNS, Part.SENTIMENT)} == {0.25}
    assert gap(evidence, Part.ADULT) == "not_decoded"


def test_when_nobody_answers_nothing_is_covered_and_nothing_raised(profile: Profile) -> None:
    def fails(_: int) -> ImageAnnotation:
        raise failure("unavailable")

    evidence = look(profile, ScriptedAnnotator(fails))

    assert all(evidence.covered(part) == 0.0 for part in Part)
    assert {gap(evidence, part) for part in Part if part is not Part.SHOTS} == {"unavailable"}
    assert evidence.sightings == ()


def test_what_an_annotator_can_never_see_is_not_available(profile: Profile) -> None:
    blind = {Feature.SAFE_SEARCH: "Nothing here knows adult content.", Feature.OBJECTS: "Nothing here knows weapons."}
    images = ScriptedAnnotator(unable=blind)

    evidence = look(profile, images)

    assert gap(evidence, Part.ADULT) == "not_available"
    assert evidence.covered(Part.OBJECTS) == 0.0
    assert Feature.OBJECTS not in images.asked[0][1]


def test_what_the_profile_does_not_ask_of_a_video_is_named(profile: Profile) -> None:
    evidence = look(profile, kind=MediaKind.VIDEO, features=(Feature.SAFE_SEARCH, Feature.LABELS))

    assert gap(evidence, Part.OBJECTS) == "not_asked"
    assert gap(evidence, Part.SHOTS) == "not_counted"


def test_what_was_seen_beside_an_error_counts_and_covers_nothing(profile: Profile) -> None:
    partly = ImageAnnotation(objects=(Seen("Gun", 0.8),), error=failure("incomplete_answer", 1))

    evidence = look(profile, ScriptedAnnotator(lambda _: partly))

    assert [each.name for each in evidence.sightings] == ["Gun"]
    assert evidence.covered(Part.OBJECTS) == 0.0
    assert gap(evidence, Part.OBJECTS) == "incomplete_answer"


def test_what_was_read_beside_an_error_is_scanned_and_covers_nothing(profile: Profile) -> None:
    partly = ImageAnnotation(text="I will kill you tonight", error=failure("incomplete_answer", 1))

    evidence = look(profile, ScriptedAnnotator(lambda _: partly))

    assert [each.name for each in evidence.sightings] == ["en.threat.kill_you"]
    assert evidence.covered(Part.PATTERNS) == 0.0
    assert judge(evidence, profile).status is Status.FAIL


def test_categories_of_a_language_that_is_not_supported_count_and_cover_nothing(profile: Profile) -> None:
    problem = {"categories": failure("language_not_supported", 1)}
    said = TextAnnotation(categories=(Seen("Toxic", 0.9),), sentiment=0.0, language="xx", problems=problem)

    evidence = look(profile, ScriptedAnnotator(lambda _: innocent("Something in a rare language")), ScriptedText(said))

    assert any(each.name == "Toxic" for each in evidence.sightings)
    assert evidence.covered(Part.CATEGORIES) == 0.0
    assert gap(evidence, Part.CATEGORIES) == "language_not_supported"


def test_our_detector_is_a_witness_of_violence(profile: Profile) -> None:
    fight = Detection((Segment(3.0, 5.0, 0.91, "violence"),), 0.91, 9.0, truncated=False, model="motion-1")

    def fails(_: int) -> ImageAnnotation:
        raise failure()

    evidence = look(profile, ScriptedAnnotator(fails), kind=MediaKind.VIDEO, detection=fight)

    seen = evidence.sightings[0]
    assert (seen.name, seen.confidence, seen.witness, seen.place.start) == ("violence", 0.91, "motion-1", 3.0)
    assert evidence.covered(Part.VIOLENCE) == 1.0
    assert gap(evidence, Part.VIOLENCE) is None


def test_a_moment_too_short_for_a_segment_weighs_no_more_than_the_threshold(profile: Profile) -> None:
    twitch = Detection((), 0.97, 9.0, truncated=False, model="motion-1", sensitivity=0.5)

    evidence = look(profile, kind=MediaKind.VIDEO, detection=twitch)

    assert next(each.confidence for each in evidence.sightings if each.witness == "motion-1") == 0.5


def test_shots_that_somebody_counted_are_covered(profile: Profile) -> None:
    evidence = look(profile, kind=MediaKind.VIDEO, shots=Count(12, "fingerprint"))

    assert evidence.shots == Count(12, "fingerprint")
    assert evidence.covered(Part.SHOTS) == 1.0
    assert gap(evidence, Part.SHOTS) is None


def test_the_same_line_in_every_frame_is_judged_once_but_keeps_its_moment(profile: Profile) -> None:
    text = ScriptedText()

    evidence = look(
        profile,
        ScriptedAnnotator(lambda _: innocent("I will kill you tonight")),
        text,
        count=3,
        kind=MediaKind.VIDEO,
    )

    assert text.asked == ["I will kill you tonight"]
    threats = [each for each in evidence.sightings if each.category == "threat"]
    assert len(threats) == len({each.name for each in threats}) >= 1


def test_a_text_too_short_to_judge_is_an_answer(profile: Profile) -> None:
    text = ScriptedText()

    evidence = look(profile, ScriptedAnnotator(lambda _: innocent("Exit")), text)

    assert text.asked == []
    assert evidence.covered(Part.CATEGORIES) == evidence.covered(Part.SENTIMENT) == 1.0


def test_language_down_leaves_the_patterns_alone_and_says_so(profile: Profile) -> None:
    down = TextAnnotation(problems={"categories": failure("unavailable"), "sentiment": failure("unavailable")})

    evidence = look(profile, ScriptedAnnotator(lambda _: innocent("I will kill you tonight")), ScriptedText(down))

    assert evidence.covered(Part.PATTERNS) == 1.0
    assert any(each.category == "threat" for each in evidence.sightings)
    assert evidence.covered(Part.CATEGORIES) == evidence.covered(Part.SENTIMENT) == 0.0
    assert (gap(evidence, Part.CATEGORIES), gap(evidence, Part.SENTIMENT)) == ("unavailable", "unavailable")


def test_pictures_that_were_left_out_are_not_covered(profile: Profile) -> None:
    evidence = look(profile, ScriptedAnnotator(lambda _: innocent("A page of a long document")), count=2, missing=6)

    assert evidence.covered(Part.ADULT) == evidence.covered(Part.PATTERNS) == 0.25
    assert gap(evidence, Part.ADULT) == "left_out"


def test_a_video_that_ends_early_says_so_whoever_else_looked(profile: Profile) -> None:
    cut = Detection((), 0.1, 9.0, truncated=True, model="motion-1")

    evidence = look(profile, kind=MediaKind.VIDEO, detection=cut)

    assert gap(evidence, Part.VIOLENCE) == "truncated"


def test_of_a_text_that_is_too_long_the_analyser_judges_the_beginning_and_the_patterns_all(profile: Profile) -> None:
    text = ScriptedText()
    words = "\n".join(f"line {number} of many" for number in range(2_000))

    evidence = look(profile, ScriptedAnnotator(lambda _: innocent(f"{words}\nI will kill you tonight")), text)

    assert [len(each) for each in text.asked] == [MAX_TEXT]
    assert any(each.category == "threat" for each in evidence.sightings)
    assert evidence.covered(Part.PATTERNS) == 1.0
    assert 0 < evidence.covered(Part.CATEGORIES) < 1
    assert gap(evidence, Part.CATEGORIES) == "text_too_long"


# --------------------------------------------------------------------------- money


def billed(documents: Documents, budget: float | None, clock: ManualClock) -> Spending:
    return Spending(documents, clock, "Vision", budget)


def test_what_is_asked_is_charged(profile: Profile, documents: Documents, clock: ManualClock) -> None:
    account = Account()
    images = ScriptedAnnotator(lambda _: innocent("A sentence that is long enough to judge"))
    money = billed(documents, None, clock)
    deps = witnesses.Deps(images, ScriptedText(), PATTERNS, money, replace(money, analyser="Language"))

    evidence = look(profile, count=2, deps=deps, account=account)

    expected = image_cost(2, ALL, clock.now()) + text_cost(len(evidence.text), clock.now())
    assert account.usd == pytest.approx(expected)
    assert evidence.cost_usd == pytest.approx(expected)


def test_a_short_budget_means_fewer_pictures_and_the_evidence_says_so(
    profile: Profile, documents: Documents, clock: ManualClock
) -> None:
    images = ScriptedAnnotator()
    money = billed(documents, image_cost(5, ALL, clock.now()), clock)
    deps = witnesses.Deps(images, ScriptedText(), PATTERNS, money)

    evidence = look(profile, count=10, kind=MediaKind.VIDEO, deps=deps)

    assert [count for count, _ in images.asked] == [5]
    assert evidence.covered(Part.ADULT) == 0.5
    assert gap(evidence, Part.ADULT) == "budget_exhausted"


def test_the_last_money_buys_one_picture_its_cheapest_question(
    profile: Profile, documents: Documents, clock: ManualClock
) -> None:
    images = ScriptedAnnotator()
    money = billed(documents, image_cost(1, witnesses.CHEAPEST, clock.now()), clock)
    deps = witnesses.Deps(images, ScriptedText(), PATTERNS, money)

    evidence = look(profile, count=10, kind=MediaKind.VIDEO, deps=deps)

    assert images.asked == [(1, (Feature.SAFE_SEARCH, Feature.LABELS))]
    assert gap(evidence, Part.OBJECTS) == "budget_exhausted"
    assert evidence.covered(Part.PATTERNS) == 0.0


def test_without_a_budget_left_nobody_is_asked(profile: Profile, documents: Documents, clock: ManualClock) -> None:
    images, account = ScriptedAnnotator(), Account()
    deps = witnesses.Deps(images, ScriptedText(), PATTERNS, billed(documents, 0.0, clock))

    evidence = look(profile, deps=deps, account=account)

    assert images.asked == []
    assert account.usd == 0.0
    assert gap(evidence, Part.ADULT) == "budget_exhausted"


def test_a_refusal_is_not_billed_but_an_answer_that_came_too_late_is(
    profile: Profile, documents: Documents, clock: ManualClock
) -> None:
    spent = {}
    for code in ("quota_exceeded", "too_slow"):
        account = Account()

        def fails(_: int, code: str = code) -> ImageAnnotation:
            raise failure(code)

        deps = witnesses.Deps(ScriptedAnnotator(fails), ScriptedText(), PATTERNS, billed(documents, 10.0, clock))
        evidence = look(profile, deps=deps, account=account)
        spent[code] = account.usd
        assert evidence.cost_usd == pytest.approx(account.usd)

    assert spent["quota_exceeded"] == pytest.approx(0.0)
    assert spent["too_slow"] == pytest.approx(image_cost(1, ALL, clock.now()))


def test_a_text_that_language_refused_to_judge_is_paid_back(
    profile: Profile, documents: Documents, clock: ManualClock
) -> None:
    account = Account()
    refused = ScriptedText(
        TextAnnotation(problems=dict.fromkeys(("categories", "sentiment"), failure("not_permitted")))
    )
    images = ScriptedAnnotator(lambda _: innocent("A sentence that is long enough to judge"))
    money = Spending(documents, clock, "Language", 10.0)
    deps = witnesses.Deps(images, refused, PATTERNS, None, money)

    evidence = look(profile, deps=deps, account=account)

    assert account.usd == evidence.cost_usd == pytest.approx(0.0)
    assert gap(evidence, Part.SENTIMENT) == "not_permitted"
