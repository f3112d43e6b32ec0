"""`multigen compare`: runs side by side, whole or half, of one kind or of several."""

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from PIL import Image

import multigen
from multigen.audio import WaveGANConfig, WaveGANTrainer
from multigen.audio.files import read_sound
from multigen.cli.cp import copy_of
from multigen.config import Run, to_table, write_toml
from multigen.errors import CheckpointError, ConfigError
from multigen.image import DCGANConfig, DCGANTrainer, SRGANConfig, SRGANTrainer
from multigen.image.synthesis.base import ImageInfo
from multigen.image.synthesis.sampler import to_pictures
from multigen.runs.comparison import compare, read_runs
from multigen.runs.comparison.samples import stacked
from multigen.storage.files import with_checksum
from multigen.storage.model_folder import write_model
from multigen.storage.provenance import read
from multigen.text.datasets import TextInfo
from multigen.text.synthesis import seqgan
from tests import tiny

IMAGES = DCGANConfig(size=16, width=2, latent=3)
SOUNDS = WaveGANConfig(length=1024, latent=4, width=2, labels="none")
TEXTS = replace(seqgan.PRESETS["tiny"], data="oracle", length=6)
PHOTOS = SRGANConfig(blocks=1, width=4)
GREY = ImageInfo(channels=1)
COLOUR = ImageInfo(channels=3)


def weights_of(method: str, config: Any, info: ImageInfo) -> dict[str, torch.Tensor]:
    """Of an untrained generator."""
    match method:
        case "seqgan":
            texts = seqgan.SeqGANTrainer(config)
            texts.data_info = TextInfo(tokens=9)
            return texts.generator().state_dict()
        case "srgan":
            return SRGANTrainer(config).generator().state_dict()
        case "wavegan":
            return WaveGANTrainer(config).generator().state_dict()
    trainer = DCGANTrainer(config)
    trainer.data_info = info
    return trainer.generator().state_dict()


