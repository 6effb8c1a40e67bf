"""The only place of the ``kubernetes`` client: lists of plain JSON objects, read-only, page by page (reliability.md K01-K05).

Answers are read raw (``_preload_content=False``): the client's model objects refuse what a newer API sends and cost ten times the memory.
Only ``list`` is ever called. A kubeconfig is read by the client; nothing of it is shown, and its exec plugin is the client's business.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from aiops_analysis.core.errors import BadAnswer, SettingsError, SourceError, SourceRefused, SourceUnreachable
from aiops_analysis.core.names import visible
from aiops_analysis.core.redact import strip_credentials
from aiops_analysis.sources.kube_parts import Objects, key_of, mapping_at, text_at

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

__all__ = ["RESOURCES", "Absent", "KubeAccess", "KubeApi", "connect"]

_PAGE = 500
_MOST_PAGES = 4000
_MOST_BYTES = 64 * 2**20  # of one page (reliability.md R16)
_TIMEOUT = (5.0, 60.0)  # [s] connect, and between two pieces of an answer
_DEADLINE = 120.0  # [s] of one page as a whole
_RESTARTS = 3  # of a list whose page token expired
_PAUSES = (1.0, 4.0)  # [s] before asking again after a passing failure
_PASSING = (429, 500, 502, 503, 504)

#: Group and version of every list that is read; "" is the core group. deploy/rbac.yaml says the same.
RESOURCES: dict[str, tuple[str, str]] = {
    "pods": ("", "v1"),
    "nodes": ("", "v1"),
    "persistentvolumes": ("", "v1"),
    "limitranges": ("", "v1"),
    "resourcequotas": ("", "v1"),
    "deployments": ("apps", "v1"),
    "replicasets": ("apps", "v1"),
    "statefulsets": ("apps", "v1"),
    "daemonsets": ("apps", "v1"),
    "jobs": ("batch", "v1"),
    "cronjobs": ("batch", "v1"),
    "horizontalpodautoscalers": ("autoscaling", "v2"),
    "poddisruptionbudgets": ("policy", "v1"),
    "verticalpodautoscalers": ("autoscaling.k8s.io", "v1"),
}
_METRICS = ("metrics.k8s.io", "v1beta1")
_CORE = {
    "pods": "pod",
    "nodes": "node",
    "persistentvolumes": "persistent_volume",
    "limitranges": "limit_range",
    "resourcequotas": "resource_quota",
}
_OF_THE_CLUSTER = ("nodes", "persistentvolumes")  # they have no namespace
#: Lists that a cluster may well not have; a 404 of these is nothing to tell.
_OPTIONAL = ("verticalpodautoscalers", "persistentvolumes")


class Absent(BadAnswer):
    """The API has no such resource (404): an add-on that is not installed."""


class _Gone(BadAnswer):
    """The page token expired (410); the list starts again."""


class _Passing(SourceUnreachable):
    """Too busy, or an aggregated API that is down; asking again may help."""


@dataclass(frozen=True, slots=True)
class KubeAccess:
    """How to reach a cluster: a kubeconfig (several paths as kubectl takes them) and its context, or the pod's own service account.

    "" takes $KUBECONFIG, then ~/.kube/config, then the service account. ``insecure`` allows a kubeconfig that does not verify TLS.
    """

    kubeconfig: str = ""
    context: str = ""
    insecure: bool = False


def connect(access: KubeAccess, namespaces: Sequence[str] = (), environ: Mapping[str, str] | None = None) -> KubeApi:
    """A reader of the cluster that ``access`` names; with ``namespaces`` only those are listed.

    Raises SettingsError for a kubeconfig that is missing or broken, an unknown context, TLS that is not verified.
    """
    from kubernetes import client, config

    environ = os.environ if environ is None else environ
    settings = client.Configuration()
    paths = access.kubeconfig or environ.get("KUBECONFIG", "")
    default = Path(environ.get("HOME", "")) / ".kube" / "config"
    if paths or default.is_file() or "KUBERNETES_SERVICE_HOST" not in environ:
        _load_kubeconfig(paths or str(default), access.context, settings)
        if not settings.verify_ssl and not access.insecure:
            raise SettingsError("the kubeconfig switches off TLS verification for this cluster; use --insecure if that is meant")
    else:
        try:
            config.load_incluster_config(client_configuration=settings)
        except (config.ConfigException, OSError) as error:
            raise SettingsError(f"the service account of this pod cannot be read ({type(error).__name__})") from error
    settings.retries = False  # also: redirects are not followed, a token never goes elsewhere
    return KubeApi(client.ApiClient(settings), namespaces=namespaces)


def _load_kubeconfig(paths: str, context: str, settings: Any) -> None:
    """Raises SettingsError without a word of the file's contents: a parser's own message quotes the line, which may be a token."""
    import yaml
    from kubernetes import config

    named = [Path(part).expanduser() for part in paths.split(os.pathsep) if part]
    if not any(path.is_file() for path in named):
        raise SettingsError(f"the kubeconfig {visible(paths)} is not a file; use --kubeconfig FILE, or set KUBECONFIG")
    try:
        if context:
            contexts, _ = config.list_kube_config_contexts(config_file=paths)
            known = sorted(str(found["name"]) for found in contexts)
            if context not in known:
                listed = ", ".join(visible(name, 80) for name in known[:20]) or "none"
                raise SettingsError(f"the kubeconfig {visible(paths)} has no context {visible(context, 80)!r} (there: {listed})")
        config.load_kube_config(config_file=paths, context=context or None, client_configuration=settings, persist_config=False)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark is not None else ""
        raise SettingsError(f"the kubeconfig {visible(paths)} is not valid YAML{where}") from None
    except config.ConfigException as error:
        hint = "" if context else "; name a context with --context"
        raise SettingsError(f"the kubeconfig {visible(paths)} cannot be used: {visible(str(error).splitlines()[0], 160)}{hint}") from None
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise SettingsError(f"the kubeconfig {visible(paths)} cannot be read ({type(error).__name__})") from None


class KubeApi:
    """Lists of one cluster. ``pause`` waits before a passing failure is asked again [s]."""

    def __init__(
        self,
        client: ApiClient,
        *,
        namespaces: Sequence[str] = (),
        page: int = _PAGE,
        timeout: tuple[float, float] = _TIMEOUT,
        pause: Callable[[float], object] = time.sleep,
    ) -> None:
        self._client, self._namespaces, self._page, self._timeout, self._pause = client, tuple(namespaces), page, timeout, pause
        self.host = strip_credentials(str(client.configuration.host))

    def objects(self, plurals: Sequence[str] = tuple(RESOURCES)) -> Objects:
        """Every list that may be read, and why another may not.

        Raises SourceError when the pods cannot be listed, or when the credentials are refused altogether (401).
        """
        lists: dict[str, list[Mapping[str, Any]]] = {}
        missing: dict[str, str] = {}
        for plural in plurals:
            try:
                lists[plural] = self.listed(*RESOURCES[plural], plural)
            except Absent as error:
                if plural not in _OPTIONAL:
                    missing[plural] = str(error)
            except SourceError as error:
                if plural == "pods" or getattr(error, "status", 0) == 401:
                    raise
                missing[plural] = str(error)
        return Objects(lists, missing)

    def pod_metrics(self) -> list[Mapping[str, Any]]:
        """The newest PodMetrics of metrics.k8s.io.

        Raises Absent when no metrics-server is installed, SourceUnreachable while it is down, SourceRefused without the right to read it.
        """
        return self.listed(*_METRICS, "pods")

    def listed(self, group: str, version: str, plural: str) -> list[Mapping[str, Any]]:
        """All objects of a resource, of the namespaces asked for; each once. Raises SourceError."""
        found: dict[object, Mapping[str, Any]] = {}
        for namespace in ("",) if plural in _OF_THE_CLUSTER or not self._namespaces else self._namespaces:
            for item in self._whole(group, version, plural, namespace):
                found.setdefault(text_at(item, "metadata", "uid") or key_of(item), item)
        return list(found.values())

    def _whole(self, group: str, version: str, plural: str, namespace: str) -> list[Mapping[str, Any]]:
        """The pages of one list; when the token of a page has expired the list starts again, a few times."""
        for attempt in range(_RESTARTS + 1):
            try:
                return self._pages(group, version, plural, namespace)
            except _Gone as error:
                if attempt == _RESTARTS:
                    raise BadAnswer(f"the list of {plural} expired {attempt + 1} times while it was read from {self.host}") from error
        raise AssertionError("the loop above returns or raises")

    def _pages(self, group: str, version: str, plural: str, namespace: str) -> list[Mapping[str, Any]]:
        items: list[Mapping[str, Any]] = []
        token, seen = "", set()
        for _ in range(_MOST_PAGES):
            answer = self._asked(group, version, plural, namespace, token)
            items += [item for item in answer.get("items") or () if isinstance(item, Mapping)]
            token = text_at(answer, "metadata", "continue")
            if not token:
                return items
            if token in seen:
                raise BadAnswer(f"{self.host} gave the same page of {plural} twice")
            seen.add(token)
        raise BadAnswer(f"{self.host} has more than {_MOST_PAGES} pages of {plural}")

    def _asked(self, group: str, version: str, plural: str, namespace: str, token: str) -> Mapping[str, Any]:
        """One page, asked again after a passing failure."""
        for pause in (*_PAUSES, None):
            try:
                return self._answer(group, version, plural, namespace, token)
            except _Passing:
                if pause is None:
                    raise
                self._pause(pause)
        raise AssertionError("the loop above returns or raises")

    def _answer(self, group: str, version: str, plural: str, namespace: str, token: str) -> Mapping[str, Any]:
        from kubernetes.client import ApiException
        from kubernetes.config import ConfigException
        from urllib3.exceptions import HTTPError

        what = f"{plural}{'.' + group if group else ''}" + (f" in {visible(namespace, 63)}" if namespace else "")
        try:
            body = self._body(self._call(group, version, plural, namespace, token), what)
        except ApiException as error:
            raise self._refusal(error, what) from None
        except ConfigException as error:  # credentials are read again before a request
            raise SourceRefused(f"the credentials for {self.host} cannot be read again ({visible(str(error), 160)})") from None
        except (HTTPError, OSError) as error:
            raise _Passing(f"{self.host} did not answer for {what} ({type(error).__name__})") from error
        try:
            answer = orjson.loads(body)
        except orjson.JSONDecodeError as error:
            raise BadAnswer(f"{self.host} did not answer {what} with JSON: {visible(body[:80].decode('utf-8', 'replace'), 80)}") from error
        if not isinstance(answer, dict) or not isinstance(answer.get("items", None), list | None) or "metadata" not in answer:
            raise BadAnswer(f"{self.host} did not answer {what} with a list; is this a Kubernetes API?")
        return answer

    def _call(self, group: str, version: str, plural: str, namespace: str, token: str) -> Any:
        from kubernetes.client import CoreV1Api, CustomObjectsApi

        options: dict[str, Any] = {"limit": self._page, "_preload_content": False, "_request_timeout": self._timeout}
        if token:
            options["_continue"] = token
        if not group:
            api, noun = CoreV1Api(self._client), _CORE[plural]
            if plural in _OF_THE_CLUSTER:
                return getattr(api, f"list_{noun}")(**options)
            if namespace:
                return getattr(api, f"list_namespaced_{noun}")(namespace, **options)
            return getattr(api, f"list_{noun}_for_all_namespaces")(**options)
        custom = CustomObjectsApi(self._client)  # reads every group by its name, so that a new version needs no new client
        if namespace:
            return custom.list_namespaced_custom_object(group, version, namespace, plural, **options)
        return custom.list_cluster_custom_object(group, version, plural, **options)

    def _body(self, response: Any, what: str) -> bytes:
        """The bytes of an answer, bounded in size and time."""
        end = time.monotonic() + _DEADLINE
        parts, size = [], 0
        try:
            for part in response.stream(65_536, decode_content=True):
                size += len(part)
                if size > _MOST_BYTES:
                    raise BadAnswer(f"{self.host} sent more than {_MOST_BYTES // 2**20} MiB for one page of {what}")
                if time.monotonic() > end:
                    raise SourceUnreachable(f"{self.host} took more than {_DEADLINE:.0f} s for one page of {what}")
                parts.append(part)
        except BaseException:
            response.close()  # the rest is not wanted, and the connection is of no use
            raise
        response.release_conn()
        return b"".join(parts)

    def _refusal(self, error: Any, what: str) -> SourceError:
        """Our error of an answer that is not 2xx, with the API's own words cut short."""
        status = int(error.status or 0)
        said = _said(error.body)
        if status == 410:
            return _Gone(f"the list of {what} expired")
        if status == 404:
            return Absent(f"{self.host} has no {what} (404)")
        if status in (401, 403):
            advice = "the credentials are not accepted" if status == 401 else f"the account may not list {what}"
            refused = SourceRefused(f"{advice} ({status}{said}); the verbs that are needed are in docs/without_prometheus.md")
            refused.status = status  # type: ignore[attr-defined]
            return refused
        if status in _PASSING:
            return _Passing(f"{self.host} cannot answer for {what} now ({status}{said})")
        if status == 0:
            return SourceUnreachable(
                f"{self.host} has no valid certificate for {what} ({visible(str(error.reason).splitlines()[-1], 160)})"
            )
        return BadAnswer(f"{self.host} answered {what} with {status}{said}; is this a Kubernetes API?")


def _said(body: object) -> str:
    """The message of a Status object, cut, "" for anything else."""
    try:
        message = mapping_at(orjson.loads(body)).get("message") if isinstance(body, str | bytes) else None
    except orjson.JSONDecodeError:
        return ""
    return f": {visible(message, 160)}" if isinstance(message, str) and message else ""
