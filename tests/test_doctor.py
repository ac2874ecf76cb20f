import json
import os
import subprocess
import sys
from collections import namedtuple
from pathlib import Path
from types import SimpleNamespace

import pytest

from sftui import doctor, doctor_checks, doctor_probe
from sftui.doctor import as_json, diagnose, exit_code, render
from sftui.doctor_checks import (
    Check,
    access_check,
    cache_check,
    characters_check,
    disk_check,
    hub_cache,
    hub_home,
    installation_checks,
    logout_check,
    package_check,
    python_check,
    ram_check,
    terminal_check,
    token_check,
)
from sftui.doctor_probe import gpu_check, quantization_check, read_probe, start_probe, torch_checks
from sftui.telemetry import GpuSample

GIB = 2**30
UTF8 = {"LANG": "en_GB.UTF-8"}


def gpu(visible=True, name="NVIDIA H200"):
    return GpuSample(0, name, "GPU-1", visible, 140 * GIB, 0, 0, None, None, None)


def driver(problem=None):
    return SimpleNamespace(problem=problem, driver_version="570.86", cuda_version="12.8")


def device(**others):
    return {"name": "NVIDIA H200", "capability": "9.0", "bfloat16": True, **others}


def facts(**others):
    return {"version": "2.8.0", "cuda": "12.8", "hip": None, "devices": [], "warnings": [], **others}


def statuses(checks):
    return {check.name: check.status for check in checks}


# Installation


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """Make it look as if sftui were installed with these declared requirements."""

    def install(*requirements, python=">=3.11"):
        folder = tmp_path / "sftui-9.9.dist-info"
        folder.mkdir()
        lines = ["Metadata-Version: 2.1", "Name: sftui", "Version: 9.9", f"Requires-Python: {python}"]
        lines += [f"Requires-Dist: {requirement}" for requirement in requirements]
        (folder / "METADATA").write_text("\n".join(lines) + "\n\n")
        monkeypatch.syspath_prepend(tmp_path)

    return install


def test_each_declared_package_is_checked_and_extras_are_not(installed):
    installed("psutil>=5.9", "no-such-package>=1", "pytest<2", 'nothing-either; extra == "dev"')
    checks = installation_checks()
    assert statuses(checks) == {
        "Python": "ok",
        "sftui": "ok",
        "psutil": "ok",
        "no-such-package": "error",
        "pytest": "error",
    }


def test_a_python_outside_the_declared_range_is_an_error(installed):
    installed(python=">=99")
    assert statuses(installation_checks())["Python"] == "error"


def test_without_packaging_that_is_said_rather_than_raised(installed, monkeypatch):
    installed("psutil>=5.9")
    monkeypatch.setitem(sys.modules, "packaging.requirements", None)
    assert statuses(installation_checks()) == {"Python": "ok", "sftui": "ok", "packages": "error"}


def test_a_checkout_that_is_not_installed_is_a_warning(monkeypatch):
    monkeypatch.setattr(doctor_checks, "installed_version", lambda name: None)
    assert statuses(installation_checks()) == {"Python": "ok", "sftui": "warning"}


@pytest.mark.parametrize(
    ("declared", "version", "status"),
    [
        (">=5.17,<6", "5.23.0", "ok"),
        (">=5.17,<6", "6.0.0", "error"),
        (">=5.17,<6", "5.9", "error"),
        (">=5.17,<6", None, "error"),
        (">=2.6", "2.13.0+cpu", "ok"),
        (">=2.6", "2.14.0.dev20260101+cu130", "ok"),  # nightlies are what new GPUs need
        ("", "0.1", "ok"),
    ],
)
def test_a_package_is_held_against_its_range(declared, version, status):
    check = package_check("thing", declared, version)
    assert check.status == status
    assert check.advice == (None if status == "ok" else f"pip install 'thing{declared}'")


def test_the_interpreter_is_named_without_the_home_directory(monkeypatch):
    monkeypatch.setattr(sys, "executable", str(Path.home() / "venv/bin/python"))
    assert "(~/venv/bin/python)" in python_check().found


# GPU, torch and bitsandbytes


def test_no_gpu_is_a_warning_that_says_what_still_works():
    check = gpu_check([], driver("no NVIDIA driver is found here"), facts(cuda=None))
    assert check.status == "warning"
    assert "no NVIDIA driver is found here" in check.found
    assert "CPU" in check.advice
    assert "NF4" in check.advice


