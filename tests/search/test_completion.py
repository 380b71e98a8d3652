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
    asked = (
        f"source '{installed}'; COMP_WORDS=(lanewise res); COMP_CWORD=1; _lanewise_completion {SCRIPT}; echo $COMPREPLY"
    )
    answered = subprocess.run(
        ["bash", "-c", asked], env=environment, capture_output=True, text=True, check=False, timeout=120
    )
    assert answered.stdout == "resume\n", answered.stderr
