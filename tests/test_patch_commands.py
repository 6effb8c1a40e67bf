"""The commands in the comments work as they are written: a real kubectl runs them against a server that merges."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from aiops_analysis.evidence.patchset import patch_files
from tests.api_server import ApiServer, api_server
from tests.frames import NAN
from tests.patching import both, planned, pod_spec, row
from tests.test_manifests import live, scaled

pytestmark = pytest.mark.skipif(shutil.which("kubectl") is None, reason="no kubectl on this machine")
OLD = {"requests": {"cpu": "500m", "memory": "1Gi"}, "limits": {"cpu": "2", "memory": "4Gi"}}
ORDER = {("todo", "Deployment", "backend"): ["zeta", "app", "alpha"], ("todo", "CronJob", "nightly"): ["zeta", "app", "alpha"]}


@pytest.fixture
def cluster() -> Iterator[tuple[ApiServer, str]]:
    with api_server(live(OLD), live(OLD, kind="CronJob", name="nightly"), scaled("cpu")) as found:
        yield found


def written(folder: Path, *rows: dict[str, object], formats: tuple[str, ...] = ("strategic", "json-patch")) -> None:
    for name, data in patch_files(planned(*rows), "demo", formats=formats, order=ORDER).files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)


def commands(file: Path) -> dict[str, str]:
    """The commands of a file by the word of the line above."""
    lines = [line.removeprefix("# ") for line in file.read_text().splitlines() if line.startswith("#")]
    return {
        words.split()[0].strip(":").lower(): line.strip()
        for words, line in pairwise(lines)
        if words.endswith(":") and line.startswith("  ")
    }


def run(command: str, folder: Path, url: str, home: Path) -> subprocess.CompletedProcess[str]:
    config = home / "kubeconfig"
    config.write_text(
        f"apiVersion: v1\nkind: Config\ncurrent-context: t\ncontexts: [{{name: t, context: {{cluster: t, user: t}}}}]\n"
        f"users: [{{name: t, user: {{}}}}]\nclusters: [{{name: t, cluster: {{server: '{url}'}}}}]\n"
    )
    environment = {"PATH": os.environ["PATH"], "HOME": str(home), "KUBECONFIG": str(config), "NO_PROXY": "127.0.0.1"}
    return subprocess.run(
        ["bash", "-o", "pipefail", "-c", command], cwd=folder, capture_output=True, text=True, env=environment, timeout=60
    )


@pytest.mark.parametrize("flavour", ["strategic", "json-patch"])
@pytest.mark.parametrize(("kind", "name"), [("Deployment", "backend"), ("CronJob", "nightly")])
def test_look_apply_and_roll_back_as_written(cluster, tmp_path: Path, flavour: str, kind: str, name: str) -> None:
    server, url = cluster
    written(tmp_path, row("cpu", kind=kind, workload=name, guarded_limit=NAN), row("memory", kind=kind, workload=name))
    file = tmp_path / flavour / f"todo.{kind.lower()}.{name}.yaml"
    found = commands(file)
    before = server.named(kind, name)

    look = run(found["look"], file.parent, url, tmp_path)
    assert look.returncode == 1, look.stderr  # diff: there is a difference
    shown = [line.split() for line in look.stdout.splitlines()[2:] if line[0] in "+-" and "generation" not in line]
    assert shown == [
        ["-", "cpu:", '"2"'],  # the limit that goes away, which kubectl diff does not show without a last-applied annotation
        ["-", "memory:", "4Gi"],
        ["+", "memory:", "512Mi"],
        ["-", "cpu:", "500m"],
        ["-", "memory:", "1Gi"],
        ["+", "cpu:", "100m"],
        ["+", "memory:", "256Mi"],
    ]
    assert all(dry for _, _, dry in server.calls)
    assert server.named(kind, name) == before

    assert run(found["apply"], file.parent, url, tmp_path).returncode == 0
    app = pod_spec(server.named(kind, name))["containers"][1]
    assert app["resources"] == {"requests": {"cpu": "100m", "memory": "256Mi"}, "limits": {"memory": "512Mi"}}

    assert run(found["roll"], file.parent, url, tmp_path).returncode == 0
    assert server.named(kind, name) == before


def test_a_json_patch_is_refused_by_a_cluster_that_changed(cluster, tmp_path: Path) -> None:
    _, url = cluster
    written(tmp_path, *both(current_request=0.25))  # another request than the cluster's
    file = tmp_path / "json-patch" / "todo.deployment.backend.yaml"
    done = run(commands(file)["apply"], file.parent, url, tmp_path)
    assert done.returncode != 0
    assert "test failed" in done.stderr


def test_the_target_of_an_autoscaler_too(cluster, tmp_path: Path) -> None:
    server, url = cluster
    written(tmp_path, row("cpu", hpa="backend", hpa_target=60.0, hpa_target_new=80.0))
    file = tmp_path / "strategic" / "todo.horizontalpodautoscaler.backend.yaml"
    found = commands(file)

    def target() -> int:
        (metric,) = server.named("HorizontalPodAutoscaler", "backend")["spec"]["metrics"]
        return metric["resource"]["target"]["averageUtilization"]

    for name, code, wanted in (("look", 1, 60), ("apply", 0, 80), ("roll", 0, 60)):
        done = run(found[name], file.parent, url, tmp_path)
        assert (done.returncode, target()) == (code, wanted), done.stderr


def test_diff_of_a_patch_file_itself_would_be_a_lie(tmp_path: Path) -> None:
    """Why no comment says ``kubectl diff -f`` of a patch: kubectl takes it for the whole object, so everything else seems to go."""
    thing = live(OLD)
    thing["metadata"]["annotations"] = {"kubectl.kubernetes.io/last-applied-configuration": json.dumps(thing)}
    written(tmp_path, *both())
    with api_server(thing) as (_, url):
        done = run("kubectl diff -f todo.deployment.backend.yaml", tmp_path / "strategic", url, tmp_path)
    gone = [line.split()[1:] for line in done.stdout.splitlines() if line.startswith("-")]
    assert ["restartPolicy:", "Always"] in gone
