"""CUT: the features that are compared, its losses, its heads in every checkpoint, FastCUT."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import multigen
from multigen.engine import Run
from multigen.engine.batches import Stream
from multigen.engine.plan import Step
from multigen.errors import ConfigError
from multigen.image.translation.cut import PRESETS, CUTConfig, CUTTrainer
from tests import tiny
from tests.engine.toys import Crash, PowerCut, assert_same_runs, options, resumed, saved_files

SMALL: dict[str, Any] = {"size": 0, "crop": 16, "discriminator_layers": 1, "batch": 2}


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.photos(tmp_path_factory.mktemp("cut") / "photos", count=6, side=20)


def configured(photos: Path, **changes: Any) -> CUTConfig:
    return replace(PRESETS["tiny"], data=str(photos), **{**SMALL, **changes})


def prepared(photos: Path, **changes: Any) -> CUTTrainer:
    trainer = CUTTrainer(configured(photos, **changes), Run(device="cpu", precision="fp32"))
    trainer.prepare()
    return trainer


def step_of(index: int = 0, size: int = 2) -> Step:
    key = (0, 0, "adversarial", "generator", index, 0)
    return Step(key, 0.0, slice(0, size), size, torch.device("cpu"), torch.float32, lambda *_: None)


def batch_of(trainer: CUTTrainer) -> dict[str, Tensor]:
    return Stream(trainer.data, 2, slice(0, 2), ("a",)).at(0)


@pytest.mark.parametrize(("blocks", "layers"), [(1, 4), (3, 5), (5, 5), (9, 5)])
def test_the_compared_layers_are_the_papers(photos: Path, blocks: int, layers: int) -> None:
    """Pixels, both halvings, the first block, and the fifth or the last of fewer."""
    trainer = prepared(photos, blocks=blocks, width=4)
    image = torch.rand(2, 3, 16, 16) * 2 - 1
    features = trainer.features(image)
    shapes = [(2, 3, 16, 16), (2, 8, 8, 8), (2, 16, 4, 4), (2, 16, 4, 4), (2, 16, 4, 4)]
    assert [tuple(x.shape) for x in features] == shapes[:layers] and torch.equal(features[0], image)
    x = image
    for layer in trainer.G.encoder[: 3 + min(5, blocks)]:
        x = layer(x)
    assert torch.equal(features[-1], x)
    assert len(trainer.H.heads) == layers
    assert sum(p.numel() for p in trainer.H.parameters()) == sum(
        c * 256 + 256 + 256 * 256 + 256 for c in (3, 8, 16, 16, 16)[:layers]
    )


def test_equal_features_cost_what_their_own_likeness_leaves(photos: Path) -> None:
    trainer = prepared(photos)
    same = [torch.ones(2, c, 4, 4) for c in (3, 8, 16, 16)]
    loss = trainer.contrast(same, same, step_of(), slice(None))  # all patches alike: a guess among 16
    assert loss.item() == pytest.approx(math.log(16), rel=1e-5)


def test_both_halves_of_the_contrast_count_alike(photos: Path) -> None:
    trainer = prepared(photos, nce_weight=3.0)
    batch, step = batch_of(trainer), step_of()
    terms: Any = trainer.generator_loss(batch, step)
    assert set(terms) == {"adversarial", "nce", "nce_identity"}
    given, real = trainer.images(batch, step)
    fake = trainer.G(given)
    logits = trainer.D(fake)
    assert terms["adversarial"].item() == pytest.approx((logits - 1).square().mean().item(), rel=1e-4)
    for name, image in (("nce", given), ("nce_identity", real)):
        query, key = trainer.features(trainer.G(image)), trainer.features(image)
        assert terms[name].item() == pytest.approx(
            1.5 * trainer.contrast(query, key, step, slice(None)).item(), rel=1e-4
        )


def test_keys_teach_nothing(photos: Path) -> None:
    trainer = prepared(photos)
    query = [torch.randn(2, c, 4, 4, requires_grad=True) for c in (3, 8, 16, 16)]
    key = [torch.randn(2, c, 4, 4, requires_grad=True) for c in (3, 8, 16, 16)]
    trainer.contrast(query, key, step_of(), slice(None)).backward()
    assert all(q.grad is not None for q in query) and all(k.grad is None for k in key)


def test_the_same_places_are_compared_in_every_rank_and_micro_batch(photos: Path) -> None:
    trainer = prepared(photos)
    query, key = ([torch.randn(2, c, 8, 8) for c in (3, 8, 16, 16)] for _ in range(2))
    whole = trainer.contrast(query, key, step_of(), slice(None))
    parts = [trainer.contrast(query, key, step_of(), slice(i, i + 1)) for i in range(2)]
    assert whole.item() == pytest.approx(sum(part.item() for part in parts) / 2, rel=1e-5)


def test_fastcut_compares_mirrored_images_where_they_belong(photos: Path) -> None:
    """G commutes with a mirror here, so the loss is the same whether a step mirrors or not."""
    trainer = prepared(photos, nce_weight=10.0, identity=False, flip=True)
    for conv in (m for m in trainer.G.modules() if isinstance(m, torch.nn.Conv2d)):
        conv.weight.data.copy_((conv.weight + conv.weight.flip(3)) / 2)
        conv.stride = (1, 1)  # strides see other pixels of a mirrored image
    decoder: Any = trainer.G.decoder
    decoder[0][0] = decoder[1][0] = torch.nn.Identity()
    terms: list[Any] = []
    batch = batch_of(trainer)
    drawn = [bool(torch.rand((), generator=step_of(i).rng("flip")) < 0.5) for i in range(6)]
    assert {*drawn} == {True, False}
    trainer.contrast = lambda query, key, step, rows: sum((q - k).abs().mean() for q, k in zip(query, key, strict=True))  # pyright: ignore
    for i in (drawn.index(True), drawn.index(False)):
        terms.append(trainer.generator_loss(batch, step_of(i)))
    assert set(terms[0]) == {"adversarial", "nce"}
    assert terms[0]["nce"].item() == pytest.approx(terms[1]["nce"].item(), rel=1e-4)


def test_fastcut_mirrors_the_features_of_mirrored_images_back(photos: Path) -> None:
    """As published: the encoder sees the mirrored output; asymmetric kernels then count."""
    trainer = prepared(photos, nce_weight=10.0, identity=False, flip=True)
    index = next(i for i in range(9) if torch.rand((), generator=step_of(i).rng("flip")) < 0.5)
    batch, step = batch_of(trainer), step_of(index)
    given, _ = trainer.images(batch, step)
    query = [x.flip(3) for x in trainer.features(trainer.G(given.flip(3)))]
    expected = 10 * trainer.contrast(query, trainer.features(given), step, slice(None))
    terms: Any = trainer.generator_loss(batch, step)
    assert terms["nce"].item() == pytest.approx(expected.item(), rel=1e-5)
    image_back = trainer.features(trainer.G(given.flip(3)).flip(3))
    other = 10 * trainer.contrast(image_back, trainer.features(given), step, slice(None))
    assert terms["nce"].item() != pytest.approx(other.item(), rel=1e-5)


def test_heads_are_in_every_checkpoint_and_a_cut_off_run_ends_like_another(photos: Path, tmp_path: Path) -> None:
    config, whole, cut = configured(photos, steps=6), *(options(tmp_path / n, save_every=2) for n in ("whole", "cut"))
    CUTTrainer(config, whole).fit()
    with pytest.raises(PowerCut):
        CUTTrainer(config, cut, [Crash(3)]).fit()
    files = saved_files(cut.out)
    assert {"G", "D", "H", "H.optim"} <= files.keys() and len(files["H"]) == 4 * 4
    assert any(key.endswith("exp_avg") for key in files["H.optim"])
    CUTTrainer(config, resumed(cut)).fit()
    assert_same_runs(whole, cut)


def test_the_other_direction_is_refused(photos: Path, tmp_path: Path) -> None:
    CUTTrainer(configured(photos, steps=1, direction="BA"), options(tmp_path / "run")).fit()
    model: Any = multigen.load(tmp_path / "run")
    image = torch.zeros(3, 16, 16, dtype=torch.uint8)
    assert model.translate(image, direction="BA").shape == image.shape
    with pytest.raises(
        ConfigError, match=r"direction AB: the model was trained for BA; .* or cyclegan, which learns both"
    ):
        model.translate(image, direction="AB")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"positions": 1}, "positions 1"),
        ({"temperature": 0.0}, "temperature 0"),
        ({"nce_weight": -1.0}, "nce_weight -1"),
    ],
)
def test_settings_that_cannot_be_are_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        replace(PRESETS["tiny"], **changes)


def test_fast_is_fastcut() -> None:
    fast = PRESETS["fast"]
    assert (fast.nce_weight, fast.identity, fast.flip) == (10.0, False, True)
