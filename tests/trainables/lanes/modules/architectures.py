"""Models of kinds that papers and forums describe, as users write them, on images of 1 x 8 x 8 pixels."""

import torch
from torch import nn
from torch.nn import functional as F

from tests.trainables.lanes.modules.zoo import Between


class HandGru(nn.Module):
    def __init__(self, p, shape, outputs):
        super().__init__()
        self.x, self.h, self.head = nn.Linear(8, 48), nn.Linear(16, 48), nn.Linear(16, outputs)

    def forward(self, x):
        h = x.new_zeros(len(x), 16)
        for t in range(8):
            a, b = self.x(x[:, 0, t]).chunk(3, 1), self.h(h).chunk(3, 1)
            update = torch.sigmoid(a[0] + b[0])
            h = update * h + (1 - update) * torch.tanh(a[2] + torch.sigmoid(a[1] + b[1]) * b[2])
        return self.head(h)


class Heads(nn.Module):
    """torch's attention module, once with its weights and once without."""

    def __init__(self, p, shape, outputs):
        super().__init__()
        self.embed = nn.Linear(8, 16)
        self.first = nn.MultiheadAttention(16, 2, dropout=p["dropout"], batch_first=True)
        self.second = nn.MultiheadAttention(16, 4, batch_first=True)
        self.head = nn.Linear(16, outputs)

    def forward(self, x):
        t = self.embed(x.squeeze(1))
        a, weights = self.first(t, t, t)
        b, _ = self.second(a, t, t, need_weights=False)
        return self.head((t + b + weights.mean()).mean(1))


class NormFirst(nn.Module):
    def __init__(self, p, shape, outputs):
        super().__init__()
        layer = nn.TransformerEncoderLayer(8, 2, 16, p["dropout"], activation="gelu", batch_first=True, norm_first=True)
        self.layers, self.head = nn.TransformerEncoder(layer, 1, enable_nested_tensor=False), nn.Linear(8, outputs)
        self.register_buffer("position", torch.sin(torch.arange(64.0).view(1, 8, 8)))

    def forward(self, x):
        return self.head(self.layers(x.squeeze(1) + self.position.to(x.dtype)).amax(1))


class Tokens(nn.Module):
    """A feature tokenizer before an encoder, with a class token (FT-Transformer)."""

    def __init__(self, p, shape, outputs):
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.randn(16, 8) * 0.1), nn.Parameter(torch.zeros(16, 8))
        self.token = nn.Parameter(torch.randn(1, 1, 8) * 0.1)
        self.layer = nn.TransformerEncoderLayer(8, 2, 16, p["dropout"], batch_first=True)
        self.norm, self.head = nn.LayerNorm(8), nn.Linear(8, outputs)

    def forward(self, x):
        t = x.flatten(1)[:, :16, None] * self.weight + self.bias
        t = torch.cat([self.token.expand(len(x), -1, -1), t], 1)
        return self.head(F.relu(self.norm(self.layer(t)[:, 0])))


class Mixer(nn.Module):
    def __init__(self, p, shape, outputs):
        super().__init__()
        self.norms = nn.ModuleList([nn.LayerNorm(8), nn.LayerNorm(8)])
        self.tokens, self.channels, self.head = nn.Linear(8, 8), nn.Linear(8, 8), nn.Linear(8, outputs)

    def forward(self, x):
        t = x.squeeze(1)
        t = t + F.gelu(self.tokens(self.norms[0](t).transpose(1, 2))).transpose(1, 2)
        return self.head((t + F.gelu(self.channels(self.norms[1](t)))).mean(1))


class Dense(nn.Module):
    """Each convolution sees all maps before it."""

    def __init__(self, p, shape, outputs):
        super().__init__()
        self.layers = nn.ModuleDict({f"c{i}": nn.Conv2d(1 + 4 * i, 4, 3, padding=1) for i in range(3)})
        self.norms = nn.ModuleDict({f"c{i}": nn.BatchNorm2d(1 + 4 * i) for i in range(3)})
        self.head = nn.Linear(13, outputs)

    def forward(self, x):
        for name, layer in self.layers.items():
            x = torch.cat([x, layer(F.relu(self.norms[name](x)))], 1)
        return self.head(x.mean((2, 3)))


