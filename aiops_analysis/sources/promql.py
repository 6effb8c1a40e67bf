"""Every PromQL text we send, as settled in methods.md K; each value in it is quoted, so that a name selects exactly itself.

Grouping keeps the cluster label where the server has one. Dense metrics are evaluated at the end of each step; facts are instant
queries over a day; runs are range queries whose equal neighbours the caller joins to intervals.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

from aiops_analysis.core.errors import UsageError
from aiops_analysis.sources.promql_asks import FACTS, JOB_PODS, RUNS, Ask

__all__ = [
    "DENSE",
    "FACTS",
    "JOB_PODS",
    "RAW",
    "RUNS",
    "STANDARD",
    "USED",
    "Scope",
    "burst_queries",
    "containers",
    "fact_query",
    "is_metric",
    "job_query",
    "matcher",
    "moved_query",
    "namespaces_query",
    "presence_query",
    "quote",
    "range_query",
    "runs_query",
]

_LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*", re.ASCII)
_METRIC = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*", re.ASCII)
_REGEX_SPECIAL = re.compile(r"[\\.+*?()|\[\]{}^$]")  # what Go's regexp.QuoteMeta escapes
_ESCAPES = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t", "\ufffd": "\\ufffd"}
_NO_NAMES: Mapping[str, str] = MappingProxyType({})

_CONTAINERS = 'container!="",container!="POD",image!=""'  # not the pod's own cgroup, not the pause container (methods.md I-6)
_RECORDED = 'container!="",container!="POD"'
_CPU, _MEMORY = "container_cpu_usage_seconds_total", "container_memory_working_set_bytes"
_THROTTLED, _PERIODS = "container_cpu_cfs_throttled_periods_total", "container_cpu_cfs_periods_total"
_RESTARTS, _OOM_EVENTS = "kube_pod_container_status_restarts_total", "container_oom_events_total"
_OOM_REASON = "kube_pod_container_status_last_terminated_reason"
#: Metrics that show whether a family has its own labels moved aside, and the labels that can be.
_MOVED = {"kube": "kube_pod_container_resource_requests", "container": _MEMORY}
_MOVABLE = ("namespace", "pod", "container", "node")
#: Scrape jobs whose presence tells a hole from a pod that ended, as the common charts and agents name them.
_JOBS = ".*(kubelet|cadvisor|kube-state-metrics|kubernetes-nodes).*"


def quote(value: str) -> str:
    r"""The PromQL string literal of any text.

    U+FFFD is escaped because the server's lexer takes it for broken UTF-8. Raises UsageError for a lone surrogate, which no label holds.

    >>> print(quote('a"} or vector(1) #'))
    "a\"} or vector(1) #"
    """
    return f'"{"".join(_escape(c) for c in value)}"'


def _escape(char: str) -> str:
    if char in _ESCAPES:
        return _ESCAPES[char]
    if char < " " or char == "\x7f":
        return f"\\x{ord(char):02x}"
    if "\ud800" <= char <= "\udfff":
        raise UsageError(f"a label value cannot hold the lone surrogate {char!a}")
    return char


def matcher(label: str, values: Sequence[str]) -> str:
    """The selector of exactly these values of a label: ``=`` for one, an escaped ``=~`` for several.

    Raises UsageError for an impossible label name, and for no values at all, which would select everything.

    >>> matcher("namespace", ["shop"]), matcher("namespace", ["a.b", "c"])
    ('namespace="shop"', 'namespace=~"a\\\\\\\\.b|c"')
    """
    distinct = list(dict.fromkeys(values))
    if not distinct:
        raise UsageError(f"no values are given for the label {label!r}")
    name = _label(label)
    if len(distinct) == 1:
        return f"{name}={quote(distinct[0])}"
    return f"{name}=~{quote('|'.join(_REGEX_SPECIAL.sub(lambda m: chr(92) + m[0], v) for v in distinct))}"


def _label(name: str) -> str:
    if _LABEL.fullmatch(name) is None:
        raise UsageError(f"{name!a} is not a label name; expected letters, digits and _, for example cluster or k8s_cluster")
    return name


@dataclass(frozen=True, slots=True)
class Scope:
    """What part of a server is asked: one cluster of several, some namespaces.

    ``cluster_label`` is "" where the label does not exist. ``per_cpu`` says that cAdvisor's ``cpu`` label holds single CPUs, which
    are summed first. ``moved`` names the families (``kube``, ``container``) of metrics whose own namespace, pod, container and node the
    server keeps as ``exported_namespace`` and so on, because it scrapes without ``honor_labels``.
    """

    cluster_label: str = ""
    cluster: str = ""
    namespaces: tuple[str, ...] = ()
    per_cpu: bool = False
    moved: tuple[str, ...] = ()
    single: bool = False  # known to hold one cluster, whatever its labels look like

    def __post_init__(self) -> None:
        if self.cluster_label:
            _label(self.cluster_label)
        elif self.cluster:
            raise UsageError(f"the cluster {self.cluster!a} needs the name of the label that holds it (cluster_label)")

    def select(self, metric: str, *matchers: str, namespaced: bool = True, names: Mapping[str, str] = _NO_NAMES) -> str:
        """The selector of a metric: the given matchers, then the cluster's, then the namespaces'; ``names`` maps metric names."""
        name = names.get(metric, metric)
        if not is_metric(name):
            raise UsageError(f"{name!a} is not a metric name (given for {metric})")
        parts = [m for m in matchers if m]
        if self.cluster:
            parts.append(matcher(self.cluster_label, [self.cluster]))
        if namespaced and self.namespaces:
            parts.append(matcher("exported_namespace" if self._moves(metric) else "namespace", self.namespaces))
        return f"{name}{{{','.join(parts)}}}" if parts else name

    def within(self, namespaces: Sequence[str]) -> Scope:
        """The same scope for some namespaces only."""
        return replace(self, namespaces=tuple(namespaces))

    def _moves(self, metric: str) -> bool:
        return metric.partition("_")[0] in self.moved

    def own(self, metric: str, vector: str) -> str:
        """A vector of a metric under its own labels, wherever the server keeps them."""
        for label in _MOVABLE if self._moves(metric) else ():
            vector = f'label_replace({vector},"{label}","$1","exported_{label}","(.+)")'
        return vector

    def labels(self, *labels: str) -> tuple[str, ...]:
        """The labels, the cluster's first where there is one."""
        return ((self.cluster_label,) if self.cluster_label else ()) + labels

    def by(self, *labels: str) -> str:
        """The grouping by the labels, the cluster's first where there is one."""
        return f"by ({','.join(self.labels(*labels))})"


