"""Where a model's small files are: its configuration, tokenizer and chat templates, never its weights."""

from __future__ import annotations

import difflib
import re
from pathlib import Path

from sftui.errors import InputError

SMALL_FILES = (
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "chat_template.jinja",
    "chat_template.json",
    "additional_chat_templates/*.jinja",
)

_HUB_ID = re.compile(r"(?!.*(--|\.\.))[A-Za-z0-9][\w.-]{0,95}(/[\w.-]{1,96})?")


def model_directory(name_or_path: str, revision: str | None = None) -> Path:
    """A local directory that holds the small files of a model.

    `name_or_path` is a directory, or a Hub id whose files are taken from the cache if its tokenizer is
    there and downloaded otherwise. Raises InputError that says what was tried and what to do.
    """
    directory = Path(name_or_path).expanduser()
    if directory.is_dir():
        return directory
    if directory.exists():
        raise InputError("is a file: expected a model directory or a Hub id", file=name_or_path)
    if not is_hub_model(name_or_path):
        raise InputError(
            "is neither a directory nor a Hub id (owner/name)", file=name_or_path, hint=_nearest(directory)
        )
    return _cached(name_or_path, revision) or _downloaded(name_or_path, revision)


def is_hub_model(name: str) -> bool:
    """Whether a model of the Hub can have this name: `owner/name`, `name`."""
    return _HUB_ID.fullmatch(name) is not None


def _cached(name: str, revision: str | None) -> Path | None:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        found = snapshot_download(
            name, revision=revision, allow_patterns=list(SMALL_FILES), local_files_only=True
        )
    except (LocalEntryNotFoundError, OSError):
        return None
    # A cache may hold a part of a model: weights without a tokenizer, a tokenizer without its template.
    directory = Path(found)
    complete = (directory / "tokenizer.json").is_file() and (directory / "tokenizer_config.json").is_file()
    return directory if complete else None


def _downloaded(name: str, revision: str | None) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError

    known = f"{name!r} is no directory here and not in the Hugging Face cache"
    key = "model.name_or_path"
    try:
        return Path(snapshot_download(name, revision=revision, allow_patterns=list(SMALL_FILES)))
    except GatedRepoError as error:
        hint = "accept its licence on its page, then `hf auth login`"
        raise InputError(f"{known}, and on the Hub it is gated", key=key, hint=hint) from error
    except RevisionNotFoundError as error:
        problem = f"the Hub has no revision {revision!r} of {name!r}: expected a branch, tag or commit"
        raise InputError(problem, key="model.revision") from error
    except RepositoryNotFoundError as error:
        hint = "check the spelling (owner/name); a private model needs `hf auth login`"
        raise InputError(f"{known}, and the Hub does not know it", key=key, hint=hint) from error
    except Exception as error:  # offline mode, no network, a server error: the HTTP client's types vary
        said = str(error).partition("\n")[0]
        raise InputError(
            f"{known}, and it cannot be fetched from the Hub: {said}",
            key=key,
            hint=f"on a machine with network: hf download {name} --local-dir DIR; then name DIR here",
        ) from error


def _nearest(path: Path) -> str | None:
    """A hint naming the most similar directory beside `path`, or the parent that does not exist."""
    if not path.parent.is_dir():
        return f"there is no directory {str(path.parent)!r}"
    try:
        names = sorted(entry.name for entry in path.parent.iterdir() if entry.is_dir())
    except OSError:
        return None
    close = difflib.get_close_matches(path.name, names, n=1)
    return f"did you mean {str(path.parent / close[0])!r}?" if close else None
