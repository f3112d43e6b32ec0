"""`report.html`: what it says of runs that finished, died or left little, and that nothing in it
reaches outside."""

import json
import math
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from PIL import Image

from multigen.config import write_toml
from multigen.errors import ConfigError, DataError
from multigen.runs.report import words, write_report
from multigen.runs.report.media import preview_steps, show
from multigen.runs.report.table import best_of, definitions
from multigen.storage.files import with_checksum
from multigen.version import __version__
from tests.tiny import multigen, pixels, recipe, trained

HOSTILE = '"><script>alert(1)</script><img src=http://example.org/x onerror=alert(2)>'
VOID = {"meta", "link", "img", "br", "wbr", "path", "circle"}


class Page(HTMLParser):
    """Tags with their attributes, text, and whether all that was opened was closed."""

    def __init__(self, path: Path):
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.source = path.read_text(encoding="utf-8")
        self.feed(self.source)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attrs for name, attrs in self.tags if name == tag]


def assert_closed(page: Page) -> None:
    """Nothing runs, nothing is fetched."""
    assert page.all("script") == page.all("iframe") == page.all("base") == []
    for tag, attrs in page.tags:
        assert not [name for name in attrs if name.startswith("on")]
        for name in ("src", "href", "srcset", "poster", "action", "data"):
            value = attrs.get(name) or ""
            assert value.startswith("data:") or re.fullmatch(r"(seed-\d+/report\.html)?", value), (tag, value)
    policy = next(m["content"] for m in page.all("meta") if m.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None and policy.startswith("default-src 'none'; ")
    assert "url(" not in page.source and "@import" not in page.source


def write_lines(path: Path, lines: list[dict[str, Any]], torn: str = "") -> None:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines) + torn)


@pytest.fixture
def killed(tmp_path: Path) -> Path:
    """What a run that was killed at step 40 of its second stage leaves, with a torn last line."""
    run = tmp_path / "a run"
    (run / "previews").mkdir(parents=True)
    config = {"data": HOSTILE, "latent": 8, "lr": [1e-3, 1e-4], "steps": 90}
    title = "DCGAN: pictures by convolutions. Radford et al. 2016"
    about = {"version": __version__, "method": "dcgan", "title": title, "task": "image-synthesis"}
    table = {**about, "config": config, "run": {"seed": 7}}
    write_toml(run / "config.toml", table)
    lines: list[dict[str, Any]] = [
        {"step": s, "stage": "pretrain", "generator/pixel": 1 / s, "items_per_second": 50.0} for s in range(1, 21)
    ]
    for s in range(21, 41):
        loss = math.nan if s == 30 else 2.0
        lines.append({"step": s, "stage": "adversarial", "critic/loss": loss, "critic/r1": 0.001, "dropped": 3.0})
        if s % 10 == 0:
            lines.append({"step": s, "validation": {"fd": {30: 4.0, 40: 6.0}[s]}})
    lines.append({"step": 35, "control": "lr", "value": 0.5, "reason": "update 'critic': not finite at step 35"})
    lines.append({"step": 30, "control": "rule", "value": 1.0, "reason": "D wins", "rollback": 36})
    write_lines(run / "metrics.jsonl", lines, '{"step": 41, "stage": "adv')
    checkpoint = run / "checkpoints" / "step-000000030"
    checkpoint.mkdir(parents=True)
    held = {"seconds": 130.0, "best_step/adversarial": 30, "best_value/adversarial": 4.0, "stopped/pretrain": 20}
    (checkpoint / "run.json").write_bytes(with_checksum({"step": 30, "state": held}))
    for step in range(5, 45, 5):
        Image.fromarray(pixels(16, 16, seed=step)).save(run / "previews" / f"step-{step:09d}.png")
    return run


def report(run: Path, presets: Any = None) -> Page:
    page = Page(write_report(run, presets))
    assert_closed(page)
    return page


# -- runs that did not end ---------------------------------------------------------------------------------------


def test_a_killed_run_says_where_it_stands_and_how_to_go_on(killed: Path) -> None:
    page = report(killed)
    assert "Not finished: last activity at step 40 of stage adversarial" in page.text
    assert f"python -m multigen.recipes.dcgan --resume '{killed.resolve()}'" in page.text
    assert "It resumes from step 30, the last checkpoint" in page.text
    assert "There is no model yet" in page.text
    assert "Radford et al. 2016" in page.text
    assert "A run is evaluated at its end" in page.text


