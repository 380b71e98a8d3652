"""What of an address is secret: told by its place, taken out, masked, and found again in any text."""

import string
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.engine import make_url

from search.credentials import UnreadableAddress, bare_address, masked, masked_address, put_back, take_out
from search.credentials.address import read_address

WORDS = st.text(string.ascii_letters + string.digits + "@/:?#%&=+ '\"<>é\\", min_size=1, max_size=12)
"""Names and passwords; each is written percent-encoded, as an address asks for."""
DATABASES = ("postgresql", "postgresql+psycopg", "mysql+pymysql", "mssql+pyodbc")
SERVERS = ("http", "https", "ray", "s3")


def encoded(word):
    return quote(word, safe="")


@given(st.sampled_from(DATABASES), WORDS, WORDS)
def test_a_databases_password_is_taken_out_and_its_user_stays(scheme, user, password):
    uri = f"{scheme}://{encoded(user)}:{encoded(password)}@host:5/name"
    bare, shown = take_out(uri), masked_address(uri)
    assert (make_url(bare).username, make_url(bare).password, make_url(bare).host) == (user, None, "host")
    assert (make_url(shown).username, make_url(shown).password) == (user, "***")
    assert put_back(bare) == uri and bare_address(bare) == masked_address(bare) == bare


@given(st.sampled_from(SERVERS), WORDS, st.none() | WORDS)
def test_all_of_a_servers_user_is_taken_out_for_tokens_stand_there(scheme, user, password):
    userinfo = encoded(user) + ("" if password is None else f":{encoded(password)}")
    address = read_address(f"{scheme}://{userinfo}@host:5/path?page=2")
    assert (address.bare, address.masked) == (f"{scheme}://host:5/path?page=2", f"{scheme}://***@host:5/path?page=2")
    assert (address.username, address.password) == (user, password)


@given(
    st.sampled_from(DATABASES + SERVERS), WORDS, st.sampled_from(["at {}: no", "'{}'", "({}), and more", "a\n{}\nb"])
)
def test_an_address_is_masked_in_any_text_around_it_which_stays(scheme, password, around):
    is_database = scheme in DATABASES
    for raw in (encoded(password), "x" + password.strip() + "x"):
        text = around.format(f"{scheme}://user:{raw}@host/name")
        if raw == encoded(password):
            assert masked(text) == around.format(f"{scheme}://{'user:' if is_database else ''}***@host/name")
        elif len(raw) > 4 and not set(raw[1:-1]) <= set(string.digits):
            assert raw not in masked(text), "a password that is not percent-encoded, as it should be"


@pytest.mark.parametrize(
    "name",
    "password sslpassword passwd pwd token access_token api_key X-Amz-Signature sig p%61ssword".split(),
)
def test_a_secret_among_the_parameters_is_taken_out_and_the_others_stay(name):
    for scheme in ("postgresql://u@h/db", "http://h/p"):
        uri = f"{scheme}?a=1&{name}=S3CRET"
        assert bare_address(uri) == f"{scheme}?a=1"
        assert "S3CRET" not in masked_address(uri) and "***" in masked_address(uri) and "a=1" in masked_address(uri)
        assert "S3CRET" not in masked(f"failed: {uri}&b=2")


@pytest.mark.parametrize(
    "uri",
    [
        "offline",
        "databricks",
        "databricks://profile",
        "./mlruns",
        "C:\\runs",
        "file:///data/a@b/x",
        "sqlite:////home/me@work/mlflow.db",
        "sqlite:///relative.db?timeout=5",
        "http://localhost:5000",
        "http://[::1]:5000/mlflow",
        "127.0.0.1:6379",
        "auto",
        "postgresql+psycopg://me@host:5432/name?sslmode=require&sslkey=/k.pem&passfile=/p",
        "postgresql:///name?host=/var/run&service=s",
    ],
)
def test_an_address_without_secrets_stays_as_it_was_written(uri):
    assert bare_address(uri) == masked_address(uri) == masked(uri) == uri
    assert put_back(uri) == uri


@pytest.mark.parametrize(
    "uri",
    [
        "postgresql://lw:S3CRET",
        "postgresql://lw:S3CRET@host:port/db",
        "postgresql://lw:half@S3CRET@host/db",
        "postgresql://lw:half@x/S3CRET@host/db",
        "postgresql:/lw:S3CRET@host/db",
        "postgresql+psycopg:lw:S3CRET@host/db",
        "lw:S3CRET@host/db",
        "lw:S3CRET",
        "http://bob:S3/CRET@host",
        "http://bob:12/S3CRET@host",
        "http://bob:S3CRET@",
        "http://bob:S3CRET",
        "http:/bob:S3CRET@host",
        "bob:S3CRET@host:5000",
        "http://bob:S3CRET@[host",
        "host?token=S3CRET",
    ],
)
def test_an_address_that_cannot_be_read_in_one_way_is_refused_without_a_word_of_it(uri):
    with pytest.raises(UnreadableAddress) as raised:
        take_out(uri)
    assert raised.value.__cause__ is None and raised.value.__suppress_context__ or raised.value.__context__ is None
    for shown in (str(raised.value), masked_address(uri), bare_address(uri)):
        assert "S3" not in shown and "CRET" not in shown and "half" not in shown


def test_a_password_that_is_a_word_of_the_address_is_told_by_its_place():
    assert masked_address("postgresql://host:host@host/host") == "postgresql://host:***@host/host"
    assert (
        masked("search the search at http://search:search@search/search")
        == "search the search at http://***@search/search"
    )


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("see http://host:5000, and (http://host:5000)", None),
        ("http://host:5000: refused; write to me@host", None),
        ("http://host: refused. See http://host:5000.", None),
        ("table:/x.csv: no such file; images:/data: no image; n = (a)//k: 3", None),
        ("--weights 'postgresql+psycopg://lw:S3CRETofmanyletters...", "--weights 'postgresql+psycopg://lw:***"),
        ("at postgresql://lw:my S3CRET@host/db", "at postgresql://lw:***@host/db"),
        ("connection host=h password=S3CRET user=lw", "connection host=h password=*** user=lw"),
        ("connection password = 'S3 CRET' user=lw", "connection password = *** user=lw"),
        ("no file http:/u:S3CRET@h/x", "no file http:/***@h/x"),
        ("postgresql+psycopg://USER@HOST/NAME", None),
    ],
)
def test_what_is_no_secret_stays_in_a_text(text, shown):
    assert masked(text) == (text if shown is None else shown)
