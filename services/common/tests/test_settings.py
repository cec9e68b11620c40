"""Settings are declared once, filled from file and environment, and wrong ones are all reported at once."""

from enum import Enum
from pathlib import Path
from typing import Literal, Self

import pydantic
import pytest

from services.common.settings import (
    ConfigurationError,
    KeyDescription,
    Loaded,
    Section,
    describe,
    effective,
    key,
    load,
    read_ini,
    unread_variables,
)


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Ports(Section):
    section = "ports"

    first: int = key(35000, env="FIRST_PORT", help="The first.", ge=1024, le=65535)
    last: int = key(35100, env=("LAST_PORT", "OLD_LAST_PORT"), help="The last.", le=65535)

    @pydantic.model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.last < self.first:
            raise ValueError("last must not be less than first")
        return self


class Various(Section):
    section = "various"

    ratio: float = key(0.5, env="RATIO", unit="s", help="A ratio.", aliases=("older.ratio",))
    on: bool = key(False, env="ON", help="A switch.")
    colour: Colour = key(Colour.RED, env="COLOUR", help="A choice.")
    level: Literal["INFO", "DEBUG"] = key("INFO", help="Another choice.")
    names: tuple[str, ...] = key((), env="NAMES", help="A list.")
    numbers: list[int] = key([1, 2], help="Numbers.")
    file: Path | None = key(None, env="FILE", help="A file.")
    limit: int | None = key(None, help="A limit.", ge=1)


class Account(Section):
    section = "account"

    user: str = key(..., env="ACCOUNT_USER", help="Who.")
    password: pydantic.SecretStr | None = key(None, env="ACCOUNT_PASSWORD", help="What for.", secret=True)


def problems_of(error: pytest.ExceptionInfo[ConfigurationError]) -> list[str]:
    return list(error.value.problems)


def test_defaults_apply_where_nothing_is_given() -> None:
    loaded = load([Ports, Various], {}, {})
    assert loaded[Ports] == Ports(first=35000, last=35100)
    assert loaded[Various].numbers == [1, 2]
    assert set(loaded.sources.values()) == {"default"}


def test_the_environment_wins_over_the_file_which_wins_over_the_default() -> None:
    loaded = load([Ports], {"ports": {"first": "2000", "last": "3000"}}, {"FIRST_PORT": "2500"})
    assert (loaded[Ports].first, loaded[Ports].last) == (2500, 3000)
    assert loaded.sources == {("ports", "first"): "env FIRST_PORT", ("ports", "last"): "file"}


def test_the_first_environment_name_that_is_set_wins() -> None:
    environ = {"OLD_LAST_PORT": "40001", "LAST_PORT": "40002"}
    assert load([Ports], {}, environ)[Ports].last == 40002
    del environ["LAST_PORT"]
    assert load([Ports], {}, environ)[Ports].last == 40001


def test_every_key_has_a_variable_that_gives_way_to_those_it_declares() -> None:
    environ = {"OAVC_PORTS_LAST": "40003"}
    assert load([Ports], {"ports": {"last": "40000"}}, environ)[Ports].last == 40003
    assert load([Ports], {}, environ | {"OLD_LAST_PORT": "40001"})[Ports].last == 40001
    assert load([Ports], {"ports": {"last": "40000"}}, {"OAVC_PORTS_LAST": ""})[Ports].last == 40000


def test_a_secrets_variable_may_name_its_file(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("sesame\n")
    environ = {"ACCOUNT_USER": "anna", "OAVC_ACCOUNT_PASSWORD_FILE": str(tmp_path / "secret")}
    password = load([Account], {}, environ)[Account].password
    assert password is not None
    assert password.get_secret_value() == "sesame"


def test_a_variable_that_is_almost_a_keys_is_told() -> None:
    environ = {"OAVC_ACCOUNT_USR": "anna", "OAVC_ACCOUNT_PASSWORD_FILE": "x", "OAVC_OTHER_USER": "x", "FIRST_PROT": "x"}
    assert unread_variables([Ports, Account], environ) == ["OAVC_ACCOUNT_USR (did you mean OAVC_ACCOUNT_USER?)"]


def test_an_empty_environment_variable_counts_as_unset() -> None:
    assert load([Ports], {"ports": {"first": "2000"}}, {"FIRST_PORT": ""})[Ports].first == 2000


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("ratio", " 0.25 ", 0.25),
        ("on", "yes", True),
        ("on", "Off", False),
        ("on", "1", True),
        ("colour", "BLUE", Colour.BLUE),
        ("level", "debug", "DEBUG"),
        ("names", "a, b ,,c", ("a", "b", "c")),
        ("names", "\n^sip:1,2$\n^x$", ("^sip:1,2$", "^x$")),
        ("names", '["a,b", "c"]', ("a,b", "c")),
        ("names", "[0-9]+", ("[0-9]+",)),
        ("names", "", ()),
        ("numbers", "3,4", [3, 4]),
        ("file", "/var/log/x.log", Path("/var/log/x.log")),
        ("file", "", None),
        ("limit", "none", None),
        ("limit", "7", 7),
    ],
)
def test_text_becomes_the_declared_type(name: str, text: str, value: object) -> None:
    loaded = load([Various], {"various": {name: text}}, {})
    assert getattr(loaded[Various], name) == value


