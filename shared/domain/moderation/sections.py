"""Reads the tables of a parsed file, and remembers everything that is wrong in them, each with its path.

Every getter returns something usable even where it complains, so that one reading finds all mistakes. Keys that nobody
asked for are mistakes as well: a misspelt threshold must not silently be the default.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from enum import StrEnum
from typing import TypeVar

E = TypeVar("E", bound=StrEnum)

_NAME = re.compile(r"[a-z][a-z0-9_]{0,49}")
_HUGE = 1e9
"""Whole numbers of a file may be too large for a float; no limit here comes near this."""
_SHOWN = 60
"""Characters of a wrong value in a complaint."""


class Section:
    """One table at `path`; `problems` is shared by all tables of a file."""

    def __init__(self, content: object, path: str, problems: list[str]) -> None:
        self._path = path
        self._problems = problems
        self._asked: set[str] = set()
        self._content: Mapping[str, object] = content if isinstance(content, Mapping) else {}
        if not isinstance(content, Mapping):
            problems.append(f"{path}: {_shown(content)} is no table")

    def table(self, key: str) -> Section:
        """The table below `key`."""
        return Section(self._value(key, {}), self._path_of(key), self._problems)

    def threshold(self, key: str) -> float:
        """A number above 0, and at most 1; confidences are told in hundredths."""
        value = self._number(key, 0.5)
        if not 0 <= value <= 1:
            self._complain(key, f"{value:g} is not between 0 and 1")
        elif value < 0.01:
            self._complain(key, f"{value:g} is below 0.01, so that everything would reach it")
        return value

    def below_zero(self, key: str) -> float:
        """A number below 0, and at least -1."""
        value = self._number(key, -0.5)
        if not -1 <= value < 0:
            self._complain(key, f"{value:g} is not between -1 and 0")
        return value

    def weight(self, key: str) -> float:
        """A number above 0."""
        value = self._number(key, 1.0)
        if value <= 0:
            self._complain(key, f"{value:g} is not above 0")
        elif value > 1e6:
            self._complain(key, f"{value:g} is more than 1000000")
        return value

    def integer(self, key: str, least: int, most: int) -> int:
        """A whole number from `least` to `most`."""
        value = self._value(key, least)
        if isinstance(value, bool) or not isinstance(value, int):
            self._complain(key, f"{_shown(value)} is no whole number")
            return least
        if not least <= value <= most:
            self._complain(key, f"{_shown(value)} is not between {least} and {most}")
        return value

    def flag(self, key: str) -> bool:
        """True or false."""
        value = self._value(key, False)
        if not isinstance(value, bool):
            self._complain(key, f"{_shown(value)} is neither true nor false")
        return bool(value)

    def text(self, key: str) -> str:
        """A text that is not empty."""
        value = self._value(key, "-")
        if not isinstance(value, str) or not value.strip():
            self._complain(key, f"{_shown(value)} is no text")
            return "-"
        return value.strip()

    def choice(self, key: str, allowed: Sequence[E]) -> E:
        """One of the words of an enumeration."""
        return self._chosen(key, self._value(key, allowed[0].value), allowed)

    def choices(self, key: str, allowed: Sequence[E], *, least: int = 0) -> tuple[E, ...]:
        """A list of words of an enumeration, each once, in the order of the list."""
        values = self.strings(key)
        if len(values) < least:
            self._complain(key, "is empty")
        return tuple(dict.fromkeys(self._chosen(key, value, allowed) for value in values))

    def strings(self, key: str) -> tuple[str, ...]:
        """A list of texts."""
        values = self._list(key)
        for value in values:
            if not isinstance(value, str) or not value.strip():
                self._complain(key, f"{_shown(value)} is no text")
        return tuple(value for value in values if isinstance(value, str) and value.strip())

    def known(self, key: str, names: frozenset[str], what: str) -> frozenset[str]:
        """A list of names that must be among `names`."""
        values = self.strings(key)
        for value in values:
            self.check_known(key, value, names, what)
        return frozenset(values)

    def check_known(self, key: str, value: str, names: frozenset[str], what: str) -> None:
        """Complains of a name that nothing has."""
        if value not in names:
            self._complain(key, f"{_shown(value)} is no {what}{_meant(value, sorted(names))}")

    def pair(self, key: str) -> tuple[float, float]:
        """A list of two numbers from 0 to 1, the first not above the second."""
        values = [each for each in self._list(key) if isinstance(each, int | float) and not isinstance(each, bool)]
        if len(values) != 2 or not 0 <= values[0] <= values[1] <= 1:
            self._complain(key, "is not two numbers between 0 and 1, the smaller one first")
            return (0.0, 1.0)
        return (float(values[0]), float(values[1]))

    def names(self) -> tuple[str, ...]:
        """The keys, where they are the file's own: snake_case words."""
        self._asked.update(self._content)
        for key in self._content:
            if not _NAME.fullmatch(key):
                self._complain(key, "is no name of small letters, digits and underscores")
        return tuple(self._content)

    def complain(self, complaint: str) -> None:
        """Says that something is wrong with the table as a whole."""
        self._problems.append(f"{self._path}: {complaint}" if self._path else complaint)

    def close(self) -> None:
        """Complains of every key that nobody asked for."""
        for key in self._content:
            if key not in self._asked:
                self._complain(key, f"is not known{_meant(key, sorted(self._asked))}")

    def may_have(self, *keys: str) -> tuple[str, ...]:
        """Which of the keys are there; they are known from now on."""
        self._asked.update(keys)
        return tuple(key for key in keys if key in self._content)

    def _chosen(self, key: str, value: object, allowed: Sequence[E]) -> E:
        words = {each.value: each for each in allowed}
        if isinstance(value, str) and value in words:
            return words[value]
        self._complain(key, f"{_shown(value)} is none of {', '.join(words)}{_meant(value, list(words))}")
        return allowed[0]

    def _number(self, key: str, instead: float) -> float:
        value = self._value(key, instead)
        if isinstance(value, bool) or not isinstance(value, int | float) or str(value) == "nan":
            self._complain(key, f"{_shown(value)} is no number")
            return instead
        return float(max(min(value, _HUGE), -_HUGE))

    def _list(self, key: str) -> list[object]:
        value = self._value(key, [])
        if isinstance(value, list | tuple):
            return list(value)
        self._complain(key, f"{_shown(value)} is no list")
        return []

    def _value(self, key: str, instead: object) -> object:
        self._asked.add(key)
        if key not in self._content:
            self._complain(key, "is missing")
            return instead
        return self._content[key]

    def _complain(self, key: str, complaint: str) -> None:
        self._problems.append(f"{self._path_of(key)}: {complaint}")

    def _path_of(self, key: str) -> str:
        return f"{self._path}.{key}" if self._path else key


def _shown(value: object) -> str:
    text = f'"{value}"' if isinstance(value, str) else repr(value)
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "…"


def _meant(value: object, known: Sequence[str]) -> str:
    close = get_close_matches(str(value)[:_SHOWN], known, n=1)
    return f' (did you mean "{close[0]}"?)' if close else ""
