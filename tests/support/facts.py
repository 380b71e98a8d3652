"""The facts of a study of which a test asks nothing."""

from search.ledger import StudyFacts

FACTS = StudyFacts(uid="u", versions={"python": "3"})
DATA = {
    "name": "few",
    "train": 60,
    "validation": 100,
    "test": 20,
    "shape": [4],
    "task": "classification",
    "classes": 3,
    "labels": [],
    "target_mean": None,
    "target_deviation": None,
    "notices": [],
}
"""What ``Splits.facts`` says of a data set."""
