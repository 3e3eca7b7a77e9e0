"""Text in an HTTP header: printable ASCII as it is, everything else as RFC 8187 has it (`UTF-8''caf%C3%A9`).

Object metadata travels in headers, whose bytes proxies and servers read as they like beyond ASCII, and whose blanks a
signature folds. What somebody wrote by hand, percent signs included, stays what it is, for only the prefix marks
encoded text.
"""

from __future__ import annotations

import re
from urllib.parse import quote, unquote

_PREFIX = "UTF-8''"
_PLAIN = re.compile(r"[\x21-\x7e]+(?: [\x21-\x7e]+)*")


def encode_header_text(text: str) -> str:
    """The value of a header that means `text`: printable ASCII that neither folds nor trims."""
    if _PLAIN.fullmatch(text) and not _is_marked(text):
        return text
    return _PREFIX + quote(text, safe="")


def decode_header_text(value: str) -> str:
    """What `encode_header_text` was given. A value that only looks encoded is taken as it stands."""
    if not _is_marked(value):
        return value
    try:
        return unquote(value[len(_PREFIX) :], errors="strict")
    except UnicodeDecodeError:
        return value


def _is_marked(value: str) -> bool:
    return value[: len(_PREFIX)].upper() == _PREFIX
