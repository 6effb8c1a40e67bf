"""Query texts stand here as they are sent; values in them select exactly themselves, on paper and on a real server (fault row 45)."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from aiops_analysis.core.errors import UsageError
from aiops_analysis.core.redact import Redactor
from aiops_analysis.core.schema import METRICS
from aiops_analysis.sources import promql
from aiops_analysis.sources.http import Server
from aiops_analysis.sources.prometheus import Prometheus
from aiops_analysis.sources.promql import Scope
from tests import servers

ALL = Scope()
SHOP = Scope("cluster", "prod", ("shop", "pay"))
S = 'container!="",container!="POD",image!=""'
BOTH = ',cluster="prod",namespace=~"shop|pay"'
T0 = 1_793_491_200  # 2026-11-01 00:00 UTC

HOSTILE = [
    'a"} or vector(1) #',
    "back\\slash",
    "ends in \\",
    "two\nlines\r\n",
    "nul\0here",
    "tab\there \x7f",
    'it\'s `quoted` "twice"',
    ".*",
    ".+|",
    "a|b",
    "(a)[b]{c}^d$e?+",
    "\ufffd",
    "ünïcödé 日本 \U0001f600",
    "{{7*7}} ${x}",
    " ",
]


@pytest.mark.parametrize(
    ("metric", "text"),
    [
        ("cpu_usage", f"max by (namespace,pod,container) (rate(container_cpu_usage_seconds_total{{{S}}}[5m]))"),
        ("memory_working_set", f"max by (namespace,pod,container) (max_over_time(container_memory_working_set_bytes{{{S}}}[5m]))"),
        ("cpu_throttled", f"max by (namespace,pod,container) (increase(container_cpu_cfs_throttled_periods_total{{{S}}}[5m]))"),
        ("cpu_periods", f"max by (namespace,pod,container) (increase(container_cpu_cfs_periods_total{{{S}}}[5m]))"),
        ("restarts", "max by (namespace,pod,container) (kube_pod_container_status_restarts_total)"),
        ("oom_reason", 'max by (namespace,pod,container) (kube_pod_container_status_last_terminated_reason{reason="OOMKilled"})'),
        ("oom_events", f"max by (namespace,pod,container) (container_oom_events_total{{{S}}})"),
    ],
)
def test_range_queries(metric: str, text: str) -> None:
    assert promql.range_query(metric, ALL) == text


def test_every_dense_metric_of_the_history_has_a_query() -> None:
    assert set(promql.DENSE) == {name for name, metric in METRICS.items() if not metric.sparse}


def test_the_scope_is_in_every_selector_and_grouping() -> None:
    assert promql.range_query("cpu_usage", SHOP) == (
        f"max by (cluster,namespace,pod,container) (rate(container_cpu_usage_seconds_total{{{S}{BOTH}}}[5m]))"
    )
    # a label that exists but selects nothing groups only: one cluster at a time is the caller's decision
    assert promql.range_query("restarts", Scope("k8s_cluster")) == (
        "max by (k8s_cluster,namespace,pod,container) (kube_pod_container_status_restarts_total)"
    )


def test_single_cpus_are_summed_first() -> None:
    assert promql.range_query("cpu_usage", Scope(per_cpu=True)) == (
        f"max by (namespace,pod,container) (sum without (cpu) (rate(container_cpu_usage_seconds_total{{{S}}}[5m])))"
    )


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (
            "owner",
            (
                "max by (cluster,namespace,pod,uid,owner_kind,owner_name) "
                f'(max_over_time(kube_pod_owner{{owner_is_controller="true"{BOTH}}}[86400s]))'
            ),
        ),
        (
            "images",
            (
                "max by (cluster,namespace,pod,uid,container,image,image_spec,image_id) "
                f"(max_over_time(kube_pod_container_info{{{BOTH[1:]}}}[86400s]))"
            ),
        ),
        # nodes have no namespace, and keep all their labels
        ("node_labels", 'max_over_time(kube_node_labels{cluster="prod"}[86400s])'),
        ("node_info", 'max by (cluster,node,provider_id,kubelet_version,os_image) (max_over_time(kube_node_info{cluster="prod"}[86400s]))'),
    ],
)
def test_facts(kind: str, text: str) -> None:
    assert promql.fact_query(kind, SHOP) == text


def test_facts_of_another_range() -> None:
    assert promql.fact_query("pod_info", ALL, 3600).endswith("(max_over_time(kube_pod_info[3600s]))")


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (
            "requests",
            f'max by (cluster,namespace,pod,uid,container,node,resource) (kube_pod_container_resource_requests{{unit=~"core|byte"{BOTH}}})',
        ),
        ("phase", f'max by (cluster,namespace,pod,uid) (kube_pod_status_phase{{phase=~"Pending|Running"{BOTH}}} == 1)'),
        (
            "node_capacity",
            'max by (cluster,node,resource,unit) (kube_node_status_capacity{resource=~"cpu|memory|pods",cluster="prod"})',
        ),
        ("targets", f'count by (cluster,job) (up{{job=~{promql.quote(promql._JOBS)},cluster="prod"}} == 1)'),
    ],
)
def test_runs(kind: str, text: str) -> None:
    assert promql.runs_query(kind, SHOP) == text


def test_burst_and_presence() -> None:
    rate = f"(max by (namespace,pod,container) (rate(container_cpu_usage_seconds_total{{{S}}}[2m])))[1d:1m]"
    assert promql.burst_queries(ALL) == {"max": f"max_over_time({rate})", "p999": f"quantile_over_time(0.999, {rate})"}
    assert promql.presence_query(ALL) == f"count(container_memory_working_set_bytes{{{S}}})"


def test_f16_labels_that_the_server_moved_aside_come_back() -> None:
    """Only the family whose labels were moved: innermost the namespace, then pod, container, node."""
    moved = Scope(namespaces=("shop",), moved=("kube",))
    selected = 'max_over_time(kube_pod_info{exported_namespace="shop"}[86400s])'
    for label in ("namespace", "pod", "container", "node"):
        selected = f'label_replace({selected},"{label}","$1","exported_{label}","(.+)")'
    assert promql.fact_query("pod_info", moved) == f"max by (namespace,pod,uid,node) ({selected})"
    assert promql.range_query("cpu_usage", moved) == promql.range_query("cpu_usage", Scope(namespaces=("shop",)))
    assert 'label_replace(kube_pod_status_phase{phase=~"Pending|Running"' in promql.runs_query("phase", Scope(moved=("kube",)))
    assert promql.runs_query("phase", Scope(moved=("kube",))).endswith(" == 1)")
    assert moved.within(["a"]) == Scope(namespaces=("a",), moved=("kube",))
    assert promql.moved_query("container", Scope("cluster", "c")) == (
        'count(container_memory_working_set_bytes{exported_namespace!="",cluster="c"})'
    )


def test_a_metric_may_have_another_name() -> None:
    names = {"container_memory_working_set_bytes": "team:memory:max"}
    # a recording rule has lost its image label mostly; container="" and the pause container stay out
    assert promql.presence_query(ALL, names) == 'count(team:memory:max{container!="",container!="POD"})'
    plain = {"container_memory_working_set_bytes": "memory_of_containers"}
    assert promql.presence_query(ALL, plain) == f"count(memory_of_containers{{{S}}})"
    with pytest.raises(UsageError, match="not a metric name"):
        promql.presence_query(ALL, {"container_memory_working_set_bytes": "up} or vector(1"})


@pytest.mark.parametrize(
    ("rule", "inner"),
    [
        ("ns:container_cpu:sum_irate", "avg_over_time({}[5m])"),  # cores already: a rate of them would be nonsense
        ("ns:container_cpu:rate5m", "avg_over_time({}[5m])"),
        ("ns:container_cpu:sum", "rate({}[5m])"),  # a counter that was only summed
    ],
)
def test_a_recorded_rate_is_not_rated_again(rule: str, inner: str) -> None:
    names = {"container_cpu_usage_seconds_total": rule}
    selector = rule + '{container!="",container!="POD"}'
    assert promql.range_query("cpu_usage", ALL, names) == f"max by (namespace,pod,container) ({inner.format(selector)})"
    assert inner.format(selector).replace("5m]", "2m]").replace("rate2m", "rate5m") in promql.burst_queries(ALL, names)["max"]


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (lambda: promql.range_query("cpu", ALL), "expected one of cpu_usage"),
        (lambda: promql.fact_query("owners", ALL), "expected one of owner"),
        (lambda: promql.runs_query("request", ALL), "expected one of requests"),
        (lambda: Scope('a"b'), "is not a label name"),
        (lambda: Scope("9a"), "is not a label name"),
        (lambda: Scope(cluster="prod"), "needs the name of the label"),
        (lambda: promql.matcher("a", []), "no values"),
        (lambda: promql.quote("\ud800"), "lone surrogate"),
    ],
)
def test_wrong_words_are_refused(wrong, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        wrong()


def test_used_names_what_the_queries_ask() -> None:
    kinds = [promql.job_query(kind, ALL) for kind in promql.JOB_PODS]
    kinds += [promql.fact_query(kind, ALL) for kind in promql.FACTS] + [promql.runs_query(kind, ALL) for kind in promql.RUNS]
    texts = " ".join(kinds + [promql.range_query(m, ALL) for m in promql.DENSE + promql.RAW])
    for feature, metrics in promql.USED.items():
        assert all(re.search(rf"\b{name}\b", texts) for name in metrics), feature


# --- row 45: values select exactly themselves ------------------------------------------------------------------------------------------


def unquote(text: str) -> str:
    """What Go's strconv.Unquote makes of a double-quoted literal: the reading side, written from the language's rules."""
    assert text[0] == text[-1] == '"'
    out, i, inner = [], 0, text[1:-1]
    simple = {"n": "\n", "r": "\r", "t": "\t", "\\": "\\", '"': '"'}
    while i < len(inner):
        assert inner[i] not in '"\n'
        if inner[i] != "\\":
            out.append(inner[i])
            i += 1
            continue
        kind = inner[i + 1]
        if kind in simple:
            out.append(simple[kind])
            i += 2
        else:
            width = {"x": 2, "u": 4}[kind]
            out.append(chr(int(inner[i + 2 : i + 2 + width], 16)))
            i += 2 + width
    return "".join(out)


@given(st.text())
@example('"')
@example("\\")
@example("\ufffd")
def test_f45_a_quoted_text_reads_back(value: str) -> None:
    assert unquote(promql.quote(value)) == value


@given(st.lists(st.text(), min_size=2, max_size=4, unique=True), st.text())
@example(["a.c", "b"], "abc")
@example(["", "a"], "aa")
@example([".*", "x"], "y")
def test_f45_several_values_match_themselves_and_nothing_else(values: list[str], other: str) -> None:
    name, literal = promql.matcher("l", values).split("=~", 1)
    assert name == "l"
    pattern = re.compile(f"(?:{unquote(literal)})")  # Python reads these escapes as RE2 does
    assert all(pattern.fullmatch(value) for value in values)
    assert bool(pattern.fullmatch(other)) == (other in values)


def test_f45_one_value_needs_no_regex() -> None:
    assert promql.matcher("l", [".*", ".*"]) == 'l=".*"'


@pytest.fixture(scope="module")
def hostile_blocks(tmp_path_factory) -> Path:
    """One series for each hostile value, its number as the value; OpenMetrics escapes backslash, quote and newline."""
    folder = tmp_path_factory.mktemp("hostile")
    lines = ["# TYPE demo gauge"]
    for number, value in enumerate(HOSTILE):
        escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
        lines.append(f'demo{{namespace="{escaped}"}} {number} {T0}')
    (folder / "demo.om").write_bytes("\n".join([*lines, "# EOF\n"]).encode())
    servers.create_blocks(folder / "demo.om", folder / "blocks")
    return folder / "blocks"


@pytest.mark.server
def test_f45_a_real_prometheus_selects_exactly_the_value(hostile_blocks: Path, prometheus_server) -> None:
    source = Prometheus(Server(prometheus_server(hostile_blocks).url), Redactor())
    at = datetime.fromtimestamp(T0, UTC)
    for number, value in enumerate(HOSTILE):
        assert source.instant(Scope(namespaces=(value,)).select("demo"), at).values.tolist() == [number], value
        # with a second value that does not exist the escaped regex is used
        assert source.instant(Scope(namespaces=(value, "no such")).select("demo"), at).values.tolist() == [number], value
    every = source.instant(Scope(namespaces=tuple(HOSTILE)).select("demo"), at)
    assert sorted(every.values) == list(range(len(HOSTILE)))
    assert {m["namespace"].replace("\\x00", "\0") for m in every.labels} == set(HOSTILE)
    source.close()


@pytest.mark.server
def test_f45_a_real_victoria_selects_exactly_the_value(victoria_server) -> None:
    server = victoria_server()
    lines = []
    for number, value in enumerate(HOSTILE):
        escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
        lines.append(f'demo{{namespace="{escaped}"}} {number} {T0 * 1000}\n')
    servers.import_text(server, "".join(lines).encode())
    source, at = (
        Prometheus(Server(server.url), Redactor()),
        datetime.fromtimestamp(T0 + 60, UTC),
    )  # it looks back, not at a sample's own time
    for number, value in enumerate(HOSTILE):
        assert source.instant(Scope(namespaces=(value,)).select("demo"), at).values.tolist() == [number], value
        assert source.instant(Scope(namespaces=(value, "no such")).select("demo"), at).values.tolist() == [number], value
    source.close()


@pytest.mark.server
def test_every_query_is_understood_by_real_servers(hostile_blocks: Path, prometheus_server, victoria_server) -> None:
    at = datetime.fromtimestamp(T0, UTC)
    hostile = Scope("cluster", HOSTILE[0], tuple(HOSTILE), per_cpu=True)
    for server in (prometheus_server(hostile_blocks), victoria_server()):
        source = Prometheus(Server(server.url), Redactor())
        for scope in (ALL, SHOP, hostile, replace(hostile, moved=("kube", "container"))):
            texts = [promql.fact_query(kind, scope) for kind in promql.FACTS] + [promql.runs_query(kind, scope) for kind in promql.RUNS]
            texts += [promql.range_query(m, scope) for m in promql.DENSE + promql.RAW] + list(promql.burst_queries(scope).values())
            for text in [*texts, promql.presence_query(scope), promql.namespaces_query(scope)]:
                assert source.instant(text, at).labels == [], text
        source.close()
