"""The manifest of a Ray cluster on Kubernetes says what this version of ecoscale takes."""

import re
import shlex
from pathlib import Path

import pytest
import typer.main
import yaml

from ecoscale.cli import app

ROOT = Path(__file__).parents[2]

# ray-operator/apis/ray/v1 of KubeRay: rayjob_types.go and raycluster_types.go.
JOB = (
    *("activeDeadlineSeconds", "backoffLimit", "rayClusterSpec", "submitterPodTemplate", "metadata", "clusterSelector"),
    *("submitterConfig", "managedBy", "deletionStrategy", "entrypoint", "runtimeEnvYAML", "jobId", "submissionMode"),
    *("entrypointResources", "entrypointNumCpus", "entrypointNumGpus", "ttlSecondsAfterFinished"),
    *("shutdownAfterJobFinishes", "suspend"),
)
CLUSTER = (
    *("headGroupSpec", "workerGroupSpecs", "rayVersion", "enableInTreeAutoscaling", "autoscalerOptions"),
    *("headServiceAnnotations", "suspend"),
)
AUTOSCALER = (
    *("resources", "image", "imagePullPolicy", "env", "envFrom", "volumeMounts", "securityContext"),
    *("idleTimeoutSeconds", "upscalingMode"),
)
HEAD = ("serviceType", "headService", "enableIngress", "rayStartParams", "template")
WORKERS = (
    *("groupName", "replicas", "minReplicas", "maxReplicas", "numOfHosts", "rayStartParams", "template"),
    "scaleStrategy",
)


@pytest.fixture(scope="module")
def job() -> dict:
    return yaml.safe_load((ROOT / "deploy/kuberay/rayjob.yaml").read_text())


def groups(job):
    cluster = job["spec"]["rayClusterSpec"]
    return [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]


def containers(job):
    return [container for group in groups(job) for container in group["template"]["spec"]["containers"]]


def test_its_fields_are_those_of_the_api(job):
    assert (job["apiVersion"], job["kind"]) == ("ray.io/v1", "RayJob")
    cluster = job["spec"]["rayClusterSpec"]
    (workers,) = cluster["workerGroupSpecs"]
    for part, fields in (
        (job["spec"], JOB),
        (cluster, CLUSTER),
        (cluster["autoscalerOptions"], AUTOSCALER),
        (cluster["headGroupSpec"], HEAD),
        (workers, WORKERS),
    ):
        assert part.keys() <= set(fields)
    for group in groups(job):
        assert all(isinstance(value, str) for value in group["rayStartParams"].values())  # others are refused


def test_there_is_room_for_the_actors_that_its_command_asks_for(job):
    words = shlex.split(job["spec"]["entrypoint"])
    _, _, most = words[words.index("--actors") + 1].partition(":")
    (workers,) = job["spec"]["rayClusterSpec"]["workerGroupSpecs"]
    (container,) = workers["template"]["spec"]["containers"]
    assert int(most) == workers["maxReplicas"] * int(container["resources"]["limits"]["cpu"])


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
