import json
import os

import pytest

from serving.manifest import BundleError, check_files, read_manifest, seal


@pytest.fixture
def bundle(tmp_path):
    folder = tmp_path / "bundle"
    (folder / "deep").mkdir(parents=True)
    (folder / "a.bin").write_bytes(b"hello")
    (folder / "deep" / "b.bin").write_bytes(b"world")
    seal(folder, {"made": "today"})
    return folder


def check(folder):
    check_files(folder, read_manifest(folder))


def test_a_sealed_folder_is_whole(bundle):
    check(bundle)
    assert read_manifest(bundle)["made"] == "today"


@pytest.mark.parametrize("name", ["a.bin", "deep/b.bin", "manifest.json", "manifest.sha256"])
def test_any_flipped_byte_is_refused_and_the_file_named(bundle, name):
    path = bundle / name
    whole = path.read_bytes()
    for place in range(0, len(whole), max(1, len(whole) // 40)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with pytest.raises(BundleError, match=os.path.basename(name)):
            check(bundle)
    path.write_bytes(whole)
    check(bundle)


@pytest.mark.parametrize("name", ["a.bin", "deep/b.bin", "manifest.json", "manifest.sha256"])
def test_a_missing_file_is_named(bundle, name):
    (bundle / name).unlink()
    with pytest.raises(BundleError, match=os.path.basename(name)):
        check(bundle)


def test_an_added_file_is_named(bundle):
    (bundle / "deep" / "stowaway").write_text("")
    with pytest.raises(BundleError, match="deep/stowaway is not in the manifest"):
        check(bundle)


def test_a_cut_file_tells_both_sizes(bundle):
    (bundle / "a.bin").write_bytes(b"hel")
    with pytest.raises(BundleError, match=r"a\.bin has 3 bytes, but the manifest says 5"):
        check(bundle)


def test_another_format_is_refused(bundle):
    manifest = json.loads((bundle / "manifest.json").read_text())
    (bundle / "manifest.json").write_text(json.dumps(manifest | {"format": 99}))
    (bundle / "manifest.sha256").unlink()
    from serving.manifest import sha256

    (bundle / "manifest.sha256").write_text(f"{sha256(bundle / 'manifest.json')}  manifest.json\n")
    with pytest.raises(BundleError, match="bundle format 99"):
        check(bundle)


def test_no_bundle_at_all_says_how_to_make_one(tmp_path):
    with pytest.raises(BundleError, match="mercato export"):
        read_manifest(tmp_path / "nothing")
