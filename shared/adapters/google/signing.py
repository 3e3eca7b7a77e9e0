"""Credentials that can sign URLs on Google Cloud, keyless where the platform gives only tokens.

It must not talk to Google when it is imported: everything happens when a function first asks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from shared.adapters.google.iam_signer import IamSigner
from shared.errors import SettingsError

if TYPE_CHECKING:
    from google.auth.credentials import Signing

IAM_ENDPOINT = "https://iamcredentials.googleapis.com"
_SCOPE = "https://www.googleapis.com/auth/cloud-platform"


def signing_credentials(signer_account: str | None, *, iam_endpoint: str = IAM_ENDPOINT) -> Signing:
    """Credentials with a private key are used as they are; others sign as `signer_account` by IAM's `signBlob`.

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
            "the credentials of this function cannot sign URLs and UPLOAD_SIGNER_ACCOUNT names no account that can"
        )
    return IamSigner(own, signer_account, endpoint=iam_endpoint)
