"""Every error Sightline raises on purpose, as one tree.

SightlineError
├── SettingsError            the environment is incomplete or wrong: the process must not start
│   └── ProfileError         a moderation profile's file is missing or wrong
├── PolicyError              a data file of moderation's rules is wrong: the process must not start
├── Permanent                bad input: record it, acknowledge it, never retry it
│   ├── Malformed            a message or envelope that cannot be read
│   ├── MediaUnusable        a file that is no video, or one that cannot be analysed
│   ├── NotFound             an id that nothing has
│   ├── Gone                 what was here and was deleted on purpose: retention, erasure
│   ├── NotReady             what is asked for does not exist yet, or never will because its analysis failed
│   ├── Conflict             what is said of something no longer fits it, or what was said before
│   ├── NotAuthenticated     no credential, or a wrong one
│   ├── NotPermitted         a known caller whose role does not allow it
│   ├── FetchFailed          a URL that may not be fetched, or that did not give what it should
│   ├── InvalidKey           a document id or blob name that no home can store
│   └── TooLarge             a document, body or file over its limit
├── Retryable                worth another try: raise it, the message comes again
│   └── InProgress           another worker holds the lease
├── AnalyserFailed           an optional analyser gave no usable answer; says whether asking again is worth it
│   └── BudgetExhausted      it was not asked, because the day's budget for it is spent
├── AlreadyExists            a create found the document or blob there
├── VersionConflict          a compare-and-set lost its race (or the document is gone)
├── PreconditionFailed       a blob's generation is not the one that was asked for
└── UndeclaredIndex          a query that no declared index serves: a mistake in the code

Rules: the class decides between acknowledgement and redelivery; `code` is for machines and stays the same;
`sentence` may be shown to a client, so it never carries another exception's text.
"""

from __future__ import annotations


class SightlineError(Exception):
    """The root: catch it only at an edge."""


class SettingsError(SightlineError):
    """Variables are missing or malformed. The message lists all of them at once."""


class ProfileError(SettingsError):
    """A moderation profile can't be used. The message lists everything that is wrong in it, each with its path."""


class PolicyError(SightlineError):
    """Files under `policies/` are missing or malformed. The message lists everything that is wrong with them."""


class Permanent(SightlineError):
    """Bad input. `code` is a stable snake_case word, `sentence` is fit for a client, `status` is the HTTP status."""

    status = 400

    def __init__(self, code: str, sentence: str) -> None:
        super().__init__(f"{code}: {sentence}")
        self.code = code
        self.sentence = sentence


class Malformed(Permanent):
    """A message, envelope or body that does not have the form it must have."""


class MediaUnusable(Permanent):
    """A file that is no video, has no picture, or lies outside the limits of SPEC §3."""


class NotFound(Permanent):
    """Nothing has this id."""

    status = 404


class Gone(Permanent):
    """It was here, and was deleted on purpose; asking again is of no use."""

    status = 410


class NotReady(Permanent):
    """The thing has this id, but not what is asked of it: its analysis has not ended, or it failed."""

    status = 409


class Conflict(Permanent):
    """The request speaks of a state that has passed, or says something else than it said before under the same key."""

    status = 409


class NotAuthenticated(Permanent):
    """No bearer token, or a wrong one."""

    status = 401


class NotPermitted(Permanent):
    """The caller is known, and may not do this."""

    status = 403


class FetchFailed(Permanent):
    """A URL that may not be fetched, or that did not give what it should.

    `status` is this failure's own HTTP status: 400, 403, 404, 408, 413, 429 or 503. The sentence tells nothing of the
    addresses behind a name, and never what the other side said.
    """

    def __init__(self, code: str, sentence: str, *, status: int) -> None:
        super().__init__(code, sentence)
        self.status = status


class InvalidKey(Permanent):
    """A document id or blob name that is empty, too long, or reserved."""


class TooLarge(Permanent):
    """Over a limit: a document of more than 1 MiB, a body or a file of more bytes than allowed."""

    status = 413


class Retryable(SightlineError):
    """Not now, perhaps later. `retry_after` (seconds) is the earliest moment another try can succeed, 0 if unknown."""

    def __init__(self, reason: str, *, retry_after: float = 0.0) -> None:
        super().__init__(reason)
        self.retry_after = retry_after


class InProgress(Retryable):
    """Another worker holds the lease of this piece of work."""


class AnalyserFailed(SightlineError):
    """An analyser (Gemini, ...) gave no usable answer. Never fatal to the analysis, and never read as "clean".

    `code` is a stable snake_case word, `sentence` is fit for a client. `tries`: how often in all the same question is
    worth asking (1: never again, as for a blocked answer; `PATIENT`: as long as the message is delivered).
    """

    PATIENT = 1000

    def __init__(self, code: str, sentence: str, *, tries: int) -> None:
        super().__init__(f"{code}: {sentence}")
        self.code = code
        self.sentence = sentence
        self.tries = tries


class BudgetExhausted(AnalyserFailed):
    """Not even the cheapest question fits into what the day's budget has left."""

    def __init__(self, analyser: str, budget_usd: float) -> None:
        sentence = f"Today's budget for {analyser} ({budget_usd:.2f} USD) is spent; it renews at 00:00 UTC."
        super().__init__("budget_exhausted", sentence, tries=1)


class AlreadyExists(SightlineError):
    """A create found something there. The one who created it won."""


class VersionConflict(SightlineError):
    """An update or delete named a version that is no longer the present one, or the document is gone."""


class PreconditionFailed(SightlineError):
    """A blob operation named a generation that is not the present one (0: that nothing is there)."""


class UndeclaredIndex(SightlineError):
    """A query needs a composite index that `infra/pipeline.yaml` does not declare."""
