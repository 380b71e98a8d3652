"""What torch draws for one trial comes from its own generator, bit for bit as from the global one."""

from collections.abc import Callable

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from trainables.own_draws import OwnDraws

X = torch.randn(6, 5, 16, generator=torch.Generator().manual_seed(0))
PACKED = nn.utils.rnn.pack_padded_sequence(X, [6, 5, 4, 3, 1])
LSTM, GRU = nn.LSTM(16, 8, 2, dropout=0.3), nn.GRU(16, 8, 3, dropout=0.4, batch_first=True)
ENCODER = nn.TransformerEncoderLayer(16, 4, 32, dropout=0.1)
HALF = torch.full((4, 4), 0.5)

DRAWS: dict[str, Callable[[], torch.Tensor]] = {
    "dropout": lambda: F.dropout(X, 0.3),
    "dropout of a transposed tensor": lambda: F.dropout(X.transpose(0, 2), 0.3),
    "dropout in place": lambda: F.dropout(X.clone(), 0.3, inplace=True),
    "dropout of all": lambda: F.dropout(X, 1.0),
    "torch.dropout": lambda: torch.dropout(X, 0.4, True),
    "dropout2d": lambda: F.dropout2d(X[None], 0.3),
    "alpha dropout": lambda: F.alpha_dropout(X, 0.3, True),
    "feature alpha dropout": lambda: F.feature_alpha_dropout(X, 0.3, True),
    "LSTM": lambda: LSTM(X)[0],
    "LSTM of a packed sequence": lambda: LSTM(PACKED)[0].data,
    "GRU": lambda: GRU(X)[0],
    "encoder": lambda: ENCODER(X),
    "attention": lambda: F.scaled_dot_product_attention(X, X, X, dropout_p=0.2),
    "randn_like": lambda: torch.randn_like(X),
    "rand": lambda: torch.rand(3, 4),
    "randint": lambda: torch.randint(9, (7,)),
    "randperm": lambda: torch.randperm(9),
    "normal": lambda: torch.normal(X, 1.0),
    "bernoulli": lambda: torch.bernoulli(HALF),
    "bernoulli, in place": lambda: X.new_empty(4).bernoulli_(0.5),
    "exponential, in place": lambda: X.new_empty(4).exponential_(),
    "multinomial": lambda: HALF.multinomial(3),
    "initialiser": lambda: nn.init.kaiming_normal_(torch.empty(4, 3)),
    "gumbel": lambda: F.gumbel_softmax(X),
    "rrelu": lambda: F.rrelu(X, training=True),
    "fractional pool": lambda: F.fractional_max_pool2d(X, 2, output_ratio=(0.5, 0.5)),
    "poisson": lambda: torch.poisson(HALF),
    "gamma": lambda: torch.distributions.Gamma(torch.ones(3), 1.0).rsample(),
    "dirichlet": lambda: torch.distributions.Dirichlet(torch.ones(3)).rsample(),
}


@pytest.mark.parametrize("what", DRAWS)
def test_a_draw_is_that_of_the_global_generator_in_the_same_state(what: str) -> None:
    with torch.random.fork_rng([]):
        torch.manual_seed(7)
        own = torch.Generator()
        own.set_state(torch.get_rng_state())
        expected, after = DRAWS[what](), torch.get_rng_state()
        torch.manual_seed(99)
        untouched = torch.get_rng_state()
        with OwnDraws(own):
            found = DRAWS[what]()
        assert torch.equal(found, expected)
        assert torch.equal(own.get_state(), after)
        assert torch.equal(torch.get_rng_state(), untouched)


def test_dropout_has_the_gradient_that_torch_gives_it() -> None:
    gradients = []
    for alone in (False, True):
        x = X.clone().requires_grad_()
        with torch.random.fork_rng([]):
            torch.manual_seed(3)
            own = torch.Generator()
            own.set_state(torch.get_rng_state())
            if alone:
                with OwnDraws(own):
                    y = F.dropout(x, 0.3)
            else:
                y = F.dropout(x, 0.3)
        y.square().sum().backward()
        gradients.append(x.grad)
    assert gradients[0] is not None and gradients[1] is not None and torch.equal(gradients[0], gradients[1])


def test_what_does_not_drop_and_what_brings_its_own_generator_stay_as_they_are() -> None:
    own = torch.Generator().manual_seed(1)
    before = own.get_state()
    with OwnDraws(own):
        assert F.dropout(X, 0.3, training=False) is X
        assert torch.dropout(X[:0], 0.3, True).shape == X[:0].shape
        LSTM.eval()(X)
        LSTM.train()
        found = torch.rand(4, generator=torch.Generator().manual_seed(5))
    assert torch.equal(own.get_state(), before)
    assert torch.equal(found, torch.rand(4, generator=torch.Generator().manual_seed(5)))
