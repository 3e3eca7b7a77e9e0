"""The key that signs URLs of the embedded home: made at the first start, kept in the data folder for its owner only.

It has the form of a service account's key file, so that Google's client library signs with it unchanged. It must never
leave the machine, and it opens nothing but this folder's blob server.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey, generate_private_key
from google.oauth2 import service_account

FILE_NAME = "signing-key.json"
SIGNER = "signer@sightline.invalid"


class LocalSigningKey(NamedTuple):
    """What signs, and what verifies."""

    credentials: service_account.Credentials
    public_key: RSAPublicKey

    @property
    def trusted(self) -> Mapping[str, RSAPublicKey]:
        """The signer's name and key, as the blob server wants to know them."""
        return {SIGNER: self.public_key}


def local_signing_key(root: Path) -> LocalSigningKey:
    """Reads the key of the folder `root`, and makes it when there is none. Several processes may ask at once."""
    root.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = root / FILE_NAME
    with (root / "signing-key.lock").open("ab") as gate:
        fcntl.flock(gate, fcntl.LOCK_EX)
        if not path.exists():
            _write(path, _new_key())
    return _parsed(path.read_text())


@lru_cache(maxsize=8)
def _parsed(text: str) -> LocalSigningKey:
    """Checking the numbers of a key takes a while, so it is done once for a key."""
    info = json.loads(text)
    from_info: Any = service_account.Credentials.from_service_account_info  # carries no types
    private_key = serialization.load_pem_private_key(info["private_key"].encode(), password=None)
    public_key = private_key.public_key()
    if not isinstance(public_key, RSAPublicKey):
        raise ValueError(f"{FILE_NAME} holds no RSA key")
    return LocalSigningKey(from_info(info), public_key)


def _new_key() -> dict[str, str]:
    pem = generate_private_key(public_exponent=65537, key_size=2048).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return {
        "type": "service_account",
        "client_email": SIGNER,
        "private_key": pem.decode(),
        "token_uri": "https://sightline.invalid/no-tokens",
    }


def _write(path: Path, info: dict[str, str]) -> None:
    """Under another name first: a killed process leaves no half key."""
    draft = path.with_suffix(".draft")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        json.dump(info, file)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
