import json

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from serving.manifest import MANIFEST, SEAL, _seal_text, check_files, read_manifest, seal
from serving.new_items import add_items
from serving.runtime import Runtime
from serving.signature import PUBLIC_KEY, SIGNATURE, SIGNING_KEY, SignatureError
from serving.verify import verify


def written(folder, name, key):
    private = folder / f"{name}.pem"
    private.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    public = folder / f"{name}-public.pem"
    public.write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    return str(private), str(public)


@pytest.fixture
def keys(tmp_path):
    return written(tmp_path, "ours", ed25519.Ed25519PrivateKey.generate())


@pytest.fixture
def signed(bundle, keys, monkeypatch):
    """A bundle that was sealed with the key, on a machine that asks for the signature."""
    monkeypatch.setenv(SIGNING_KEY, keys[0])
    facts = {name: value for name, value in read_manifest(bundle).items() if name not in ("format", "files")}
    seal(bundle, facts)
    monkeypatch.delenv(SIGNING_KEY)
    monkeypatch.setenv(PUBLIC_KEY, keys[1])
    return bundle


def test_a_signed_bundle_is_found_right(signed):
    report = verify(signed)
    assert report.signed
    assert Runtime(signed).recommend(events=(), k=1).items


def test_a_bundle_that_is_not_signed_is_refused_only_where_that_is_asked(bundle, keys, monkeypatch):
    assert not verify(bundle).signed
    monkeypatch.setenv(PUBLIC_KEY, keys[1])
    with pytest.raises(SignatureError, match="is not signed, but MERCATO_PUBLIC_KEY asks for it"):
        read_manifest(bundle)


def test_a_manifest_that_was_changed_and_sealed_anew_is_refused(signed):
    manifest = json.loads((signed / MANIFEST).read_text())
    (signed / MANIFEST).write_text(json.dumps(manifest | {"name": "another"}))
    (signed / SEAL).write_text(_seal_text(signed / MANIFEST))
    with pytest.raises(SignatureError, match="is not the signature of this manifest"):
        read_manifest(signed)


@pytest.mark.parametrize("text", [b"", b"AAAA\n", b"\xff\x00", b"!!"])
def test_a_broken_signature_is_refused(signed, text):
    (signed / SIGNATURE).write_bytes(text)
    with pytest.raises(SignatureError, match="is not the signature"):
        verify(signed)


def test_another_key_is_refused(signed, tmp_path, monkeypatch):
    _, other = written(tmp_path, "other", ed25519.Ed25519PrivateKey.generate())
    monkeypatch.setenv(PUBLIC_KEY, other)
    with pytest.raises(SignatureError, match="another key made it"):
        read_manifest(signed)


def test_items_are_added_only_by_who_can_sign(signed, keys, tmp_path, monkeypatch):
    (tmp_path / "new.csv").write_text("item_id,title\nn1,a lamp\n")
    with pytest.raises(SignatureError, match="is not signed"):
        add_items(signed, tmp_path / "new.csv")
    check_files(signed, read_manifest(signed))  # as it was, and still signed
    monkeypatch.setenv(SIGNING_KEY, keys[0])
    assert add_items(signed, tmp_path / "new.csv").report.signed


def test_a_bundle_sealed_anew_without_the_key_has_no_former_signature(signed, monkeypatch):
    facts = {name: value for name, value in read_manifest(signed).items() if name not in ("format", "files")}
    monkeypatch.delenv(PUBLIC_KEY)
    seal(signed, facts)
    assert not (signed / SIGNATURE).exists()


def test_what_is_no_key_is_said(bundle, tmp_path, monkeypatch):
    monkeypatch.setenv(PUBLIC_KEY, str(tmp_path / "nowhere.pem"))
    with pytest.raises(SignatureError, match=r"nowhere.pem, which is no file"):
        read_manifest(bundle)
    (tmp_path / "text.pem").write_text("no key")
    monkeypatch.setenv(PUBLIC_KEY, str(tmp_path / "text.pem"))
    with pytest.raises(SignatureError, match="holds no readable public key"):
        read_manifest(bundle)
    _, curve = written(tmp_path, "curve", ec.generate_private_key(ec.SECP256R1()))
    monkeypatch.setenv(PUBLIC_KEY, curve)
    with pytest.raises(SignatureError, match="another kind of key"):
        read_manifest(bundle)
