"""Files that are either whole or not there."""

import errno
import hashlib
import json
import os
import tempfile
from contextlib import contextmanager
from pathlib import Path

from .errors import GlasslibError

_REMEDY = {
    errno.ENOSPC: "the disk is full: free some space and run the same command again",
    errno.EDQUOT: "the disk quota is used up: free some space and run the same command again",
    errno.EROFS: "the file system is read-only: choose another output folder",
    errno.EACCES: "no permission to write there: choose another output folder",
    errno.EPERM: "no permission to write there: choose another output folder",
    errno.ENOENT: "the folder is gone: create it and run the same command again",
    errno.ENOTDIR: "a parent of that path is a file: choose another output folder",
    errno.EISDIR: "that path is a folder: choose another name",
}


def explain(error, path):
    """Turn an OSError met while writing `path` into a GlasslibError that says what to do."""
    return GlasslibError(f"cannot write {path}: {_REMEDY.get(error.errno, error.strerror or error)}")


def folder(path):
    """Make the folder `path` (and its parents) and return it as a Path; GlasslibError where that cannot be."""
    path = Path(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise GlasslibError(f"cannot write {path}: a file of that name is in the way: choose another folder") from None
    except OSError as error:
        raise explain(error, path) from None
    return path


@contextmanager
def atomic(path):
    """Yield a temporary path beside `path`; on success it is flushed to disk and renamed, on error removed.

    A reader therefore sees the old file or the new one, never a part, whenever the process is killed.
    """
    path = Path(path)
    folder(path.parent)
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}-", suffix=path.suffix)
        os.close(handle)
    except OSError as error:
        raise explain(error, path) from None
    temporary = Path(name)
    try:
        yield temporary
        with open(temporary, "rb") as stream:
            os.fsync(stream.fileno())
        temporary.chmod(0o644)
        os.replace(temporary, path)
    except OSError as error:
        raise explain(error, path) from error
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path, text):
    """Write `text` to `path` in one atomic step."""
    with atomic(path) as temporary:
        temporary.write_text(text)


def write_json(path, content):
    """Write `content` as readable JSON, atomically; NaN is refused since no other parser reads it."""
    try:
        text = json.dumps(content, indent=1, sort_keys=True, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise GlasslibError(f"cannot write {path}: {error}") from None
    write_text(path, text + "\n")


def read_json(path, limit=50_000_000):
    """Read JSON from outside: bounded in size, with errors that name the file."""
    path = Path(path)
    try:
        size = path.stat().st_size
        if size > limit:
            raise GlasslibError(f"{path} has {size} bytes, more than the {limit} that such a file may have")
        return json.loads(path.read_text())
    except FileNotFoundError:
        raise GlasslibError(f"no such file: {path}") from None
    except OSError as error:
        raise GlasslibError(f"cannot read {path}: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise GlasslibError(f"{path} is not valid JSON ({error}): make it again or restore it") from None


def sha256(path):
    """Hexadecimal SHA-256 of a file's bytes."""
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
