"""Completion for a shell, installed into a home of its own and then asked as the shell asks it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(sys.executable).parent / "lanewise"


@pytest.mark.parametrize("command", [f"{sys.executable} -m search", str(SCRIPT)], ids=["module", "script"])
def test_completion_is_installed_for_the_script(command, tmp_path):
    environment = {**os.environ, "HOME": str(tmp_path)}
    shell = ["bash", "-c", f"{command} --install-completion; exit $?"]
    done = subprocess.run(shell, env=environment, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    installed = tmp_path / ".bash_completions" / "lanewise.sh"
    assert f"bash completion installed in {installed}" in done.stdout
    for name in ("mine", "minor", "other"):
        (tmp_path / "home" / name).mkdir(parents=True)
        (tmp_path / "home" / name / "ledger.db").touch()
    questions = {
        "res": "resume",
        "mov": "move",
        "del": "delete",
        "delete --wi": "--with-mlflow",
        "list --so": "--sort",
        f"show --home {tmp_path / 'home'} mi": "mine minor",
        f"delete --home {tmp_path / 'home'} other mino": "minor",
    }
    if command != str(SCRIPT):
        questions = {"res": "resume"}  # each takes a second, and what is installed is the same
    asks = "\n".join(
        f"COMP_WORDS=(lanewise {words}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); "
        f'_lanewise_completion {SCRIPT}; echo "${{COMPREPLY[@]}}"'
        for words in questions
    )
    asked = f"source '{installed}'\n{asks}"
    answered = subprocess.run(
        ["bash", "-c", asked], env=environment, capture_output=True, text=True, check=False, timeout=120
    )
    assert answered.stdout.splitlines() == [*questions.values()], answered.stderr
