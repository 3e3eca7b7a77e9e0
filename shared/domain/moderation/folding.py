"""Folds the disguises of letters: what a reader takes for the same word becomes the same word.

Folding is a table of single characters, so that every folded character has one original, and folding twice changes
nothing:

- compatibility forms, accents, case (NFKD, `str.casefold`): `Ｋ`, `𝐤`, `É`, `İ`, `ß` → `k`, `k`, `e`, `i`, `ss`
- what nobody sees, and marks: zero-width signs, soft hyphens, combining accents → nothing
- letters that look Latin: Cyrillic `а`, Greek `ο`, small capitals, `ł` → `a`, `o`, the capital's letter, `l`

Digits and signs that stand for letters, letters written apart and repeated letters are not folded here: whether `1`
is a letter depends on the word (`shared/domain/moderation/words.py`).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

_LOOKALIKES = {
    # Cyrillic, in lower case
    **dict(zip("авеѕіјкмнорстухһԁԛԝпӏь", "abesijkmhopctyxhdqwnlb", strict=True)),
    # Greek
    **dict(zip("αβεηικνορτυχγω", "abenikvoptuxyw", strict=True)),
    # Latin letters that have no decomposition
    **dict(zip("ıłøđðħŧɑɡɩ", "iloddhtagi", strict=True)),
    **{"æ": "ae", "œ": "oe", "þ": "th"},
    # small capitals
    **dict(zip("ᴀʙᴄᴅᴇɢʜɪᴊᴋʟᴍɴᴏᴘʀꜱᴛᴜᴠᴡʏᴢ", "abcdeghijklmnoprstuvwyz", strict=True)),
    # white letters on black circles and squares, and the letters that flags are made of
    **{chr(first + number): chr(ord("a") + number) for first in (0x1F150, 0x1F170, 0x1F1E6) for number in range(26)},
}

_INVISIBLE_CATEGORIES = frozenset({"Mn", "Me", "Cf"})
_INVISIBLE_LETTERS = frozenset("\u115f\u1160\u3164\uffa0\u2800")
"""Fillers that count as letters or symbols and show nothing."""

_CACHED_CHARACTERS = 8192
"""A text may hold every character there is: no more than these are remembered."""


class _Folds(dict[int, str]):
    """A table for `str.translate` that finds a character's fold when it is first asked for."""

    def __missing__(self, code: int) -> str:
        folded = _fold_character(chr(code))
        if len(self) < _CACHED_CHARACTERS:
            self[code] = folded
        return folded


def _fold_character(character: str) -> str:
    decomposed = unicodedata.normalize("NFKD", character).casefold()
    # Case folding may give composed letters, and decomposing may give capitals: `ϓ`, `𝐊`.
    settled = unicodedata.normalize("NFKD", decomposed).casefold()
    return "".join(_LOOKALIKES.get(each, each) for each in settled if not _is_invisible(each))


def _is_invisible(character: str) -> bool:
    return character in _INVISIBLE_LETTERS or unicodedata.category(character) in _INVISIBLE_CATEGORIES


_FOLDS = _Folds()


def fold(text: str) -> str:
    """The text without its disguises; its length may differ. Line breaks stay, and none are added."""
    return text.lower() if text.isascii() else text.translate(_FOLDS)


def fold_with_origins(text: str) -> tuple[str, Sequence[int]]:
    """The folded text, and for each of its characters the position in `text` that it came from."""
    if text.isascii():
        return text.lower(), range(len(text))
    folds = [_FOLDS[ord(character)] for character in text]
    return "".join(folds), [position for position, folded in enumerate(folds) for _ in folded]


SIGNS = "@$!"
"""The signs beside digits that are written for letters."""

_LETTERS_OF_SIGNS = str.maketrans("@4301!$57", "aaeoiisst")
_LETTERS_OF_SIGNS_WITH_L = str.maketrans("@4301!$57", "aaeolisst")


def letters_for_signs(word: str) -> tuple[str, ...]:
    """What a word with digits or signs in it may spell: `k1ll` → `kill`, `klll`. Only digits: nothing.

    Where signs outnumber letters by more than two to one, it is a number or a price with its unit, not a word.
    """
    letters = sum(map(str.isalpha, word))
    if not letters or letters == len(word) or 3 * letters < len(word):
        return ()
    with_i = word.translate(_LETTERS_OF_SIGNS)
    return (with_i, word.translate(_LETTERS_OF_SIGNS_WITH_L)) if "1" in word else (with_i,)


_REPEATED = re.compile(r"(.)\1+", re.DOTALL)


def squeeze(word: str) -> str:
    """Each letter once where it is repeated: `kiiill` → `kil`. Compare with the squeezed word that is looked for."""
    return _REPEATED.sub(r"\1", word)


_LONG_RUN = re.compile(r"([a-z])\1\1")


def has_long_run(text: str) -> bool:
    """Whether a letter stands there three times or more in a row.

    No word of the six languages has that: it is written for effect, or to hide.
    """
    return _LONG_RUN.search(text) is not None


def lines_with_long_runs(text: str) -> frozenset[str]:
    """The lines of `text` that have one."""
    lines = set()
    found = _LONG_RUN.search(text)
    while found:
        begin, end = text.rfind("\n", 0, found.start()) + 1, text.find("\n", found.end())
        lines.add(text[begin:] if end < 0 else text[begin:end])
        found = _LONG_RUN.search(text, end) if end >= 0 else None
    return frozenset(lines)
