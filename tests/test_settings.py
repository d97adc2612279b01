"""Settings: where a value comes from, and what is refused."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offhook.domain.errors import MisconfiguredError
from offhook.quantities import duration, duration_text, host_port, size
from offhook.settings.areas import Settings
from offhook.settings.loading import declarations, load_settings


def load(tmp_path: Path, *, toml: str = "", env: dict[str, str] | None = None, **flags: str) -> Settings:
    if toml:
        (tmp_path / "offhook.toml").write_text(toml)
    given_flags = {name.replace("__", "."): value for name, value in flags.items()}
    return load_settings(data=tmp_path, config=None, environ=env or {}, flags=given_flags)


def test_every_default_is_valid_and_described(tmp_path: Path) -> None:
    settings = load(tmp_path)
    for name, declared in declarations().items():
        assert settings.given[name].source == "default"
        assert declared.help


def test_flag_beats_environment_beats_file_beats_default(tmp_path: Path) -> None:
    toml = '[delivery]\ntimeout = "1s"\norder_hold = "2s"\njitter = 0.1\n'
    env = {"OFFHOOK_DELIVERY__TIMEOUT": "3s", "OFFHOOK_DELIVERY__ORDER_HOLD": "4s"}
    settings = load(tmp_path, toml=toml, env=env, delivery__timeout="5s")
    assert settings.delivery.timeout == timedelta(seconds=5)
    assert settings.delivery.order_hold == timedelta(seconds=4)
    assert settings.delivery.jitter == 0.1
    assert [settings.given[f"delivery.{name}"].source for name in ("timeout", "order_hold", "drain_time")] == [
        "flag",
        "environment",
        "default",
    ]
    assert settings.given["delivery.jitter"].source.endswith("offhook.toml")


def test_a_schedule_may_differ_per_family(tmp_path: Path) -> None:
    toml = '[delivery.retry_schedule]\ndefault = ["2s"]\ncall = ["1s", "1m"]\n[retention.events]\nmessage = "90d"\n'
    settings = load(tmp_path, toml=toml)
    assert settings.delivery.retry_schedule.default == (timedelta(seconds=2),)
    assert settings.delivery.retry_schedule.families == {"call": (timedelta(seconds=1), timedelta(minutes=1))}
    assert settings.retention.events.families == {"message": timedelta(days=90)}


@pytest.mark.parametrize(
    ("env", "said"),
    [
        ({"OFFHOOK_DELIVERY__TIMEOT": "5s"}, "delivery.timeout"),
        ({"OFFHOOK_SERVR__PORT": "1"}, "server.port"),
        ({"OFFHOOK_DELIVERY__TIMEOUT": "5"}, "5s"),
        ({"OFFHOOK_DELIVERY__TIMEOUT": "2m"}, "from 100ms to 60s"),
        ({"OFFHOOK_SERVER__HOST": ""}, "must not be empty"),
        ({"OFFHOOK_SERVER__PORT": "0"}, "from 1 to 65535"),
        ({"OFFHOOK_SERVER__PORT": "http"}, "server.port"),
        ({"OFFHOOK_DELIVERY__JITTER": "nan"}, "from 0 to 1"),
        ({"OFFHOOK_SWITCH__ENABLED": "yes"}, "true or false"),
        ({"OFFHOOK_SWITCH__SIP": "5060"}, "127.0.0.1:5060"),
        ({"OFFHOOK_DELIVERY__ALLOWED_NETWORKS": "10.0.0.0/99"}, "delivery.allowed_networks"),
        ({"OFFHOOK_LOG__LEVEL": "loud"}, "debug, info"),
        ({"OFFHOOK_SWITCH__ASTERISK_URL": "http://10.0.0.5:8088"}, "asterisk_user"),
        (
            {"OFFHOOK_SWITCH__ASTERISK_URL": "http://10.0.0.5:8088", "OFFHOOK_SWITCH__ASTERISK_USER": "me"},
            "needs switch.asterisk_password_file: a file with the ARI password of me",
        ),
        ({"OFFHOOK_SWITCH__ASTERISK_URL": "10.0.0.5:8088"}, "switch.asterisk_url"),
        (
            {"OFFHOOK_SERVER__PUBLIC_URL": "not a url"},
            "server.public_url (environment) is 'not a url', which is no URL",
        ),
        ({"OFFHOOK_SERVER__PUBLIC_URL": "offhook.example.com"}, "write it as https://offhook.example.com"),
        ({"OFFHOOK_SERVER__PUBLIC_URL": "https://offhook.example.com/?a=b"}, "server.public_url"),
        ({"OFFHOOK_SERVER__PUBLIC_URL": "https://:99999"}, "server.public_url"),
        ({"OFFHOOK_DATABASE__URL": "mysql://me:geheim@db/offhook"}, "database.url is of mysql. Offhook keeps its data"),
        ({"OFFHOOK_DATABASE__URL": "me:geheim@db/offhook"}, "database.url is no URL"),
        ({"OFFHOOK_SWITCH__RTP_FIRST": "30000"}, "rtp_last"),
    ],
)
def test_a_bad_setting_names_itself_and_what_it_may_be(tmp_path: Path, env: dict[str, str], said: str) -> None:
    with pytest.raises(MisconfiguredError) as refused:
        load(tmp_path, env=env)
    assert said in refused.value.message
    assert "geheim" not in refused.value.message


@pytest.mark.parametrize("url", ["", "https://offhook.example.com", "http://[::1]:8080", "https://example.com/offhook"])
def test_a_url_is_taken_as_it_is_written(tmp_path: Path, url: str) -> None:
    assert load(tmp_path, env={"OFFHOOK_SERVER__PUBLIC_URL": url}).server.public_url == url


@pytest.mark.parametrize("toml", ["nonsense", "[delivery]\nno_such = 1\n", "\xff"])
def test_a_bad_file_is_named(tmp_path: Path, toml: str) -> None:
    (tmp_path / "offhook.toml").write_bytes(toml.encode("latin-1"))
    with pytest.raises(MisconfiguredError, match=r"offhook\.toml"):
        load(tmp_path)


def test_variables_of_the_command_line_are_no_settings(tmp_path: Path) -> None:
    load(tmp_path, env={"OFFHOOK_URL": "x", "OFFHOOK_TOKEN": "y", "OFFHOOK_DATA": "z", "PATH": "/bin"})


@given(st.integers(min_value=0, max_value=10**10))
def test_a_duration_is_read_as_it_is_written(milliseconds: int) -> None:
    value = timedelta(milliseconds=milliseconds)
    assert duration(duration_text(value)) == value


def test_quantities() -> None:
    assert duration("1.5h") == timedelta(minutes=90)
    assert size("64KiB") == 65_536
    assert host_port("[::1]:5060") == ("::1", 5060)


def test_the_range_of_every_setting_that_has_one_is_shown_and_kept() -> None:
    page = (Path(__file__).parents[1] / "docs" / "reference" / "settings.md").read_text(encoding="utf-8")
    bounded = {"port", "count", "rate", "share", "duration", "size", "level", "format", "list of durations"}
    for name, declared in declarations().items():
        assert bool(declared.allowed) == (declared.kind in bounded), name
        assert f"| {declared.allowed} | `OFFHOOK_" in page, name
        for end in declared.allowed.split(" to ") if " to " in declared.allowed and "," not in declared.allowed else ():
            declared.read(end)
    assert declarations()["server.port"].allowed == "1 to 65535"
    for text in ("0", "65536"):
        with pytest.raises(ValueError, match="1 to 65535"):
            declarations()["server.port"].read(text)


@pytest.mark.parametrize(
    ("name", "meant"),
    [("OFFHOOK_DATABASE", "OFFHOOK_DATABASE__URL"), ("OFFHOOK_PUBLIC_URL", "OFFHOOK_SERVER__PUBLIC_URL")],
)
def test_a_variable_that_means_a_setting_is_not_passed_over(tmp_path: Path, name: str, meant: str) -> None:
    with pytest.raises(MisconfiguredError, match=meant):
        load_settings(data=tmp_path, config=None, environ={name: "x"}, flags={})
    load_settings(data=tmp_path, config=None, environ={"OFFHOOK_SOMETHING_ELSE": "x"}, flags={})


def test_a_database_file_of_ones_own_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MisconfiguredError, match="data folder"):
        load_settings(data=tmp_path, config=None, environ={}, flags={"database.url": "sqlite:///x"})
