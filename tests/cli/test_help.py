"""The command explains itself: verbs, examples that fit a terminal, and what to do about a wrong line."""

import re

import pytest

from ecoscale import __version__
from ecoscale.findings import DISCLAIMER

GROUPS = {"datasets": ("describe", "download", "check", "split")}
VERBS = (
    *("predict", "plot", "explain", "timeline", "info", "demo", "serve", "watch"),
    *("convert", "prepare", *GROUPS, "synth"),
    *("train", "finetune", "runs", "evaluate", "benchmark", "reproduce", "pack", "quantise"),
    *("models", "complexity", "design"),
)
LINES = [*((verb,) for verb in VERBS), *((group, verb) for group, verbs in GROUPS.items() for verb in verbs)]


@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"]])
def test_the_command_alone_lists_its_verbs_and_says_what_it_is_not(run, arguments):
    shown = run(*arguments).stdout
    for verb in VERBS:
        assert re.search(rf"^│ {verb} ", shown, re.MULTILINE), verb
    assert DISCLAIMER in " ".join(shown.split())


@pytest.mark.parametrize("verb", LINES, ids=" ".join)
def test_every_verb_shows_examples_each_on_a_line_of_its_own(run, verb):
    result = run(*verb, "--help")
    assert result.exit_code == 0
    shown = re.split("xamples?:", result.stdout, maxsplit=1)[1].partition("╭")[0]
    examples = [line for line in shown.splitlines() if line.strip()]
    assert examples
    # One that is too long for 100 columns would go on in a line of another form.
    assert all(line.lstrip().startswith(f"ecoscale {' '.join(verb)}") for line in examples)


@pytest.mark.parametrize(
    "verb",
    ["train", "finetune", "runs", "benchmark", "reproduce", "pack", "quantise", "models", "complexity", "design"],
)
def test_verbs_of_a_researcher_name_the_extra_that_they_need(run, verb):
    assert "needs ecoscale[train]" in " ".join(run(verb, "--help").stdout.split())


def test_version(run):
    result = run("--version")
    assert (result.exit_code, result.stdout) == (0, f"ecoscale {__version__}\n")


def test_a_mistyped_verb_is_answered_by_the_nearest(run):
    result = run("predct")
    assert result.exit_code == 2
    assert "Did you mean 'predict'?" in result.stderr


def test_predict_without_a_path_names_what_is_missing(run):
    result = run("predict")
    assert result.exit_code == 2
    assert "Missing argument 'PATH'" in result.stderr
