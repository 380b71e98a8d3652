"""Models as users write them, each a function of (params, input_shape, outputs) on images of 1 x 8 x 8 pixels."""

import math

import torch
from torch import nn
from torch.nn import functional as F


class Between(nn.Module):
    """Two linear layers; a subclass says what is between them."""

    def __init__(self, p, shape, outputs):
        super().__init__()
        self.first, self.last = nn.Linear(math.prod(shape), 32), nn.Linear(32, outputs)
        self.p, self.sigma = p["dropout"], p["sigma"]
        self.params = p
        self.prepare(p)

    def prepare(self, p):
        pass

    def between(self, h):
        return h

    def forward(self, x):
        return self.last(self.between(F.relu(self.first(x.flatten(1)))))


class FunctionalDropout(Between):
    def between(self, h):
        return F.dropout(h, self.p, training=self.training)


class NoiseLike(Between):
    def between(self, h):
        return h + torch.randn_like(h) * self.sigma if self.training else h


class NoiseOfShape(Between):
    def between(self, h):
        return h + self.sigma * torch.randn(h.shape, dtype=h.dtype) if self.training else h


class BernoulliInPlace(Between):
    def between(self, h):
        return h * h.new_empty(h.shape).bernoulli_(0.8) if self.training else h


class ReadsParams(Between):
    def between(self, h):
        return h * (1 + self.params["sigma"])


class WritesInPlace(Between):
    def between(self, h):
        h = h.clone()
        h[:, 0] = 0.5
        h += 1
        h[:, 3:5].mul_(2)
        return F.relu_(h)


class WritesIntoZeros(Between):
    def between(self, h):
        z = torch.zeros(len(h), 32, dtype=h.dtype)
        z[:, :16] = h[:, :16]
        return z


class MaskedWrite(Between):
    def between(self, h):
        h = h - 0.1
        h[h < 0] = 0
        return h


class TopK(Between):
    def between(self, h):
        values, index = h.topk(8, 1)
        return torch.zeros_like(h).scatter(1, index, values)


class Einsum(Between):
    def between(self, h):
        return torch.einsum("bi,ij->bj", h, self.last.weight.T @ self.last.weight)


class StochasticDepth(Between):
    def between(self, h):
        return h * (torch.rand(len(h), 1, dtype=h.dtype) > 0.3) / 0.7 if self.training else h


class Mixup(Between):
    def forward(self, x):
        if self.training:
            x = 0.9 * x + 0.1 * x[torch.randperm(len(x))]
        return super().forward(x)


class NewBuffer(Between):
    def prepare(self, p):
        self.register_buffer("mu", torch.zeros(32))

    def between(self, h):
        if self.training:
            self.mu = 0.9 * self.mu + 0.1 * h.detach().mean(0)
        return F.relu(h - self.mu)


class BufferInPlace(NewBuffer):
    def between(self, h):
        if self.training:
            with torch.no_grad():
                self.mu.lerp_(h.mean(0), 0.1)
        return F.relu(h - self.mu)


class Tied(Between):
    def prepare(self, p):
        self.back = nn.Linear(32, math.prod((1, 8, 8)), bias=False)
        self.again = nn.Linear(64, 32, bias=False)
        self.again.weight = self.first.weight

    def between(self, h):
        return torch.tanh(self.again(self.back(h)))


class TwiceTheSame(Between):
    def prepare(self, p):
        self.middle = nn.Linear(32, 32)

    def between(self, h):
        return self.middle(torch.tanh(self.middle(h)))


class Gumbel(Between):
    def between(self, h):
        return h * F.gumbel_softmax(h) if self.training else h


class Recurrent(nn.Module):
    def __init__(self, kind, p, outputs):
        super().__init__()
        self.rnn = getattr(nn, kind)(8, 16, num_layers=2, batch_first=True, dropout=p["dropout"])
        self.head = nn.Linear(16, outputs)

    def forward(self, x):
        return self.head(self.rnn(x.squeeze(1))[0][:, -1])


class Cells(nn.Module):
    def __init__(self, p, shape, outputs):
        super().__init__()
        self.cell, self.head = nn.LSTMCell(8, 16), nn.Linear(16, outputs)

    def forward(self, x):
        h = c = torch.zeros(len(x), 16, dtype=x.dtype)
        for row in x[:, 0].unbind(1):
            h, c = self.cell(row, (h, c))
        return self.head(h)


