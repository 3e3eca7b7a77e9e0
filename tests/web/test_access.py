"""Who may do what over HTTP: every route's least role, devices and their keys, and in whose name one acts."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from fastapi import APIRouter
from fastapi.routing import APIRoute
from fastapi.testclient import TestClient
from starlette.responses import Response

from local.home import Home
from local.server import application
from shared import settings
from shared.domain.alerts import Alert, AlertCause, AlertDelivery, AlertEvent, Channel
from shared.domain.incidents import Priority
from shared.errors import Retryable, SettingsError
from shared.ports import Caller, Role
from shared.repositories import alerts, deliveries
from shared.settings import EmbeddedSettings
from shared.web.access import Access
from shared.web.app import create_app
from shared.web.callers import Admin, Rules
from shared.web.clients import Actor
from shared.web.middleware import AccessRequired
from tests.web.test_http import VIOLENCE

TOKENS = {role: f"the-token-of-the-{role.value}" for role in (Role.VIEWER, Role.OPERATOR, Role.ADMIN)}
SHARED = "the-shared-token"

LEAST = {
    "GET /": None,
    "GET /health": None,
    "POST /api/ai/scream-detected/": Role.DEVICE,
    "POST /api/ai/violence-detected/": Role.DEVICE,
    "GET /analysis/{asset_id}": Role.VIEWER,
    "GET /analysis/{asset_id}/contact-sheet": Role.VIEWER,
    "GET /ai-events": Role.VIEWER,
    "GET /alerts": Role.VIEWER,
    "GET /alerts/{alert_id}": Role.VIEWER,
    "GET /ai-events/{ai_event_id}": Role.VIEWER,
    "GET /ai-events/{ai_event_id}/images/{image_id}": Role.VIEWER,
    "GET /analysis/{asset_id}/replays": Role.VIEWER,
    "GET /analysis/{asset_id}/replays/{replay_id}": Role.VIEWER,
    "GET /analysis/{asset_id}/timeline": Role.VIEWER,
    "GET /beacons": Role.VIEWER,
    "GET /beacons/{beacon_id:path}": Role.VIEWER,
    "GET /cache/stats": Role.VIEWER,
    "GET /confidence-levels": Role.VIEWER,
    "GET /feedback": Role.VIEWER,
    "GET /guards": Role.VIEWER,
    "GET /guards/{guard_id}": Role.VIEWER,
    "GET /incidents": Role.VIEWER,
    "GET /incidents/{incident_id}": Role.VIEWER,
    "GET /incidents/{incident_id}/images": Role.VIEWER,
    "GET /incidents/{incident_id}/images/{image_id}": Role.VIEWER,
    "GET /incidents/{incident_id}/timeline": Role.VIEWER,
    "GET /moderation-config": Role.VIEWER,
    "GET /moderation/shadow": Role.VIEWER,
    "GET /metrics": Role.VIEWER,
    "GET /metrics/history": Role.VIEWER,
    "GET /stream": Role.VIEWER,
    "GET /video/status/{task_id}": Role.VIEWER,
    "POST /evidence/verify": Role.VIEWER,
    "DELETE /cache": Role.OPERATOR,
    "DELETE /cache/{media_id:path}": Role.OPERATOR,
    "GET /incidents/{incident_id}/evidence": Role.OPERATOR,
    "GET /incidents/{incident_id}/media/{asset_id}": Role.OPERATOR,
    "GET /incidents/{incident_id}/views": Role.OPERATOR,
    "GET /alerts/{alert_id}/deliveries": Role.OPERATOR,
    "POST /alerts/{alert_id}/accept": Role.OPERATOR,
    "POST /alerts/{alert_id}/decline": Role.OPERATOR,
    "POST /analysis": Role.OPERATOR,
    "POST /analysis/{asset_id}/replay": Role.OPERATOR,
    "POST /analyze-video": Role.OPERATOR,
    "POST /feedback": Role.OPERATOR,
    "POST /guards/{guard_id}/tokens": Role.OPERATOR,
    "POST /incidents/acknowledge": Role.OPERATOR,
    "POST /incidents/resolve": Role.OPERATOR,
    "POST /incidents/{incident_id}/acknowledge": Role.OPERATOR,
    "POST /incidents/{incident_id}/assign": Role.OPERATOR,
    "POST /incidents/{incident_id}/note": Role.OPERATOR,
    "POST /incidents/{incident_id}/resolve": Role.OPERATOR,
    "POST /incidents/{incident_id}/start": Role.OPERATOR,
    "POST /moderate": Role.OPERATOR,
    "POST /video/analyze": Role.OPERATOR,
    "POST /video/upload-url": Role.OPERATOR,
    "DELETE /devices/{device_id:path}": Role.ADMIN,
    "DELETE /guards/{guard_id}": Role.ADMIN,
    "DELETE /webhooks/{webhook_id}": Role.ADMIN,
    "GET /devices": Role.ADMIN,
    "GET /devices/{device_id:path}": Role.ADMIN,
    "GET /erasures/{erasure_id}": Role.ADMIN,
    "GET /webhooks": Role.ADMIN,
    "GET /webhooks/{webhook_id}": Role.ADMIN,
    "GET /webhooks/{webhook_id}/deliveries": Role.ADMIN,
    "POST /beacons/import": Role.ADMIN,
    "POST /devices/{device_id:path}/key": Role.ADMIN,
    "PUT /beacons/{beacon_id:path}": Role.ADMIN,
    "PUT /devices/{device_id:path}": Role.ADMIN,
    "POST /erasures": Role.ADMIN,
    "POST /incidents/{incident_id}/legal-hold": Role.ADMIN,
    "POST /webhooks/{webhook_id}/test": Role.ADMIN,
    "PUT /guards/{guard_id}": Role.ADMIN,
    "PUT /webhooks/{webhook_id}": Role.ADMIN,
}
"""The least role for each route (None: everybody). A new route must be decided upon here."""

ALLOWED, UNKNOWN, FORBIDDEN = 200, 401, 403


SIGNAL = {"beacon_id": "gate", "confidence_score": 0.95, "description": "Fight"}


def users() -> str:
    people = [{"name": role.value, "role": role.value, "token": token} for role, token in TOKENS.items()]
    gate = {"name": "Ana", "role": "operator", "token": "the-token-of-anas", "places": ["gate", "a:b|c,d"]}
    return json.dumps([*people, gate])


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    config = settings.load(EmbeddedSettings, {"SIGHTLINE_API_TOKEN": SHARED, "SIGHTLINE_USER_TOKENS": users()})
    made = Home(tmp_path / "data", config, "http://testserver")
    yield made
    made.close()


@pytest.fixture
def client(home: Home) -> TestClient:
    return TestClient(application(home), raise_server_exceptions=False)


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


ADMIN = bearer(TOKENS[Role.ADMIN])


@pytest.fixture
def device(client: TestClient) -> str:
    """The key of a device that may report for the gate; there is a hall, too."""
    for place in ("gate", "hall"):
        assert client.put(f"/beacons/{place}", json={"location": place}, headers=ADMIN).status_code == 200
    reply = client.put("/devices/cam-1", json={"name": "Camera", "beacons": ["gate"]}, headers=ADMIN)
    assert reply.status_code == 201
    made: str = reply.json()["key"]
    return made


# --------------------------------------------------------------------------- every route


def routes(home: Home) -> list[str]:
    found = [route for router in home.routers() for route in router.routes if isinstance(route, APIRoute)]
    return [f"{method} {route.path}" for route in found for method in (route.methods or set()) - {"HEAD"}]


def test_every_route_is_decided_upon(home: Home) -> None:
    """A new route gets a line in the table above; what the table says is then tried, below."""
    found = set(routes(home))
    assert (found - set(LEAST), set(LEAST) - found) == (set(), set())


def may(least: Role | None, role: Role | None) -> int:
    """What somebody with the role is answered, if the route is theirs: what it says itself is not asked here."""
    if least is None:
        return ALLOWED
    if role is None:
        return UNKNOWN
    if least is Role.DEVICE:
        return FORBIDDEN if role is Role.VIEWER else ALLOWED
    return ALLOWED if role.includes(least) else FORBIDDEN


@pytest.mark.parametrize("role", [None, *Role])
def test_every_route_is_for_those_who_have_its_role(home: Home, device: str, role: Role | None) -> None:
    headers = {} if role is None else bearer({**TOKENS, Role.DEVICE: device}[role])
    guard = TestClient(AccessRequired(Response("in"), home.access(), Rules(home.routers())))
    real = TestClient(application(home), raise_server_exceptions=False)
    for route, least in LEAST.items():
        method, _, path = route.partition(" ")
        path = re.sub(r"\{[^}]*\}", "x", path)
        expected = may(least, role)
        assert guard.request(method, path, headers=headers).status_code == expected, route
        if expected != ALLOWED:
            reply = real.request(method, path, headers=headers, content=b"{broken")
            assert (reply.status_code, list(reply.json())) == (expected, [error_key(path)]), route


def error_key(path: str) -> str:
    return "error" if path.startswith("/api/ai/") else "detail"


@pytest.mark.parametrize("path", ["/nothing", "/api/ai/nothing", "/docs", "/openapi.json", "/redoc"])
def test_what_is_no_route_of_ours_is_asked_for_the_token_too(client: TestClient, path: str) -> None:
    assert client.get(path, follow_redirects=False).status_code == UNKNOWN
    assert client.post(path).status_code == UNKNOWN
    assert client.get(path, headers=bearer("wrong")).status_code == UNKNOWN


def test_of_two_routes_that_match_the_one_that_serves_is_asked_for_its_role(home: Home) -> None:
    routes = APIRouter()

    @routes.get("/things/{thing_id:path}")
    def thing(thing_id: str) -> str:
        return thing_id

    @routes.get("/things/secret")
    def shadowed(_: Admin) -> str:
        return "shadowed"

    client = TestClient(create_app([routes], access=home.access()))
    reply = client.get("/things/secret", headers=bearer(TOKENS[Role.VIEWER]))
    assert (reply.status_code, reply.json()) == (ALLOWED, "secret")


def test_a_refusal_names_the_role(client: TestClient) -> None:
    reply = client.get("/devices", headers=bearer(TOKENS[Role.OPERATOR]))
    assert (reply.status_code, reply.json()) == (FORBIDDEN, {"detail": "This needs the role admin."})
    reply = client.post(VIOLENCE, json=SIGNAL, headers=bearer(TOKENS[Role.VIEWER]))
    assert (reply.status_code, reply.json()) == (FORBIDDEN, {"error": "This needs the role operator."})


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Bearer",
        "Bearer ",
        "Basic the-shared-token",
        "the-shared-token",
        f"Bearer {SHARED}x",
        "Bearer é",
        "Bearer  ",
    ],
)
def test_what_is_no_bearer_token_opens_nothing(client: TestClient, header: str) -> None:
    assert client.get("/incidents", headers={b"Authorization": header.encode()}).status_code == UNKNOWN


def test_a_huge_body_of_a_stranger_is_not_read(client: TestClient) -> None:
    def endless() -> Iterator[bytes]:
        yield b"x"
        pytest.fail("the body was read")

    assert client.post("/moderate", content=endless()).status_code == UNKNOWN


class Silent:
    """Identities that can't tell."""

    def identify(self, token: str) -> Caller | None:
        raise Retryable("the keys can't be fetched")


