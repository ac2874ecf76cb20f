"""A recipe's file: replaced as a whole or not at all, by one process at a time."""

from __future__ import annotations

import fcntl
import os
import shlex
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sftui.errors import InputError
from sftui.recipe_file import ready_recipes

OVERWRITE = "choose another name, or overwrite it"
_PATIENCE = 3.0  # seconds that another process may take to write a small file


def place_for(path: str | Path, *, overwrite: bool = False, hint: str = OVERWRITE) -> Path:
    """Where a recipe of that name is to be written.

    Raises `InputError` for what is no recipe's name, for a folder that is not there or is that of the recipes
    that come with sftui, and, with `hint`, for what is there already, unless `overwrite`.
    """
    file, target = str(path), Path(path).expanduser().absolute()
    if target.is_dir():
        raise InputError("is a directory: expected the name of a file (.yaml)", file=file)
    if target.suffix not in (".yaml", ".yml"):
        raise InputError("expected the name of a recipe (.yaml)", file=file)
    if not target.parent.is_dir():
        raise InputError(f"there is no directory {str(target.parent)!r}", file=file)
    if target.parent.resolve() == ready_recipes().resolve():
        raise InputError("is among the recipes that come with sftui: expected another folder", file=file)
    if not overwrite and os.path.lexists(target):
        raise InputError("is there already", file=file, hint=hint)
    return target


def write_recipe(path: str | Path, text: str, *, overwrite: bool = False, hint: str = OVERWRITE) -> None:
    """Write the text of a recipe under a name of its own; raises `InputError` as `place_for` does."""
    target = place_for(path, overwrite=overwrite, hint=hint).resolve()
    with folder_held(target.parent, str(path)):
        place_for(path, overwrite=overwrite, hint=hint)  # nobody has made it meanwhile
        replace_text(target, text, str(path))


@contextmanager
def folder_held(folder: Path, file: str) -> Iterator[None]:
    """Keep other terminals from writing recipes in `folder` between a look at a file and its replacement.

    Raises `InputError` where another process does not let go. File systems without locks are written to
    without.
    """
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise InputError(f"cannot be written: {error.strerror}", file=file) from None
    try:
        _lock(descriptor, file)
        yield
    finally:
        os.close(descriptor)


def _lock(descriptor: int, file: str) -> None:
    end = time.monotonic() + _PATIENCE
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() > end:
                raise InputError("is being written by another process: try again", file=file) from None
            time.sleep(0.02)
        except OSError:
            return  # a network file system without locks


def refuse_read_only(path: Path, file: str) -> None:
    """Raise `InputError` for a file that its permissions keep from being written, if not replaced."""
    try:
        writable = path.stat().st_mode & 0o222 and os.access(path, os.W_OK)
    except FileNotFoundError:
        return
    except OSError as error:
        raise InputError(f"cannot be written: {error.strerror}", file=file) from None
    if not writable:
        hint = f"save it under another name, or let it be written: chmod u+w {shlex.quote(str(path))}"
        raise InputError("is read-only", file=file, hint=hint)


def replace_text(path: Path, text: str, file: str) -> None:
    """Write `text` in place of a file's content: at once, with its permissions; a new file is made.

    `file` is what it is called in an `InputError`. A link is to be resolved before.
    """
    try:
        _replace(path, text.encode())
    except UnicodeEncodeError as error:
        problem = f"cannot be written as UTF-8: found {text[error.start]!r}"
        raise InputError(problem, file=file, line=text.count("\n", 0, error.start) + 1) from None
    except OSError as error:
        raise InputError(f"cannot be written: {error.strerror}", file=file) from None


def _replace(path: Path, data: bytes) -> None:
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
        temporary = Path(file.name)
        try:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
            if path.exists():
                shutil.copymode(path, temporary)
            else:
                temporary.chmod(0o666 & ~_umask())
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


def _umask() -> int:
    """What a new file is not to be allowed, without the moment in which the process has another one."""
    try:
        status = Path("/proc/self/status").read_text()
        return int(next(line for line in status.splitlines() if line.startswith("Umask:")).split()[1], 8)
    except (OSError, StopIteration):
        return 0o022