_GROUP = ("namespace", "pod", "container")


def is_metric(name: str) -> bool:
    """True for a text that can be the name of a metric."""
    return _METRIC.fullmatch(name) is not None


def containers(metric: str, scope: Scope, names: Mapping[str, str] = _NO_NAMES) -> str:
    """The selector of a container metric; a recording rule (a name with colons) has mostly lost its image label."""
    matchers = _RECORDED if ":" in names.get(metric, "") else _CONTAINERS
    return scope.select(metric, matchers, names=names)


def _is_rate(metric: str, names: Mapping[str, str]) -> bool:
    """True where the server's name is a recording rule of a rate, such as ...:sum_irate or ...:rate5m: cores, not a counter."""
    return re.search(r":(?:\w+_)?i?rate(?:\d+[smhd])?$", names.get(metric, "")) is not None


def _rate(metric: str, window: str, scope: Scope, names: Mapping[str, str]) -> str:
    selector = containers(metric, scope, names)
    if _is_rate(metric, names):
        return scope.own(metric, f"avg_over_time({selector}[{window}])")
    rate = scope.own(metric, f"rate({selector}[{window}])")
    return f"sum without (cpu) ({rate})" if scope.per_cpu else rate


#: Metrics of the history that are asked as they are stored; the rest of core.schema.METRICS is derived from RAW.
DENSE = ("cpu_usage", "memory_working_set", "cpu_throttled", "cpu_periods")
#: Gauges and counters as they are, of which the caller takes differences (methods.md I-2).
RAW = ("restarts", "oom_reason", "oom_events")