def test_an_outage_is_no_wrong_token() -> None:
    application = create_app([], access=Access({SHARED: Caller("shared", Role.ADMIN)}, Silent()))
    client = TestClient(application)
    reply = client.get("/incidents", headers=bearer("perhaps-good"))
    assert (reply.status_code, reply.headers["retry-after"]) == (503, "1")
    assert client.post("/api/ai/x", headers=bearer("perhaps-good")).json() == {
        "error": "Temporarily unavailable, please try again."
    }
    assert client.get("/openapi.json", headers=bearer(SHARED)).status_code == ALLOWED


# --------------------------------------------------------------------------- guards and their alerts


@pytest.fixture
def guards(client: TestClient) -> None:
    for guard, places in {"ann": ["gate", "vault"], "bob": ["hall"], "cas": None, "dan": []}.items():
        reply = client.put(f"/guards/{guard}", json={"name": guard, "places": places}, headers=ADMIN)
        assert (reply.status_code, reply.json()["places"]) == (200, places)


def test_guards_are_known_to_those_who_see_their_places(client: TestClient, guards: None) -> None:
    ana, viewer = bearer("the-token-of-anas"), bearer(TOKENS[Role.VIEWER])
    listed = client.get("/guards", headers=ana)
    assert {guard["id"]: guard["places"] for guard in listed.json()["guards"]} == {"ann": ["gate"], "cas": None}
    assert client.get("/guards/ann", headers=ana).json()["places"] == ["gate"]
    for unknown in (client.get("/guards/bob", headers=ana), client.get("/guards/dan", headers=ana)):
        assert (unknown.status_code, unknown.json()) == (404, {"detail": "No such guard."})
    phone = {"token": "phone"}
    assert client.post("/guards/bob/tokens", json=phone, headers=ana).status_code == 404
    assert client.post("/guards/ann/tokens", json=phone, headers=ana).status_code == FORBIDDEN
    assert len(client.get("/guards", headers=viewer).json()["guards"]) == 4


