"""A function trainable as Ray Tune's guide for PyTorch writes it, with checkpoints; a small network on made data."""

import os
import tempfile

import torch
import torch.nn as nn
from ray import tune
from ray.tune import Checkpoint


class Net(nn.Module):
    def __init__(self, l1, l2, activation):
        super().__init__()
        self.fc1 = nn.Linear(8, l1)
        self.fc2 = nn.Linear(l1, l2)
        self.fc3 = nn.Linear(l2, 2)
        self.activation = activation()

    def forward(self, x):
        return self.fc3(self.activation(self.fc2(self.activation(self.fc1(x)))))


def load_data():
    x = torch.randn(512, 8, generator=torch.Generator().manual_seed(0))
    y = (x[:, 0] * x[:, 1] > 0).long()
    return (x[:384], y[:384]), (x[384:], y[384:])


def train(config):
    net = Net(config["model"]["l1"], config["model"]["l2"], config["activation"])
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(net.parameters(), lr=config["lr"], momentum=0.9)
    start_epoch = 0
    (x, y), (x_val, y_val) = load_data()

    # Load existing checkpoint through `get_checkpoint()` API.
    if tune.get_checkpoint():
        loaded_checkpoint = tune.get_checkpoint()
        with loaded_checkpoint.as_directory() as loaded_checkpoint_dir:
            path = os.path.join(loaded_checkpoint_dir, "checkpoint.pt")
            model_state, optimizer_state, start_epoch = torch.load(path)
            net.load_state_dict(model_state)
            optimizer.load_state_dict(optimizer_state)

    for epoch in range(start_epoch, config["epochs"]):
        for batch in torch.randperm(len(x)).split(config["batch_size"]):
            optimizer.zero_grad()
            criterion(net(x[batch]), y[batch]).backward()
            optimizer.step()
        with torch.no_grad():
            outputs = net(x_val)
            val_loss = criterion(outputs, y_val).item()
            accuracy = (outputs.argmax(1) == y_val).float().mean().item()

        # Save a checkpoint, which Ray Tune keeps, and report.
        with tempfile.TemporaryDirectory() as temp_checkpoint_dir:
            path = os.path.join(temp_checkpoint_dir, "checkpoint.pt")
            torch.save((net.state_dict(), optimizer.state_dict(), epoch + 1), path)
            checkpoint = Checkpoint.from_directory(temp_checkpoint_dir)
            tune.report({"loss": val_loss, "accuracy": accuracy, "epoch": epoch}, checkpoint=checkpoint)


search_space = {
    "model": {"l1": tune.choice([2**i for i in range(3, 6)]), "l2": tune.randint(4, 33)},
    "activation": tune.choice([nn.ReLU, nn.Tanh]),
    "lr": tune.loguniform(1e-4, 1e-1),
    "batch_size": tune.choice([32, 64]),
    "epochs": 5,
}

if __name__ == "__main__":
    tune_config = tune.TuneConfig(metric="loss", mode="min", num_samples=10)
    tuner = tune.Tuner(train, tune_config=tune_config, param_space=search_space)
    results = tuner.fit()
    print(results.get_best_result().config)