def range_query(metric: str, scope: Scope, names: Mapping[str, str] = _NO_NAMES) -> str:
    """The query of a dense metric of the history, or of the raw series of a sparse one.

    Raises UsageError for an unknown metric.

    >>> range_query("memory_working_set", Scope())
    'max by (namespace,pod,container) (max_over_time(container_memory_working_set_bytes{container!="",container!="POD",image!=""}[5m]))'
    """

    def cadvisor(name: str) -> str:
        return containers(name, scope, names)

    if metric == "cpu_usage":
        inner = _rate(_CPU, "5m", scope, names)
    elif metric == "memory_working_set":
        inner = scope.own(_MEMORY, f"max_over_time({cadvisor(_MEMORY)}[5m])")
    elif metric == "cpu_throttled":
        inner = scope.own(_THROTTLED, f"increase({cadvisor(_THROTTLED)}[5m])")
    elif metric == "cpu_periods":
        inner = scope.own(_PERIODS, f"increase({cadvisor(_PERIODS)}[5m])")
    elif metric == "restarts":
        inner = scope.own(_RESTARTS, scope.select(_RESTARTS, names=names))
    elif metric == "oom_reason":
        inner = scope.own(_OOM_REASON, scope.select(_OOM_REASON, 'reason="OOMKilled"', names=names))
    elif metric == "oom_events":
        inner = scope.own(_OOM_EVENTS, cadvisor(_OOM_EVENTS))
    else:
        raise UsageError(f"{metric!a} has no query; expected one of {', '.join(DENSE + RAW)}")
    return f"max {scope.by(*_GROUP)} ({inner})"


def _of(asks: Mapping[str, Ask], kind: str) -> Ask:
    if kind not in asks:
        raise UsageError(f"{kind!a} has no query; expected one of {', '.join(asks)}")
    return asks[kind]


def fact_query(kind: str, scope: Scope, range_s: int = 86_400, names: Mapping[str, str] = _NO_NAMES) -> str:
    """The instant query of a fact over the ``range_s`` seconds before its time; node labels keep all their labels.

    >>> fact_query("pod_info", Scope())
    'max by (namespace,pod,uid,node) (max_over_time(kube_pod_info[86400s]))'
    """
    ask = _of(FACTS, kind)
    selected = scope.select(ask.metric, *ask.matchers, namespaced=ask.namespaced, names=names)
    inner = scope.own(ask.metric, f"max_over_time({selected}[{range_s}s])")
    return f"max {scope.by(*ask.keep)} ({inner})" if ask.keep else inner


def runs_query(kind: str, scope: Scope, names: Mapping[str, str] = _NO_NAMES, jobs: Sequence[str] = ()) -> str:
    """The range query of a fact that changes within a day; ``jobs`` names the scrape jobs of ``targets`` where they are known.

    >>> runs_query("targets", Scope(), jobs=["kubelet"])
    'count by (job) (up{job="kubelet"} == 1)'
    """
    ask = _of(RUNS, kind)
    matchers = ask.matchers
    if kind == "targets":
        matchers = (matcher("job", jobs) if jobs else f"job=~{quote(_JOBS)}",)
    inner = scope.own(ask.metric, scope.select(ask.metric, *matchers, namespaced=ask.namespaced, names=names)) + ask.compare
    return f"{'count' if kind == 'targets' else 'max'} {scope.by(*ask.keep)} ({inner})"


def burst_queries(scope: Scope, names: Mapping[str, str] = _NO_NAMES) -> dict[str, str]:
    """Instant queries at the end of a day: largest value and P99.9 of the 2-minute rate at 1 minute [cores]."""
    rate = f"(max {scope.by(*_GROUP)} ({_rate(_CPU, '2m', scope, names)}))[1d:1m]"
    return {"max": f"max_over_time({rate})", "p999": f"quantile_over_time(0.999, {rate})"}