def test_warnings_are_gathered(killed: Path) -> None:
    text = report(killed).text
    assert "3 updates were dropped, as their gradients were not finite." in text
    assert "step 35: update 'critic': not finite at step 35" in text
    assert "step 36: D wins; the run was rolled back to step 30" in text
    assert "Stage pretrain ended early, after 20 steps" in text
    assert "Stage adversarial: values that are not finite in critic/loss." in text


def test_the_chosen_validation_is_marked(killed: Path) -> None:
    page = report(killed)
    assert "the model of step 30 was selected, with fd 4 on validation data, the best of 2 validations" in page.text
    assert "the last had 6." in page.text
    assert len([c for c in page.all("circle") if c["class"] == "best"]) == 1


@pytest.mark.parametrize(
    ("values", "best", "said"),
    [
        ([5.0, 4.0, 3.0], 3, ", and the last of them: longer training may help."),
        ([5.0, 4.0], 2, "."),
        ([5.0, 3.0, 4.0, 6.0], 2, "; the last had 6."),
        (
            [5.0, 3.0, 4.0, 6.0, 3.5],
            2,
            "; the 3 after it were no better (the last 3.5): longer training would hardly help.",
        ),
    ],
)
def test_whether_longer_training_may_help(values: list[float], best: int, said: str) -> None:
    assert words._when_to_stop(list(enumerate(values, 1)), best) == said


def test_what_a_user_wrote_is_text_only(killed: Path) -> None:
    rows = {HOSTILE: {HOSTILE: 1.0}, "adversarial/last": {HOSTILE: 2.0}}
    evaluation = {"rows": rows, "definitions": {HOSTILE: HOSTILE}, "remarks": {"verdict" + HOSTILE: HOSTILE}}
    (killed / "evaluation.json").write_text(json.dumps({**evaluation, "steps": {HOSTILE: 1}, "command": HOSTILE}))
    write_lines(killed / "log.jsonl", [{"time": HOSTILE, "step": 0, "said": HOSTILE}])
    (killed / f"{HOSTILE.replace('/', '_')}.txt").write_text(HOSTILE)
    lines = [{"step": 1, "stage": HOSTILE, f"{HOSTILE}/{HOSTILE}": 1.0}, {"step": 1, "validation": {HOSTILE: 1.0}}]
    write_lines(killed / "metrics.jsonl", lines)
    page = report(killed)
    assert len(page.all("img")) == 6
    assert page.text.count("<script>alert(1)</script>") > 8


def test_a_folder_with_a_configuration_alone_has_a_report(tmp_path: Path) -> None:
    write_toml(tmp_path / "config.toml", {"version": __version__, "method": "mine", "config": {"steps": 1}, "run": {}})
    page = report(tmp_path)
    assert "at step 0" in page.text and "the beginning; no checkpoint yet" in page.text
    assert "Samples" not in page.text and "Curves" not in page.text


def test_no_run_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ConfigError, match="holds no run"):
        write_report(tmp_path)
    assert multigen(["report", tmp_path]) == 2
    assert "holds no run" in capsys.readouterr().err


def test_a_file_that_cannot_be_written_is_an_error(killed: Path) -> None:
    (killed / "file").write_text("")
    with pytest.raises(DataError, match="give another file for --out"):
        write_report(killed, out=killed / "file" / "report.html")


# -- runs that ended ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained(tmp_path_factory.mktemp("report"), "--log-every", "1")


def test_every_run_has_a_report(run: Path) -> None:
    page = Page(run / "report.html")
    assert_closed(page)
    assert "Finished after 6 steps" in page.text and "Ledig et al. 2017" in page.text
    assert "nearest preset tiny" in page.text
    assert f"multigen upscale photo.jpg --model {run.resolve()}" in page.text
    assert "learning rate" in page.text and "bicubic" in page.text
    assert len(page.all("img")) == 3  # comparison.png and two previews
    assert "step 4" in page.text


def test_the_log_says_when_where_and_how_it_ended(run: Path) -> None:
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    assert lines[0]["began"].keys() == {"command", "commit", "machine", "steps"}
    assert lines[0]["began"]["steps"] == {"pretrain": 4, "adversarial": 2}
    rates = [line for line in lines if "rates" in line]
    assert rates[0]["step"] == 1 and rates[0]["rates"].keys() == {"G"}
    assert rates[-1]["rates"].keys() == {"G", "D"}
    assert lines[-1]["finished"] is True and lines[-1]["step"] == 6