def run(
    folder: Path,
    config: Any,
    rows: Any = None,
    method: str = "dcgan",
    model: bool = True,
    info: ImageInfo = GREY,
    **more: Any,
) -> Path:
    """A run's folder with curves of its own, an evaluation if `rows` are given, and an untrained
    model."""
    folder.mkdir(parents=True)
    seed = len(folder.name)
    write_toml(folder / "config.toml", {"method": method, "config": to_table(config), "run": to_table(Run(seed=seed))})
    lines = [{"step": i, "stage": "adversarial", "loss": seed / i, f"of_{method}": i} for i in range(1, 11)]
    (folder / "metrics.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    if rows is not None:
        definitions = {"fd_logmel": "a distance; 100 samples", "psnr_y": "dB", "odd": "neither"}
        record = {"commit": "0" * 40 + "+changes", "machine": "one", "seconds": 9.5, "definitions": definitions}
        (folder / "evaluation.json").write_text(json.dumps({**record, "rows": rows, **more}))
    if model:
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            weights = {"G": weights_of(method, config, info)}
        data = to_table(info) if isinstance(config, DCGANConfig) else {"tokens": 9} if method == "seqgan" else {}
        write_model(folder / "model", method, to_table(config), weights, {}, data)
    return folder


def figures(runs: list[Path]) -> dict[tuple[str, str], dict[str, Any]]:
    return {(f["row"], f["metric"]): f for f in compare(read_runs([str(r) for r in runs]))["figures"]}


# -- what differs ------------------------------------------------------------------------------------------------


def test_only_differences_are_reported(tmp_path: Path) -> None:
    one = run(tmp_path / "x" / "one", IMAGES, {})
    three = run(tmp_path / "x" / "three", replace(IMAGES, lr=(1e-3, 1e-4), steps=7), {})
    result = compare(read_runs([str(one), str(three)]))
    assert result["config"] == {"lr": [[2e-4, 2e-4], [1e-3, 1e-4]], "steps": [IMAGES.steps, 7]}
    assert result["run"] == {"seed": [3, 5]}
    assert result["last"] == {"loss": [0.3, 0.5], "of_dcgan": [10.0, 10.0]}
    about = result["runs"][1]
    assert (about["name"], about["method"], about["state"], about["step"]) == ("three", "dcgan", "finished", 10)
    assert (about["seconds"], about["machine"], about["commit"]) == (9.5, "one", "0" * 40 + "+changes")


def test_figures_stand_side_by_side_with_their_verdict(tmp_path: Path) -> None:
    rows = {
        "real": {"fd_logmel": 1.0},
        "adversarial/last": {"fd_logmel": 9.0, "set/psnr_y": 20.0, "odd": 1.0, "odd_std": 0.1},
    }
    other = {
        "real": {"fd_logmel": 1.5},
        "adversarial/last": {"fd_logmel": 7.5, "set/psnr_y": 19.0, "odd": 2.0},
        "adversarial/best": {"odd": 1},
    }
    result = figures([run(tmp_path / "a", IMAGES, rows), run(tmp_path / "bb", IMAGES, other)])
    assert result.keys() == {
        (r, m) for r, m in [("real", "fd_logmel"), *(("adversarial/last", m) for m in other["adversarial/last"])]
    }
    lower = result["adversarial/last", "fd_logmel"]
    assert lower["values"] == [9.0, 7.5] and lower["difference"] == [None, -1.5] and lower["verdict"] == ["", "better"]
    assert result["adversarial/last", "set/psnr_y"]["verdict"] == ["", "worse"]
    assert result["adversarial/last", "odd"]["verdict"] == ["", ""]  # neither more nor less is better
    assert result["real", "fd_logmel"]["verdict"] == ["", ""]  # it measures no model


def test_nothing_is_better_that_was_measured_otherwise(tmp_path: Path) -> None:
    rows = {"adversarial/last": {"fd_logmel": 9.0, "psnr_y": 20.0}}
    definitions = {"fd_logmel": "a distance; 200 samples", "psnr_y": "dB"}
    a, b = run(tmp_path / "a", IMAGES, rows), run(tmp_path / "b", IMAGES, rows, definitions=definitions)
    c = run(tmp_path / "c", replace(IMAGES, data="mnist"), {"adversarial/last": {"fd_logmel": 1.0}})
    result = figures([a, b, c])
    assert result["adversarial/last", "fd_logmel"]["verdict"] == ["", "other definitions", "other data"]
    assert result["adversarial/last", "psnr_y"]["values"] == [20.0, 20.0, None]
    record = compare(read_runs([str(a), str(b), str(c)]))
    assert record["definitions"] == {"fd_logmel": ["100 samples", "200 samples", "100 samples"]}


def test_what_is_no_number_is_neither_better_nor_worse(tmp_path: Path) -> None:
    rows = [{"adversarial/last": {"fd_logmel": value}} for value in (float("nan"), 1.0)]
    result = figures([run(tmp_path / f"r{i}", IMAGES, r) for i, r in enumerate(rows)])["adversarial/last", "fd_logmel"]
    assert math.isnan(result["values"][0]) and result["values"][1] == 1.0 and result["verdict"] == ["", ""]


def test_a_killed_run_is_compared_up_to_its_last_step(tmp_path: Path) -> None:
    whole, half = (
        run(tmp_path / "whole", IMAGES, {"adversarial/last": {"odd": 1.0}}),
        run(tmp_path / "half", IMAGES, model=False),
    )
    with (half / "metrics.jsonl").open("a") as file:
        file.write('{"step": 11, "sta')
    (half / "evaluation.json").write_text('{"rows": ')
    (half / "checkpoints" / "step-000000010").mkdir(parents=True)
    (half / "checkpoints" / "step-000000010" / "run.json").write_bytes(with_checksum({"state": {"seconds": 4.25}}))
    began = {"time": "now", "step": 0, "began": {"commit": "c0ffee", "machine": "another"}}
    (half / "log.jsonl").write_text(f"{json.dumps(began)}\n")
    result = compare(read_runs([str(whole), str(half)]))
    assert (result["runs"][1]["commit"], result["runs"][1]["machine"]) == ("c0ffee", "another")
    assert [(r["state"], r["step"], r["seconds"]) for r in result["runs"]] == [
        ("finished", 10, 9.5),
        ("unfinished", 10, 4.2),
    ]
    assert result["figures"] == [] and result["last"]["loss"] == [0.5, 0.4]


def test_of_a_folder_of_runs_the_newest_is_taken(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a, b = run(tmp_path / "many" / "a", IMAGES), run(tmp_path / "b", IMAGES)
    (a / "checkpoints").mkdir()
    assert [*read_runs([str(tmp_path / "many"), str(b)])] == ["many/a", "b"]
    assert "using the newest run" in capsys.readouterr().err


def test_what_is_no_pair_of_runs_is_named(tmp_path: Path) -> None:
    a = str(run(tmp_path / "a", IMAGES))
    for places in ([a], [a, f"{a}/../a"]):
        with pytest.raises(ConfigError, match="expected two different runs or more"):
            read_runs(places)
    with pytest.raises(CheckpointError, match="nowhere is not a folder"):
        read_runs([a, str(tmp_path / "nowhere")])


# -- the command -------------------------------------------------------------------------------------------------


def test_images_are_laid_side_by_side(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = {"adversarial/last": {"odd": 1.0}, "adversarial/last at 0.7": {"odd": 2.0}}
    a = run(tmp_path / "a", IMAGES, rows)
    b = run(tmp_path / "bb", replace(IMAGES, size=32), rows, info=COLOUR)
    out = tmp_path / "out"
    assert tiny.multigen(["compare", a, b, "-n", "3", "--seed", "5", "--out", out]) == 0
    printed = capsys.readouterr().out
    assert sorted(p.name for p in out.iterdir()) == ["compare.json", "compare.png", "image-synthesis.png"]
    assert (
        "settings that differ" in printed
        and "0000000000+changes" in printed
        and f"{out / 'image-synthesis.png'}" in printed
    )
    assert (
        "adversarial/last odd" in printed
        and "at 0.7" not in printed
        and "1 value at other temperatures or truncations" in printed
    )
    by = {"software": f"multigen {multigen.__version__}", "model": ["a", "bb"], "method": ["dcgan", "dcgan"]}
    assert read(out / "compare.png") == by and read(out / "image-synthesis.png") == {**by, "seed": 5}
    with Image.open(out / "image-synthesis.png") as sheet:
        pixels = np.asarray(sheet)
    for top, zoom, folder in ((18, 4, a), (18 + 64 + 6 + 18, 2, b)):
        first = to_pictures(multigen.load(str(folder)).sample(1, seed=5))[0].convert("RGB")
        expected = np.asarray(first.resize((64, 64), Image.Resampling.NEAREST))
        assert zoom == 64 // first.height
        assert np.array_equal(pixels[top : top + 64, :64], expected)


def test_what_differs_stands_in_columns(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [{"adversarial/last": {"fd_logmel": value}} for value in (9.0, 7.25)]
    other = replace(IMAGES, data="digits", lr=(1e-3, 1e-4), steps=12345, test="x" * 40)
    a, b = run(tmp_path / "a", replace(other, lr=(2e-4, 2e-4), steps=7), rows[0]), run(tmp_path / "bb", other, rows[1])
    c = run(tmp_path / "c", replace(other, test=""), model=False)
    assert tiny.multigen(["compare", a, b, c, "-n", "1", "--out", tmp_path / "out"]) == 0
    lines = capsys.readouterr().out.splitlines()
    long = f"{'x' * 33}..."
    assert f"test                  {long}  {long}" in lines
    assert f"lr                    {'0.0002 0.0002':<36}  {'0.001 0.0001':<36}  0.001 0.0001" in lines
    assert "adversarial/last fd_logmel  9  7.25  -  -1.75 better      -" in lines


def test_json_is_all_that_is_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a, b = run(tmp_path / "a", IMAGES, {}), run(tmp_path / "b", IMAGES, {})
    assert tiny.multigen(["compare", a, b, "-n", "1", "--json", "--out", tmp_path / "out"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result == json.loads((tmp_path / "out" / "compare.json").read_text())
    assert result["config"] == {} and result["seed"] == 0 and len(result["said"]) == 2


def test_sounds_are_drawn_and_written(tmp_path: Path) -> None:
    a, b = (run(tmp_path / "x" / name, SOUNDS, method="wavegan") for name in ("a", "bb"))
    out = tmp_path / "out"
    assert tiny.multigen(["compare", a, b, "-n", "2", "--out", out, "--no-provenance"]) == 0
    assert [read(path) for path in sorted(out.rglob("*.[pw]*"))] == [{}] * 6
    assert tiny.multigen(["compare", a, b, "-n", "2", "--out", out]) == 0
    by = {"software": f"multigen {multigen.__version__}", "model": "bb", "method": "wavegan", "seed": 0, "index": 1}
    assert read(out / "audio-synthesis/bb/0001.wav") == by and read(out / "audio-synthesis.png")["model"] == ["a", "bb"]
    files = [p.relative_to(out).as_posix() for p in sorted(out.rglob("*.wav"))]
    assert files == [f"audio-synthesis/{name}/000{i}.wav" for name in ("a", "bb") for i in (0, 1)]
    sound, rate = read_sound(out / "audio-synthesis/bb/0001.wav")[:2]
    assert rate == SOUNDS.rate
    assert torch.allclose(sound, multigen.load(str(b)).sample(2)[1], atol=1e-4)
    with Image.open(out / "audio-synthesis.png") as sheet:
        assert sheet.size == (2 * 160 + 6, 2 * (18 + 96 + 6))


def test_tasks_are_compared_separately_and_incomparable_metrics_are_reported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    places = [
        run(tmp_path / "images", IMAGES),
        run(tmp_path / "texts1", TEXTS, method="seqgan"),
        run(tmp_path / "texts22", TEXTS, method="seqgan"),
        run(tmp_path / "half", SOUNDS, method="wavegan", model=False),
        run(tmp_path / "own", IMAGES, method="my_gan"),
    ]
    (places[3] / "previews").mkdir()
    (places[3] / "previews" / "step-000000005.wav").touch()
    out = tmp_path / "out"
    assert tiny.multigen(["compare", *places, "-n", "2", "--out", out]) == 0
    printed = capsys.readouterr().out
    text = (out / "text-synthesis.txt").read_text()
    expected = [multigen.load(str(place)).generate(n=2) for place in places[1:3]]
    assert text == "".join(
        f"{'' if i == 0 else chr(10)}texts1   {expected[0][i]}\ntexts22  {expected[1][i]}\n" for i in range(2)
    )
    assert expected[0][0] in printed and (out / "image-synthesis.png").exists()
    assert f"half: not finished, so no model and no samples; its last preview is {places[3]}/previews/step-" in printed
    assert "own: no samples:" in printed and "--code my_gan.py" in printed
    assert "image-synthesis, text-synthesis: results of different tasks are not compared with each other" in printed


def test_a_file_of_ones_own_makes_its_samples(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a, b = run(tmp_path / "a", IMAGES), run(tmp_path / "b", IMAGES, method="my_gan")
    file = tmp_path / "my_gan.py"
    file.write_text(copy_of("dcgan", "my_gan.py"), encoding="utf-8")
    words = ["compare", a, b, "-n", "1", "--out", tmp_path / "out"]
    assert tiny.multigen([*words, "--code", file]) == 0
    assert "1 each of a, b under seed 0" in capsys.readouterr().out
    assert tiny.multigen([*words, "--code", tmp_path / "other.py"]) == 2
    assert f"--code {tmp_path / 'other.py'}: none of the runs was made by it" in capsys.readouterr().err


def test_upscalers_are_laid_below_each_other(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    places = [run(tmp_path / name, PHOTOS, method="srgan") for name in ("a", "b")]
    out = tmp_path / "out"
    assert tiny.multigen(["compare", *places, "-n", "2", "--out", out]) == 0
    assert f"2 each of a, b under seed 0: {out / 'super-resolution.png'}" in capsys.readouterr().out
    assert read(out / "super-resolution.png")["model"] == ["a", "b"]
    first, second = (cast(Any, multigen.load(str(place)).sheet(2)) for place in places)
    with Image.open(out / "super-resolution.png") as sheet:
        assert sheet.size == (first.width, 2 * (18 + 6) + first.height + second.height)


def test_a_model_of_both_directions_has_a_row_for_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from multigen.image.translation.pix2pix import PRESETS, Pix2PixTrainer
    from multigen.runs.comparison import samples

    models = {"both": multigen.load(str(tiny.both_ways(tmp_path / "both", "BA")))}
    models["one"] = multigen.load(str(tiny.untrained(tmp_path / "one", Pix2PixTrainer(PRESETS["tiny"]))))
    seen: dict[str, Any] = {}
    monkeypatch.setattr(samples, "stacked", lambda rows: seen.update(rows) or stacked(rows))
    samples._sheets(models, 1, 0, tmp_path / "image-translation", True)
    assert [*seen] == ["both AB", "both BA", "one"]
    for way in ("AB", "BA"):
        assert seen[f"both {way}"].tobytes() == models["both"].turned(way).sheet(1).tobytes()
    assert seen["both AB"].tobytes() != seen["both BA"].tobytes()
    assert read(tmp_path / "image-translation.png")["model"] == ["both", "one"]


def test_errors_are_one_line_and_write_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    a, b = run(tmp_path / "a", IMAGES), run(tmp_path / "b", IMAGES)
    (tmp_path / "file").touch()
    for words, message in [
        ([a], "expected two different runs or more"),
        ([a, b, "-n", "0"], "-n 0: expected 1 to 1,000 samples of each run"),
        ([a, b, "-n", "1000000000000"], "-n 1000000000000: expected 1 to 1,000 samples of each run"),
        (
            [a, b, "--out", tmp_path / "file"],
            f"{tmp_path / 'file'} cannot be written (File exists); give another folder",
        ),
    ]:
        assert tiny.multigen(["compare", *words]) == 2
        error = capsys.readouterr().err
        assert message in error and error.count("\n") == 1
    assert not (tmp_path / "comparison").exists()
