import csv
import json
import os
import shutil

import numpy as np
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

import pipeline.removal
from commerce.histories import Histories
from commerce.records import Requests
from configs.errors import InputError
from configs.load import load_config
from pipeline.bundle_source import BundleSource
from pipeline.forget import forget, forget_user
from pipeline.forgotten import LIST, check_bundle, listed, records, refuse_unfinished
from pipeline.run_folder import RunFolder
from pipeline.run_stages import run_stages
from pipeline.user_hashes import hashed
from serving.manifest import bundle_id
from serving.user_keys import digest
from serving.users import UserFeatures, write_users
from towers.lessons import Lessons

KEY = os.environ["MERCATO_HASH_KEY"].encode()


@pytest.fixture
def run(tiny_run, tmp_path):
    """A copy of a finished run, and a user of its test window who searched."""
    shutil.copytree(tiny_run[0].folder, tmp_path / "run")
    folder = tmp_path / "run"
    requests = Requests.read(folder / "prepare" / "requests.parquet").of("test")
    histories = Histories.open(folder / "prepare" / "histories")
    searched = [
        user for user in np.unique(requests.user).tolist() if (histories.query[_span(histories, user)] >= 0).any()
    ]
    ids = pq.read_table(folder / "ingest" / "user_ids.parquet").sort_by("code")["id"].to_pylist()
    return folder, searched[len(searched) // 2], ids


def _span(histories, user):
    return slice(int(histories.offsets[user]), int(histories.offsets[user + 1]))


def _state(folder):
    """What every other user has: events by user, requests with their events and lists, vectors."""
    histories = Histories.open(folder / "prepare" / "histories")
    requests = Requests.read(folder / "prepare" / "requests.parquet")
    events = {
        user: [getattr(histories, name)[_span(histories, user)].tolist() for name in ("item", "time", "query")]
        for user in range(histories.users)
    }
    visible = {
        int(key): histories.events(int(user), int(end)).time.tolist()
        for key, user, end in zip(requests.request_id, requests.user, requests.history_end, strict=True)
    }
    vectors = {}
    for window in ("ranker", "validation", "test"):
        asked = requests.of(window)
        rows = np.load(folder / "embed" / f"users_{window}.npy")
        vectors |= {int(key): row.tolist() for key, row in zip(asked.request_id, rows, strict=True)}
    lists = pq.read_table(folder / "rank" / "test.parquet").to_pylist()
    cuts = np.load(folder / "prepare" / "cuts.npz")
    before = {user: int(cuts["test"][user] - histories.offsets[user]) for user in range(histories.users)}
    return {"events": events, "visible": visible, "vectors": vectors, "lists": lists, "before": before}, requests


def test_a_user_goes_and_everything_of_the_others_stays(run):
    folder, user, ids = run
    before, requests = _state(folder)
    own = set(requests.request_id[requests.user == user].tolist())
    assert own
    said = forget_user(folder, ids[user])
    after, left = _state(folder)
    assert after["events"].pop(user) == [[], [], []]
    before["events"].pop(user)
    assert after["events"] == before["events"]
    assert not (left.user == user).any()
    for name in ("visible", "vectors"):
        assert after[name] == {key: value for key, value in before[name].items() if key not in own}
    assert after["lists"] == [row for row in before["lists"] if row["request_id"] not in own]
    assert after["before"] == {**before["before"], user: 0}
    assert any(line.startswith("still: trained weights") for line in said)


def test_no_file_of_the_run_has_the_id_or_a_row_of_the_user(run):
    folder, user, ids = run
    forget_user(folder, ids[user])
    assert ids[user] not in pq.read_table(folder / "ingest" / "user_ids.parquet")["id"].to_pylist()
    assert ids[user] not in pq.read_table(folder / "ingest" / "users.parquet")["user_id"].to_pylist()
    events = pq.read_table(folder / "ingest" / "events.parquet")["user"].to_numpy()
    assert user not in events
    with (folder / "evaluate" / "requests.csv").open() as file:
        assert hashed(KEY, ids[user]) not in {row["user_id"] for row in csv.DictReader(file)}
    for path in folder.rglob("*"):
        if path.is_file() and path.suffix in (".json", ".txt", ".csv", ".html"):
            assert ids[user] not in path.read_text(encoding="utf-8", errors="replace"), path


def test_the_users_of_the_next_bundle_are_the_others_and_the_record_says_so(run, tiny_run, tmp_path):
    folder, user, ids = run
    forget_user(folder, ids[user])
    source = BundleSource.open(RunFolder(folder), tiny_run[0].config)
    features = UserFeatures.open(source.prepared / "users_features")
    write_users(tmp_path / "users", source.user_ids, KEY, source.histories, features)
    digests = {row.tobytes() for row in np.load(tmp_path / "users" / "digests.npy")}
    assert digests == {digest(KEY, other) for other in ids if other != ids[user]}
    assert check_bundle(folder, digests, "b1") == ["none of 1 forgotten users is in bundle b1"]
    (record,) = records(folder).values()
    assert record["bundles"] == [{"bundle": "b1", "has_user": False}]
    with pytest.raises(InputError, match="holds the user of"):
        check_bundle(folder, digests | {digest(KEY, ids[user])}, "b2")


@pytest.mark.slow
def test_the_record_counts_before_and_after_and_the_next_bundle_is_checked(run, tiny_run):
    folder, user, ids = run
    said = forget_user(folder, ids[user])
    ((path, record),) = records(folder).items()
    assert str(path) in said[-1]
    assert record["user"] == hashed(KEY, ids[user])
    assert record["checks"]["events of users without an id"] == 0
    changes = {change["file"]: change for change in record["changes"]}
    assert changes["ingest/users.parquet"]["before"] - changes["ingest/users.parquet"]["after"] == 1
    assert changes["prepare/histories/item.npy"]["before"] > changes["prepare/histories/item.npy"]["after"]
    assert {"evaluate", "rank", "retrieve", "embed", "prepare", "ingest"} <= {file.split("/")[0] for file in changes}
    overrides = [text for text in tiny_run[0].overrides if not text.startswith("run.folder")]
    lines: list[str] = []
    run_stages(load_config("configs/bazaar.yaml", [*overrides, f"run.folder={folder}"]), ("export",), lines.append)
    assert any("none of 1 forgotten users is in bundle" in line for line in lines)
    digests = {row.tobytes().hex() for row in np.load(folder / "bundle" / "users" / "digests.npy")}
    assert record["user"] not in digests
    assert len(digests) == sum(map(bool, ids)) - 1
    assert records(folder)[path]["bundles"] == [{"bundle": bundle_id(folder / "bundle"), "has_user": False}]


def test_a_new_reading_of_the_log_leaves_the_user_out_under_the_same_codes(run, tiny_run):
    folder, user, ids = run
    forget_user(folder, ids[user])
    before = pq.read_table(folder / "ingest" / "events.parquet").to_pydict()
    (folder / "ingest" / "manifest.json").write_text(
        (folder / "ingest" / "manifest.json").read_text().replace('"key": "', '"key": "another ')
    )
    overrides = [text for text in tiny_run[0].overrides if not text.startswith("run.folder")]
    lines: list[str] = []
    run_stages(load_config("configs/bazaar.yaml", [*overrides, f"run.folder={folder}"]), ("ingest",), lines.append)
    assert any("1 users of the log were forgotten" in line for line in lines)
    assert pq.read_table(folder / "ingest" / "events.parquet").to_pydict() == before
    again = pq.read_table(folder / "ingest" / "user_ids.parquet").sort_by("code")["id"].to_pylist()
    assert again == [*ids[:user], "", *ids[user + 1 :]]


@pytest.mark.parametrize("broken", ["rank", "embed", "prepare", "ingest"])
def test_a_removal_that_was_cut_off_is_ended_by_another_call(run, monkeypatch, broken):
    folder, user, ids = run
    replace = pipeline.removal.replace_folder

    def cut_off(temporary, final):
        if final.name == broken:
            raise KeyboardInterrupt
        replace(temporary, final)

    monkeypatch.setattr("pipeline.removal.replace_folder", cut_off)
    with pytest.raises(KeyboardInterrupt):
        forget_user(folder, ids[user])
    monkeypatch.undo()
    monkeypatch.setenv("MERCATO_HASH_KEY", KEY.decode())
    with pytest.raises(InputError, match="was cut off; run `mercato forget"):
        refuse_unfinished(folder)
    result = CliRunner().invoke(forget, [str(folder)], catch_exceptions=False)
    ((_, record),) = records(folder).items()
    assert record["finished"]
    files = [change["file"] for change in record["changes"]]
    assert len(files) == len(set(files))
    assert {"evaluate", "rank", "embed", "prepare", "ingest"} <= {file.split("/")[0] for file in files}
    assert record["checks"]["users with the id"] == 0
    assert "record: " in result.output
    for stage in ("rank", "embed", "prepare", "ingest"):
        assert RunFolder(folder).manifest(stage) is not None


def test_wrong_calls_are_refused_and_known_ones_said(run):
    folder, user, ids = run
    with pytest.raises(InputError, match="user nobody is not among the"):
        forget_user(folder, "nobody")
    with pytest.raises(InputError, match="was cut off; name a user"):
        forget_user(folder, "")
    assert not (folder / LIST).exists()
    forget_user(folder, ids[user])
    assert "was forgotten before" in forget_user(folder, ids[user])[0]
    forget_user(folder, "nobody", absent=True)
    known = listed(folder, "MERCATO_HASH_KEY")
    assert [known.has(one) for one in ("nobody", ids[user], ids[user - 1])] == [True, True, False]


def test_without_the_key_the_list_is_not_ignored(tmp_path, monkeypatch):
    forget_user(tmp_path, "somebody", absent=True)
    monkeypatch.delenv("MERCATO_HASH_KEY")
    with pytest.raises(InputError, match="1 users to be kept out"):
        listed(tmp_path, "MERCATO_HASH_KEY")


def test_the_record_is_whole_json(run):
    folder, user, ids = run
    forget_user(folder, ids[user])
    (path,) = records(folder)
    assert json.loads(path.read_text())["bundles"] == []


def test_a_users_lessons_go_and_those_of_later_users_move_up(tmp_path):
    items, scores = np.array([[1, 2], [3, 4], [5, -1]], np.int32), np.ones((3, 2), np.float32)
    Lessons(np.array([3, 12, 25]), items, scores).write(tmp_path / "lessons.parquet")
    target = pipeline.removal.Target(1, 10, 20, None)
    (change,) = pipeline.removal._train_towers(tmp_path, target)
    assert (change.file, change.what, change.before, change.after) == ("lessons.parquet", "items of lessons", 5, 3)
    left = Lessons.read(tmp_path / "lessons.parquet")
    assert left.position.tolist() == [3, 15]
    assert left.items.tolist() == [[1, 2], [5, -1]]
