import argparse
from dataclasses import fields
from pathlib import Path

import pytest

from deploy import __main__ as command
from deploy.errors import UsageError
from deploy.server.arguments import TITLES, add_arguments, from_arguments
from deploy.server.options import TOKEN_VARIABLE, ServerOptions, about, flag


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"tls_key": Path("k")}, "--tls-key without --tls-cert"),
        ({"admin_token_file": Path("t")}, "--admin-token-file without --admin-port"),
        ({"metrics": "admin"}, "--metrics admin without --admin-port"),
        ({"admin_host": "0.0.0.0"}, "--admin-host 0.0.0.0 without --admin-port"),
        ({"admin_port": 1, "admin_host": "0.0.0.0"}, "--admin-host 0.0.0.0 without --tls-cert"),
        ({"max_rows": 10, "max_queue": 9}, "--max-rows 10 is over --max-queue 9"),
        ({"max_pixels": 0}, "--max-pixels 0: expected a whole number from 1 up"),
        ({"grpc_port": 65536}, "--grpc-port 65536: expected 0 to 65535"),
        ({"port": -1}, "--port -1: expected 0 to 65535"),
    ],
)
def test_what_contradicts_itself_is_refused_in_one_line(given: dict[str, object], words: str) -> None:
    with pytest.raises(UsageError) as caught:
        ServerOptions(**given)  # type: ignore[arg-type]
    assert str(caught.value).startswith(words)
    assert "\n" not in str(caught.value)


def test_what_belongs_together_is_taken() -> None:
    ServerOptions(admin_port=0, admin_host="0.0.0.0", tls_cert=Path("c"), metrics="admin")
    ServerOptions(host="0.0.0.0").require_control(None)
    ServerOptions().require_control("folder")
    ServerOptions(host="0.0.0.0", admin_port=0).require_control("folder")
    with pytest.raises(UsageError, match="add --admin-port"):
        ServerOptions(host="0.0.0.0").require_control("folder")


def parse(*words: str) -> ServerOptions:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return from_arguments(parser.parse_args(words))


def test_arguments_become_options() -> None:
    assert parse() == ServerOptions()
    found = parse("--grpc-port", "0", "--api-keys", "k", "--no-access-log", "--metrics", "off", "--max-body", "10")
    assert found == ServerOptions(grpc_port=0, api_keys=Path("k"), access_log=False, metrics="off", max_body=10)


def test_each_option_is_shown_once_in_its_group(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse("--help")
    text = capsys.readouterr().out
    places = [text.index(f"\n{title}:") for title in TITLES.values()]
    assert places == sorted(places)
    for one in fields(ServerOptions):
        assert f"\n  {flag(one.name)}" in text
        assert about(one.name).group in TITLES


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["bundle", "--nope"], "error: unrecognized arguments: --nope; see python -m deploy --help\n"),
        (["bundle", "--metrics", "x"], "error: argument --metrics: invalid choice: 'x' (choose from "),
        (["bundle", "--max-ro", "1"], "error: unrecognized arguments: --max-ro 1; see"),
        (["bundle", "--max-rows", "many"], "error: argument --max-rows: invalid int value: 'many'; see"),
        (["bundle", "--tls-key", "k"], "error: --tls-key without --tls-cert: a key is of no use alone; give both\n"),
        (["bundle", "--host", "0.0.0.0", "--repository", "r"], "error: --repository with --host 0.0.0.0: "),
        (["bundle", "--api-keys", "none"], "error: none: no such file\n"),
        (["bundle", "--tls-cert", "none"], "error: none: no such file; expected a certificate or key in PEM form\n"),
        (["bundle", "--admin-port", "0"], f"error: {TOKEN_VARIABLE}: no token there; give one in "),
    ],
)
def test_the_command_says_in_one_line_what_is_wrong(
    words: list[str], told: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("starlette", "httptools", "orjson"):
        pytest.importorskip(module, reason="needs the extra 'serve'")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(TOKEN_VARIABLE, raising=False)
    try:
        code = command.main([*words, "--port", "0"])
    except SystemExit as ended:
        code = ended.code
    out, err = capsys.readouterr()
    assert code in (1, 2)
    assert err.startswith(told)
    assert (err.count("\n"), out) == (1, "")
