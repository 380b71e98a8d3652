"""A generator learns a distribution from a critic; each has its optimizer: ``python gan_plain.py``."""

import torch
from torch import nn


def real(count, generator=None):
    """Return numbers of two humps, around -2 and 1 [count, 1]."""
    humps = torch.randint(2, (count, 1), generator=generator) * 3.0 - 2.0
    return humps + 0.3 * torch.randn(count, 1, generator=generator)


def distance(a, b):
    """Return the Wasserstein distance between two samples of one size [N, 1]."""
    return (a.flatten().sort().values - b.flatten().sort().values).abs().mean()


def mlp(inputs, width):
    """Return a small network to one number."""
    return nn.Sequential(nn.Linear(inputs, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 1))


def train(trial):
    """Train generator and critic in turn."""
    params = trial.params
    device = trial.device
    generator, critic = mlp(4, params["width"]).to(device), mlp(1, params["width"]).to(device)
    of_generator = torch.optim.Adam(generator.parameters(), lr=params["generator_rate"], betas=(0.5, 0.9))
    of_critic = torch.optim.Adam(critic.parameters(), lr=params["critic_rate"], betas=(0.5, 0.9))
    judge = nn.BCEWithLogitsLoss()
    yes, no = torch.ones(64, 1, device=device), torch.zeros(64, 1, device=device)
    held_out = real(1000, torch.Generator().manual_seed(2)).to(device)
    trial.keep(generator=generator, critic=critic, of_generator=of_generator, of_critic=of_critic)
    for _epoch in trial.epochs():
        for _step in range(25):
            made = generator(torch.randn(64, 4, device=device))
            critic_loss = judge(critic(real(64).to(device)), yes) + judge(critic(made.detach()), no)
            of_critic.zero_grad()
            critic_loss.backward()
            of_critic.step()
            generator_loss = judge(critic(made), yes)
            of_generator.zero_grad()
            generator_loss.backward()
            of_generator.step()
        with torch.no_grad():
            wasserstein = distance(generator(torch.randn(1000, 4, device=device)), held_out)
        trial.report(wasserstein=wasserstein, critic_loss=critic_loss)
