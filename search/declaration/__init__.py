"""Studies as files: read from YAML with the line of every mistake, written so that they run again, and their schema."""

from search.declaration.from_data import Declared, declare_study
from search.declaration.from_yaml import read_study
from search.declaration.json_schema import study_schema
from search.declaration.to_yaml import study_yaml

__all__ = ["Declared", "declare_study", "read_study", "study_schema", "study_yaml"]
