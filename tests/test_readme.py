"""What the README says holds."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


ECGS, SERIES = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)


def test_the_example_of_ecgs_runs_and_finds_what_it_made(capsys):
    exec(compile(ECGS, "README.md", "exec"), {})
    shown = capsys.readouterr().out
    assert re.search(r"^AF +0\.\d+ present$", shown, flags=re.MULTILINE)
    assert "not a diagnosis" in shown


def test_the_example_of_series_runs_and_tells_the_classes(capsys):
    exec(compile(SERIES, "README.md", "exec"), {})
    assert float(capsys.readouterr().out) > 0.9


def test_every_link_into_the_repository_leads_somewhere():
    links = re.findall(r"\]\((?!https?:)([^)#]+)", README)
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_every_verb_in_the_readme_exists():
    import typer

    from ecoscale.cli import app

    verbs = set(typer.main.get_command(app).commands)
    assert set(re.findall(r"^ecoscale ([a-z]+)", README, flags=re.MULTILINE)) <= verbs


def test_the_table_of_networks_is_what_its_command_prints():
    from typer.testing import CliRunner

    from ecoscale.cli import app

    command, shown = re.search(r"```\necoscale (complexity .*?)\n```\n\n(\|.*?)\n\n", README, flags=re.DOTALL).groups()
    result = CliRunner().invoke(app, command.replace("\\\n", " ").split())
    assert result.stdout.strip() == shown
