"""The file of the open recipe: what was read of it, what has become of it since, and writing it."""

from __future__ import annotations

import hashlib
import time
from pathlib import Path

from sftui.errors import InputError
from sftui.recipe_disk import folder_held, place_for, refuse_read_only, replace_text, write_recipe
from sftui.recipe_document import Document
from sftui.recipe_file import find_recipe, ready_recipes
from sftui.recipe_moved import moved

# A file changed again within the same tick of its file system's clock has the same time: seconds, on some.
_TICK = 2.0

Signature = tuple[int, int, int, int]


class Saved:
    """A recipe's file as it was last read or written here. `file`: a path, or the name of a ready recipe."""

    def __init__(self, file: str | Path) -> None:
        """Read it; it may hold a text that is no recipe. Raises `InputError` if it cannot be read."""
        self.file = str(file)
        self.path = find_recipe(file)
        self.ready = self.path.parent == ready_recipes()
        signature = self._signature()
        text = self._read()
        if text is None:
            raise InputError("is gone", file=self.file)
        self._remember(text, signature)
        base = Path.cwd() if self.ready else self.path.parent
        self.document = Document(text, self.file, base)

    def outside_change(self) -> str | None:
        """The file's text if others have changed it since; None if not, or if it is gone for now.

        Costs a look at its time and size while these stay. Raises `InputError` if it cannot be read.
        """
        signature = self._signature()
        if signature is None or (signature == self._seen and self._settled):
            return None
        text = self._read()
        if text is None:
            return None
        if _digest(text) == self._digest:
            self._see(signature)
            return None
        return text

    def changed(self) -> Document | None:
        """What the file says now, if others have changed it since."""
        text = self.outside_change()
        return None if text is None else Document(text, self.file, self.document.base)

    def accept(self, document: Document) -> None:
        """Take a change from outside as read: the next `save` replaces it."""
        self._remember(document.text, None)
        self.document = document

    def save(self, document: Document, *, overwrite: bool = False) -> None:
        """Write the document's text in place of the file; permissions stay, and a link stays one.

        Raises `InputError` for a ready recipe, for a file that others have changed since it was read
        (`overwrite`: write nevertheless), and for one that cannot be written; it is then as it was.
        """
        if self.ready:
            raise InputError(
                "comes with sftui and is not written to", file=self.file, hint="save it as a file of your own"
            )
        target = self.path.resolve()
        with folder_held(target.parent, self.file):
            if not overwrite:
                refuse_read_only(target, self.file)
                text = self._read()
                if text is not None and _digest(text) not in (self._digest, _digest(document.text)):
                    raise InputError(
                        "has been changed by another program since it was read",
                        file=self.file,
                        hint="bring both together, or overwrite it",
                    )
            replace_text(target, document.text, self.file)
            self._remember(document.text, self._signature())
        self.document = document

    def save_as(self, path: str | Path, document: Document, *, overwrite: bool = False) -> Saved:
        """Write the document to another file and return that, its relative paths right for its folder.

        Raises `InputError` if there is one already (`overwrite`: replace it), or it cannot be written.
        """
        if Path(path).expanduser().resolve() == self.path.resolve() and not self.ready:
            self.save(document, overwrite=overwrite)
            return self
        return write_new(path, document, overwrite=overwrite)

    def _signature(self) -> Signature | None:
        try:
            status = self.path.stat()
        except OSError:
            return None
        return status.st_mtime_ns, status.st_size, status.st_ino, status.st_dev

    def _read(self) -> str | None:
        try:
            return self.path.read_bytes().decode()
        except FileNotFoundError:
            return None
        except UnicodeDecodeError as error:
            problem = f"is not UTF-8 text (byte {error.start}): expected a recipe in YAML"
            raise InputError(problem, file=self.file) from None
        except OSError as error:
            raise InputError(f"cannot be read: {error.strerror}", file=self.file) from None

    def _remember(self, text: str, signature: Signature | None) -> None:
        self._digest = _digest(text)
        self._see(signature)

    def _see(self, signature: Signature | None) -> None:
        self._seen = signature
        self._settled = signature is not None and time.time() - signature[0] / 1e9 > _TICK


def write_new(path: str | Path, document: Document, *, overwrite: bool = False) -> Saved:
    """Write a document to a file that it is not in yet, its relative paths right for that folder.

    Raises `InputError` if there is one already (`overwrite`: replace it), or it cannot be written.
    """
    target = place_for(path, overwrite=overwrite)
    write_recipe(path, moved(document, target.parent).text, overwrite=overwrite)
    return Saved(path)


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
