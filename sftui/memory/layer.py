"""A decoder layer on a tape, as transformers computes it for each family."""

from __future__ import annotations

from dataclasses import dataclass

from sftui.memory.attention import Scores, attend, rotate, rotate_part
from sftui.memory.experts import experts
from sftui.memory.modules import LayerPlan, Projection
from sftui.memory.norms import norm
from sftui.memory.operations import activation, add, copy, dropout, multiply, reshape_copy, slice_of, split
from sftui.memory.projection import Rules, project
from sftui.memory.shape import ModelShape
from sftui.memory.tape import Tape, Tensor


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer: how it is trained, what it attends over, and whether positions are turned into it."""

    shape: ModelShape
    plan: LayerPlan
    rules: Rules
    scores: Scores
    positions: int
    """Elements of a table of cosines."""

    def forward(self, tape: Tape, x: Tensor, positions: tuple[Tensor, Tensor]) -> Tensor:
        """`hidden_states` -> `hidden_states`; locals live as long as those of transformers' code."""
        shape = self.shape
        if shape.parallel:
            return self._parallel(tape, x, positions)
        hidden = self._norm(tape, x, "input_layernorm")
        # Eager attention's weights are a local variable until the layer ends.
        hidden, _weights = self._attention(tape, hidden, positions)
        if shape.sandwich:
            hidden = self._norm(tape, hidden, "post_attention_layernorm")
        hidden = add(tape, x, dropout(tape, hidden, shape.residual_dropout))
        del x
        residual = hidden
        before = "pre_feedforward_layernorm" if shape.sandwich else "post_attention_layernorm"
        hidden = self._norm(tape, hidden, before)
        hidden = self._mlp(tape, hidden)
        if shape.sandwich:
            hidden = self._norm(tape, hidden, "post_feedforward_layernorm")
        return add(tape, residual, dropout(tape, hidden, shape.residual_dropout))

    def _parallel(self, tape: Tape, x: Tensor, positions: tuple[Tensor, Tensor]) -> Tensor:
        share = self.shape.residual_dropout
        hidden = self._norm(tape, x, "input_layernorm")
        attended, _ = self._attention(tape, hidden, positions)
        attended = dropout(tape, attended, share)
        fed = dropout(tape, self._mlp(tape, hidden), share)
        return add(tape, add(tape, attended, fed), x)

    def _norm(self, tape: Tape, x: Tensor, name: str) -> Tensor:
        rules, shape = self._rules(f"{name}.weight"), self.shape
        return norm(
            tape, x, shape.norm, shape.hidden, rules.width, trained=rules.full, resident=rules.resident
        )

    def _head_norm(self, tape: Tape, x: Tensor, of: str) -> Tensor:
        name = f"self_attn.{of}_{'layernorm' if self.shape.head_norm == 'layer' else 'norm'}.weight"
        rules, shape = self._rules(name), self.shape
        return norm(
            tape, x, shape.head_norm, shape.head_dim, rules.width, trained=rules.full, resident=rules.resident
        )

    def _rules(self, name: str) -> Rules:
        """Those of this parameter: a trained copy is of the adapter's type."""
        return self.rules.saved() if name in self.plan.saved_weights else self.rules

    def _project(self, tape: Tape, x: Tensor, name: str) -> Tensor:
        part = _named(self.plan.projections, name)
        plan, rules = self.plan, self.rules
        return project(
            tape,
            x,
            rules,
            name,
            part.inputs,
            part.outputs,
            bias=part.bias,
            quantised=rules.stored != "none" and name not in plan.saved,
            adapted=name in plan.adapted,
            saved=name in plan.saved,
        )

    def _attention(
        self, tape: Tape, x: Tensor, positions: tuple[Tensor, Tensor]
    ) -> tuple[Tensor, Tensor | None]:
        shape = self.shape
        q, k, v = self._heads(tape, x)
        partly = shape.fused_qkv or shape.parallel
        if self.plan.kind.rope and partly:
            tokens, part = q.size // shape.q_size, shape.rotary_dim
            sizes = tokens * shape.heads * part, tokens * shape.kv_heads * part
            q, k, _parts = rotate_part(tape, q, k, positions, sizes, last=shape.parallel)
        elif self.plan.kind.rope:
            q, k = rotate(tape, q, positions), rotate(tape, k, positions)
        output, weights = attend(tape, q, k, v, self.scores)
        if partly and self.scores.kernel == "flash" and shape.heads > 1:
            output = copy(tape, output)  # laid out as the queries, which were put together heads first
        output = self._project(tape, output, "self_attn.dense" if shape.parallel else "self_attn.o_proj")
        return output, weights

    def _heads(self, tape: Tape, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values, with their norms."""
        shape = self.shape
        if shape.fused_qkv:
            both = self._project(tape, x, "self_attn.qkv_proj")
            tokens = both.size // (shape.q_size + 2 * shape.kv_size)
            q, k, v = (
                slice_of(tape, both, tokens * size) for size in (shape.q_size, shape.kv_size, shape.kv_size)
            )
            return reshape_copy(tape, q), reshape_copy(tape, k), v
        # Gradients of rotated heads come heads first, and are copied for the product before.
        turned = self.plan.kind.rope or self.scores.heads_first
        q = self._project(tape, x, "self_attn.q_proj")
        q = reshape_copy(tape, q) if turned else q
        if shape.head_norm == "rms":
            q = self._head_norm(tape, q, "q")
        k = self._project(tape, x, "self_attn.k_proj")
        k = reshape_copy(tape, k) if turned else k
        if shape.head_norm == "rms":
            k = self._head_norm(tape, k, "k")
        v = self._project(tape, x, "self_attn.v_proj")
        if self.scores.heads_first:
            v = reshape_copy(tape, v)
        if shape.head_norm in ("gemma", "layer"):
            q = self._head_norm(tape, q, "q")
            k = self._head_norm(tape, k, "k")
        return q, k, v

    def _mlp(self, tape: Tape, x: Tensor) -> Tensor:
        shape, kind = self.shape, self.shape.activation
        if self.plan.kind.experts:
            router, rules = self._rules("mlp.gate.weight"), self._rules("mlp.experts.down_proj")
            return experts(tape, x, self.shape, router, rules, self.plan.adapted, self._project)
        if not shape.gated:
            return self._project(tape, activation(tape, self._project(tape, x, "mlp.fc1"), kind), "mlp.fc2")
        if shape.fused_gate_up:
            gate, up = split(tape, self._project(tape, x, "mlp.gate_up_proj"))
            up = multiply(tape, up, activation(tape, gate, kind))
            return self._project(tape, up, "mlp.down_proj")
        return self._project(
            tape,
            multiply(
                tape,
                activation(tape, self._project(tape, x, "mlp.gate_proj"), kind),
                self._project(tape, x, "mlp.up_proj"),
            ),
            "mlp.down_proj",
        )


def _named(parts: tuple[Projection, ...], name: str) -> Projection:
    return next(part for part in parts if part.name == name)
