"""The Kubernetes client against a loopback API: paging, expiry, refusals, credentials (fault rows 12, 13, 46, 50)."""

from __future__ import annotations

import socket

import pytest

from aiops_analysis.core.errors import BadAnswer, SettingsError, SourceRefused, SourceUnreachable
from aiops_analysis.sources.kube_api import RESOURCES, Absent, KubeAccess, KubeApi, connect
from tests.kube_server import Cluster, kubeconfig, serve


def pods(count, namespace="shop"):
    return [{"metadata": {"name": f"p{i}", "namespace": namespace, "uid": f"u{i}"}} for i in range(count)]


def whole(**objects):
    return {plural: [] for plural in RESOURCES} | objects


@pytest.fixture
def api(tmp_path):
    """``api(cluster, **options)`` reads a served cluster, without waiting before it asks again."""

    def made(cluster, namespaces=(), **options):
        found = connect(KubeAccess(str(kubeconfig(tmp_path, cluster.url))), environ={})
        return KubeApi(found._client, namespaces=namespaces, pause=pauses.append, **options)

    pauses = made.pauses = []
    return made


def test_f13_lists_come_page_by_page(api):
    with serve(Cluster({"pods": pods(1201)})) as cluster:
        found = api(cluster).listed("", "v1", "pods")
    assert [item["metadata"]["name"] for item in found] == [f"p{i}" for i in range(1201)]
    assert [path.split("?")[1] for path in cluster.asked] == ["limit=500", "continue=500&limit=500", "continue=1000&limit=500"]


def test_f13_a_list_that_expires_starts_again(api):
    with serve(Cluster({"pods": pods(7)}, expire=1)) as cluster:
        assert len(api(cluster, page=3).listed("", "v1", "pods")) == 7
    # pages 0 and 3 (gone), then 0, 3, 6
    assert [path.split("continue=")[1][0] if "continue" in path else "0" for path in cluster.asked] == ["0", "3", "0", "3", "6"]


def test_f13_a_list_that_always_expires_is_given_up(api):
    with serve(Cluster({"pods": pods(7)}, expire=99)) as cluster, pytest.raises(BadAnswer, match="the list of pods expired 4 times"):
        api(cluster, page=3).listed("", "v1", "pods")


def test_f13_what_is_allowed_is_read_and_the_rest_named(api):
    with serve(Cluster(whole(pods=pods(2)), refuse={"nodes": 403, "jobs": 403})) as cluster:
        objects = api(cluster).objects()
    assert len(objects.of("pods")) == 2
    assert sorted(objects.missing) == ["jobs", "nodes"]
    assert objects.missing["nodes"].startswith("the account may not list nodes (403: nodes says 403)")
    assert objects.missing["jobs"].startswith("the account may not list jobs.batch (403")
    assert cluster.methods == {"GET"}


def test_pods_that_may_not_be_listed_end_it(api):
    with serve(Cluster(whole(), refuse={"pods": 403})) as cluster, pytest.raises(SourceRefused, match="may not list pods"):
        api(cluster).objects()


def test_refused_credentials_end_it_at_once(api):
    with serve(Cluster(whole(), refuse={"nodes": 401})) as cluster, pytest.raises(SourceRefused, match="not accepted"):
        api(cluster).objects()


def test_an_add_on_that_is_not_there_is_nothing_to_tell(api):
    objects = whole()
    del objects["verticalpodautoscalers"]
    with serve(Cluster(objects)) as cluster:
        assert api(cluster).objects().missing == {}


def test_f12_metrics_absent_and_down(api):
    with serve(Cluster(whole())) as cluster, pytest.raises(Absent, match=r"has no pods.metrics.k8s.io \(404\)"):
        api(cluster).pod_metrics()
    with serve(Cluster(whole(), metrics=[], refuse={"pods.metrics.k8s.io": 503})) as cluster:
        with pytest.raises(SourceUnreachable, match=r"cannot answer for pods\.metrics\.k8s\.io now"):
            api(cluster).pod_metrics()
        assert len(cluster.asked) == 3


def test_passing_failures_are_asked_again(api):
    with serve(Cluster({"pods": pods(1)}, once={"pods": [503, 429]})) as cluster:
        assert len(api(cluster).listed("", "v1", "pods")) == 1
    assert api.pauses == [1.0, 4.0]


def test_only_the_namespaces_asked_for(api):
    both = [*pods(1), {"metadata": {"name": "x", "namespace": "other"}}]
    nodes = [{"metadata": {"name": "n1"}}]
    with serve(Cluster(whole(pods=both, nodes=nodes))) as cluster:
        objects = api(cluster, namespaces=["other"]).objects()
    assert [p["metadata"]["name"] for p in objects.of("pods")] == ["x"]
    assert len(objects.of("nodes")) == 1
    assert "/apis/apps/v1/namespaces/other/deployments?limit=500" in cluster.asked


