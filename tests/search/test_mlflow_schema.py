"""The schema that a new database of MLflow's is made from is what the installed MLflow makes."""

import sqlite3
from contextlib import closing

import pytest
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

from search.tracking.mlflow_client import UNREACHABLE, VERSION
from search.tracking.new_database import SCHEMA, make_database, schema_of
from search.tracking.store import open_store


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    """A database that MLflow made by itself."""
    folder = tmp_path_factory.mktemp("own")
    SqlAlchemyStore(f"sqlite:///{folder / 'mlflow.db'}", str(folder))
    return folder / "mlflow.db"


def statements(schema):
    """Return the statements of a schema in an order, with the lines of each: MLflow orders constraints by chance."""
    return sorted(sorted(line.strip().rstrip(", ") for line in part.splitlines()) for part in schema.split(";\n"))


def test_the_schema_is_that_of_the_installed_mlflow(own, tmp_path):
    made = schema_of(own, version=VERSION)
    new = tmp_path / "made.sql"
    new.write_text(made)
    assert statements(SCHEMA.read_text()) == statements(made), f"of another MLflow, so: cp {new} {SCHEMA}"


def test_mlflow_opens_what_was_made_and_its_default_experiment_is_as_ever(own, tmp_path):
    file = tmp_path / "mlflow.db"
    assert make_database(file, version=VERSION)
    store = SqlAlchemyStore(f"sqlite:///{file}", str(own.parent))
    assert statements(schema_of(file, version=VERSION)) == statements(schema_of(own, version=VERSION))
    assert store.get_experiment("0").name == "Default"
    experiment = store.get_experiment("0")
    with closing(sqlite3.connect(own)) as database:
        theirs = database.execute("SELECT name, artifact_location, workspace FROM experiments").fetchall()
    assert theirs == [(experiment.name, experiment.artifact_location, experiment.workspace)]


def test_a_schema_of_another_mlflow_is_left_alone_and_mlflow_makes_its_own(own, tmp_path, monkeypatch):
    file = tmp_path / "mlflow.db"
    assert not make_database(file, version="3.99.0")
    assert not file.exists()
    monkeypatch.setattr("search.tracking.store.VERSION", "3.99.0")
    client, _ = open_store(f"sqlite:///{file}", artifacts=None, say=pytest.fail)
    assert client.get_experiment("0").name == "Default"
    assert statements(schema_of(file, version=VERSION)) == statements(schema_of(own, version=VERSION))


@pytest.mark.parametrize("content", [b"", None], ids=["an empty file", "none"])
def test_a_database_is_made_where_there_is_nothing(tmp_path, content):
    file = tmp_path / "mlflow.db"
    if content is not None:
        file.write_bytes(content)
    client, _ = open_store(f"sqlite:///{file}", artifacts=None, say=pytest.fail)
    assert client.create_experiment("kind") == "1"


def test_what_is_there_is_left_as_it_is(tmp_path):
    file = tmp_path / "mlflow.db"
    file.write_bytes(b"no database, and somebody's")
    assert not make_database(file, version=VERSION)
    assert file.read_bytes() == b"no database, and somebody's"
    with pytest.raises(UNREACHABLE, match="not a database"):
        open_store(f"sqlite:///{file}", artifacts=None, say=pytest.fail)


def test_what_cannot_be_written_is_left_to_mlflow_which_says_why(tmp_path, monkeypatch):
    monkeypatch.setattr("mlflow.store.db.utils.MAX_RETRY_COUNT", 1)  # of ten, which take 100 s
    (tmp_path / "mlflow.db").mkdir()
    assert not make_database(tmp_path / "mlflow.db" / "absent" / "mlflow.db", version=VERSION)
    with pytest.raises(UNREACHABLE, match="unable to open database file"):
        open_store(f"sqlite:///{tmp_path / 'mlflow.db'}", artifacts=None, say=pytest.fail)
