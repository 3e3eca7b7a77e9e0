"""Reads a multipart form part by part as it arrives: bytes go in, a sink hears what is in it, nothing is kept.

Every form is hostile until it has ended: headers, fields and parts are bounded, and what is wrong is said as soon as it
is seen, so that the rest need not be read. What a part means is its sink's to say. It must not do I/O.
"""

from __future__ import annotations

from typing import Protocol

from python_multipart import MultipartParser
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import parse_options_header

from shared.errors import Malformed

MAX_PARTS = 16

_MAX_HEADERS = 8
_MAX_HEADER_BYTES = 4096


class FormSink(Protocol):
    """What hears of a form's parts, in their order. What it raises goes through, and ends the form."""

    def begin(self, name: str, filename: str | None) -> bool:
        """A part begins. True: it is a file, and `take` shall have its bytes; else `field` shall have them at once."""
        ...

    def take(self, block: bytes) -> None:
        """More bytes of the file."""
        ...

    def end_file(self) -> None:
        """The file is complete."""
        ...

    def field(self, name: str, content: bytes) -> None:
        """A part that is no file, complete."""
        ...


class FormParts:
    """One form, from its first byte to its last. The methods `on_...` are for the parser only."""

    def __init__(self, content_type: str | None, sink: FormSink, *, max_field_bytes: int) -> None:
        """`max_field_bytes`: of every part but files. Raises `Malformed` if `content_type` is no multipart form's."""
        self._sink = sink
        self._max_field_bytes = max_field_bytes
        self._parser = _parser(content_type, self)
        self._parts = 0
        self._header = (bytearray(), bytearray())
        self._disposition: bytes | None = None
        self._name = ""
        self._in_file = self._ended = False
        self._text = bytearray()

    def feed(self, chunk: bytes) -> None:
        """Takes the next bytes of the body. Raises `Malformed`, and what the sink raises; it is over then."""
        try:
            self._parser.write(chunk)
        except FormParserError:
            raise Malformed("malformed_form", "The multipart form is malformed.") from None

    def finish(self) -> None:
        """Says that the body is complete. Raises `Malformed` if the form is not."""
        if not self._ended:
            raise Malformed("truncated_form", "The multipart form ends before its closing boundary.")

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
        filename = options.get(b"filename")
        self._in_file = self._sink.begin(self._name, None if filename is None else filename.decode("utf-8", "replace"))

    def on_part_data(self, data: bytes, start: int, end: int) -> None:
        """For the parser: more of a part's content."""
        if self._in_file:
            self._sink.take(data[start:end])
            return
        self._text.extend(data[start : min(end, start + self._max_field_bytes + 1)])
        if len(self._text) > self._max_field_bytes:
            limit = f"A field other than the file is longer than {self._max_field_bytes} bytes."
            raise Malformed("field_too_long", limit)

    def on_part_end(self) -> None:
        """For the parser: a part is complete."""
        if self._in_file:
            self._sink.end_file()
        else:
            self._sink.field(self._name, bytes(self._text))

    def on_end(self) -> None:
        """For the parser: the closing boundary. What may follow it means nothing."""
        self._ended = True


def _parser(content_type: str | None, parts: FormParts) -> MultipartParser:
    kind, options = parse_options_header(content_type)
    boundary = options.get(b"boundary")
    if kind != b"multipart/form-data" or not boundary:
        raise Malformed("not_multipart", "Send a form as multipart/form-data with a boundary.")
    try:
        return MultipartParser(
            boundary,
            {
                "on_part_begin": parts.on_part_begin,
                "on_header_begin": parts.on_header_begin,
                "on_header_field": parts.on_header_field,
                "on_header_value": parts.on_header_value,
                "on_header_end": parts.on_header_end,
                "on_headers_finished": parts.on_headers_finished,
                "on_part_data": parts.on_part_data,
                "on_part_end": parts.on_part_end,
                "on_end": parts.on_end,
            },
            max_header_count=_MAX_HEADERS,
            max_header_size=_MAX_HEADER_BYTES,
        )
    except FormParserError:
        raise Malformed("not_multipart", "The boundary of the multipart form is too long.") from None
