"""Small studies, a ledger with one of them, and a stand-in for a Ray trial."""

import pytest

from search.declaration.study import Study
from search.ledger import Ledger, sqlite_url
from spaces import Space
from spaces.regularization import SPACE
from tests.support.facts import FACTS


class Handle:
    """What our scheduler needs of a trial: Ray's own, or a lane's stand-in."""

    def __init__(self, number: int) -> None:
        self.config = {"number": number}


def make_study(space: Space = SPACE, **values) -> Study:
    """Return a valid study over ``space``, whatever its parameters are called."""
    declared = {"kind": "loose", "name": "here", "trainable": "tests.search.loose:Loose", "space": space}
    return Study.model_validate({**declared, **values})


@pytest.fixture
def ledger(tmp_path):
    with Ledger(sqlite_url(tmp_path / "ledger.db"), create=True) as ledger:
        yield ledger


@pytest.fixture
def study_id(ledger):
    return ledger.create_study("here", {"a": 1}, fingerprint="f" * 64, facts=FACTS)
