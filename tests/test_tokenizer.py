"""The tokenizer gives the ids that transformers gives, from whatever files a model has."""

from __future__ import annotations

import json
import os
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from sftui.data import model_files
from sftui.data.conversation import Conversation
from sftui.data.mask import trained_mask
from sftui.data.tokenizer import ChatTokenizer, load_tokenizer
from sftui.data.turns import trained_text
from sftui.errors import InputError
from tests.data_fixtures import CHATML, LLAMA3, MARKED, PHI3, assistant, conversation, model_directory, user

TALK = conversation(user("Hi  there\n"), assistant("Hello! 你好 👩‍👩‍👧 é"), user("again"), assistant(" x "))


def text_of(tokenizer: ChatTokenizer, talk: Conversation) -> str:
    return trained_text(tokenizer.templates.choose(talk), talk, "assistant").text


def auto_tokenizer(directory: Path) -> Any:
    return pytest.importorskip("transformers").AutoTokenizer.from_pretrained(directory)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return model_directory(tmp_path_factory.mktemp("model"), LLAMA3, pad_token="<|endoftext|>")


@pytest.fixture(scope="module")
def reference(model: Path) -> Any:
    return auto_tokenizer(model)


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(words=st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1), min_size=2, max_size=4))
def test_ids_equal_those_of_apply_chat_template(model: Path, reference: Any, words: list[str]) -> None:
    tokenizer = load_tokenizer(str(model))
    talk = conversation(*(assistant(w) if i % 2 else user(w) for i, w in enumerate(words)))
    expected = reference.apply_chat_template(list(talk.messages), tokenize=True, return_dict=False)
    text = text_of(tokenizer, talk)
    assert tokenizer.encode(text) == expected
    assert tokenizer.encode_batch([text])[0].ids == expected


def test_no_special_token_is_added_twice(model: Path) -> None:
    tokenizer = load_tokenizer(str(model))
    ids = tokenizer.encode(text_of(tokenizer, TALK))
    assert ids.count(tokenizer.bos_token_id or -1) == 1


def test_offsets_cover_the_text_without_gaps(model: Path) -> None:
    tokenizer = load_tokenizer(str(model))
    text = text_of(tokenizer, TALK)
    covered = {at for start, end in tokenizer.encode_batch([text])[0].offsets for at in range(start, end)}
    assert covered == set(range(len(text)))


def test_padding_and_truncation_of_the_file_are_not_applied(model: Path, tmp_path: Path) -> None:
    model_directory(tmp_path)
    backend = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    backend.enable_padding(length=64, pad_token="<|endoftext|>")
    backend.enable_truncation(4)
    backend.save(str(tmp_path / "tokenizer.json"))
    tokenizer = load_tokenizer(str(tmp_path))
    assert len(tokenizer.encode("the quick brown fox jumps")) == len(
        load_tokenizer(str(model)).encode("the quick brown fox jumps")
    )
    assert tokenizer.pad_token == "<|endoftext|>"


