import json
import shutil

import numpy as np
import pytest
from click.testing import CliRunner

from configs.errors import InputError
from serving.commands import diff as command
from serving.diff import _nearest, diff
from serving.manifest import BundleError, read_manifest, seal
from serving.new_items import add_items


@pytest.fixture
def other(bundle, tmp_path):
    shutil.copytree(bundle, tmp_path / "other")
    return tmp_path / "other"


def test_a_copy_is_no_different(bundle, other):
    found = diff(bundle, other)
    assert (found.added, found.removed, found.changed, found.settings) == ((), (), {}, {})
    assert (found.drift.neighbours, found.drift.lowest) == (1.0, 1.0)
    assert found.drift.cosine == pytest.approx(1.0)
    assert (found.answers.items, found.answers.first) == (1.0, 1.0)
    assert all(one == two for one, two in found.metrics.values())
    assert found.metrics


def test_added_items_are_told_and_change_answers_little(bundle, other, tmp_path):
    (tmp_path / "new.csv").write_text("item_id,title\nn1,a red lamp\nn2,a blue lamp\n")
    add_items(other, tmp_path / "new.csv")
    found = diff(bundle, other)
    assert (found.added, found.removed) == (("n1", "n2"), ())
    assert found.drift.neighbours == 1.0  # among items of both
    assert 0.5 < found.answers.items <= 1.0
    assert diff(other, bundle).removed == ("n1", "n2")


def test_other_metrics_settings_and_fields_are_told(bundle, other):
    manifest = read_manifest(other)
    manifest["metrics"]["systems"]["mercato"]["ndcg@10"]["value"] = 0.2
    manifest["settings"]["repeats_others"] = 0.7
    lines = (other / "item_fields.jsonl").read_text().splitlines(keepends=True)
    row = json.loads(lines[0])
    lines[0] = json.dumps(row | {"price": 12345.0}, ensure_ascii=False) + "\n"
    (other / "item_fields.jsonl").write_text("".join(lines))
    np.save(other / "item_fields_offsets.npy", np.cumsum([0, *(len(line.encode()) for line in lines)]))
    seal(other, {name: value for name, value in manifest.items() if name not in ("format", "files")})
    found = diff(bundle, other)
    assert found.changed == {"price": 1}
    assert found.metrics["mercato ndcg@10"] == (0.1, 0.2)
    assert found.settings == {"repeats_others": (0.1, 0.7)}
    done = CliRunner().invoke(command, [str(bundle), str(other)])
    assert done.exit_code == 0, done.output
    for line in (
        "items: 0 added; 0 removed",
        "fields that differ: price of 1",
        "mercato ndcg@10: 0.1000 -> 0.2000 (+0.1000)",
        "setting repeats_others: 0.1 -> 0.7",
    ):
        assert line in done.output
    assert json.loads(CliRunner().invoke(command, [str(bundle), str(other), "--json"]).output)["changed"] == {
        "price": 1
    }


def test_neighbours_are_those_of_the_items_in_common(monkeypatch):
    monkeypatch.setattr("serving.diff._BLOCK", 2)
    monkeypatch.setattr("serving.diff.NEIGHBOURS", 2)
    vectors = np.array([[1, 0], [0.9, 0.1], [0, 1], [0.8, 0.2], [0.1, 0.9]], dtype=np.float32)
    codes = np.array([0, 2, 3, 4])  # the second is in one bundle only
    assert _nearest(vectors, codes, np.array([0, 1])).tolist() == [[2, 3], [3, 2]]


def test_one_bundle_twice_and_a_damaged_one_are_refused(bundle, other):
    with pytest.raises(InputError, match="given twice"):
        diff(bundle, bundle / ".." / bundle.name)
    (other / "prices.npy").write_bytes(b"")
    with pytest.raises(BundleError, match=r"prices.npy"):
        diff(bundle, other)
