"""Operators' routes: incidents found, shown, acted on one by one and several at once, and every refusal."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from local.home import Home
from local.server import application
from shared.ports import Caller, Role
from shared.settings import EmbeddedSettings
from tests.web.evidence_cases import reported, with_image


@pytest.fixture
def incident_id(client: TestClient) -> str:
    opened: str = reported(client)["incident_id"]
    return opened


def opened_at(client: TestClient, *places: str) -> list[str]:
    """An incident at each of these places."""
    for place in places:
        client.put(f"/beacons/{place}", json={"location": place})
    return [reported(client, beacon_id=place)["incident_id"] for place in places]


RESOLUTION = {"outcome": "resolved", "note": "it is over"}


class TestActions:
    def test_the_way_of_an_incident(self, client: TestClient, incident_id: str) -> None:
        path = f"/incidents/{incident_id}"
        steps: list[tuple[str, Any, str]] = [
            ("acknowledge", None, "CREATED"),
            ("assign", {"assignee": "anna"}, "ASSIGNED"),
            ("assign", {"assignee": None, "note": "ill"}, "CREATED"),
            ("assign", {"assignee": "ben"}, "ASSIGNED"),
            ("start", {}, "IN_PROGRESS"),
            ("note", {"note": "two people"}, "IN_PROGRESS"),
            ("resolve", RESOLUTION, "RESOLVED"),
            ("note", {"note": "report sent"}, "RESOLVED"),
        ]
        for number, (step, body, status) in enumerate(steps, start=2):
            reply = client.post(f"{path}/{step}", json=body)
            assert (reply.status_code, reply.json()["status"]) == (200, status), reply.text
            assert (reply.json()["revision"], reply.headers["etag"]) == (number, f'"{number}"')
        shown = client.get(path)
        assert shown.headers["etag"] == '"9"'
        assert {**shown.json(), **reply.json()} == shown.json()
        assert (shown.json()["outcome"], shown.json()["resolution_note"]) == ("resolved", "it is over")
        assert shown.json()["acknowledged_by"] == "anonymous"

    def test_a_step_that_is_not_possible_shows_the_incident(self, client: TestClient, incident_id: str) -> None:
        reply = client.post(f"/incidents/{incident_id}/start")
        assert reply.status_code == 409
        assert reply.json()["detail"] == "An incident that is CREATED can only become ASSIGNED or RESOLVED."
        shown = client.get(f"/incidents/{incident_id}").json()
        assert {**shown, **reply.json()["incident"]} == shown
        assert reply.headers["etag"] == '"1"'

    @pytest.mark.parametrize(
        ("headers", "body"),
        [
            ({"If-Match": '"1"'}, {}),
            ({"If-Match": 'W/"1"'}, {}),
            ({"If-Match": "1"}, {}),
            ({}, {"revision": 1}),
            ({"If-Match": '"1"'}, {"revision": 1}),
        ],
    )
    def test_who_looked_before_the_last_change_is_refused(
        self, client: TestClient, incident_id: str, headers: dict[str, str], body: dict[str, Any]
    ) -> None:
        path = f"/incidents/{incident_id}"
        assert client.post(f"{path}/acknowledge", json=body, headers=headers).status_code == 200
        reply = client.post(f"{path}/resolve", json={**RESOLUTION, **body}, headers=headers)
        assert (reply.status_code, reply.json()["incident"]["revision"]) == (409, 2)
        assert reply.json()["detail"] == "The incident is at revision 2 by now, not 1: look at it again."

    def test_any_revision_will_do_where_the_client_says_so(self, client: TestClient, incident_id: str) -> None:
        for step in ("acknowledge", "note"):
            reply = client.post(f"/incidents/{incident_id}/{step}", json={"note": "x"}, headers={"If-Match": "*"})
            assert reply.status_code == 200

    @pytest.mark.parametrize(
        ("headers", "body"),
        [
            ({"If-Match": '"1"'}, {"revision": 2}),
            ({"If-Match": '"1", "2"'}, {}),
            ({"If-Match": '"x"'}, {}),
            ({"If-Match": ""}, {}),
            ({"If-Match": '"' + "9" * 400 + '"'}, {}),
            ({}, {"revision": 0}),
            ({}, {"revision": "1"}),
            ({}, {"revision": True}),
        ],
    )
    def test_a_revision_that_says_nothing_is_400(
        self, client: TestClient, incident_id: str, headers: dict[str, str], body: dict[str, Any]
    ) -> None:
        reply = client.post(f"/incidents/{incident_id}/acknowledge", json=body, headers=headers)
        assert reply.status_code == 400
        assert isinstance(reply.json()["detail"], str)

    @pytest.mark.parametrize(
        ("step", "body"),
        [
            ("resolve", {}),
            ("resolve", {"outcome": "resolved"}),
            ("resolve", {"note": "over"}),
            ("resolve", {**RESOLUTION, "outcome": "won"}),
            ("resolve", {**RESOLUTION, "note": " "}),
            ("resolve", {**RESOLUTION, "note": None}),
            ("resolve", {**RESOLUTION, "outcom": "resolved"}),
            ("assign", {}),
            ("assign", {"asignee": "anna"}),
            ("assign", {"assignee": ""}),
            ("assign", {"assignee": "a\nb"}),
            ("assign", {"assignee": "x" * 101}),
            ("assign", {"assignee": ["anna"]}),
            ("note", {}),
            ("note", {"note": "x" * 2001}),
            ("note", {"note": "\u0000"}),
            ("start", {"note": ""}),
            ("start", {"who": "anna"}),
            ("acknowledge", {"note": 5}),
            ("acknowledge", []),
        ],
    )
    def test_a_body_that_says_nothing_or_too_much_is_400(
        self, client: TestClient, incident_id: str, step: str, body: Any
    ) -> None:
        reply = client.post(f"/incidents/{incident_id}/{step}", json=body)
        assert reply.status_code == 400
        assert isinstance(reply.json()["detail"], str)
        assert client.get(f"/incidents/{incident_id}").json()["revision"] == 1

    def test_what_is_misspelt_is_named(self, client: TestClient, incident_id: str) -> None:
        reply = client.post(f"/incidents/{incident_id}/assign", json={"assignee": "anna", "outcom": "x"})
        assert reply.json() == {"detail": "outcom: Extra inputs are not permitted"}

    @pytest.mark.parametrize("step", ["acknowledge", "assign", "start", "resolve", "note"])
    @pytest.mark.parametrize("unknown", ["nowhere", "x" * 1600])
    def test_an_unknown_incident_is_404(self, client: TestClient, step: str, unknown: str) -> None:
        body = {"assign": {"assignee": "anna"}, "resolve": RESOLUTION, "note": {"note": "x"}}.get(step)
        reply = client.post(f"/incidents/{unknown}/{step}", json=body)
        assert (reply.status_code, reply.json()) == (404, {"detail": "No such incident."})

    def test_there_is_no_other_step(self, client: TestClient, incident_id: str) -> None:
        assert client.post(f"/incidents/{incident_id}/reopen").status_code == 404

    def test_the_same_key_is_the_same_request(self, client: TestClient, incident_id: str) -> None:
        path, key = f"/incidents/{incident_id}/note", {"Idempotency-Key": "n-1"}
        first = client.post(path, json={"note": "seen"}, headers=key)
        again = client.post(path, json={"note": "seen"}, headers=key)
        other = client.post(path, json={"note": "heard"}, headers=key)
        assert (first.status_code, again.json()) == (200, first.json())
        assert (other.status_code, other.json()) == (
            409,
            {"detail": "This Idempotency-Key was used for another step."},
        )

    def test_a_signal_after_the_resolution_opens_another_incident(self, client: TestClient, incident_id: str) -> None:
        client.post(f"/incidents/{incident_id}/resolve", json=RESOLUTION)
        later = reported(client)["incident_id"]
        assert later != incident_id
        assert client.get(f"/incidents/{later}").json()["previous_incident_id"] == incident_id


class TestSeveral:
    def test_each_has_its_own_result(self, client: TestClient) -> None:
        first, second = opened_at(client, "yard", "hall")
        client.post(f"/incidents/{second}/resolve", json=RESOLUTION)
        body = {"incident_ids": [first, second, "nowhere"], **RESOLUTION}
        reply = client.post("/incidents/resolve", json=body)
        assert reply.status_code == 200
        assert reply.json()["done"] == 1
        results = reply.json()["results"]
        assert [(each["incident_id"], each["status"]) for each in results] == [
            (first, 200),
            (second, 409),
            ("nowhere", 404),
        ]
        assert [each["incident"] and each["incident"]["status"] for each in results] == ["RESOLVED", "RESOLVED", None]
        assert results[0]["detail"] is None
        assert results[2]["detail"] == "No such incident."

    def test_several_are_acknowledged(self, client: TestClient) -> None:
        ids = opened_at(client, "yard", "hall")
        reply = client.post("/incidents/acknowledge", json={"incident_ids": ids})
        assert (reply.json()["done"], [each["incident"]["revision"] for each in reply.json()["results"]]) == (2, [2, 2])

    def test_one_revision_of_several_is_400(self, client: TestClient, incident_id: str) -> None:
        reply = client.post("/incidents/acknowledge", json={"incident_ids": [incident_id]}, headers={"If-Match": '"1"'})
        assert reply.json() == {"detail": "If-Match names the revision of one incident; here are several."}

    @pytest.mark.parametrize(
        ("step", "body"),
        [
            ("acknowledge", {}),
            ("acknowledge", {"incident_ids": []}),
            ("acknowledge", {"incident_ids": ["x"] * 101}),
            ("acknowledge", {"incident_ids": "x"}),
            ("acknowledge", {"incident_ids": ["x"], "outcome": "resolved"}),
            ("acknowledge", {"incident_ids": ["x"], "note": ""}),
            ("resolve", {"incident_ids": ["x"], "note": "over"}),
            ("resolve", {"incident_ids": ["x"], "note": "\u0007", "outcome": "resolved"}),
        ],
    )
    def test_what_cannot_be_meant_is_400(self, client: TestClient, step: str, body: dict[str, Any]) -> None:
        reply = client.post(f"/incidents/{step}", json=body)
        assert reply.status_code == 400
        assert isinstance(reply.json()["detail"], str)


class TestReading:
    def test_incidents_are_found_and_counted(self, client: TestClient) -> None:
        ids = opened_at(client, "yard", "hall", "gate")
        client.post(f"/incidents/{ids[0]}/assign", json={"assignee": "anna"})
        client.post(f"/incidents/{ids[1]}/resolve", json={**RESOLUTION, "outcome": "false_alarm"})
        whole = client.get("/incidents").json()
        assert [each["incident_id"] for each in whole["incidents"]] == ids[::-1]
        assert whole["counts"] == {"CREATED": 1, "ASSIGNED": 1, "IN_PROGRESS": 0, "RESOLVED": 1}
        assert (whole["total"], whole["next_cursor"]) == (3, None)
        for query, expected in {
            "status=ASSIGNED&status=CREATED": [ids[2], ids[0]],
            "assignee=anna": [ids[0]],
            "outcome=false_alarm&status=RESOLVED": [ids[1]],
            "priority=Critical&beacon_id=hall&legal_hold=false": [ids[1]],
            "priority=Medium": [],
            "opened_after=2100-01-01T00:00:00Z": [],
            "opened_before=2100-01-01T00:00:00%2B02:00&beacon_id=yard": [ids[0]],
        }.items():
            found = client.get(f"/incidents?{query}").json()
            assert [each["incident_id"] for each in found["incidents"]] == expected, query
            assert found["total"] == len(expected), query

    def test_pages_are_counted_once(self, client: TestClient) -> None:
        ids = opened_at(client, "yard", "hall", "gate")
        first = client.get("/incidents?limit=2").json()
        second = client.get("/incidents", params={"limit": 2, "cursor": first["next_cursor"]}).json()
        assert [each["incident_id"] for each in first["incidents"] + second["incidents"]] == ids[::-1]
        assert (first["total"], second["total"], second["counts"], second["next_cursor"]) == (3, None, None, None)

    @pytest.mark.parametrize(
        "query",
        [
            "statu=CREATED",
            "status=created",
            "priority=1",
            "outcome=won",
            "limit=0",
            "limit=1001",
            "legal_hold=perhaps",
            "opened_after=yesterday",
            "opened_after=2026-01-01T00:00:00",
            "opened_before=0001-01-01T00:00:00%2B14:00",
            "cursor=abc",
        ],
    )
    def test_a_question_that_makes_no_sense_is_400(self, client: TestClient, query: str) -> None:
        reply = client.get(f"/incidents?{query}")
        assert reply.status_code == 400
        assert isinstance(reply.json()["detail"], str)

    def test_an_incident_is_shown_with_all_that_belongs_to_it(self, client: TestClient, home: Home) -> None:
        signal = reported(client)
        image = with_image(home, signal)
        shown = client.get(f"/incidents/{signal['incident_id']}").json()
        assert (shown["signal_count"], shown["signals"][0]["beacon_id"]) == (1, "gate")
        assert [each["image_id"] for each in shown["images"]] == [image.id]
        path = f"/incidents/{signal['incident_id']}"
        assert shown["links"] == {
            "timeline": f"{path}/timeline",
            "images": f"{path}/images",
            "views": f"{path}/views",
            "evidence": f"{path}/evidence",
            "alerts": f"/alerts?incident_id={signal['incident_id']}",
        }

    @pytest.mark.parametrize("path", ["/incidents/nowhere", "/incidents/nowhere/timeline", f"/incidents/{'x' * 1600}"])
    def test_what_is_not_there_is_404(self, client: TestClient, path: str) -> None:
        assert (client.get(path).status_code, client.get(path).json()) == (404, {"detail": "No such incident."})


class TestTimeline:
    def test_everything_is_told_in_order(self, client: TestClient, home: Home) -> None:
        signal = reported(client)
        path = f"/incidents/{signal['incident_id']}"
        client.post(f"{path}/assign", json={"assignee": "anna", "note": "on shift"})
        reported(client, device_id="CAM-2")
        told = client.get(f"{path}/timeline").json()
        assert told["incident_id"] == signal["incident_id"]
        assert [item["kind"] for item in told["items"]] == ["signal", "change", "change", "signal"]
        assigned = told["items"][2]
        assert set(assigned) == {"at", "kind", "change"}
        assert assigned["change"] == {
            "number": 2,
            "actor": "anonymous",
            "action": "assigned",
            "before": {"status": "CREATED", "assignee": None},
            "after": {"status": "ASSIGNED", "assignee": "anna"},
            "note": "on shift",
            "details": {},
        }
        assert told["items"][3]["signal"]["device_id"] == "CAM-2"

    def test_pictures_are_among_them(self, client: TestClient, home: Home) -> None:
        signal = reported(client)
        image = with_image(home, signal)
        items = client.get(f"/incidents/{signal['incident_id']}/timeline").json()["items"]
        (picture,) = [item["image"] for item in items if item["kind"] == "image"]
        assert picture["url"] == f"/incidents/{signal['incident_id']}/images/{image.id}"

    def test_it_is_read_page_by_page(self, client: TestClient, incident_id: str) -> None:
        for number in range(5):
            client.post(f"/incidents/{incident_id}/note", json={"note": str(number)})
        path = f"/incidents/{incident_id}/timeline"
        whole = client.get(path).json()["items"]
        items: list[Any] = []
        cursor = None
        while True:
            page = client.get(path, params={"limit": 3, "cursor": cursor} if cursor else {"limit": 3}).json()
            items, cursor = items + page["items"], page["next_cursor"]
            if cursor is None:
                break
        assert items == whole
        assert len(whole) == 7

    @pytest.mark.parametrize("query", ["limit=0", "limit=501", "cursor=abc", "limit=x"])
    def test_a_page_that_cannot_be_is_400(self, client: TestClient, incident_id: str, query: str) -> None:
        assert client.get(f"/incidents/{incident_id}/timeline?{query}").status_code == 400


USERS = {
    "admin": Caller("ada", Role.ADMIN),
    "operator": Caller("olga", Role.OPERATOR),
    "viewer": Caller("vera", Role.VIEWER),
    "yard": Caller("otto", Role.OPERATOR, places=("yard",)),
    "nowhere": Caller("nora", Role.OPERATOR, places=()),
}


@pytest.fixture
def as_user(tmp_path: Path) -> Iterator[dict[str, TestClient]]:
    """A client for each user, of a home with an incident at the gate and one at the yard."""
    config = EmbeddedSettings(
        api_token="shared" * 8, user_tokens=tuple((name * 8, caller) for name, caller in USERS.items())
    )
    home = Home(tmp_path / "users", config, "http://testserver")
    app = application(home)
    clients = {name: TestClient(app, headers={"Authorization": f"Bearer {name * 8}"}) for name in USERS}
    opened_at(clients["admin"], "gate", "yard")
    yield clients
    home.close()


class TestCallers:
    def test_a_viewer_reads_and_does_nothing(self, as_user: dict[str, TestClient]) -> None:
        (_, gate) = as_user["viewer"].get("/incidents").json()["incidents"]
        path = f"/incidents/{gate['incident_id']}"
        assert as_user["viewer"].get(path).status_code == 200
        assert as_user["viewer"].get(f"{path}/timeline").status_code == 200
        for step in ("acknowledge", "assign", "start", "resolve", "note"):
            reply = as_user["viewer"].post(f"{path}/{step}", json={})
            assert reply.status_code == 403
        reply = as_user["viewer"].post(f"{path}/acknowledge")
        assert (reply.status_code, reply.json()) == (403, {"detail": "This needs the role operator."})
        several = {"incident_ids": [gate["incident_id"]]}
        assert as_user["viewer"].post("/incidents/acknowledge", json=several).status_code == 403

    def test_an_operator_acts_in_their_own_name(self, as_user: dict[str, TestClient]) -> None:
        incident = as_user["operator"].get("/incidents").json()["incidents"][0]
        path = f"/incidents/{incident['incident_id']}"
        as_user["operator"].post(f"{path}/acknowledge", headers={"X-Actor": "somebody else"})
        (*_, last) = as_user["viewer"].get(f"{path}/timeline").json()["items"]
        assert last["change"]["actor"] == "olga"

    def test_who_is_limited_to_places_sees_no_others(self, as_user: dict[str, TestClient]) -> None:
        (yard, gate) = as_user["admin"].get("/incidents").json()["incidents"]
        seen = as_user["yard"].get("/incidents").json()
        assert ([each["beacon_id"] for each in seen["incidents"]], seen["total"]) == (["yard"], 1)
        assert as_user["yard"].get("/incidents?beacon_id=gate").json()["total"] == 0
        assert as_user["nowhere"].get("/incidents").json()["incidents"] == []
        other = f"/incidents/{gate['incident_id']}"
        assert as_user["yard"].get(other).status_code == 404
        assert as_user["yard"].get(f"{other}/timeline").status_code == 404
        assert as_user["yard"].post(f"{other}/resolve", json=RESOLUTION).status_code == 404
        several = {"incident_ids": [gate["incident_id"], yard["incident_id"]], **RESOLUTION}
        results = as_user["yard"].post("/incidents/resolve", json=several).json()["results"]
        assert [each["status"] for each in results] == [404, 200]
        assert results[0]["incident"] is None
