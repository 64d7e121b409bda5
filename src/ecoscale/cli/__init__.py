"""The command `ecoscale`: one file a verb, thin: parse, call, print.

Verbs import what they need when they run, so that those of a user never load torch.
"""

from ecoscale.cli._app import app

__all__ = ["app"]
