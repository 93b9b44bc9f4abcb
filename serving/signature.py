"""Who made a bundle: an Ed25519 signature (RFC 8032) over its manifest, which names every file's hash.

Hashes find damage; whoever can change a file can write its hash anew. A signature says that the holder of a private key
sealed these very files. Keys are PEM files named by environment variables, so that they stand in no config. They are
made by ``openssl genpkey -algorithm ed25519 -out key.pem`` and ``openssl pkey -in key.pem -pubout -out public.pem``.
"""

from __future__ import annotations

import base64
import binascii
import os
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from configs.errors import InputError

SIGNATURE = "manifest.sig"
SIGNING_KEY = "MERCATO_SIGNING_KEY"
"""Environment variable: PEM file of the private key that every bundle is signed with which is written."""
PUBLIC_KEY = "MERCATO_PUBLIC_KEY"
"""Environment variable: PEM file of the public key that every bundle must be signed for which is opened."""


class SignatureError(InputError):
    """A signature that is missing or wrong, or a key that is none."""


def sign(manifest: Path) -> None:
    """Write the signature of ``manifest`` beside it, where ``SIGNING_KEY`` names a key; else remove a former one.

    Raises:
        SignatureError: for a key that is none.
    """
    signature = manifest.with_name(SIGNATURE)
    signature.unlink(missing_ok=True)
    if not os.environ.get(SIGNING_KEY):
        return
    key = _key(SIGNING_KEY, "private")
    signature.write_text(base64.b64encode(key.sign(manifest.read_bytes())).decode() + "\n", encoding="ascii")


def check_signature(manifest: Path) -> bool:
    """Return whether the signature of ``manifest`` was found right; False where ``PUBLIC_KEY`` names no key.

    Raises:
        SignatureError: if there is no signature, or not that of the key.
    """
    if not os.environ.get(PUBLIC_KEY):
        return False
    key, signature = _key(PUBLIC_KEY, "public"), manifest.with_name(SIGNATURE)
    if not signature.is_file():
        raise SignatureError(
            f"{manifest.parent} is not signed, but {PUBLIC_KEY} asks for it; get it from who signs, or export it with "
            f"{SIGNING_KEY} set"
        )
    from cryptography.exceptions import InvalidSignature

    try:
        key.verify(base64.b64decode(signature.read_bytes(), validate=False), manifest.read_bytes())
    except (InvalidSignature, binascii.Error):
        raise SignatureError(
            f"{signature} is not the signature of this manifest by the key in {os.environ[PUBLIC_KEY]}; the bundle was "
            "changed, or another key made it: do not serve from it"
        ) from None
    return True


def _key(variable: str, kind: str) -> Any:
    if find_spec("cryptography") is None:
        raise SignatureError(f"{variable} is set, which needs cryptography; pip install 'mercato[signed]'")
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key

    file = Path(os.environ[variable])
    if not file.is_file():
        raise SignatureError(f"{variable} names {file}, which is no file; name the PEM file of a {kind} Ed25519 key")
    try:
        key = (
            load_pem_private_key(file.read_bytes(), None)
            if kind == "private"
            else load_pem_public_key(file.read_bytes())
        )
    except (ValueError, TypeError) as error:
        raise SignatureError(f"{file}, which {variable} names, holds no readable {kind} key: {error}") from None
    if not isinstance(key, Ed25519PrivateKey | Ed25519PublicKey):
        raise SignatureError(f"{file}, which {variable} names, holds another kind of key; an Ed25519 key is expected")
    return key
