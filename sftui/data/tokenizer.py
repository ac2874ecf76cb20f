"""A model's tokenizer and chat templates, without transformers.

tokenizer.json decides. The ids are those of `AutoTokenizer.apply_chat_template(tokenize=True)`,
except for Llama-2-style SentencePiece tokenizers, which transformers 5 builds anew from their
vocabulary with another rule for the space after a special token.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sftui.data.conversation import Conversation
from sftui.data.mask import Offsets
from sftui.data.model_files import model_directory
from sftui.data.template import ChatTemplates
from sftui.data.template_files import load_templates, read_object
from sftui.data.turns import TrainedText, trained_text
from sftui.data.words import WordEncoder
from sftui.errors import InputError
from sftui.recipe import TrainOn

if TYPE_CHECKING:
    from tokenizers import AddedToken, Encoding, Tokenizer

_NAMED = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")

_COMPARED = 64  # of so many texts that are encoded word by word, one is by the library as well

# Tokens that exist for padding, then tokens that exist for nothing yet, by the names models give them.
_PADDING = re.compile(r"<pad>|\[pad\]|<\|pad\|>|<\|finetune_right_pad_id\|>|<\|padding\|>", re.IGNORECASE)
_UNUSED = re.compile(r"[<\[]\|?(reserved|unused|extra|placeholder|dummy).*\|?[>\]]", re.IGNORECASE)


@dataclass(frozen=True, slots=True, eq=False)
class ChatTokenizer:
    """What turns a conversation into token ids.

    `special_tokens` are by name (`eos_token`: `</s>`); `special_strings` and `special_ids` are all
    special tokens. `directory` holds its files; `now` is what templates that print the date are told.
    `adds_bos`: the tokenizer itself puts the bos_token before a plain text. `pad_token` may be the end
    token in a model without a better one: padding must be masked by position, never by id.
    """

    name_or_path: str
    revision: str | None
    directory: Path
    now: datetime
    backend: Tokenizer
    templates: ChatTemplates
    special_tokens: Mapping[str, str]
    special_strings: frozenset[str]
    special_ids: frozenset[int]
    pad_token: str
    pad_token_id: int
    adds_bos: bool
    words: WordEncoder

    @property
    def bos_token_id(self) -> int | None:
        """Id of the token that begins a text; None if the model has none."""
        return self._id("bos_token")

    @property
    def eos_token_id(self) -> int | None:
        """Id of the token that ends a text, not always a turn; None if the model has none."""
        return self._id("eos_token")

    def trained_text(self, conversation: Conversation, train_on: TrainOn) -> TrainedText:
        """Render `conversation` and locate what is trained; raises InputError as `turns.trained_text`."""
        return trained_text(self.templates.choose(conversation), conversation, train_on)

    def prompt_text(self, conversation: Conversation, turn: int) -> str:
        """The text from which the model is to produce message number `turn`."""
        return self.templates.choose(conversation).render(
            conversation.messages[:turn],
            conversation.tools,
            add_generation_prompt=True,
            where=conversation.where,
        )

    def encode(self, text: str) -> list[int]:
        """Ids of a rendered text; nothing is added, the template wrote the special tokens."""
        ids: list[int] = self.backend.encode(text, add_special_tokens=False).ids
        return ids

    def tokenize(self, texts: Sequence[str]) -> list[tuple[list[int], Sequence[tuple[int, int]]]]:
        """The ids of rendered texts, and for each id the characters that it covers.

        Known words are not encoded again where that is certain to give the library's ids; every 64th such
        text is encoded by both.
        """
        known = [self.words.encode(text) for text in texts]
        for at in range(0, len(texts), _COMPARED):
            tokens = known[at]
            if tokens is not None and tokens.ids != self.encode(texts[at]):
                self.words.give_up()
                known = [None] * len(texts)
                break
        rest = iter(
            self.encode_batch([text for text, tokens in zip(texts, known, strict=True) if tokens is None])
        )
        found: list[tuple[list[int], Sequence[tuple[int, int]]]] = []
        for tokens in known:
            if tokens is not None:
                found.append((tokens.ids, tokens))
            else:
                encoding = next(rest)
                found.append((encoding.ids, Offsets(encoding)))
        return found

    def encode_batch(self, texts: Sequence[str]) -> list[Encoding]:
        """The same for many texts, on all cores, with the character offsets of every token."""
        return self.backend.encode_batch(list(texts), add_special_tokens=False)

    def decode(self, ids: Sequence[int], *, skip_special_tokens: bool = False) -> str:
        """The text of `ids`."""
        return self.backend.decode(list(ids), skip_special_tokens=skip_special_tokens)

    def _id(self, name: str) -> int | None:
        token = self.special_tokens.get(name)
        return None if token is None else self.backend.token_to_id(token)


def load_tokenizer(
    name_or_path: str,
    revision: str | None = None,
    *,
    now: datetime | None = None,
    chat_template: str | None = None,
) -> ChatTokenizer:
    """Load the tokenizer of a local directory or a Hub model.

    `chat_template` names one of the model's own templates or of ours, or is the path of a .jinja file; by
    default the model's own is used. `now` is what templates that print the date are told; by default the
    time of this call. Give it the time a run was started to make that run's texts again. Raises InputError
    if the model, its tokenizer.json or the template cannot be found or read; a model's lack of a chat
    template is reported when one is needed.
    """
    directory = model_directory(name_or_path, revision)
    config = read_object(directory / "tokenizer_config.json")
    if "added_tokens_decoder" not in config:  # how older models named their special tokens
        config |= read_object(directory / "special_tokens_map.json")
    backend = _read_backend(directory, name_or_path)
    named = _named_tokens(config)
    if backend.padding and "pad_token" not in named:
        named["pad_token"] = backend.padding["pad_token"]
    _add_tokens(backend, config, named)
    backend.no_padding()
    backend.no_truncation()
    begins_text = _begins_text(backend, named)
    # It would add no ids here, but it trims spaces off the offsets by which tokens are marked.
    backend.post_processor = None
    added = backend.get_added_tokens_decoder()
    strings = {token.content for token in added.values() if token.special} | set(named.values())
    special = frozenset(string for string in strings if string.strip())
    moment = now or datetime.now()
    templates = load_templates(
        name_or_path,
        directory,
        config,
        chat_template,
        special_tokens=named,
        special_strings=special,
        begins_text=begins_text,
        now=moment,
    )
    pad_token, pad_id = _padding(backend, named, added)
    ids = (backend.token_to_id(string) for string in special)
    return ChatTokenizer(
        name_or_path=name_or_path,
        revision=revision,
        directory=directory,
        now=moment,
        backend=backend,
        templates=templates,
        special_tokens=named,
        special_strings=special,
        special_ids=frozenset(i for i in ids if i is not None),
        pad_token=pad_token,
        pad_token_id=pad_id,
        adds_bos=begins_text,
        words=WordEncoder(backend),
    )


def _read_backend(directory: Path, name: str) -> Tokenizer:
    from tokenizers import Tokenizer

    path = directory / "tokenizer.json"
    if not path.is_file():
        raise InputError(
            f"no tokenizer.json in {directory}",
            file=name,
            hint='make one: python -c "from transformers import AutoTokenizer as T; '
            f"T.from_pretrained('{name}').save_pretrained('{directory}')\"",
        )
    try:
        return Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises bare Exception
        raise InputError(f"not a tokenizer of the tokenizers library: {error}", file=path) from error


def _content(token: object) -> str | None:
    """The text of a token written as a string or as a serialised AddedToken."""
    if isinstance(token, dict):
        token = token.get("content")
    return token if isinstance(token, str) and token else None


def _named_tokens(config: Mapping[str, Any]) -> dict[str, str]:
    """`bos_token` and its like, and tokens that the model names itself, such as `image_token`."""
    extra = config.get("extra_special_tokens")
    own = {name: value for name, value in config.items() if name.endswith("_token") and name not in _NAMED}
    own |= extra if isinstance(extra, dict) else {}
    found = {name: _content(config.get(name)) for name in _NAMED} | {n: _content(v) for n, v in own.items()}
    return {name: token for name, token in found.items() if token is not None}


def _add_tokens(backend: Tokenizer, config: Mapping[str, Any], named: Mapping[str, str]) -> None:
    """Add what the configuration lists and tokenizer.json lacks, in transformers' order."""
    from tokenizers import AddedToken

    known = {token.content for token in backend.get_added_tokens_decoder().values()}
    listed: list[tuple[str, AddedToken]] = []
    for _, entry in sorted(config.get("added_tokens_decoder", {}).items(), key=lambda item: int(item[0])):
        flags = {
            name: entry[name]
            for name in ("single_word", "lstrip", "rstrip", "normalized", "special")
            if name in entry
        }
        listed.append((entry["content"], AddedToken(entry["content"], **flags)))
    extra = config.get("extra_special_tokens") or config.get("additional_special_tokens") or []
    others = [*named.values(), *filter(None, map(_content, extra if isinstance(extra, list) else []))]
    listed += [(string, AddedToken(string, special=True)) for string in others]
    for string, token in listed:
        if string not in known:
            known.add(string)
            (backend.add_special_tokens if token.special else backend.add_tokens)([token])


def _begins_text(backend: Tokenizer, named: Mapping[str, str]) -> bool:
    """Whether the tokenizer itself puts the bos_token before a text."""
    ids = backend.encode("a").ids
    return bool(ids) and "bos_token" in named and ids[0] == backend.token_to_id(named["bos_token"])


def _padding(
    backend: Tokenizer, named: Mapping[str, str], added: Mapping[int, AddedToken]
) -> tuple[str, int]:
    """The token to pad with: the model's own, one made for it, an unused one, or else the end token."""
    contents = [token.content for _, token in sorted(added.items())]
    choices: Iterable[str | None] = (
        named.get("pad_token"),
        *filter(_PADDING.fullmatch, contents),
        *filter(_UNUSED.fullmatch, contents),
        named.get("eos_token"),
        named.get("unk_token"),
        named.get("bos_token"),
    )
    for token in choices:
        if token is not None and (known := backend.token_to_id(token)) is not None:
            return token, known
    return backend.id_to_token(0) or "", 0
