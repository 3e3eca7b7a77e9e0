"""Reads a multipart form with one file in it as it arrives: bytes go in, the file's bytes come out, nothing is kept.

It must not do I/O.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

from shared.errors import Malformed, TooLarge
from shared.web.form_parts import FormParts

MAX_FIELD_BYTES = 1024
"""Of every part but the file."""


class FileForm:
    """One form, from its first byte to its last.

    `file_names`: what the file's field may be called. `parsers`: the other fields and how their text is read; what they
    raise goes through. Fields of other names are read over. `values` and `filename` are complete after `finish`;
    `begin`, `take`, `end_file` and `field` are for `FormParts` only.
    """

    def __init__(
        self,
        content_type: str | None,
        *,
        file_names: Collection[str],
        parsers: Mapping[str, Callable[[str], float]],
        file_too_large: TooLarge,
        max_file_bytes: int,
    ) -> None:
        """Raises `Malformed` if `content_type` is not that of a multipart form."""
        self.values: dict[str, float] = {}
        self.filename: str | None = None
        self.file_bytes = 0
        self._file_names = file_names
        self._parsers = parsers
        self._file_too_large = file_too_large
        self._max_file_bytes = max_file_bytes
        self._parts = FormParts(content_type, self, max_field_bytes=MAX_FIELD_BYTES)
        self._seen_file = False
        self._blocks: list[bytes] = []

    def feed(self, chunk: bytes) -> list[bytes]:
        """Takes the next bytes of the body and gives those of the file that were among them.

        Raises `Malformed`, `TooLarge`, and what the fields' parsers raise; the form can't be used any more then.
        """
        self._blocks = []
        self._parts.feed(chunk)
        return self._blocks

    def finish(self) -> None:
        """Says that the body is complete. Raises `Malformed` if the form is not, or has no file, or an empty one."""
        self._parts.finish()
        if not self._seen_file:
            names = " or ".join(f"'{name}'" for name in self._file_names)
            raise Malformed("no_file", f"The form has no file: send it in the field {names}.")
        if not self.file_bytes:
            raise Malformed("empty_file", "The file is empty.")

    def begin(self, name: str, filename: str | None) -> bool:
        """See `FormSink`."""
        if name not in self._file_names:
            return False
        if self._seen_file:
            raise Malformed("two_files", "The form has more than one file; send one at a time.")
        self._seen_file = True
        self.filename = filename
        return True

    def take(self, block: bytes) -> None:
        """See `FormSink`."""
        self.file_bytes += len(block)
        if self.file_bytes > self._max_file_bytes:
            raise self._file_too_large
        self._blocks.append(block)

    def end_file(self) -> None:
        """See `FormSink`."""

    def field(self, name: str, content: bytes) -> None:
        """See `FormSink`."""
        parse = self._parsers.get(name)
        if parse is None:
            return
        if name in self.values:
            raise Malformed("repeated_field", f"{name} was sent twice.")
        self.values[name] = parse(content.decode("utf-8", "replace").strip())