def test_every_problem_is_reported_at_once_with_the_name_that_set_it() -> None:
    ini = {
        "ports": {"first": "80", "lsat": "1"},
        "various": {"on": "perhaps", "colour": "green", "ratio": "nan"},
        "portz": {"x": "1"},
    }
    with pytest.raises(ConfigurationError) as error:
        load([Ports, Various, Account], ini, {"LAST_PORT": "many"})
    assert problems_of(error) == [
        "ports.lsat: unknown key, did you mean 'last'?",
        "[portz]: unknown section, did you mean 'ports'?",
        "ports.first: input should be greater than or equal to 1024, not '80'",
        "ports.last (LAST_PORT): input should be a valid integer, unable to parse string as an integer, not 'many'",
        "various.colour: should be one of red, blue, not 'green'",
        "various.ratio: input should be a finite number, not 'nan'",
        "various.on: input should be a valid boolean, unable to interpret input, not 'perhaps'",
        "account.user: required; set it in [account] or ACCOUNT_USER",
    ]


def test_a_rule_between_keys_is_reported_for_the_section() -> None:
    with pytest.raises(ConfigurationError) as error:
        load([Ports], {"ports": {"last": "2000"}}, {})
    assert problems_of(error) == ["ports: last must not be less than first"]


def test_names_of_others_are_left_alone_where_that_is_asked_for() -> None:
    ini = {"ports": {"first": "2000", "legacy": "1"}, "other": {"x": "1"}}
    assert load([Ports], ini, {}, ignore={"other", "ports.legacy"})[Ports].first == 2000
    with pytest.raises(ConfigurationError):
        load([Ports], ini, {}, ignore={"*"})
    del ini["ports"]["legacy"]
    assert load([Ports], ini, {}, ignore={"*"})[Ports].first == 2000


def test_an_alias_is_read_where_the_key_itself_is_absent() -> None:
    ini = {"older": {"ratio": "0.1"}}
    loaded = load([Various], ini, {})
    assert loaded[Various].ratio == 0.1
    assert loaded.sources["various", "ratio"] == "file older.ratio"
    assert load([Various], {**ini, "various": {"ratio": "0.2"}}, {})[Various].ratio == 0.2


def test_a_wrong_alias_is_reported_by_its_place_and_its_section_stays_strict() -> None:
    with pytest.raises(ConfigurationError) as error:
        load([Various], {"older": {"ratio": "x", "other": "1"}}, {})
    assert problems_of(error) == [
        "older.other: unknown key",
        "various.ratio (older.ratio): input should be a valid number, unable to parse string as a number, not 'x'",
    ]
    with pytest.raises(ConfigurationError) as error:
        load([Various], {"older": {"ratio": "x", "other": "1"}}, {}, ignore={"*"})
    assert len(error.value.problems) == 1


