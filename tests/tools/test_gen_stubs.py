"""The stubs are replaced as a whole, or not at all."""

import shutil
from pathlib import Path

import pytest

from tools.gen_stubs.__main__ import ROOT, generate


@pytest.fixture
def root(tmp_path: Path) -> Path:
    shutil.copytree(ROOT / "proto", tmp_path / "proto")
    return tmp_path


def test_stubs_of_every_file_are_made_and_older_ones_go(root: Path) -> None:
    (root / "voice_api").mkdir()
    (root / "voice_api" / "gone_pb2.py").touch()
    out = generate(root)
    assert out == root / "voice_api"
    protos = {path.stem for path in (root / "proto" / "voice_api").glob("*.proto")}
    assert {path.name.removesuffix("_pb2.py") for path in out.glob("*_pb2.py")} == protos
    assert (out / "__init__.py").exists()
    assert (out / "py.typed").exists()


def test_a_file_that_protoc_refuses_leaves_the_stubs_as_they_were(
    root: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (root / "voice_api").mkdir()
    (root / "voice_api" / "asr_pb2.py").write_text("kept")
    (root / "proto" / "voice_api" / "asr.proto").write_text("this is no schema")
    with pytest.raises(RuntimeError, match="protoc"):
        generate(root)
    assert (root / "voice_api" / "asr_pb2.py").read_text() == "kept"
    assert "asr.proto" in capfd.readouterr().err