@pytest.mark.parametrize(
    ("token", "place", "status"),
    [
        ("the-token-of-anas", "gate", ALLOWED),
        ("the-token-of-anas", "hall", 404),
        (TOKENS[Role.OPERATOR], "hall", ALLOWED),
        (TOKENS[Role.VIEWER], "gate", FORBIDDEN),
    ],
)
def test_who_was_told_of_an_alert_is_the_operators_of_its_place_to_know(
    home: Home, client: TestClient, token: str, place: str, status: int
) -> None:
    noon = datetime(2026, 11, 21, 12, tzinfo=UTC)
    alert = Alert("i:High", "i", place, "Somewhere", Priority.HIGH, AlertCause.OPENED, 1, noon)
    told = AlertDelivery("d", alert.id, "i", AlertEvent.OPENED, Channel.PUSH, "ann", noon, noon)
    home.documents.commit([alerts.creation(alert), deliveries.creation(told)])
    reply = client.get("/alerts/i:High/deliveries", headers=bearer(token))
    assert reply.status_code == status
    if status == ALLOWED:
        assert [one["target"] for one in reply.json()["deliveries"]] == ["ann"]


# --------------------------------------------------------------------------- devices


def report(client: TestClient, token: str, **fields: Any) -> tuple[int, dict[str, Any]]:
    reply = client.post(VIOLENCE, json={**SIGNAL, **fields}, headers=bearer(token))
    return reply.status_code, reply.json()


