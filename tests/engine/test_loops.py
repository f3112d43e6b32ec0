"""WGAN-GP and SRGAN in miniature are, bit for bit, the loops that one would write by hand."""

from copy import deepcopy
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from multigen import losses
from multigen.engine import Adam, AdamW, Batch, Source, Stage, Step, TensorSource, Trainer, Update
from multigen.engine.schedules import Schedule, Steps
from multigen.losses import penalties
from tests.engine.toys import Toy, ToyConfig, options, perceptron, points


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


# ----------------------------------------------------------------------------------------------------------------- WGAN-GP


class WGAN(Toy):
    """Five critic steps with a penalty on the gradient, and a lazy R1 besides, which the paper has
    not."""

    def stages(self) -> list[Stage]:
        self.drawn: list[dict[str, Tensor]] = []
        updates = [
            Update("critic", ["D"], self.critic, repeat=5),
            Update("r1", ["D"], self.r1, every=4, lazy=True),
            Update("generator", ["G"], self.generator),
        ]
        return [Stage("only", self.config.steps, updates)]

    def critic(self, batch: Batch, step: Step) -> dict[str, Tensor]:
        mix = step.rand("mix", 1)
        self.drawn.append({"x": batch["x"], "z": step.randn("z", 3), "mix": mix})
        fake = self.fakes(step)
        return {
            "wasserstein": losses.wasserstein.discriminator(self.D(batch["x"]), self.D(fake)),
            "penalty": penalties.wgan_gp(self.D, batch["x"], fake, mix) * 10,
        }

    def r1(self, batch: Batch, step: Step) -> dict[str, Tensor]:
        self.drawn.append({"x": batch["x"]})
        return {"r1": penalties.r1(self.D, batch["x"])}

    def generator(self, batch: Batch, step: Step) -> dict[str, Tensor]:
        self.drawn.append({"z": step.randn("z", 3)})
        return {"wasserstein": losses.wasserstein.generator(self.D(self.fakes(step)))}


def test_wgan_gp_is_the_loop_one_would_write(tmp_path: Path) -> None:
    config = ToyConfig(batch=8, steps=10)
    trainer = WGAN(config, options(tmp_path))
    nets = prepared(trainer)
    G, D = nets.values()
    trainer.fit()

    c = 4 / 5
    lr, (beta1, beta2) = config.lr, config.betas
    for_G = torch.optim.Adam(G.parameters(), lr, (beta1, beta2), fused=True)
    for_D = torch.optim.Adam(D.parameters(), lr * c, (beta1**c, beta2**c), fused=True)
    drawn = iter(trainer.drawn)

    def gradient(x: Tensor) -> Tensor:
        x = x.detach().requires_grad_()
        return torch.autograd.grad(D(x).sum(), x, create_graph=True)[0]

    for step in range(10):
        for _ in range(5):
            d = next(drawn)
            fake = G(d["z"]).detach()
            between = d["mix"] * d["x"] + (1 - d["mix"]) * fake
            for_D.zero_grad()
            real, fakes = D(d["x"]), D(fake)
            loss = fakes.mean() - real.mean() + (gradient(between).norm(dim=1) - 1).square().mean() * 10
            loss.backward()
            for_D.step()
        if step % 4 == 0:
            for_D.zero_grad()
            (gradient(next(drawn)["x"]).square().sum(1).mean() / 2 * 4).backward()
            for_D.step()
        for_G.zero_grad()
        (-D(G(next(drawn)["z"])).mean()).backward()
        for_G.step()
    assert next(drawn, None) is None
    assert_same_weights(trainer, nets)


@pytest.mark.slow
def test_wgan_gp_learns_where_the_points_lie(tmp_path: Path) -> None:
    trainer = WGAN(ToyConfig(batch=12, steps=100, betas=(0.0, 0.9)), options(tmp_path))
    nets = prepared(trainer)
    z = torch.randn(500, 3, generator=torch.Generator().manual_seed(0))

    def distance(G: nn.Module) -> float:
        return (G(z).mean(0) - points(24).mean(0)).norm().item()

    before = distance(nets["G"])
    trainer.fit()
    assert distance(trainer.G) < 0.5 * before


