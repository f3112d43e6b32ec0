"""SpecGAN: sounds as spectrograms and back, networks, a run from recordings to samples."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn.functional import softplus

import multigen
from multigen.audio.drums import drums
from multigen.audio.files import write_sound
from multigen.audio.synthesis import specgan as method
from multigen.audio.synthesis.specgan import Discriminator, Generator, SpecGANConfig, SpectrumSampler
from multigen.errors import ConfigError
from multigen.losses import penalties
from tests.audio.toys import SPECGAN, Draws, specgan
from tests.tiny import Stop

# ---------------------------------------------------------------------------------------------------- networks


@pytest.mark.parametrize("length", [4096, 8192, 12_288, 16_384])
@pytest.mark.parametrize("classes", [(), ("a", "b", "c")])
def test_networks_fit_each_other_at_every_length(length: int, classes: tuple[str, ...]) -> None:
    torch.manual_seed(0)
    c = SpecGANConfig(length=length, latent=4, width=8, conditional=bool(classes))
    made, taken = Generator(c, len(classes)), Discriminator(c, len(classes))
    z, label = torch.randn(2, 4), torch.tensor([0, 2]) if classes else None
    spectrogram = made(z, label)
    assert spectrogram.shape == (2, 1, 128, length // 128) and spectrogram.abs().max() < 1
    assert taken(spectrogram, label).shape == (2,)
    assert made.sound(spectrogram).shape == (2, 1, length)
    if classes:  # the class makes a difference to both
        other = torch.tensor([1, 1])
        assert not torch.equal(made(z, other), spectrogram)
        assert not torch.allclose(taken(spectrogram, other), taken(spectrogram, label))


def test_the_paper_s_networks_layer_by_layer() -> None:
    c = method.PRESETS["paper"]
    assert c.start == (4, 4) and c.length // 128 == 128
    with torch.device("meta"):
        made, taken = Generator(c), Discriminator(c)
    dense, *up = [m for m in made.modules() if isinstance(m, nn.Linear | nn.ConvTranspose2d)]
    assert tuple(dense.weight.shape) == (256 * 64, 100)
    shapes = [tuple(m.weight.shape) for m in up]
    assert shapes == [(1024, 512, 5, 5), (512, 256, 5, 5), (256, 128, 5, 5), (128, 64, 5, 5), (64, 1, 5, 5)]
    down = [tuple(m.weight.shape) for m in taken.modules() if isinstance(m, nn.Conv2d)]
    assert down == [(64, 1, 5, 5), (128, 64, 5, 5), (256, 128, 5, 5), (512, 256, 5, 5), (1024, 512, 5, 5)]
    assert (c.loss, c.critic_steps, c.penalty, c.batch, c.steps) == ("wasserstein", 5, 10.0, 64, 200_000)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"length": 4000}, "length 4000: expected a multiple of 4096, .* 128 samples a column are halved 5 times"),
        ({"length": 2048}, "length 2048: expected a multiple of 4096"),
        ({"augment": "gain"}, "augment 'gain': D sees spectrograms here, no sounds to alter; leave it empty"),
        ({"rate": 3000}, "rate 3000: expected 4000 or more"),
        ({"width": 0}, "width 0: expected 1 or more"),
        ({"lazy": 0}, "lazy 0: expected 1 or more"),
    ],
)
def test_settings_that_cannot_be_are_named(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        SpecGANConfig(**settings)


# ---------------------------------------------------------------------------------------------------- spectrograms


def fitted(sounds: Tensor) -> Generator:
    """A generator that scales spectrograms as those of these sounds (N, 1, T) need."""
    made = Generator(replace(SPECGAN, length=sounds.shape[2]))
    level = method.log_magnitude(sounds)  # (N, 1, 128, frames)
    made.mean.copy_(level.mean((0, 1, 3))[:, None])
    made.deviation.copy_(level.transpose(1, 2).flatten(2).transpose(0, 1).flatten(1).std(1)[:, None])
    return made


def test_spectrograms_are_those_of_the_paper() -> None:
    """By numpy, frame by frame: z-scores of log magnitudes of each frequency, a third of them,
    clipped."""
    sounds = drums(6)[0]
    made = fitted(sounds)
    result = made.spectrogram(sounds)
    assert result.shape == (6, 1, 128, 32)
    window = torch.hann_window(256)
    for frame in (1, 7, 30):
        part = sounds[:, 0, frame * 128 - 128 : frame * 128 + 128] * window
        level = (torch.fft.rfft(part).abs()[:, :128] + 1e-6).log()
        z = (level - made.mean[:, 0]) / made.deviation[:, 0]
        torch.testing.assert_close(result[:, 0, :, frame], (z / 3).clamp(-1, 1), rtol=1e-3, atol=1e-3)
    inside = result.abs() < 1
    assert inside.float().mean() > 0.95
    assert (result * 3)[..., :].mean().abs() < 0.05 and 0.9 < (result * 3).std() < 1.05


def test_the_scale_is_that_of_the_training_recordings_alone(tmp_path: Path, drum_folder: Path) -> None:
    made = specgan(tmp_path, drum_folder)
    made.prepare()
    deviation, mean = torch.std_mean(method.log_magnitude(made.evaluator.splits.train.items), (0, 1, 3))  # (128,)
    for network in (made.nets["G"], made.averages["G"]):
        torch.testing.assert_close(network.get_buffer("mean")[:, 0], mean, rtol=0, atol=1e-4)
        torch.testing.assert_close(network.get_buffer("deviation")[:, 0], deviation, rtol=1e-4, atol=0)


def test_what_lies_beyond_three_deviations_is_clipped() -> None:
    made = Generator(SPECGAN)
    made.mean.fill_(-4.0)
    made.deviation.fill_(0.5)
    time = torch.arange(4096) / 8000
    sine = (2 * math.pi * 1000 * time).sin()[None, None]  # 32 of 256 bins, its magnitude 64
    result = made.spectrogram(sine)
    assert result[0, 0, 32, 2:30].tolist() == [1.0] * 28
    assert result[0, 0, 100, 2:30].tolist() == [-1.0] * 28
    back = made.sound(torch.full((1, 1, 128, 32), -1.0))
    assert back.abs().max() < math.exp(-4 - 1.5)


def test_a_drum_comes_back_from_its_spectrogram() -> None:
    sounds = drums(16, seed=3)[0]
    made = fitted(sounds)
    there = made.spectrogram(sounds)
    back = made.sound(there)
    assert back.shape == sounds.shape
    again = made.spectrogram(back)
    loud = there > 0  # what is louder than the frequency's mean; in quiet places any noise is far from silence
    change = 3 * (again - there)[loud].abs()  # deviations
    stranger = 3 * (there.roll(1, 0) - there)[loud].abs()
    assert change.mean() < 0.25 < 0.25 * stranger.mean()
    energy = [x.square().sum((1, 2)) for x in (sounds, back)]
    torch.testing.assert_close(energy[1], energy[0], rtol=0.2, atol=0)


def test_a_sound_does_not_depend_on_those_beside_it() -> None:
    made = Generator(SPECGAN)
    made.deviation.fill_(2.0)
    sampler = SpectrumSampler(made, 8)
    whole = sampler.sample(5, seed=1)
    sampler.batch = 2
    torch.testing.assert_close(sampler.sample(5, seed=1), whole, rtol=0, atol=1e-3)
    torch.testing.assert_close(sampler.sample(3, seed=1), whole[:3], rtol=0, atol=1e-3)
    assert whole.shape == (5, 1, 4096) and whole.std() > 0.01 and whole.abs().max() <= 1
    made.mean.fill_(9.0)  # as loud as none may be
    assert sampler.sample(2).abs().max() == 1


# ---------------------------------------------------------------------------------------------------- runs


def test_the_loss_is_of_spectrograms(tmp_path: Path, drum_folder: Path) -> None:
    made: Any = specgan(tmp_path, drum_folder)
    made.prepare()
    batch, step = {"sound": made.evaluator.splits.train.items[:4]}, Draws()
    real, fake = made.G.spectrogram(batch["sound"]), made.G(step.randn("z", 8)).detach()
    terms = made.discriminator_loss(batch, step)
    torch.testing.assert_close(terms["wasserstein"], made.D(fake).mean() - made.D(real).mean())
    torch.testing.assert_close(terms["penalty"], 10 * penalties.wgan_gp(made.D, real, fake, step.rand("mix", 1, 1, 1)))
    made.config = replace(made.config, loss="relativistic_pairing", gamma=2.0)
    ahead = made.D(real) - made.D(fake)
    torch.testing.assert_close(made.generator_loss(batch, step)["relativistic_pairing"], softplus(ahead).mean())
    torch.testing.assert_close(made.r1(batch, step)["r1"], 2 * penalties.r1(made.D, real))


@pytest.mark.usefixtures("own_cache")
def test_a_model_has_the_statistics_of_its_recordings(tmp_path: Path, drum_folder: Path) -> None:
    made = specgan(tmp_path, drum_folder).fit()
    kept = load_file(tmp_path / "run" / "model" / "G.safetensors")
    level = method.log_magnitude(made.evaluator.splits.train.items)
    torch.testing.assert_close(kept["mean"][:, 0], level.mean((0, 1, 3)), rtol=1e-4, atol=1e-4)
    model = multigen.load(str(tmp_path / "run"))
    assert isinstance(model, SpectrumSampler) and model.rate == 8000
    assert torch.equal(model.network.mean, kept["mean"]) and torch.equal(model.network.deviation, kept["deviation"])  # pyright: ignore
    assert model.sample(2, seed=5).shape == (2, 1, 4096)


@pytest.mark.slow
@pytest.mark.usefixtures("own_cache")
def test_a_run_trains_reports_resumes_and_samples(tmp_path: Path, drum_folder: Path) -> None:
    made = specgan(tmp_path, drum_folder, critic_steps=2).fit()
    rows = made.evaluate().rows
    assert list(rows) == ["real", "noise", "untrained", "griffin_lim", "adversarial/last", "adversarial/best"]
    assert all(math.isfinite(v) for row in rows.values() for v in row.values())
    others = [rows[row]["fd_logmel"] for row in rows if row not in ("real", "griffin_lim")]
    assert (
        rows["griffin_lim"]["fd_logmel"] < rows["real"]["fd_logmel"] < min(others)
    )  # it is made of the test recordings
    run = tmp_path / "run"
    for name in ("samples.wav", "samples.png", "nearest.wav", "nearest.png"):
        assert (run / name).stat().st_size > 1000

    train = made.evaluator.splits.train.items
    kept = load_file(run / "model" / "G.safetensors")
    level = method.log_magnitude(train)
    torch.testing.assert_close(kept["mean"][:, 0], level.mean((0, 1, 3)), rtol=1e-4, atol=1e-4)
    assert kept["deviation"].min() >= 1e-3
    model = multigen.load(str(run))
    assert isinstance(model, SpectrumSampler) and model.rate == 8000
    assert torch.equal(model.network.mean, kept["mean"]) and torch.equal(model.network.deviation, kept["deviation"])  # pyright: ignore
    sounds = model.sample(3, seed=5)
    assert sounds.shape == (3, 1, 4096) and sounds.dtype == torch.float32 and sounds.abs().max() <= 1
    torch.testing.assert_close(model.sample(2, seed=5), sounds[:2], rtol=0, atol=1e-3)

    stopped = specgan(tmp_path / "other", drum_folder, critic_steps=2)
    stopped.callbacks = [Stop(2)]  # pyright: ignore[reportAttributeAccessIssue]
    stopped.run = replace(stopped.run, save_every=2)
    with pytest.raises(KeyboardInterrupt):
        stopped.fit()
    again = specgan(tmp_path / "other", drum_folder, critic_steps=2)
    again.run = replace(again.run, save_every=2, resume=str(tmp_path / "other" / "run"))
    again.fit()
    weights = load_file(tmp_path / "other" / "run" / "model" / "G.safetensors")
    assert all(torch.equal(kept[name], weights[name]) for name in kept)


@pytest.mark.slow
@pytest.mark.usefixtures("quick_classifier")
def test_a_conditional_model_gives_the_class_asked_for(tmp_path: Path, drum_folder: Path) -> None:
    made = specgan(tmp_path, drum_folder, labels="", conditional=True, samples=20).fit()
    assert {"class_accuracy", "classes_learned", "fd_classifier"} <= made.evaluate().rows["adversarial/last"].keys()
    model = multigen.load(str(tmp_path / "run"))
    kicks, snares = (model.sample(2, label=label) for label in ("kick", "snare"))
    assert not torch.equal(kicks, snares)


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def test_a_collapse_is_watched_for(device: str, tmp_path: Path, drum_folder: Path) -> None:
    made: Any = specgan(tmp_path, drum_folder)
    made.run = replace(made.run, device=device)
    made.prepare()
    (control,) = made.plan[0].controls
    made.state.step = made.state.index = 1000
    assert control.rule(0.0, {}).reason.startswith("diversity")
    real = made.evaluator.to_input(made.evaluator.splits.train.items[:3])  # recordings lie on the CPU
    assert real.shape == (3, 1, 128, 32) and made.collapse_features(real).shape == (3, 64)


def test_a_frequency_that_never_changes_has_a_deviation_all_the_same(tmp_path: Path) -> None:
    (tmp_path / "sounds").mkdir()
    click = torch.zeros(1, 4096)
    click[0, 0] = 0.5
    for i in range(40):
        write_sound(tmp_path / "sounds" / f"{i}.wav", click, 8000)
    made: Any = specgan(tmp_path, tmp_path / "sounds")
    made.prepare()
    assert made.G.deviation.min() >= 1e-3 and made.G.spectrogram(click[None]).abs().max() <= 1
