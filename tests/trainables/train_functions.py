"""Training functions as users write them, well and badly."""

import contextlib
import os
import random
import resource
import time

import numpy as np
import torch
from torch import nn

from search import Trial


def train(trial: Trial) -> None:
    net = nn.Sequential(nn.Linear(2, 4), nn.Dropout(0.5), nn.Linear(4, 1)).to(trial.device)
    optimizer = torch.optim.AdamW(net.parameters(), lr=trial.params.get("learning_rate", 0.1))
    trial.keep(net=net, optimizer=optimizer)
    for _epoch in trial.epochs():
        x = torch.rand(16, 2) + np.random.rand() + random.random()
        loss = (net(x) - x.sum(1, keepdim=True)).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        trial.report(val_loss=loss)


def train_yielding(trial):
    net = nn.Linear(2, 1)
    optimizer = torch.optim.SGD(net.parameters(), lr=trial.params.get("learning_rate", 0.1))
    trial.keep(net=net, optimizer=optimizer)
    for _epoch in trial.epochs():
        loss = net(torch.rand(8, 2)).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        yield {"val_loss": loss}


def two_arguments(trial, data):
    trial.report(val_loss=len(data))


async def awaited(trial):
    trial.report(val_loss=0.0)


class Loop:
    def __init__(self, trial):
        trial.report(val_loss=0.0)


def never_reports(trial):
    pass


def skips_a_report(trial):
    for epoch in trial.epochs():
        if epoch != 2:
            trial.report(val_loss=epoch)


def reports_twice(trial):
    for epoch in trial.epochs():
        trial.report(val_loss=epoch)
        trial.report(val_loss=epoch)


def reports(**metrics):
    def function(trial):
        for _epoch in trial.epochs():
            trial.report(**metrics)

    return function


def changes_its_metrics(trial):
    for epoch in trial.epochs():
        trial.report(val_loss=1.0, **({"extra": 1.0} if epoch > 1 else {"first": 1.0}))


def returns_early(trial):
    trial.params.get("learning_rate")
    for epoch in trial.epochs():
        trial.report(val_loss=1 / epoch)
        if epoch == 3:
            return


def has_its_own_range(trial):
    trial.params.get("learning_rate")
    for epoch in range(1, 100):
        trial.report(val_loss=1 / epoch)


def works_after_the_loop(trial):
    net = nn.Linear(1, 1)
    trial.keep(net=net)
    for epoch in trial.epochs():
        trial.report(val_loss=1 / epoch)
    with torch.no_grad():
        net.weight.zero_()
    trial.note("done")


def swallows_the_end(trial):
    trial.params.get("learning_rate")
    for epoch in range(1, 1000):
        with contextlib.suppress(BaseException):
            trial.report(val_loss=1 / epoch)


def goes_on_once(trial):
    with contextlib.suppress(BaseException):
        trial.report(val_loss=1.0)
        trial.report(val_loss=0.5)
    trial.report(val_loss=0.25)


def yields_on(trial):
    try:
        yield {"val_loss": 1.0}
    except GeneratorExit:
        yield {"val_loss": 0.5}


def cleans_up_badly(trial):
    try:
        for epoch in trial.epochs():
            trial.report(val_loss=1 / epoch)
    finally:
        raise OSError("the disk is gone")


def keeps_a_list(trial):
    trial.keep(net=nn.Linear(1, 1), history=[], kind=nn.Linear)
    trial.report(val_loss=1.0)


class Widget:
    """Has a state that no checkpoint reads back."""

    def state_dict(self):
        return {"inner": [Widget()]}

    def load_state_dict(self, state):
        pass


def keeps_a_widget(trial):
    trial.keep(widget=Widget())
    trial.report(val_loss=1.0)


def raises_at_once(trial):
    raise ValueError("no such file: images")


def raises_late(trial):
    trial.params.get("learning_rate")
    for epoch in trial.epochs():
        if epoch == 2:
            raise ValueError("late")
        trial.report(val_loss=epoch)


def exits(trial):
    trial.params["learning_rate"]
    for epoch in trial.epochs():
        if epoch == 2 and trial.number == 1:
            os._exit(3)
        trial.report(val_loss=epoch)


def hangs(trial):
    trial.params["learning_rate"]
    for epoch in trial.epochs():
        if epoch == 2 and trial.number == 1:
            time.sleep(1000)
        trial.report(val_loss=epoch)


def reads_all_but(trial):
    trial.params["learning_rate"]
    for epoch in trial.epochs():
        trial.report(val_loss=epoch)


def looks_for_momentum(trial):
    trial.params["learning_rate"], trial.params.get("momentum", 0.9)
    for epoch in trial.epochs():
        trial.report(val_loss=epoch)


def leaves_files(trial):
    trial.note("begins")
    (trial.folder / "log.txt").write_text(str(trial.number))
    trial.artifact(trial.folder / "log.txt")
    for epoch in trial.epochs():
        trial.report(val_loss=trial.params["learning_rate"] / epoch)


def looks_at_data(trial):
    for _epoch in trial.epochs():
        trial.report(val_loss=len(trial.data.train) + 0 * trial.params["learning_rate"])


def scores(trial):
    for epoch in trial.epochs():
        trial.report(score=epoch + 0 * trial.params["learning_rate"])


def trains_side_by_side(trial):
    net = nn.Linear(2, 1)
    trial.keep(net=net)
    for _epoch in trial.epochs():
        loss = net(torch.rand(8, 2, generator=trial.generator)).square().mean()
        loss.backward()
        with torch.no_grad():
            for weight in net.parameters():
                weight -= trial.params.get("learning_rate", 0.1) * weight.grad
                weight.grad = None
        trial.report(val_loss=loss)


trains_side_by_side.side_by_side = True


def exits_side_by_side(trial):
    exits(trial)


def hangs_side_by_side(trial):
    hangs(trial)


exits_side_by_side.side_by_side = hangs_side_by_side.side_by_side = True


LEAKED = []


def leaks_files(trial):
    """Trial 2 opens files without end and keeps them; its process may have a thousand."""
    trial.params.get("learning_rate")
    resource.setrlimit(resource.RLIMIT_NOFILE, (1000, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    for epoch in trial.epochs():
        while trial.number == 2 and epoch == 2:
            LEAKED.append(open(os.devnull))  # noqa: SIM115
        trial.report(val_loss=1 / epoch)
