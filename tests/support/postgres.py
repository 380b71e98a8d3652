"""A PostgreSQL server of our own: a fresh folder, a free port on loopback, gone at the end."""

import glob
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from contextlib import contextmanager


def binaries():
    """Return the folder of PostgreSQL's programs, or None."""
    folders = sorted(glob.glob("/usr/lib/postgresql/*/bin")) + [os.path.dirname(shutil.which("initdb") or "")]
    return next((folder for folder in folders if os.path.exists(os.path.join(folder, "initdb"))), None)


@contextmanager
def server():
    """Yield the URL of a running server's empty database, as psycopg 3 takes it."""
    folder = tempfile.mkdtemp(prefix="pg-")
    account = None
    if os.getuid() == 0:  # PostgreSQL refuses to run as root
        account = pwd.getpwnam("postgres")
        os.chown(folder, account.pw_uid, account.pw_gid)
    who = {} if account is None else {"user": account.pw_uid, "group": account.pw_gid}
    data = os.path.join(folder, "data")
    settings = ["-A", "trust", "-U", "lanewise", "--no-sync", "--encoding=UTF8", "--locale=C"]
    initdb = [os.path.join(binaries(), "initdb"), "-D", data, *settings]
    subprocess.run(initdb, check=True, stdout=subprocess.DEVNULL, cwd=folder, **who)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    command = [os.path.join(binaries(), "postgres"), "-D", data, "-p", str(port), "-k", folder]
    process = subprocess.Popen(
        [*command, "-c", "listen_addresses=127.0.0.1"], stderr=subprocess.DEVNULL, cwd=folder, **who
    )
    try:
        ready = [os.path.join(binaries(), "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(port)]
        while subprocess.run(ready, check=False).returncode != 0:
            assert process.poll() is None, "PostgreSQL did not start"
            time.sleep(0.1)
        yield f"postgresql+psycopg://lanewise@127.0.0.1:{port}/postgres"
    finally:
        process.terminate()
        process.wait()
        shutil.rmtree(folder, ignore_errors=True)
