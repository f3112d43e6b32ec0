"""What all verbs of the `multigen` command have in common: help, exit codes, --traceback, --json;
`ls`, `train`, `completion`."""

import contextlib
import io
import json
import os
import re
import select
import shutil
import subprocess
import sys
from dataclasses import fields
from importlib import import_module
from pathlib import Path

import pytest

from multigen.catalogue import DATA, METHODS, benchmarks
from multigen.cli import VERBS
from multigen.cli.completion import Training
from multigen.console import exit_code, exits
from multigen.errors import ConfigError, Interrupted
from multigen.runs.runner import parse
from tests import tiny
from tests.cases import BASES
from tests.tiny import WORDS, photos, python

ROOT = Path(__file__).resolve().parents[2]

# -- every verb --------------------------------------------------------------------------------------------------

HELPS = """
import contextlib, io, json, sys
from multigen.cli import VERBS, main
helps = {}
for verb in VERBS:
    sys.argv = ["multigen", verb, "--help"]
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        try:
            main()
        except SystemExit as end:
            helps[verb] = [end.code, printed.getvalue(), sorted({"torch", "numpy", "PIL", "matplotlib"} & {*sys.modules})]
print(json.dumps(helps))
"""


@pytest.fixture(scope="module")
def helps(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list]:
    done = python("-c", HELPS, cwd=tmp_path_factory.mktemp("helps"))
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_every_verb_helps_without_torch(helps: dict[str, list]) -> None:
    assert list(helps) == list(VERBS) == sorted(VERBS)
    for verb, (code, text, heavy) in helps.items():
        assert code == 0 and f"usage: multigen {verb}" in text and heavy == [], verb


def test_every_verb_is_a_file_and_is_documented() -> None:
    files = {file.stem for file in (ROOT / "multigen" / "cli").glob("*.py")}
    assert set(VERBS) <= files
    assert all(callable(import_module(f"multigen.cli.{verb}").run) for verb in VERBS)
    page = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
    assert [verb for verb in VERBS if f"\n## {verb}\n" not in page] == []


def test_the_same_thing_has_the_same_name_everywhere(helps: dict[str, list]) -> None:
    options = {verb: set(re.findall(r"(?<![\w-])--?[a-z][a-z-]*", text)) for verb, (_, text, _) in helps.items()}
    for verb in ("sample", "interpolate", "restore", "upscale", "write", "export"):
        assert {"--model", "--out"} <= options[verb], verb
    for verb in ("sample", "interpolate", "write"):
        assert {"-n", "--seed"} <= options[verb], verb
    for verb in ("sample", "interpolate"):
        assert {"--class", "--truncation"} <= options[verb], verb
    assert "--temperature" in options["write"]
    assert {"--out", "--runs", "--page"} <= options["bench"]
    assert [verb for verb in options if {"--folder", "--results"} & options[verb]] == []
    for verb in ("sample", "interpolate", "restore", "upscale", "write", "export"):
        assert "--code" in options[verb] and "hf:OWNER/NAME" in helps[verb][1], verb
    for verb in ("ls", "inspect", "doctor", "compare", "evaluate", "bench"):
        assert "--json" in options[verb], verb


# -- exit codes and --traceback ----------------------------------------------------------------------------------


def raising(error: BaseException):
    def action() -> None:
        raise error

    return action


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (ConfigError("size 3: expected 4"), 2, "error: size 3: expected 4"),
        (Interrupted("saved; go on with --resume run", 2), 130, "saved; go on with --resume run"),
        (Interrupted("saved; go on with --resume run", 15), 143, "saved; go on with --resume run"),
        (KeyboardInterrupt(), 130, "stopped"),
    ],
)
def test_an_error_is_a_line_and_a_code(
    error: BaseException, code: int, line: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["multigen", "verb"])
    assert exit_code(raising(error)) == code
    assert capsys.readouterr() == ("", f"{line}\n")
    monkeypatch.setattr(sys, "argv", ["multigen", "verb", "--traceback"])
    assert exit_code(raising(error)) == code
    printed = capsys.readouterr().err
    assert printed.startswith(f"{line}\nTraceback (most recent call last):\n") and "in action" in printed
    assert sys.argv == ["multigen", "verb"]