def job_query(kind: str, scope: Scope, range_s: int = 86_400, names: Mapping[str, str] = _NO_NAMES) -> str:
    """The instant query of one fact of JOB_PODS: the last counter values [core seconds], the largest working set [bytes], or times [s].

    A restarted container is another series (its ``id``), so values are summed over those after doubles are gone.

    >>> job_query("run_start", Scope()).startswith("max by (namespace,pod) (max_over_time(kube_pod_start_time[86400s]))")
    True
    """

    def ever(metric: str, selector: str) -> str:
        return scope.own(metric, f"max_over_time({selector}[{range_s}s])")

    owned = ever("kube_pod_owner", scope.select("kube_pod_owner", 'owner_kind="Job"', names=names))
    jobs = f" and on ({','.join(scope.labels('namespace', 'pod'))}) max {scope.by('namespace', 'pod')} ({owned})"
    if kind == "run_cpu":
        last = ever(_CPU, containers(_CPU, scope, names)) + (" < 0" if _is_rate(_CPU, names) else "")  # a rate counts nothing: no answer
        counters = f"sum without (cpu) ({last})" if scope.per_cpu else last
        return f"sum {scope.by(*_GROUP)} (max {scope.by(*_GROUP, 'id')} ({counters})){jobs}"
    if kind == "run_memory":
        return f"max {scope.by(*_GROUP)} ({ever(_MEMORY, containers(_MEMORY, scope, names))}){jobs}"
    if kind == "run_outcome":
        ended = scope.select("kube_pod_status_phase", 'phase=~"Succeeded|Failed"', names=names)
        return f"(max {scope.by('namespace', 'pod', 'phase')} ({ever('kube_pod_status_phase', ended)}) == 1){jobs}"
    metric = {"run_start": "kube_pod_start_time", "run_end": "kube_pod_completion_time"}.get(kind)
    if metric is None:
        raise UsageError(f"{kind!a} has no query; expected one of {', '.join(JOB_PODS)}")
    return f"max {scope.by('namespace', 'pod')} ({ever(metric, scope.select(metric, names=names))}){jobs}"


def presence_query(scope: Scope, names: Mapping[str, str] = _NO_NAMES) -> str:
    """The number of containers with a working set: the days that have any are the days that hold data."""
    return f"count({containers(_MEMORY, scope, names)})"


def namespaces_query(scope: Scope, names: Mapping[str, str] = _NO_NAMES) -> str:
    """The number of containers with a working set in each namespace: how a question too large for one answer is split."""
    return f"count {scope.by('namespace')} ({scope.own(_MEMORY, containers(_MEMORY, scope, names))})"


def moved_query(family: str, scope: Scope, names: Mapping[str, str] = _NO_NAMES) -> str:
    """The number of series of a family (``kube``, ``container``) whose own labels the server has moved aside; see Scope.

    >>> moved_query("kube", Scope())
    'count(kube_pod_container_resource_requests{exported_namespace!=""})'
    """
    selected = scope.select(_MOVED[family], 'exported_namespace!=""', namespaced=False, names=names)
    return f"count({selected})"


#: What each feature needs, for the doctor: a missing metric disables the feature.
USED: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "CPU right-sizing": (_CPU, "kube_pod_container_resource_requests"),
        "memory right-sizing": (_MEMORY, "kube_pod_container_resource_requests"),
        "limits": ("kube_pod_container_resource_limits",),
        "throttling guard": (_THROTTLED, _PERIODS),
        "workload names": ("kube_pod_owner", "kube_replicaset_owner"),
        "CronJob names": ("kube_job_owner",),
        "running replicas": ("kube_pod_status_phase",),
        "restarts": (_RESTARTS,),
        "OOM guard": (_OOM_REASON,),
        "OOM events": (_OOM_EVENTS,),
        "images and rollouts": ("kube_pod_container_info",),
        "HPA guard": (
            "kube_horizontalpodautoscaler_info",
            "kube_horizontalpodautoscaler_spec_min_replicas",
            "kube_horizontalpodautoscaler_spec_max_replicas",
            "kube_horizontalpodautoscaler_spec_target_metric",
        ),
        "init containers": ("kube_pod_init_container_info", "kube_pod_init_container_resource_requests"),
        "job runs": ("kube_pod_start_time", "kube_pod_completion_time"),
        "LimitRange and quota": ("kube_limitrange", "kube_resourcequota"),
        "nodes": ("kube_node_status_allocatable", "kube_node_status_capacity"),
        "node pools and prices": ("kube_node_labels", "kube_node_info"),
        "taints and cordoned nodes": ("kube_node_spec_unschedulable",),  # a cluster without taints has no kube_node_spec_taint
        "holes": ("up",),
    }
)

#: Every metric that is asked for, by its usual name: what a server's own names can be given for.
STANDARD: frozenset[str] = frozenset(
    {_CPU, _MEMORY, _THROTTLED, _PERIODS, _RESTARTS, _OOM_EVENTS, _OOM_REASON}
    | {"kube_pod_start_time", "kube_pod_completion_time"}
    | {ask.metric for asks in (FACTS, RUNS) for ask in asks.values()}
)
