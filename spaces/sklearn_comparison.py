"""Which kind of model suits a problem: the usual estimators and an MLP, each with its own parameters.

Columns are standardised, so that what is right for one table is about right for another.
"""

from spaces import Space, category, float_, int_, when

NETWORKS = ("sklearn_mlp", "torch_mlp")

_LINEAR = (
    float_(
        "linear_c",
        1e-3,
        1e3,
        log=True,
        baseline=1.0,
        when=when("model", "linear"),
        help="1 / strength of the L2 penalty",
    ),
)
_FOREST = (
    int_("forest_trees", 50, 300, baseline=100, when=when("model", "forest"), help="trees"),
    int_("forest_depth", 2, 16, baseline=16, when=when("model", "forest"), help="most splits above a leaf"),
    float_("forest_features", 0.1, 1.0, baseline=0.5, when=when("model", "forest"), help="share of columns a split"),
    int_("forest_min_leaf", 1, 8, baseline=1, when=when("model", "forest"), help="fewest examples of a leaf"),
)
_BOOSTING = (
    int_("boosting_rounds", 20, 200, log=True, baseline=100, when=when("model", "boosting"), help="rounds"),
    float_("boosting_rate", 0.02, 0.5, log=True, baseline=0.1, when=when("model", "boosting"), help="learning rate"),
    int_("boosting_leaves", 3, 31, log=True, baseline=31, when=when("model", "boosting"), help="most leaves of a tree"),
    int_("boosting_min_leaf", 2, 30, baseline=20, when=when("model", "boosting"), help="fewest examples of a leaf"),
    float_("boosting_l2", 1e-6, 10.0, log=True, baseline=1e-6, when=when("model", "boosting"), help="L2 penalty"),
)
_SVM = (
    float_("svm_c", 1e-2, 1e3, log=True, baseline=1.0, when=when("model", "svm"), help="1 / strength"),
    float_("svm_gamma", 0.03, 30.0, log=True, baseline=1.0, when=when("model", "svm"), help="of the kernel, x columns"),
)
_KNN = (
    int_("knn_neighbours", 1, 30, baseline=5, when=when("model", "knn"), help="how many vote"),
    category("knn_weights", ("uniform", "distance"), baseline="uniform", when=when("model", "knn"), help="of a vote"),
    category("knn_power", (1, 2), baseline=2, when=when("model", "knn"), help="1: Manhattan, 2: Euclid"),
)
_NETWORKS = (
    category(
        "hidden",
        ("16", "32", "64", "32-16", "64-32"),
        baseline="64-32",
        when=when("model", *NETWORKS),
        help="widths of the hidden layers",
    ),
    float_(
        "learning_rate", 3e-4, 3e-2, log=True, baseline=1e-3, when=when("model", *NETWORKS), help="Adam's step size"
    ),
    float_("mlp_alpha", 1e-6, 1.0, log=True, baseline=1e-4, when=when("model", "sklearn_mlp"), help="L2 penalty"),
    float_("dropout", 0.0, 0.5, baseline=0.0, when=when("model", "torch_mlp"), help="rate after each hidden layer"),
    float_(
        "weight_decay",
        1e-6,
        1e-1,
        log=True,
        baseline=1e-6,
        when=when("model", "torch_mlp"),
        help="L2, decoupled (AdamW)",
    ),
)

SPACE = Space(
    (
        category(
            "model",
            ("linear", "forest", "boosting", "svm", "knn", "sklearn_mlp", "torch_mlp"),
            baseline="linear",
            help="linear: logistic regression, or ridge",
        ),
        *_LINEAR,
        *_FOREST,
        *_BOOSTING,
        *_SVM,
        *_KNN,
        *_NETWORKS,
    )
)
