"""A real Ray head with its job server and token authentication, on loopback, in processes of its own."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import psutil

RAY = (sys.executable, "-m", "ray.scripts.scripts")
START_S = 90.0
END_S = 30.0


def free_ports(count: int) -> list[int]:
    """Return ports that were free a moment ago."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for s in sockets:
            s.bind(("127.0.0.1", 0))
        return [s.getsockname()[1] for s in sockets]


def command_line(process: psutil.Process) -> str:
    """Return how a process was called; nothing where it is gone by now."""
    try:
        return " ".join(process.cmdline())
    except (psutil.NoSuchProcess, psutil.ZombieProcess):
        return ""


def autoscaling(nodes: int, gcs_address: str) -> dict[str, Any]:
    """Return a cluster configuration whose provider starts nodes as processes on this machine."""
    stages = ("initialization", "setup", "head_setup", "worker_setup", "head_start_ray", "worker_start_ray")
    return {
        "cluster_name": "simulated",
        "max_workers": nodes,
        "upscaling_speed": 1.0,
        "idle_timeout_minutes": 1,
        "provider": {"type": "fake_multinode", "gcs_address": gcs_address, "disable_node_updaters": True},
        "auth": {},
        "head_node_type": "ray.head.default",
        "available_node_types": {
            "ray.head.default": {"resources": {"CPU": 1}, "node_config": {}, "max_workers": 0},
            "gpu": {"resources": {"CPU": 2, "GPU": 1}, "node_config": {}, "min_workers": 0, "max_workers": nodes},
        },
        "docker": {},
        "file_mounts": {},
        "cluster_synced_files": [],
        **{f"{stage}_commands": [] for stage in stages},
    }


class RayHead:
    """``ray start --head`` as ray_cluster.yaml does it, with free ports and a token of its own.

    Args:
        options: further options of ``ray start``.
        simulated_nodes: how many nodes of two cores and a GPU the autoscaler may add, as processes here.
    """

    def __init__(self, *options: str, simulated_nodes: int = 0) -> None:
        # Sockets lie in here, and their paths may have about 100 characters.
        self.folder = Path(tempfile.mkdtemp(prefix="lanewise-ray-"))
        token = self.folder / "token"
        token.write_text(secrets.token_hex(32))
        token.chmod(0o600)
        self.gcs_port, dashboard_port, client_port = free_ports(3)
        self.url = f"http://127.0.0.1:{dashboard_port}"
        self.token = token.read_text()
        bin_folder = str(Path(sys.executable).parent)
        kept = {k: v for k, v in os.environ.items() if not k.startswith("RAY_")}
        self.environment = {
            **kept,
            "PATH": f"{bin_folder}{os.pathsep}{os.environ['PATH']}",
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN_PATH": str(token),
            # Or Ray takes the outer address for 127.0.0.1, and listens on every interface.
            "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
        }
        command = [*RAY, "start", "--head", "--block", f"--port={self.gcs_port}", "--node-ip-address=127.0.0.1"]
        command += ["--dashboard-host=127.0.0.1", f"--dashboard-port={dashboard_port}"]
        command += ["--dashboard-agent-listen-port=0", "--dashboard-agent-grpc-port=0", "--metrics-export-port=0"]
        command += [f"--ray-client-server-port={client_port}", "--min-worker-port=0", "--max-worker-port=0"]
        command += ["--disable-usage-stats", f"--temp-dir={self.folder}", *options]
        own = {"RAY_JOB_STOP_WAIT_TIME_S": "60"}
        self._simulated_nodes = simulated_nodes
        if simulated_nodes:
            config = self.folder / "cluster.json"
            config.write_text(json.dumps(autoscaling(simulated_nodes, f"127.0.0.1:{self.gcs_port}")))
            command += [f"--autoscaling-config={config}"]
            own |= {"RAY_FAKE_CLUSTER": "1", "AUTOSCALER_UPDATE_INTERVAL_S": "1"}
        self._log = self.folder / "head.log"
        with self._log.open("w") as log:
            self._process = subprocess.Popen(
                command,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**self.environment, **own},
                start_new_session=True,
            )
        self._wait_until_up()

    def ray(self, *arguments: str, environment: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        """Run a ``ray`` command as a client that has the token."""
        return subprocess.run(
            [*RAY, *arguments],
            env={**self.environment, **(environment or {})},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=240,
        )

    def ask(self, path: str, *, token: str | None = None, data: dict[str, Any] | None = None) -> tuple[int, Any]:
        """Ask the job server; return the HTTP status and what it answered."""
        request = urllib.request.Request(self.url + path, data=None if data is None else json.dumps(data).encode())
        request.add_header("Content-Type", "application/json")
        if token is not None:
            request.add_header("Authorization", f"Bearer {token}")
        try:
            with urllib.request.urlopen(request, timeout=30) as response:
                return response.status, json.loads(response.read())
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def job(self, job_id: str) -> dict[str, Any]:
        """Return what the server knows of a job, with its output."""
        _, facts = self.ask(f"/api/jobs/{job_id}", token=self.token)
        _, logs = self.ask(f"/api/jobs/{job_id}/logs", token=self.token)
        return {**facts, **logs}

    def processes(self) -> list[psutil.Process]:
        """Return the head's processes, the jobs' included."""
        root = psutil.Process(self._process.pid)
        return [root, *root.children(recursive=True)]

    def autoscaler_log(self) -> str:
        """Return what the autoscaler had to say."""
        return (self.folder / "session_latest" / "logs" / "monitor.log").read_text()

    def end(self) -> list[str]:
        """End the head with SIGTERM; return the processes that were left, which are killed.

        Simulated nodes are among these: a head leaves the other nodes of its cluster alone.
        """
        processes = self.processes()
        self._process.terminate()
        _, alive = psutil.wait_procs(processes, timeout=END_S / 6 if self._simulated_nodes else END_S)
        left = [line[:120] for line in map(command_line, alive) if line]
        for process in alive:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        self._process.wait()
        psutil.wait_procs(alive, timeout=END_S)
        shutil.rmtree(self.folder, ignore_errors=True)
        return left

    def _wait_until_up(self) -> None:
        deadline = time.monotonic() + START_S
        while True:
            with contextlib.suppress(OSError):
                paths = ("/api/version", "/api/v0/nodes")
                if all(self.ask(path, token=self.token)[0] == 200 for path in paths):
                    return
            if self._process.poll() is not None or time.monotonic() > deadline:
                said = self._log.read_text()
                self.end()
                raise RuntimeError(f"the head did not come up:\n{said}")
            time.sleep(0.3)