def test_a_gpu_of_another_maker_is_no_problem():
    check = gpu_check([], driver("no NVIDIA driver is found here"), facts(devices=[device()]))
    assert check.status == "ok"


def test_equal_gpus_are_counted_and_hidden_ones_mentioned():
    assert gpu_check([gpu(), gpu()], driver(), facts()) == Check(
        "GPU", "ok", "2 × NVIDIA H200 140.0 GiB, driver 570.86, CUDA up to 12.8"
    )
    check = gpu_check([gpu(), gpu(visible=False)], driver(), facts(), "0")
    assert check.status == "ok"
    assert check.found.endswith("1 of 2 by CUDA_VISIBLE_DEVICES=0")


def test_gpus_that_are_all_hidden_are_a_warning():
    check = gpu_check([gpu(visible=False)], driver(), facts(), "-1")
    assert check.status == "warning"
    assert "CUDA_VISIBLE_DEVICES=-1" in check.found


def test_a_gpu_that_does_not_answer_is_a_warning():
    check = gpu_check([gpu()], driver("GPU 1 does not answer: GPU is lost"), facts())
    assert check.status == "warning"
    assert "GPU 1 does not answer" in check.found


@pytest.mark.parametrize(
    ("found", "gpus", "expected"),
    [
        (facts(cuda=None), [], {"torch build": "ok"}),
        (facts(), [], {"torch build": "ok"}),
        (facts(cuda=None), [gpu()], {"torch build": "error"}),
        (facts(cuda=None), [gpu(visible=False)], {"torch build": "ok"}),
        (facts(devices=[device()]), [gpu()], {"torch build": "ok", "CUDA": "ok"}),
        (facts(devices=[device(bfloat16=False)]), [gpu()], {"torch build": "ok", "CUDA": "warning"}),
        (facts(), [gpu()], {"torch build": "ok", "CUDA": "error"}),
        (
            facts(devices=[device()], error="RuntimeError: no kernel"),
            [gpu()],
            {"torch build": "ok", "CUDA": "error"},
        ),
        ({"error": "ImportError: libcudart.so.12"}, [gpu()], {"torch build": "error"}),
        (facts(cuda=None, hip="6.4", devices=[device()]), [], {"torch build": "ok", "CUDA": "ok"}),
    ],
)
def test_torch_must_work_on_the_gpus_that_are_there(found, gpus, expected):
    assert statuses(torch_checks(found, gpus)) == expected


def test_why_cuda_does_not_start_is_taken_from_torchs_warning():
    warning = "CUDA initialization: The NVIDIA driver on your system is too old (found version 11040)."
    found = facts(warnings=["something is deprecated", warning])
    assert warning in torch_checks(found, [gpu()])[-1].found


@pytest.mark.parametrize(
    ("found", "status"),
    [
        ({"device": "cuda", "mean_error": 0.092}, "ok"),
        ({"device": "cpu", "mean_error": 0.5}, "error"),
        ({"device": "cpu", "mean_error": float("nan")}, "error"),
        ({"error": "ImportError: libbitsandbytes_cuda128.so"}, "error"),
    ],
)
def test_four_bit_weights_must_survive_a_round_trip(found, status):
    assert quantization_check(found).status == status


def test_a_librarys_long_message_is_cut_to_a_line():
    message = "RuntimeError: " + "x" * 500 + "\nsecond line"
    found = quantization_check({"error": message}).found
    assert len(found) < 300
    assert "second line" not in found


def test_the_probe_survives_what_it_probes():
    first = 'print(\'a library says hello\'); print(\'{"torch": {"version": "1"}}\', flush=True);'
    hanging = start_probe(first + "import time; time.sleep(60)")
    crashed = read_probe(start_probe(first + "import os; os.kill(os.getpid(), 11)"))
    assert crashed["torch"] == {"version": "1"}
    assert "signal 11" in crashed["bitsandbytes"]["error"]
    failed = read_probe(start_probe("raise SystemExit(3)"))
    assert "status 3" in failed["torch"]["error"]
    hung = read_probe(hanging, timeout_s=0.5)
    assert hung["torch"] == {"version": "1"}
    assert "longer than 0.5 s" in hung["bitsandbytes"]["error"]


def test_the_probe_does_not_import_from_the_current_directory(tmp_path, monkeypatch):
    (tmp_path / "shadowed.py").write_text("")
    monkeypatch.chdir(tmp_path)
    found = read_probe(start_probe('import shadowed; print(\'{"torch": {"version": "1"}}\')'))
    assert "version" not in found["torch"]


