"""What a run is told once: defaults < aiops.toml < AIOPS_* environment < flags (ecosystem.md section 9).

``Settings`` itself is plain, so that a kernel started by our runner gets it as JSON and imports no settings library. Secrets are
never part of that JSON: they are read from the environment or from mounted files when they are needed.
"""

from __future__ import annotations

import html
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from aiops_analysis.core.errors import SettingsError
from aiops_analysis.core.redact import Redactor, strip_credentials

if TYPE_CHECKING:
    from aiops_analysis.core.pricing import PriceList
    from aiops_analysis.sources.http import AwsKeys, Server
    from aiops_analysis.sources.promql import Scope
    from aiops_analysis.workflows.money import Asked

__all__ = ["DEMO", "ONE_CLUSTER", "PrometheusSettings", "Settings", "bundled", "load"]

#: The cluster name of the bundled demo history.
DEMO = "demo"
#: A ``cluster_label`` that says: whatever labels there are, the server holds one cluster.
ONE_CLUSTER = "none"
_TOKEN, _PASSWORD, _PROXY_PASSWORD = "AIOPS_PROMETHEUS_TOKEN", "AIOPS_PROMETHEUS_PASSWORD", "AIOPS_PROMETHEUS_PROXY_PASSWORD"
_AWS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
_SHORTEST_SECRET = 4


