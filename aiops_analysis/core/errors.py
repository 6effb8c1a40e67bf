"""Errors that stop a run, each with the exit code of the command line.

::

    AiopsError                 5  a run failed, or an internal error
    +-- UsageError             2  what a person typed or wrote is wrong
    |   +-- ParameterError        a notebook parameter
    |   +-- SettingsError         aiops.toml, an environment variable, a flag
    |   +-- PolicyError           a sizing policy
    +-- SourceError            3  a server could not be reached, or refused
    |   +-- SourceUnreachable     no connection, no name, no valid certificate, time over
    |   +-- SourceRefused         401, 403, 407
    |   +-- BadAnswer             not the expected API, or a broken answer
    |   +-- QueryTooLarge         the server refuses the size or the duration of a query
    +-- NotEnoughData          4  the history cannot answer yet
    +-- StoreError             5  the history store
    |   +-- StoreLocked        3  another process writes
    |   +-- StoreCorrupt          a file is not what its manifest says
    |   +-- StoreTooNew           written by a newer version
    |   +-- StoreNotWritable      read-only, full, gone
    +-- SchemaError            5  a frame breaks its contract
    +-- RunFailed              5  a notebook run did not end well

Every message is one line that says what was wrong, where, and what to do. Foreign errors are chained with ``from``.
"""

from __future__ import annotations

__all__ = [
    "AiopsError",
    "BadAnswer",
    "NotEnoughData",
    "ParameterError",
    "PolicyError",
    "QueryTooLarge",
    "RunFailed",
    "SchemaError",
    "SettingsError",
    "SourceError",
    "SourceRefused",
    "SourceUnreachable",
    "StoreCorrupt",
    "StoreError",
    "StoreLocked",
    "StoreNotWritable",
    "StoreTooNew",
    "UsageError",
]


class AiopsError(Exception):
    """Base class of all errors of this package; ``exit_code`` is what the command line ends with."""

    exit_code: int = 5


class UsageError(AiopsError):
    """What a person typed or wrote is wrong."""

    exit_code = 2


class ParameterError(UsageError):
    """A notebook parameter is unknown or of another type."""


class SettingsError(UsageError):
    """A setting in aiops.toml, the environment or a flag is wrong."""


class PolicyError(UsageError):
    """A sizing policy has an unknown key or an impossible value."""


class SourceError(AiopsError):
    """A server could not be reached or did not answer as it should."""

    exit_code = 3


class SourceUnreachable(SourceError):
    """No connection, no such host, no valid certificate, or the time is over."""


class SourceRefused(SourceError):
    """The server refused our credentials (401, 403, 407)."""


class BadAnswer(SourceError):
    """The answer is not of the expected API, or broken."""


class QueryTooLarge(SourceError):
    """The server refuses the size or the duration of a query; asking for less may help."""


class NotEnoughData(AiopsError):
    """The history cannot answer the question yet."""

    exit_code = 4


class StoreError(AiopsError):
    """The history store cannot be used as asked."""


class StoreLocked(StoreError):
    """Another process writes to the same cluster's history."""

    exit_code = 3


class StoreCorrupt(StoreError):
    """A file of the history is not what its manifest says."""


class StoreTooNew(StoreError):
    """The history was written by a newer version of this package."""


class StoreNotWritable(StoreError):
    """The history folder is read-only, full or gone."""


class SchemaError(AiopsError):
    """A frame does not keep its contract."""


class RunFailed(AiopsError):
    """A notebook run did not end well."""
