"""Reading settings with pydantic-settings: the only place that knows it."""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic_settings import BaseSettings, EnvSettingsSource, InitSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

from aiops_analysis.core.errors import PolicyError, SettingsError
from aiops_analysis.core.names import visible
from aiops_analysis.core.redact import looks_secret
from aiops_analysis.settings import Settings, check_url, from_plain

__all__ = ["find_file", "nearest", "read", "read_file"]

_PREFIX = "AIOPS_"
_INSTEAD = {
    "proxy_password": "AIOPS_PROMETHEUS_PROXY_PASSWORD",
    "token": "AIOPS_PROMETHEUS_TOKEN or prometheus.token_file",
    "password": "AIOPS_PROMETHEUS_PASSWORD or prometheus.password_file",
}
#: Variables that are ours but are no settings.
_OTHER = ("AIOPS_CONFIG", "AIOPS_HOME", "AIOPS_PROMETHEUS_TOKEN", "AIOPS_PROMETHEUS_PASSWORD", "AIOPS_PROMETHEUS_PROXY_PASSWORD")
_FILES = ("token_file", "password_file", "ca_file", "client_cert_file", "client_key_file")
#: An argument that gives a secret by its name, such as --token=...
_SECRET_ARGUMENT = re.compile(r"-*(?:\w+[-_])*(?:token|password|passwd|secret|api[-_]?key)[=:].+", re.IGNORECASE)


def _plain(value: Any) -> Any:
    """Numbers and true or false, as TOML has them, in the words of a URL."""
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, (int, float)) else value


class _Prometheus(BaseModel):
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    url: str = ""
    auth: Literal["", "none", "basic", "bearer", "sigv4"] = ""
    username: str = ""
    token_file: str = ""
    token_command: list[str] = Field(default_factory=list)
    password_file: str = ""
    ca_file: str = ""
    client_cert_file: str = ""
    client_key_file: str = ""
    org_id: str = ""
    proxy: str = ""
    proxy_username: str = ""
    region: str = ""
    cluster_label: str = ""
    query_params: dict[str, Annotated[str | list[str], BeforeValidator(_plain)]] = Field(default_factory=dict)
    headers_env: dict[str, str] = Field(default_factory=dict)
    names: dict[str, str] = Field(default_factory=dict)


class _Hours(BaseModel):
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    zone: str = "UTC"
    days: list[int] = Field(default_factory=lambda: [0, 1, 2, 3, 4])
    start: int = 8
    end: int = 18


class _Nodes(BaseModel):
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    autoscaler: Literal["", "cluster-autoscaler", "karpenter", "managed", "none"] = ""
    minimum: dict[str, Annotated[int, Field(ge=0)]] = Field(default_factory=dict)


class _Costs(BaseModel):
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    shared: list[str] = Field(default_factory=lambda: ["kube-system", "monitoring"])
    rule: Literal["proportional", "uniform", "none"] = "proportional"


class _Model(BaseSettings):
    model_config = SettingsConfigDict(
        env_prefix=_PREFIX, env_nested_delimiter="_", env_nested_max_split=1, extra="forbid", hide_input_in_errors=True
    )

    prometheus: _Prometheus = Field(default_factory=_Prometheus)
    cluster: str = ""
    history: str = ""
    reports: str = "reports"
    policy: str = ""
    days: int = Field(default=30, ge=1, le=1100)
    namespaces: list[str] = Field(default_factory=list)
    adr_dir: str = "docs/adr"
    prices: str = ""
    billing: str = ""
    currency: str = Field(default="", pattern=r"^([A-Z]{3})?$")
    helm: dict[str, str] = Field(default_factory=dict)
    hours: _Hours = Field(default_factory=_Hours)
    nodes: _Nodes = Field(default_factory=_Nodes)
    costs: _Costs = Field(default_factory=_Costs)


_TABLES: Mapping[str, type[BaseModel]] = {"prometheus": _Prometheus, "hours": _Hours, "nodes": _Nodes, "costs": _Costs}


def _check_hours(hours: _Hours, origins: Mapping[str, str]) -> None:
    """Raises SettingsError for hours that no week has; the analysis says which."""
    from aiops_analysis.analysis.hours import HoursPolicy

    try:
        HoursPolicy(zone=hours.zone, days=tuple(hours.days), start=hours.start, end=hours.end)
    except PolicyError as error:
        where = next(text for name, text in origins.items() if name.startswith("hours"))
        raise SettingsError(f"the table hours ({where}): {error}") from error


