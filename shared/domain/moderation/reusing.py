"""When the verdict on an earlier upload of the same bytes is the verdict on a new one: pure."""

from __future__ import annotations

from shared.domain.assets import Asset
from shared.domain.moderation.findings import is_worth_asking_again
from shared.domain.moderation.moderated import AnnotateSkip
from shared.domain.moderation.profiles import Profile
from shared.domain.stages import Stage, StageState, whole_ledger

_GIVEN_AGAIN = frozenset(AnnotateSkip)


def is_reusable(earlier: Asset, asset: Asset, profile: Profile) -> bool:
    """Whether `earlier` has a final verdict of this profile on the same bytes that nothing was missing for.

    A witness that was away, a budget that was spent, or another detector since: the new upload is looked at itself.
    """
    moderation = earlier.moderation
    if moderation is None or not moderation.final or earlier.erased_at is not None:
        return False
    if moderation.verdict.profile_version != profile.version:
        return False
    if earlier.facts is None or asset.facts is None or earlier.facts.sha256 != asset.facts.sha256:
        return False
    models = [each.detection.model if each.detection else None for each in (earlier, asset)]
    return models[0] == models[1] and _was_whole(earlier)


def _was_whole(earlier: Asset) -> bool:
    ledger = whole_ledger(earlier.stages)
    if ledger[Stage.MODERATE].state is not StageState.DONE:
        return False
    annotate = ledger[Stage.ANNOTATE]
    if annotate.state is not StageState.DONE and annotate.error_code not in _GIVEN_AGAIN:
        return False
    gaps = earlier.moderation.verdict.not_evaluated if earlier.moderation else ()
    return not is_worth_asking_again(gaps)
