from tests.trainables.train_function.conftest import make  # noqa: F401
