"""Reads a multipart form with one file in it as it arrives: bytes go in, the file's bytes come out, nothing is kept.

Every form is hostile until it has ended: headers, fields and parts are bounded, and what is wrong is said as soon as it
is seen, so that the rest need not be read. It must not do I/O.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

from python_multipart import MultipartParser
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import parse_options_header

from shared.errors import Malformed, TooLarge

MAX_PARTS = 16
MAX_FIELD_BYTES = 1024
"""Of every part but the file."""

_MAX_HEADERS = 8
_MAX_HEADER_BYTES = 4096


class FileForm:
    """One form, from its first byte to its last.

    `file_names`: what the file's field may be called. `parsers`: the other fields and how their text is read; what they
    raise goes through. Fields of other names are read over. `values` and `filename` are complete after `finish`; the
    methods `on_...` are for the parser only.
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
        self._parser = _parser(content_type, self)
        self._parts = 0
        self._header = (bytearray(), bytearray())
        self._disposition: bytes | None = None
        self._name = ""
        self._in_file = self._seen_file = self._ended = False
        self._text = bytearray()
        self._blocks: list[bytes] = []

    def feed(self, chunk: bytes) -> list[bytes]:
        """Takes the next bytes of the body and gives those of the file that were among them.

        Raises `Malformed`, `TooLarge`, and what the fields' parsers raise; the form can't be used any more then.
        """
        self._blocks = []
        try:
            self._parser.write(chunk)
        except FormParserError:
            raise Malformed("malformed_form", "The multipart form is malformed.") from None
        return self._blocks

    def finish(self) -> None:
        """Says that the body is complete. Raises `Malformed` if the form is not, or has no file, or an empty one."""
        if not self._ended:
            raise Malformed("truncated_form", "The multipart form ends before its closing boundary.")
        if not self._seen_file:
            names = " or ".join(f"'{name}'" for name in self._file_names)
            raise Malformed("no_file", f"The form has no file: send it in the field {names}.")
        if not self.file_bytes:
            raise Malformed("empty_file", "The file is empty.")

    def on_part_begin(self) -> None:
        """For the parser: a part's headers follow."""
        self._parts += 1
        if self._parts > MAX_PARTS:
            raise Malformed("too_many_parts", f"The form has more than {MAX_PARTS} parts.")
        self._disposition = None
        self._text.clear()

    def on_header_begin(self) -> None:
        """For the parser: a header follows."""
        self._header = (bytearray(), bytearray())

    def on_header_field(self, data: bytes, start: int, end: int) -> None:
        """For the parser: more of a header's name."""
        self._header[0].extend(data[start:end])

    def on_header_value(self, data: bytes, start: int, end: int) -> None:
        """For the parser: more of a header's value."""
        self._header[1].extend(data[start:end])

    def on_header_end(self) -> None:
        """For the parser: a header is complete."""
        name, value = self._header
        if name.lower() == b"content-disposition":
            self._disposition = bytes(value)

    def on_headers_finished(self) -> None:
        """For the parser: a part's content follows."""
        kind, options = parse_options_header(self._disposition)
        if kind != b"form-data" or b"name" not in options:
            raise Malformed("malformed_form", "A part of the form has no name.")
        self._name = options[b"name"].decode("utf-8", "replace")
        self._in_file = self._name in self._file_names
        if self._in_file:
            self._begin_file(options.get(b"filename"))

    def on_part_data(self, data: bytes, start: int, end: int) -> None:
        """For the parser: more of a part's content."""
        if not self._in_file:
            self._text.extend(data[start : min(end, start + MAX_FIELD_BYTES + 1)])
            if len(self._text) > MAX_FIELD_BYTES:
                raise Malformed(
                    "field_too_long", f"A field other than the file is longer than {MAX_FIELD_BYTES} bytes."
                )
            return
        self.file_bytes += end - start
        if self.file_bytes > self._max_file_bytes:
            raise self._file_too_large
        self._blocks.append(data[start:end])

    def on_part_end(self) -> None:
        """For the parser: a part is complete."""
        parse = self._parsers.get(self._name)
        if self._in_file or parse is None:
            return
        if self._name in self.values:
            raise Malformed("repeated_field", f"{self._name} was sent twice.")
        self.values[self._name] = parse(self._text.decode("utf-8", "replace").strip())

    def on_end(self) -> None:
        """For the parser: the closing boundary. What may follow it means nothing."""
        self._ended = True

    def _begin_file(self, filename: bytes | None) -> None:
        if self._seen_file:
            raise Malformed("two_files", "The form has more than one file; send one at a time.")
        self._seen_file = True
        self.filename = None if filename is None else filename.decode("utf-8", "replace")


def _parser(content_type: str | None, form: FileForm) -> MultipartParser:
    kind, options = parse_options_header(content_type)
    boundary = options.get(b"boundary")
    if kind != b"multipart/form-data" or not boundary:
        raise Malformed("not_multipart", "Send the video as multipart/form-data with a boundary.")
    try:
        return MultipartParser(
            boundary,
            {
                "on_part_begin": form.on_part_begin,
                "on_header_begin": form.on_header_begin,
                "on_header_field": form.on_header_field,
                "on_header_value": form.on_header_value,
                "on_header_end": form.on_header_end,
                "on_headers_finished": form.on_headers_finished,
                "on_part_data": form.on_part_data,
                "on_part_end": form.on_part_end,
                "on_end": form.on_end,
            },
            max_header_count=_MAX_HEADERS,
            max_header_size=_MAX_HEADER_BYTES,
        )
    except FormParserError:
        raise Malformed("not_multipart", "The boundary of the multipart form is too long.") from None
