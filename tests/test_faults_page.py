"""The page of faults names tests that there are, under the mark that they have."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROWS = [line for line in (ROOT / "docs" / "faults.md").read_text().splitlines() if line.startswith("| ")]
NAMED = sorted({found for line in ROWS for found in re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", line)})


def test_every_fault_names_a_test():
    faults = [line for line in ROWS if not line.startswith("| fault ")]
    assert len(faults) > 20
    assert all("`tests/" in line for line in faults)


@pytest.mark.parametrize(("file", "test"), NAMED, ids=str)
def test_the_test_is_there(file, test):
    assert re.search(rf"^def {test}\(", (ROOT / file).read_text(), flags=re.MULTILINE)
