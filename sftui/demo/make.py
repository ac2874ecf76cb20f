"""Makes what the demo ships: `python -m sftui.demo.make` writes the tokenizer, the model and the datasets.

The model is a Llama of under two million weights, pretrained here from nothing on the small world of
`sftui.demo.world`. One seed decides everything; on the same machine and the same versions the same
files come out. Takes some minutes on one CPU core.
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sftui.demo import world

if TYPE_CHECKING:
    import torch
    from tokenizers import Tokenizer

HERE = Path(__file__).parent
SEED = world.SEED
VOCABULARY = 1024
BATCH_SIZE = 64
LEARNING_RATE = 3e-3
WARMUP_STEPS = 100
IGNORED = -100

TURN_START, TURN_END, TEXT_END, PADDING = "<|im_start|>", "<|im_end|>", "<|endoftext|>", "<|pad|>"

CHAT_TEMPLATE = """\
{%- for message in messages %}
{{- '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}
{{- '<|im_start|>assistant\\n' }}
{%- endif %}
"""

# Words keep the space before them, digits stand alone, a line break never joins what follows it.
WORD_PATTERN = r" ?\p{L}+| ?\p{N}| ?[^\s\p{L}\p{N}]+|\s"


def make_tokenizer() -> Tokenizer:
    """A byte-level BPE tokenizer trained on the world's own text."""
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(WORD_PATTERN), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    specials = [TEXT_END, TURN_START, TURN_END, PADDING]
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=[AddedToken(token, special=True, normalized=False) for token in specials],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    rng = random.Random(SEED)
    conversations = [c for _ in range(4) for c in world.pretraining_epoch(rng)]
    roles = ["system\n", "user\n", "assistant\n"]
    tokenizer.train_from_iterator(roles + [turn["content"] for c in conversations for turn in c], trainer)
    return tokenizer


def make_model(tokenizer: Tokenizer) -> Any:
    """A fresh model. All widths are multiples of 64, the block size of 4-bit quantisation."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.set_num_threads(1)  # sums then add up in one order, on any number of cores
    torch.manual_seed(SEED)
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=192,
        intermediate_size=512,
        num_hidden_layers=4,
        num_attention_heads=6,
        num_key_value_heads=2,
        head_dim=32,
        max_position_embeddings=512,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.token_to_id(TURN_END),
        pad_token_id=tokenizer.token_to_id(PADDING),
        initializer_range=0.02,
    )
    return LlamaForCausalLM(config)


def encode(tokenizer: Tokenizer, conversation: world.Conversation) -> tuple[list[int], list[int]]:
    """Token ids of a conversation in the chat template, and labels on what the assistant says."""
    ids: list[int] = []
    labels: list[int] = []
    for message in conversation:
        assistant = message["role"] == "assistant"
        for text, trained in (
            (f"{TURN_START}{message['role']}\n", False),
            (f"{message['content']}{TURN_END}", assistant),
            ("\n", False),
        ):
            piece = tokenizer.encode(text).ids
            ids += piece
            labels += piece if trained else [IGNORED] * len(piece)
    return ids, labels


def batches(tokenizer: Tokenizer, rng: random.Random) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """One epoch in batches of similar length, in random order, padded on the right.

    No attention mask is needed: attention looks back only, and padding is at the end and unlabelled.
    """
    import torch

    rows = [encode(tokenizer, conversation) for conversation in world.pretraining_epoch(rng)]
    rows.sort(key=lambda row: len(row[0]))
    chunks = [rows[start : start + BATCH_SIZE] for start in range(0, len(rows), BATCH_SIZE)]
    rng.shuffle(chunks)
    padding = tokenizer.token_to_id(PADDING)
    for chunk in chunks:
        length = max(len(ids) for ids, _ in chunk)
        yield (
            torch.tensor([ids + [padding] * (length - len(ids)) for ids, _ in chunk]),
            torch.tensor([labels + [IGNORED] * (length - len(labels)) for _, labels in chunk]),
        )


def pretrain(model: Any, tokenizer: Tokenizer, epochs: int) -> None:
    """Teach the model the world: AdamW, a short warm-up, then a straight line down to zero."""
    import torch

    rng = random.Random(SEED)
    rows = len(world.pretraining_epoch(random.Random(SEED)))
    total = epochs * -(-rows // BATCH_SIZE)
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, betas=(0.9, 0.98), weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min((step + 1) / WARMUP_STEPS, max(0.0, 1 - step / total))
    )
    model.train()
    started = time.monotonic()
    for epoch in range(1, epochs + 1):
        losses = []
        for ids, labels in batches(tokenizer, rng):
            loss = model(input_ids=ids, labels=labels).loss
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
            losses.append(loss.item())
        if epoch % 5 == 0 or epoch == epochs:
            mean, elapsed = sum(losses) / len(losses), time.monotonic() - started
            print(f"epoch {epoch}/{epochs}  loss {mean:.4f}  {elapsed:.0f} s", flush=True)
    model.eval()


def share_known(model: Any, tokenizer: Tokenizer) -> float:
    """The share of all questions, in every wording, that the model answers with the right sentence."""
    import torch

    right = asked = 0
    end = tokenizer.token_to_id(TURN_END)
    by_length: dict[int, list[tuple[list[int], str]]] = {}
    for fact in world.all_facts():
        for question in fact.questions:
            ids, _ = encode(tokenizer, [{"role": "user", "content": question}])
            ids += tokenizer.encode(f"{TURN_START}assistant\n").ids
            by_length.setdefault(len(ids), []).append((ids, fact.sentence))
    for rows in by_length.values():
        answers = model.generate(
            torch.tensor([ids for ids, _ in rows]), max_new_tokens=40, do_sample=False, eos_token_id=end
        )
        for (ids, sentence), answer in zip(rows, answers.tolist(), strict=True):
            asked += 1
            right += tokenizer.decode(answer[len(ids) :]) == sentence
    return right / asked


def save(model: Any, tokenizer: Tokenizer, folder: Path) -> None:
    """Write model and tokenizer in the Hugging Face layout, weights in bfloat16."""
    import torch
    from transformers import GenerationConfig, PreTrainedTokenizerFast

    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token=TURN_END,
        pad_token=PADDING,
        additional_special_tokens=[TEXT_END, TURN_START],
        clean_up_tokenization_spaces=False,
        model_max_length=model.config.max_position_embeddings,
    )
    wrapped.chat_template = CHAT_TEMPLATE
    wrapped.save_pretrained(folder)
    model.generation_config = GenerationConfig(
        do_sample=False, eos_token_id=model.config.eos_token_id, pad_token_id=model.config.pad_token_id
    )
    model.to(torch.bfloat16).save_pretrained(folder)
    (folder / "model.safetensors").chmod(0o644)  # written for its owner only; a wheel keeps the mode


def write_datasets(folder: Path) -> None:
    """Write the fine-tuning rows and the held-out rows."""
    for name, conversations in (
        ("train.jsonl", world.train_conversations()),
        ("eval.jsonl", world.eval_conversations()),
    ):
        (folder / name).write_text(world.as_jsonl(conversations), encoding="utf-8")
        print(f"{name}: {len(conversations)} rows")


def main() -> None:
    """Make everything again, or only the datasets."""
    parser = argparse.ArgumentParser(prog="python -m sftui.demo.make", description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=HERE, help="folder to write to (default: the package)")
    parser.add_argument("--epochs", type=int, default=80, help="passes over the world (default: %(default)s)")
    parser.add_argument("--datasets-only", action="store_true", help="leave tokenizer and model as they are")
    arguments = parser.parse_args()

    arguments.output.mkdir(parents=True, exist_ok=True)
    write_datasets(arguments.output)
    if arguments.datasets_only:
        return
    tokenizer = make_tokenizer()
    model = make_model(tokenizer)
    print(f"{len(world.all_facts())} facts, {model.num_parameters():,} weights")
    pretrain(model, tokenizer, arguments.epochs)
    save(model, tokenizer, arguments.output / "model")
    print(f"answers known, as saved: {share_known(model.float(), tokenizer):.1%}")


if __name__ == "__main__":
    main()
