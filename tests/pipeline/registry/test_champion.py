import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from configs.errors import InputError
from pipeline.cli import commands
from pipeline.registry.champion import Champion
from pipeline.registry.commands import history_lines
from pipeline.registry.history import CHAMPION
from pipeline.registry.tracking import open_tracking
from tests.pipeline.registry.versions import MODEL, evidence, register


@pytest.fixture
def champion(uri):
    return Champion(uri, MODEL)


def alias(uri):
    return str(open_tracking(uri, make=False).get_registered_model(MODEL).aliases.get(CHAMPION))


def test_the_first_champion_needs_no_comparison_and_the_history_says_so(champion, uri):
    assert "the first champion, with which nothing was compared" in champion.promote("1")
    assert alias(uri) == "1"
    (reign,) = champion.history().reigns
    assert (reign.version, reign.until, reign.change.source) == ("1", None, "")


def test_a_promotion_is_a_run_with_from_to_metrics_and_gate(champion, uri, tmp_path):
    champion.promote("1")
    champion.promote()
    change = champion.history().changes[-1]
    assert (change.kind, change.source, change.target, change.status) == ("promote", "1", "3", "FINISHED")
    assert change.metrics["all requests/ndcg_at_10/candidate"] == pytest.approx(0.6)
    assert change.metrics["user: new/ndcg_at_10/difference/low"] == pytest.approx(0.1)
    gate = json.loads(Path(open_tracking(uri, make=False).download_artifacts(change.run_id, "gate.json")).read_text())
    assert gate["passed"]
    assert len(gate["parts"]) == 2
    first, second = champion.history().reigns
    assert first.until == change.ended
    assert second.until is None


def test_a_worse_candidate_is_refused_recorded_and_forced_with_a_reason(champion, uri):
    champion.promote("3")
    with pytest.raises(InputError, match=r"version 1 of shop is not promoted: ndcg@10 of all requests: worse"):
        champion.promote("1")
    assert alias(uri) == "3"
    refused = champion.history().changes[-1]
    assert refused.status == "FAILED"
    assert refused.tags["verdict"].startswith("refused: ")
    assert "forced (3 shows banned items)" in champion.promote("1", force="3 shows banned items")
    assert alias(uri) == "1"
    assert [reign.version for reign in champion.history().reigns] == ["3", "1"]


def test_each_rollback_takes_back_one_promotion_and_passes_over_the_retired(champion, uri):
    for version in ("1", "2", "3"):
        champion.promote(version)
    champion.retire("2", "sold out")
    assert champion.rollback("complaints").startswith("shop: version 1 is champion again after version 3")
    with pytest.raises(InputError, match="no champion of shop before version 1"):
        champion.rollback("more complaints")
    with pytest.raises(InputError, match=r"version 2 of shop is retired \(sold out\)"):
        champion.promote("2")
    assert [reign.version for reign in champion.history().reigns] == ["1", "2", "3", "1"]


def test_the_champion_cannot_be_retired(champion):
    champion.promote("1")
    with pytest.raises(InputError, match="version 1 of shop is the champion; promote another or roll back"):
        champion.retire("1", "old")


def test_a_version_without_evidence_is_refused(champion, uri):
    champion.promote("1")
    register(uri, None)
    with pytest.raises(InputError, match="version 4 was registered without evidence; register it again"):
        champion.promote()


def test_an_alias_moved_by_hand_is_told(champion, uri):
    champion.promote("1")
    open_tracking(uri, make=False).set_registered_model_alias(MODEL, CHAMPION, "3")
    assert "moved by other means" in history_lines(champion.history(), everything=False)[-1]
    champion.promote("2", force="back to order")
    assert champion.history().agrees


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["promote"], "name the model by a CONFIG, or by --uri and --model; neither came"),
        (["promote", "--model", "shop"], "only one of --uri and --model came"),
        (["promote", "configs/bazaar.yaml", "--model", "shop"], "both came"),
        (["history", "--uri", "runs", "--model", "shop"], "a folder, but MLflow no longer keeps"),
        (["history", "--uri", "sqlite:////nowhere/mlflow.db", "--model", "shop"], "no database /nowhere/mlflow.db"),
        (["history", "--uri", "URI", "--model", "shpo"], "no registered model 'shpo' here; did you mean shop?"),
        (["rollback", "--uri", "URI", "--model", "shop", "--reason", "x"], "has no champion to roll back from"),
        (["promote", "--uri", "URI", "--model", "shop", "--version", "9"], "no version 9 of shop; it has 1, 2, 3"),
        (["promote", "--uri", "URI", "--model", "shop", "--version", "v9"], "--version v9 is no version"),
    ],
)
def test_wrong_input_is_one_sentence(uri, arguments, told):
    done = CliRunner().invoke(commands, [uri if word == "URI" else word for word in arguments])
    assert isinstance(done.exception, InputError)
    assert told in str(done.exception)
    assert "\n" not in str(done.exception)


def test_history_shows_refusals_when_asked(uri):
    named = ["--uri", uri, "--model", MODEL]
    run = CliRunner()
    assert "has had no champion yet" in run.invoke(commands, ["history", *named]).output
    run.invoke(commands, ["promote", *named])
    run.invoke(commands, ["promote", *named, "--version", "1"])
    assert "refused" not in run.invoke(commands, ["history", *named]).output
    assert "refused" in run.invoke(commands, ["history", *named, "--all"]).output


def test_another_window_is_refused(champion, uri):
    champion.promote("1")
    register(uri, evidence(0.9, window={"from": "2026-02-01", "until": "2026-02-08"}))
    with pytest.raises(InputError, match="cannot be compared: window"):
        champion.promote()
