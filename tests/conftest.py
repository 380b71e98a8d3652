"""What every test shares."""

import os
from contextlib import contextmanager

os.environ.setdefault("OMP_NUM_THREADS", "1")  # tensors here are small: a second thread only costs a hand-over
os.environ.setdefault("LANEWISE_SIGN_AFTER_S", "3600")  # a busy machine adds no line to what is compared; see signs/

import pytest
from hypothesis import settings

from search.declaration.parts import Confirm
from search.declaration.study import Study

for name in ("FORCE_COLOR", "NO_COLOR", "COLUMNS", "LINES", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
    os.environ.pop(name, None)  # somebody's terminal is not the one that the texts here are compared for

# No deadline: no test asserts a time. Derandomised: a red run can be repeated.
settings.register_profile("repeatable", deadline=None, derandomize=True, database=None)
settings.register_profile("explore", deadline=None, max_examples=2000)  # pytest --hypothesis-profile=explore
settings.load_profile("repeatable")

# A study that a test declares is not confirmed unless the test says so: it would train 20 models more.
Study.model_fields["confirm"].default = Confirm(pairs=0)
Study.model_rebuild(force=True)

NOBODY = 65534


@pytest.fixture(autouse=True, scope="session")
def cache(tmp_path_factory):
    """What Lanewise keeps between searches lies in a folder of this session, and not in the user's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture
def unprivileged():
    """Return a context in which permissions count: root, who may write anywhere, is nobody in it."""

    @contextmanager
    def context():
        if os.geteuid() != 0:
            yield
            return
        os.setresuid(NOBODY, NOBODY, 0)
        try:
            yield
        finally:
            os.setresuid(0, 0, 0)

    return context
