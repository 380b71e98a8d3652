"""A password in every address of a real search, looked for wherever the search, its server and its children write.

A PostgreSQL server, an MLflow server behind a proxy that asks for the password, and Ray are real; so are the commands.
"""

import sys
import time
from pathlib import Path

import psutil
import pytest
import sqlalchemy as sa

from search.ledger import Ledger
from tests.support import postgres
from tests.support.mlflow_server import MlflowServer, check_same
from tests.support.password_proxy import password_proxy

OF_THE_LEDGER, OF_THE_SERVER = "LEDGERs3cret", "SERVERs3cret"
RAY_SESSIONS = Path("/tmp/ray")
START_S = 10.0
"""After which a command line must be masked: a busy machine takes that long to start an interpreter."""


class Commands:
    """Runs commands, and looks for the secrets in what they print and in what the system shows of their processes."""

    def __init__(self, folder):
        self.folder = folder
        self.found = []

    def look(self, where, text):
        self.found += [where for secret in (OF_THE_LEDGER, OF_THE_SERVER) if secret in text]

    def run(self, *arguments, code=0):
        name = " ".join(arguments[:2])
        out, err = self.folder / "out", self.folder / "err"
        with out.open("w") as stdout, err.open("w") as stderr:
            command = [sys.executable, "-m", "search", *map(str, arguments)]
            process = psutil.Popen(command, stdout=stdout, stderr=stderr, cwd=self.folder)
            started = time.monotonic()
            while process.poll() is None:
                self._look_at(process, name, masked=time.monotonic() - started > START_S)
                time.sleep(0.2)
        self.look(f"{name}: standard output", out.read_text())
        self.look(f"{name}: standard error", err.read_text())
        assert process.returncode == code, err.read_text()
        return out.read_text() + err.read_text()

    def _look_at(self, process, name, *, masked):
        try:
            children = process.children(recursive=True)
            for each in children:
                self.look(f"{name}: command line of a child", " ".join(each.cmdline()))
                self.look(f"{name}: environment of a child", str(each.environ()))
            if masked:
                self.look(f"{name}: command line", " ".join(process.cmdline()))
        except psutil.Error:
            pass  # one that ended meanwhile

    def look_at_files(self, folder):
        for file in folder.rglob("*"):
            if file.is_file():
                self.look(str(file), file.read_bytes().decode("latin1"))


@pytest.fixture
def commands(tmp_path):
    return Commands(tmp_path)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_no_file_table_artifact_message_or_process_has_a_password_that_a_search_was_given(commands, tmp_path):
    if postgres.binaries() is None:
        pytest.skip("no PostgreSQL here")
    with (
        postgres.server() as url,
        MlflowServer(tmp_path / "server") as server,
        password_proxy(server.uri, "bob", OF_THE_SERVER) as port,
    ):
        server.start()
        ledger = url.replace("lanewise@", f"lanewise:{OF_THE_LEDGER}@")
        tracking = f"http://bob:{OF_THE_SERVER}@127.0.0.1:{port}"
        home, given = ("--home", tmp_path / "home"), ("--ledger", ledger, "--tracking", tracking)
        search = ("run", "regularization", *home, "--name", "a", "--max-epochs", "3")
        commands.run(*search, *given, "--trials", "2", "--dry-run", "--json")
        said = commands.run(*search, *given, "--trials", "2")
        assert "not everything arrived" not in said and "has a password or token in it, which is not stored" in said
        commands.run(*search, *given, "--trials", "3", "--resume", code=2)
        moved = ("--ledger", f"{ledger}?application_name=x", "--tracking", f"{tracking}/")
        assert "application_name=x" in commands.run(*search, *moved, "--trials", "2", "--resume")
        for verb, *more in (("show", "--json"), ("show", "--config"), ("show", "--config", "--json"), ("list",)):
            name = () if verb == "list" else ("a",)
            commands.run(verb, *name, *home, "--ledger", ledger, *more)
        assert "up to date" in commands.run("sync", "a", *home, *given)
        wrong = f"http://bob:{OF_THE_SERVER}wrong@127.0.0.1:{port}"
        commands.run("sync", "a", *home, "--ledger", ledger, "--tracking", wrong, code=1)
        commands.run("show", "a", *home, "--ledger", ledger.replace("127.0.0.1", "127.0.0.1:1/x@"), code=2)
        commands.run("show", "a", *home, "--ledger", f"postgresql+psycopg://a:{OF_THE_LEDGER}@127.0.0.1:1/x", code=1)
        engine = sa.create_engine(url)
        with engine.connect() as connection:
            for table in sa.inspect(engine).get_table_names():
                commands.look(f"table {table}", str(connection.execute(sa.text(f"SELECT * FROM {table}")).all()))
        engine.dispose()
        assert check_same(server.uri, url, "a", "regularization") > 0
    commands.look_at_files(tmp_path)
    assert commands.found == []


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_ray_tune_and_a_server_that_refuses_leave_no_password_either(commands, tmp_path):
    before = {*RAY_SESSIONS.glob("session_*")}
    with password_proxy(None, "bob", "another") as port:
        tracking = ("--tracking", f"http://bob:{OF_THE_SERVER}@127.0.0.1:{port}", "--untracked-ok")
        search = ("run", "regularization", "--home", tmp_path / "home", "--name", "a", "--trials", "2")
        commands.run(*search, "--max-epochs", "3", "--executor", "tune", *tracking)
    with Ledger(f"sqlite:///{tmp_path / 'home' / 'a' / 'ledger.db'}") as ledger:
        assert len(ledger.epochs(1)) == 6
    sessions = {*RAY_SESSIONS.glob("session_*")} - before
    assert sessions
    for folder in (tmp_path, *sessions):
        commands.look_at_files(folder)
    assert commands.found == []
