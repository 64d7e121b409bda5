"""`python -m ecoscale`: the command."""

from ecoscale.cli import app

app()
