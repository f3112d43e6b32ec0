"""Methods of every shape that has to fit with no special case, in miniature: they learn. Others:
test_loops.py."""

from copy import deepcopy
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, one_hot

from multigen import losses
from multigen.engine import Adam, Batch, Copy, Pool, Source, Stage, Step, TensorSource, Trainer, Update
from tests.engine.toys import Toy, ToyConfig, lines, options, perceptron, points


def prepared(trainer: Trainer) -> dict[str, nn.Module]:
    """The untrained networks of a trainer, as copies."""
    trainer.prepare()
    return {name: deepcopy(network) for name, network in trainer.nets.items()}


def assert_same_weights(trainer: Trainer, networks: dict[str, nn.Module]) -> None:
    assert trainer.nets.keys() == networks.keys()
    for name, network in networks.items():
        for (key, ours), theirs in zip(
            trainer.nets[name].state_dict().items(), network.state_dict().values(), strict=True
        ):
            assert torch.equal(ours, theirs), f"{name}.{key}"


# --------------------------------------------------------------------------------------------------------------- CycleGAN


class CycleGAN(Trainer[ToyConfig]):
    """Two sets of points, unpaired: one update trains both generators, one both discriminators."""

    name = "toy"
    exports = ("G_ab", "G_ba")
    G_ab: nn.Module
    G_ba: nn.Module
    D_a: nn.Module
    D_b: nn.Module

    def networks(self) -> dict[str, nn.Module]:
        outputs = {"G_ab": 2, "G_ba": 2, "D_a": 1, "D_b": 1}
        return {name: perceptron(2, number) for name, number in outputs.items()}

    def open_data(self) -> Source:
        return TensorSource({"a": points(30), "b": points(30).roll(7, 0) @ torch.tensor([[0.0, 1.0], [-1.0, 0.0]])})

    def optimisers(self) -> Any:
        slow, fast = Adam(5e-3, (0.5, 0.9)), Adam(2e-2, (0.5, 0.9))
        return {"G_ab": fast, "G_ba": fast, "D_a": slow, "D_b": slow}

    def stages(self) -> list[Stage]:
        updates = [
            Update("generators", ["G_ab", "G_ba"], self.generators),
            Update("discriminators", ["D_a", "D_b"], self.discriminators),
        ]
        return [Stage("only", self.config.steps, updates)]

    def generators(self, batch: Batch, step: Step) -> dict[str, Tensor]:
        a, b = batch["a"], batch["b"]
        fake_a, fake_b = self.G_ba(b), self.G_ab(a)
        return {
            "a": losses.least_squares.generator(self.D_a(fake_a)),
            "b": losses.least_squares.generator(self.D_b(fake_b)),
            "cycle_a": (self.G_ba(fake_b) - a).abs().mean(),
            "cycle_b": (self.G_ab(fake_a) - b).abs().mean(),
        }

    def discriminators(self, batch: Batch, step: Step) -> dict[str, Tensor]:
        a, b = batch["a"], batch["b"]
        return {
            "a": losses.least_squares.discriminator(self.D_a(a), self.D_a(self.G_ba(b))),
            "b": losses.least_squares.discriminator(self.D_b(b), self.D_b(self.G_ab(a))),
        }


def test_cyclegan_learns_to_go_there_and_back(tmp_path: Path) -> None:
    trainer = CycleGAN(ToyConfig(batch=10, steps=120), options(tmp_path))
    nets = prepared(trainer)

    def cycle(there: nn.Module, back: nn.Module) -> float:
        return (back(there(points(30))) - points(30)).abs().mean().item()

    before = cycle(nets["G_ab"], nets["G_ba"])
    trainer.fit()
    assert cycle(trainer.G_ab, trainer.G_ba) < 0.25 * before
    for name in ("D_a", "D_b"):
        assert not torch.equal(trainer.nets[name][0].weight, nets[name][0].weight)  # pyright: ignore[reportIndexIssue]
    assert {path.name for path in (tmp_path / "model").iterdir()} >= {"G_ab.safetensors", "G_ba.safetensors"}