def test_an_object_on_two_pages_counts_once(api):
    twice = [*pods(3), *pods(2)]
    with serve(Cluster({"pods": twice})) as cluster:
        assert len(api(cluster, page=3).listed("", "v1", "pods")) == 3


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"<html>login</html>", "did not answer pods with JSON: <html>login</html>"),
        (b'{"status": "success"}', "did not answer pods with a list"),
        (b'{"metadata": {}, "items": 3}', "did not answer pods with a list"),
        (b'{"metadata": {}, "items": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "did not answer pods with JSON"),
        (b"\xff\xfe\x00", "did not answer pods with JSON"),
    ],
)
def test_f50_answers_of_something_else(api, body, says):
    with serve(Cluster({"pods": []}, raw={"pods": body})) as cluster, pytest.raises(BadAnswer, match=says):
        api(cluster).listed("", "v1", "pods")


def test_f50_an_answer_without_end_is_cut(api):
    with serve(Cluster({"pods": []}, raw={"pods": b" " * (65 * 2**20)})) as cluster, pytest.raises(BadAnswer, match="more than 64 MiB"):
        api(cluster).listed("", "v1", "pods")


def test_null_items_are_none(api):
    with serve(Cluster({"pods": []}, raw={"pods": b'{"metadata": {}, "items": null}'})) as cluster:
        assert api(cluster).listed("", "v1", "pods") == []


def test_f10_a_redirect_is_not_followed(api):
    with serve(Cluster({"pods": []}, refuse={"pods": 302})) as cluster, pytest.raises(BadAnswer, match="answered pods with 302"):
        api(cluster).listed("", "v1", "pods")
    assert len(cluster.asked) == 1


def test_nobody_listens(api):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    with pytest.raises(SourceUnreachable, match="did not answer for pods"):
        api(Cluster(url=url)).objects()


def test_the_token_is_sent_and_never_shown(tmp_path):
    with serve(Cluster(whole(), refuse={"pods": 403})) as cluster:
        api = connect(KubeAccess(str(kubeconfig(tmp_path, cluster.url, "t0ken-of-mine"))), environ={})
        with pytest.raises(SourceRefused) as caught:
            api.objects()
    assert cluster.tokens == {"Bearer t0ken-of-mine"}
    assert "t0ken-of-mine" not in f"{caught.value} {api!r} {caught.value.__cause__!r}"


def test_f46_a_broken_kubeconfig_is_named_without_its_contents(tmp_path):
    path = tmp_path / "config"
    path.write_text("users:\n- name: u\n  user: {token: t0ken-of-mine\n")
    with pytest.raises(SettingsError, match=r"is not valid YAML, line \d+$") as caught:
        connect(KubeAccess(str(path)), environ={})
    assert "t0ken" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "cannot be used"),
        ("[]", "cannot be"),
        ("a: 1", "cannot be used"),
        ("clusters: 3\ncontexts: 3\nusers: 3\ncurrent-context: x", "cannot be"),
    ],
)
def test_kubeconfigs_that_are_none(tmp_path, text, says):
    path = tmp_path / "config"
    path.write_text(text)
    with pytest.raises(SettingsError, match=says):
        connect(KubeAccess(str(path)), environ={})


def test_a_kubeconfig_that_is_not_there(tmp_path):
    with pytest.raises(SettingsError, match="is not a file; use --kubeconfig FILE"):
        connect(KubeAccess(), environ={"HOME": str(tmp_path)})


def test_a_context_must_be_in_the_kubeconfig(tmp_path):
    path = str(kubeconfig(tmp_path, "http://127.0.0.1:9"))
    assert connect(KubeAccess(path, "other"), environ={}).host == "http://127.0.0.1:9"
    with pytest.raises(SettingsError, match=r"no context 'prod' \(there: other, test\)"):
        connect(KubeAccess(path, "prod"), environ={})


def test_tls_is_only_switched_off_by_the_flag(tmp_path):
    path = str(kubeconfig(tmp_path, "https://127.0.0.1:9", **{"insecure-skip-tls-verify": True}))
    with pytest.raises(SettingsError, match="use --insecure if that is meant"):
        connect(KubeAccess(path), environ={})
    connect(KubeAccess(path, insecure=True), environ={})


def test_without_a_kubeconfig_the_service_account_is_read(tmp_path):
    environ = {"HOME": str(tmp_path), "KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": "9"}
    with pytest.raises(SettingsError, match="service account of this pod cannot be read"):
        connect(KubeAccess(), environ=environ)
