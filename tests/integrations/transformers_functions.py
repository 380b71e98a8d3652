"""Training functions on Hugging Face's Trainer."""

import torch
from torch import nn
from transformers import Trainer, TrainingArguments

from search.integrations.transformers import LanewiseCallback


class Examples(torch.utils.data.Dataset):
    def __init__(self, size, seed):
        self.x = torch.randn(size, 3, generator=torch.Generator().manual_seed(seed))

    def __len__(self):
        return len(self.x)

    def __getitem__(self, index):
        return {"x": self.x[index], "labels": (self.x[index, :1] > 0).float()}


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(3, 8), nn.Dropout(0.3), nn.Linear(8, 1))

    def forward(self, x, labels=None):
        logits = self.net(x)
        return {"loss": nn.functional.binary_cross_entropy_with_logits(logits, labels), "logits": logits}


def trainer_of(trial, *, callbacks, **arguments):
    given = {
        "num_train_epochs": trial.max_epochs,
        "per_device_train_batch_size": 16,
        "eval_strategy": "epoch",
        "save_strategy": "no",
        "learning_rate": 0.05,
        "seed": trial.seed % 2**32,
        "use_cpu": True,
        "disable_tqdm": True,
        "report_to": "none",
        "dataloader_pin_memory": False,
    }
    given = TrainingArguments(str(trial.folder / "trainer"), **{**given, **arguments})
    data = {"train_dataset": Examples(48, 0), "eval_dataset": Examples(32, 1)}
    return Trainer(Net(), given, callbacks=callbacks, **data)


def train(trial):
    callback = LanewiseCallback(trial)
    trainer = trainer_of(trial, callbacks=[callback])
    trainer.train(resume_from_checkpoint=callback.resume_from_checkpoint)
    trial.note(f"behind train at step {trainer.state.global_step}")


def train_saving(trial):
    callback = LanewiseCallback(trial, metrics={"val_loss": "eval_loss"})
    trainer = trainer_of(trial, callbacks=[callback], save_strategy="epoch", save_total_limit=2)
    trainer.train(resume_from_checkpoint=callback.resume_from_checkpoint)


def train_forgetting(trial):
    trainer_of(trial, callbacks=[LanewiseCallback(trial)]).train()


def train_longer(trial):
    trainer = trainer_of(trial, callbacks=[LanewiseCallback(trial)], num_train_epochs=trial.max_epochs + 5)
    trainer.train()
    trial.note(f"behind train at step {trainer.state.global_step}")


def train_saving_the_best(trial):
    arguments = {"save_strategy": "best", "metric_for_best_model": "eval_loss"}
    trainer_of(trial, callbacks=[LanewiseCallback(trial)], **arguments).train()