@pytest.mark.slow
def test_torch_and_bitsandbytes_are_tried_for_real():
    found = read_probe(start_probe())
    assert "error" not in found["torch"]
    assert 0.05 < found["bitsandbytes"]["mean_error"] < doctor_probe.MEAN_ERROR_LIMIT
    assert quantization_check(found["bitsandbytes"]).status == "ok"


# Memory, disk and the Hub

Usage = namedtuple("Usage", "total used free")


@pytest.mark.parametrize(("used", "status"), [(10, "ok"), (30, "warning")])
def test_little_free_memory_is_a_warning(monkeypatch, used, status):
    monkeypatch.setattr(
        doctor_checks, "Ram", lambda pid: SimpleNamespace(read=lambda: (used * GIB, 32 * GIB))
    )
    check = ram_check()
    assert check.status == status
    assert f"{32 - used}.0 GiB of 32.0 GiB free" in check.found


@pytest.mark.parametrize(("free", "status"), [(100, "ok"), (9, "warning"), (0.5, "error")])
def test_a_disk_that_fills_up_is_found_before_the_run(tmp_path, monkeypatch, free, status):
    monkeypatch.setattr(doctor_checks.shutil, "disk_usage", lambda path: Usage(0, 0, int(free * GIB)))
    assert disk_check(tmp_path).status == status


def test_a_directory_that_cannot_be_written_is_a_warning(tmp_path, monkeypatch):
    monkeypatch.setattr(doctor_checks.os, "access", lambda path, mode: mode != os.W_OK)
    assert disk_check(tmp_path).status == "warning"
    assert cache_check(tmp_path).status == "warning"


