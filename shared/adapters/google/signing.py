"""Credentials that can sign URLs on Google Cloud, keyless where the platform gives only tokens.

It must not talk to Google when it is imported: everything happens when a function first asks.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from typing import TYPE_CHECKING, Any

from shared.adapters.google.iam_signer import IamSigner
from shared.errors import SettingsError

if TYPE_CHECKING:
    from google.auth.credentials import Signing

IAM_ENDPOINT = "https://iamcredentials.googleapis.com"
_SCOPE = "https://www.googleapis.com/auth/cloud-platform"


def for_uploads(signer_account: str | None) -> Callable[[], Signing]:
    """What gives `signing_credentials` for upload URLs, made when the first is to be signed."""
    return cache(partial(signing_credentials, signer_account, "UPLOAD_SIGNER_ACCOUNT"))


def for_evidence(signer_account: str | None) -> Callable[[], Signing]:
    """What gives `signing_credentials` for links to evidence, made when the first is to be signed."""
    return cache(partial(signing_credentials, signer_account, "EVIDENCE_SIGNER_ACCOUNT"))


def signing_credentials(signer_account: str | None, variable: str, *, iam_endpoint: str = IAM_ENDPOINT) -> Signing:
    """Credentials with a private key are used as they are; others sign as `signer_account` by IAM's `signBlob`.

    Raises `SettingsError`, which names the `variable` that should say the account, where neither can be.

    The function's own account then needs `iam.serviceAccounts.signBlob` (Token Creator) on the signer account, and the
    signer account the object rights its URLs give away. URLs signed that way live 12 hours at most.
    """
    import google.auth
    from google.auth import credentials as auth_credentials

    default: Any = google.auth.default  # the library's function carries no types
    own, _project = default(scopes=[_SCOPE])
    if isinstance(own, auth_credentials.Signing):
        return own
    if signer_account is None:
        raise SettingsError(
            f"the credentials of this function cannot sign URLs and {variable} names no account that can"
        )
    return IamSigner(own, signer_account, endpoint=iam_endpoint)
