"""The command line: `python -m local serve | analyze | upload | demo | dead-letters | verify-bundle | emulators`."""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from shared import settings
from shared.errors import SettingsError


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit status. Imports follow the choice: each command starts fast."""
    chosen = _parser().parse_args(arguments)
    command: Callable[[argparse.Namespace], int] = chosen.run
    try:
        return command(chosen)
    except SettingsError as error:
        print(f"sightline: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m local", description="Sightline on one machine.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    serve = commands.add_parser("serve", help="run everything in one process")
    serve.add_argument("--host", default="127.0.0.1", help="the address to listen on (default: loopback only)")
    serve.add_argument("--port", type=int, default=8080)
    serve.add_argument("--data", type=Path, default=Path("data"), help="the folder that holds all state")
    serve.add_argument("--public-url", help="the origin clients see, if it is not http://HOST:PORT")
    serve.set_defaults(run=_serve)

    analyze = commands.add_parser("analyze", help="one JSON line a file")
    analyze.add_argument("files", nargs="+", metavar="FILE")
    analyze.add_argument("--sensitivity", type=_sensitivity, default=0.5, help="0 to 1 (default 0.5)")
    analyze.set_defaults(run=_analyze)

    upload = commands.add_parser("upload", help="send files of any size; repeated, it goes on where it was")
    upload.add_argument("files", nargs="+", type=Path, metavar="FILE")
    upload.add_argument("--to", required=True, type=_origin, metavar="URL", help="Sightline's origin")
    upload.add_argument("--source-id", help="the camera or beacon the videos come from")
    upload.add_argument("--token", help="instead of SIGHTLINE_API_TOKEN")
    upload.add_argument("--parallel", type=_positive, default=4, help="files at a time (default 4)")
    upload.add_argument("--wait", action="store_true", help="until each analysis is complete, and say what it found")
    upload.set_defaults(run=_upload)

    demo = commands.add_parser("demo", help="the main job on a clip, over HTTP")
    demo.add_argument("file", nargs="?", type=Path, metavar="FILE", help="without one, a clip is drawn")
    demo.set_defaults(run=_demo)

    dead = commands.add_parser("dead-letters", help="list or replay messages that were given up")
    home = dead.add_mutually_exclusive_group()
    home.add_argument("--data", type=Path, default=Path("data"), help="of the embedded server in this folder")
    home.add_argument("--project", help="of this Google Cloud project (or the emulator PUBSUB_EMULATOR_HOST names)")
    dead.add_argument("--replay", metavar="HANDLE", help="deliver this one again")
    dead.set_defaults(run=_dead_letters)

    verify = commands.add_parser("verify-bundle", help="is an evidence bundle unchanged, and known to a server")
    verify.add_argument("file", type=Path, metavar="FILE")
    verify.add_argument(
        "--to", type=_origin, metavar="URL", help="Sightline's origin, to ask whether it made the bundle"
    )
    verify.add_argument("--token", help="instead of SIGHTLINE_API_TOKEN")
    verify.set_defaults(run=_verify_bundle)

    emulators = commands.add_parser("emulators", help="the functions as deployed, on the official emulators")
    emulators.add_argument("--port", type=int, default=8080)
    emulators.set_defaults(run=_emulators)
    return parser


def _sensitivity(text: str) -> float:
    value = float(text)
    if math.isnan(value) or not 0 <= value <= 1:
        raise argparse.ArgumentTypeError("must be between 0 and 1")
    return value


def _positive(text: str) -> int:
    value = int(text)
    if not 1 <= value <= 256:
        raise argparse.ArgumentTypeError("must be between 1 and 256")
    return value


def _origin(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.fragment:
        raise argparse.ArgumentTypeError("must be an origin such as https://sightline.example")
    return text


def _serve(chosen: argparse.Namespace) -> int:
    from local import server

    return server.serve(chosen.data, host=chosen.host, port=chosen.port, public_url=chosen.public_url)


def _analyze(chosen: argparse.Namespace) -> int:
    from local import analyze
    from shared.detection.detector import load_detector

    detector = load_detector(settings.load(settings.EmbeddedSettings).model_path)
    return analyze.run(chosen.files, detector, sensitivity=chosen.sensitivity)


def _upload(chosen: argparse.Namespace) -> int:
    from local import upload_command
    from local.upload import Uploader
    from local.upload_memory import UploadMemory

    config = settings.load(settings.UploaderSettings)
    memory = UploadMemory(config.cache_folder / "sightline" / "uploads")
    token = chosen.token or config.api_token
    uploader = Uploader(chosen.to, token=token, memory=memory, source_id=chosen.source_id)
    try:
        return upload_command.run(chosen.files, uploader, parallel=chosen.parallel, wait=chosen.wait)
    finally:
        uploader.close()


def _demo(chosen: argparse.Namespace) -> int:
    from local import demo

    if chosen.file is not None and not chosen.file.is_file():
        print(f"sightline: {chosen.file} is not a file", file=sys.stderr)
        return 2
    return demo.run(chosen.file)


def _dead_letters(chosen: argparse.Namespace) -> int:
    from local import dead_letters

    if chosen.project:
        return dead_letters.run_on_pubsub(chosen.project, chosen.replay)
    return dead_letters.run_on_folder(chosen.data, chosen.replay)


def _verify_bundle(chosen: argparse.Namespace) -> int:
    from local import verify_bundle

    config = settings.load(settings.UploaderSettings)
    return verify_bundle.run(chosen.file, chosen.to, chosen.token or config.api_token)


def _emulators(chosen: argparse.Namespace) -> int:
    from local import stack

    return stack.serve(chosen.port)


if __name__ == "__main__":
    sys.exit(main())
