"""Scripts: what is read, and how what is wrong is told."""

from pathlib import Path

import pytest

from tools.caller.script import HangUp, Listen, Say, ScriptError, load_script, parse_script

SAY = '[[step]]\ndo = "say"\ntext = "Hi"\n'
HANG_UP = '[[step]]\ndo = "hang_up"\n'


def problems(text: str) -> tuple[str, ...]:
    with pytest.raises(ScriptError) as caught:
        parse_script(text)
    return caught.value.problems


def test_demo_script_is_complete() -> None:
    script = load_script(Path("config/demo/call.toml"))
    assert isinstance(script.step[0], Listen)
    assert isinstance(script.step[-1], HangUp)
    sources = [say.source for say in script.says]
    assert sources.count("knowledge") >= 3
    assert "model" in sources
    assert any(say.interrupt_after_ms for say in script.says)
    assert all(say.expect for say in script.says)


def test_every_kind_of_step_is_read() -> None:
    script = parse_script(
        """
        codec = "PCMA"
        first_sequence_number = 65530
        [network]
        loss_percent = 1.5
        [[step]]
        do = "listen"
        [[step]]
        do = "say"
        text = "Hello."
        expect = "hello"
        interrupt_after_ms = 500
        [[step]]
        do = "say"
        text = "Stop."
        answered = false
        [[step]]
        do = "press"
        digits = "12#"
        by = "info"
        [[step]]
        do = "hold"
        for_ms = 500
        [[step]]
        do = "wait"
        for_ms = 100
        [[step]]
        do = "hang_up"
        """
    )
    assert len(script.step) == 7
    assert [say.text for say in script.says] == ["Hello.", "Stop."]
    assert script.says[0].expect == ("hello",)
    assert script.network.loss_percent == 1.5


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("step = [", "no TOML: "),
        ("", "step: Field required"),
        ("step = []", "it has no step"),
        ('[[step]]\ndo = "sing"', "step 1: Input tag 'sing' found using 'do' does not match"),
        ('[[step]]\ntext = "Hi"', "step 1: Unable to extract tag using discriminator 'do'"),
        ('[[step]]\ndo = "say"\ntext = " "', "step 1: needs `text`, or `wav`"),
        (HANG_UP.replace("hang_up", "press") + 'digits = "1x"', "step 1: digits: String should match pattern"),
        (SAY + 'expect = "("', "step 1: expect: '(' is no regular expression"),
        (SAY + 'volume = 3\n', "step 1: volume: Extra inputs are not permitted"),
        (SAY + "answered = false\ninterrupt_after_ms = 1", "step 1: `interrupt_after_ms` needs"),
        (SAY + 'interrupt_after_ms = 5\n' + HANG_UP, "step 1 is to be interrupted"),
        (HANG_UP + HANG_UP, "step 1 hangs up, yet 1 follow it"),
        ('codec = "OPUS"\n' + HANG_UP, "codec: Input should be 'PCMU' or 'PCMA'"),
        ("[network]\nloss_percent = 101\n" + HANG_UP, "network.loss_percent: Input should be less than"),
        ('caller = "a b"\n' + HANG_UP, "caller: String should match pattern"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(text: str, problem: str) -> None:
    assert problems(text)[0].startswith(problem)


def test_all_problems_are_told_at_once() -> None:
    found = problems('codec = "OPUS"\ncolour = "red"\n[[step]]\ndo = "wait"\nfor_ms = 0\n')
    assert len(found) == 3


def test_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(ScriptError, match="cannot be read"):
        load_script(tmp_path / "call.toml")


def test_wav_is_looked_up_beside_the_script(tmp_path: Path) -> None:
    path = tmp_path / "call.toml"
    path.write_text('[[step]]\ndo = "say"\nwav = "hello.wav"\n')
    with pytest.raises(ScriptError, match=r"step 1: wav: hello.wav does not exist"):
        load_script(path)
    (tmp_path / "hello.wav").write_bytes(b"RIFF")
    step = load_script(path).step[0]
    assert isinstance(step, Say)
    assert step.wav == tmp_path / "hello.wav"
