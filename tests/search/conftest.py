"""Small studies, and a ledger with one of them."""

import pytest

from search.declaration.study import Study
from search.declaration.validate import valid_study
from search.ledger import Ledger, sqlite_url
from spaces import Space
from spaces.regularization import SPACE
from tests.support.facts import FACTS


def make_study(space: Space = SPACE, **values) -> Study:
    """Return a valid study over ``space``, whatever its parameters are called."""
    declared = {"kind": "loose", "name": "here", "trainable": "tests.search.loose:Loose", "space": space}
    return valid_study({**declared, **values})


@pytest.fixture
def ledger(tmp_path):
    with Ledger(sqlite_url(tmp_path / "ledger.db"), create=True) as ledger:
        yield ledger


@pytest.fixture
def study_id(ledger):
    return ledger.create_study("here", {"a": 1}, fingerprint="f" * 64, facts=FACTS)