def test_special_tokens_are_found_by_name_text_and_id(model: Path) -> None:
    tokenizer = load_tokenizer(str(model))
    assert tokenizer.special_tokens == {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<|endoftext|>"}
    assert tokenizer.backend.id_to_token(tokenizer.eos_token_id) == "</s>"
    assert "<|eot_id|>" in tokenizer.special_strings
    assert "<think>" not in tokenizer.special_strings
    assert len(tokenizer.special_ids) == len(tokenizer.special_strings)


def test_tokens_that_only_the_configuration_lists_are_added_as_transformers_does(tmp_path: Path) -> None:
    listed = {
        "content": "<|new|>",
        "special": True,
        "lstrip": False,
        "rstrip": True,
        "normalized": False,
        "single_word": False,
    }
    model_directory(
        tmp_path,
        added_tokens_decoder={"900": listed},
        image_token="<image>",
        additional_special_tokens=["<|more|>"],
    )
    tokenizer, reference = load_tokenizer(str(tmp_path)), auto_tokenizer(tmp_path)
    text = "a<|new|>  b<image>c<|more|></s>"
    assert tokenizer.encode(text) == reference.encode(text, add_special_tokens=False)
    assert {"<|new|>", "<image>", "<|more|>"} <= tokenizer.special_strings
    assert tokenizer.special_tokens["image_token"] == "<image>"


def test_older_models_name_their_special_tokens_elsewhere(tmp_path: Path) -> None:
    model_directory(tmp_path)
    (tmp_path / "special_tokens_map.json").write_text(
        json.dumps({"eos_token": {"content": "<|im_end|>", "lstrip": False}, "pad_token": "<|endoftext|>"})
    )
    tokenizer, reference = load_tokenizer(str(tmp_path)), auto_tokenizer(tmp_path)
    assert tokenizer.special_tokens == reference.special_tokens_map
    assert tokenizer.special_tokens["eos_token"] == "<|im_end|>"


@pytest.mark.parametrize(
    ("extra", "named", "pad"),
    [
        ([], {"pad_token": "<|endoftext|>"}, "<|endoftext|>"),
        (["<|reserved_special_token_0|>", "<|finetune_right_pad_id|>"], {}, "<|finetune_right_pad_id|>"),
        (["<unused0>", "<unused1>"], {}, "<unused0>"),
        ([], {}, "</s>"),
    ],
)
def test_padding_prefers_a_token_that_means_nothing_else(
    tmp_path: Path, extra: list[str], named: dict[str, str], pad: str
) -> None:
    tokenizer = load_tokenizer(str(model_directory(tmp_path, additional_special_tokens=extra, **named)))
    assert tokenizer.pad_token == pad
    assert tokenizer.backend.id_to_token(tokenizer.pad_token_id) == pad


def test_a_special_token_that_swallows_white_space_is_still_trained(tmp_path: Path) -> None:
    flags = {"special": True, "lstrip": False, "rstrip": True, "normalized": False, "single_word": False}
    model_directory(
        tmp_path,
        PHI3.replace("<|end|>", "<|fin|>"),
        added_tokens_decoder={"900": {"content": "<|fin|>", **flags}},
    )
    tokenizer = load_tokenizer(str(tmp_path))
    located = tokenizer.trained_text(conversation(user("a"), assistant("b")), "assistant")
    [encoding] = tokenizer.encode_batch([located.text])
    mask = trained_mask(encoding.ids, encoding.offsets, located.text, located.spans, tokenizer.special_ids)
    ids = [token for token, trained in zip(encoding.ids, mask, strict=True) if trained]
    assert [tokenizer.backend.id_to_token(token) for token in ids] == ["b", "<|fin|>"]


def write(path: Path, content: object) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))


NAMED = [{"name": "default", "template": "c"}, {"name": "tool_use", "template": "d"}]


@pytest.mark.parametrize(
    ("files", "found"),
    [
        ({"chat_template.jinja": "a"}, {"default": "a"}),
        ({"tokenizer_config.json": {"chat_template": "b"}}, {"default": "b"}),
        ({"chat_template.jinja": "a", "tokenizer_config.json": {"chat_template": "b"}}, {"default": "a"}),
        ({"tokenizer_config.json": {"chat_template": NAMED}}, {"default": "c", "tool_use": "d"}),
        (
            {"chat_template.jinja": "a", "additional_chat_templates/tool_use.jinja": "e"},
            {"default": "a", "tool_use": "e"},
        ),
        ({"chat_template.json": {"chat_template": "f"}}, {"default": "f"}),
        ({}, {}),
    ],
)
def test_chat_templates_are_found_where_models_keep_them(
    tmp_path: Path, files: dict[str, object], found: dict[str, str]
) -> None:
    model_directory(tmp_path, None)
    for name, content in files.items():
        write(tmp_path / name, content)
    templates = load_tokenizer(str(tmp_path)).templates
    assert {name: template.text for name, template in templates.by_name.items()} == found


def test_a_model_without_a_template_is_loaded_and_says_so_when_one_is_needed(tmp_path: Path) -> None:
    tokenizer = load_tokenizer(str(model_directory(tmp_path, None)))
    assert tokenizer.encode("a")
    with pytest.raises(InputError, match=r"no chat template: looked in chat_template\.jinja, .* found none"):
        tokenizer.trained_text(TALK, "assistant")


