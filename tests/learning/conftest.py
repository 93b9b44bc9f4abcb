from dataclasses import replace

import pytest

from configs.schema import TextConfig
from learning.shop_encoder import train_shop_encoder

TITLES = [
    f"{brand} {thing} {colour}"
    for brand in ("Umbrio", "Lumora", "恒狐")
    for thing in ("running shoes", "desk lamp", "瑜伽垫", "积木玩具")
    for colour in ("red", "white", "藏青")
]


@pytest.fixture(scope="session")
def _trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shop") / "encoder"
    text = TextConfig(encoder="train", precision="fp32", max_tokens=24, train_dim=64, train_layers=1, train_steps=30)
    train_shop_encoder(TITLES, [("lamp", TITLES[3])], folder, text, seed=0)
    return folder, text


@pytest.fixture
def shop_encoder(_trained):
    """A tiny encoder trained on three dozen titles: (folder, titles, text settings, free to change)."""
    folder, text = _trained
    return folder, TITLES, replace(text)
