"""/guards: who is called, for which places and when; administrators set that up, a guard's app registers its phone."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import time
from typing import Annotated

from fastapi import APIRouter, Path, Query, Response
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from shared.domain.actors import RESERVED, is_reserved
from shared.domain.assets import is_shown_text
from shared.domain.guards import Guard, Hours, Shift, Weekday, zone_of
from shared.handlers import guard_registry
from shared.ports import Caller, Documents
from shared.repositories import guards
from shared.web.callers import Admin, Operator, Viewer

MAX_TOKEN_CHARACTERS = 4096


def _time_of_day(text: str) -> str:
    if not re.fullmatch(r"([01][0-9]|2[0-3]):[0-5][0-9]", text, re.ASCII):
        raise ValueError("must be a time of day such as 06:00 or 22:30")
    return text


def _shown(text: str) -> str:
    if not is_shown_text(text, len(text) or 1):
        raise ValueError("must be text that can be shown, without control characters")
    return text


def _own_name(text: str) -> str:
    if is_reserved(text):
        raise ValueError(RESERVED)
    return _shown(text)


def _known_zone(name: str) -> str:
    if zone_of(name) is None:
        raise ValueError(f"there is no time zone {name!r}; name one such as Europe/Berlin")
    return name


def _token(text: str) -> str:
    if not text.isascii() or not text.isprintable() or " " in text:
        raise ValueError("must be a push token as the push service gave it to the app")
    return text


TimeOfDay = Annotated[str, AfterValidator(_time_of_day)]
Id = Annotated[str, Field(min_length=1, max_length=256), AfterValidator(_shown)]
Token = Annotated[str, Field(min_length=1, max_length=MAX_TOKEN_CHARACTERS), AfterValidator(_token)]
GuardId = Annotated[str, Path(min_length=1, max_length=100), AfterValidator(_shown)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class HoursBody(_Strict):
    """From `start` to `end` by the clock on the guard's wall; an `end` that is not later is the next day's."""

    start: TimeOfDay
    end: TimeOfDay


class ShiftBody(HoursBody):
    """`days`: those on which it begins."""

    days: list[Weekday] = Field(default_factory=lambda: list(Weekday), min_length=1, max_length=7)


class GuardBody(_Strict):
    """A guard as they shall be. `places` null: all. No `shifts`: always on duty. `tokens` null: the phones stay.

    `rank`: who has a lower one is called earlier. Within `quiet_hours` they are called for what is Critical alone.
    """

    name: Annotated[str, Field(min_length=1, max_length=100), AfterValidator(_own_name)]
    places: Annotated[list[Id], Field(max_length=1000)] | None = None
    shifts: list[ShiftBody] = Field(default_factory=list, max_length=50)
    quiet_hours: HoursBody | None = None
    time_zone: Annotated[str, Field(max_length=100), AfterValidator(_known_zone)] = "UTC"
    active: bool = True
    rank: int = Field(default=100, ge=0, le=1_000_000)
    tokens: Annotated[list[Token], Field(max_length=guard_registry.MOST_PHONES)] | None = None


class TokenBody(_Strict):
    """A phone, by its token at the push service."""

    token: Token


class GuardReply(BaseModel):
    """A guard; of their phones only how many there are, of their places those that the caller sees."""

    id: str
    name: str
    places: list[str] | None
    shifts: list[ShiftBody]
    quiet_hours: HoursBody | None
    time_zone: str
    active: bool
    rank: int
    phones: int


class GuardList(BaseModel):
    """A page, by id; pass `next_cursor` as `cursor` for the following one.

    Who sees some places alone gets the guards of those; a page may then have fewer than `limit`, or none.
    """

    guards: list[GuardReply]
    next_cursor: str | None


def router(documents: Callable[[], Documents]) -> APIRouter:
    """The routes over the store."""
    routes = APIRouter(tags=["guards"])

    @routes.get("/guards")
    def list_guards(
        caller: Viewer, limit: Annotated[int, Query(ge=1, le=1000)] = 100, cursor: str | None = None
    ) -> GuardList:
        found, following = guards.page(documents(), limit=limit, cursor=cursor)
        known = [guard for guard in found if guard_registry.may_know(caller, guard)]
        return GuardList(guards=[_reply(guard, caller) for guard in known], next_cursor=following)

    @routes.get("/guards/{guard_id}")
    def get_guard(caller: Viewer, guard_id: str) -> GuardReply:
        return _reply(guard_registry.seen_by(caller, guard_id, documents())[0], caller)

    @routes.put("/guards/{guard_id}")
    def put_guard(caller: Admin, guard_id: GuardId, body: GuardBody) -> GuardReply:
        tokens = None if body.tokens is None else tuple(dict.fromkeys(body.tokens))
        return _reply(guard_registry.put(_guard(guard_id, body), tokens, documents()), caller)

    @routes.delete("/guards/{guard_id}", status_code=204)
    def delete_guard(_: Admin, guard_id: str) -> Response:
        guard_registry.remove(guard_id, documents())
        return Response(status_code=204)

    @routes.post("/guards/{guard_id}/tokens")
    def register_phone(caller: Operator, guard_id: str, body: TokenBody) -> GuardReply:
        return _reply(guard_registry.add_token(guard_id, body.token, caller, documents()), caller)

    return routes


def _guard(guard_id: str, body: GuardBody) -> Guard:
    quiet = body.quiet_hours
    return Guard(
        id=guard_id,
        name=body.name,
        places=None if body.places is None else tuple(dict.fromkeys(body.places)),
        shifts=tuple(Shift(_time(shift.start), _time(shift.end), tuple(shift.days)) for shift in body.shifts),
        quiet_hours=None if quiet is None else Hours(_time(quiet.start), _time(quiet.end)),
        time_zone=body.time_zone,
        active=body.active,
        rank=body.rank,
    )


def _time(text: str) -> time:
    return time.fromisoformat(text)


def _reply(guard: Guard, caller: Caller) -> GuardReply:
    return GuardReply(
        id=guard.id,
        name=guard.name,
        places=None if guard.places is None else [place for place in guard.places if caller.may_see(place)],
        shifts=[ShiftBody(start=_text(each.start), end=_text(each.end), days=list(each.days)) for each in guard.shifts],
        quiet_hours=_hours(guard.quiet_hours),
        time_zone=guard.time_zone,
        active=guard.active,
        rank=guard.rank,
        phones=len(guard.tokens),
    )


def _hours(hours: Hours | None) -> HoursBody | None:
    return None if hours is None else HoursBody(start=_text(hours.start), end=_text(hours.end))


def _text(moment: time) -> str:
    return moment.strftime("%H:%M")
