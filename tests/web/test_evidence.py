"""Evidence by links: signed, short-lived, logged before they are given, and gone once deleted."""

from __future__ import annotations

import pytest
from fastapi.testclient import TestClient

from local.home import Home
from local.server import application
from shared.domain.evidence_images import LinkMode
from shared.errors import NotFound
from shared.handlers.visibility import visible_incident
from shared.ports import Caller, Role
from shared.settings import EmbeddedSettings
from tests.fakes import NOON
from tests.web.evidence_cases import reported, set_fields, with_clip, with_image


def test_a_picture_is_reached_by_a_link_that_is_logged_first(client: TestClient, home: Home) -> None:
    signal = reported(client)
    image = with_image(home, signal)
    path = f"/incidents/{signal['incident_id']}/images"
    (listed,) = client.get(path).json()["images"]
    assert (listed["size"], listed["sha256"], listed["url"]) == (9, image.sha256, f"{path}/{image.id}")
    reply = client.get(listed["url"], follow_redirects=False)
    assert (reply.status_code, reply.headers["cache-control"]) == (307, "no-store")
    assert client.get(reply.headers["location"]).content == b"a picture"
    (view,) = client.get(f"/incidents/{signal['incident_id']}/views").json()["views"]
    assert (view["by"], view["purpose"], view["item"], view["item_id"]) == ("anonymous", "link", "image", str(image.id))
    assert view["expires_at"] > view["at"]


def test_the_logs_name_those_on_whose_behalf_a_program_asks(client: TestClient, home: Home) -> None:
    signal = reported(client)
    image, path = with_image(home, signal), f"/incidents/{signal['incident_id']}"
    ada = {"X-Actor": "Ada"}
    client.get(f"{path}/images/{image.id}", headers=ada, follow_redirects=False)
    client.get(f"{path}/evidence", headers=ada)
    client.post(f"{path}/legal-hold", json={"hold": True, "reason": "Ordered by the court."}, headers=ada)
    assert [view["by"] for view in client.get(f"{path}/views").json()["views"]] == ["Ada", "Ada"]
    changes = [item["change"] for item in client.get(f"{path}/timeline").json()["items"] if "change" in item]
    assert [(each["action"], each["actor"]) for each in changes[1:]] == [
        ("evidence_exported", "Ada"),
        ("legal_hold_set", "Ada"),
    ]


def test_a_clip_in_quarantine_is_shown_to_an_operator(client: TestClient, home: Home) -> None:
    incident_id = reported(client)["incident_id"]
    asset = with_clip(home, incident_id, folder="quarantine")
    reply = client.get(f"/incidents/{incident_id}/media/{asset.id}", follow_redirects=False)
    assert reply.status_code == 307
    assert client.get(reply.headers["location"]).content == b"a clip"
    (view,) = client.get(f"/incidents/{incident_id}/views").json()["views"]
    assert (view["item"], view["item_id"]) == ("media", asset.id)


def test_what_was_deleted_is_gone_and_nothing_is_logged(client: TestClient, home: Home) -> None:
    signal = reported(client)
    image, asset = with_image(home, signal), with_clip(home, signal["incident_id"])
    set_fields(home, "evidence_images", str(image.id), deleted_at=NOON, deleted_because="retention")
    set_fields(home, "assets", asset.id, quarantine="deleted")
    path = f"/incidents/{signal['incident_id']}"
    assert client.get(f"{path}/images").json()["images"][0]["url"] is None
    for part in (f"images/{image.id}", f"media/{asset.id}"):
        reply = client.get(f"{path}/{part}", follow_redirects=False)
        assert (reply.status_code, "deleted" in reply.json()["detail"]) == (410, True)
    assert client.get(f"{path}/views").json() == {"views": [], "next_cursor": None}


def test_a_file_that_was_overwritten_is_not_shown_as_the_one_that_was_analysed(client: TestClient, home: Home) -> None:
    incident_id = reported(client)["incident_id"]
    asset = with_clip(home, incident_id)
    home.media.put(asset.object_name, b"another", content_type="video/mp4")
    assert client.get(f"/incidents/{incident_id}/media/{asset.id}").status_code == 410
    home.media.delete(asset.object_name)
    assert client.get(f"/incidents/{incident_id}/media/{asset.id}").status_code == 409


@pytest.mark.parametrize("part", ["images/1", "images/x", "media/nothing", "media/%00", "media/" + "x" * 2000])
def test_what_the_incident_does_not_have_is_not_found(client: TestClient, part: str) -> None:
    reply = client.get(f"/incidents/{reported(client)['incident_id']}/{part}")
    assert reply.status_code == (400 if part == "images/x" else 404)
    assert isinstance(reply.json()["detail"], str)


def test_the_picture_of_another_incident_is_not_found(client: TestClient, home: Home) -> None:
    client.put("/beacons/yard", json={"location": "Yard"})
    image = with_image(home, reported(client))
    elsewhere = reported(client, beacon_id="yard")["incident_id"]
    assert client.get(f"/incidents/{elsewhere}/images/{image.id}").status_code == 404


def test_an_incident_of_a_place_that_is_not_theirs_is_not_there(client: TestClient, home: Home) -> None:
    incident_id = reported(client)["incident_id"]
    found, _ = visible_incident(incident_id, Caller("eve", Role.VIEWER, ("gate",)), home.documents)
    assert found.id == incident_id
    with pytest.raises(NotFound):
        visible_incident(incident_id, Caller("eve", Role.ADMIN, ("yard",)), home.documents)


def test_public_links_have_no_end_and_the_log_says_who_was_told(
    home: Home, tmp_path_factory: pytest.TempPathFactory
) -> None:
    config = EmbeddedSettings(evidence_urls=LinkMode.PUBLIC)
    public = Home(tmp_path_factory.mktemp("public"), config, "http://testserver")
    client = TestClient(application(public))
    client.put("/beacons/gate", json={"location": "Library Entrance"})
    signal = reported(client)
    image = with_image(public, signal)
    path = f"/incidents/{signal['incident_id']}"
    reply = client.get(f"{path}/images/{image.id}", follow_redirects=False)
    assert reply.headers["location"] == f"http://testserver/sightline-evidence/{image.object_name}"
    (view,) = client.get(f"{path}/views").json()["views"]
    assert view["expires_at"] is None
    public.close()
