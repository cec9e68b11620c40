"""The command line as people type it."""

import pytest

from tools.oavc.__main__ import ALIASES, COMMANDS, main


def test_usage_lists_every_command_and_no_command_fails(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert main(["--help"]) == 0
    shown = capsys.readouterr().out
    assert all(shown.count(f"\n  {name} ") == 2 for name in COMMANDS)


def test_unknown_command_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["dmeo"]) == 2
    assert "unknown command 'dmeo'" in capsys.readouterr().err


@pytest.mark.parametrize("name", [*COMMANDS, *ALIASES])
def test_every_command_has_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([name, "--help"])
    assert ended.value.code == 0
    shown = capsys.readouterr().out
    assert f"usage: oavc {name}" in shown
    # The same short name everywhere, as of core itself.
    assert "-c " in shown


def test_ctrl_c_ends_without_a_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_options: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr("tools.oavc.status.run", interrupted)
    assert main(["status"]) == 130
