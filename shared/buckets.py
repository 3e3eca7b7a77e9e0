"""Which bucket an object lies in, by what its name begins with. Pure; known to settings and adapters alike."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Buckets:
    """Names of buckets by beginnings of objects' names. The longest that fits counts; the empty one fits every name."""

    by_prefix: Mapping[str, str]

    def __post_init__(self) -> None:
        if "" not in self.by_prefix:
            raise ValueError("no bucket is named for the other objects")

    def of(self, name: str) -> str:
        """The bucket of the object with this name."""
        return self.by_prefix[max((prefix for prefix in self.by_prefix if name.startswith(prefix)), key=len)]

    def holding(self, prefix: str) -> tuple[str, ...]:
        """All buckets in which objects may lie whose names begin so, each once."""
        below = (bucket for longer, bucket in self.by_prefix.items() if longer.startswith(prefix))
        return tuple(dict.fromkeys((self.of(prefix), *below)))

    def uri(self, name: str) -> str:
        """Where the object lies, as Google's services take it."""
        return f"gs://{self.of(name)}/{name}"