def test_a_run_that_ends_by_an_error_has_a_report_too(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from multigen.image.restoration.srgan import SRGANTrainer

    def broken(self: Any) -> None:
        raise DataError("the test pictures <are> gone")

    monkeypatch.setattr(SRGANTrainer, "score", broken)
    copy = tmp_path / "copy"
    shutil.copytree(run, copy)
    assert recipe(["--resume", copy]) == 2
    page = Page(copy / "report.html")
    assert_closed(page)
    assert "DataError: the test pictures <are> gone" in page.text
    assert "Stopped at step 6" in page.text and "Measured before the run was resumed" in page.text


def test_what_is_said_before_a_run_has_a_folder_is_kept(run: Path, tmp_path: Path) -> None:
    words = ["tiny", "--config", run / "config.toml", "--from", run, "--pretrain-steps", "0", "--steps", "1"]
    assert recipe([*words, "--out", tmp_path / "tuned"]) == 0
    page = Page(tmp_path / "tuned" / "report.html")
    assert f"starting from {run / 'model'}" in page.text


def test_the_verb_writes_it_elsewhere(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert multigen(["report", run, "--out", tmp_path / "deep" / "page.html"]) == 0
    assert Page(tmp_path / "deep" / "page.html").text == Page(run / "report.html").text
    assert "page.html written" in capsys.readouterr().out


def test_settings_that_differ_from_the_nearest_preset_are_marked(killed: Path) -> None:
    presets = {"near": {"latent": 9, "steps": 90}, "far": {"latent": 9, "steps": 91}}
    page = report(killed, presets)
    assert "nearest preset near, 1 settings differ" in page.text
    assert "in the preset 9" in page.text


def test_seeds_have_one_above_them(killed: Path, tmp_path: Path) -> None:
    above = tmp_path / "several"
    for seed in (1, 2):
        shutil.copytree(killed, above / f"seed-{seed}")
    rows = {"adversarial/last": {"fd": 3.5, "fd_std": 0.25}, "noise": {"fd": 9.0, "fd_std": 0.0}}
    (above / "evaluation.json").write_text(json.dumps({"rows": rows, "seeds": [1, 2], "steps": {"adversarial": 90}}))
    page = report(above)
    assert [a["href"] for a in page.all("a")] == ["seed-1/report.html", "seed-2/report.html"]
    assert "3.500 ± 0.250" in page.text and "fd_std" not in page.text
    assert "seed-1: 3 updates dropped" in page.text


def test_of_seeds_the_one_that_has_not_ended_is_named(killed: Path, tmp_path: Path) -> None:
    above = tmp_path / "several"
    for seed in (1, 2):
        shutil.copytree(killed, above / f"seed-{seed}")
    ended = {"time": "2026-01-31T12:00:00", "step": 90, "finished": True}
    write_lines(above / "seed-1" / "log.jsonl", [ended])
    page = report(above)
    assert "seed-2:Not finished: last activity at step 40 of stage adversarial" in page.text
    assert f"--resume '{(above / 'seed-2').resolve()}'" in page.text or f"--resume {above / 'seed-2'}" in page.text
    write_lines(above / "seed-2" / "log.jsonl", [ended])
    assert "Finished after 80 steps in 260 s" in report(above).text.replace("4 min", "260 s")


@pytest.mark.parametrize(
    ("command", "file"),
    [
        ("python path/my_gan.py tiny", "path/my_gan.py"),
        ("python -m my_gan tiny", "my_gan.py"),
        ("", "my_gan.py"),
    ],
)
def test_a_run_of_a_file_of_ones_own_names_it(killed: Path, command: str, file: str) -> None:
    about = {"version": __version__, "method": "my_gan", "title": "DCGAN: changed", "task": "audio-synthesis"}
    table = {**about, "config": {"latent": 8}, "run": {}}
    write_toml(killed / "config.toml", table)
    write_lines(killed / "log.jsonl", [{"time": "", "step": 0, "began": {"command": command}}])
    assert f"\npython {file} --resume " in "\n" + report(killed).text.replace("resume it with:", "\n")
    (killed / "model").mkdir()
    (killed / "model" / "config.json").write_text("{}")
    page = report(killed)
    assert f"--code {file} -n 16" in page.text and f'code="{file}"' in page.text
    folder = killed.resolve()
    assert f"python {file} --config '{folder / 'config.toml'}' --from '{folder}' --data" in page.text
    assert (
        "<h1>my_gan</h1>" in page.source and "DCGAN: changed" in page.text
    )  # its own name, though copied from another's


def test_a_run_of_an_older_version_says_how_its_model_is_used_wherever_that_stands(killed: Path) -> None:
    write_toml(killed / "config.toml", {"recipe": "wavegan", "config": {"latent": 8}, "run": {}})
    (killed / ".model.old").mkdir()  # put aside by a process that was about to replace it
    (killed / ".model.old" / "config.json").write_text("{}")
    page = report(killed)
    assert "multigen sample --model" in page.text and "at model.rate Hz" in page.text


@pytest.mark.parametrize(
    "record",
    [
        {"rows": 3, "seeds": 1, "steps": [], "definitions": "none", "seconds": "long", "date": {}},
        {"rows": {"adversarial/last": {"fd": [], "kd": 10**400}, "real": 1}, "seeds": [0], "remarks": 2},
    ],
)
def test_a_damaged_evaluation_is_shown_as_far_as_it_goes(killed: Path, record: dict[str, Any]) -> None:
    (killed / "evaluation.json").write_text(json.dumps(record))
    with (killed / "log.jsonl").open("ab") as log:
        log.write(b'{"step": 1, "time": {}, "said": "x"}\n\xff\n' + b"[" * 100_000 + b"\n")
    (killed / "checkpoints" / "step-000000030" / "run.json").write_text('{"state": 3}')
    assert report(killed).all("h1")


# -- parts -------------------------------------------------------------------------------------------------------


def test_links_are_not_followed(killed: Path, tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_text("my secret")
    (killed / "samples.txt").symlink_to(tmp_path / "secret.txt")
    (killed / "previews" / "step-000000050.txt").symlink_to(tmp_path / "secret.txt")
    page = report(killed)
    assert "my secret" not in page.text and "step 40" in page.text


def test_a_picture_too_large_to_open_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.fromarray(pixels(64, 64)).save(tmp_path / "p.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    assert show(tmp_path / "p.png", "a").startswith('<p class="muted">p.png cannot be read')


def test_previews_are_few_with_the_first_and_the_last(killed: Path) -> None:
    assert list(preview_steps(killed)) == [5, 10, 20, 25, 35, 40]


def test_a_sound_is_a_player_and_a_torn_picture_is_named(tmp_path: Path) -> None:
    for rate, kind in ((8000, "audio/mpeg"), (7000, "audio/ogg")):
        soundfile.write(tmp_path / "s.wav", 0.5 * np.sin(np.arange(2 * rate) / 5), rate)
        shown = show(tmp_path / "s.wav", "a")
        assert shown.startswith("<audio controls") and f'src="data:{kind};base64,' in shown
        assert len(shown) < 2 * rate * 2
    (tmp_path / "p.png").write_bytes(b"\x89PNG no picture")
    (tmp_path / "q.wav").write_bytes(b"RIFF no sound")
    for name in ("p.png", "q.wav", "missing.txt"):
        assert show(tmp_path / name, "a").startswith(f'<p class="muted">{name} cannot be read')


def test_large_pictures_are_made_small_and_tiny_ones_stay_crisp(tmp_path: Path) -> None:
    Image.fromarray(pixels(300, 2100)).save(tmp_path / "large.png")
    large = show(tmp_path / "large.png", "a")
    assert 'width="1400" height="200"' in large and "image/webp" in large
    assert len(large) < (tmp_path / "large.png").stat().st_size / 4
    Image.fromarray(pixels(16, 16)).save(tmp_path / "small.png")
    small = show(tmp_path / "small.png", "a")
    assert 'class="crisp"' in small and "image/png" in small


def test_no_best_is_claimed_where_a_baseline_is_better_or_nothing_differs() -> None:
    def marked(metric: str, best: float, last: float, **others: float) -> list[str]:
        rows = {"s/best": {metric: best}, "s/last": {metric: last}, "s/best at 0.7": {metric: 0.0}}
        return best_of({**rows, **{n: {metric: v} for n, v in others.items()}}, metric)

    assert marked("fd_x", 1.0, 2.0, real=0.1, noise=9.0) == ["s/best"]
    assert marked("is_x", 2.0, 1.0, real=1.5, real_training=9.0) == ["s/best"]
    assert marked("Set5/psnr_y", 1.0, 2.0, bicubic=1.5) == ["s/last"]
    assert marked("Set5/psnr_y", 1.0, 2.0, bicubic=2.0) == []
    assert marked("ungrammatical", 0.1, 0.2) == ["s/best"] == marked("grammatical", 0.9, 0.8)
    assert marked("fd_x", 1.0, 1.0) == marked("variety", 1.0, 2.0) == []


def test_clauses_that_definitions_share_stand_once() -> None:
    texts = {name: f"what {name} is; the same features" for name in "abc"} | {"d": "what d is"}
    html = definitions(texts)
    assert html.count("the same features") == 1
    assert "what a is *" in html and "what d is<" in html
