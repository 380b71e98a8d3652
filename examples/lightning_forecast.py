"""The next value of a noisy wave, by an LSTM in Lightning: ``python lightning_forecast_plain.py``."""

import torch
from lightning.pytorch import LightningModule, Trainer
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from search.integrations.lightning import LanewiseCallback

QUIET = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}


def make_waves(size, seed):
    """Return waves of 21 values each, of any frequency and phase: 20 to see and one to tell."""
    draw = torch.Generator().manual_seed(seed)
    frequency, phase = torch.rand(2, size, 1, generator=draw)
    waves = torch.sin((0.3 + frequency) * torch.arange(21) + 6 * phase)
    waves += 0.05 * torch.randn(size, 21, generator=draw)
    return TensorDataset(waves[:, :20, None], waves[:, 20:])


class Forecaster(LightningModule):
    """Reads a wave and tells its next value."""

    def __init__(self, width, dropout, learning_rate):
        super().__init__()
        self.save_hyperparameters()
        self.lstm = nn.LSTM(1, width, batch_first=True)
        self.head = nn.Sequential(nn.Dropout(dropout), nn.Linear(width, 1))

    def loss_of(self, batch):
        """Return the mean squared error of a batch, values [B, 20, 1] and targets [B, 1]."""
        values, targets = batch
        return nn.functional.mse_loss(self.head(self.lstm(values)[1][0][-1]), targets)

    def training_step(self, batch, index):
        """Return the loss of a batch."""
        return self.loss_of(batch)

    def validation_step(self, batch, index):
        """Log the loss of a batch."""
        self.log("val_loss", self.loss_of(batch))

    def configure_optimizers(self):
        """Return AdamW, whose rate falls every second epoch."""
        optimizer = torch.optim.AdamW(self.parameters(), lr=self.hparams.learning_rate)
        return [optimizer], [torch.optim.lr_scheduler.StepLR(optimizer, 2, gamma=0.5)]


def train(trial):
    """Train the forecaster."""
    params = trial.params
    callback = LanewiseCallback(trial)
    model = Forecaster(params["width"], params["dropout"], params["learning_rate"])
    training = DataLoader(make_waves(256, 1), batch_size=32, shuffle=True)
    validation = DataLoader(make_waves(128, 2), batch_size=128)
    trainer = Trainer(max_epochs=trial.max_epochs, callbacks=[callback], **QUIET)
    trainer.fit(model, training, validation, ckpt_path=callback.ckpt_path)
