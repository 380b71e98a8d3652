"""What every test shares."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # tensors here are small: a second thread only costs a hand-over

from hypothesis import settings

# No deadline: no test asserts a time. Derandomised: a red run can be repeated.
settings.register_profile("repeatable", deadline=None, derandomize=True, database=None)
settings.register_profile("explore", deadline=None, max_examples=2000)  # pytest --hypothesis-profile=explore
settings.load_profile("repeatable")
