"""What every verb shares: its settings, what may be shown, and where it is written (ecosystem.md section 9).

Results go to stdout, everything else to stderr; with ``--json`` stdout holds exactly one document, also for an error.
"""

from __future__ import annotations

import json
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from aiops_analysis.core.redact import Redactor
    from aiops_analysis.settings import Settings

__all__ = [
    "BillingOption",
    "ClusterOption",
    "DaysOption",
    "DebugOption",
    "EndOption",
    "HistoryOption",
    "InsecureOption",
    "JsonOption",
    "PolicyOption",
    "PricesOption",
    "PrometheusOption",
    "Session",
    "session_of",
]

ClusterOption = Annotated[
    str | None, typer.Option("--cluster", metavar="NAME", help="Cluster of the history; without any setting, the demo.")
]
PrometheusOption = Annotated[
    str | None, typer.Option("--prometheus", metavar="URL", help="Metrics server; credentials come from the environment.")
]
HistoryOption = Annotated[str | None, typer.Option("--history", metavar="DIR", help="Folder of the history [data/history].")]
DaysOption = Annotated[str | None, typer.Option("--days", metavar="N", help="Length of the window in UTC days, such as 28 or 14d.")]
EndOption = Annotated[
    str | None, typer.Option("--end", metavar="DATE", help="ISO date at whose midnight (UTC) the window ends [newest whole day].")
]
PolicyOption = Annotated[str | None, typer.Option("--policy", metavar="NAME", help="Sizing policy: seed, krr, vpa, or a .toml file.")]
PricesOption = Annotated[
    str | None, typer.Option("--prices", metavar="FILE", help="Price sheet (TOML, CSV) or public price list [OpenCost's defaults].")
]
BillingOption = Annotated[str | None, typer.Option("--billing", metavar="FILE", help="FOCUS billing export; beats the prices.")]
InsecureOption = Annotated[bool, typer.Option("--insecure", help="Do not verify the server's certificate, this once.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Exactly one JSON document on stdout, also for an error.")]
DebugOption = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]


@dataclass(slots=True)
class Session:
    """One call of the command line."""

    json: bool = False
    debug: bool = False
    redactor: Redactor | None = None

    def settings(self, **flags: Any) -> Settings:
        """The settings under these flags (None and False were not given); their secrets are redacted from now on.

        Raises SettingsError.
        """
        from aiops_analysis.settings import load

        found = load({name: value for name, value in flags.items() if value not in (None, False)})
        self.redactor = found.redactor()
        return found

    def clean(self, text: str) -> str:
        """The text without a secret of the environment or the settings."""
        if self.redactor is None:
            from aiops_analysis.settings import Settings

            self.redactor = Settings().redactor()
        return self.redactor.clean(text)

    def document(self, value: Mapping[str, Any]) -> None:
        """Write a result as the one JSON document of ``--json``."""
        from aiops_analysis.evidence.record import json_bytes

        self.say(json_bytes(value).decode("utf-8").rstrip("\n"))

    def say(self, text: str) -> None:
        """Write a line of the result."""
        typer.echo(self.clean(text))

    def tell(self, text: str) -> None:
        """Write a line beside the result."""
        typer.echo(self.clean(text), err=True)

    def failed(self, message: str, code: int, error: BaseException) -> int:
        """Say in one line what went wrong, as JSON too when that was asked for, and return the exit code."""
        from aiops_analysis.core.names import visible

        text = self.clean(visible(" ".join(message.split()), 2000))
        if self.debug:
            self.tell("".join(traceback.format_exception(error)).rstrip())
        self.tell(f"error: {text}")
        if self.json:
            typer.echo(json.dumps({"error": text, "exit_code": code}))
        return code


def session_of(context: typer.Context) -> Session:
    """The session of a verb's context; a new one when the verb is called on its own."""
    return context.obj if isinstance(context.obj, Session) else Session()
