"""Which program answers behind a Prometheus API, and what each is asked to send whole answers (ecosystem.md section 8)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from types import MappingProxyType
from typing import Any
from urllib.parse import urlsplit

__all__ = ["Flavour", "hosted", "left_open", "named", "region_of", "whole_answers"]

_AMP = re.compile(r"aps-workspaces(?:-fips)?\.([a-z0-9-]+)\.(?:amazonaws\.com(?:\.cn)?|api\.aws)")
#: Managed services, by the host name that only they have.
_HOSTS: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("amp", _AMP),
    ("gmp", re.compile(r"monitoring\.googleapis\.com")),
    ("azure-monitor", re.compile(r"(?:.+\.)?prometheus\.monitor\.azure\.(?:com|cn|us)")),
    ("grafana-cloud", re.compile(r".+\.grafana\.net")),
)
_TIMEOUT = {"timeout": "110s"}
_THANOS = {"partial_response": "false", "dedup": "true", "max_source_resolution": "0s"}
_VICTORIA = {"deny_partial_response": "1", "nocache": "1"}
#: Without partial answers, averages of Thanos or the cache of VictoriaMetrics. A Prometheus ignores what it does not know, and a proxy may
#: make something else look like one, so both get everything; services that may refuse unknown fields get what their API documents.
_WHOLE: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "thanos": _THANOS | _TIMEOUT,
        "victoriametrics": _VICTORIA | _TIMEOUT,
        **dict.fromkeys(("mimir", "cortex", "amp", "gmp", "azure-monitor", "grafana-cloud"), _TIMEOUT),
    }
)


@dataclass(frozen=True, slots=True)
class Flavour:
    """What answers: name, version, and how long it keeps samples (None: it does not say)."""

    name: str
    version: str
    retention: timedelta | None = None


def hosted(url: str) -> str:
    """The managed service that a URL belongs to, "" for a server of one's own.

    >>> hosted("https://aps-workspaces.eu-central-1.amazonaws.com/workspaces/ws-1"), hosted("http://prometheus:9090")
    ('amp', '')
    """
    host = urlsplit(url).hostname or ""
    return next((name for name, pattern in _HOSTS if pattern.fullmatch(host)), "")


def region_of(url: str) -> str:
    """The AWS region in the host name of an AMP workspace, "" for any other URL."""
    found = _AMP.fullmatch(urlsplit(url).hostname or "")
    return found[1] if found else ""


def named(build: Mapping[str, Any]) -> str:
    """The program by its build information alone, "" when that does not tell.

    Mimir and Cortex say their name; VictoriaMetrics claims a version and no Go; Thanos is still below 1.0 where Prometheus is not.
    """
    application = str(build.get("application", "")).lower()
    known = next((name for name in ("mimir", "cortex", "thanos") if name in application), "")
    if known or not build.get("goVersion"):
        return known
    return "thanos" if str(build.get("version", "")).startswith("0.") else "prometheus"


def whole_answers(name: str) -> Mapping[str, str]:
    """The fields that ask a program of this flavour for whole and exact answers."""
    return _WHOLE.get(name, _THANOS | _VICTORIA | _TIMEOUT)


def left_open(flavour: Flavour) -> bool:
    """True where a range leaves out its left edge: from Prometheus 3 on, a window as long as the scrape interval holds one sample."""
    return flavour.name == "prometheus" and flavour.version.split(".")[0].isdigit() and int(flavour.version.split(".")[0]) >= 3