def test_a_device_reports_for_its_places_and_no_other(client: TestClient, device: str) -> None:
    status, reply = report(client, device, beacon_id="gate")
    assert (status, reply["device_id"]) == (201, "cam-1")
    assert report(client, device, beacon_id="gate", device_id="the left one")[0] == ALLOWED
    assert report(client, device, beacon_id="hall") == (
        FORBIDDEN,
        {"error": "cam-1 may not report for this beacon."},
    )


def test_a_device_may_speak_of_another_and_is_still_known(client: TestClient, device: str) -> None:
    """A gateway reports for its cameras; who reported is the key's holder, in the timeline too."""
    sent = {**SIGNAL, "device_id": "CAM-9"}
    opened = client.post("/api/ai/violence-detected/", json=sent, headers=bearer(device)).json()
    assert opened["device_id"] == "CAM-9"
    path = f"/incidents/{opened['incident_id']}"
    (signal,) = client.get(path, headers=ADMIN).json()["signals"]
    assert (signal["device_id"], signal["reported_by"]) == ("CAM-9", "cam-1")
    items = client.get(f"{path}/timeline", headers=ADMIN).json()["items"]
    assert [item["change"]["actor"] for item in items if item["kind"] == "change"] == ["cam-1"]


def test_a_device_of_no_place_in_particular_reports_for_all(client: TestClient, device: str) -> None:
    wanted = {"name": "Gateway", "beacons": None}
    made = client.put("/devices/roaming", json=wanted, headers=ADMIN).json()["key"]
    assert [report(client, made, beacon_id=place)[0] for place in ("gate", "hall")] == [201, 201]


def test_people_report_in_their_places_too(client: TestClient, device: str) -> None:
    ana = "the-token-of-anas"
    status, reply = report(client, ana, beacon_id="gate")
    assert (status, reply["device_id"]) == (201, None)
    assert report(client, ana, beacon_id="hall")[0] == FORBIDDEN


def test_a_key_is_shown_once(client: TestClient, device: str) -> None:
    wanted = {"name": "Camera at the gate", "beacons": ["gate", "gate"]}
    again = client.put("/devices/cam-1", json=wanted, headers=ADMIN)
    assert (again.status_code, again.json()["key"], again.json()["beacons"]) == (200, None, ["gate"])
    shown = client.get("/devices/cam-1", headers=ADMIN).json()
    assert shown["name"] == "Camera at the gate"
    assert "key" not in shown
    assert "hash" not in json.dumps(client.get("/devices", headers=ADMIN).json())
    assert report(client, device, beacon_id="gate")[0] == 201


