import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from configs.schema import Config, DataConfig, EvaluateConfig
from pipeline.item_facts import read_item_facts
from pipeline.run_folder import RunFolder


@pytest.fixture
def run(tmp_path):
    """Three items whose sellers are numbers, 0 among them, and one without category."""
    run = RunFolder(tmp_path)
    for stage in ("ingest", "embed"):
        out = run.open_temporary(stage)
        if stage == "ingest":
            pq.write_table(
                pa.table({"category": ["tea > green", "", "pots"], "seller": [0, 7, None]}), out / "items.parquet"
            )
        else:
            np.save(out / "item_vectors.npy", np.eye(3, dtype=np.float32))
        run.commit(stage, out, {})
    return run


def test_groups_and_categories_are_codes_by_name(run):
    data = DataConfig(item_category="category", item_categorical=["seller"])
    config = Config(data=data, evaluate=EvaluateConfig(item_group="seller"))
    facts = read_item_facts(run, config, np.zeros(3, np.int64))
    assert facts.category.tolist() == [0, -1, 1]  # green, none, pots
    assert facts.group.tolist() == [0, 1, -1]  # a seller called 0 is a seller


def test_what_the_shop_does_not_tell_is_none(run):
    facts = read_item_facts(run, Config(), np.zeros(3, np.int64))
    assert (facts.category, facts.group) == (None, None)