def test_templates_that_print_the_date_can_be_told_it(tmp_path: Path) -> None:
    model_directory(tmp_path, "{{ strftime_now('%Y') }}" + CHATML)
    tokenizer = load_tokenizer(str(tmp_path), now=datetime(1999, 1, 1))
    assert text_of(tokenizer, TALK).startswith("1999")


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"tokenizer.json": None}, r"no tokenizer\.json in .*\n  make one: python -c"),
        ({"tokenizer.json": "{}"}, "not a tokenizer of the tokenizers library"),
        ({"tokenizer_config.json": "{"}, r"tokenizer_config\.json: cannot be read as JSON"),
        ({"tokenizer_config.json": "[]"}, r"tokenizer_config\.json: expected a JSON object"),
        (
            {"tokenizer_config.json": {"chat_template": [{"nam": "x"}]}},
            "chat_template: found .* expected a template",
        ),
    ],
)
def test_files_that_cannot_be_used_are_named(tmp_path: Path, files: dict[str, object], message: str) -> None:
    model_directory(tmp_path, None)
    for name, content in files.items():
        if content is None:
            (tmp_path / name).unlink()
        else:
            write(tmp_path / name, content)
    with pytest.raises(InputError, match=message):
        load_tokenizer(str(tmp_path))


def test_what_is_neither_a_directory_nor_a_hub_id_says_so(tmp_path: Path) -> None:
    model_directory(tmp_path / "smollm")
    with pytest.raises(
        InputError, match=r"is neither a directory nor a Hub id .*\n  did you mean '.*smollm'"
    ):
        load_tokenizer(str(tmp_path / "smolm"))
    with pytest.raises(InputError, match="is a file: expected a model directory or a Hub id"):
        load_tokenizer(str(tmp_path / "smollm" / "tokenizer.json"))


def test_a_hub_model_that_cannot_be_had_says_what_was_tried_and_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError) as error:
        load_tokenizer("nobody/nothing")
    assert "is no directory here and not in the Hugging Face cache, and it cannot be fetched" in str(
        error.value
    )
    assert "hf download nobody/nothing --local-dir DIR" in str(error.value)


def test_a_cached_hub_model_is_not_asked_for_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commit = "0" * 40
    repository = tmp_path / "models--owner--name"
    model_directory(repository / "snapshots" / commit)
    write(repository / "refs" / "main", commit)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(model_files, "_downloaded", None)
    monkeypatch.chdir(tmp_path)
    assert load_tokenizer("owner/name").encode("a")


@pytest.mark.skipif(
    "SFTUI_TOKENIZERS" not in os.environ, reason="SFTUI_TOKENIZERS names no directory of models"
)
def test_ids_equal_those_of_transformers_for_real_tokenizers() -> None:
    for path in sorted(Path(os.environ["SFTUI_TOKENIZERS"]).rglob("tokenizer.json")):
        tokenizer, reference = load_tokenizer(str(path.parent)), auto_tokenizer(path.parent)
        if tokenizer.templates.by_name:
            text = text_of(tokenizer, TALK)
            expected = reference.apply_chat_template(list(TALK.messages), tokenize=True, return_dict=False)
            assert tokenizer.encode(text) == expected, path


def test_generation_markers_give_the_mask_of_transformers(tmp_path: Path) -> None:
    # Without white space at the ends: transformers loses a turn whose first character is a trimmed space.
    talk = conversation(user("Hi  there\n"), assistant("Hello! 你好 👩‍👩‍👧 é"), user("again"), assistant("x"))
    reference = auto_tokenizer(model_directory(tmp_path, MARKED))
    expected = reference.apply_chat_template(
        list(talk.messages), return_dict=True, return_assistant_tokens_mask=True
    )["assistant_masks"]
    tokenizer = load_tokenizer(str(tmp_path))
    located = tokenizer.trained_text(talk, "assistant")
    [encoding] = tokenizer.encode_batch([located.text])
    mask = trained_mask(encoding.ids, encoding.offsets, located.text, located.spans, tokenizer.special_ids)
    assert list(mask) == expected
