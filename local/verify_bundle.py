"""`python -m local verify-bundle`: is an evidence bundle unchanged, and does a server know it? Of any size.

The sums are computed here, streaming; the server is sent the manifest and the sums only.
"""

from __future__ import annotations

import sys
from pathlib import Path

import httpx

from shared.domain.evidence_bundles import Comparison, compare, expected_files
from shared.errors import Permanent
from shared.handlers.bundle_reading import Sums, sums_of
from shared.json_objects import read_object

TIMEOUT_SECONDS = 60.0


def run(file: Path, to: str | None, token: str | None) -> int:
    """0: unchanged, and (with a server) known there; 1: not so; 2: the file or the server can't be asked."""
    try:
        with file.open("rb") as stream:
            sums = sums_of(stream, most_bytes=None)
        if sums.manifest is None:
            return _complain(sums.problems, compare({}, sums.files))
        files = compare(expected_files(read_object(sums.manifest)), sums.files)
    except OSError as error:
        print(f"sightline: {file}: {error.strerror}", file=sys.stderr)
        return 2
    except Permanent as error:
        print(error.sentence)
        return 1
    if sums.problems or not files.is_whole:
        return _complain(sums.problems, files)
    print(f"{len(files.ok)} files are as the manifest says.")
    if to is None:
        print("Whether the manifest itself is genuine, only the server that made it can say (--to URL).")
        return 0
    return _ask(sums, sums.manifest, to, token)


def _ask(sums: Sums, manifest: bytes, to: str, token: str | None) -> int:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    body = {"manifest": manifest.decode(), "files": sums.files}
    try:
        reply = httpx.post(f"{to.rstrip('/')}/evidence/verify", json=body, headers=headers, timeout=TIMEOUT_SECONDS)
        reply.raise_for_status()
    except httpx.HTTPStatusError as error:
        print(
            f"sightline: the server answered {error.response.status_code}: {_detail(error.response)}", file=sys.stderr
        )
        return 2
    except httpx.HTTPError as error:
        print(f"sightline: the server can't be reached: {type(error).__name__}", file=sys.stderr)
        return 2
    verdict = reply.json()
    if verdict["valid"]:
        print(f"The server knows it: bundle {verdict['bundle_id']} of incident {verdict['incident_id']}.")
        return 0
    for problem in verdict["problems"]:
        print(problem)
    return 1


def _detail(reply: httpx.Response) -> str:
    try:
        return str(reply.json()["detail"])
    except (ValueError, KeyError, TypeError):
        return "without saying why"


def _complain(problems: tuple[str, ...], files: Comparison) -> int:
    named = (("changed", files.changed), ("missing", files.missing), ("unexpected", files.unexpected))
    for problem in problems:
        print(problem)
    for what, paths in named:
        for path in paths:
            print(f"{what}: {path}")
    return 1
