"""``ray_cluster.yaml``: valid for Ray, closed to strangers, and free of GPUs while nobody searches."""

import copy
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from ray.autoscaler._private.util import prepare_config, validate_config

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def declared():
    return yaml.safe_load((ROOT / "ray_cluster.yaml").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def config(declared):
    """The file as ``ray up`` completes it with the provider's defaults."""
    return prepare_config(copy.deepcopy(declared))


def node_types(config):
    head = config["available_node_types"][config["head_node_type"]]
    workers = [t for name, t in config["available_node_types"].items() if name != config["head_node_type"]]
    return head, workers


def start_commands(config):
    commands = [*config["head_start_ray_commands"], *config["worker_start_ray_commands"]]
    return [c for c in commands if "ray start" in c]


def test_ray_accepts_it(config):
    validate_config(config)


def test_ray_would_refuse_a_typo(config):
    with pytest.raises(Exception, match="idle_timeout_minuets"):
        validate_config({**config, "idle_timeout_minuets": 5})


def test_the_head_has_no_gpu_and_is_never_a_worker(config):
    head, _ = node_types(config)
    assert head["resources"].get("GPU", 0) == 0
    assert head["resources"]["CPU"] >= 1
    assert head["max_workers"] == 0


def test_gpu_workers_come_and_go(config):
    _, workers = node_types(config)
    assert workers
    for worker in workers:
        assert worker["resources"]["GPU"] >= 1
        assert worker["min_workers"] == 0
        assert worker["max_workers"] >= 1
    assert config["idle_timeout_minutes"] > 0
    assert config["max_workers"] >= max(w["max_workers"] for w in workers)


def test_every_node_starts_with_token_authentication(config):
    head, worker = start_commands(config)
    assert "--head" in head
    assert "--address=$RAY_HEAD_IP" in worker
    for command in (head, worker):
        assert "RAY_AUTH_MODE=token" in command.split("ray start")[0]
    assert config["file_mounts"]["~/.ray/auth_token"] == "~/.ray/auth_token", "where Ray looks for it"
    assert not any("RAY_AUTH_TOKEN=" in str(value) for value in config.values()), "no token in the file itself"


def test_the_dashboard_is_on_loopback(config):
    head, worker = start_commands(config)
    assert "--dashboard-host=127.0.0.1" in head
    assert "--dashboard-host" not in worker


def test_a_stopped_job_has_time_to_record_its_end(config):
    head, _ = start_commands(config)
    (setting,) = [word for word in head.split() if word.startswith("RAY_JOB_STOP_WAIT_TIME_S=")]
    assert int(setting.partition("=")[2]) >= 60


def test_every_node_installs_this_project_and_one_exact_ray(config):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    (install,) = [c for c in config["setup_commands"] if "~/lanewise" in c and "pip install" in c]
    (pinned,) = re.findall(r"'ray\[tune,default\]==([0-9.]+)'", install)
    (needed,) = [r for r in map(Requirement, project["dependencies"]) if r.name == "ray"]
    assert needed.specifier.contains(pinned)


def test_what_is_sent_to_the_nodes_is_there_and_is_enough(declared):
    sent = {remote: local for remote, local in declared["file_mounts"].items() if remote.startswith("~/lanewise/")}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    packages = {pattern.rstrip("*") for pattern in project["tool"]["setuptools"]["packages"]["find"]["include"]}
    files = {"pyproject.toml", project["project"]["readme"], *project["project"]["license-files"]}
    assert set(sent.values()) == packages | files
    for remote, local in sent.items():
        assert remote == f"~/lanewise/{local}"
        assert (ROOT / local).exists(), f"{local} is mounted but absent"


def test_the_home_is_one_folder_for_all_nodes(config):
    assert any("/lanewise" in c and "exports" in c for c in config["head_setup_commands"])
    mounts = [c for c in config["worker_start_ray_commands"] if "mount -t nfs" in c]
    assert len(mounts) == 1
    assert "$RAY_HEAD_IP:/lanewise /lanewise" in mounts[0]


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_every_command_parses(config):
    keys = [key for key in config if key.endswith("_commands")]
    assert len(keys) >= 5
    for key in keys:
        for command in config[key]:
            checked = subprocess.run(["bash", "-n", "-c", command], capture_output=True, text=True)
            assert checked.returncode == 0, f"{key}: {command}: {checked.stderr}"
