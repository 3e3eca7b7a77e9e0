"""Reads a device's multipart form as it arrives: short fields, and up to three pictures, which are held in memory.

What is wrong is said as soon as it is seen: a fourth picture ends the form before its bytes are there. Whether a file
is a picture, its bytes will tell. It must not do I/O.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from shared.domain.evidence_images import MAX_IMAGE_BYTES, MAX_IMAGES
from shared.errors import Malformed, TooLarge
from shared.web.form_parts import FormParts

IMAGES = "images"
MAX_FIELD_BYTES = 16 << 10
"""As many bytes as the longest field's characters may need."""


class SignalForm:
    """One form, from its first byte to its last.

    `checks`: the fields that mean something, and what is asked of each one's text as soon as it is there; what they
    raise goes through. `fields` holds the text of those that were sent and are not empty. Other fields are read over.
    `begin`, `take`, `end_file` and `field` are for `FormParts` only.
    """

    def __init__(self, content_type: str | None, checks: Mapping[str, Callable[[str], object]]) -> None:
        """Raises `Malformed` if `content_type` is not that of a multipart form."""
        self.fields: dict[str, str] = {}
        self.images: list[bytes] = []
        self._checks = checks
        self._parts = FormParts(content_type, self, max_field_bytes=MAX_FIELD_BYTES)
        self._sent: set[str] = set()
        self._filename: str | None = None
        self._blocks: list[bytes] = []
        self._size = 0

    def feed(self, chunk: bytes) -> None:
        """Takes the next bytes. Raises `Malformed`, `TooLarge`, and what the checks raise; the form is over then."""
        self._parts.feed(chunk)

    def finish(self) -> None:
        """Says that the body is complete. Raises `Malformed` if the form is not."""
        self._parts.finish()

    def begin(self, name: str, filename: str | None) -> bool:
        """See `FormSink`."""
        if name != IMAGES and filename is not None:
            # Left out in silence, a picture would be missed when it is needed as evidence.
            problem = "must be text, not a file" if name in self._checks else f"is no field for files: use {IMAGES}"
            raise Malformed("file_in_wrong_field", f"{_shown(name)} {problem}")
        self._filename, self._blocks, self._size = filename, [], 0
        return name == IMAGES

    def take(self, block: bytes) -> None:
        """See `FormSink`."""
        if len(self.images) == MAX_IMAGES:
            raise Malformed("too_many_images", f"Maximum {MAX_IMAGES} images allowed")
        self._size += len(block)
        if self._size > MAX_IMAGE_BYTES:
            raise TooLarge("image_too_large", f"Image {self._number} is larger than {MAX_IMAGE_BYTES >> 20} MB")
        self._blocks.append(block)

    def end_file(self) -> None:
        """See `FormSink`. A browser sends an empty, nameless file where the user chose none."""
        if self._size:
            self.images.append(b"".join(self._blocks))
        elif self._filename:
            raise Malformed("empty_image", f"Image {self._number} is empty")
        self._blocks = []

    def field(self, name: str, content: bytes) -> None:
        """See `FormSink`."""
        check = self._checks.get(name)
        if check is None:
            return
        if name in self._sent:
            raise Malformed("repeated_field", f"{name} was sent twice")
        self._sent.add(name)
        try:
            text = content.decode().strip()
        except UnicodeDecodeError:
            raise Malformed("invalid_field", f"{name} is not UTF-8 text") from None
        if text:
            check(text)
            self.fields[name] = text

    @property
    def _number(self) -> int:
        return len(self.images) + 1


def _shown(name: str) -> str:
    return name if name.isprintable() and len(name) <= 50 else "The file's field"
