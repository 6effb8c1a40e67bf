"""Settings: their order, what is refused, and that no secret stands anywhere."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from aiops_analysis.core.errors import SettingsError
from aiops_analysis.settings import Settings, bundled, load

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


@pytest.mark.parametrize("name", ["url", "auth", "username", "token_file", "password_file", "ca_file", "cluster_label"])
def test_every_server_setting_has_its_variable(tmp_path: Path, name: str) -> None:
    value = {"url": "http://p", "auth": "none"}.get(name, "x")
    assert getattr(loaded(tmp_path, {f"AIOPS_PROMETHEUS_{name.upper()}": value}).prometheus, name) == value


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


def test_the_demo_answers_only_when_nothing_is_named(tmp_path: Path) -> None:
    demo = loaded(tmp_path)
    assert (demo.demo, demo.cluster_name, demo.history_root) == (True, "demo", bundled("demo") / "history")
    assert loaded(tmp_path, cluster="demo").demo
    for flags in ({"prometheus": "http://p"}, {"history": "h"}, {"cluster": "prod"}):
        assert not loaded(tmp_path, **flags).demo
    assert loaded(tmp_path, prometheus="http://p").cluster_name == "default"
    assert loaded(tmp_path, cluster="prod").history_root == tmp_path / "data" / "history"
