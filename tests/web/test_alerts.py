"""The routes of guards and alerts: what is shown, what is stored, and every refusal in a sentence."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi.testclient import TestClient

from local.home import Home
from shared.errors import NotPermitted
from shared.handlers import guard_registry, notify
from shared.messages import IncidentOpened
from shared.ports import Caller, Role
from shared.repositories import incidents
from tests.handlers.alerting import ScriptedTimers

ANN: dict[str, Any] = {
    "name": "Ann Lee",
    "places": ["gate"],
    "shifts": [{"days": ["fri", "sat"], "start": "22:00", "end": "06:00"}],
    "quiet_hours": {"start": "13:00", "end": "14:30"},
    "time_zone": "Europe/Berlin",
    "rank": 1,
}


@pytest.fixture
def alerting(home: Home) -> notify.Deps:
    """Alerts in the home's store; deliveries are nobody's here."""
    return notify.Deps(home.documents, home._clock, ScriptedTimers(), lambda _: None)


def opened(client: TestClient, home: Home, alerting: notify.Deps, kind: str = "violence") -> str:
    """A signal opens an incident and notify has heard of it; the alert's id."""
    body = {"beacon_id": "gate", "confidence_score": 0.9, "description": "seen"}
    incident_id = client.post(f"/api/ai/{kind}-detected/", json=body).json()["incident_id"]
    incident = incidents.get(home.documents, incident_id)
    news = IncidentOpened(
        incident_id=incident_id,
        beacon_id="gate",
        beacon_location=incident.beacon_location,
        priority=incident.priority,
        opened_at=incident.opened_at,
        signal_id=1,
    )
    notify.incident_opened(news, alerting)
    return f"{incident_id}:{incident.priority.value}"


