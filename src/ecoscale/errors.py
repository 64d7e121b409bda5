"""The errors that ecoscale raises on purpose.

Each message names the file, the field, what was found, what was expected and what to do about it.
Anything else that escapes is a bug.
"""


class EcoscaleError(Exception):
    """Parent of every error that ecoscale raises on purpose."""


class FormatError(EcoscaleError):
    """A file is not what it claims to be, or lacks what reading it needs."""


class EmptyError(FormatError):
    """A recording is there and holds no signal, as its publisher left it."""


class ChannelError(EcoscaleError):
    """A channel is missing or named twice."""


class LeadError(ChannelError):
    """A lead is missing, unknown or named twice."""


class SignalError(EcoscaleError):
    """A signal cannot be what it is said to be: shape, rate, emptiness."""


class DatasetError(EcoscaleError):
    """A collection's files or labels are not as its publisher describes them."""


class StorageError(EcoscaleError):
    """Something at a URL cannot be had or written."""


class RecipeError(EcoscaleError):
    """A training recipe asks for something that does not exist or contradicts itself."""


class RunError(EcoscaleError):
    """A training run ended before its end, and can go on."""


class ModelError(EcoscaleError):
    """A network cannot be built with the configuration given."""


class BundleError(EcoscaleError):
    """A bundle is incomplete, altered, or does not compute what it did when it was packed."""


class ResultsError(EcoscaleError):
    """A file of results was made by another run, or by one that was interrupted and can go on."""


class SeriesError(EcoscaleError, ValueError):
    """Time series, their labels, or what an estimator is told about them cannot be used."""


class ClusterError(EcoscaleError):
    """A cluster cannot be reached, or its machines cannot do the work."""


class MissingExtraError(EcoscaleError, ImportError):
    """An optional dependency is not installed."""

    def __init__(self, what: str, package: str, extra: str) -> None:
        super().__init__(f"{what} needs the package {package!r}; install it with: pip install 'ecoscale[{extra}]'")
