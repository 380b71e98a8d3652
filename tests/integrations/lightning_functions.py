"""Training functions on Lightning's Trainer."""

import logging

import torch
from lightning.pytorch import LightningModule, Trainer
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from search.integrations.lightning import LanewiseCallback

logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
QUIET = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False, "accelerator": "cpu"}


def examples():
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(64, 3, generator=draw)
    return TensorDataset(x, (x[:, :1] > 0).float())


class Module(LightningModule):
    def __init__(self, learning_rate=0.1):
        super().__init__()
        self.save_hyperparameters()
        self.net = nn.Sequential(nn.Linear(3, 8), nn.Dropout(0.3), nn.Linear(8, 1))

    def training_step(self, batch, index):
        x, y = batch
        loss = nn.functional.binary_cross_entropy_with_logits(self.net(x), y)
        self.log("train/loss", loss, on_epoch=True, on_step=False)
        return loss

    def validation_step(self, batch, index):
        x, y = batch
        self.log("val_loss", nn.functional.binary_cross_entropy_with_logits(self.net(x), y))

    def train_dataloader(self):
        parts = torch.utils.data.random_split(examples(), [48, 16])  # draws, where a resume makes them once more
        return DataLoader(parts[0], batch_size=16, shuffle=True)

    def val_dataloader(self):
        return DataLoader(examples(), batch_size=32)

    def configure_optimizers(self):
        optimizer = torch.optim.SGD(self.parameters(), lr=self.hparams.learning_rate, momentum=0.9)
        return [optimizer], [torch.optim.lr_scheduler.StepLR(optimizer, 2, gamma=0.5)]


def train(trial):
    callback = LanewiseCallback(trial)
    trainer = Trainer(max_epochs=trial.max_epochs, callbacks=[callback], **QUIET)
    trainer.fit(Module(trial.params.get("learning_rate", 0.1)), ckpt_path=callback.ckpt_path)
    trial.note(f"behind fit at epoch {trainer.current_epoch}")


class OnPlateau(Module):
    def configure_optimizers(self):
        optimizer = torch.optim.SGD(self.parameters(), lr=self.hparams.learning_rate)
        schedule = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "monitor": "val_loss"}}


def train_on_plateau(trial):
    callback = LanewiseCallback(trial)
    trainer = Trainer(max_epochs=trial.max_epochs, callbacks=[callback], **QUIET)
    trainer.fit(OnPlateau(), ckpt_path=callback.ckpt_path)


def train_longer(trial):
    trainer = Trainer(max_epochs=trial.max_epochs + 5, callbacks=[LanewiseCallback(trial)], **QUIET)
    trainer.fit(Module())
    trial.note(f"behind fit at epoch {trainer.current_epoch}")


def train_some(trial):
    callback = LanewiseCallback(trial, metrics={"val_loss": "val_loss", "fit": "train/loss"})
    Trainer(max_epochs=trial.max_epochs, callbacks=[callback], **QUIET).fit(Module())


def train_misnamed(trial):
    callback = LanewiseCallback(trial, metrics=["val_los"])
    Trainer(max_epochs=trial.max_epochs, callbacks=[callback], **QUIET).fit(Module())
