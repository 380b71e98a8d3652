"""A trainable that takes any parameters, so that a space in a test may have any names."""


class Loose:
    """Accepts everything; reports what an MLP reports."""

    stacks = False
    loops = False
    metrics = ("train_loss", "val_loss", "val_accuracy", "lr", "parameters")

    def configure(self, params, *, max_epochs):
        return dict(params)

    def prepare(self, splits, device):
        return None

    def start(self, config, data, *, seed, device):
        raise NotImplementedError
