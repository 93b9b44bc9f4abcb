import json
import os
import shutil

import numpy as np
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from commerce.profiles import SEGMENTS
from configs.errors import InputError
from pipeline.profiles import profile, profiles, read_profile, write_profiles
from pipeline.user_hashes import hashed
from serving.rights import opt_out

KEY = os.environ["MERCATO_HASH_KEY"].encode()


@pytest.fixture(scope="module")
def written(tiny_run, tmp_path_factory):
    """A copy of a finished run with its profiles: (folder, what was said, ids of the users)."""
    folder = tmp_path_factory.mktemp("profiles") / "run"
    shutil.copytree(tiny_run[0].folder, folder)
    ids = pq.read_table(folder / "ingest" / "user_ids.parquet").sort_by("code")["id"].to_pylist()
    opt_out(folder / "bundle", ids[3], KEY)
    said = CliRunner().invoke(profiles, [str(folder)], catch_exceptions=False).output
    return folder, said, ids


def test_each_user_has_a_row_under_the_hash_but_who_opted_out(written):
    folder, _, ids = written
    rows = pq.read_table(folder / "profiles" / "profiles.parquet").to_pylist()
    assert [row["user"] for row in rows] == [hashed(KEY, user) for user in ids if user != ids[3]]
    dictionary = json.loads((folder / "profiles" / "dictionary.json").read_text())
    assert set(dictionary["columns"]) == set(rows[0])
    assert dictionary["left_out"] == {"forgotten": 0, "opted_out": 1}
    for row in rows:
        assert np.linalg.norm(row["vector"]) == pytest.approx(1, abs=1e-4)
        assert sum(row[f"intent_{name}"] for name in ("browse", "compare", "buy")) == pytest.approx(1, abs=1e-4)
        assert row["segment"] in SEGMENTS
        for feature in ("category", "brand"):
            own = [tag["strength"] for tag in row["tags"] if tag["feature"] == feature]
            assert own == sorted(own, reverse=True)
            assert sum(own) <= 1 + 1e-5
        assert all(tag["lift"] > 1 for tag in row["tags"])
    assert not {"gender", "age_band", "region"} & set(rows[0])


def test_vectors_are_the_user_tower_s_own(written):
    from serving.runtime import Runtime

    folder, _, ids = written
    facts = json.loads((folder / "profiles" / "dictionary.json").read_text())
    runtime = Runtime(folder / "bundle", check=False)
    from serving.requests import Request

    for user in ids[10:14]:
        trace = runtime.trace(Request(user, time=facts["moment"]), rerank=False)
        assert trace.vector @ np.array(read_profile(folder, user)["vector"], np.float32) > 0.9999


def test_the_verb_says_whether_tags_foretell(written):
    folder, said, _ = written
    assert "category, top 3: own 0." in said
    foretold = json.loads((folder / "profiles" / "dictionary.json").read_text())["tags_foretell"]
    best = next(one for one in foretold if one["feature"] == "category" and one["k"] == 3)
    # The bazaar's shoppers have tastes: what they liked before, they buy.
    assert best["low"] > 0
    assert best["own"] - best["popularity"] == pytest.approx(best["difference"], abs=1e-6)


def test_a_person_can_read_one(written):
    folder, _, ids = written
    result = CliRunner().invoke(profile, [str(folder), ids[12]], catch_exceptions=False)
    assert f"User {ids[12]}: " in result.output
    assert "times everybody's" in result.output
    assert "Price: " in result.output


def test_wrong_calls_are_refused(written, tmp_path):
    folder, _, ids = written
    with pytest.raises(InputError, match=r"user nobody is not among the .* \(0 were forgotten and 1 opted out\)"):
        read_profile(folder, "nobody")
    with pytest.raises(InputError, match="is not there; run `mercato profiles"):
        read_profile(tmp_path, ids[0])
    with pytest.raises(InputError, match="--tag colour is no declared feature"):
        write_profiles(folder, ["colour"], 5, 60.0, False, tmp_path / "out")
    result = CliRunner().invoke(profiles, [str(folder), "--top", "0"])
    assert "--top must be at least 1" in str(result.exception)
    assert not (tmp_path / "out").exists()


def test_profiles_of_an_earlier_state_are_not_read(written, tmp_path):
    folder, _, ids = written
    shutil.copytree(folder, tmp_path / "run")
    path = tmp_path / "run" / "embed" / "manifest.json"
    manifest = json.loads(path.read_text())
    path.write_text(json.dumps({**manifest, "outputs": {}}))
    with pytest.raises(InputError, match="made from an earlier state"):
        read_profile(tmp_path / "run", ids[0])


def test_ids_are_written_when_asked_for_and_only_then(written, tmp_path):
    folder, _, ids = written
    write_profiles(folder, ["category"], 2, 30.0, True, tmp_path / "out")
    table = pq.read_table(tmp_path / "out" / "profiles.parquet")
    assert table["user"].to_pylist()[0] == ids[0]
    assert {tag["feature"] for row in table["tags"].to_pylist() for tag in row} == {"category"}
    assert max(len(row) for row in table["tags"].to_pylist()) <= 2
