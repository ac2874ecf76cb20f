import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from sftui import machine
from sftui.machine import (
    cpu_model,
    environment,
    git_commit,
    kill_user_processes,
    logind_settings,
    survives_logout,
    without_home,
)


def write(root, path, text=""):
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


# environment.json


def test_the_environment_is_json_and_says_what_a_run_started_with():
    facts = environment(["sftui", "train", "recipe.yaml"])
    assert json.loads(json.dumps(facts)) == facts
    assert facts["command"] == ["sftui", "train", "recipe.yaml"]
    assert facts["packages"]["torch"] == machine.installed_version("torch")
    assert set(facts["packages"]) == set(machine.PACKAGES)
    assert facts["python"] == ".".join(map(str, sys.version_info[:3]))
    assert facts["ram_total_bytes"] > 0
    assert facts["cpu"]["cores"] >= 1


def test_the_environment_lists_the_gpus_and_closes_the_driver(monkeypatch):
    closed = []
    sample = SimpleNamespace(index=0, name="NVIDIA H200", total_bytes=7, visible=True)
    nvml = SimpleNamespace(
        read=lambda: (sample,),
        close=lambda: closed.append(True),
        driver_version="570.1",
        cuda_version="12.8",
        problem=None,
    )
    monkeypatch.setattr(machine, "Nvml", lambda: nvml)
    facts = environment([])
    assert facts["gpus"] == [{"index": 0, "name": "NVIDIA H200", "total_bytes": 7, "visible": True}]
    assert facts["driver"] == {"version": "570.1", "cuda_version": "12.8", "problem": None}
    assert closed == [True]


def test_reading_versions_imports_no_large_library():
    program = (
        "import sys; from sftui.machine import environment; environment([]);"
        "print({'torch', 'transformers', 'datasets', 'numpy', 'textual'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=Path(machine.__file__).parents[1], capture_output=True, text=True
    )
    assert done.stdout.strip() == "set()", done.stderr


def test_a_package_that_is_not_installed_has_no_version():
    assert machine.installed_version("no-such-package-anywhere") is None


@pytest.mark.parametrize(
    ("argument", "written"),
    [
        ("/home/ada/runs/x", "~/runs/x"),
        ("data.train=/home/ada/a.jsonl", "data.train=~/a.jsonl"),
        ("/home/ada", "~"),
        ("/home/adam/a.jsonl", "/home/adam/a.jsonl"),
        ("/mnt/home/ada/a.jsonl", "/mnt/home/ada/a.jsonl"),
        ("relative/home/ada", "relative/home/ada"),
    ],
)
def test_the_home_directory_is_not_named(argument, written):
    assert without_home([argument], Path("/home/ada")) == [written]


def test_a_home_at_the_root_changes_nothing():
    assert without_home(["/data/x"], Path("/")) == ["/data/x"]


def test_the_processor_is_named_where_linux_tells(tmp_path):
    write(tmp_path, "proc/cpuinfo", "processor\t: 0\nmodel name\t: AMD EPYC 9654 96-Core Processor\n")
    assert cpu_model(tmp_path) == "AMD EPYC 9654 96-Core Processor"
    write(tmp_path, "proc/cpuinfo", "processor\t: 0\nCPU implementer\t: 0x41\n")
    assert cpu_model(tmp_path) is None
    assert cpu_model(tmp_path / "nowhere") is None


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """A repository with one commit, untouched by the settings of who runs the tests."""
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CONFIG_SYSTEM", os.devnull)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"):
        monkeypatch.delenv(name, raising=False)

    def git(*arguments):
        identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
        done = subprocess.run(
            ["git", "-C", tmp_path, *identity, *arguments], check=True, capture_output=True, text=True
        )
        return done.stdout.strip()

    git("init")
    write(tmp_path, "recipe.yaml", "seed: 1\n")
    git("add", "recipe.yaml")
    git("commit", "-m", "first")
    return SimpleNamespace(path=tmp_path, git=git)


def test_the_commit_is_dirty_exactly_when_a_tracked_file_differs(repository):
    commit = repository.git("rev-parse", "HEAD")
    assert git_commit(repository.path) == {"commit": commit, "dirty": False}
    write(repository.path, "runs/new.txt", "untracked")
    assert git_commit(repository.path / "runs") == {"commit": commit, "dirty": False}
    write(repository.path, "recipe.yaml", "seed: 2\n")
    assert git_commit(repository.path) == {"commit": commit, "dirty": True}


