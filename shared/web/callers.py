"""Who calls, as the middleware found out, and which role a route asks for.

A route that asks for nothing itself is for viewers if it reads and for operators if it changes something; what devices
may do is a list of its own, for they are strangers to everything else.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from starlette.routing import Match
from starlette.types import Scope

from shared.domain.incidents import Observation
from shared.errors import NotAuthenticated, NotPermitted
from shared.ports import Caller, Role

DEVICE_PREFIX = "/api/ai/"
READING = frozenset({"GET", "HEAD"})
REPORTERS = frozenset({Role.DEVICE, Role.OPERATOR, Role.ADMIN})
"""Who may report signals: a viewer only looks."""


def caller(request: Request) -> Caller:
    """Who calls: where no token is asked for, an administrator called `anonymous`. Raises `NotAuthenticated`."""
    found: Caller | None = request.state.caller
    if found is None:  # a path that is open to everybody
        raise NotAuthenticated("no_token", "Authentication required")
    return found


@dataclass(frozen=True)
class Requires:
    """A dependency that gives the caller. Raises `NotPermitted` (403) to those with a lesser role."""

    role: Role

    def __call__(self, request: Request) -> Caller:
        """The caller, who has the role."""
        found = caller(request)
        if not found.role.includes(self.role):
            raise NotPermitted("role_needed", needs(self.role))
        return found


Viewer = Annotated[Caller, Depends(Requires(Role.VIEWER))]
Operator = Annotated[Caller, Depends(Requires(Role.OPERATOR))]
Admin = Annotated[Caller, Depends(Requires(Role.ADMIN))]


def needs(role: Role) -> str:
    """The sentence of a refusal."""
    return f"This needs the role {role.value}."


def may_report(found: Caller, beacon_id: str) -> bool:
    """Whether signals of this place are theirs to report."""
    return found.role in REPORTERS and found.may_see(beacon_id)


def reported_by(found: Caller, observation: Observation) -> Observation:
    """What they report; a device's own key says which device it is. Raises `NotPermitted` for another's place."""
    if not may_report(found, observation.beacon_id):
        raise NotPermitted("not_their_beacon", f"{found.name} may not report for this beacon.")
    if found.role is not Role.DEVICE:
        return observation
    return replace(observation, device_id=observation.device_id or found.name, reported_by=found.name)


class Rules:
    """Which roles each route is for, to be asked before anything of a request's body is read."""

    def __init__(self, routers: Sequence[APIRouter]) -> None:
        routes = [route for router in routers for route in router.routes if isinstance(route, APIRoute)]
        self._routes = [(route, own_role(route)) for route in routes]

    def least(self, scope: Scope) -> Role:
        """The least role that may make this request, the route's own or by its method. DEVICE: see `REPORTERS`."""
        own = next((role for route, role in self._routes if _serves(route, scope)), None)
        return own or _usual_role(scope)

    def refusal(self, found: Caller, scope: Scope) -> str | None:
        """Why the caller may not make this request, in a sentence; None: they may."""
        least = self.least(scope)
        if least is Role.DEVICE:
            return None if found.role in REPORTERS else needs(Role.OPERATOR)
        return None if found.role.includes(least) else needs(least)


def _serves(route: APIRoute, scope: Scope) -> bool:
    """Whether the request is this route's, as routing itself decides: the first that matches serves it."""
    return scope["method"] in (route.methods or ()) and route.matches(scope)[0] is Match.FULL


def _usual_role(scope: Scope) -> Role:
    if scope["method"] == "POST" and scope["path"].startswith(DEVICE_PREFIX):
        return Role.DEVICE
    return Role.VIEWER if scope["method"] in READING else Role.OPERATOR


def own_role(route: APIRoute) -> Role | None:
    """The role that a route asks for by its dependencies; None: it asks for nothing."""
    asked = [dependant.call.role for dependant in _tree(route.dependant) if isinstance(dependant.call, Requires)]
    return max(asked, key=list(Role).index, default=None)


def _tree(dependant: Dependant) -> Iterator[Dependant]:
    yield dependant
    for below in dependant.dependencies:
        yield from _tree(below)
