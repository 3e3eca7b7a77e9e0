"""`python -m local upload FILE… --to URL`: sends files in parallel, says each one's video id, and may be repeated.

What was interrupted goes on where it was when the same command runs again. Ids and summaries go to standard output,
everything else to standard error.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, DownloadColumn, TaskID, TextColumn, TransferSpeedColumn
from rich.progress import Progress as Bars

from local.upload import Progress, Stopped, Uploader, UploadFailed

TICK_SECONDS = 0.2
"""How soon an interruption is noticed: the main thread waits no longer at once."""


@dataclass(frozen=True)
class Sent:
    """What became of a file: its video's id, or why it has none."""

    path: Path
    video_id: str | None
    reason: str = ""


def run(paths: Sequence[Path], uploader: Uploader, *, parallel: int, wait: bool) -> int:
    """Sends all files; 0 if every one was sent (and, with `wait`, analysed), 1 if not, 130 if interrupted."""
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    try:
        sent = _send_all(paths, uploader, parallel, console)
        ids = [each.video_id for each in sent if each.video_id is not None]
        followed = _follow_all([each for each in sent if each.video_id], uploader, console) if wait else len(ids)
    except (KeyboardInterrupt, Stopped):
        uploader.stopping.set()
        console.print("Interrupted. The same command goes on where this one was.")
        return 130
    return 0 if followed == len(paths) else 1


def _send_all(paths: Sequence[Path], uploader: Uploader, parallel: int, console: Console) -> list[Sent]:
    waiting: SimpleQueue[int] = SimpleQueue()
    ended: SimpleQueue[tuple[int, Sent]] = SimpleQueue()
    for number in range(len(paths)):
        waiting.put(number)
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Bars(*columns, TextColumn("{task.fields[note]}"), console=console, transient=True) as bars:

        def work() -> None:
            while not uploader.stopping.is_set():
                try:
                    number = waiting.get_nowait()
                except Empty:
                    return
                ended.put((number, _send(paths[number], uploader, bars, console)))

        # Daemons, for an interrupted command shall not wait for a server's reply.
        for _ in range(min(parallel, len(paths))):
            threading.Thread(target=work, daemon=True).start()
        return _collected(len(paths), ended, lambda sent: _tell(sent, console))


def _collected(count: int, ended: SimpleQueue[tuple[int, Sent]], tell: Callable[[Sent], None]) -> list[Sent]:
    """In the order of the files, each told as soon as it has ended."""
    found: dict[int, Sent] = {}
    while len(found) < count:
        try:
            number, sent = ended.get(timeout=TICK_SECONDS)
        except Empty:
            continue
        found[number] = sent
        tell(sent)
    return [found[number] for number in range(count)]


def _send(path: Path, uploader: Uploader, bars: Bars, console: Console) -> Sent:
    task: TaskID = bars.add_task(escape(path.name), total=_size(path), note="")

    def waiting(reason: str) -> None:
        bars.update(task, note=escape(f"waiting: {reason}") if reason else "")
        if reason and not console.is_terminal:  # where nobody sees the bar, the log must say it
            console.print(f"sightline: {path} waits: {reason}.", markup=False)

    progress = Progress(sent=lambda arrived: bars.update(task, completed=arrived), waiting=waiting)
    try:
        return Sent(path, uploader.send(path, progress))
    except UploadFailed as failure:
        return Sent(path, None, str(failure))
    except Stopped:
        return Sent(path, None, "interrupted")
    except Exception as error:  # one file's mishap must not leave the command waiting for it
        return Sent(path, None, f"unexpected: {type(error).__name__}: {error}")
    finally:
        bars.remove_task(task)


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except OSError:
        return None  # `send` will say why


def _tell(sent: Sent, console: Console) -> None:
    if sent.video_id is None:
        console.print(f"sightline: {sent.path} was not sent: {sent.reason.rstrip('.')}.", style="red", markup=False)
    else:
        print(f"{sent.path}: {sent.video_id}", file=sys.stdout, flush=True)


def _moderation(analysis: dict[str, Any]) -> str:
    """The verdict on a video; a still picture's is in its summary."""
    said = analysis["moderation"]
    return f" Moderation says {said['status']}." if said and analysis["totalDuration"] else ""


def _follow_all(sent: Sequence[Sent], uploader: Uploader, console: Console) -> int:
    """Prints each analysis as it is complete; how many succeeded."""
    succeeded = 0
    for each in sent:
        try:
            with console.status(f"{escape(each.path.name)} is being analysed"):
                analysis = uploader.follow(each.video_id or "")
        except UploadFailed as failure:
            console.print(f"sightline: {each.path} cannot be followed: {failure}.", style="red", markup=False)
            continue
        print(f"{each.path}: {analysis['summary']}{_moderation(analysis)}", flush=True)
        succeeded += analysis["state"] == "done"
    return succeeded
