"""Every kind of damage to every file of a bundle, beside the flipped, cut and missing ones of ``test_verify``."""

import json
import os
import shutil

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519

from serving.manifest import MANIFEST, SEAL, BundleError, _seal_text, read_manifest, seal
from serving.new_items import add_items
from serving.runtime import Runtime
from serving.signature import PUBLIC_KEY, SIGNATURE, SIGNING_KEY, SignatureError
from serving.verify import verify
from tests.serving.test_signature import written


@pytest.fixture(scope="module")
def another(exported, tmp_path_factory):
    """A whole bundle of the same shop with one item more: most of its files are others."""
    folder = tmp_path_factory.mktemp("another")
    shutil.copytree(exported[0].folder / "bundle", folder / "bundle")
    (folder / "new.csv").write_text("item_id,title,price\nn1,a quiet lamp,3\n")
    add_items(folder / "bundle", folder / "new.csv")
    return folder / "bundle"


def files_of(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_a_file_of_another_bundle_is_refused_by_name(bundle, another):
    both = sorted({*files_of(bundle)} & {*files_of(another)})  # a changed index has new names
    swapped = [name for name in both if (bundle / name).read_bytes() != (another / name).read_bytes()]
    assert len(swapped) > 15
    assert {MANIFEST, SEAL, "item_vectors.npy", "item_ids/text.npy"} <= {*swapped}
    for name in swapped:
        own = (bundle / name).read_bytes()
        shutil.copyfile(another / name, bundle / name)
        with pytest.raises(BundleError, match=name.rpartition("/")[2]):
            verify(bundle)
        (bundle / name).write_bytes(own)
    verify(bundle)


def test_another_bundles_manifest_with_its_seal_does_not_fit(bundle, another):
    for name in (MANIFEST, SEAL):
        shutil.copyfile(another / name, bundle / name)
    with pytest.raises(BundleError, match=r"file \S+ is missing; copy or export"):
        verify(bundle)


def test_two_files_that_changed_places_are_refused(bundle):
    one, other = bundle / "item_ids" / "text.npy", bundle / "item_texts" / "text.npy"
    first, second = one.read_bytes(), other.read_bytes()
    one.write_bytes(second)
    other.write_bytes(first)
    with pytest.raises(BundleError, match=r"text\.npy"):
        verify(bundle)


@pytest.mark.parametrize("name", ["item_vectors.npy", "index/facts.json", MANIFEST, SEAL])
def test_a_link_in_a_files_place_is_refused_though_it_leads_to_the_same_bytes(bundle, tmp_path, name):
    if not (bundle / name).is_file():
        name = next(one for one in files_of(bundle) if one.startswith("index/"))
    moved = tmp_path / "elsewhere"
    shutil.move(bundle / name, moved)
    (bundle / name).symlink_to(moved)
    for opened in (verify, Runtime):
        with pytest.raises(BundleError, match=rf"{name} is a link"):
            opened(bundle)


def test_links_that_were_added_are_refused_whatever_they_lead_to(bundle, tmp_path):
    for target in (tmp_path, bundle / "users", bundle / "prices.npy", tmp_path / "nowhere", "/etc"):
        (bundle / "index" / "more").symlink_to(target)
        with pytest.raises(BundleError, match="index/more is a link to"):
            verify(bundle)
        (bundle / "index" / "more").unlink()
    os.mkfifo(bundle / "pipe")
    with pytest.raises(BundleError, match="pipe is no file, but a bundle holds files alone"):
        verify(bundle)


def test_a_bundle_may_be_reached_by_a_link(bundle, tmp_path):
    (tmp_path / "current").symlink_to(bundle)
    assert verify(tmp_path / "current").items == 90


@pytest.mark.parametrize("name", ["../outside", "index/../../outside", "/etc/hostname"])
def test_a_manifest_cannot_name_files_outside_the_bundle(bundle, tmp_path, name):
    (tmp_path / "outside").write_text("x")
    manifest = json.loads((bundle / MANIFEST).read_text())
    manifest["files"][name] = {"bytes": 1, "sha256": "0" * 64}
    (bundle / MANIFEST).write_text(json.dumps(manifest))
    (bundle / SEAL).write_text(_seal_text(bundle / MANIFEST))
    with pytest.raises(BundleError, match=rf"file {name} is missing"):
        verify(bundle)


def test_a_signature_of_another_bundle_is_refused(bundle, another, tmp_path, monkeypatch):
    private, public = written(tmp_path, "ours", ed25519.Ed25519PrivateKey.generate())
    monkeypatch.setenv(SIGNING_KEY, private)
    for folder in (bundle, another):
        kept = {name: value for name, value in read_manifest(folder).items() if name not in ("format", "files")}
        seal(folder, kept)
    monkeypatch.setenv(PUBLIC_KEY, public)
    assert verify(bundle).signed
    shutil.copyfile(another / SIGNATURE, bundle / SIGNATURE)
    with pytest.raises(SignatureError, match="is not the signature of this manifest"):
        verify(bundle)


def test_a_signature_with_any_byte_flipped_is_refused(bundle, tmp_path, monkeypatch):
    private, public = written(tmp_path, "ours", ed25519.Ed25519PrivateKey.generate())
    monkeypatch.setenv(SIGNING_KEY, private)
    seal(bundle, {name: value for name, value in read_manifest(bundle).items() if name not in ("format", "files")})
    monkeypatch.setenv(PUBLIC_KEY, public)
    whole = (bundle / SIGNATURE).read_bytes()
    for place in (0, len(whole) // 2, len(whole) - 4):
        (bundle / SIGNATURE).write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with pytest.raises(SignatureError, match="is not the signature"):
            verify(bundle)
    (bundle / SIGNATURE).unlink()
    with pytest.raises(SignatureError, match="is not signed"):
        verify(bundle)
