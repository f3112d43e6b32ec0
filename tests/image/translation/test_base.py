"""The base trainer of image translation: directions, baselines, evaluation, previews, loading."""

import gc
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor

import multigen
from multigen.engine import Run
from multigen.engine.batches import Stream
from multigen.image.translation.domains import DomainSet
from multigen.image.translation.pix2pix import PRESETS, Pix2PixTrainer
from multigen.metrics.names import trained
from tests import tiny
from tests.image.translation.test_pix2pix import step_of

SMALL: dict[str, Any] = {
    **{
        "size": 24,
        "crop": 16,
        "width": 4,
        "halvings": 2,
        "discriminator_width": 4,
        "batch": 2,
        "l1_steps": 1,
        "steps": 2,
    },
    "validation_size": 2,
}


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.photos(tmp_path_factory.mktemp("base") / "photos", count=20, side=24)


def trainer_of(photos: Path, out: Path | str = "", **changes: Any) -> Pix2PixTrainer:
    config = replace(PRESETS["tiny"], data=str(photos), **{**SMALL, **changes})
    run = Run(device="cpu", precision="fp32", out=str(out), validate_every=1, preview_every=1)
    return Pix2PixTrainer(config, run)


@pytest.fixture(scope="module")
def run(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that is evaluated."""
    trainer = trainer_of(photos, tmp_path_factory.mktemp("runs") / "colours").fit()
    trainer.evaluate()
    return trainer.folder


def test_a_run_measures_baselines_and_both_stages(run: Path) -> None:
    rows = json.loads((run / "evaluation.json").read_text())["rows"]
    assert [*rows] == ["input", "moments", "l1/last", "adversarial/last", "adversarial/best"]
    assert [row for row in rows if trained(row)] == [*rows][2:]
    assert rows["input"]["test/saturation"] == 0 < rows["moments"]["test/saturation"]
    metrics = {f"test/{m}" for m in ("psnr", "ssim", "chroma_error", "saturation", "efficientnet_lite0")}
    assert all(row.keys() == metrics for row in rows.values())
    says = json.loads((run / "evaluation.json").read_text())["definitions"]
    assert {f"test/{m}" for m in says} == metrics and "noisy" not in says["psnr"]


def test_previews_and_the_comparison_show_the_truth(run: Path) -> None:
    names = sorted(path.name for path in (run / "previews").iterdir())
    assert names and all(name.startswith("step-") for name in names)
    with Image.open(run / "previews" / names[-1]) as preview, Image.open(run / "comparison.png") as comparison:
        column = preview.width // 3  # A, B(A), truth
        assert comparison.width == 5 * column and comparison.height == preview.height  # A is the row input


@pytest.mark.parametrize(
    ("count", "shown"), [(5, [0, 1, 2, 3, 4]), (6, [0, 1, 2, 3, 4, 5]), (736, [0, 122, 245, 368, 490, 613])]
)
def test_the_comparison_shows_images_from_all_over_the_set(
    photos: Path, tmp_path: Path, count: int, shown: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    images = [torch.tensor(i) for i in range(count)]
    columns: dict[str, Sequence[Tensor]] = {}
    monkeypatch.setattr(Pix2PixTrainer, "_write", lambda _, given, __: columns.update(given))
    trainer_of(photos).compare({"made": lambda x: x + 1000}, DomainSet("test", (), images, images), tmp_path)
    assert [x.item() - 1000 for x in columns["made"]] == [x.item() for x in columns["truth"]] == shown


def test_the_checkpoint_is_chosen_by_a_distance_that_no_loss_uses(run: Path) -> None:
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    values = [line["validation"] for line in lines if "validation" in line]
    assert {"psnr", "efficientnet_lite0", "chroma_error", "saturation"} <= values[-1].keys()


def test_a_loaded_model_is_the_one_that_was_chosen(run: Path) -> None:
    model = multigen.load(run, device="cpu")
    image = torch.from_numpy(tiny.pixels(13, 18)).permute(2, 0, 1)
    assert model.task == "image-translation" and model.translate(image).shape == (3, 13, 18)
    assert [p.name for p in sorted((run / "model").glob("*.safetensors"))] == ["G.safetensors"]
    assert "translates images to another domain" in repr(model)


def test_the_direction_says_what_is_given_and_what_is_wanted(photos: Path) -> None:
    for direction, (given, expected) in {"AB": "AB", "BA": "BA"}.items():
        trainer = trainer_of(photos, direction=direction)
        trainer.prepare()
        batch = Stream(trainer.data, 2, slice(0, 2), ("x",)).at(0)
        first, second = (trainer.domain(name, batch, step_of()) for name in (given, expected))
        a, b = trainer.pair(batch, step_of())
        assert torch.equal(a, first) and torch.equal(b, second) and not torch.equal(a, b)
        items = trainer.seen_from(trainer.tests[0], trainer.config.direction)
        assert items.name == trainer.tests[0].name
        (one,) = {tuple(x.flatten().tolist()) for x in items.inputs[:1]} & {
            tuple(x.flatten().tolist())
            for x in (trainer.tests[0].inputs if direction == "AB" else trainer.tests[0].targets)
        }
        assert one
    turned = trainer.seen_from(trainer.tests[0], "AB")
    assert turned.name == f"{trainer.tests[0].name}-AB"


def test_moments_are_those_of_the_other_domain(photos: Path) -> None:
    trainer = trainer_of(photos)
    trainer.prepare()
    matched = trainer.baselines("AB")["moments"]
    images = torch.cat([x.flatten(1) for x in trainer.domains.train.b], dim=1).double()
    noise = torch.randint(100, 160, (3, 64, 64), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    made = matched(noise).double().flatten(1)
    assert torch.allclose(made.mean(1), images.mean(1), atol=6) and torch.allclose(
        made.std(1), images.std(1), rtol=0.15
    )
    assert matched(torch.zeros(3, 4, 4, dtype=torch.uint8)).shape == (3, 4, 4)


def test_moments_take_the_memory_of_one_image(photos: Path) -> None:
    trainer = trainer_of(photos)
    trainer.prepare()
    side, most = 61, []

    class Large(Sequence[Tensor]):
        """Says at each image how many others there are as floating-point numbers."""

        def __len__(self) -> int:
            return 5

        def __getitem__(self, index: Any) -> Any:
            alive = [x for x in gc.get_objects() if type(x) is Tensor and x.is_floating_point()]
            most.append(sum(x.numel() == 3 * side**2 for x in alive))
            return torch.full((3, side, side), 40 * index, dtype=torch.uint8)

    trainer.domains.train.b = Large()
    matched = trainer.baselines("AB")["moments"]
    assert len(most) == 5 and max(most) <= 1
    noise = torch.from_numpy(tiny.pixels(64, 64)).permute(2, 0, 1)
    made = matched(noise).double().flatten(1)
    assert made.mean(1).tolist() == pytest.approx([80] * 3, abs=4)  # of 0, 40, ..., 160
    assert made.std(1).tolist() == pytest.approx([40 * 2**0.5] * 3, rel=0.1)


def test_running_averages_are_of_the_generator(photos: Path) -> None:
    assert trainer_of(photos, ema=0.5).averaged() == {"G": 0.5} and trainer_of(photos).averaged() == {}


def test_without_validation_images_the_last_checkpoint_is_taken(photos: Path) -> None:
    trainer = trainer_of(photos, validation_size=0)
    trainer.prepare()
    assert trainer.validation is None and trainer.best("psnr") is None and trainer.validate({}) == {}


def test_rates_fall_in_the_second_half(photos: Path) -> None:
    rate: Any = trainer_of(photos, lr=0.2).rate()
    assert [rate(x) for x in (0.0, 0.5, 0.75, 1.0)] == pytest.approx([0.2, 0.2, 0.1, 0.0])


def test_there_and_back(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model of both directions is shown as A, B(A), A(B(A)), and measured in both."""
    trainer = trainer_of(photos)
    trainer.prepare()

    class Both:
        networks = ("AB", "BA")

        def turned(self, way: str) -> Any:
            return {"AB": lambda image: image // 2, "BA": lambda image: image * 2}[way]

    shown: dict[str, list[Tensor]] = {}
    monkeypatch.setattr(trainer, "_write", lambda columns, path: shown.update(columns))
    items = trainer.seen_from(trainer.tests[0], "AB")
    trainer.show(Both(), replace(items, paired=False), tmp_path / "x")
    assert [*shown] == ["A", "B(A)", "A(B(A))"]
    assert torch.equal(shown["A(B(A))"][0], items.inputs[0] // 2 * 2)
    trainer.show(Both(), items, tmp_path / "x")
    assert [*shown] == ["A", "B(A)", "A(B(A))", "truth"]
