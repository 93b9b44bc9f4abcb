import shutil

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from serving.requests import Event, Request
from serving.rights import BLOCKED, OPT_OUT, ListFile, block, digests_text, opt_out
from serving.rights_commands import block as block_command
from serving.rights_commands import opt_out as opt_out_command
from serving.runtime import Runtime
from serving.user_keys import UserKeyError, digest

KEY = b"key-of-the-tests"
DAY = 86_400 * 1_000_000
MANY = settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def shop(exported, tmp_path_factory):
    """A folder with a bundle, and the ids of its users; lists are put beside the bundle."""
    import pyarrow.parquet as pq

    folder = tmp_path_factory.mktemp("rights")
    run = exported[0]
    shutil.copytree(run.folder / "bundle", folder / "bundle")
    users = pq.read_table(run.folder / "ingest" / "users.parquet")["user_id"].to_pylist()
    return folder, users


@pytest.fixture
def runtime(shop):
    folder, _ = shop
    yield Runtime(folder / "bundle", check=False)
    for name in (BLOCKED, OPT_OUT):
        (folder / name).unlink(missing_ok=True)


def people(data, runtime, users):
    """Draw somebody: known, unknown, or with events and a profile of their own."""
    kind = data.draw(st.sampled_from(["known", "unknown", "events"]))
    if kind == "known":
        return {"user": data.draw(st.sampled_from(users))}
    if kind == "unknown":
        return {"user": data.draw(st.text("abc", min_size=1, max_size=5))}
    items = data.draw(st.lists(st.integers(0, runtime.items - 1), max_size=4))
    events = [Event("view", (50 + place) * DAY, runtime.item_id(item)) for place, item in enumerate(items)]
    return {"user": "somebody", "events": tuple(events), "profile": {"age_band": "25-34", "household_size": 4}}


def asked(data):
    query = data.draw(st.sampled_from(["", "red shoes", "杯子"]))
    return {"query": query, "k": 6, "filter_seen": data.draw(st.sampled_from([None, True, False]))}


@given(st.data())
@MANY
def test_without_personalisation_any_two_users_get_the_same_answer(runtime, shop, data):
    request = {**asked(data), "personalise": False}
    one, other = (runtime.answer(Request(**people(data, runtime, shop[1]), **request)) for _ in range(2))
    assert one == other
    assert not one.user_known
    assert one.notes[0].startswith("answered without history and profile")


@given(st.data())
@MANY
def test_who_opted_out_is_answered_as_without_personalisation(runtime, shop, data):
    folder, users = shop
    person, request = people(data, runtime, users), asked(data)
    opt_out(folder / "bundle", person["user"], KEY)
    silent = runtime.answer(Request(**request, personalise=False))
    assert runtime.answer(Request(**person, **request)) == silent


def test_personalisation_is_what_makes_the_difference(runtime, shop):
    answers = {tuple(item.item_id for item in runtime.recommend(user, k=6).items) for user in shop[1][:8]}
    assert len(answers) > 1


@given(st.data())
@MANY
def test_a_blocked_item_comes_from_no_source(runtime, shop, data):
    folder, users = shop
    blocked = data.draw(st.sets(st.integers(0, runtime.items - 1), min_size=1, max_size=40))
    (folder / BLOCKED).write_text("\n".join(runtime.item_id(item) for item in blocked))
    trace = runtime.trace(Request(**people(data, runtime, users), **{**asked(data), "k": runtime.items}))
    assert not blocked & set(trace.found.items.ravel().tolist())
    assert len(trace.items)


def test_a_list_counts_from_the_next_request_on_and_back(runtime, shop):
    folder, users = shop
    first = runtime.recommend(users[0], k=3).items[0].item_id
    block(folder / "bundle", first)
    assert first not in [item.item_id for item in runtime.recommend(users[0], k=90).items]
    block(folder / "bundle", first, undo=True)
    assert runtime.recommend(users[0], k=3).items[0].item_id == first


def test_a_list_carried_in_the_bundle_holds_too(shop, tmp_path):
    folder, users = shop
    shutil.copytree(folder / "bundle", tmp_path / "bundle")
    (tmp_path / "bundle" / OPT_OUT).write_text(digests_text({digest(KEY, users[0])}, KEY))
    runtime = Runtime(tmp_path / "bundle", check=False)
    assert not runtime.recommend(users[0]).user_known
    assert runtime.recommend(users[1]).user_known


def test_without_the_key_nobody_is_profiled_where_there_is_a_list(runtime, shop, monkeypatch):
    folder, users = shop
    opt_out(folder / "bundle", users[0], KEY)
    monkeypatch.delenv("MERCATO_HASH_KEY")
    blind = Runtime(folder / "bundle", check=False)
    with pytest.raises(UserKeyError, match="there is no key to see whether user"):
        blind.recommend("somebody", events=[], profile={})
    assert blind.recommend("somebody", personalise=False).items
    assert blind.recommend(events=[]).items  # nobody is named
    with pytest.raises(UserKeyError, match="whom it names cannot be told"):
        Runtime(folder / "bundle", check=False, key=b"another key, as long").recommend("x", events=[], profile={})


def test_golden_requests_know_nothing_of_the_lists(shop):
    from serving.verify import verify

    folder, users = shop
    before = verify(folder / "bundle").golden
    opt_out(folder / "bundle", users[0], KEY)
    runtime = Runtime(folder / "bundle", check=False)
    for item in range(0, runtime.items, 2):
        block(folder / "bundle", runtime.item_id(item))
    assert verify(folder / "bundle").golden == before
    for name in (BLOCKED, OPT_OUT):
        (folder / name).unlink()


def test_a_line_that_is_no_hash_is_refused(runtime, shop):
    folder, users = shop
    opt_out(folder / "bundle", users[0], KEY)
    with (folder / OPT_OUT).open("a") as file:
        file.write("u17\n")
    with pytest.raises(Exception, match="'u17', but a hash of 64 hex digits"):
        runtime.recommend(users[1])


def test_the_verbs_list_and_take_off_again(runtime, shop):
    folder, users = shop
    bundle, call = str(folder / "bundle"), CliRunner().invoke
    said = call(opt_out_command, [bundle, "--user", users[0]], catch_exceptions=False).output
    assert "listed; counts from the next request on" in said
    assert users[0] not in (folder / OPT_OUT).read_text()
    assert "nothing changed" in call(opt_out_command, [bundle, "--user", users[0]]).output
    assert "taken off" in call(opt_out_command, [bundle, "--user", users[0], "--undo"]).output
    assert runtime.recommend(users[0]).user_known
    item = runtime.item_id(5)
    assert "listed" in call(block_command, [bundle, "--item", item]).output
    assert ListFile(folder / BLOCKED).lines() == (item,)
    assert "has no item nothing" in str(call(block_command, [bundle, "--item", "nothing"]).exception)


def test_of_a_sensitive_item_no_reason_is_given(shop, tmp_path):
    folder, users = shop
    shutil.copytree(folder / "bundle", tmp_path / "bundle")
    items = Runtime(folder / "bundle", check=False).items
    mask = np.arange(items) % 2 == 0
    np.save(tmp_path / "bundle" / "sensitive_items.npy", mask)
    runtime = Runtime(tmp_path / "bundle", check=False)
    answer = runtime.recommend(users[0], k=20)
    for item in answer.items:
        assert bool(item.reasons) != mask[runtime.contents.item_ids.code(item.item_id)]
    context = runtime.trace(Request(users[0])).context
    plain = Runtime(folder / "bundle", check=False).trace(Request(users[0])).context
    assert context != plain
