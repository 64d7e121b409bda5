"""`ecoscale models`: the networks with what they cost."""

from ecoscale.models import list_models


def rows(result):
    assert result.exit_code == 0
    heading, *lines = result.stdout.splitlines()
    return heading, {line.split()[0]: line for line in lines}


def test_every_network_is_listed_with_parameters_and_operations(run):
    heading, found = rows(run("models"))
    assert heading.split()[:4] == ["model", "parameters", "GMAC", "at"]
    assert list(found) == list_models()
    assert "10,516,934" in found["ecoscalenet"]
    assert "246,549" in found["oscnn"]


def test_a_pattern_and_a_length_may_be_given(run):
    heading, found = rows(run("models", "oscnn*", "--samples", 1000, "--leads", 8, "--classes", 2))
    assert "GMAC at 1000" in heading
    assert set(found) == {"oscnn", "oscnn_masked", "oscnn_residual", "oscnn_unbudgeted", "oscnn_uncapped"}
    assert "246,549" not in found["oscnn"]


def test_a_pattern_that_matches_none_is_answered_by_those_there_are(run):
    result = run("models", "vgg*")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("error: no model matches 'vgg*'; there are ecoscalenet, ")
