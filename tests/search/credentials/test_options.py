"""A secret in every option that takes a text, found from the table: no message, plan or study has it."""

import itertools
import json
from dataclasses import fields

import pytest
from typer.testing import CliRunner

from search.api import declare, run
from search.commands.verbs import app
from search.credentials import put_back
from search.declaration.options import Options, addresses, table
from search.drive.preflight import stored_secrets
from search.errors import UsageError, UserError

SECRET = "S3CRETpw"
FORMS = (
    "http://bob:{}@host:5000/x",
    "postgresql+psycopg://lw:{}@127.0.0.1:1/db",
    "postgresql+psycopg://lw@127.0.0.1:1/db?sslpassword={}",
    "http://host/x?access_token={}",
    "postgresql://lw:{}",
    "http://bob:half/{}@host",
)
MALFORMED = FORMS[-2:]
"""Told to be addresses where one is expected; as the path of a file, say, they may be names like any other."""
TAKES_TEXT = [f.name for f in fields(Options) if any(kind in str(f.type) for kind in ("str", "Path"))]


def test_the_table_names_the_options_that_are_addresses():
    assert addresses() == {"ledger": "--ledger", "tracking.uri": "--tracking", "resources.address": "--address"}
    assert {"ledger", "tracking", "address", "data", "weights", "config", "home"} <= set(TAKES_TEXT)


@pytest.mark.parametrize(
    ("name", "form"),
    [
        (name, form)
        for name, form in itertools.product(TAKES_TEXT, FORMS)
        if form not in MALFORMED or table()[name].flag in addresses().values()
    ],
)
def test_no_option_prints_the_secret_that_was_typed_in_it(tmp_path, monkeypatch, name, form):
    monkeypatch.chdir(tmp_path)
    value, flag = form.format(SECRET), table()[name].flag
    typed = [value] if not flag else ["regularization", flag, value]
    # a wrong number: whatever else there is to say, nothing is begun and no data are read
    done = CliRunner().invoke(app, ["run", *typed, "--trials", "0", "--dry-run"])
    assert isinstance(done.exception, UserError | SystemExit), done.output
    assert SECRET not in done.output and SECRET not in repr(done.exception)


@pytest.mark.parametrize(("flag", "form"), [("--ledger", FORMS[1]), ("--ledger", FORMS[2]), ("--tracking", FORMS[0])])
def test_a_plan_has_the_address_without_its_secret_which_is_kept_for_use(tmp_path, flag, form):
    arguments = ["run", "regularization", flag, form.format(SECRET), "--home", str(tmp_path), "--dry-run"]
    for more in ([], ["--json"]):
        done = CliRunner().invoke(app, [*arguments, *more], catch_exceptions=False)
        assert done.exit_code == 0, done.output
        assert SECRET not in done.output
    study = json.loads(done.stdout)["study"]
    stored = study["ledger"] if flag == "--ledger" else study["tracking"]["uri"]
    assert put_back(stored) == form.format(SECRET)


@pytest.mark.parametrize("where", ["question", "settings"])
def test_a_password_in_any_other_text_of_a_study_is_refused_for_it_would_be_stored(tmp_path, where):
    text = f"postgresql://lw:{SECRET}@host/db"
    study = declare("regularization", **{where: text} if where == "question" else {})
    if where == "settings":
        study = study.model_copy(update={"settings": {**study.settings, "source": text}})
    (mistake,) = stored_secrets(study)
    assert SECRET not in str(mistake) and mistake.path[0] == where
    with pytest.raises(UsageError, match="has a password or a token in it, which the ledger and MLflow would keep"):
        run(study, home=tmp_path)
    assert stored_secrets(declare("regularization", ledger=text, tracking={"uri": f"http://bob:{SECRET}@host"})) == []
