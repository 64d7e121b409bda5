"""`ecoscale complexity`: what networks cost, for people, documents and programs."""

import json

from ecoscale.models import list_models


def test_every_network_has_a_line(run):
    result = run("complexity", "--samples", 256)
    assert result.exit_code == 0
    heading, *lines = result.stdout.splitlines()
    assert heading.split()[:4] == ["model", "parameters", "stored", "GMAC"]
    assert [line.split()[0] for line in lines] == list_models()


def test_patterns_choose_networks_once_each_in_the_order_given(run):
    lines = run("complexity", "oscnn", "oscnn*", "fcn", "--samples", 128).stdout.splitlines()[1:]
    assert [line.split()[0] for line in lines] == [
        "oscnn",
        "oscnn_masked",
        "oscnn_residual",
        "oscnn_unbudgeted",
        "oscnn_uncapped",
        "fcn",
    ]


def test_what_is_saved_against_another_network_is_told(run):
    result = run("complexity", "ecoscalenet", "--against", "oscnn_unbudgeted", "--against", "oscnn")
    assert "against oscnn_unbudgeted" in result.stdout
    assert "-90.2 % parameters, -99.6 % MACs" in result.stdout
    assert "+4165.7 % parameters, +68.8 % MACs" in result.stdout


def test_json_is_one_object_a_network(run):
    result = run("complexity", "oscnn", "ecoscalenet", "--against", "oscnn", "--json")
    first, second = (json.loads(line) for line in result.stdout.splitlines())
    assert (first["model"], first["parameters"], first["unbroken"]) == ("oscnn", 246_549, [1, 162])
    assert first["milliseconds"] is None
    assert first["saved_percent"] == {"oscnn": {"parameters": 0, "macs": 0}}
    assert second["macs"] == 1_696_074_752


def test_markdown_is_a_table(run):
    lines = run("complexity", "oscnn", "--markdown").stdout.splitlines()
    assert lines[1] == "|" + " --- |" + " --: |" * 8
    assert lines[2].startswith("| oscnn | 246,549 | 246,549 | 1.005 | 178 | 1-162 by 1 |")


def test_latency_is_measured_where_it_is_asked_for(run):
    result = run("complexity", "fcn", "--samples", 128, "--measure", "--json")
    assert 0 < json.loads(result.stdout)["milliseconds"] < 1000


def test_wrong_questions_are_answered(run):
    result = run("complexity", "vgg*")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "no model matches 'vgg*'; there are ecoscalenet, " in result.stderr
    assert "no model 'oscn'; did you mean oscnn" in run("complexity", "fcn", "--against", "oscn").stderr
    assert run("complexity", "--json", "--markdown").exit_code == 2
