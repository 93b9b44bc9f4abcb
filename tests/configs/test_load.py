import re
from pathlib import Path

import pytest

from configs.load import ConfigError, as_yaml, load_config, shipped_configs


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "corner_shop.yaml"
    path.write_text("towers:\n  dim: 32\n")
    return path


def test_yaml_holds_only_what_differs(file):
    config = load_config(file)
    assert config.towers.dim == 32
    assert config.towers.heads == 4  # the schema's default


def test_a_run_is_named_after_its_file(file):
    config = load_config(file)
    assert config.run.name == "corner_shop"
    assert config.run.folder == "runs/corner_shop"
    assert config.tracking.model == "mercato-corner_shop"


def test_an_override_wins_over_the_file(file):
    assert load_config(file, ["towers.dim=64", "evaluate.at=[5,10]"]).towers.dim == 64


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("towers.dmi=64", "did you mean towers.dim"),
        ("tower.dim=64", "did you mean towers"),
        ("temperature=0.1", "did you mean towers.temperature"),
        ("towers.dim=wide", "towers.dim"),
        ("towers.dim", "no '='"),
        ("towers=3", "must hold settings"),
    ],
)
def test_a_wrong_override_says_what_to_do(file, override, said):
    with pytest.raises(ConfigError, match=said):
        load_config(file, [override])


def test_a_typo_in_the_file_names_the_nearest_key(tmp_path):
    path = tmp_path / "shop.yaml"
    path.write_text("retrieval:\n  candidate: 10\n")
    with pytest.raises(ConfigError, match=r"retrieval\.candidate; did you mean retrieval\.candidates"):
        load_config(path)


def test_a_missing_file_names_the_nearest_shipped_one(tmp_path):
    with pytest.raises(ConfigError, match=r"did you mean configs/bazaar\.yaml"):
        load_config(tmp_path / "bazar.yaml")


@pytest.mark.parametrize("path", sorted(shipped_configs().glob("*.yaml")), ids=lambda path: path.stem)
def test_every_shipped_config_loads_and_opens_with_its_command(path):
    config = load_config(path)
    assert config.run.name == path.stem
    assert path.read_text().startswith("#")
    verbs = ("run", "relevance")
    assert any(f"mercato {verb} configs/{path.name}" in path.read_text() for verb in verbs)


def test_what_is_printed_loads_again(file, tmp_path):
    config = load_config(file, ["prepare.targets={purchase: 1.0, cart: 0.5}"])
    again = tmp_path / "again.yaml"
    again.write_text(as_yaml(config))
    assert load_config(again) == config


def test_a_mapping_replaces_the_default_instead_of_joining_it(file):
    assert load_config(file, ["prepare.targets={view: 1.0}"]).prepare.targets == {"view": 1.0}


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("export.golden_requests=49", r"export\.golden_requests is 49, but at least 50 are needed"),
        ("prepare.split=random", r"prepare\.split must be time or leave_last_out, got 'random'"),
        (
            "prepare.requests=roling",
            r"prepare\.requests must be single or rolling, got 'roling'; did you mean rolling\?",
        ),
        ("towers.negatives=every", r"towers\.negatives must be pool or all, got 'every'"),
        ("towers.tuning=lara", r"towers\.tuning must be frozen, lora or full, got 'lara'; did you mean lora\?"),
        ("towers.id_updates=row", r"towers\.id_updates must be dense or rows, got 'row'; did you mean rows\?"),
        ("towers.text_dropout=1", r"towers\.text_dropout must be below 1, got 1"),
        (
            "towers.text_dropout=0.1",
            r"towers\.text_dropout is for .*, but towers\.tuning is frozen; set it to lora or full",
        ),
        ("text.adapt_mask_share=0", r"text\.adapt_mask_share must be above 0, got 0"),
        ("towers.lora_rank=0", r"towers\.lora_rank must be at least 1, got 0"),
        ("relevance.tower_whole_tokens=3", r"relevance\.tower_whole_tokens must be 0 or at least 8, got 3"),
        ("towers.heads=3", r"towers\.dim must be a multiple of towers\.heads, got 32 and 3"),
        ("towers.dropout=1.5", r"towers\.dropout is a share and must lie in \[0, 1\], got 1\.5"),
        ("towers.learning_rate=0", r"towers\.learning_rate must be above 0, got 0"),
        ("text.pooling=max", r"text\.pooling must be empty, mean, cls or last, got 'max'"),
        ("text.vectors=disc", r"text\.vectors must be memory or disk, got 'disc'; did you mean disk\?"),
        ("text.max_tokens=0", r"text\.max_tokens must be at least 1, got 0"),
        ("tracking.loggers=[mlflow,tensorbord]", r"got tensorbord; did you mean tensorboard\?"),
        ("retrieval.sources=[vectors,lexica]", r"retrieval\.sources must be some of vectors, .*got .*lexica"),
        ("evaluate.item_group=seller", r"evaluate\.item_group must be empty, got 'seller'"),
        ("data.time_unit=hours", r"data\.time_unit must be empty, s, ms or us, got 'hours'"),
        ("ranking.precision=fp16", r"ranking\.precision must be auto, fp32 or bf16, got 'fp16'"),
        ("evaluate.baselines=[popular]", r"evaluate\.baselines must be some of .*got popular; did you mean popularity"),
    ],
)
def test_a_value_that_no_stage_can_work_with_is_refused_on_loading(file, override, message):
    with pytest.raises(ConfigError, match=message):
        load_config(file, [override])


