"""How patterns are looked for: the language of patterns, where hits are, and what a scan costs at worst."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.moderation.grammar import GrammarError, parse_sequences
from shared.domain.moderation.pattern_files import pattern_set
from shared.domain.moderation.patterns import MAX_HITS, PatternSet
from shared.policies import load_patterns
from tests.unit.pattern_texts import INNOCENT

PATTERNS = load_patterns()
HITS = [(pattern.id, text) for pattern in PATTERNS.patterns for text in pattern.hits]


def looking_for(*match: str) -> PatternSet:
    pattern = {
        "id": "xx.threat.example",
        "category": "threat",
        "tier": "clear",
        "confidence": 0.5,
        "match": list(match),
        "hits": ["one", "two"],
        "near_misses": ["three", "four"],
    }
    return pattern_set({"xx.toml": {"language": "xx", "version": 1, "patterns": [pattern]}})


def found(match: str, text: str) -> list[str]:
    return [text[hit.start : hit.end] for hit in looking_for(match).scan(text)]


@pytest.mark.parametrize(
    ("match", "text", "hits"),
    [
        ("bomb", "A bomb. Bombs? BOMB!", ["bomb", "BOMB"]),
        ("bomb*", "A bomb. Bombs? bombastic bom", ["bomb", "Bombs", "bombastic"]),
        ("(kill|stab) (you|him)", "kill you, stab him, kill it", ["kill you", "stab him"]),
        ("kill really? you", "kill you; kill really you; kill not you", ["kill you", "kill really you"]),
        ("kill ~2 you", "kill you", ["kill you"]),
        ("kill ~2 you", "kill one two you", ["kill one two you"]),
        ("kill ~2 you", "kill one two three you", []),
        ("kill ~3 you", "kill a you b you", ["kill a you"]),
        (
            "(die|kill yourself) (now|today)",
            "die now, kill yourself today, kill today",
            ["die now", "kill yourself today"],
        ),
        ("töten", "TOTEN toeten Töten", ["TOTEN", "Töten"]),
        ("i ll kill", "I'll kill; I’ll kill", ["I'll kill", "I’ll kill"]),
        ("kill you", "k i l l   y.o.u and k-i-l-l-y-o-u", ["k i l l   y.o.u", "k-i-l-l-y-o-u"]),
        ("kill you", "kill\n\n\tyou", ["kill\n\n\tyou"]),
        ("kill you", "kill - - - - you", ["kill - - - - you"]),
        ("kill you", "skill you, kill yours, killyou", []),
        ("gas", "g a s and g a p s", ["g a s"]),
        ("some sand", "$ome 5and, 50me s4nd", ["$ome 5and", "50me s4nd"]),
        ("sis", "515 s15 5/5", ["s15"]),
    ],
)
def test_the_language_of_patterns(match: str, text: str, hits: list[str]) -> None:
    assert found(match, text) == hits


@pytest.mark.parametrize(
    ("source", "complaint"),
    [
        ("", "is empty"),
        ("kill ~9 you", "no word, group or gap"),
        ("kill (you", "a parenthesis"),
        ("ki-ll", "no word, group or gap"),
        ("(you|) kill", "no word, group or gap"),
        ("kil* you", "fewer than 4 letters"),
        ("убить", "not written in Latin letters"),
        ("kill you?", "begins or ends with something optional"),
        ("~2 kill", "begins or ends with something optional"),
        ("kill ~1 ~2 you", "two gaps side by side"),
        ("a b", "to begin a search at"),
        (" ".join(["word"] * 11), "11 elements"),
        ("(" + "|".join(["word"] * 61) + ")", "61 words"),
        (" ".join(["(one|two three)"] * 5), "more than 16 sequences"),
    ],
)
def test_what_is_no_pattern(source: str, complaint: str) -> None:
    with pytest.raises(GrammarError, match=complaint.replace("(", r"\(")):
        parse_sequences(source, frozenset())


def test_a_search_begins_at_a_rare_word() -> None:
    (sequence,) = parse_sequences("somebody kill (you|them) tomorrow", frozenset({"somebody"}))
    assert sequence.elements[sequence.anchor].words == {"tomorrow"}


def test_hits_come_in_the_order_of_their_places() -> None:
    text = "te mataré. I will kill you. Sieg Heil."
    assert [(hit.pattern_id, text[hit.start : hit.end]) for hit in PATTERNS.scan(text)] == [
        ("es.threat.kill_you", "te mataré"),
        ("en.threat.kill_you", "I will kill you"),
        ("de.hate.exterminate", "Sieg Heil"),
    ]


def test_only_so_many_hits_are_kept() -> None:
    assert len(PATTERNS.scan("I will kill you. " * 10_000)) == MAX_HITS


def test_no_number_of_harmless_hits_hides_a_threat() -> None:
    found = PATTERNS.scan("drink beer " * 10_000 + "I will kill you")
    assert found[-1].pattern_id == "en.threat.kill_you"
    assert [hit.pattern_id for hit in found[:-1]] == ["en.alcohol.use"] * MAX_HITS


@given(st.text(st.characters(), max_size=300))
def test_no_text_makes_a_scan_fail(text: str) -> None:
    assert all(0 <= hit.start < hit.end <= len(text) for hit in PATTERNS.scan(text))


pieces = st.sampled_from(
    ["kill", "k", "i", "l", "you", "!", "$", "1", ".", " ", "\n", "\u200b", "é", "K", "-", "ll", "ß", "voy a"]
)


@given(st.lists(pieces, max_size=60).map("".join))
def test_no_disguise_makes_a_scan_fail(text: str) -> None:
    assert all(0 <= hit.start < hit.end <= len(text) for hit in PATTERNS.scan(text))


@given(st.sampled_from(HITS), st.sampled_from(INNOCENT), st.sampled_from(INNOCENT))
def test_innocent_text_around_a_hit_does_not_hide_it(hit: tuple[str, str], before: str, after: str) -> None:
    pattern_id, text = hit
    surrounded = f"{before} {text} {after}"
    places = {(each.start, each.end) for each in PATTERNS.scan(surrounded) if each.pattern_id == pattern_id}
    assert any(len(before) < start and end <= len(before) + 1 + len(text) for start, end in places)


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("anchors", "kill "),
        ("anchors of every language", "kill matar tuer töten uccido suicidarme bomba "),
        ("anchors without blanks", "kill."),
        ("leetspeak", "k1ll "),
        ("single letters", "k i l l "),
        ("letters and dots", "k.i.l.l."),
        ("letters that spell nothing", "a b c d "),
        ("signs", "! $ @ "),
        ("anchors between dashes", "kill - - - - "),
        ("accents", "k\u0301ill "),
    ],
)
def test_the_work_on_a_hostile_text_grows_with_its_words_alone(kind: str, text: str) -> None:
    most = 1 + PATTERNS.most_steps_a_word
    for times in (100, 1_000, 4_000):
        scan = PATTERNS.examine(text * times)
        assert scan.words <= len(text) * times, kind
        assert scan.steps <= most * scan.words, kind


@pytest.mark.parametrize("text", ["kill ", "k1ll ", "k i l l  ", "kill.", "kill - - ", "te matar ", "k!ll "])
def test_twice_the_text_is_at_most_twice_the_work(text: str) -> None:
    once, twice = PATTERNS.examine(text * 2_000), PATTERNS.examine(text * 4_000)
    assert once.words > 0
    assert twice.words <= 2 * once.words + 20
    assert twice.steps <= 2 * once.steps + 20 * PATTERNS.most_steps_a_word


@pytest.mark.parametrize("text", ["k" * 50_000, "k1" * 50_000, "\u0301" * 50_000, "\u200b" * 50_000, "!" * 50_000, ""])
def test_one_endless_word_is_no_hit(text: str) -> None:
    assert PATTERNS.examine(text).hits == ()
