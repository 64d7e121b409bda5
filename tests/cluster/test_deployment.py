"""The manifest of a Ray cluster on Kubernetes says what this version of ecoscale takes."""

import re
import shlex
from pathlib import Path

import pytest
import typer.main
import yaml

from ecoscale.cli import app

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def job() -> dict:
    return yaml.safe_load((ROOT / "deploy/kuberay/rayjob.yaml").read_text())


def groups(job):
    cluster = job["spec"]["rayClusterSpec"]
    return [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]


def containers(job):
    return [container for group in groups(job) for container in group["template"]["spec"]["containers"]]


def test_its_command_is_one_that_the_command_line_takes(job):
    program, verb, *arguments = shlex.split(job["spec"]["entrypoint"])
    assert program == "ecoscale"
    command = typer.main.get_command(app).commands[verb]
    given = command.make_context(verb, arguments).params
    assert (given["engine"], given["address"], given["resume"]) == ("ray", "auto", True)
    assert given["out"].startswith("s3://")


def test_its_ray_is_the_one_that_the_image_has(job):
    (pinned,) = re.findall(r"(?m)^ray==(.+)$", (ROOT / "constraints.txt").read_text())
    assert job["spec"]["rayClusterSpec"]["rayVersion"] == pinned
    assert "ray" in re.search(r"'\.\[(.+)\]'", (ROOT / "deploy/kuberay/Dockerfile").read_text())[1].split(",")


def test_head_and_workers_have_one_image_and_the_same_credentials(job):
    assert len({container["image"] for container in containers(job)}) == 1
    assert all(container["envFrom"] == [{"secretRef": {"name": "ecoscale-storage"}}] for container in containers(job))


def test_what_ray_counts_is_what_a_machine_has(job):
    for container in containers(job):
        assert container["resources"]["requests"] == container["resources"]["limits"]
    assert groups(job)[0]["rayStartParams"]["num-cpus"] == "0"
    (workers,) = job["spec"]["rayClusterSpec"]["workerGroupSpecs"]
    assert 1 <= workers["minReplicas"] <= workers["replicas"] <= workers["maxReplicas"]
