"""Completion of the command line, asked of the shells themselves where they are."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from equipoise.cli import main
from equipoise.cli.completion import script
from equipoise.cli.main import COMMANDS

ASK = """
source "$0"
COMP_WORDS=("$@")
COMP_CWORD=$(($# - 1))
_tyro_equipoise
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.fixture(scope="module")
def complete(tmp_path_factory):
    """Ask bash how it would complete the last word of a command."""
    if not (shutil.which("bash") and shutil.which("python3")):
        pytest.skip("there is no bash here, or no python3 for it to ask")
    file = tmp_path_factory.mktemp("completion") / "equipoise"
    file.write_text(script("bash"), encoding="utf-8")

    def ask(*words):
        done = subprocess.run(
            ["bash", "-c", ASK, file, "equipoise", *words], capture_output=True, text=True, check=True, timeout=60
        )
        assert done.stderr == ""
        return set(done.stdout.split())

    return ask


@pytest.mark.one_in(5)
@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["ev"], {"evaluate"}),
        (["train", "p3"], {"p3o"}),
        (["train", "cpo", "SafetyHopperS"], {"SafetyHopperSplit-v4"}),
        (["tasks", "SafetyCarCircle1-"], {"SafetyCarCircle1-v0"}),
        (["train", "pcrpo", "--slack.l"], {"--slack.low"}),
        (["train", "crpo", "--slack.l"], set()),  # another algorithm's option
        (["train", "pcrpo", "my_env:Rail-v0", "--tot"], {"--total-steps"}),
        (["train", "pcrpo", "SafetyHopper-v4", "--slack.w"], {"--slack.warm-up"}),
        (["train", "pcrpo", "SafetyHopper-v4", "--metric", "e"], {"euclidean"}),
        (["evaluate", "runs/a", "--env"], {"--environment"}),
        (["campaign", "look.toml", "--engine", "r"], {"ray"}),
    ],
)
def test_bash_completes(words, found, complete):
    assert complete(*words) == found


def test_every_command_is_known(complete):
    assert complete("") == {*COMMANDS, "-h", "--help"}


@pytest.mark.skipif(shutil.which("zsh") is None, reason="there is no zsh here")
def test_zsh_reads_its_script(tmp_path):
    (tmp_path / "_equipoise").write_text(script("zsh"), encoding="utf-8")
    program = (
        "fpath=($0 $fpath); autoload -U compinit; compinit -u -D; print ${_comps[equipoise]}; autoload +X _equipoise"
    )
    done = subprocess.run(["zsh", "-f", "-c", program, tmp_path], capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr, done.returncode) == ("_equipoise\n", "", 0)


def test_another_shell_is_told_which_there_are(capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["completion", "csh"])
    assert stopped.value.code == 2
    said = capsys.readouterr().err
    assert "'bash'" in said and "'zsh'" in said


def test_the_script_goes_to_stdout(capsys):
    assert main(["completion", "zsh"]) == 0
    assert capsys.readouterr().out.startswith("#compdef equipoise")