# --------------------------------------------------------------------------------------- HiFi-GAN: several discriminators


class HiFiGAN(Toy):
    """Discriminators of two scales in one update; adversarial, feature and spectral terms for the
    generator."""

    scales = (1, 2)

    def networks(self) -> dict[str, nn.Module]:
        nets = {
            f"D_{scale}": nn.Sequential(nn.Linear(8 // scale, 6), nn.LeakyReLU(0.1), nn.Linear(6, 1))
            for scale in self.scales
        }
        return {"G": perceptron(4, 8, 16), **nets}

    def open_data(self) -> Source:
        wave = torch.linspace(0, 9, 32)[:, None].add(torch.arange(8)).sin()  # (32, 8)
        return TensorSource({"wave": wave, "mel": wave.view(32, 4, 2).mean(2)})

    def stages(self) -> list[Stage]:
        names = [f"D_{scale}" for scale in self.scales]
        updates = [Update("discriminators", names, self.discriminators), Update("generator", ["G"], self.generator)]
        return [Stage("only", self.config.steps, updates)]

    def scores(self, scale: int, wave: Tensor) -> tuple[Tensor, Tensor]:
        """Scores (B, 1) and features (B, 6) of one discriminator."""
        first, *rest = self.nets[f"D_{scale}"]  # pyright: ignore[reportGeneralTypeIssues]
        features = first(wave[:, ::scale])
        return nn.Sequential(*rest)(features), features

    def discriminators(self, batch: Batch, step: Step) -> dict[str, Tensor]:
        fake = self.G(batch["mel"])
        return {
            str(scale): losses.least_squares.discriminator(
                self.scores(scale, batch["wave"])[0], self.scores(scale, fake)[0]
            )
            for scale in self.scales
        }

    def generator(self, batch: Batch, step: Step) -> dict[str, Tensor]:
        fake = self.G(batch["mel"])
        terms = {"mel": 45 * (fake.view(-1, 4, 2).mean(2) - batch["mel"]).abs().mean()}
        for scale in self.scales:
            (_, real_features), (score, features) = self.scores(scale, batch["wave"]), self.scores(scale, fake)
            terms[f"adversarial_{scale}"] = losses.least_squares.generator(score)
            terms[f"features_{scale}"] = 2 * (features - real_features).abs().mean()
        return terms


def test_hifigan_lowers_its_spectral_error_with_all_terms_logged(tmp_path: Path) -> None:
    HiFiGAN(ToyConfig(batch=8, steps=80), options(tmp_path, log_every=1)).fit()
    metrics = [line for line in lines(tmp_path) if "stage" in line]
    terms = {"mel", "adversarial_1", "adversarial_2", "features_1", "features_2"}
    expected = {f"generator/{term}" for term in terms} | {"discriminators/1", "discriminators/2"}
    assert metrics[0].keys() == expected | {"stage", "step", "items_per_second"}
    for term in ("mel", "features_1", "features_2"):
        assert metrics[-1][f"generator/{term}"] < 0.5 * metrics[0][f"generator/{term}"]


# ------------------------------------------------------------------------------------------ SeqGAN: sampling inside a loss


class SeqGAN(Trainer[ToyConfig]):
    """Texts of up to five of four letters, where each letter follows the one before in the
    alphabet; 0 pads."""

    name = "toy"
    G: nn.Module
    D: nn.Module
    lagged: nn.Module
    length = 5

    def networks(self) -> dict[str, nn.Module]:
        return {"G": nn.Linear(5, 5), "D": perceptron(5 * self.length, 1, 16)}

    def open_data(self) -> Source:
        text = (torch.arange(40)[:, None] + torch.arange(self.length)) % 4 + 1  # (40, 5)
        longest = torch.arange(40)[:, None] // 8 % 4 + 2
        return TensorSource({"text": text * (torch.arange(self.length) < longest)})

    def optimisers(self) -> Any:
        return Adam(5e-2, (0.9, 0.99))

    def stages(self) -> list[Stage]:
        return [
            Stage("likelihood", 12, [Update("mle", ["G"], self.likelihood)]),
            Stage("discriminator", 30, [Update("d", ["D"], self.discriminator, data=Pool(self.negatives, every=10))]),
            Stage(
                "adversarial",
                self.config.steps,
                [
                    Update("g", ["G"], self.policy_gradient),
                    Update("d", ["D"], self.discriminator, data=Pool(self.negatives, 5)),
                ],
                optim={"G": Adam(2e-2, (0.5, 0.9))},
                copies={"lagged": Copy("G", follow=0.2)},
            ),
        ]

    def likelihood(self, batch: Batch, step: Step) -> dict[str, tuple[Tensor, Tensor]]:
        text = batch["text"]  # (B, T)
        logits = self.G(one_hot(text[:, :-1], 5).float())  # (B, T - 1, 5)
        nll = cross_entropy(logits.flatten(0, 1), text[:, 1:].flatten(), ignore_index=0, reduction="sum")
        return {"nll": (nll, (text[:, 1:] > 0).sum())}

    def sample(self, number: int, rng: torch.Generator, policy: nn.Module) -> Tensor:
        """Texts (number, T) of letters 1 to 4."""
        letters = torch.randint(1, 5, (number, 1), generator=rng)
        for _ in range(self.length - 1):
            chances = policy(one_hot(letters[:, -1], 5).float())[:, 1:].softmax(1)
            letters = torch.cat([letters, torch.multinomial(chances, 1, generator=rng) + 1], dim=1)
        return letters

    def negatives(self, step: Step) -> Batch:
        fake = self.sample(40, step.rng("negatives"), self.G)
        real = (fake[:, :1] - 1 + torch.arange(self.length)) % 4 + 1
        return {"fake": fake, "real": real}

    def score(self, text: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        return self.D(one_hot(text, 5).float().flatten(1))[:, 0]  # (B,)

    def discriminator(self, batch: Batch, step: Step) -> dict[str, Tensor]:
        return {"gan": losses.minimax.discriminator(self.score(batch["real"]), self.score(batch["fake"]))}

    def policy_gradient(self, batch: Batch, step: Step) -> dict[str, Tensor]:
        with torch.no_grad():
            text = self.sample(step.batch, step.rng("roll"), self.G)[step.rows]
            finished = torch.cat(
                [text[:, :3], self.sample(step.batch, step.rng("out"), self.lagged)[step.rows, 3:]], dim=1
            )
            reward = self.score(text).sigmoid() + self.score(finished).sigmoid()
        step.log("reward", reward)
        log_p = self.G(one_hot(text[:, :-1], 5).float())[..., 1:].log_softmax(2)
        log_p = log_p.gather(2, text[:, 1:, None] - 1)[..., 0]  # (B, T - 1)
        return {"policy": -(log_p * (reward - 1)[:, None]).mean()}


def test_seqgan_goes_from_likelihood_to_rewards(tmp_path: Path) -> None:
    trainer = SeqGAN(ToyConfig(batch=16, steps=40), options(tmp_path, log_every=2, save_every=10, keep=100))
    nets = prepared(trainer)
    trainer.fit()

    def right(G: nn.Module) -> float:
        """How probable the next letter of the alphabet is, by G."""
        letters = torch.arange(1, 5)
        chances = G(one_hot(letters, 5).float())[:, 1:].softmax(1)  # (4, 4)
        return chances[torch.arange(4), letters % 4].mean().item()

    by_likelihood, by_rewards = nn.Linear(5, 5), nn.Linear(5, 5)
    by_likelihood.load_state_dict(trainer.saved("G", "likelihood", "last"))
    by_rewards.load_state_dict(trainer.saved("G", "adversarial", "last"))
    assert right(nets["G"]) + 0.05 < right(by_likelihood)
    assert right(by_likelihood) + 0.05 < right(by_rewards)
    rewards = [line["reward"] for line in lines(tmp_path) if "reward" in line]
    assert len(rewards) == 20
