"""The demo ships what its scripts make: data, tokenizer, model and recipe agree with one another."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path

import jinja2
import pytest
from ruamel.yaml import YAML
from tokenizers import Tokenizer

import sftui.demo
from sftui.demo import facts, world
from sftui.recipe import Recipe

HERE = Path(sftui.demo.__file__).parent
MODEL = HERE / "model"
MODEL_FILES = {
    "config.json",
    "generation_config.json",
    "model.safetensors",
    "tokenizer.json",
    "tokenizer_config.json",
    "chat_template.jinja",
}


def read_rows(name: str) -> list[world.Conversation]:
    lines = (HERE / name).read_text(encoding="utf-8").splitlines()
    return [json.loads(line)["messages"] for line in lines]


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.from_file(str(MODEL / "tokenizer.json"))


@pytest.fixture(scope="module")
def config() -> dict[str, object]:
    loaded: dict[str, object] = json.loads((MODEL / "config.json").read_text(encoding="utf-8"))
    return loaded


@pytest.fixture(scope="module")
def recipe() -> Recipe:
    return Recipe.model_validate(YAML(typ="safe").load(HERE / "recipe.yaml"))


def test_the_package_ships_a_whole_model_and_stays_small() -> None:
    assert {path.name for path in MODEL.iterdir()} == MODEL_FILES
    shipped = [path for path in HERE.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    assert sum(path.stat().st_size for path in shipped) < 5_000_000


def test_importing_the_world_is_cheap() -> None:
    heavy = "{'torch', 'transformers', 'tokenizers', 'datasets', 'textual'}"
    code = f"import sys, sftui.demo.world, sftui.demo.make; sys.exit(bool({heavy} & set(sys.modules)))"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    ("name", "conversations"),
    [("train.jsonl", world.train_conversations), ("eval.jsonl", world.eval_conversations)],
)
def test_the_shipped_rows_are_what_the_script_makes(name: str, conversations: object) -> None:
    assert callable(conversations)
    assert (HERE / name).read_text(encoding="utf-8") == world.as_jsonl(conversations())


def test_there_are_enough_rows_of_both_kinds() -> None:
    assert len(read_rows("train.jsonl")) >= 300
    assert 30 <= len(read_rows("eval.jsonl")) <= 50
    assert any(len(row) > 2 for row in read_rows("train.jsonl"))


@pytest.mark.parametrize("name", ["train.jsonl", "eval.jsonl"])
def test_every_answer_is_one_json_object(name: str) -> None:
    for row in read_rows(name):
        assert [message["role"] for message in row] == ["user", "assistant"] * (len(row) // 2)
        for message in row[1::2]:
            answer = json.loads(message["content"])
            assert list(answer) == ["topic", "answer"]
            assert all(isinstance(value, str) and value for value in answer.values())


def test_no_held_out_fact_is_in_the_training_rows() -> None:
    split = world.split()
    assert len({fact.topic.name for fact in split.held_out}) == len(world.TOPICS)
    seen = {(fact.topic.name, fact.group) for fact in split.train}
    assert not seen & {(fact.topic.name, fact.group) for fact in split.held_out}
    asked = {message["content"] for row in read_rows("train.jsonl") for message in row[::2]}
    for fact in split.held_out:
        assert not asked & set(fact.questions)


def test_every_question_has_one_answer() -> None:
    answers: dict[str, str] = {}
    for fact in world.all_facts():
        assert len(set(fact.questions)) == len(fact.questions)
        for question in fact.questions:
            assert answers.setdefault(question, fact.json) == fact.json


def test_opposites_name_each_word_once() -> None:
    words = [*facts.OPPOSITES, *facts.OPPOSITES.values()]
    assert len(words) == len(set(words))


@pytest.mark.parametrize(
    ("number", "words"),
    [(0, "zero"), (13, "thirteen"), (20, "twenty"), (42, "forty-two"), (99, "ninety-nine")],
)
def test_numbers_are_spelled(number: int, words: str) -> None:
    assert facts.spelled(number) == words


def test_another_seed_makes_another_split_and_the_same_seed_the_same() -> None:
    assert world.split(7) == world.split(7)
    assert world.split(7) != world.split(8)


@pytest.mark.parametrize(
    ("reply", "right"),
    [
        ('{"topic": "sums", "answer": "5"}', True),
        ('{"answer": "5", "topic": "sums"}', True),
        ('{"topic": "sums", "answer": 5}', False),
        ('{"topic": "sums", "answer": "6"}', False),
        ('{"topic": "sums", "answer": "5"', False),
        ("2 plus 3 is 5.", False),
        ("5", False),
        ("", False),
    ],
)
def test_a_reply_is_right_when_it_is_json_and_says_the_same(reply: str, right: bool) -> None:
    assert world.is_right(reply, '{"topic": "sums", "answer": "5"}') is right


def test_the_tokenizer_gives_all_text_back(tokenizer: Tokenizer) -> None:
    rows = read_rows("train.jsonl") + read_rows("eval.jsonl") + world.pretraining_epoch(random.Random(0))
    for text in {message["content"] for row in rows for message in row} | {"Ünïcode, 漢字 and 🦊\n\tdo too."}:
        assert tokenizer.decode(tokenizer.encode(text).ids) == text


def test_special_tokens_are_single_ids_known_to_the_model(
    tokenizer: Tokenizer, config: dict[str, object]
) -> None:
    ids = {
        token: tokenizer.encode(token).ids
        for token in ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|pad|>")
    }
    assert all(len(found) == 1 for found in ids.values())
    assert config["eos_token_id"] == ids["<|im_end|>"][0]
    assert config["pad_token_id"] == ids["<|pad|>"][0]
    assert config["vocab_size"] == tokenizer.get_vocab_size()


def test_widths_fit_the_blocks_of_4_bit_quantisation(config: dict[str, object]) -> None:
    for key in ("hidden_size", "intermediate_size", "vocab_size"):
        width = config[key]
        assert isinstance(width, int)
        assert width % 64 == 0


def test_the_chat_template_renders_turns_and_the_generation_prompt() -> None:
    template = jinja2.Environment(trim_blocks=True, lstrip_blocks=True).from_string(
        (MODEL / "chat_template.jinja").read_text(encoding="utf-8")
    )
    messages = [{"role": "user", "content": "Hi!"}, {"role": "assistant", "content": "Hello!"}]
    whole = "<|im_start|>user\nHi!<|im_end|>\n<|im_start|>assistant\nHello!<|im_end|>\n"
    assert template.render(messages=messages) == whole
    prompt = template.render(messages=messages[:1], add_generation_prompt=True)
    assert whole.startswith(prompt)
    assert prompt.endswith("<|im_start|>assistant\n")


def test_the_recipe_is_valid_and_names_files_that_exist(recipe: Recipe) -> None:
    assert (HERE / recipe.model.name_or_path).resolve() == MODEL
    assert recipe.model.quantization == "nf4"
    assert recipe.model.double_quant
    assert recipe.adapter is not None
    for source in recipe.data.train + recipe.data.eval:
        assert (HERE / source.path).is_file()


def test_the_longest_row_fits_the_recipe(tokenizer: Tokenizer, recipe: Recipe) -> None:
    per_turn = len(tokenizer.encode("<|im_start|>assistant\n<|im_end|>\n").ids)
    for row in read_rows("train.jsonl") + read_rows("eval.jsonl"):
        length = sum(len(tokenizer.encode(message["content"]).ids) + per_turn for message in row)
        assert length <= recipe.data.max_length


def test_a_sample_has_room_for_the_longest_answer(tokenizer: Tokenizer, recipe: Recipe) -> None:
    longest = max(len(tokenizer.encode(row[1]["content"]).ids) for row in read_rows("eval.jsonl"))
    assert longest < recipe.training.sample_max_new_tokens
