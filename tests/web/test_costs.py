"""GET /analysis/{id} says what each stage has cost, the sum, and why the context model looked no closer."""

from __future__ import annotations

import pytest
from fastapi.testclient import TestClient

from local.home import Home
from shared.domain.assets import Asset
from shared.domain.context import Context
from shared.domain.stages import Stage, StageRecord, StageState
from shared.repositories import assets
from tests.fakes import NOON


def stored(home: Home, reason: str) -> str:
    note = "The model did not say how many tokens it took; they were estimated."
    asset = Asset(
        id="asset-1",
        object_name="media/asset-1",
        created_at=NOON,
        context=Context(("knife",), (), (), "A man.", 1, "gemini-2.5-flash", "stills", reason),
        stages={
            Stage.INGEST: StageRecord(StageState.DONE, 1, NOON, NOON, cost_usd=0.0001, price_date="2026-11-21"),
            Stage.CONTEXT: StageRecord(
                StageState.DONE, 2, NOON, NOON, cost_usd=0.0123, price_date="2027-01-01", cost_note=note
            ),
        },
    )
    home.documents.commit([assets.finished_creation(asset)])
    return asset.id


def test_costs_are_shown_for_each_stage_and_summed(home: Home, client: TestClient) -> None:
    reply = client.get(f"/analysis/{stored(home, '')}").json()
    assert reply["cost_usd"] == pytest.approx(0.0124)
    assert reply["stages"]["ingest"]["cost_usd"] == 0.0001
    assert reply["stages"]["context"]["price_date"] == "2027-01-01"
    assert reply["stages"]["context"]["cost_note"].startswith("The model did not say")
    assert (reply["stages"]["detect"]["cost_usd"], reply["stages"]["detect"]["price_date"]) == (0.0, None)


@pytest.mark.parametrize(
    ("reason", "shown", "explanation"),
    [
        ("", None, None),
        ("budget_low", "budget_low", "Much of the day's budget was spent."),
        ("a reason of a later version", "a reason of a later version", None),
    ],
)
def test_why_it_looked_no_closer(
    reason: str, shown: str | None, explanation: str | None, home: Home, client: TestClient
) -> None:
    context = client.get(f"/analysis/{stored(home, reason)}").json()["context"]
    assert (context["depth"], context["depth_reason"], context["depth_explanation"]) == ("stills", shown, explanation)
