"""Metrics as Prometheus reads them: its text format, version 0.0.4.

Everything is a gauge, of a window that moves: nobody counts since the beginning, for instances come and go. So the
names say `recent`, and none ends in `_total`, `_sum` or `_count`, which would promise a counter.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from shared.domain.metrics import RECENT, Snapshot, Summary
from shared.handlers.reading_metrics import Present

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_ESCAPES = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})
Sample = tuple[Mapping[str, str], float]


def exposition(present: Present) -> str:
    """The whole text."""
    shown = present.snapshot
    sessions: list[Sample] = [({"state": "active"}, shown.sessions.active), ({"state": "all"}, shown.sessions.total)]
    families: tuple[tuple[str, str, Iterable[Sample]], ...] = (
        ("sightline_window_seconds", "The time that all recent figures are of.", [({}, RECENT.total_seconds())]),
        ("sightline_http_recent_requests", "Requests answered, by route and status.", _requests(shown)),
        ("sightline_http_recent_request_duration_seconds", "Quantiles of the time until a reply.", _quantiles(shown)),
        ("sightline_http_recent_request_busy_seconds", "The time until a reply, over all requests.", _busy(shown)),
        ("sightline_live_sessions", "Streams heard from: within 30 s (active), within the window (all).", sessions),
        ("sightline_recent_requests_not_counted", "Requests whose figures were lost.", [({}, present.lost)]),
    )
    return "".join(_family(name, help_text, samples) for name, help_text, samples in families)


def _requests(shown: Snapshot) -> Iterator[Sample]:
    for route, counts in shown.routes.items():
        for status, number in counts.statuses.items():
            yield {"route": route, "status": str(status)}, number


def _quantiles(shown: Snapshot) -> Iterator[Sample]:
    for route, counts in shown.routes.items():
        for share, milliseconds in _shares(counts):
            yield {"route": route, "quantile": share}, milliseconds / 1000


def _shares(counts: Summary) -> Iterator[tuple[str, float]]:
    for share, milliseconds in (("0.5", counts.p50_ms), ("0.95", counts.p95_ms), ("0.99", counts.p99_ms)):
        if milliseconds is not None:
            yield share, milliseconds


def _busy(shown: Snapshot) -> Iterator[Sample]:
    for route, counts in shown.routes.items():
        yield {"route": route}, counts.seconds


def _family(name: str, help_text: str, samples: Iterable[Sample]) -> str:
    lines = [f"# HELP {name} {help_text}", f"# TYPE {name} gauge"]
    lines += [f"{name}{_labels(labels)} {value:.10g}" for labels, value in samples]
    return "\n".join(lines) + "\n"


def _labels(labels: Mapping[str, str]) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{name}="{value.translate(_ESCAPES)}"' for name, value in labels.items()) + "}"