def test_a_secret_comes_from_the_value_a_file_or_the_file_that_a_variable_names(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("hunter2\n", encoding="utf-8")

    def password(ini: str, environ: dict[str, str]) -> str:
        section = {"user": "anna", **({"password": ini} if ini else {})}
        secret = load([Account], {"account": section}, environ)[Account].password
        return secret.get_secret_value() if secret else ""

    assert password("plain", {}) == "plain"
    assert password(f"file:{file}", {}) == "hunter2"
    assert password("plain", {"ACCOUNT_PASSWORD_FILE": str(file)}) == "hunter2"
    assert password("plain", {"ACCOUNT_PASSWORD": f"file:{file}"}) == "hunter2"
    assert password("", {}) == ""


@pytest.mark.parametrize("content", [None, b"\xff\xfe"])
def test_a_secret_file_that_cannot_be_read_is_a_problem(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "password"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ConfigurationError) as error:
        load([Account], {"account": {"user": "x"}}, {"ACCOUNT_PASSWORD_FILE": str(file)})
    assert problems_of(error)[0].startswith(
        f"account.password (ACCOUNT_PASSWORD_FILE): cannot read the secret from {file}"
    )


def test_a_secret_is_never_shown() -> None:
    class Key(Section):
        section = "key"
        value: pydantic.SecretStr = key(..., help="A key.", min_length=20)

    with pytest.raises(ConfigurationError) as error:
        load([Key], {"key": {"value": "hunter2"}}, {})
    assert "hunter2" not in str(error.value)
    loaded = load([Account], {"account": {"user": "anna", "password": "hunter2"}}, {})
    assert "hunter2" not in effective(loaded) + repr(loaded[Account])


def test_the_effective_configuration_says_where_each_value_is_from(tmp_path: Path) -> None:
    loaded = load(
        [Ports, Account], {"ports": {"last": "40000"}}, {"ACCOUNT_USER": "anna", "ACCOUNT_PASSWORD": "hunter2"}
    )
    text = effective(loaded)
    assert text.splitlines() == [
        "[ports]",
        "first = 35000  # default",
        "last = 40000  # file",
        "",
        "[account]",
        "user = anna  # env ACCOUNT_USER",
        "password = ********  # env ACCOUNT_PASSWORD",
    ]


def test_every_key_is_described() -> None:
    rows = {row.key: row for row in describe([Various, Account])}
    assert rows["ratio"] == KeyDescription(
        "various", "ratio", "float", "0.5", "s", ("RATIO", "OAVC_VARIOUS_RATIO"), "A ratio.", aliases=("older.ratio",)
    )
    assert rows["colour"].type == "red | blue"
    assert rows["level"].type == "INFO | DEBUG"
    assert rows["names"].type == "list of str"
    assert (rows["numbers"].type, rows["numbers"].default) == ("list of int", "1, 2")
    assert (rows["file"].type, rows["file"].default) == ("path (optional)", "")
    assert (rows["on"].type, rows["on"].default) == ("bool", "false")
    assert (rows["password"].type, rows["password"].secret) == ("secret (optional)", True)
    assert (rows["user"].required, rows["user"].default) == (True, "")


def test_sections_are_frozen() -> None:
    loaded: Loaded = load([Ports], {}, {})
    assert list(loaded) == [Ports]
    assert len(loaded) == 1
    with pytest.raises(pydantic.ValidationError):
        loaded[Ports].first = 1


def test_an_ini_file_is_read_as_it_stands(tmp_path: Path) -> None:
    path = tmp_path / "app.ini"
    path.write_bytes(
        b"\xef\xbb\xbf[logging]\nFormat = %(asctime)s %(message)s\n; a comment\n[engine]\nmatch =\n  ^a$\n  ^b$\n"
    )
    assert read_ini(path) == {
        "logging": {"format": "%(asctime)s %(message)s"},
        "engine": {"match": "\n^a$\n^b$"},
    }


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (b"port = 1\n", ":1: a [section] must come before the first key"),
        (b"[a]\ntoken a-secret\n", ":2: expected `key = value`"),
        (b"[a]\nx=1\nx=2\n", ":3: a.x appears twice"),
        (b"[a]\nx=1\n[a]\n", ":3: section [a] appears twice"),
        (b"[a]\nx=\xff\n", ": not UTF-8 text (invalid start byte at byte 6)"),
    ],
)
def test_a_faulty_ini_file_is_reported_with_its_line(tmp_path: Path, text: bytes, problem: str) -> None:
    path = tmp_path / "app.ini"
    path.write_bytes(text)
    with pytest.raises(ConfigurationError) as error:
        read_ini(path)
    assert problems_of(error) == [f"{path}{problem}"]


def test_an_ini_file_that_is_not_there_is_reported(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"cannot be read: No such file"):
        read_ini(tmp_path / "none.ini")
    with pytest.raises(ConfigurationError, match=r"\[DEFAULT\]: unknown section"):
        load([Ports], {"DEFAULT": {}}, {})