def test_what_was_done_ends_with_0_and_a_fault_of_ours_with_its_traceback(tmp_path: Path) -> None:
    assert exit_code(lambda: None) == 0
    code = "from multigen.console import exit_code\nraise SystemExit(exit_code(lambda: 1 / 0))"
    done = python("-c", code, cwd=tmp_path)
    assert done.returncode == 1 and "ZeroDivisionError" in done.stderr


def test_nobody_who_reads_ends_with_141(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exits, "discard_output", lambda stream: None)
    assert exit_code(raising(BrokenPipeError())) == 141


@pytest.mark.parametrize("place", [0, 1, 5])
def test_traceback_may_stand_anywhere(place: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["sample", "--model", str(tmp_path / "none"), "-n", "2"]
    assert tiny.multigen(words) == 2
    bare = capsys.readouterr().err
    assert bare.startswith("error: ") and bare.count("\n") == 1
    words.insert(place, "--traceback")
    assert tiny.multigen(words) == 2
    assert capsys.readouterr().err.startswith(bare + "Traceback (most recent call last):\n")


def test_traceback_of_a_recipe(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["tiny", "--traceback", "--data", str(tmp_path / "none"), "--out", str(tmp_path / "run")]
    assert tiny.recipe(words) == 2
    printed = capsys.readouterr().err
    assert (
        printed.startswith("error: ") and "\nTraceback (most recent call last):\n" in printed and "NotFound" in printed
    )


@pytest.mark.parametrize("words", [["--help", "--traceback"], ["--traceback", "ls", "--help"]])
def test_help_with_traceback_is_help(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert tiny.multigen(words) == 0
    assert "usage: multigen" in capsys.readouterr().out


def test_the_help_and_the_page_name_the_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    assert tiny.multigen(["--help"]) == 0
    printed = capsys.readouterr().out
    page = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
    for code in ("0", "1", "2", "130", "143", "141"):
        assert re.search(rf"^  {code} +\w", printed.replace("; 143", "\n  143"), re.M)
        assert f"| {code} |" in page


# -- ls ----------------------------------------------------------------------------------------------------------


def test_ls_has_a_line_for_each(capsys: pytest.CaptureFixture[str]) -> None:
    assert tiny.multigen(["ls"]) == 0
    lines = capsys.readouterr().out.splitlines()
    for name, words in [
        *((m.name, [m.about, *m.presets]) for m in METHODS.values()),
        *((d.name, [d.modality, d.about]) for d in DATA),
        *((b.name, [b.method, b.preset, b.about]) for b in benchmarks()),
    ]:
        (line,) = [line for line in lines if line.split()[:1] == [name]]  # whole, since nothing breaks it in a pipe
        assert all(word in line for word in words)


def test_ls_for_programs(capsys: pytest.CaptureFixture[str]) -> None:
    assert tiny.multigen(["ls", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert [m["name"] for m in result["methods"]] == list(METHODS)
    assert result["methods"][0]["presets"] == ["tiny", "laptop", "default", "paper"]
    assert {d["name"] for d in result["data"]} == {d.name for d in DATA}
    assert all(Path(b["file"]).exists() for b in result["benchmarks"])


def test_ls_takes_half_a_second_at_most(tmp_path: Path) -> None:
    seconds = []
    while len(seconds) < 10 and min(seconds, default=1) > 0.5:  # of computing, since a busy machine lets it wait
        before = os.times()
        assert python("-m", "multigen", "ls", cwd=tmp_path).returncode == 0
        after = os.times()
        used = after.children_user - before.children_user + after.children_system - before.children_system
        seconds.append(used)
    assert 0 < min(seconds) <= 0.5


# -- train -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("words", [[], ["--help"], ["-h"]])
def test_train_lists_the_methods(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert tiny.multigen(["train", *words]) == 0
    printed = capsys.readouterr().out
    assert all(f"\n  {m.name} " in printed and m.about.removesuffix(".") in printed for m in METHODS.values())


def test_train_of_no_method(capsys: pytest.CaptureFixture[str]) -> None:
    assert tiny.multigen(["train", "stylegan9"]) == 2
    assert capsys.readouterr().err.startswith("error: no method 'stylegan9'; expected one of srgan, ")


def test_train_is_given_what_the_recipe_is(monkeypatch: pytest.MonkeyPatch) -> None:
    given = []
    monkeypatch.setattr("multigen.runs.runner.train", lambda *args: given.append(args))
    words = ["tiny", *WORDS, "--data", "photos", "--seeds", "2", "--out", "run"]
    assert tiny.multigen(["train", "srgan", *words]) == tiny.recipe(words) == 0
    (*verb, command), (*module, other) = given
    assert verb == module and verb[1].data == "photos"
    # The commands that repeat the run differ in the program alone.
    assert command.removeprefix("multigen train srgan ") == other.removeprefix("python -m multigen.recipes.srgan ")


@pytest.mark.slow
def test_train_is_the_recipe(tmp_path: Path) -> None:
    data = photos(tmp_path / "photos")
    words = ["tiny", *WORDS, "--data", str(data), "--test", str(data), "--out"]
    for form, name in ((["multigen", "train", "srgan"], "run"), (["multigen.recipes.srgan"], "same")):
        done = python("-m", *form, *words, name, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    contents = [json.loads((tmp_path / name / "evaluation.json").read_text()) for name in ("run", "same")]
    assert contents[0]["rows"] == contents[1]["rows"] and contents[0]["rows"]
    assert contents[0]["command"].startswith("python -m multigen train srgan tiny --crop 32 ")
    assert contents[1]["command"].startswith("python -m multigen.recipes.srgan tiny --crop 32 ")


@pytest.mark.parametrize("command", ["multigen train srgan", "python -m multigen.recipes.srgan"])
def test_the_usage_line_names_the_form_that_was_used(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--help"]
    assert (tiny.multigen(["train", "srgan", *words]) if "train" in command else tiny.recipe(words)) == 0
    assert capsys.readouterr().out.startswith(f"usage: {command} [tiny|laptop|default|paper] ")


def test_a_preset_that_is_none_is_named_in_both_forms(capsys: pytest.CaptureFixture[str]) -> None:
    assert tiny.multigen(["train", "srgan", "huge"]) == tiny.recipe(["huge"]) == 2
    first, second = capsys.readouterr().err.splitlines()
    assert first == second and "preset 'huge'" in first


# -- completion --------------------------------------------------------------------------------------------------

CASES = [
    ("multigen s", {"sample"}),
    ("multigen train w", {"wgan", "wavegan"}),
    ("multigen train dcgan la", {"laptop"}),
    ("multigen train dcgan tiny --se", {"--seed", "--seeds"}),
    ("multigen sample --cl", {"--class"}),
    ("multigen write --model r --temp", {"--temperature"}),
    ("multigen train dcgan --se", {"--seed", "--seeds"}),
    ("multigen completion f", {"fish"}),
    ("multigen upscale pic", {"picture.png"}),
    ("multigen sample --model pic", {"picture.png"}),
]
"""The words before the tabulator -> what they may become, in a folder with a picture."""


@pytest.fixture(scope="module")
def scripts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for the scripts, and with a picture."""
    folder = tmp_path_factory.mktemp("completion")
    (folder / "picture.png").touch()
    return folder


def write_script(name: str, folder: Path) -> None:
    """Writes the script of a shell for some of the methods, that of zsh under the name that it
    looks for."""
    file = folder / ("_multigen" if name == "zsh" else name)
    if not file.exists():
        some = {name: METHODS[name] for name in ("dcgan", "wgan", "wavegan", "specgan")}
        with contextlib.redirect_stdout(io.StringIO()) as printed, pytest.MonkeyPatch.context() as patch:
            patch.setattr("multigen.cli.completion.METHODS", some)
            assert tiny.multigen(["completion", name]) == 0
        file.write_text(printed.getvalue(), encoding="utf-8")


def shell(name: str, *words: str, folder: Path) -> str:
    if shutil.which(name) is None:
        pytest.skip(f"no {name} here")
    write_script(name, folder)
    environment = {k: v for k, v in os.environ.items() if k != "COLUMNS"} | {"HOME": str(folder), "TERM": "dumb"}
    done = subprocess.run([name, *words], cwd=folder, capture_output=True, text=True, env=environment, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
@pytest.mark.parametrize(("line", "expected"), CASES)
def test_bash_completes(line: str, expected: set[str], scripts: Path) -> None:
    words = line.split()
    script = f'source ./bash; COMP_WORDS=({line}); COMP_CWORD={len(words) - 1}; _multigen; printf "%s\\n" "${{COMPREPLY[@]}}"'
    result = set(shell("bash", "-c", script, folder=scripts).split())
    if words[1] == "upscale":  # an argument without a dash is left to the shell
        assert result == set() and "complete -o default -F _multigen multigen" in (scripts / "bash").read_text()
    else:
        assert result == expected


def test_bash_completes_in_a_terminal(scripts: Path) -> None:
    """Words and tabulators are typed; where one word fits it is filled in."""
    import pty  # none on Windows

    write_script("bash", scripts)
    shell, terminal = pty.openpty()
    environment = {**os.environ, "HOME": str(scripts), "TERM": "dumb", "PS1": ""}
    words = ["bash", "--norc", "--noprofile", "-i"]
    steps = (b"source ./bash; echo rea''dy\n", b"ready"), (b"multigen ups\tpict\t", b"upscale picture.png")
    steps = (*steps, (b"\x15multigen trai\tspec\tla\t--dat\tpict\t", b"train specgan laptop --data picture.png"))
    with subprocess.Popen(
        words, cwd=scripts, stdin=terminal, stdout=terminal, stderr=terminal, env=environment, start_new_session=True
    ) as process:
        try:
            for keys, expected in steps:
                os.write(shell, keys)
                seen = b""
                while expected not in seen:
                    assert select.select([shell], [], [], 60)[0], seen
                    seen += os.read(shell, 65536)
        finally:
            process.kill()  # it would be waited for
    os.close(terminal)
    os.close(shell)


@pytest.mark.parametrize(("line", "expected"), CASES)
def test_fish_completes(line: str, expected: set[str], scripts: Path) -> None:
    printed = shell("fish", "--no-config", "-c", f"source ./fish; complete -C '{line}'", folder=scripts)
    assert {result.split("\t")[0] for result in printed.splitlines()} == expected


def test_zsh_completes(scripts: Path) -> None:
    """A shell of its own is given words and tabulators; where one word fits it is filled in."""
    drive = """
        zmodload zsh/zpty
        zpty shell zsh -f -i
        zpty -w shell 'PS1=; fpath=($PWD $fpath); autoload -Uz compinit; compinit -u -D; echo rea""dy'
        zpty -r shell seen '*ready*'
        zpty -w -n shell $'multigen trai\\tspe\\tla\\t--data pict\\t'
        zpty -r shell seen '*picture.png*'
        print -r -- $seen
    """
    printed = shell("zsh", "-f", "-c", drive, folder=scripts)
    words = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]|.\x08|\r|\n", "", printed).split()
    assert [word for word in ("train", "specgan", "laptop", "--data", "picture.png") if word not in words] == [], words


def test_completion_knows_options_that_methods_have(scripts: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flags = {f"--{field.name.replace('_', '-')}" for field in fields(Training)} - {"--start"} | {"--from"}
    write_script("bash", scripts)
    assert all(f"'{flag}'" in (scripts / "bash").read_text() for flag in (*flags, "--truncation", "-n"))
    for name in BASES.values():
        with pytest.raises(SystemExit):
            parse(["--help"], name, import_module(METHODS[name].module).PRESETS)
        assert flags <= set(re.findall(r"--?[a-z][a-z-]*", capsys.readouterr().out)), name
