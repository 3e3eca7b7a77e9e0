"""Who calls, as the middleware found out, and which role a route asks for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

from fastapi import Depends, Request

from shared.errors import NotPermitted
from shared.ports import Caller, Role


def caller(request: Request) -> Caller:
    """Who calls. Where no token is asked for, that is an administrator called `anonymous`."""
    found: Caller = request.state.caller
    return found


def requires(role: Role) -> Callable[[Request], Caller]:
    """A dependency that gives the caller. Raises `NotPermitted` (403) to those with a lesser role."""

    def checked(request: Request) -> Caller:
        found = caller(request)
        if not found.role.includes(role):
            raise NotPermitted("role_needed", f"This needs the role {role.value}.")
        return found

    return checked


Viewer = Annotated[Caller, Depends(requires(Role.VIEWER))]
Operator = Annotated[Caller, Depends(requires(Role.OPERATOR))]
Admin = Annotated[Caller, Depends(requires(Role.ADMIN))]