def find_file(environ: Mapping[str, str], home: Path) -> Path | None:
    """The configuration file: ./aiops.toml, else $AIOPS_CONFIG, else the user's own; None when there is none.

    Raises SettingsError when $AIOPS_CONFIG names a file that is not there.
    """
    here = home / "aiops.toml"
    if here.is_file():
        return here
    if named := environ.get("AIOPS_CONFIG"):
        if not (home / named).is_file():
            raise SettingsError(f"AIOPS_CONFIG names {named}, which is not a file")
        return home / named
    base = environ.get("XDG_CONFIG_HOME") or (f"{environ['HOME']}/.config" if environ.get("HOME") else "")
    users = Path(base, "aiops-analysis", "config.toml")
    return users if base and users.is_file() else None


def nearest(name: str, valid: Iterable[str]) -> str:
    """``; did you mean x?`` for a name close to a valid one, else the valid list.

    >>> nearest("percentle", ["percentile", "days"])
    '; did you mean percentile? (valid: days, percentile)'
    """
    valid = sorted(valid)
    close = difflib.get_close_matches(name, valid, n=1, cutoff=0.6)
    return (f"; did you mean {close[0]}? (valid: " if close else " (valid: ") + (", ".join(valid) or "none") + ")"


def read_file(path: Path) -> dict[str, Any]:
    """The checked tables of a configuration file; its relative paths are taken from its own folder.

    Raises SettingsError with the line of a syntax error, the nearest name of an unknown key, and the advice for a secret.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        what = str(error).replace("at end of document", f"at line {len(text.splitlines())}, the last")
        raise SettingsError(f"{path} is not valid TOML: {what}") from error
    except UnicodeDecodeError as error:
        raise SettingsError(f"{path} is not UTF-8 text (byte {error.start})") from error
    except OSError as error:
        raise SettingsError(f"{path} cannot be read ({error.strerror})") from error
    _refuse(data, path, "", _Model)
    for table, key in (
        (data, "history"),
        (data, "reports"),
        *((data, name) for name in ("adr_dir", "prices", "billing")),
        *((data.get("prometheus", {}), name) for name in _FILES),
    ):
        if isinstance(table, dict) and isinstance(table.get(key), str) and table[key]:
            table[key] = str(path.parent / Path(table[key]).expanduser())
    prometheus = data.get("prometheus")
    command = prometheus.get("token_command") if isinstance(prometheus, dict) else None
    if isinstance(command, list) and command and isinstance(command[0], str) and "/" in command[0]:  # as in a kubeconfig
        command[0] = str(path.parent / Path(command[0]).expanduser())
    policy = data.get("policy")
    if isinstance(policy, str) and policy.endswith(".toml"):
        data["policy"] = str(path.parent / policy)
    return data


def _refuse(data: Mapping[str, Any], path: Path, prefix: str, model: type[BaseModel]) -> None:
    """Raises for the first unknown key, and for a key or value that looks like a secret."""
    for key, value in data.items():
        if key not in model.model_fields:
            if looks_secret(key):
                instead = next((text for word, text in _INSTEAD.items() if word in key.lower()), _INSTEAD["token"])
                raise SettingsError(f"{path} must not hold a secret ({prefix}{key}); use {instead}")
            if key in ("insecure", "insecure_skip_tls_verify", "verify", "verify_ssl"):
                raise SettingsError(f"{path}: TLS verification cannot be switched off in a file ({prefix}{key}); use prometheus.ca_file")
            raise SettingsError(f"{path}: unknown key {prefix}{key}{nearest(key, model.model_fields)}")
        if key in _TABLES and isinstance(value, Mapping):
            _refuse(value, path, f"{key}.", _TABLES[key])
            continue
        if any(looks_secret("", text) or (key == "token_command" and _SECRET_ARGUMENT.fullmatch(text)) for text in _texts(value)):
            raise SettingsError(
                f"{path}: the value of {prefix}{key} looks like a secret; use {_INSTEAD['token']}, or for a user {_INSTEAD['password']}"
            )


def _texts(value: object) -> Iterator[str]:
    """Every text in a value of a file, however deep."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for name, inner in value.items():
            yield from (str(name), *_texts(inner))
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner)


def _check_metrics(names: Mapping[str, str]) -> None:
    """Raises SettingsError for a map of metric names whose left side is not asked for or whose right side is no metric name."""
    from aiops_analysis.sources.promql import STANDARD, is_metric

    for ours, theirs in names.items():
        if ours not in STANDARD:
            close = difflib.get_close_matches(ours, STANDARD, n=1, cutoff=0.6)
            hint = f"; did you mean {close[0]}?" if close else "; the left side is the usual name of a metric that we ask for"
            raise SettingsError(f"prometheus.names has the unknown metric {visible(ours)!r}{hint}")
        if not is_metric(theirs):
            raise SettingsError(f"prometheus.names.{ours} is {visible(theirs)!r}, which is not a metric name")