# ------------------------------------------------------------------------------------------- SRGAN: two stages, two losses


class SRGAN(Toy):
    """Four numbers from their two means: first by pixels alone, then also against a discriminator
    with batch norm."""

    def networks(self) -> dict[str, nn.Module]:
        D = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.LeakyReLU(0.2), nn.Linear(8, 1))
        return {"G": perceptron(2, 4), "D": D}

    def open_data(self) -> Source:
        hr = torch.linspace(0, 12, 40)[:, None].add(torch.arange(4) / 3).sin()  # (40, 4)
        return TensorSource({"hr": hr, "lr": hr.view(-1, 2, 2).mean(2)})

    def averaged(self) -> dict[str, Schedule]:
        return {"G": 0.9}

    def stages(self) -> list[Stage]:
        self.batches: list[Batch] = []
        return [
            Stage("pretrain", 8, [Update("pretrain", ["G"], self.pretrain)], optim=Adam(1e-2, (0.9, 0.999))),
            Stage(
                "adversarial",
                self.config.steps,
                [
                    Update("discriminator", ["D"], self.discriminator),
                    Update("generator", ["G"], self.generator, clip_norm=0.05),
                ],
                optim=AdamW(Steps((1e-3, 1e-4), at=(0.5,)), (0.9, 0.999), weight_decay=0.1),
            ),
        ]

    def pretrain(self, batch: Batch, step: Step) -> dict[str, Tensor]:
        self.batches.append(batch)
        return {"pixel": (self.G(batch["lr"]) - batch["hr"]).square().mean()}

    def discriminator(self, batch: Batch, step: Step) -> dict[str, Tensor]:
        self.batches.append(batch)
        real, fake = self.D(batch["hr"]), self.D(self.G(batch["lr"]))
        return {"adversarial": losses.non_saturating.discriminator(real, fake)}

    def generator(self, batch: Batch, step: Step) -> dict[str, Tensor]:
        self.batches.append(batch)
        fake = self.G(batch["lr"])
        content = (fake - batch["hr"]).square().mean()
        return {"content": content, "adversarial": losses.non_saturating.generator(self.D(fake)) * 0.1}


def test_srgan_is_the_loop_one_would_write(tmp_path: Path) -> None:
    trainer = SRGAN(ToyConfig(batch=8, steps=9), options(tmp_path))
    nets = prepared(trainer)
    G, D = nets.values()
    trainer.fit()

    batches = iter(trainer.batches)
    optimiser: torch.optim.Optimizer = torch.optim.Adam(G.parameters(), 1e-2, fused=True)
    for _ in range(8):
        batch = next(batches)
        optimiser.zero_grad()
        (G(batch["lr"]) - batch["hr"]).square().mean().backward()
        optimiser.step()
    optimisers = [torch.optim.AdamW(net.parameters(), 1e-3, weight_decay=0.1, fused=True) for net in (G, D)]
    for step in range(9):
        for optimiser in optimisers:
            optimiser.param_groups[0]["lr"] = 1e-3 if step / 9 < 0.5 else 1e-4
        batch = next(batches)
        D.zero_grad()
        real, fake = D(batch["hr"]), D(G(batch["lr"]).detach())
        loss = nn.functional.softplus(-real).mean() + nn.functional.softplus(fake).mean()
        loss.backward()
        optimisers[1].step()
        batch = next(batches)
        G.zero_grad()
        fake = G(batch["lr"])
        ((fake - batch["hr"]).square().mean() + nn.functional.softplus(-D(fake)).mean() * 0.1).backward()
        nn.utils.clip_grad_norm_(G.parameters(), 0.05, foreach=True)
        optimisers[0].step()
    assert next(batches, None) is None
    assert_same_weights(trainer, nets)
