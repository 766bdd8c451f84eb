"""The Kubernetes profile with the engine's real executor: a server on loopback is the cluster, which runs a pod's command."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import yaml

from sublingual.data.embedded import embedded_folder
from sublingual.study.config import Study
from sublingual.study.engine import run
from sublingual.study.steps import steps

pytestmark = pytest.mark.filterwarnings("ignore")  # the engine's own
pytest.importorskip("snakemake_executor_plugin_kubernetes")

UD = embedded_folder()


class Cluster(ThreadingHTTPServer):
    """Takes jobs, runs each one's command on this computer, and says how it ended."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answers)
        self.jobs: dict[str, dict[str, Any]] = {}
        self.ends: dict[str, int] = {}

    def begin(self, job: dict[str, Any]) -> None:
        name = job["metadata"]["name"]
        self.jobs[name] = job
        Thread(target=self._run, args=(name,), daemon=True).start()

    def _run(self, name: str) -> None:
        (container,) = self.jobs[name]["spec"]["template"]["spec"]["containers"]
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        words = [*container["command"], *container["args"]]
        self.ends[name] = subprocess.run(words, env={**os.environ, "PATH": path}, capture_output=True).returncode


class Answers(BaseHTTPRequestHandler):
    server: Cluster

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path.endswith("/jobs"):
            self.server.begin(body)
        self._say(body, 201)

    def do_GET(self) -> None:
        if not self.path.endswith("/status"):
            self._say({"kind": "PodList", "items": []})
            return
        name = self.path.split("/")[-2]
        end = self.server.ends.get(name)
        status = {} if end is None else {"succeeded": 1} if end == 0 else {"failed": 1}
        self._say({**self.server.jobs[name], "status": status})

    def do_DELETE(self) -> None:
        self._say({"kind": "Status", "status": "Success"})

    def _say(self, value: object, code: int = 200) -> None:
        text = json.dumps(value).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    server = Cluster()
    Thread(target=server.serve_forever, daemon=True).start()
    context = {"name": "here", "context": {"cluster": "here", "user": "me"}}
    address = {"name": "here", "cluster": {"server": f"http://127.0.0.1:{server.server_port}"}}
    config = {"clusters": [address], "contexts": [context], "users": [{"name": "me", "user": {}}]}
    (tmp_path / "kube.yaml").write_text(yaml.safe_dump({**config, "current-context": "here"}))
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "kube.yaml"))
    monkeypatch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(tmp_path / "kube.yaml"))
    for name in ("PATH", "OMP_NUM_THREADS", "SUBLINGUAL_UD", "SUBLINGUAL_ENGINE"):  # which the Snakefile sets
        monkeypatch.setenv(name, os.environ.get(name, ""))
    yield server
    server.shutdown()
    server.server_close()


@pytest.mark.slow
@pytest.mark.parametrize("gpus", [0, 1])
def test_a_step_is_done_by_a_pod_that_has_the_image_the_volume_and_what_it_asks_for(
    cluster: Cluster, toy: Callable[..., Study], tmp_path: Path, gpus: int
) -> None:
    folder, profile = tmp_path / "study", tmp_path / "profile"
    profile.mkdir()
    ours = yaml.safe_load(
        (files("sublingual") / "study" / "profiles" / "kubernetes" / "config.yaml").read_text("utf-8")
    )
    own = {"container-image": "me/mine:1", "kubernetes-persistent-volumes": [f"disk:{folder}"]}
    own |= {"default-resources": ["gpu_manufacturer='nvidia'"]} if gpus else {}
    chosen = toy(f"gpus={gpus}")
    (profile / "config.yaml").write_text(yaml.safe_dump({**ours, **own, "seconds-between-status-checks": 1}))
    graph = steps(chosen, ud=UD)
    said: list[str] = []
    outcome = run(
        chosen, UD, folder, steps=graph, cores=1, wanted=["models/stage1-0"], profile=str(profile), say=said.append
    )
    assert outcome.ok, (said, outcome.complaints)
    assert (folder / "models" / "stage1-0" / "manifest.json").is_file()
    (job,) = cluster.jobs.values()
    spec = job["spec"]["template"]["spec"]
    (container,) = spec["containers"]
    assert container["image"] == "me/mine:1"
    assert {"name": "disk", "mountPath": str(folder)} in container["volumeMounts"]
    assert {"name": "disk", "persistentVolumeClaim": {"claimName": "disk"}} in spec["volumes"]
    assert container["resources"]["requests"]["memory"] == "4000M"
    assert container["resources"]["requests"].get("nvidia.com/gpu") == (str(gpus) if gpus else None)