@dataclass(frozen=True, slots=True)
class PrometheusSettings:
    """How to reach the metrics server; no field holds a secret."""

    url: str = ""
    auth: str = ""  # "" decides by what is set: a token, a user name, or nothing
    username: str = ""
    token_file: str = ""
    token_command: tuple[str, ...] = ()  # a program and its arguments; prints a token or an ExecCredential
    password_file: str = ""
    ca_file: str = ""
    client_cert_file: str = ""
    client_key_file: str = ""
    org_id: str = ""  # X-Scope-OrgID
    proxy: str = ""
    proxy_username: str = ""
    region: str = ""  # of SigV4; "": from the host name, else AWS_REGION
    cluster_label: str = ""
    query_params: Mapping[str, str | tuple[str, ...]] = field(default_factory=dict)
    headers_env: Mapping[str, str] = field(default_factory=dict)  # header -> environment variable that holds its value
    names: Mapping[str, str] = field(default_factory=dict)  # standard metric -> the server's name


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of one process; ``origins`` says where each value that is not a default came from."""

    prometheus: PrometheusSettings = PrometheusSettings()
    cluster: str = ""
    history: Path | None = None
    reports: Path = Path("reports")
    policy: str = ""
    days: int = 30  # how far back a pull goes [UTC days]
    namespaces: tuple[str, ...] = ()
    adr_dir: Path = Path("docs/adr")
    prices: Path | None = None  # a price sheet or a public price list; None: default prices
    billing: Path | None = None  # a billing export
    currency: str = ""  # that figures must be in, "" for that of the prices
    helm: Mapping[str, str] = field(
        default_factory=dict
    )  # "namespace/Kind/workload/container" -> path of its resources in a chart's values
    hours: Mapping[str, Any] = field(default_factory=dict)  # when people work: zone, days, start, end of HoursPolicy
    nodes: Mapping[str, Any] = field(default_factory=dict)  # autoscaler, and minimum: pool -> smallest number of nodes
    costs: Mapping[str, Any] = field(default_factory=dict)  # shared: namespaces whose cost is spread, and rule
    insecure: bool = False  # from a flag only
    home: Path = Path()
    config_file: Path | None = None
    origins: Mapping[str, str] = field(default_factory=dict)

    @property
    def demo(self) -> bool:
        """True when neither a server nor a history is named: the bundled demo history answers."""
        return not self.prometheus.url and self.history is None and self.cluster in ("", DEMO)

    @property
    def cluster_name(self) -> str:
        """The cluster's name in the store and in reports."""
        return DEMO if self.demo else self.cluster or "default"

    @property
    def history_root(self) -> Path:
        """The folder of the history store; the bundled one for the demo."""
        if self.demo:
            return bundled("demo") / "history"
        return self.history or self.home / "data" / "history"

    @property
    def records(self) -> Path:
        """The folder of decision records: ``adr_dir``; the bundled one for the demo, until ``adr_dir`` is set or there."""
        if self.demo and "adr_dir" not in self.origins and not self.adr_dir.is_dir():
            return bundled("demo") / "adr"
        return self.adr_dir

    def money(self) -> Asked:
        """By which prices and rules money is counted. Raises UsageError and SettingsError as ``price_list``."""
        from aiops_analysis.workflows.money import Asked

        given: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in {**self.nodes, **self.costs}.items()}
        return Asked(self.price_list(), self.billing, self.currency, **given)

    def price_list(self) -> PriceList:
        """The prices of these settings, OpenCost's defaults where none are named; in the currency of the settings.

        Raises UsageError for a file that is no price list, and SettingsError for prices in another currency.
        """
        from aiops_analysis.core.pricing import OPENCOST
        from aiops_analysis.sources.prices import read_prices

        found = read_prices(self.prices, currency=self.currency or OPENCOST.currency) if self.prices else OPENCOST
        # without prices of one's own a bill may be in the currency that is asked for
        if self.currency and found.currency != self.currency and (self.prices or not self.billing):
            where = self.origins.get("currency", "set")
            hint = "give prices in it with --prices" if not self.prices else "a report has one currency"
            raise SettingsError(f"{found.source} is in {found.currency}, but the currency is {self.currency} ({where}); {hint}")
        return found

    def server(self, environ: Mapping[str, str] | None = None) -> Server | None:
        """The server to ask, with its credentials; None when no URL is set.

        Raises SettingsError for contradicting or missing credentials.
        """
        from aiops_analysis.sources.http import Server

        if not self.prometheus.url:
            return None
        environ = os.environ if environ is None else environ
        given, prom = self._given(environ), self.prometheus
        auth = self._auth(given)
        bearer = auth == "bearer" and not given["token"]
        return Server(
            url=prom.url,
            auth=auth,
            username=prom.username if auth == "basic" else "",
            password=given["password"] if auth == "basic" else "",
            token=given["token"] if auth == "bearer" else "",
            token_file=prom.token_file if bearer else "",
            token_command=prom.token_command if bearer else (),
            ca_file=prom.ca_file,
            client_cert_file=prom.client_cert_file,
            client_key_file=prom.client_key_file,
            headers={name: given[f"header:{name}"] for name in prom.headers_env},
            org_id=prom.org_id,
            query_params=prom.query_params,
            proxy=prom.proxy,
            proxy_username=prom.proxy_username,
            proxy_password=given["proxy password"],
            region=self._region(environ) if auth == "sigv4" else "",
            aws_keys=_aws_keys(environ) if auth == "sigv4" else None,
            insecure=self.insecure,
        )

    def _auth(self, given: Mapping[str, str]) -> str:
        """The way to authenticate; raises SettingsError for one that contradicts what is set."""
        prom = self.prometheus
        token = bool(given["token"] or prom.token_file or prom.token_command)
        auth = prom.auth or ("bearer" if token else "basic" if prom.username else "none")
        if not prom.auth and auth == "bearer" and prom.username:
            raise SettingsError("both a token and a user name are set for Prometheus; set prometheus.auth to bearer or basic")
        if prom.token_file and prom.token_command:
            raise SettingsError("prometheus.token_file and prometheus.token_command are both set; keep one of them")
        if auth == "bearer" and not token:
            raise SettingsError(
                f"prometheus.auth is bearer, but neither {_TOKEN} nor prometheus.token_file nor prometheus.token_command is set"
            )
        if auth == "basic" and not (prom.username and given["password"]):
            raise SettingsError(f"prometheus.auth is basic: set prometheus.username and {_PASSWORD} (or prometheus.password_file)")
        return auth

    def _region(self, environ: Mapping[str, str]) -> str:
        """The AWS region: as set, as the host name says, as AWS itself is told."""
        from aiops_analysis.sources.flavours import region_of

        known = self.prometheus.region or region_of(self.prometheus.url)
        return known or environ.get("AWS_REGION", "") or environ.get("AWS_DEFAULT_REGION", "")

    def scope(self) -> Scope:
        """The part of the server that is asked: the cluster where a label holds it, and the namespaces.

        Raises UsageError for an impossible label name.
        """
        from aiops_analysis.sources.promql import Scope

        label = self.prometheus.cluster_label
        if label == ONE_CLUSTER:
            return Scope(namespaces=self.namespaces, single=True)
        return Scope(label, self.cluster_name if label else "", self.namespaces)

    def redactor(self, environ: Mapping[str, str] | None = None) -> Redactor:
        """Knows every secret of these settings, also as Python, JSON and HTML write it."""
        redactor = Redactor()
        given = self._given(os.environ if environ is None else environ, strict=False)
        if self.prometheus.token_file:
            given["token_file"] = _read_secret(Path(self.prometheus.token_file), strict=False)
        if self.prometheus.auth == "sigv4":
            environ = os.environ if environ is None else environ
            given |= {name: environ.get(name, "") for name in _AWS[1:]}
        for secret in given.values():
            for form in {secret, repr(secret)[1:-1], json.dumps(secret)[1:-1], html.escape(secret)}:
                redactor.add(form)
        return redactor

    def _given(self, environ: Mapping[str, str], *, strict: bool = True) -> dict[str, str]:
        """Every secret by what it is for; a missing or too short one raises SettingsError when ``strict``."""
        prom = self.prometheus
        given = {
            "token": environ.get(_TOKEN, "").strip(),
            "password": environ.get(_PASSWORD, ""),
            "proxy password": environ.get(_PROXY_PASSWORD, ""),
        }
        if prom.password_file and not given["password"]:
            given["password"] = _read_secret(Path(prom.password_file), strict=strict)
        for header, variable in prom.headers_env.items():
            given[f"header:{header}"] = environ.get(variable, "")
            if strict and not given[f"header:{header}"]:
                raise SettingsError(f"the header {header} is read from the environment variable {variable}, which is not set")
        for name, value in given.items():
            if strict and 0 < len(value) < _SHORTEST_SECRET:
                raise SettingsError(
                    f"the Prometheus {name} has {len(value)} characters; one shorter than {_SHORTEST_SECRET} cannot be kept out of reports"
                )
        return given

    def to_json(self) -> str:
        """These settings, without any secret, for a kernel."""
        plain = {name: getattr(self, name) for name in self.__slots__}
        plain["prometheus"] = {name: getattr(self.prometheus, name) for name in PrometheusSettings.__slots__}
        for name in ("headers_env", "query_params", "names"):
            plain["prometheus"][name] = dict(plain["prometheus"][name])
        for name in ("origins", "helm", "hours", "nodes", "costs"):
            plain[name] = dict(getattr(self, name))
        return json.dumps(plain, default=str)

    @classmethod
    def from_json(cls, text: str) -> Settings:
        """What ``to_json`` wrote."""
        return from_plain(json.loads(text))


