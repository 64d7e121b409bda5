"""The manifest for KubeRay: fields that its API has, one image, and a command that ecoscale accepts."""

import shlex
from pathlib import Path

import pytest
import typer
import yaml

from ecoscale.cli import app
from ecoscale.cli._archive import Engine

MANIFEST = Path(__file__).parents[2] / "deploy" / "kuberay" / "rayjob.yaml"

# ray-operator/apis/ray/v1: rayjob_types.go and raycluster_types.go of KubeRay.
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
def manifest():
    return yaml.safe_load(MANIFEST.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def cluster(manifest):
    return manifest["spec"]["rayClusterSpec"]


def test_its_fields_are_those_of_the_api(manifest, cluster):
    assert (manifest["apiVersion"], manifest["kind"]) == ("ray.io/v1", "RayJob")
    (workers,) = cluster["workerGroupSpecs"]
    for part, fields in (
        (manifest["spec"], JOB),
        (cluster, CLUSTER),
        (cluster["autoscalerOptions"], AUTOSCALER),
        (cluster["headGroupSpec"], HEAD),
        (workers, WORKERS),
    ):
        assert part.keys() <= set(fields)
    for group in (cluster["headGroupSpec"], workers):
        # Required, and strings: a number would be refused.
        assert all(isinstance(value, str) for value in group["rayStartParams"].values())


def test_its_command_is_one_that_ecoscale_accepts(manifest):
    program, verb, *words = shlex.split(manifest["spec"]["entrypoint"])
    command = typer.main.get_command(app).commands[verb]  # pyright: ignore[reportAttributeAccessIssue]
    given = command.make_context(f"{program} {verb}", words).params
    assert (program, given["engine"], given["resume"]) == ("ecoscale", Engine.RAY, True)
    assert given["part_size"] % given["batch_size"] == 0
    assert all(url.startswith("s3://") for url in (*given["paths"], given["out"]))


def test_there_is_room_for_the_actors_that_its_command_asks_for(manifest, cluster):
    words = shlex.split(manifest["spec"]["entrypoint"])
    _, _, most = words[words.index("--actors") + 1].partition(":")
    (workers,) = cluster["workerGroupSpecs"]
    (container,) = workers["template"]["spec"]["containers"]
    assert int(most) == workers["maxReplicas"] * int(container["resources"]["limits"]["cpu"])


def test_all_machines_have_one_image_the_version_of_ray_that_is_pinned_and_the_same_secrets(cluster):
    (workers,) = cluster["workerGroupSpecs"]
    containers = [group["template"]["spec"]["containers"][0] for group in (cluster["headGroupSpec"], workers)]
    assert len({container["image"] for container in containers}) == 1
    assert containers[0]["envFrom"] == containers[1]["envFrom"]
    pins = (MANIFEST.parents[2] / "constraints.txt").read_text(encoding="utf-8").splitlines()
    assert f"ray=={cluster['rayVersion']}" in pins
