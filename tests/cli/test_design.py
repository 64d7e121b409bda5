"""`ecoscale design`: from a rate, a receptive field and a budget to a network."""

import pytest
import yaml

from ecoscale.models import create_model
from ecoscale.models.ecoscalenet_lean import LEAN


def test_stages_kernels_coverage_parameters_and_operations_are_printed(run):
    result = run(
        "design",
        "--rate",
        400,
        "--samples",
        4096,
        "--receptive-field",
        "1.28s",
        "--budget",
        "0.5M",
        "--kernels",
        "radix",
    )
    assert result.exit_code == 0
    shown = result.stdout
    assert shown.startswith("receptive field 512 samples (1.28 s at 400 Hz), radix kernels, at most 500,000 parameters")
    assert "1 9 17 25 | 1 33 | 1 2 3 4 5 6 7 8  1-64" in shown
    assert "438,934 parameters, 0.0495 GMAC at 4096 samples (10.24 s)" in shown


def test_what_it_prints_for_a_recipe_makes_the_network(run):
    shown = run("design", "--budget", "200k", "--kernels", "dilated", "--leads", 3, "--classes", 2).stdout
    section = yaml.safe_load(shown.partition("in a recipe:\n")[2])["model"]
    network = create_model(section["name"], 3, 2, **section["config"])
    count = sum(p.numel() for p in network.parameters())
    assert f"whole network: {count:,} parameters" in shown
    assert count <= 200_000


def test_a_lean_network_can_be_designed(run):
    shown = run("design", "--budget", "0.5M", "--lean").stdout
    assert "dilated kernels" in shown
    config = yaml.safe_load(shown.partition("in a recipe:\n")[2])["model"]["config"]
    assert config == {"kernel_sizes": config["kernel_sizes"], "width": config["width"], **LEAN}
    assert config["width"] == 26  # that of ecoscalenet_lean_tiny


def test_gaps_of_prime_kernels_are_shown(run):
    assert "1-54 of 62" in run("design", "--kernels", "prime").stdout


def test_a_network_without_blocks_can_be_designed(run):
    assert run("design", "--kernels", "none").stdout.count("no block") == 4


@pytest.mark.parametrize(("text", "samples"), [("1.28s", 512), ("640ms", 256), ("100", 100), ("0.5 s", 200)])
def test_lengths_may_be_given_in_seconds_or_samples(run, text, samples):
    assert run("design", "--receptive-field", text).stdout.startswith(f"receptive field {samples} samples")


@pytest.mark.parametrize(
    ("option", "value", "expected"),
    [
        ("--receptive-field", "long", "expected 1.28s, 600ms or a number of samples"),
        ("--budget", "1G", "expected 0.5M, 200k or a number"),
        ("--budget", "1k", "above the budget of 1,000"),
        ("--receptive-field", "0", "receptive field 0"),
    ],
)
def test_wrong_questions_are_answered(run, option, value, expected):
    result = run("design", option, value)
    assert result.exit_code == 2
    assert expected in " ".join(result.stderr.replace("│", " ").split())