class Encoder(nn.Module):
    def __init__(self, p, shape, outputs):
        super().__init__()
        self.embed = nn.Linear(8, 16)
        self.position = nn.Parameter(torch.randn(1, 8, 16) * 0.02)
        layer = nn.TransformerEncoderLayer(16, 2, 32, dropout=p["dropout"], batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(16, outputs)

    def forward(self, x):
        return self.head(self.encoder(self.embed(x.squeeze(1)) + self.position).mean(1))


class Attention(nn.Module):
    """Queries, keys and values by hand, and torch's function for the product."""

    def __init__(self, p, shape, outputs):
        super().__init__()
        self.embed, self.qkv, self.head = nn.Linear(8, 16), nn.Linear(16, 48), nn.Linear(16, outputs)
        self.norm, self.p = nn.LayerNorm(16), p["dropout"]

    def forward(self, x):
        t = self.embed(x.squeeze(1))
        q, k, v = self.qkv(self.norm(t)).view(len(t), 8, 3, 2, 8).permute(2, 0, 3, 1, 4)
        a = F.scaled_dot_product_attention(q, k, v, dropout_p=self.p if self.training else 0.0)
        return self.head((t + a.transpose(1, 2).reshape(t.shape)).mean(1))


class Squeeze(nn.Module):
    """Squeeze and excitation, a depthwise convolution, and a batch norm whose momentum is a parameter."""

    def __init__(self, p, shape, outputs):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(1, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8, momentum=p["momentum"])
        self.down, self.up, self.head = nn.Linear(8, 4), nn.Linear(4, 8), nn.Linear(8, outputs)
        self.deep = nn.Conv2d(8, 8, 3, padding=1, groups=8)

    def forward(self, x):
        x = F.relu(self.norm(self.conv(x)))
        s = torch.sigmoid(self.up(F.relu(self.down(x.mean((2, 3))))))
        return self.head(F.hardswish(self.deep(x * s[:, :, None, None])).amax((2, 3)))


def norm_mlp(p, shape, outputs):
    return nn.Sequential(
        nn.Flatten(), nn.Linear(64, 32), nn.LayerNorm(32), nn.GELU(), nn.Dropout(p["dropout"]), nn.Linear(32, outputs)
    )


def cnn(p, shape, outputs):
    convolution = [nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(inplace=True), nn.MaxPool2d(2)]
    return nn.Sequential(*convolution, nn.Dropout2d(p["dropout"]), nn.Flatten(), nn.Linear(128, outputs))


def group_norm(p, shape, outputs):
    layers = [nn.Conv2d(1, 8, 3), nn.GroupNorm(4, 8), nn.SiLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten()]
    return nn.Sequential(*layers, nn.Linear(32, outputs))


def slopes(p, shape, outputs):
    layers = [nn.Flatten(), nn.Linear(64, 32), nn.LeakyReLU(p["sigma"]), nn.Linear(32, 16), nn.PReLU(), nn.SELU()]
    return nn.Sequential(*layers, nn.AlphaDropout(p["dropout"]), nn.Linear(16, outputs), nn.Softplus(1 + p["sigma"]))


def weight_norm(p, shape, outputs):
    normed = nn.utils.parametrizations.weight_norm(nn.Linear(64, 32))
    return nn.Sequential(nn.Flatten(), normed, nn.ReLU(), nn.Linear(32, outputs))


def one_axis(p, shape, outputs):
    layers = [nn.Flatten(2), nn.Conv1d(1, 8, 5, stride=2), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout1d(p["dropout"])]
    return nn.Sequential(*layers, nn.AvgPool1d(2), nn.Flatten(), nn.LazyLinear(outputs))


def lstm(p, shape, outputs):
    return Recurrent("LSTM", p, outputs)


def gru(p, shape, outputs):
    return Recurrent("GRU", p, outputs)


CLASSES = (
    FunctionalDropout, NoiseLike, NoiseOfShape, BernoulliInPlace, ReadsParams, WritesInPlace, WritesIntoZeros,
    MaskedWrite, TopK, Einsum, StochasticDepth, Mixup, NewBuffer, BufferInPlace, Tied, TwiceTheSame, Gumbel, Cells,
    Encoder, Attention, Squeeze,
)  # fmt: skip
ZOO = {f.__name__: f for f in (*CLASSES, norm_mlp, cnn, group_norm, slopes, weight_norm, one_axis, lstm, gru)}