def from_plain(plain: Mapping[str, Any]) -> Settings:
    """Settings of checked plain values; paths that are not absolute stand below ``home``."""
    values = dict(plain)
    home = Path(values.get("home") or ".")
    values["home"] = home
    prometheus = dict(values.get("prometheus", {}))
    prometheus["token_command"] = tuple(prometheus.get("token_command", ()))
    params = prometheus.get("query_params", {})
    prometheus["query_params"] = {name: value if isinstance(value, str) else tuple(value) for name, value in params.items()}
    values["prometheus"] = PrometheusSettings(**prometheus)
    values["namespaces"] = tuple(values.get("namespaces", ()))
    values["config_file"] = Path(values["config_file"]) if values.get("config_file") else None
    for name, default in (("reports", "reports"), ("adr_dir", "docs/adr")):
        values[name] = home / Path(values.get(name) or default).expanduser()
    for name in ("history", "prices", "billing"):
        values[name] = home / Path(values[name]).expanduser() if values.get(name) else None
    return Settings(**values)


def check_url(url: str) -> None:
    """Raises SettingsError unless the URL is http(s), has a host, and holds no credentials."""
    try:
        parts = urlsplit(url)
        host = parts.hostname
        _ = parts.port
    except ValueError:
        raise SettingsError(f"the Prometheus URL {strip_scheme(url)} cannot be read; expected for example http://prometheus:9090") from None
    if parts.scheme not in ("http", "https") or not host:
        raise SettingsError(
            f"the Prometheus URL {strip_scheme(url)} is not an http or https URL; expected for example http://prometheus:9090"
        )
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise SettingsError(
            f"the Prometheus URL {strip_credentials(url)} was given with a user, a password or a query; "
            f"put the user in prometheus.username and the secret in {_PASSWORD} or {_TOKEN}"
        )


def strip_scheme(url: str) -> str:
    """The URL as it may be shown, also when it cannot be parsed."""
    return ascii(url.rpartition("@")[2].split("?")[0][:80])


def _aws_keys(environ: Mapping[str, str]) -> AwsKeys | None:
    """The AWS keys of the environment; None when they are not there, and botocore looks for others."""
    from aiops_analysis.sources.http import AwsKeys

    access, secret, session = (environ.get(name, "").strip() for name in _AWS)
    return AwsKeys(access, secret, session) if access and secret else None


def _read_secret(path: Path, *, strict: bool) -> str:
    """A mounted secret without its last newline."""
    try:
        return path.read_text(encoding="utf-8").strip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        if strict:
            raise SettingsError(f"the secret file {path} cannot be read ({getattr(error, 'strerror', None) or 'not UTF-8'})") from error
        return ""


def bundled(kind: str) -> Path:
    """The folder of the notebooks (``notebooks``) or of the demo (``demo``) that came with the package.

    An installed package carries them; a source tree has its own.
    """
    package = Path(__file__).resolve().parent.parent
    inside = package / "_bundle" / kind
    if inside.is_dir():
        return inside
    return package.parent / ("data/demo" if kind == "demo" else kind)


def load(
    flags: Mapping[str, Any] | None = None,
    *,
    environ: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> Settings:
    """The settings of this process: defaults < file < environment < flags (a flag that is None was not given).

    Raises SettingsError that names the file, the key or the variable, and the nearest valid name.
    """
    from aiops_analysis.settings.model import read

    environ = os.environ if environ is None else environ
    home = Path(environ.get("AIOPS_HOME") or cwd or Path.cwd())
    given = {key: value for key, value in (flags or {}).items() if value is not None}
    return read(given, environ, home)
