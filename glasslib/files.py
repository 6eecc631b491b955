"""Files that are either whole or not there, and the reading of plain data."""

import errno
import fcntl
import gzip
import hashlib
import json
import os
import re
import shutil
import stat
import tempfile
import zlib
from contextlib import contextmanager
from pathlib import Path

import yaml

from .errors import GlasslibError, shown

MOST_COLUMNS = 1000  # of a property in extended XYZ
SMALL = 4096  # bytes; in HDF5 the index of a compressed variable takes about as many
MOST_NODES = 100_000  # of a YAML file, aliases written out
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


def room(path, size):
    """GlasslibError where the disk of `path` has no room for `size` bytes: HDF5 ends with a crash when it meets a full one."""
    place = next(p for p in Path(path).absolute().parents if p.exists())
    if shutil.disk_usage(place).free < 1.1 * size + 1_000_000:
        raise explain(OSError(errno.ENOSPC, ""), path)


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
def alone(target, busy=None):
    """Hold the lock of the folder `target`, which is made where it is missing; it goes with this process, however that ends.

    Another process that wants it waits or, with `busy`, gets a GlasslibError of those words. Yields the lock's file descriptor, for a child to inherit.
    """
    try:
        place = os.open(folder(target), os.O_RDONLY)
    except OSError as error:
        raise explain(error, target) from None
    try:
        try:
            fcntl.flock(place, fcntl.LOCK_EX | (fcntl.LOCK_NB if busy else 0))
        except BlockingIOError:
            raise GlasslibError(busy) from None
        yield place
    finally:
        os.close(place)


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


def regular(path, limit=None):
    """Size in bytes of a file that someone gave; GlasslibError where it is missing, too large, or no file (a pipe would wait for ever)."""
    try:
        known = Path(path).stat()
    except FileNotFoundError:
        raise GlasslibError(f"no such file: {path}") from None
    except OSError as error:
        raise GlasslibError(f"cannot read {path}: {error.strerror}") from None
    except (TypeError, ValueError) as error:  # no path at all, a zero byte in the name
        raise GlasslibError(f"cannot read {str(path)!r}: {error}") from None
    if not stat.S_ISREG(known.st_mode):
        raise GlasslibError(f"{path} is a folder or a device: give the path of a file")
    if limit is not None and known.st_size > limit:
        raise GlasslibError(f"{path} has {known.st_size} bytes, more than the {limit} that such a file may have")
    return known.st_size


def listed(folder, *patterns):
    """Files of a folder that match any of the patterns, in the order of their names, without hidden ones (what a killed process left behind)."""
    return sorted(path for pattern in patterns for path in Path(folder).glob(pattern) if not path.name.startswith("."))


@contextmanager
def unpacked(path, limit):
    """Yield a file with the content of `path`: itself, or a copy of what is in it where its name ends in `.gz`.

    Raises
    ------
    GlasslibError
        Where the content is damaged, or has more than `limit` bytes.
    """
    path = Path(path)
    if path.suffix != ".gz":
        yield path
        return
    regular(path, limit)
    with tempfile.NamedTemporaryFile(suffix=path.stem) as copy:
        try:
            with gzip.open(path) as stream:
                while part := stream.read(1 << 20):
                    copy.write(part)
                    if copy.tell() > limit:
                        raise GlasslibError(f"{path} holds more than the {limit} bytes that such a file may have")
        except (gzip.BadGzipFile, EOFError, zlib.error):
            raise GlasslibError(f"{path} is no gzip file, or it is truncated or damaged: restore it") from None
        except OSError as error:
            raise GlasslibError(f"cannot read {path}: {error.strerror}") from None
        copy.flush()
        yield Path(copy.name)


def checked_xyz(path, name=None):
    """Refuse an extended-XYZ file that ends within a line, or declares more than it can hold: its parser would take the rest of a
    number for a number, and count atoms and columns one by one. `name`: what errors call it, where that is not its path.
    """
    name = name or path
    most, line = max(regular(path), 1_000_000), ""
    with open(path, errors="replace") as stream:
        for number, line in enumerate(stream, 1):
            if "Properties" in line:
                columns = re.findall(r":\s*[+]?([0-9_]+)", line.partition("Properties")[2])
                if any(len(count) > 6 or int(count.strip("_") or 0) > MOST_COLUMNS for count in columns):
                    raise GlasslibError(f"{name}, line {number} declares more than {MOST_COLUMNS} columns")
                continue
            word = line.strip().lstrip("+").replace("_", "")
            if word.isdecimal() and (len(word) > 18 or int(word) > most):
                raise GlasslibError(f"{name}, line {number} declares {word[:20]} atoms, more than the file can hold")
    if line.strip() and not line.endswith("\n"):
        raise GlasslibError(
            f"{name} is truncated (it ends within a line): restore it or, if nothing is missing, end its last line"
        )


def read_json(path, limit=50_000_000):
    """Read JSON from outside: bounded in size, with errors that name the file."""
    path = Path(path)
    regular(path, limit)
    try:
        return json.loads(path.read_text())
    except OSError as error:
        raise GlasslibError(f"cannot read {path}: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise GlasslibError(f"{path} is not valid JSON ({error}): make it again or restore it") from None


def sha256(path):
    """Hexadecimal SHA-256 of a file's bytes."""
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def read_yaml(path):
    """Plain data of a YAML file, bounded in size also after its aliases are written out, with errors that name it."""
    regular(path, 1_000_000)
    try:
        loader = yaml.SafeLoader(Path(path).read_text(encoding="utf-8"))
        node = loader.get_single_node()
        _bounded(node, path)
        return None if node is None else loader.construct_document(node)
    except RecursionError:
        raise GlasslibError(f"{path} cannot be read: it is nested too deeply") from None
    except (
        OSError,
        ValueError,
        TypeError,
        AttributeError,
        KeyError,
        OverflowError,
        yaml.YAMLError,
    ) as error:  # of its tags
        reason = " ".join(str(error).split())[:300]
        raise GlasslibError(f"{path} cannot be read: {reason or type(error).__name__}") from None


def _bounded(node, path):
    """Refuse what aliases blow up, and keys given twice, of which YAML would silently keep the last."""
    left, seen = [node], 0
    while left:
        node = left.pop()
        seen += 1
        if isinstance(node, yaml.MappingNode):
            keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
            if len(set(keys)) < len(keys):
                twice = next(key for key in keys if keys.count(key) > 1)
                raise GlasslibError(f"{path} gives the key {shown(twice)} twice: keep one")
            left += [part for pair in node.value for part in pair]
        elif isinstance(node, yaml.SequenceNode):
            left += node.value
        if seen + len(left) > MOST_NODES:
            raise GlasslibError(
                f"{path} holds more than {MOST_NODES} values once its aliases are written out: make it smaller"
            )