class DownAndUp(nn.Module):
    """A small U-Net: a stride, a transposed convolution, what was before beside it, instance norm, upsampling."""

    def __init__(self, p, shape, outputs):
        super().__init__()
        self.down, self.up = nn.Conv2d(1, 4, 3, 2, 1), nn.ConvTranspose2d(4, 4, 2, 2)
        self.norm, self.last = nn.InstanceNorm2d(5, affine=True), nn.Conv2d(5, 4, 1)
        self.head = nn.Linear(16, outputs)

    def forward(self, x):
        h = torch.cat([x, self.up(F.elu(self.down(x)))], 1)
        h = F.interpolate(self.last(F.relu(self.norm(h))), scale_factor=2, mode="bilinear", align_corners=False)
        return self.head(F.adaptive_max_pool2d(h, 2).flatten(1))


class Experts(Between):
    def prepare(self, p):
        self.gate = nn.Linear(32, 3)
        self.experts = nn.ModuleList([nn.Linear(32, 32) for _ in range(3)])

    def between(self, h):
        each = torch.stack([expert(h) for expert in self.experts], 1)
        return (F.softmax(self.gate(h), 1)[:, :, None] * each).sum(1)


class Highway(Between):
    def prepare(self, p):
        self.gate, self.way = nn.Linear(32, 32), nn.Linear(32, 32)

    def between(self, h):
        return torch.lerp(h, F.mish(self.way(h)), torch.sigmoid(self.gate(h)))


class RootMeanSquare(Between):
    """RMSNorm by hand and torch's, and a gated unit between them."""

    def prepare(self, p):
        self.scale, self.norm = nn.Parameter(torch.ones(32)), nn.RMSNorm(32)
        self.gates = nn.Linear(32, 128)

    def between(self, h):
        h = self.scale * h * torch.rsqrt(h.square().mean(1, keepdim=True) + 1e-6)
        a, b = self.gates(h).chunk(2, 1)
        return self.norm(F.glu(F.silu(a) * b))


class Sines(Between):
    def prepare(self, p):
        self.omega = 1 + p["sigma"]
        self.register_buffer("frequencies", torch.linspace(0.1, 1.0, 32), persistent=False)

    def between(self, h):
        return torch.sin(self.omega * h) + torch.cos(h * self.frequencies.to(h.dtype))


class Radial(Between):
    def prepare(self, p):
        self.centers, self.width = nn.Parameter(torch.randn(32, 32)), nn.Parameter(torch.zeros(()))

    def between(self, h):
        return torch.exp(-torch.cdist(h, self.centers) * self.width.exp())


class Bilinear(Between):
    def prepare(self, p):
        self.product = nn.Bilinear(32, 32, 32)

    def between(self, h):
        return self.product(torch.tanh(h), torch.tanh(h))


class Spectral(Between):
    def prepare(self, p):
        self.normed = nn.utils.parametrizations.spectral_norm(nn.Linear(32, 32))

    def between(self, h):
        return self.normed(h)


class Orthogonal(Between):
    def prepare(self, p):
        self.turned = nn.utils.parametrizations.orthogonal(nn.Linear(32, 32))

    def between(self, h):
        return self.turned(h)


class Bag(nn.Module):
    def __init__(self, p, shape, outputs):
        super().__init__()
        self.words, self.single = nn.EmbeddingBag(16, 8), nn.Embedding(16, 8)
        self.head = nn.Linear(16, outputs)

    def forward(self, x):
        words = (x.flatten(1) > 0).long() + 2
        return self.head(torch.cat([self.words(words), self.single(words).amax(1)], 1))


class EachExample(Between):
    def between(self, h):
        return torch.stack([F.relu(row * 2) for row in h])


class Detached(Between):
    def between(self, h):
        return F.softplus(h - h.detach().mean(1, keepdim=True))


