"""`ecoscale datasets`: which collections can be read, and what is known of each."""

from ecoscale.datasets import list_collections


def test_every_collection_is_listed_with_source_and_licence(run):
    result = run("datasets", "list")
    assert result.exit_code == 0
    for cls in list_collections().values():
        (line,) = [line for line in result.stdout.splitlines() if line.startswith(cls.name)]
        assert cls.title in line
        assert cls.source in line
        assert cls.licence in line


def test_one_is_described_with_its_traps(run):
    result = run("datasets", "describe", "code15")
    assert result.exit_code == 0
    assert result.stdout.startswith("CODE-15%: 345,779 exams")
    assert "Traps" in result.stdout


def test_an_unknown_one_is_answered_by_those_there_are(run):
    result = run("datasets", "describe", "nosuch")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == f"error: no collection 'nosuch'; there are {', '.join(list_collections())}\n"