class TestGuards:
    def test_a_guard_is_set_up_shown_listed_and_removed(self, client: TestClient) -> None:
        shown = {**ANN, "id": "ann", "active": True, "phones": 0}
        assert client.put("/guards/ann", json=ANN).json() == shown
        assert client.get("/guards/ann").json() == shown
        assert client.get("/guards").json() == {"guards": [shown], "next_cursor": None}
        assert client.delete("/guards/ann").status_code == 204
        for again in (client.get("/guards/ann"), client.delete("/guards/ann")):
            assert (again.status_code, again.json()) == (404, {"detail": "No such guard."})

    def test_with_a_name_alone_it_is_all_places_at_all_times(self, client: TestClient) -> None:
        shown = client.put("/guards/bo", json={"name": "Bo"}).json()
        assert (shown["places"], shown["shifts"], shown["quiet_hours"], shown["time_zone"]) == (None, [], None, "UTC")

    def test_a_list_has_pages(self, client: TestClient) -> None:
        for name in "abc":
            client.put(f"/guards/{name}", json={"name": name})
        first = client.get("/guards", params={"limit": 2}).json()
        second = client.get("/guards", params={"limit": 2, "cursor": first["next_cursor"]}).json()
        assert [each["id"] for each in (*first["guards"], *second["guards"])] == ["a", "b", "c"]
        assert second["next_cursor"] is None

    def test_phones_are_counted_not_shown_and_belong_to_one_guard(self, client: TestClient) -> None:
        client.put("/guards/ann", json={**ANN, "tokens": ["secret-1", "secret-1", "secret-2"]})
        client.put("/guards/bo", json={"name": "Bo"})
        reply = client.post("/guards/bo/tokens", json={"token": "secret-2"})
        assert reply.json()["phones"] == 1
        assert client.put("/guards/ann", json=ANN).json()["phones"] == 1
        assert client.put("/guards/ann", json={**ANN, "tokens": []}).json()["phones"] == 0
        assert "secret" not in client.get("/guards").text + reply.text

    def test_the_oldest_of_too_many_phones_gives_way(self, client: TestClient) -> None:
        client.put("/guards/ann", json=ANN)
        counts = [client.post("/guards/ann/tokens", json={"token": f"t{n}"}).json()["phones"] for n in range(22)]
        assert counts[-3:] == [20, 20, 20]
        client.put("/guards/bo", json={"name": "Bo"})
        client.post("/guards/bo/tokens", json={"token": "t0"})  # nobody's any more
        assert client.get("/guards/ann").json()["phones"] == 20

    @pytest.mark.parametrize(
        ("wrong", "sentence"),
        [
            ({"name": ""}, "name: String should have at least 1 character"),
            ({"name": "a\nb"}, "name: Value error, must be text that can be shown, without control characters"),
            (
                {"time_zone": "Berlin"},
                "there is no time zone 'Berlin'; name one such as Europe/Berlin",
            ),
            ({"time_zone": "../../etc/passwd"}, "time_zone: Value error, there is no time zone"),
            (
                {"shifts": [{"start": "25:00", "end": "06:00"}]},
                "shifts.0.start: Value error, must be a time of day such as 06:00 or 22:30",
            ),
            ({"shifts": [{"start": "22:00Z", "end": "06:00"}]}, "shifts.0.start: Value error, must be a time of day"),
            ({"shifts": [{"start": "22:00"}]}, "shifts.0.end: Field required"),
            ({"shifts": [{"start": "1:00", "end": "06:00", "days": []}]}, "shifts.0.days: List should have at least 1"),
            ({"quiet_hours": {"start": "22:00", "end": 6}}, "quiet_hours.end: Input should be a valid string"),
            ({"tokens": ["a b"]}, "tokens.0: Value error, must be a push token"),
            ({"tokens": ["t"] * 21}, "tokens: List should have at most 20 items"),
            ({"rank": -1}, "rank: Input should be greater than or equal to 0"),
            ({"phone": "1"}, "phone: Extra inputs are not permitted"),
        ],
    )
    def test_what_makes_no_guard_is_refused_in_a_sentence(
        self, client: TestClient, wrong: dict[str, Any], sentence: str
    ) -> None:
        reply = client.put("/guards/ann", json={**ANN, **wrong})
        assert reply.status_code == 400
        assert sentence in reply.json()["detail"]
        assert client.get("/guards/ann").status_code == 404

    def test_one_guard_too_many_is_refused(self, client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(guard_registry, "MOST_GUARDS", 1)
        assert client.put("/guards/ann", json=ANN).status_code == 200
        assert client.put("/guards/ann", json={**ANN, "rank": 2}).json()["rank"] == 2
        reply = client.put("/guards/bo", json=ANN)
        assert (reply.status_code, reply.json()["detail"]) == (
            409,
            "There are 1 guards already, and there can't be more.",
        )

    @pytest.mark.parametrize(
        ("places", "allowed"), [(["gate"], True), (["gate", "yard"], True), (["gate", "hall"], False), (None, False)]
    )
    def test_who_sees_some_places_registers_no_phone_that_hears_of_others(
        self, home: Home, client: TestClient, places: list[str] | None, allowed: bool
    ) -> None:
        client.put("/guards/ann", json={"name": "Ann", "places": places})
        operator = Caller("op", Role.OPERATOR, ("gate", "yard"))
        if allowed:
            assert guard_registry.add_token("ann", "t", operator, home.documents).tokens == ("t",)
            return
        with pytest.raises(NotPermitted):
            guard_registry.add_token("ann", "t", operator, home.documents)

    def test_a_phone_of_nobody_is_refused(self, client: TestClient) -> None:
        assert client.post("/guards/nobody/tokens", json={"token": "t"}).status_code == 404


class TestAlerts:
    def test_an_alert_shows_who_was_asked_and_who_was_not_and_why(
        self, client: TestClient, home: Home, alerting: notify.Deps
    ) -> None:
        client.put("/guards/ann", json={"name": "Ann", "places": ["gate"]})
        client.put("/guards/bo", json={"name": "Bo", "active": False})
        client.put("/guards/cy", json={"name": "Cy", "places": ["yard"]})
        alert = client.get(f"/alerts/{opened(client, home, alerting)}").json()
        assert (alert["state"], alert["cause"], alert["round"], alert["priority"]) == (
            "active",
            "opened",
            1,
            "Critical",
        )
        assert [(ask["guard_id"], ask["guard_name"], ask["answer"]) for ask in alert["asks"]] == [("ann", "Ann", None)]
        assert alert["passed"] == [{"guard_id": "bo", "because": "inactive"}]
        assert alert["accepted_by"] is None

    def test_accept_and_decline(self, client: TestClient, home: Home, alerting: notify.Deps) -> None:
        for guard_id in ("ann", "bo"):
            client.put(f"/guards/{guard_id}", json={"name": guard_id.title()})
        alert_id = opened(client, home, alerting)
        declined = client.post(f"/alerts/{alert_id}/decline", json={"guard_id": "ann", "reason": "too far"}).json()
        assert (declined["state"], declined["asks"][0]["answer"], declined["asks"][0]["reason"]) == (
            "active",
            "declined",
            "too far",
        )
        accepted = client.post(f"/alerts/{alert_id}/accept", json={"guard_id": "bo"}).json()
        assert (accepted["state"], accepted["accepted_by"]) == ("accepted", "bo")
        incident = client.get(f"/incidents/{accepted['incident_id']}").json()
        assert incident["status"] == "ASSIGNED"
        second = client.post(f"/alerts/{alert_id}/accept", json={"guard_id": "ann"})
        assert second.status_code == 409
        assert second.json() == {"detail": "Another guard has accepted this alert.", "alert": accepted}

    def test_alerts_are_found_by_state_place_and_incident(
        self, client: TestClient, home: Home, alerting: notify.Deps
    ) -> None:
        alert_id = opened(client, home, alerting)
        incident_id = alert_id.partition(":")[0]

        def found(**params: str) -> list[str]:
            return [each["alert_id"] for each in client.get("/alerts", params=params).json()["alerts"]]

        assert found() == found(state="exhausted") == found(beacon_id="gate") == [alert_id]
        assert found(beacon_id="gate", state="exhausted") == found(incident_id=incident_id) == [alert_id]
        assert found(state="active") == found(beacon_id="yard") == found(incident_id="x") == []
        assert found(incident_id=incident_id, state="active") == found(incident_id=incident_id, beacon_id="yard") == []

    @pytest.mark.parametrize("action", ["accept", "decline"])
    @pytest.mark.parametrize(
        ("body", "sentence"),
        [
            ({}, "guard_id: Field required"),
            ({"guard_id": "a", "reason": "x" * 501}, "reason: String should have at most 500 characters"),
            ({"guard_id": "a", "reason": "\x07"}, "reason: Value error, must be text that can be shown"),
            ({"guard_id": "a", "resaon": "typo"}, "resaon: Extra inputs are not permitted"),
        ],
    )
    def test_an_answer_that_is_none_is_refused(
        self, client: TestClient, action: str, body: dict[str, Any], sentence: str
    ) -> None:
        reply = client.post(f"/alerts/x/{action}", json=body)
        assert reply.status_code == 400
        assert sentence in reply.json()["detail"]

    def test_who_was_not_asked_is_told_so(self, client: TestClient, home: Home, alerting: notify.Deps) -> None:
        alert_id = opened(client, home, alerting)
        reply = client.post(f"/alerts/{alert_id}/accept", json={"guard_id": "ann"})
        assert (reply.status_code, reply.json()["detail"]) == (409, "This guard was not asked by this alert.")

    def test_an_alert_that_is_not_there(self, client: TestClient) -> None:
        assert client.get("/alerts/x").json() == {"detail": "No such alert."}
        assert client.post("/alerts/x/accept", json={"guard_id": "a"}).status_code == 404
        assert client.get("/alerts", params={"cursor": "nonsense"}).status_code == 400
        assert client.get("/alerts", params={"state": "sleeping"}).status_code == 400
