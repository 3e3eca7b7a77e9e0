"""Structured logs: one JSON object a line, in the form Cloud Logging reads (severity, message, trace, asset, stage).

`context` adds fields to everything logged inside it. Never log request bodies, signed URLs or tokens.
"""

from __future__ import annotations

import json
import logging
import re
import secrets
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import IO

_context: ContextVar[Mapping[str, str]] = ContextVar("log_context", default={})  # noqa: B039 - never mutated

# W3C Trace Context and Google's older header: both begin with a 32-digit trace id.
_TRACE_ID = re.compile(r"(?:[0-9a-f]{2}-)?([0-9a-f]{32})\b")


class JsonFormatter(logging.Formatter):
    """Formats a record as Cloud Logging's structured payload."""

    def __init__(self, project: str | None) -> None:
        super().__init__()
        self._project = project

    def format(self, record: logging.LogRecord) -> str:
        """One line of JSON; an exception's traceback stands in `exception`."""
        fields = dict(_context.get())
        trace = fields.pop("trace", None)
        entry: dict[str, str] = {
            **fields,
            "severity": record.levelname,
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if trace:
            name = f"projects/{self._project}/traces/{trace}" if self._project else trace
            entry["logging.googleapis.com/trace"] = name
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return json.dumps(entry, ensure_ascii=False)


def configure(level: str, *, project: str | None = None, stream: IO[str] | None = None) -> None:
    """Sends everything to `stream` (standard error by default) as JSON lines, replacing earlier handlers."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter(project))
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
    logging.getLogger("httpx").setLevel(logging.WARNING)  # it would log signed URLs


@contextmanager
def context(**fields: str | None) -> Iterator[None]:
    """Adds the fields that are not None to every line logged within."""
    merged = {**_context.get(), **{name: value for name, value in fields.items() if value}}
    token = _context.set(merged)
    try:
        yield
    finally:
        _context.reset(token)


def trace_of(headers: Mapping[str, str]) -> str | None:
    """The trace id in `traceparent` or `X-Cloud-Trace-Context` (names in any case), or None."""
    lowered = {name.lower(): value for name, value in headers.items()}
    for name in ("traceparent", "x-cloud-trace-context"):
        found = _TRACE_ID.match(lowered.get(name, ""))
        if found:
            return found.group(1)
    return None


def new_trace() -> str:
    """A trace id for work that came without one."""
    return secrets.token_hex(16)


def current_trace() -> str | None:
    """The trace id of the surrounding `context`, to be passed on with messages."""
    return _context.get().get("trace")