def _check_command(command: Iterable[str], where: str) -> None:
    """Raises SettingsError for a token command that is given a secret as an argument, which every process list would show."""
    if any(looks_secret("", part) or _SECRET_ARGUMENT.fullmatch(part) for part in command):
        raise SettingsError(
            f"prometheus.token_command ({where}) holds what looks like a secret; let the program read it from its environment or a file"
        )


class _Environment(EnvSettingsSource):
    """The environment that was handed in, not the one of the process."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._given = {name.lower(): value for name, value in environ.items() if name not in _OTHER}
        super().__init__(_Model)

    def _load_env_vars(self) -> Mapping[str, str | None]:
        return self._given


def _check_names(environ: Mapping[str, str]) -> None:
    """Raises for an AIOPS_* variable that is nearly, but not exactly, one of ours; others may belong to somebody else."""
    valid = {f"{_PREFIX}{name.upper()}" for name in _Model.model_fields} | {
        f"{_PREFIX}PROMETHEUS_{name.upper()}" for name in _Prometheus.model_fields
    }
    valid |= set(_OTHER)
    for name in environ:
        if name.startswith(_PREFIX) and name not in valid and not name.startswith(f"{_PREFIX}RUN_"):
            close = difflib.get_close_matches(name, valid, n=1, cutoff=0.9)
            if close:
                raise SettingsError(f"unknown environment variable {name}; did you mean {close[0]}?")


def _ours(environ: Mapping[str, str]) -> dict[str, str]:
    """Only variables of known settings: Kubernetes adds others, such as AIOPS_PROMETHEUS_SERVICE_HOST, to every pod."""
    nested = {f"{_PREFIX}PROMETHEUS_{name.upper()}" for name in _Prometheus.model_fields}
    flat = {f"{_PREFIX}{name.upper()}" for name in _Model.model_fields} - {f"{_PREFIX}PROMETHEUS"}
    return {name: value for name, value in environ.items() if name in nested | flat}


def read(flags: Mapping[str, Any], environ: Mapping[str, str], home: Path) -> Settings:
    """Settings from flags, environment and file, checked; see ``settings.load``."""
    flags = dict(flags)
    insecure = bool(flags.pop("insecure", False))
    _check_names(environ)
    path = find_file(environ, home)
    from_file = read_file(path) if path else {}
    from_flags = {**flags, "prometheus": {"url": flags["prometheus"]}} if "prometheus" in flags else flags
    ours = _ours(environ)
    for name in ("NAMESPACES",):  # a list reads as a,b in an environment
        text = ours.get(f"{_PREFIX}{name}", "")
        if text and not text.lstrip().startswith("["):
            ours[f"{_PREFIX}{name}"] = '["' + '","'.join(part.strip() for part in text.split(",")) + '"]'

    class Chain(_Model):
        @classmethod
        def settings_customise_sources(  # type: ignore[override]  # the other sources are not asked
            cls, settings_cls: type[BaseSettings], **_: Any
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            return (
                InitSettingsSource(settings_cls, init_kwargs=from_flags),
                _Environment(ours),
                InitSettingsSource(settings_cls, init_kwargs=from_file),
            )

    origins = _origins(from_flags, ours, from_file, path)
    try:
        model = Chain()
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        key = ".".join(str(part) for part in first["loc"])
        raise SettingsError(f"the setting {key} ({origins.get(key, 'unknown origin')}) is wrong: {first['msg'].lower()}") from None
    except ValueError as error:  # a variable that should be JSON
        raise SettingsError(f"an AIOPS_ variable cannot be read: {error}") from None
    if model.prometheus.url:
        check_url(model.prometheus.url)
    _check_metrics(model.prometheus.names)
    _check_command(model.prometheus.token_command, origins.get("prometheus.token_command", "unknown origin"))
    if any(name.startswith("hours") for name in origins):
        _check_hours(model.hours, origins)
    return from_plain({**model.model_dump(), "insecure": insecure, "home": home, "config_file": path, "origins": origins})


def _origins(flags: Mapping[str, Any], environ: Mapping[str, str], file: Mapping[str, Any], path: Path | None) -> dict[str, str]:
    """Where each given setting came from, the strongest source last."""
    origins: dict[str, str] = {}
    for values, where in ((file, f"from {path}"), (flags, "from a flag")):
        if where == "from a flag":
            for name in environ:
                key = name.removeprefix(_PREFIX).lower()
                origins[key.replace("prometheus_", "prometheus.", 1)] = f"from {name}"
        for key, value in values.items():
            inner = value if isinstance(value, Mapping) else None
            origins.update({f"{key}.{name}": where for name in inner} if inner is not None else {key: where})
    return origins