def test_a_new_key_ends_the_old_one(client: TestClient, device: str) -> None:
    reply = client.post("/devices/cam-1/key", headers=ADMIN)
    assert (reply.status_code, reply.headers["cache-control"]) == (200, "no-store")
    assert report(client, device, beacon_id="gate")[0] == UNKNOWN
    assert report(client, reply.json()["key"], beacon_id="gate")[0] == 201


def test_a_stopped_device_and_a_deleted_one(client: TestClient, device: str) -> None:
    client.put("/devices/cam-1", json={"name": "Camera", "beacons": ["gate"], "active": False}, headers=ADMIN)
    assert report(client, device, beacon_id="gate")[0] == UNKNOWN
    assert client.delete("/devices/cam-1", headers=ADMIN).status_code == 204
    for method, path in (("DELETE", "/devices/cam-1"), ("GET", "/devices/cam-1"), ("POST", "/devices/cam-1/key")):
        reply = client.request(method, path, headers=ADMIN)
        assert (reply.status_code, reply.json()) == (404, {"detail": "No such device."})


def test_devices_are_listed_in_pages(client: TestClient) -> None:
    for number in range(5):
        client.put(f"/devices/floor/{number}", json={"name": "Camera", "beacons": None}, headers=ADMIN)
    first = client.get("/devices", params={"limit": 3}, headers=ADMIN).json()
    rest = client.get("/devices", params={"limit": 3, "cursor": first["next_cursor"]}, headers=ADMIN).json()
    found = [device["id"] for device in first["devices"] + rest["devices"]]
    assert (found, rest["next_cursor"]) == ([f"floor/{number}" for number in range(5)], None)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/devices/x", {}),
        ("/devices/x", {"name": "", "beacons": None}),
        ("/devices/x", {"name": "all places must be said"}),
        ("/devices/x", {"name": "x", "beacons": "gate"}),
        ("/devices/x", {"name": "x", "beacons": [""]}),
        ("/devices/x", {"name": "x", "beacons": ["x"] * 1001}),
        ("/devices/%00", {"name": "x", "beacons": None}),
        ("/devices/%20", {"name": "x", "beacons": None}),
        ("/devices/" + "x" * 257, {"name": "x", "beacons": None}),
    ],
)
def test_a_device_that_makes_no_sense(client: TestClient, path: str, body: dict[str, Any]) -> None:
    reply = client.put(path, json=body, headers=ADMIN)
    assert reply.status_code == 400
    assert reply.json()["detail"]


# --------------------------------------------------------------------------- in whose name


@pytest.mark.parametrize(
    ("token", "named"), [(SHARED, "Bo"), (TOKENS[Role.OPERATOR], "operator"), ("the-token-of-anas", "Ana")]
)
def test_only_who_speaks_for_others_names_them(home: Home, token: str, named: str) -> None:
    routes = APIRouter()

    @routes.get("/acting")
    def acting(who: Actor) -> str:
        return who

    client = TestClient(create_app([routes], access=home.access()))
    assert client.get("/acting", headers={**bearer(token), "X-Actor": "Bo"}).json() == named


@pytest.mark.parametrize("name", ["sightline", " SightLine ", "ｓｉｇｈｔｌｉｎｅ"])
def test_nobody_is_called_like_the_system_itself(client: TestClient, device: str, name: str) -> None:
    """Or the timeline would say of what a person did that nobody did it by hand."""
    incident_id = report(client, device)[1]["incident_id"]
    shared = bearer(SHARED)
    acting = {b"Authorization": f"Bearer {SHARED}".encode(), b"X-Actor": name.encode()}
    note = client.post(f"/incidents/{incident_id}/note", json={"note": "Seen"}, headers=acting)
    assign = client.post(f"/incidents/{incident_id}/assign", json={"assignee": name}, headers=shared)
    registered = client.put(f"/devices/{quote(name)}", json={"name": "Camera", "beacons": None}, headers=shared)
    assert [reply.status_code for reply in (note, assign, registered)] == [400, 400, 400]
    assert "reserved" in note.json()["detail"]
    assert client.put("/guards/g1", json={"name": name}, headers=shared).status_code in {400, 422}
    assert report(client, SHARED, device_id=name) == (400, {"error": "device_id is a reserved name"})
    fields = {**SIGNAL, "confidence_score": "0.95", "device_id": name}
    files = [(key, (None, str(value))) for key, value in fields.items()]
    assert client.post(VIOLENCE, files=files, headers=shared).json() == {"error": "device_id is a reserved name"}
    actors = [item["change"]["actor"] for item in history(client, incident_id) if item["kind"] == "change"]
    assert actors == ["cam-1"]


