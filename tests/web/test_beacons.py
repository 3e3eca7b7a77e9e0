"""Places over HTTP: one by one, page by page, and as files."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from fastapi.testclient import TestClient

from local.home import Home
from local.server import application
from shared.domain.incidents import SignalKind
from shared.settings import EmbeddedSettings

CSV = {"Content-Type": "text/csv"}


def put(client: TestClient, id: str, **fields: Any) -> dict[str, Any]:
    reply = client.put(f"/beacons/{quote(id, safe='')}", json={"location": id.title(), **fields})
    assert reply.status_code == 200, reply.text
    return dict(reply.json())


def neighbours(client: TestClient) -> dict[str, list[str]]:
    return {beacon["id"]: beacon["neighbours"] for beacon in client.get("/beacons").json()["beacons"]}


class TestOne:
    @pytest.mark.parametrize("id", ["safe:uuid:402:402", "building/3/door", "import", "Küche 漢", "a;b\\c"])
    def test_ids_may_hold_any_character(self, id: str, client: TestClient) -> None:
        made = put(client, id)
        assert made == {"id": id, "location": id.title(), "active": True, "neighbours": []}
        assert client.get(f"/beacons/{quote(id, safe='')}").json() == made

    @pytest.mark.parametrize(
        ("path", "body", "said"),
        [
            ("x" * 257, {}, "id must be 1 to 256"),
            ("%20x", {}, "id must be 1 to 256"),
            ("a%00b", {}, "id must be 1 to 256"),
            ("new", {"location": " "}, "location must be 1 to 500"),
            ("new", {"location": 7}, "location"),
            ("new", {"neighbours": ["new"]}, "A beacon is no neighbour of itself."),
            ("new", {"neighbours": ["gone"]}, "There is no beacon 'gone' to be a neighbour."),
            ("new", {"neighbours": [str(n) for n in range(11)]}, "A beacon has at most 10 neighbours."),
            ("new", {"neighbours": ["x" * 2000]}, "neighbours must be ids of beacons."),
            ("new", {"neighbours": "gate"}, "neighbours"),
        ],
    )
    def test_what_cannot_be_is_refused_with_a_sentence(
        self, path: str, body: dict[str, Any], said: str, client: TestClient
    ) -> None:
        reply = client.put(f"/beacons/{path}", json={"location": "New", **body})
        assert reply.status_code == 400
        assert said in reply.json()["detail"]
        assert [beacon["id"] for beacon in client.get("/beacons").json()["beacons"]] == ["gate"]

    def test_neighbourhood_goes_both_ways(self, client: TestClient) -> None:
        put(client, "hall", neighbours=["gate"])
        put(client, "yard", neighbours=["hall", "gate"])
        assert neighbours(client) == {"gate": ["hall", "yard"], "hall": ["gate", "yard"], "yard": ["gate", "hall"]}
        put(client, "gate", neighbours=["yard"])
        assert neighbours(client) == {"gate": ["yard"], "hall": ["yard"], "yard": ["gate", "hall"]}

    def test_a_client_that_does_not_speak_of_neighbours_changes_none(self, client: TestClient) -> None:
        put(client, "hall", neighbours=["gate"])
        assert put(client, "hall", active=False) == {
            "id": "hall",
            "location": "Hall",
            "active": False,
            "neighbours": ["gate"],
        }

    def test_all_become_neighbours_of_one_at_once(self, client: TestClient) -> None:
        names = [f"b{number}" for number in range(8)]
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda name: put(client, name, neighbours=["gate"]), names))
        assert neighbours(client)["gate"] == names

    def test_devices_of_a_deactivated_place_are_refused(self, client: TestClient) -> None:
        put(client, "gate", active=False)
        signal = {"beacon_id": "gate", "confidence_score": 0.95, "description": "Fight"}
        reply = client.post("/api/ai/violence-detected/", json=signal)
        assert (reply.status_code, reply.json()) == (400, {"error": "Beacon not found or inactive"})


class TestList:
    def test_they_come_by_id_page_by_page_the_active_ones_alone_if_asked(self, client: TestClient) -> None:
        for id in ("c", "a", "b"):
            put(client, id, active=id != "b")
        first = client.get("/beacons", params={"limit": 2, "active": True}).json()
        assert [beacon["id"] for beacon in first["beacons"]] == ["a", "c"]
        second = client.get("/beacons", params={"limit": 2, "active": True, "cursor": first["next_cursor"]}).json()
        assert ([beacon["id"] for beacon in second["beacons"]], second["next_cursor"]) == (["gate"], None)
        assert [beacon["id"] for beacon in client.get("/beacons?active=false").json()["beacons"]] == ["b"]

    @pytest.mark.parametrize("query", ["limit=0", "limit=1001", "active=perhaps", "cursor=nonsense"])
    def test_bad_queries_are_400(self, query: str, client: TestClient) -> None:
        assert client.get(f"/beacons?{query}").status_code == 400


class TestImport:
    def test_a_file_makes_and_changes_places_and_says_how_many(self, client: TestClient) -> None:
        put(client, "hall")
        put(client, "roof")
        file = "id,location,active,neighbours\ngate,Main gate,true,roof\nhall,Hall,true,\nyard,Yard,no,gate;hall\n"
        counts = {"created": 1, "updated": 2, "unchanged": 0, "neighbours_updated": 1}
        tried = client.post("/beacons/import?dry_run=true", content=file, headers=CSV)
        assert (tried.status_code, tried.json()) == (200, {"dry_run": True, **counts})
        assert client.get("/beacons/yard").status_code == 404
        done = client.post("/beacons/import", content=file, headers=CSV)
        assert (done.status_code, done.json()) == (200, {"dry_run": False, **counts})
        assert neighbours(client) == {
            "gate": ["roof", "yard"],
            "hall": ["yard"],
            "roof": ["gate"],
            "yard": ["gate", "hall"],
        }
        again = client.post("/beacons/import", content=file, headers=CSV).json()
        assert (again["created"], again["updated"], again["unchanged"], again["neighbours_updated"]) == (0, 0, 3, 0)

    def test_one_wrong_line_and_nothing_is_imported(self, client: TestClient) -> None:
        reply = client.post(
            "/beacons/import",
            content="id,location,neighbours\na,A,\nb,,\nc,C,c;d\n",
            headers={"Content-Type": CSV_UTF8},
        )
        assert reply.status_code == 400
        assert reply.json() == {
            "detail": "Nothing was imported: 2 lines are wrong.",
            "errors": [
                {"line": 3, "error": "location must be 1 to 500 printable characters."},
                {"line": 4, "error": "A beacon is no neighbour of itself."},
            ],
        }
        assert client.get("/beacons/a").status_code == 404

    def test_a_neighbour_that_nobody_knows_is_named_with_its_line(self, client: TestClient) -> None:
        reply = client.post("/beacons/import", content="id,location,neighbours\na,A,gate;gone\n", headers=CSV)
        assert reply.json() == {
            "detail": "Nothing was imported: 1 line is wrong.",
            "errors": [{"line": 2, "error": "There is no beacon 'gone' to be a neighbour."}],
        }

    def test_only_csv_is_taken(self, client: TestClient) -> None:
        assert client.post("/beacons/import", json=[]).status_code == 415
        assert client.post("/beacons/import", content=b"x" * ((1 << 20) + 1), headers=CSV).status_code == 413

    def test_what_is_exported_imports_to_the_same(self, client: TestClient) -> None:
        put(client, "a;b\\c", location='Café, "north"')
        put(client, "building/3", neighbours=["a;b\\c", "gate"], active=False)
        reply = client.get("/beacons", headers={"Accept": "text/csv"})
        assert reply.headers["content-type"] == CSV_UTF8
        assert client.post("/beacons/import", content=reply.content, headers=CSV).json()["unchanged"] == 3
        put(client, "building/3", neighbours=[], active=True)
        client.post("/beacons/import", content=reply.content, headers=CSV)
        assert client.get("/beacons", headers={"Accept": "text/csv"}).text == reply.text

    def test_ten_thousand_come_at_once_or_not_at_all(self, client: TestClient) -> None:
        rows = [f"b{number},Place {number},b{number - 1 if number else 1}" for number in range(10_000)]
        file = "\n".join(["id,location,neighbours", *rows])
        assert client.post("/beacons/import", content=file, headers=CSV).json()["created"] == 10_000
        assert client.get("/beacons/b5000").json()["neighbours"] == ["b4999", "b5001"]


CSV_UTF8 = "text/csv; charset=utf-8"


def test_a_device_is_told_that_its_kind_takes_no_part(tmp_path: Path) -> None:
    settings = EmbeddedSettings(kinds=frozenset({SignalKind.VIOLENCE}))
    home = Home(tmp_path / "data", settings, "http://testserver")
    client = TestClient(application(home))
    put(client, "gate")
    signal = {"beacon_id": "gate", "confidence_score": 0.99, "description": "Scream"}
    reply = client.post("/api/ai/scream-detected/", json=signal)
    home.close()
    assert (reply.status_code, reply.json()["status"]) == (200, "logged_only")
    assert reply.json()["message"] == "Signals of kind scream take no part in incidents here"
