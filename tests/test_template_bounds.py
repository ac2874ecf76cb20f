"""A hostile template or row ends as an InputError, soon and without eating the machine."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest

from sftui.data.bounds import OutOfTime, bounded, limit_memory
from sftui.data.turns import trained_text
from sftui.errors import InputError
from tests.data_fixtures import CHATML, assistant, chat_template, conversation, user


@pytest.fixture(autouse=True)
def _a_bound_that_fails_must_not_take_the_machine() -> Iterator[None]:
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_DATA)
    limit_memory(2 << 30)
    yield
    resource.setrlimit(resource.RLIMIT_DATA, before)


def growing(start: str, step: str, after: str = "") -> str:
    """A template whose variable n.s begins as `start` and becomes `step` 99 times."""
    loop = f"{{% for i in range(99) %}}{{% set n.s = {step} %}}{{% endfor %}}"
    return f"{{% set n = namespace(s={start}) %}}{loop}{after}"


LOOPS = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"
HOSTILE = {
    "endless loops": LOOPS,
    "endless set": "{% set a %}" + LOOPS + "{% endset %}",
    "recursion": "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
    "recursion in a loop": "{% for a in [[1]] recursive %}{{ loop([a]) }}{% endfor %}",
    "doubling by ~": growing("'ab'", "n.s ~ n.s"),
    "doubling by +": growing("'ab'", "n.s + n.s"),
    "doubling by join": growing("'ab'", "n.s.join([n.s, n.s])"),
    "doubling by filter join": growing("'ab'", "[n.s, n.s] | join"),
    "doubling by format": growing("'ab'", "'%s%s' % (n.s, n.s)"),
    "doubling by .format": growing("'ab'", "'{0}{0}'.format(n.s)"),
    "doubling by set block": "{% set n = namespace(s='ab') %}{% for i in range(99) %}"
    "{% set a %}{{ n.s }}{{ n.s }}{% endset %}{% set n.s = a %}{% endfor %}",
    "doubling by macro": "{% macro d(s) %}{{ s }}{{ s }}{% endmacro %}{% set n = namespace(s='ab') %}"
    "{% for i in range(99) %}{% set n.s = d(n.s) %}{% endfor %}",
    "doubling by replace": growing("'aa'", "n.s.replace('a', 'aa')"),
    "doubling by filter replace": growing("'aa'", "n.s | replace('a', 'aa')"),
    "doubling lists": growing("[1]", "n.s + n.s"),
    "doubling lists by sum": growing("[1]", "[n.s, n.s] | sum(start=[])"),
    "nested lists written": growing("[1]", "[n.s, n.s]", "{{ n.s }}"),
    "nested lists as JSON": growing("[1]", "[n.s, n.s]", "{{ n.s | tojson }}"),
    "nested lists as text": growing("[1]", "[n.s, n.s]", "{{ n.s | string }}"),
    "nested lists joined": growing("[1]", "[n.s, n.s]", "{{ n.s ~ 'a' }}"),
    "repeated text": "{{ 'a' * 10**10 }}",
    "repeated the other way": "{{ 10**10 * 'a' }}",
    "repeated list": "{{ [1] * 10**10 }}",
    "a power of a power": "{{ 10 ** (10 ** 8) }}",
    "products of products": growing("99", "n.s * n.s"),
    "center": "{{ 'a' | center(10**10) }}",
    ".center": "{{ 'a'.center(10**10) }}",
    ".ljust of Markup": "{{ ('a' | escape).ljust(10**10) }}",
    ".zfill": "{{ 'a'.zfill(9999999999) }}",
    "mapped center": "{{ ['a'] | map('center', 10**10) | list }}",
    "indent": "{{ 'a' | indent(10**10, true) }}",
    "format width": "{{ '%9999999999d' % 1 }}",
    "format given width": "{{ '%*d' % (9999999999, 1) }}",
    "filter format width": "{{ '%9999999999d' | format(1) }}",
    ".format width": "{{ '{:9999999999}'.format(1) }}",
    ".format given width": "{{ '{:{}}'.format(1, 9999999999) }}",
    ".expandtabs": "{{ '\t'.expandtabs(9999999999) }}",
    ".translate": "{{ ('a' * 99999).translate({97: 'b' * 99999}) }}",
    "batch": "{{ [1] | batch(10**10, 0) | list }}",
    "slice": "{{ [1] | slice(10**10, 0) | list }}",
    "JSON indented": "{{ [[1]] | tojson(indent=10**10) }}",
    "wordwrap": "{{ ('a ' * 99999) | wordwrap(1, true, 'b' * 99999) }}",
    "round": "{{ 1.5 | round(10**9, 'ceil') }}",
    "lipsum": "{{ lipsum(10**9) }}",
    "a big range": "{% for a in range(10**9) %}{% endfor %}",
    "the interpreter": "{{ ''.__class__.__mro__ }}",
    "the interpreter by attr": "{{ ('' | attr('__class__')).x }}",
    "the interpreter by item": "{{ messages['__class__'] ~ messages.__init__.__globals__ }}",
    "the interpreter by format": "{{ '{0.__class__}'.format('').x.y }}",
    "a changed row": "{{ messages.append(1) }}",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_template_is_an_input_error(name: str) -> None:
    template = replace(chat_template("\n\n" + HOSTILE[name]), seconds=0.3)
    started = time.monotonic()
    with pytest.raises(InputError, match=r"train\.jsonl:1: the chat template .*\(line 3 of the template\)"):
        trained_text(template, conversation(user("a"), assistant("b")), "assistant")
    assert time.monotonic() - started < 20


def test_a_text_without_end_is_an_input_error() -> None:
    text = "{% for a in range(99999) %}{% for b in range(99999) %}xxxxxxxxxxxxxxxx{% endfor %}{% endfor %}"
    with pytest.raises(InputError, match=r"train\.jsonl:1: .* more than 32,000,000 characters"):
        trained_text(chat_template(text), conversation(user("a"), assistant("b")), "assistant")


def test_constants_are_not_computed_before_the_template_runs() -> None:
    huge = "{{ 'a' | center(10**10) }}{{ 'a' * 10**10 }}{{ 'b' ~ 'a'.center(9999999999) }}"
    assert chat_template("{% if false %}" + huge + "{% endif %}c").render([user("a")]) == "c"


def test_a_template_that_is_nested_too_deeply_or_too_long_is_an_input_error() -> None:
    for text in ("{% if x %}" * 2000, "{{ " + "(" * 9000 + ")" * 9000 + " }}", "x" * 1_000_001):
        with pytest.raises(InputError, match="the chat template is not valid Jinja"):
            chat_template(text).render([user("a")])


def test_a_hostile_row_is_an_input_error() -> None:
    deep: object = []
    for _ in range(100_000):
        deep = [deep]
    row = conversation(user("a"), assistant("b", tool_calls=[{"function": {"name": "f", "arguments": deep}}]))
    template = chat_template("{{ messages[1].tool_calls | tojson }}")
    with pytest.raises(InputError, match=r"train\.jsonl:1: the chat template fails on this conversation"):
        trained_text(template, row, "assistant")


def test_what_a_template_says_is_quoted_in_part() -> None:
    with pytest.raises(InputError) as error:
        chat_template("{{ raise_exception('no' * 9999) }}").render([user("a")])
    assert len(str(error.value)) < 500


def test_long_texts_of_rows_are_no_offence() -> None:
    words = "word " * 1_000_000
    located = trained_text(chat_template(CHATML), conversation(user(words), assistant("b")), "assistant")
    assert [located.text[span.start : span.end] for span in located.spans] == ["b<|im_end|>"]


def spin() -> None:
    while True:
        pass


def test_python_code_is_stopped_and_the_alarm_put_back() -> None:
    before = signal.getsignal(signal.SIGALRM)
    left, _ = signal.getitimer(signal.ITIMER_REAL)
    with pytest.raises(OutOfTime, match=r"longer than 0\.1 s"), bounded(0.1):
        spin()
    assert signal.getsignal(signal.SIGALRM) is before
    assert (signal.getitimer(signal.ITIMER_REAL)[0] > 0) == (left > 0)


def test_the_shorter_of_nested_bounds_holds() -> None:
    for outer, inner in ((0.1, 5.0), (5.0, 0.1)):
        with pytest.raises(OutOfTime, match=r"longer than 0\.1 s"), bounded(outer), bounded(inner):
            spin()
    with pytest.raises(OutOfTime, match=r"longer than 0\.2 s"), bounded(0.2):
        with bounded(0.1):
            pass
        spin()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_alarm_that_is_lost_in_a_finaliser_comes_again() -> None:
    class Slow:
        def __del__(self) -> None:
            until = time.monotonic() + 0.2
            while time.monotonic() < until:
                pass

    with pytest.raises(OutOfTime), bounded(0.1):
        Slow()
        spin()


def test_other_threads_are_left_alone() -> None:
    found = []

    def work() -> None:
        with bounded(0.05):
            time.sleep(0.2)
            found.append(chat_template(CHATML).render([user("a")]))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == ["<|im_start|>user\na<|im_end|>\n"]


@pytest.mark.skipif(sys.platform != "linux", reason="limits of memory are Linux's")
def test_memory_is_limited() -> None:
    code = (
        "from sftui.data.bounds import limit_memory\n"
        "limit_memory(200 << 20)\n"
        "kept = bytearray(100 << 20)\n"
        "try:\n    bytearray(200 << 20)\n"
        "except MemoryError:\n    print('refused')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "refused\n"