class Rule(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(x):
        return x.clamp(min=0)

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(inputs[0])

    @staticmethod
    def backward(ctx, gradient):
        return gradient * (ctx.saved_tensors[0] > 0)


class OwnFunctionWithRule(Between):
    def between(self, h):
        return Rule.apply(h)


class RandomSlopes(Between):
    def prepare(self, p):
        self.slopes = nn.RReLU()

    def between(self, h):
        return self.slopes(h - 0.1)


class HardGumbel(Between):
    def between(self, h):
        return h * F.gumbel_softmax(h, tau=1 + self.sigma, hard=True) if self.training else h


class CutOut(Between):
    """An augmentation in the forward: pixels of each example, and a flip by chance."""

    def forward(self, x):
        if self.training:
            x = x * (torch.rand_like(x) > 0.1)
            x = torch.where(torch.rand(len(x), 1, 1, 1, dtype=x.dtype) < 0.5, x.flip(3), x)
        return super().forward(x)


class WeightNoise(Between):
    def between(self, h):
        if not self.training:
            return h
        noise = torch.normal(torch.zeros(32, 32, dtype=h.dtype), torch.full((32, 32), 0.1, dtype=h.dtype))
        return F.linear(h, noise + torch.eye(32, dtype=h.dtype))


class Variational(Between):
    """A sample of a code by its mean and variance."""

    def prepare(self, p):
        self.code = nn.Linear(32, 64)

    def between(self, h):
        mean, log_variance = self.code(h).chunk(2, 1)
        return mean + torch.randn_like(mean) * (0.5 * log_variance).exp() if self.training else mean


class BothWays(nn.Module):
    def __init__(self, p, shape, outputs):
        super().__init__()
        self.rnn = nn.GRU(8, 8, batch_first=True, bidirectional=True)
        self.plain = nn.RNN(16, 8, nonlinearity="relu", batch_first=True)
        self.head = nn.Linear(8, outputs)

    def forward(self, x):
        return self.head(self.plain(self.rnn(x.squeeze(1))[0])[1][-1])


class Shuffled(nn.Module):
    """Grouped and dilated convolutions, channels and pixels shuffled, responses normalised."""

    def __init__(self, p, shape, outputs):
        super().__init__()
        self.first, self.grouped = nn.Conv2d(1, 8, 3, padding=2, dilation=2), nn.Conv2d(8, 8, 3, padding=1, groups=2)
        self.shuffle, self.pixels = nn.ChannelShuffle(2), nn.PixelShuffle(2)
        self.respond, self.head = nn.LocalResponseNorm(2), nn.Linear(8, outputs)

    def forward(self, x):
        h = self.pixels(self.shuffle(self.grouped(F.relu(self.first(F.pad(x, (1, 1, 1, 1), mode="reflect"))))))
        return self.head(F.max_pool2d(self.respond(h), 10).flatten(1))


class Volumes(nn.Module):
    def __init__(self, p, shape, outputs):
        super().__init__()
        self.volume, self.norm = nn.Conv3d(1, 4, 3, padding=1), nn.BatchNorm3d(4, momentum=p["momentum"])
        self.head = nn.Linear(4, outputs)

    def forward(self, x):
        return self.head(F.relu(self.norm(self.volume(x.view(-1, 1, 4, 4, 4)))).mean((2, 3, 4)))


class Cosines(Between):
    """Cosine similarity with learned prototypes, a temperature, a mask."""

    def prepare(self, p):
        self.prototypes, self.temperature = nn.Parameter(torch.randn(32, 32)), 1 + p["sigma"]

    def between(self, h):
        h = h.masked_fill(h > 3, 3.0)
        return F.normalize(h, dim=1, eps=1e-3) @ F.normalize(self.prototypes, dim=1).T / self.temperature


class Sorted(Between):
    def between(self, h):
        values, order = h.sort(dim=1, descending=True)
        return values.cumsum(1) * 0.1 + h.gather(1, order.flip(1)).roll(1, 1)


class LayersByName(nn.Module):
    """Layers in a list and a loop over children, an identity, a lambda-like module, no bias."""

    def __init__(self, p, shape, outputs):
        super().__init__()
        self.add_module("flat", nn.Flatten())
        for i, (a, b) in enumerate([(64, 24), (24, 24), (24, outputs)]):
            self.add_module(f"layer{i}", nn.Linear(a, b, bias=i != 1))
            self.add_module(f"after{i}", nn.Hardtanh(-1 - p["sigma"], 2.0) if i < 2 else nn.Identity())

    def forward(self, x):
        for layer in self.children():
            x = layer(x)
        return x


ARCHITECTURES = {
    f.__name__: f
    for f in (
        HandGru, Heads, NormFirst, Tokens, Mixer, Dense, DownAndUp, Experts, Highway, RootMeanSquare, Sines, Radial,
        Bilinear, Spectral, Orthogonal, Bag, EachExample, Detached, OwnFunctionWithRule, RandomSlopes, HardGumbel,
        CutOut, WeightNoise, Variational, BothWays, Shuffled, Volumes, Cosines, Sorted, LayersByName,
    )
}  # fmt: skip