def test_the_space_of_a_cache_that_is_not_made_yet_is_that_of_its_disk(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(
        doctor_checks.shutil, "disk_usage", lambda path: asked.append(path) or Usage(0, 0, 50 * GIB)
    )
    check = cache_check(tmp_path / "not/yet/hub")
    assert asked == [tmp_path]
    assert (check.status, check.found) == ("ok", f"50.0 GiB free in {tmp_path}/not/yet/hub")


@pytest.mark.parametrize(
    "variables",
    [
        {},
        {"XDG_CACHE_HOME": "/x"},
        {"XDG_CACHE_HOME": "/x", "HF_HOME": "~/h"},
        {"HF_HOME": "$BASE/h", "BASE": "/b"},
        {"HF_HOME": "/h", "HUGGINGFACE_HUB_CACHE": "/old"},
        {"HF_HOME": "/h", "HUGGINGFACE_HUB_CACHE": "/old", "HF_HUB_CACHE": "~/new"},
    ],
)
def test_the_cache_is_where_huggingface_hub_puts_it(variables, monkeypatch):
    for name in ("HF_HOME", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    program = "from huggingface_hub import constants as c; print(c.HF_HOME, c.HF_HUB_CACHE, sep='\\n')"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert [str(hub_home(os.environ)), str(hub_cache(os.environ))] == done.stdout.split()


@pytest.mark.parametrize("name", ["HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_DATASETS_OFFLINE"])
def test_being_offline_by_choice_is_said(name):
    check = access_check({name: "1"})
    assert check.status == "warning"
    assert f"{name}=1" in check.found
    assert access_check({name: "0"}).status == "ok"


def test_a_token_is_reported_and_never_shown(tmp_path):
    secret = "hf_abcdefghijklmnop"
    check = token_check({"HF_TOKEN": secret})
    assert check.found == "present, in HF_TOKEN"
    (tmp_path / "token").write_text(secret)
    check = token_check({"HF_HOME": str(tmp_path)})
    assert check.found.startswith("present, in ")
    assert secret not in str(check)
    absent = token_check({"HF_HOME": str(tmp_path / "nowhere")})
    assert absent.found.startswith("none")
    assert absent.status == "ok"


# Terminal and session


@pytest.mark.parametrize(
    ("environ", "status", "words"),
    [
        ({"TERM": "xterm-256color"}, "ok", "256 colours"),
        ({"TERM": "xterm", "COLORTERM": "truecolor"}, "ok", "16 million colours, COLORTERM=truecolor"),
        ({"TERM": "xterm"}, "warning", "16 colours"),
        ({"TERM": "dumb"}, "warning", "no colours"),
        ({}, "warning", "TERM is not set"),
        ({"TERM": "tmux-256color", "TMUX": "/tmp/tmux-1/default,1,0"}, "ok", "in tmux"),
        ({"TERM": "screen-256color", "STY": "1.x"}, "ok", "in screen"),
        ({"TERM": "xterm-256color", "SSH_CONNECTION": "a b c d"}, "ok", "over SSH"),
    ],
)
def test_the_terminal_is_described_with_what_stands_in_between(environ, status, words):
    check = terminal_check(environ)
    assert check.status == status
    assert words in check.found


def test_the_advice_for_colours_fits_the_cause():
    assert "NO_COLOR" in terminal_check({"TERM": "dumb", "NO_COLOR": "1"}).advice
    assert "tmux.conf" in terminal_check({"TERM": "screen", "TMUX": "x"}).advice
    assert "export TERM" in terminal_check({"TERM": "xterm"}).advice


@pytest.mark.parametrize(
    ("environ", "status"),
    [
        (UTF8, "ok"),
        ({"LC_CTYPE": "C.utf8"}, "ok"),
        ({**UTF8, "LC_ALL": "C"}, "warning"),
        ({**UTF8, "LC_ALL": ""}, "ok"),
        ({"LANG": "de_DE.ISO-8859-1"}, "warning"),
        ({}, "warning"),
        ({**UTF8, "TERM": "linux"}, "warning"),
    ],
)
def test_characters_need_a_utf8_locale_and_braille(environ, status):
    assert characters_check(environ).status == status


def test_a_run_that_ends_with_the_session_is_a_warning_with_the_remedy():
    assert logout_check(True, "runs go on after logout") == Check("logout", "ok", "runs go on after logout")
    check = logout_check(False, "systemd ends runs at logout; once: a; then b")
    assert check == Check("logout", "warning", "systemd ends runs at logout", "once: a; then b")


# The whole


CHECKS = [
    Check("Python", "ok", "3.11.7"),
    Check("4-bit weights", "error", "bitsandbytes does not work: " + "a long reason " * 8, "reinstall it"),
    Check("RAM", "warning", "1.0 GiB of 2.0 GiB free", "free some"),
]


def test_text_is_aligned_and_fits_the_width():
    text = render(CHECKS, width=80)
    lines = text.splitlines()
    assert all(len(line) <= 80 for line in lines)
    assert lines[0] == "✓ Python         3.11.7"
    assert lines[1].startswith("✗ 4-bit weights  bitsandbytes does not work:")
    assert lines[2][:17].isspace()
    assert not lines[2][17].isspace()
    assert " " * 17 + "→ reinstall it" in lines
    assert lines[-1] == "1 error, 1 warning"


def test_a_sound_machine_is_said_to_be_sound():
    assert render(CHECKS[:1]).splitlines()[-1] == "no problems found"


def test_only_an_error_makes_the_command_fail():
    assert exit_code(CHECKS) == 1
    assert exit_code([CHECKS[0], CHECKS[2]]) == 0
    assert exit_code([]) == 0


def test_json_has_every_check():
    document = json.loads(json.dumps(as_json(CHECKS)))
    assert document["ok"] is False
    assert document["checks"][2] == {
        "name": "RAM",
        "status": "warning",
        "found": "1.0 GiB of 2.0 GiB free",
        "advice": "free some",
    }


def test_diagnosing_this_machine_gives_every_check_once(monkeypatch):
    quick = (
        'print(\'{"torch": {"version": "1", "cuda": null, "hip": null, "devices": []}}\');'
        'print(\'{"bitsandbytes": {"device": "cpu", "mean_error": 0.09}}\')'
    )
    real = start_probe
    monkeypatch.setattr(doctor, "start_probe", lambda: real(quick))
    names = [check.name for check in diagnose()]
    assert len(names) == len(set(names))
    needed = {
        "Python",
        "GPU",
        "torch build",
        "4-bit weights",
        "RAM",
        "disk",
        "Hub cache",
        "Hub access",
        "Hub token",
    }
    assert needed | {"terminal", "characters", "logout"} <= set(names)


def test_looking_imports_no_large_library():
    program = (
        "import sys; from sftui import doctor; real = doctor.start_probe;"
        "doctor.start_probe = lambda: real(''); doctor.render(doctor.diagnose());"
        "print({'torch', 'transformers', 'datasets', 'numpy', 'textual', 'bitsandbytes'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=Path(doctor.__file__).parents[1], capture_output=True, text=True
    )
    assert done.stdout.strip() == "set()", done.stderr
