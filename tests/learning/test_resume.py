import tracemalloc

import lightning as L
import pytest
import torch

from learning.resume import save_atomic


class _Large(L.LightningModule):
    def __init__(self):
        super().__init__()
        self.table = torch.nn.Parameter(torch.ones(5_000_000))  # 20 MB

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters())


@pytest.fixture
def trainer(tmp_path):
    trainer = L.Trainer(
        accelerator="cpu",
        devices=1,
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        enable_progress_bar=False,
        default_root_dir=tmp_path,
    )
    trainer.strategy.connect(_Large())
    return trainer


def test_a_checkpoint_is_written_without_being_laid_out_in_memory(trainer, tmp_path):
    tracemalloc.start()
    try:
        save_atomic(trainer, tmp_path / "last.ckpt", weights_only=True)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 2_000_000
    kept = torch.load(tmp_path / "last.ckpt", weights_only=False)["state_dict"]
    assert torch.equal(kept["table"], torch.ones(5_000_000))
    assert [path.name for path in tmp_path.iterdir()] == ["last.ckpt"]