def test_a_way_of_asking_that_the_split_does_not_know_is_refused(file):
    with pytest.raises(ConfigError, match=r"rolling needs prepare\.split=time"):
        load_config(file, ["prepare.split=leave_last_out", "prepare.requests=rolling"])


def test_vectors_on_disk_cannot_be_trained_along(file):
    with pytest.raises(ConfigError, match=r"text\.vectors=disk .*, but towers\.tuning=lora changes them; set"):
        load_config(file, ["text.vectors=disk", "towers.tuning=lora"])


def test_features_for_segments_must_be_declared_ones():
    config = load_config("bazaar", ["evaluate.segments=[user:gender, item:category, item:price]"])
    assert config.evaluate.segments == ["user:gender", "item:category", "item:price"]
    with pytest.raises(
        ConfigError, match=r"evaluate.segments must be some of .*got user:gendr; did you mean user:gender"
    ):
        load_config("bazaar", ["evaluate.segments=[user:gendr]"])
    with pytest.raises(ConfigError, match="got gender; did you mean user:gender"):
        load_config("bazaar", ["evaluate.segments=[gender]"])


def test_groups_of_items_are_named_among_the_declared_features(file):
    declared = "data.item_categorical=[brand,seller]"
    assert load_config(file, [declared, "evaluate.item_group=seller"]).evaluate.item_group == "seller"
    with pytest.raises(ConfigError, match=r"must be empty, brand or seller, got 'sellr'; did you mean seller\?"):
        load_config(file, [declared, "evaluate.item_group=sellr"])


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("towers.strategy=dpp", "towers.strategy must be auto, ddp or ddp_find_unused_parameters_true, got 'dpp'"),
        ("towers.accelerator=gpus", "did you mean gpu"),
        ("towers.rounds=0", "towers.rounds must be at least 1, got 0"),
        ("towers.round_rate=0", "towers.round_rate must be above 0, got 0"),
        ("towers.popular_power=0", "towers.popular_power must be above 0, got 0"),
        ("towers.chunk_users=-1", "towers.chunk_users must be at least 0, got -1"),
    ],
)
def test_nonsense_about_negatives_and_ranks_is_refused(setting, said):
    with pytest.raises(ConfigError, match=re.escape(said)):
        load_config("bazaar", [setting])


def test_an_order_by_value_needs_probabilities_and_a_log(file):
    for overrides, said in (
        (["rank.value=profit"], "rank.value must be"),
        (["rank.value=bid", "rank.probabilities=false"], "set rank.probabilities=true"),
        (["rank.value=bid", "data.events=none", "data.items=items.csv"], "data.events is none"),
    ):
        with pytest.raises(ConfigError, match=said):
            load_config(file, overrides)