def test_without_git_repository_or_commit_there_is_none(tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert git_commit(tmp_path) is None
    subprocess.run(["git", "init", tmp_path], check=True, capture_output=True)
    assert git_commit(tmp_path) is None
    monkeypatch.setenv("PATH", str(tmp_path))
    assert git_commit(tmp_path) is None


def test_a_git_that_hangs_is_given_up(tmp_path, monkeypatch):
    write(tmp_path, "git", "#!/bin/sh\nexec /bin/sleep 30\n")
    (tmp_path / "git").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(machine, "GIT_TIMEOUT_S", 0.2)
    assert git_commit(tmp_path) is None


# Logout


def silent():
    """A logind that does not answer: None."""


@pytest.fixture
def root(tmp_path):
    """A machine that runs systemd, seen from an SSH session."""
    (tmp_path / "run/systemd/system").mkdir(parents=True)
    write(tmp_path, "proc/self/cgroup", "0::/user.slice/user-1000.slice/session-3.scope\n")
    return tmp_path


def test_without_systemd_nothing_is_ended(tmp_path):
    write(tmp_path, "etc/systemd/logind.conf", "[Login]\nKillUserProcesses=yes\n")
    assert kill_user_processes(tmp_path, "ada", silent) is False


def test_what_logind_answers_counts_more_than_its_files(root):
    write(root, "etc/systemd/logind.conf", "[Login]\nKillUserProcesses=no\n")
    assert kill_user_processes(root, "ada", silent) is False
    assert kill_user_processes(root, "ada", lambda: {"KillUserProcesses": "yes"}) is True


def test_nothing_said_anywhere_is_unknown(root):
    assert kill_user_processes(root, "ada", silent) is None
    write(root, "etc/systemd/logind.conf", "[Login]\n[Other]\nKillUserProcesses=yes\n")
    assert kill_user_processes(root, "ada", silent) is None


def test_the_commented_default_of_the_distribution_counts_where_nothing_is_set(root):
    write(root, "usr/lib/systemd/logind.conf", "[Login]\n#KillUserProcesses=no\n")
    assert kill_user_processes(root, "ada", silent) is False
    write(root, "etc/systemd/logind.conf", "[Login]\n#KillUserProcesses=yes\n")
    assert kill_user_processes(root, "ada", silent) is False
    write(root, "etc/systemd/logind.conf.d/kill.conf", "[Login]\nKillUserProcesses=1\n")
    assert kill_user_processes(root, "ada", silent) is True


@pytest.mark.parametrize(
    ("files", "value"),
    [
        ({"etc/systemd/logind.conf": "yes", "usr/lib/systemd/logind.conf": "no"}, "yes"),
        ({"etc/systemd/logind.conf": "yes", "usr/lib/systemd/logind.conf.d/1.conf": "no"}, "no"),
        ({"etc/systemd/logind.conf.d/1.conf": "yes", "usr/lib/systemd/logind.conf.d/2.conf": "no"}, "no"),
        ({"etc/systemd/logind.conf.d/2.conf": "yes", "run/systemd/logind.conf.d/2.conf": "no"}, "yes"),
        ({"run/systemd/logind.conf.d/2.conf": "yes", "usr/lib/systemd/logind.conf.d/2.conf": "no"}, "yes"),
    ],
)
def test_files_take_precedence_as_in_the_manual(root, files, value):
    for file, text in files.items():
        write(root, file, f"[Login]\nKillUserProcesses={text}\n")
    assert logind_settings(root)["KillUserProcesses"] == value


@pytest.mark.parametrize(
    ("settings", "user", "ended"),
    [
        ({}, "ada", True),
        ({}, "root", False),  # excluded by default
        ({"KillExcludeUsers": "root ada"}, "ada", False),
        ({"KillOnlyUsers": "grace"}, "ada", False),
        ({"KillOnlyUsers": "grace ada"}, "ada", True),
        ({"KillOnlyUsers": "", "KillExcludeUsers": ""}, "root", True),
    ],
)
def test_users_can_be_spared(root, settings, user, ended):
    answer = {"KillUserProcesses": "yes", **settings}
    assert kill_user_processes(root, user, lambda: answer) is ended


def test_loginctl_is_asked_for_the_settings_in_force(tmp_path, monkeypatch):
    write(tmp_path, "loginctl", "#!/bin/sh\necho KillUserProcesses=no\necho KillExcludeUsers=root\n")
    (tmp_path / "loginctl").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert machine.ask_logind() == {"KillUserProcesses": "no", "KillExcludeUsers": "root"}
    write(tmp_path, "loginctl", "#!/bin/sh\necho no bus >&2\nexit 1\n")
    assert machine.ask_logind() is None


def test_a_session_that_is_not_killed_survives(root):
    survives, sentence = survives_logout(root, "ada", lambda: {"KillUserProcesses": "no"})
    assert survives
    assert ";" not in sentence


def test_a_killed_session_does_not_survive_and_lingering_alone_does_not_save_it(root):
    def kills():
        return {"KillUserProcesses": "yes"}

    survives, sentence = survives_logout(root, "ada", kills)
    assert not survives
    assert "loginctl enable-linger" in sentence
    assert "systemd-run --user --scope sftui" in sentence
    write(root, "var/lib/systemd/linger/ada")
    survives, sentence = survives_logout(root, "ada", kills)
    assert not survives
    assert "enable-linger" not in sentence
    assert "systemd-run --user --scope sftui" in sentence


def test_below_the_users_own_systemd_lingering_decides(root):
    write(
        root,
        "proc/self/cgroup",
        "0::/user.slice/user-1000.slice/user@1000.service/tmux-spawn-1.scope\n",
    )
    survives, sentence = survives_logout(root, "ada", lambda: {"KillUserProcesses": "no"})
    assert not survives
    assert "loginctl enable-linger" in sentence
    write(root, "var/lib/systemd/linger/ada")
    assert survives_logout(root, "ada", lambda: {"KillUserProcesses": "yes"})[0]


def test_outside_any_session_logout_ends_nothing(root):
    write(root, "proc/self/cgroup", "0::/system.slice/slurmstepd.scope/job_7/step_0\n")
    assert survives_logout(root, "ada", lambda: {"KillUserProcesses": "yes"})[0]


def test_when_it_cannot_be_known_the_sentence_says_so_and_how_to_be_safe(root):
    survives, sentence = survives_logout(root, "ada", silent)
    assert not survives
    assert "unknown" in sentence
    assert "systemd-run --user --scope sftui" in sentence