def history(client: TestClient, incident_id: str) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = client.get(f"/incidents/{incident_id}/timeline", headers=ADMIN).json()["items"]
    return items


class Namesake:
    """Knows somebody who is called like the system."""

    def identify(self, token: str) -> Caller | None:
        return Caller("Sightline", Role.ADMIN)


def test_who_is_called_like_the_system_elsewhere_is_unknown_here() -> None:
    client = TestClient(create_app([], access=Access({SHARED: Caller("holder", Role.ADMIN)}, Namesake())))
    assert client.get("/nothing", headers=bearer("any")).status_code == UNKNOWN
    assert client.get("/nothing", headers=bearer(SHARED)).status_code == 404


def test_a_device_and_a_person_of_one_name_do_not_share_keys(client: TestClient, device: str) -> None:
    made = client.put("/devices/Ana", json={"name": "Ana's camera", "beacons": ["gate"]}, headers=ADMIN).json()["key"]
    replies = [
        client.post(VIOLENCE, json=SIGNAL, headers={**bearer(token), "Idempotency-Key": "1"}).json()
        for token in (made, "the-token-of-anas", made)
    ]
    assert [reply["device_id"] for reply in replies if reply["status"] == "incident_created"] == ["Ana", "Ana"]
    assert replies[1]["status"] == "signal_added_to_existing"
    assert len({reply["ai_event_id"] for reply in replies}) == 2


def test_without_a_name_the_shared_token_is_its_holders(home: Home) -> None:
    assert home.config.callers()[SHARED] == Caller("token holder", Role.ADMIN, speaks_for_others=True)


# --------------------------------------------------------------------------- the environment


def load(users: str) -> EmbeddedSettings:
    return settings.load(EmbeddedSettings, {"SIGHTLINE_USER_TOKENS": users})


def user(**changes: Any) -> str:
    return json.dumps([{"name": "Ana", "role": "viewer", "token": "0123456789abcdef", **changes}])


def test_people_alone_are_enough_to_close_the_door(tmp_path: Path) -> None:
    home = Home(tmp_path / "data", load(user(places=["a:b|c,d"])), "http://testserver")
    client = TestClient(application(home))
    assert client.get("/incidents").status_code == UNKNOWN
    assert client.get("/incidents", headers=bearer("0123456789abcdef")).status_code == ALLOWED
    assert client.get("/", headers={"Accept": "application/json"}).json()["auth_enabled"] is True
    home.close()


def test_the_places_of_people() -> None:
    assert load(user(places=["a:b|c,d"])).callers() == {"0123456789abcdef": Caller("Ana", Role.VIEWER, ("a:b|c,d",))}
    assert load(user()).callers()["0123456789abcdef"].places is None
    assert load(user(places=[])).callers()["0123456789abcdef"].places == ()


@pytest.mark.parametrize(
    ("users", "complaint"),
    [
        ("Ana:viewer:token", "is no JSON"),
        ("{}", "is no list"),
        ("[1]", "entry 1 does not have"),
        (user(extra=1), "entry 1 does not have"),
        (user(name=""), "entry 1: name"),
        (user(name="A\nB"), "entry 1: name"),
        (user(name="Sightline"), "entry 1: the name is reserved"),
        (user(role="device"), "entry 1: role"),
        (user(role=["viewer"]), "entry 1: role"),
        (user(token="short"), "entry 1: token"),
        (user(token="with a blank in between"), "entry 1: token"),
        (user(token="a tøken that is not ASCII"), "entry 1: token"),
        (user(places="gate"), "entry 1: places"),
        (user(places=[1]), "entry 1: places"),
        (json.dumps([json.loads(user())[0]] * 2), "same token twice"),
    ],
)
def test_people_who_make_no_sense_keep_the_process_from_starting(users: str, complaint: str) -> None:
    with pytest.raises(SettingsError, match=complaint) as refused:
        load(users)
    assert "SIGHTLINE_USER_TOKENS" in str(refused.value)
    assert "0123456789abcdef" not in str(refused.value)


def test_tokens_are_not_shown_with_the_settings() -> None:
    assert "0123456789abcdef" not in repr(load(user()))
