"""Studies as files: read from YAML with the line of every mistake, written so that they run again, and their schema."""

from search.config.declare import Declared, declare_study
from search.config.read import read_study
from search.config.schema import study_schema
from search.config.write import study_yaml

__all__ = ["Declared", "declare_study", "read_study", "study_schema", "study_yaml"]
