"""Names of objects: ours are made by the server, dropped ones are checked."""

from __future__ import annotations

import pytest

from shared.domain.assets import check_object_name, issued_asset_id, object_name_of
from shared.errors import MediaUnusable
from shared.ids import new_uuid


def test_an_issued_name_leads_back_to_its_asset() -> None:
    asset_id = new_uuid()
    assert issued_asset_id(object_name_of(asset_id)) == asset_id


@pytest.mark.parametrize("name", ["media/clip.mp4", "other/" + "0" * 36, "media/", "media/" + "g" * 36])
def test_other_names_are_dropped_files(name: str) -> None:
    assert issued_asset_id(name) is None


@pytest.mark.parametrize("name", ["media/clip.mp4", "media/front-door/2026-01-01/10_00.mkv"])
def test_plain_names_pass(name: str) -> None:
    check_object_name(name)


@pytest.mark.parametrize(
    "name",
    [
        "media/../secret.mp4",
        "media/a/../b.mp4",
        "media//a.mp4",
        "media/.hidden.mp4",
        "media/a*.mp4",
        "media/a?.mp4",
        "media/ä.mp4",
        "media/\u202egpj.mp4",
        "media/a b.mp4",
        "media/a\nb.mp4",
        "media/" + "a" * 1024,
        "elsewhere/a.mp4",
        "media/",
    ],
)
def test_names_that_mean_something_elsewhere_are_refused(name: str) -> None:
    with pytest.raises(MediaUnusable) as refused:
        check_object_name(name)
    assert refused.value.code == "unsafe_object_name"
