"""Settings: their order, what is refused, and that no secret stands anywhere."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path

import pytest

from aiops_analysis.core.errors import SettingsError
from aiops_analysis.settings import PrometheusSettings, Settings, bundled, load

TOML = """
cluster = "file"
history = "store"
days = 14
namespaces = ["todo", "shop"]

[prometheus]
url = "http://file:9090"
ca_file = "ca.pem"
"""


def toml(folder: Path, text: str) -> Path:
    path = folder / "aiops.toml"
    path.write_bytes(text.encode())
    return folder


def loaded(folder: Path, environ: dict[str, str] | None = None, **flags: object) -> Settings:
    return load(flags, environ=environ or {}, cwd=folder)


def test_flags_before_environment_before_file_before_defaults(tmp_path: Path) -> None:
    toml(tmp_path, TOML)
    environ = {"AIOPS_CLUSTER": "env", "AIOPS_PROMETHEUS_URL": "https://env:9090/api", "AIOPS_NAMESPACES": "a, b"}
    found = loaded(tmp_path, environ, cluster="flag", prometheus=None)
    assert found.cluster == "flag"
    assert found.prometheus.url == "https://env:9090/api"
    assert found.prometheus.ca_file == str(tmp_path / "ca.pem")
    assert (found.namespaces, found.days) == (("a", "b"), 14)
    assert found.history_root == tmp_path / "store"
    assert found.reports == tmp_path / "reports"
    assert found.origins["cluster"] == "from a flag"
    assert found.origins["prometheus.url"] == "from AIOPS_PROMETHEUS_URL"
    assert found.origins["days"] == f"from {tmp_path / 'aiops.toml'}"
    assert loaded(tmp_path, environ, prometheus="http://flag:1").prometheus.url == "http://flag:1"


@pytest.mark.parametrize("name", ["history", "reports", "policy", "adr_dir", "cluster"])
def test_every_flat_setting_has_its_variable(tmp_path: Path, name: str) -> None:
    assert str(getattr(loaded(tmp_path, {f"AIOPS_{name.upper()}": "/x/y"}), name)) == "/x/y"


TABLES = {
    "token_command": ('["get-token", "--aud", "x"]', ("get-token", "--aud", "x")),
    "query_params": ('{"dedup": true, "extra_label": ["a=b", "c=d"]}', {"dedup": "true", "extra_label": ("a=b", "c=d")}),
    "headers_env": ('{"X-Key": "MY_KEY"}', {"X-Key": "MY_KEY"}),
    "names": ('{"up": "team:up"}', {"up": "team:up"}),
}


@pytest.mark.parametrize("name", PrometheusSettings.__slots__)
def test_every_server_setting_has_its_variable(tmp_path: Path, name: str) -> None:
    text, value = TABLES.get(name) or (({"url": "http://p", "auth": "none"}.get(name, "x"),) * 2)
    found = loaded(tmp_path, {f"AIOPS_PROMETHEUS_{name.upper()}": text})
    assert getattr(found.prometheus, name) == value
    assert Settings.from_json(found.to_json()) == found


def test_where_the_file_is_looked_for(tmp_path: Path) -> None:
    named, users, here = tmp_path / "named.toml", tmp_path / "xdg/aiops-analysis/config.toml", tmp_path / "aiops.toml"
    users.parent.mkdir(parents=True)
    for path in (named, users, here):
        path.write_text(f'cluster = "{path.parent.name}-{path.stem}"')
    both = {"AIOPS_CONFIG": str(named), "XDG_CONFIG_HOME": str(tmp_path / "xdg")}
    assert loaded(tmp_path, both).config_file == here
    here.unlink()
    assert loaded(tmp_path, both).config_file == named
    assert loaded(tmp_path, {"XDG_CONFIG_HOME": both["XDG_CONFIG_HOME"]}).config_file == users
    assert loaded(tmp_path, {}).config_file is None
    with pytest.raises(SettingsError, match="AIOPS_CONFIG names gone"):
        loaded(tmp_path, {"AIOPS_CONFIG": "gone.toml"})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('cluster = "a"\ncluster = "b"', "line 2"),
        ("days = [", "line 1"),
        ('clutser = "a"', "unknown key clutser; did you mean cluster?"),
        ('[prometheus]\nurls = "http://x"', "unknown key prometheus.urls; did you mean url?"),
        ('days = "many"', "the setting days"),
        ("days = 0", "the setting days"),
        ('prometheus = "http://x"', "the setting prometheus"),
        ('[prometheus]\nauth = "kerberos"', "the setting prometheus.auth"),
        ('[prometheus]\nurl = "ftp://x"', "not an http or https URL"),
        ("[prometheus]\ninsecure = true", "TLS verification cannot be switched off in a file"),
        ("[prometheus]\nquery_parms = {}", "unknown key prometheus.query_parms; did you mean query_params?"),
        ('[prometheus]\ntoken_command = "get-token now"', "the setting prometheus.token_command"),
        ('[prometheus.names]\nkube_pod_inf = "x"', "prometheus.names has the unknown metric 'kube_pod_inf'; did you mean kube_pod_info?"),
        ('[prometheus.names]\nqqqq = "x"', "the left side is the usual name of a metric that we ask for"),
        ('[prometheus.names]\nup = "a b"', "prometheus.names.up is 'a b', which is not a metric name"),
        ('[prometheus.names]\nup = "up} or vector(1"', "which is not a metric name"),
    ],
)
def test_f47_a_wrong_file_is_named_with_the_place(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(SettingsError) as caught:
        loaded(toml(tmp_path, text))
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 2


def test_bom_and_windows_line_ends_are_read(tmp_path: Path) -> None:
    assert loaded(toml(tmp_path, '\ufeffcluster = "a"\r\ndays = 7\r\n')).days == 7
    (tmp_path / "aiops.toml").write_bytes(b'cluster = "\xff"')
    with pytest.raises(SettingsError, match="not UTF-8"):
        loaded(tmp_path)


def test_f47_a_misspelt_variable_is_refused_and_a_foreign_one_is_not(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="AIOPS_PROMETHEUS_ULR; did you mean AIOPS_PROMETHEUS_URL"):
        loaded(tmp_path, {"AIOPS_PROMETHEUS_ULR": "http://x"})
    with pytest.raises(SettingsError, match="the setting days"):
        loaded(tmp_path, {"AIOPS_DAYS": "soon"})
    # Kubernetes puts these into every pod beside a service called aiops-prometheus
    foreign = {"AIOPS_PROMETHEUS_SERVICE_HOST": "10.0.0.1", "AIOPS_PROMETHEUS_PORT_9090_TCP": "tcp://10.0.0.1:9090", "AIOPS_RUN_ID": "x"}
    assert loaded(tmp_path, foreign).prometheus.url == ""


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[prometheus]\ntoken = "s3cr3t-value"', "AIOPS_PROMETHEUS_TOKEN or prometheus.token_file"),
        ('[prometheus]\npassword = "s3cr3t-value"', "AIOPS_PROMETHEUS_PASSWORD or prometheus.password_file"),
        ('api_key = "s3cr3t-value"', "must not hold a secret (api_key)"),
        ('[prometheus]\nurl = "https://me:s3cr3t-value@host"', "prometheus.url looks like a secret"),
        ('[prometheus]\nproxy_password = "s3cr3t-value"', "AIOPS_PROMETHEUS_PROXY_PASSWORD"),
        ('[prometheus]\nproxy = "http://me:s3cr3t-value@proxy"', "prometheus.proxy looks like a secret"),
        ('[prometheus]\ntoken_command = ["curl", "--token=s3cr3t-value"]', "prometheus.token_command looks like a secret"),
        ('[prometheus]\ntoken_command = ["x", "eyJhbGciOiJI.eyJzdWIiOiIx.s3cr3t-value"]', "prometheus.token_command looks like a secret"),
        ('[prometheus.query_params]\nextra = ["eyJhbGciOiJI.eyJzdWIiOiIx.s3cr3t-value"]', "prometheus.query_params looks like a secret"),
        ('cluster = "eyJhbGciOiJI.eyJzdWIiOiIx.s3cr3t-value"', "cluster looks like a secret"),
    ],
)
def test_f46_a_secret_in_the_file_is_refused_with_the_advice(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(SettingsError) as caught:
        loaded(toml(tmp_path, text))
    assert said in str(caught.value)
    assert "s3cr3t" not in str(caught.value)


@pytest.mark.parametrize(
    "url", ["https://me:s3cr3t@host", "https://s3cr3t@host", "https://host?token=s3cr3t", "http://s3cr3t:x@[bad", "s3cr3t:x@y"]
)
def test_f46_a_secret_in_a_url_is_refused(tmp_path: Path, url: str) -> None:
    with pytest.raises(SettingsError) as caught:
        loaded(tmp_path, {"AIOPS_PROMETHEUS_URL": url})
    assert "s3cr3t" not in str(caught.value)


def test_f46_no_secret_in_repr_json_or_messages_and_the_redactor_knows_all(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("filet0ken\n")
    environ = {
        "AIOPS_PROMETHEUS_URL": "http://p",
        "AIOPS_PROMETHEUS_PASSWORD": 'pa"ss<word',
        "AIOPS_PROMETHEUS_TOKEN_FILE": str(tmp_path / "token"),
    }
    environ |= {"MY_KEY": "head3r-value"}
    toml(tmp_path, '[prometheus.headers_env]\nX-Scope-OrgID = "MY_KEY"')
    found = loaded(tmp_path, environ)
    shown = repr(found) + found.to_json()
    redactor = found.redactor(environ)
    for secret in ("filet0ken", 'pa"ss<word', "head3r-value"):
        assert secret not in shown
        encoded = base64.b64encode(secret.encode()).decode()
        assert redactor.clean(f"a {secret} b {encoded}") == "a [redacted] b [redacted]"
    assert redactor.clean('{"x": "pa\\"ss<word"} pa&quot;ss&lt;word') == '{"x": "[redacted]"} [redacted]'
    assert Settings.from_json(found.to_json()) == found


def test_how_the_server_is_spoken_to(tmp_path: Path) -> None:
    url = {"AIOPS_PROMETHEUS_URL": "http://p"}

    def server(**more: str):
        environ = url | {f"AIOPS_PROMETHEUS_{name.upper()}": value for name, value in more.items()}
        return loaded(tmp_path, environ).server(environ)

    assert loaded(tmp_path).server({}) is None
    assert server().auth == "none"
    assert (server(token="t0ken").auth, server(token="t0ken").token) == ("bearer", "t0ken")
    assert server(token_file="/x").token_file == "/x"
    basic = server(username="me", password="pass")
    assert (basic.auth, basic.username, basic.password) == ("basic", "me", "pass")
    assert not basic.insecure
    assert loaded(tmp_path, url, insecure=True).server(url).insecure
    for wrong, said in (
        ({"auth": "bearer"}, "AIOPS_PROMETHEUS_TOKEN"),
        ({"auth": "basic"}, "AIOPS_PROMETHEUS_PASSWORD"),
        ({"username": "me"}, "AIOPS_PROMETHEUS_PASSWORD"),
        ({"username": "me", "token": "t0ken"}, "set prometheus.auth"),
        ({"token": "abc"}, "3 characters"),
    ):
        with pytest.raises(SettingsError, match=said):
            server(**wrong)
    toml(tmp_path, '[prometheus.headers_env]\nX-Key = "MY_KEY"')
    with pytest.raises(SettingsError, match="MY_KEY, which is not set"):
        server()


def test_the_newer_ways_reach_the_server(tmp_path: Path) -> None:
    toml(
        tmp_path,
        """
        cluster = "prod"
        namespaces = ["shop"]
        [prometheus]
        url = "https://p"
        token_command = ["./bin/token", "--audience", "x", "--token-file=/run/t"]
        org_id = "team"
        proxy = "http://proxy:3128"
        proxy_username = "me"
        cluster_label = "k8s_cluster"
        query_params = { dedup = true, max_source_resolution = "1h", max = 5 }
        """,
    )
    environ = {"AIOPS_PROMETHEUS_PROXY_PASSWORD": "pr0xy-secret"}
    found = loaded(tmp_path, environ)
    server = found.server(environ)
    assert server is not None
    assert (server.auth, server.token_command[0]) == ("bearer", str(tmp_path / "bin/token"))  # a path is taken from the file's folder
    assert (server.org_id, server.proxy_url) == ("team", "http://me:pr0xy-secret@proxy:3128")
    assert server.query_params == {"dedup": "true", "max_source_resolution": "1h", "max": "5"}
    assert (found.scope().cluster_label, found.scope().cluster, found.scope().namespaces) == ("k8s_cluster", "prod", ("shop",))
    assert "pr0xy-secret" not in repr(server) + repr(found) + found.to_json()
    assert found.redactor(environ).clean("pr0xy-secret") == "[redacted]"
    both = environ | {"AIOPS_PROMETHEUS_TOKEN_FILE": "/x"}
    with pytest.raises(SettingsError, match=r"token_file and prometheus\.token_command are both set"):
        loaded(tmp_path, both).server(both)
    given = environ | {"AIOPS_PROMETHEUS_TOKEN": "t0ken-value"}  # a token by value is the strongest
    assert loaded(tmp_path, given).server(given).token_command == ()


def test_f46_a_secret_among_the_arguments_of_a_command(tmp_path: Path) -> None:
    for argument in ("--token=s3cr3t-value", "password:s3cr3t-value", "eyJhbGciOiJI.eyJzdWIiOiIx.s3cr3t-value"):
        with pytest.raises(SettingsError, match=r"token_command \(from AIOPS_PROMETHEUS_TOKEN_COMMAND\) holds what looks") as caught:
            loaded(tmp_path, {"AIOPS_PROMETHEUS_TOKEN_COMMAND": json.dumps(["curl", argument])})
        assert "s3cr3t" not in str(caught.value)


def test_one_cluster_may_be_said(tmp_path: Path) -> None:
    scope = loaded(tmp_path, {"AIOPS_PROMETHEUS_CLUSTER_LABEL": "none", "AIOPS_CLUSTER": "prod"}).scope()
    assert (scope.single, scope.cluster_label, scope.cluster) == (True, "", "")
    assert loaded(tmp_path, {"AIOPS_CLUSTER": "prod"}).scope().single is False


def test_sigv4_gets_its_region_and_keys(tmp_path: Path) -> None:
    amp = "https://aps-workspaces.eu-central-1.amazonaws.com/workspaces/ws-1"
    keys = {"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "aws-s3cr3t", "AWS_SESSION_TOKEN": "aws-s3ssion"}

    def server(url: str = amp, **more: str):
        environ = keys | {"AIOPS_PROMETHEUS_URL": url, "AIOPS_PROMETHEUS_AUTH": "sigv4"} | more
        return loaded(tmp_path, environ).server(environ)

    assert (server().region, server().aws_keys.access_key) == ("eu-central-1", "AKIDEXAMPLE")
    assert server(AIOPS_PROMETHEUS_REGION="us-east-1", AWS_REGION="x").region == "us-east-1"
    assert server("https://proxy.example", AWS_REGION="us-west-2").region == "us-west-2"
    assert server(AWS_SECRET_ACCESS_KEY="").aws_keys is None  # botocore looks for others
    with pytest.raises(SettingsError, match="needs a region"):
        server("https://proxy.example")
    environ = keys | {"AIOPS_PROMETHEUS_URL": amp, "AIOPS_PROMETHEUS_AUTH": "sigv4"}
    found = loaded(tmp_path, environ)
    assert "s3" not in repr(found.server(environ))
    assert found.redactor(environ).clean("aws-s3cr3t aws-s3ssion") == "[redacted] [redacted]"


PAGE = Path(__file__).resolve().parents[1] / "docs" / "sources.md"
EXAMPLES = re.findall(r"^```toml\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("text", EXAMPLES)
def test_every_example_of_the_page_on_sources_is_taken(tmp_path: Path, text: str) -> None:
    found = loaded(toml(tmp_path, text))
    assert found.prometheus.url
    secrets = {"AIOPS_PROMETHEUS_PASSWORD": "passw0rd", "AIOPS_PROMETHEUS_PROXY_PASSWORD": "passw0rd"}
    if "client_cert_file" in text:
        with pytest.raises(SettingsError, match=r"ca_file .*ca.pem': no such file"):
            found.server(secrets)
    elif "service-ca" not in text:
        given = {name: value for name, value in secrets.items() if ("PROXY" in name) is ("proxy" in text)}
        assert found.server(given) is not None


def test_the_page_on_sources_names_every_setting() -> None:
    text = PAGE.read_text(encoding="utf-8")
    told_elsewhere = {"password_file", "headers_env"}  # README
    assert [name for name in PrometheusSettings.__slots__ if name not in text and name not in told_elsewhere] == []


def test_the_demo_answers_only_when_nothing_is_named(tmp_path: Path) -> None:
    demo = loaded(tmp_path)
    assert (demo.demo, demo.cluster_name, demo.history_root) == (True, "demo", bundled("demo") / "history")
    assert loaded(tmp_path, cluster="demo").demo
    for flags in ({"prometheus": "http://p"}, {"history": "h"}, {"cluster": "prod"}):
        assert not loaded(tmp_path, **flags).demo
    assert loaded(tmp_path, prometheus="http://p").cluster_name == "default"
    assert loaded(tmp_path, cluster="prod").history_root == tmp_path / "data" / "history"


def test_helm_paths_and_business_hours_of_the_file_reach_a_kernel(tmp_path):
    text = '[helm]\n"shop/Deployment/web/app" = "web.resources"\n[hours]\nzone = "Europe/Berlin"\nstart = 7\n'
    (tmp_path / "aiops.toml").write_text(text)
    found = Settings.from_json(load({}, environ={}, cwd=tmp_path).to_json())
    assert found.helm == {"shop/Deployment/web/app": "web.resources"}
    assert found.hours == {"zone": "Europe/Berlin", "days": [0, 1, 2, 3, 4], "start": 7, "end": 18}


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ('zone = "Europe/Berln"', "there is no time zone 'Europe/Berln'; did you mean Europe/Berlin?"),
        ("start = 19", "business hours go from 19 to 18"),
        ('zoen = "UTC"', "unknown key hours.zoen; did you mean zone?"),
        ("days = [7]", "expected some of 0 (Monday) to 6 (Sunday)"),
    ],
)
def test_f47_impossible_hours_are_refused(tmp_path, line, says):
    (tmp_path / "aiops.toml").write_text(f"[hours]\n{line}\n")
    with pytest.raises(SettingsError, match=re.escape(says)):
        load({}, environ={}, cwd=tmp_path)


def test_node_pools_and_shared_namespaces_of_the_file_reach_a_kernel(tmp_path):
    text = '[nodes]\nautoscaler = "karpenter"\n[nodes.minimum]\ngeneral = 3\n[costs]\nshared = ["infra"]\nrule = "uniform"\n'
    (tmp_path / "aiops.toml").write_text(text)
    found = Settings.from_json(load({}, environ={}, cwd=tmp_path).to_json())
    assert found.nodes == {"autoscaler": "karpenter", "minimum": {"general": 3}}
    assert found.costs == {"shared": ["infra"], "rule": "uniform"}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('[nodes]\nautoscaler = "carpenter"\n', "nodes.autoscaler"),
        ("[nodes.minimum]\ngeneral = -1\n", "nodes.minimum.general"),
        ('[costs]\nrule = "even"\n', "costs.rule"),
        ('[costs]\nshares = ["a"]\n', "unknown key costs.shares; did you mean shared?"),
    ],
)
def test_f47_impossible_node_and_cost_settings_are_refused(tmp_path, text, says):
    (tmp_path / "aiops.toml").write_text(text)
    with pytest.raises(SettingsError, match=re.escape(says)):
        load({}, environ={}, cwd=tmp_path)


SHEET = 'currency = "EUR"\n[[price]]\ninstance_type = "a"\nprice_hour = 1.0\n'


def test_prices_and_bills_are_named_beside_the_file_or_by_a_flag(tmp_path: Path) -> None:
    inner = tmp_path / "config"
    inner.mkdir()
    (inner / "prices.toml").write_text(SHEET)
    toml(inner, 'prices = "prices.toml"\nbilling = "bills/focus.csv"\ncurrency = "EUR"')
    found = loaded(tmp_path, {"AIOPS_CONFIG": str(inner / "aiops.toml")})
    assert (found.prices, found.billing, found.currency) == (inner / "prices.toml", inner / "bills" / "focus.csv", "EUR")
    assert found.price_list().source == "price sheet prices.toml"
    assert Settings.from_json(found.to_json()) == found
    environ = {"AIOPS_CONFIG": str(inner / "aiops.toml"), "AIOPS_PRICES": "/x/y.csv", "AIOPS_CURRENCY": "USD"}
    assert loaded(tmp_path, environ, billing="b.csv").prices == Path("/x/y.csv")
    assert loaded(tmp_path, environ, billing="b.csv").billing == tmp_path / "b.csv"
    assert loaded(tmp_path, environ, prices="z.csv").prices == tmp_path / "z.csv"
    assert loaded(tmp_path).price_list().name == "opencost-default"


def test_f29_prices_in_another_currency_than_the_settings_are_refused(tmp_path: Path) -> None:
    (tmp_path / "prices.toml").write_text(SHEET)
    with pytest.raises(SettingsError, match=r"price sheet prices.toml is in EUR, but the currency is USD \(from AIOPS_CURRENCY\)"):
        loaded(tmp_path, {"AIOPS_CURRENCY": "USD"}, prices="prices.toml").price_list()
    with pytest.raises(SettingsError, match=r"is in USD, but the currency is EUR .*; give prices in it with --prices"):
        loaded(tmp_path, {"AIOPS_CURRENCY": "EUR"}).price_list()
    assert loaded(tmp_path, {"AIOPS_CURRENCY": "EUR"}, billing="b.csv").price_list().currency == "USD"
    with pytest.raises(SettingsError, match=r"the setting currency \(from AIOPS_CURRENCY\) is wrong"):
        loaded(tmp_path, {"AIOPS_CURRENCY": "€"})
