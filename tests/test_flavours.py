"""Which program answers: build information in the form that each publishes, and the fields that each is then asked with."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from aiops_analysis.core.redact import Redactor
from aiops_analysis.sources.flavours import Flavour, hosted, left_open, named, region_of, whole_answers
from aiops_analysis.sources.http import Server
from aiops_analysis.sources.prometheus import Prometheus
from tests.faults import server as fault

AT = datetime(2026, 11, 1, tzinfo=UTC)
#: The data of /api/v1/status/buildinfo with the fields and the kind of version of each program (hashes, users and dates are made up).
BUILDS = {
    "prometheus": {
        "version": "2.53.2",
        "revision": "0123456789ab",
        "branch": "HEAD",
        "buildUser": "root@host",
        "buildDate": "20240809-13:35:37",
        "goVersion": "go1.21.13",
    },
    "prometheus 3": {
        "version": "3.5.0",
        "revision": "0123456789ab",
        "branch": "HEAD",
        "buildUser": "root@host",
        "buildDate": "20250714-16:15:23",
        "goVersion": "go1.24.5",
    },
    "thanos": {
        "version": "0.36.1",
        "revision": "0123456789ab",
        "branch": "HEAD",
        "buildUser": "root@host",
        "buildDate": "20240814-14:36:52",
        "goVersion": "go1.22.6",
    },
    "mimir": {
        "application": "Grafana Mimir",
        "version": "2.14.0",
        "revision": "0123456789ab",
        "branch": "HEAD",
        "goVersion": "go1.22.5",
        "features": {"ruler_config_api": "true", "alertmanager_config_api": "true", "query_sharding": "false", "federated_rules": "false"},
    },
    "victoriametrics": {"version": "2.24.0"},
}


def pages(**by_end):
    """A server that knows these paths by their last part, without what follows a question mark."""

    def answer(live, request, stop) -> None:
        known = by_end.get(request.path.partition("?")[0].rpartition("/")[2])
        (known or fault.page(404, "404 page not found", "text/plain"))(live, request, stop)

    return answer


def status(data) -> fault.Answer:
    return fault.good({"status": "success", "data": data})


def form_of(flavour_answers, url_of=lambda url: url) -> tuple[Flavour, dict[str, str]]:
    """What a server was taken for, and the fields of the next question."""
    with fault.serve(pages(**flavour_answers, query=fault.good(fault.vector()))) as server:
        source = Prometheus(Server(url_of(server.url)), Redactor(), sleep=lambda _: None)
        found = source.flavour()
        source.instant("up", AT)
        before = len(server.seen)
        assert source.flavour() is found  # it is asked once
        assert len(server.seen) == before
        source.close()
    form = server.seen[-1].form
    return found, {name: value for name, value in form.items() if name not in ("query", "time")}


THANOS = {"partial_response": "false", "dedup": "true", "max_source_resolution": "0s"}
VICTORIA = {"deny_partial_response": "1", "nocache": "1"}
TIMEOUT = {"timeout": "110s"}
FLAGS = status({"storage.tsdb.retention.time": "15d"})


@pytest.mark.parametrize(
    ("build", "more", "expected", "fields"),
    [
        ("prometheus", {"flags": FLAGS}, Flavour("prometheus", "2.53.2", timedelta(days=15)), THANOS | VICTORIA | TIMEOUT),
        ("prometheus 3", {"flags": FLAGS}, Flavour("prometheus", "3.5.0", timedelta(days=15)), THANOS | VICTORIA | TIMEOUT),
        ("thanos", {}, Flavour("thanos", "0.36.1"), THANOS | TIMEOUT),
        ("mimir", {}, Flavour("mimir", "2.14.0"), TIMEOUT),
        ("victoriametrics", {"flags": fault.page(200, '-retentionPeriod="1"\n', "text/plain")}, None, VICTORIA | TIMEOUT),
    ],
)
def test_each_is_asked_for_whole_answers_in_its_words(build: str, more, expected: Flavour | None, fields) -> None:
    found, form = form_of({"buildinfo": status(BUILDS[build])} | more)
    assert expected is None or found == expected
    assert form == fields


def test_a_thanos_of_version_one_is_known_by_its_stores() -> None:
    stores = status({"sidecar": [{"name": "10.0.0.1:10901", "labelSets": [{"prometheus_replica": "a"}]}]})
    found, form = form_of({"buildinfo": status(BUILDS["thanos"] | {"version": "1.0.0"}), "stores": stores})
    assert (found.name, form) == ("thanos", THANOS | TIMEOUT)


def test_the_select_part_of_a_victoria_cluster_is_known_by_its_answers() -> None:
    # vmselect has no page of its flags below /select/0/prometheus, but says of each answer whether it is whole
    answers = {"buildinfo": status(BUILDS["victoriametrics"])}
    with fault.serve(pages(**answers, query=fault.good(fault.vector(isPartial=False)))) as server:
        source = Prometheus(Server(f"{server.url}/select/0/prometheus"), Redactor())
        assert source.flavour() == Flavour("victoriametrics", "2.24.0")
        source.close()


def test_what_says_nothing_is_unknown_and_gets_every_field() -> None:
    found, form = form_of({})
    assert (found, form) == (Flavour("unknown", ""), THANOS | VICTORIA | TIMEOUT)


def test_a_version_without_go_and_without_that_mark_is_unknown() -> None:
    assert form_of({"buildinfo": status(BUILDS["victoriametrics"])})[0] == Flavour("unknown", "2.24.0")


@pytest.mark.parametrize(
    ("url", "name", "region"),
    [
        ("https://aps-workspaces.eu-central-1.amazonaws.com/workspaces/ws-1", "amp", "eu-central-1"),
        ("https://aps-workspaces-fips.us-east-1.amazonaws.com/workspaces/ws-1/", "amp", "us-east-1"),
        ("https://aps-workspaces.us-east-1.api.aws/workspaces/ws-1", "amp", "us-east-1"),
        ("https://monitoring.googleapis.com/v1/projects/p/location/global/prometheus", "gmp", ""),
        ("https://my-workspace-abcd.eastus.prometheus.monitor.azure.com", "azure-monitor", ""),
        ("https://prometheus-prod-01-eu-west-0.grafana.net/api/prom", "grafana-cloud", ""),
        ("https://prometheus-prod-01.grafana.net.evil.example/api/prom", "", ""),
        ("https://evil-aps-workspaces.eu-central-1.amazonaws.com", "", ""),
        ("https://evil.example/aps-workspaces.eu-central-1.amazonaws.com", "", ""),
        ("http://prometheus:9090", "", ""),
    ],
)
def test_managed_services_are_known_by_their_host(url: str, name: str, region: str) -> None:
    assert (hosted(url), region_of(url)) == (name, region)
    if name:  # what they do not document is not sent: some refuse unknown fields
        assert dict(whole_answers(name)) == TIMEOUT


def test_named_by_build_information() -> None:
    assert {name: named(build) for name, build in BUILDS.items()} == {
        "prometheus": "prometheus",
        "prometheus 3": "prometheus",
        "thanos": "thanos",
        "mimir": "mimir",
        "victoriametrics": "",
    }
    assert named({"application": "Cortex", "version": "1.18.0"}) == "cortex"
    assert named({}) == ""


@pytest.mark.parametrize(
    ("name", "version", "expected"),
    [
        ("prometheus", "3.0.1", True),
        ("prometheus", "10.1.0", True),
        ("prometheus", "2.53.2", False),
        ("thanos", "3.0.0", False),
        ("prometheus", "", False),
        ("prometheus", "v3", False),
    ],
)
def test_from_prometheus_3_on_ranges_are_left_open(name: str, version: str, expected: bool) -> None:
    assert left_open(Flavour(name, version)) is expected
