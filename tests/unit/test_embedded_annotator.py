"""Text and faces in real pictures, without a network, whatever the picture is."""

from __future__ import annotations

import io
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from shared.adapters.embedded import image_annotator, packages
from shared.adapters.embedded.image_annotator import FACE_CONFIDENCE, LONGEST_SIDE, RapidAnnotator
from shared.errors import AnalyserFailed
from shared.ports import Feature, Frame, ImageAnnotation

FONT = ImageFont.truetype(str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"), 32)
PORTRAIT = Path(matplotlib.get_data_path()) / "sample_data" / "grace_hopper.jpg"
BOTH = (Feature.TEXT, Feature.FACES)


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("something asks the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.fixture
def unloaded() -> Iterator[None]:
    """As in a new process, before and after."""
    _forget()
    yield
    _forget()


def _forget() -> None:
    image_annotator._load_reader.cache_clear()
    image_annotator._load_face_finder.cache_clear()
    packages.installed.cache_clear()


def frame(picture: Image.Image) -> Frame:
    target = io.BytesIO()
    picture.convert("RGB").save(target, "JPEG", quality=85)
    return Frame(target.getvalue(), *picture.size)


def page(*lines: str) -> Image.Image:
    picture = Image.new("RGB", (900, 60 * len(lines) + 20), "white")
    pen = ImageDraw.Draw(picture)
    for number, line in enumerate(lines):
        pen.text((20, 15 + 60 * number), line, "black", FONT)
    return picture


def look(picture: Image.Image, *features: Feature) -> ImageAnnotation:
    (found,) = RapidAnnotator().annotate([frame(picture)], features or BOTH)
    return found


@pytest.mark.parametrize(
    "line",
    [
        "I will find you and kill you",
        "Straße Größe Übel Mädchen",
        "élève français où naïve cœur",
        "mañana ¿qué? corazón niño",
        "coração não você lição",
        "perché città più così",
    ],
)
def test_text_is_read_with_its_accents(line: str) -> None:
    assert look(page(line)).text == line


def test_lines_come_from_above_to_below() -> None:
    assert look(page("First of all", "then the second", "and the last")).text == (
        "First of all\nthen the second\nand the last"
    )


def test_text_in_a_picture_that_is_too_large_is_read_all_the_same() -> None:
    enlarged = page("STOP IT OR I SHOOT").resize((3600, 320))
    assert max(enlarged.size) > LONGEST_SIDE
    assert look(enlarged).text == "STOP IT OR I SHOOT"


def test_a_face_is_found_where_it_is() -> None:
    with Image.open(PORTRAIT) as portrait:
        found = look(portrait, Feature.FACES)
    assert found.text is None
    assert found.faces is not None
    (face,) = found.faces
    assert (face.name, face.confidence) == ("face", FACE_CONFIDENCE)
    assert face.box is not None
    left, top, width, height = face.box
    assert left < 0.5 < left + width  # she looks into the camera, her face in the upper half
    assert 0.1 < top < top + height < 0.6


def test_a_picture_without_any_has_neither_text_nor_faces() -> None:
    assert look(Image.new("RGB", (640, 360), "white")) == ImageAnnotation(text="", faces=())


def noise(width: int, height: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(7).integers(0, 256, (height, width, 3), np.uint8))


@pytest.mark.parametrize(
    "picture",
    [
        Image.new("RGB", (1, 1)),
        Image.new("RGB", (16384, 1), "white"),
        Image.new("RGB", (1, 16384)),
        Image.new("RGB", (33, 2000), "red"),
        noise(640, 360),
        noise(3, 900),
    ],
    ids=lambda picture: "x".join(map(str, picture.size)),
)
def test_a_strange_picture_is_looked_at_like_any_other(picture: Image.Image) -> None:
    found = look(picture)
    assert found.error is None
    assert found.faces == ()
    assert isinstance(found.text, str)


@pytest.mark.parametrize("damaged", [b"", b"no picture", b"\xff\xd8\xff\xe0" + bytes(40)])
def test_a_damaged_picture_costs_no_other(damaged: bytes) -> None:
    broken, whole = RapidAnnotator().annotate([Frame(damaged, 8, 8), frame(page("still read"))], BOTH)
    assert broken.error is not None
    assert (broken.error.code, broken.error.tries, broken.text) == ("unreadable_picture", 1, None)
    assert whole.text == "still read"


def test_a_picture_on_which_the_library_fails_has_an_error_and_no_result(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: object) -> Any:
        raise RuntimeError("what the library says")

    monkeypatch.setitem(image_annotator._LOADERS, Feature.TEXT, lambda: fail)
    found = look(page("x"))
    assert found.error is not None
    assert found == ImageAnnotation(error=found.error)
    assert found.error.code == "analysis_failed"
    assert "library" not in found.error.sentence


def test_what_it_cannot_do_is_said_and_never_answered() -> None:
    annotator = RapidAnnotator()
    assert set(annotator.unable) == {Feature.SAFE_SEARCH, Feature.OBJECTS, Feature.LABELS, Feature.LOGOS}
    (found,) = annotator.annotate([frame(page("text"))], list(annotator.unable))
    assert found == ImageAnnotation()


def test_the_receipt_can_name_the_versions() -> None:
    assert RapidAnnotator().name.startswith("rapidocr-3.")
    assert "+opencv-4." in RapidAnnotator().name


def test_threads_share_it() -> None:
    lines = [f"number {number} of eight" for number in range(8)]
    annotator = RapidAnnotator()
    frames = [frame(page(line)) for line in lines]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda one: annotator.annotate([one], [Feature.TEXT])[0].text, frames))
    assert found == lines


