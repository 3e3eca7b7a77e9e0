"""The profiles that judge. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from shared.domain.moderation.profiles import Profile


@dataclass(frozen=True)
class InForce:
    """`standard` judges, `strict` where a client asks for it; `shadow` judges alongside and decides nothing."""

    standard: Profile
    strict: Profile
    shadow: Profile | None = None

    def of(self, *, strict: bool) -> Profile:
        """The one that judges."""
        return self.strict if strict else self.standard
