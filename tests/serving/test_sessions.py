"""What the intent head is told of a session while serving is what it was told offline."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest

from commerce.columns import MICROSECONDS
from commerce.histories import Histories
from commerce.intent_moments import moments_within
from commerce.session_statistics import STATISTICS
from serving.leaves import grow_leaves
from serving.manifest import BundleError, read_manifest, seal
from serving.requests import Request
from serving.runtime import Runtime


@pytest.fixture(scope="module")
def within(exported):
    """Moments in the midst of the test window's sessions, and the folder of ``prepare``."""
    prepared = exported[0].folder / "prepare"
    histories = Histories.open(prepared / "histories")
    begin = np.load(prepared / "cuts.npz")["test"]
    moments = moments_within(histories, begin, histories.offsets[1:], np.load(prepared / "position_intents.npy"))
    return moments.drawn(12, seed=0), histories, prepared


def test_in_the_midst_of_a_session_the_intents_are_those_of_the_trained_head(exported, within):
    from pipeline.intents import read_moments
    from pipeline.session_files import read_sessions
    from towers.embed import embed_intents
    from towers.module import TwoTower

    moments, histories, prepared = within
    run = exported[0].folder
    module = TwoTower.load_from_checkpoint(run / "train-towers" / "model.ckpt", map_location="cpu").eval()
    module.attach(_catalogue(exported[0]))
    items = np.load(run / "embed" / "item_vectors.npy")
    states, statistics = read_moments(module, items, histories, read_sessions(prepared), moments)
    expected = embed_intents(module, states.numpy(), statistics.numpy())
    assert (statistics[:, 0] > 0).all()  # sessions are going on
    users = pq.read_table(run / "ingest" / "users.parquet")["user_id"].to_pylist()
    runtime = Runtime(run / "bundle")
    for row, user in enumerate(moments.user):
        trace = runtime.trace(Request(users[user], time=int(moments.time[row])), rerank=False)
        np.testing.assert_allclose(trace.intents, expected[row], atol=1e-4)


def test_a_pause_ends_a_session_in_serving_too(exported, within):
    moments, _, _ = within
    run = exported[0].folder
    users = pq.read_table(run / "ingest" / "users.parquet")["user_id"].to_pylist()
    runtime, user = Runtime(run / "bundle"), users[moments.user[0]]
    time, pause = int(moments.time[0]), read_manifest(run / "bundle")["settings"]["session_statistics"]["pause"]
    assert pause == 30 * 60 * MICROSECONDS
    going_on, later = (
        runtime.trace(Request(user, time=moment), rerank=False) for moment in (time, time + pause + MICROSECONDS)
    )
    assert np.abs(going_on.intents - later.intents).max() > 1e-3
    assert len(going_on.visible.events) <= len(later.visible.events)


def test_a_bundle_whose_head_reads_other_numbers_is_refused(bundle):
    facts = {name: value for name, value in read_manifest(bundle).items() if name not in ("format", "files")}
    facts["settings"]["session_statistics"]["names"][0] = "moon phase"
    seal(bundle, facts)
    with pytest.raises(BundleError, match=rf"reads {len(STATISTICS)} numbers about a session, and not all are"):
        Runtime(bundle).recommend("u000003")


def test_a_bundle_from_before_tells_its_head_nothing(bundle):
    facts = {name: value for name, value in read_manifest(bundle).items() if name not in ("format", "files")}
    del facts["settings"]["session_statistics"]
    (bundle / "leaf.npy").unlink()
    (bundle / "leaves.json").unlink()
    seal(bundle, facts)

    class Models:
        told = None

        def encode(self, texts):
            raise AssertionError

        def users(self, inputs):
            self.told = inputs.statistics
            return np.full((1, 16), 0.25, np.float32), np.full((1, 3), 1 / 3, np.float32)

    models = Models()
    Runtime(bundle, models=models).trace(Request("u000003"), rerank=False)
    assert models.told.shape == (1, 0)  # a graph from then does not read them
    grow_leaves(bundle, ["lamp"])
    assert not (bundle / "leaf.npy").exists()


def test_new_items_bring_their_categories(bundle):
    names = json.loads((bundle / "leaves.json").read_text(encoding="utf-8"))
    leaf = np.load(bundle / "leaf.npy")
    grow_leaves(bundle, [names[2], "", "zeppelin", "zeppelin"])
    grown = np.load(bundle / "leaf.npy")
    assert grown[: len(leaf)].tolist() == leaf.tolist()
    assert grown[len(leaf) :].tolist() == [2, -1, len(names), len(names)]
    assert json.loads((bundle / "leaves.json").read_text(encoding="utf-8")) == [*names, "zeppelin"]


def _catalogue(run):
    from pipeline.encoders import towers_encoder
    from pipeline.run_folder import RunFolder
    from pipeline.tower_inputs import Prepared

    root, settings = RunFolder(run.folder), run.config.towers
    prepared = Prepared.open(root.stage("prepare"))
    encoder = towers_encoder(root, run.config.text)
    return prepared.catalogue(encoder, run.config.text, settings.id_min_events, settings.popularity)