def test_a_model_that_cannot_be_loaded_fails_the_request_until_it_can(
    monkeypatch: pytest.MonkeyPatch, unloaded: None
) -> None:
    annotator = RapidAnnotator()
    with monkeypatch.context() as patch:
        patch.setattr(image_annotator, "_CASCADE", "missing.xml")
        with pytest.raises(AnalyserFailed) as failed:
            annotator.annotate([frame(page("x"))], BOTH)
    assert failed.value.code == "unavailable"
    assert (annotator.condition(Feature.FACES), annotator.condition(Feature.TEXT)) == ("degraded", "ok")
    annotator.annotate([frame(page("x"))], BOTH)
    assert annotator.condition(Feature.FACES) == "ok"


def test_without_its_packages_it_is_off_and_says_what_it_cannot_do(
    monkeypatch: pytest.MonkeyPatch, unloaded: None
) -> None:
    monkeypatch.setattr(PathFinder, "find_spec", lambda name: None if name == "rapidocr" else object())
    annotator = RapidAnnotator()
    assert (annotator.condition(Feature.TEXT), annotator.condition(Feature.FACES)) == ("off", "ok")
    assert "not installed" in annotator.unable[Feature.TEXT]
    (found,) = annotator.annotate([frame(page("x"))], BOTH)
    assert found == ImageAnnotation(faces=())


IN_A_NEW_PROCESS = """
import io, socket, sys

def refuse(*_, **__):
    raise AssertionError("something asks the network")

socket.socket.connect = socket.getaddrinfo = refuse

from shared.adapters.embedded.image_annotator import RapidAnnotator
from shared.ports import Feature, Frame

annotator = RapidAnnotator()
annotator.name, annotator.unable, annotator.condition(Feature.TEXT)
print(sorted({"cv2", "onnxruntime", "rapidocr"} & set(sys.modules)))
frame = Frame(sys.stdin.buffer.read(), 900, 80)
print(annotator.annotate([frame], list(Feature))[0].text)
"""


def test_it_loads_with_the_first_picture_reads_offline_and_prints_nothing() -> None:
    picture = frame(page("nothing is fetched"))
    done = subprocess.run(
        [sys.executable, "-c", IN_A_NEW_PROCESS], input=picture.jpeg, capture_output=True, timeout=120, check=False
    )
    assert done.stderr.decode() == ""
    assert done.stdout.decode() == "[]\nnothing is fetched\n"
