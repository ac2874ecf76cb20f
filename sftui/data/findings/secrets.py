"""Keys and tokens that open something."""

from __future__ import annotations

import re
from collections.abc import Iterable

from sftui.data.findings.facts import RowFacts, finding, in_message, written
from sftui.data.views import RowFinding

_SHOWN = 4  # characters of a secret that a message may repeat
_VARIED = 9  # different characters that a real key has at least; examples repeat a few

# What to look for first, the pattern, and what it is.
_KINDS: tuple[tuple[str, re.Pattern[str], str], ...] = tuple(
    (needle, re.compile(pattern), kind)
    for needle, pattern, kind in (
        ("sk-", r"\bsk-(?:proj-|ant-|or-v1-)?[A-Za-z0-9_-]{32,}", "an API key"),
        ("sk_live_", r"\bsk_live_[A-Za-z0-9]{20,}", "a Stripe key"),
        ("rk_live_", r"\brk_live_[A-Za-z0-9]{20,}", "a Stripe key"),
        ("ghp_", r"\bghp_[A-Za-z0-9]{36}\b", "a GitHub token"),
        ("gho_", r"\bgho_[A-Za-z0-9]{36}\b", "a GitHub token"),
        ("ghs_", r"\bghs_[A-Za-z0-9]{36}\b", "a GitHub token"),
        ("github_pat_", r"\bgithub_pat_[A-Za-z0-9_]{60,}", "a GitHub token"),
        ("glpat-", r"\bglpat-[A-Za-z0-9_-]{20,}", "a GitLab token"),
        ("hf_", r"\bhf_[A-Za-z0-9]{34}\b", "a Hugging Face token"),
        ("AKIA", r"\bAKIA[A-Z0-9]{16}\b", "an AWS key"),
        ("ASIA", r"\bASIA[A-Z0-9]{16}\b", "an AWS key"),
        ("AIza", r"\bAIza[A-Za-z0-9_-]{35}(?![A-Za-z0-9_-])", "a Google API key"),
        ("xox", r"\bxox[abprs]-[A-Za-z0-9-]{20,}", "a Slack token"),
        ("npm_", r"\bnpm_[A-Za-z0-9]{36}\b", "an npm token"),
        ("pypi-", r"\bpypi-AgE[A-Za-z0-9_-]{50,}", "a PyPI token"),
        ("eyJ", r"\beyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{20,}", "a JSON web token"),
        (
            "PRIVATE KEY-----",
            r"-----BEGIN (?:[A-Z]+ )*PRIVATE KEY-----[\s\\nr]*[A-Za-z0-9+/=]{32}",
            "a private key",
        ),
    )
)
# The last is 123456789 in base64, of the web token that every tutorial shows.
_EXAMPLE = re.compile(
    r"example|xxxx|your|0123456789|1234567890|abcdefgh|dummy|placeholder|MTIzNDU2Nzg5", re.IGNORECASE
)


def secret(facts: RowFacts) -> Iterable[RowFinding]:
    """A string that begins as the keys of a well-known service do; what it is, never the whole of it."""
    text = facts.text
    present = [(pattern, kind) for needle, pattern, kind in _KINDS if needle in text]
    if not present:
        return ()
    for index, content in written(facts.conversation):
        for pattern, kind in present:
            for match in pattern.finditer(content):
                found = match[0]
                if kind == "a private key" or (
                    len(set(found)) >= _VARIED and any(map(str.isdigit, found)) and not _EXAMPLE.search(found)
                ):
                    detail = f"{kind} ({found[:_SHOWN]}…){in_message(index)}"
                    return (finding(facts, "secret", detail, index, found),)
    return ()
