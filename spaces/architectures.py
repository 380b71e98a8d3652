"""An MLP against a convolutional network: how deep, how wide, pooled how, regularized how."""

from spaces import Space, category, float_, when
from spaces.schedule_parameters import cosine_floor

SPACE = Space(
    (
        category("model", ("mlp", "cnn"), baseline="mlp", help="multilayer perceptron, or convolutions first"),
        category(
            "hidden",
            ("16", "32", "64", "128", "64-32", "128-64", "256-128"),
            baseline="64-32",
            when=when("model", "mlp"),
            help="widths of the MLP's hidden layers",
        ),
        category(
            "channels",
            ("4", "8", "16", "4-8", "8-16", "16-32", "8-16-32", "16-32-64"),
            baseline="8-16",
            when=when("model", "cnn"),
            help="of the 3x3 convolutions, each followed by a 2x2 maximum",
        ),
        category(
            "global_pool",
            (False, True),
            baseline=False,
            when=when("model", "cnn"),
            help="average each channel over the image before the head",
        ),
        category(
            "head",
            ("none", "16", "32", "64"),
            baseline="32",
            when=when("model", "cnn"),
            help="widths of the linear layers before the logits",
        ),
        float_("learning_rate", 3e-4, 3e-2, log=True, baseline=1e-3, help="AdamW step size"),
        category("batch_norm", (False, True), baseline=False, help="after each hidden layer or convolution"),
        float_("dropout", 0.0, 0.5, baseline=0.0, help="rate after each hidden layer or convolution"),
        float_("weight_decay", 1e-6, 1e-1, log=True, baseline=0.0, help="L2, decoupled (AdamW)"),
        category("schedule", ("none", "cosine"), baseline="none", help="learning rate over epochs"),
        cosine_floor("cosine"),
    )
)
