"""SeqGAN: a generator of text trained by policy gradient on a discriminator's verdicts. Yu et al. 2017, arXiv:1609.05473.

    python -m multigen.recipes.seqgan                           # embedded fables, minutes on a laptop
    python -m multigen.recipes.seqgan default --data texts/     # your own texts
    python -m multigen.recipes.seqgan paper --data oracle       # the paper's settings on its synthetic data

Text is discrete, so D's gradient cannot flow into G. G is a policy: each token is an action, and its value is what D thinks of
the whole texts that begin so, sampled to their ends (Monte-Carlo search). G first learns by maximum likelihood, D then to tell
G's texts from real ones, and in the adversarial stage both go on in turn. Two controls show what of the gain is D's: the same
stage with a constant and with a random reward.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from multigen import losses
from multigen.engine import (
    Adam,
    Batch,
    Best,
    Callback,
    Copy,
    EarlyStop,
    Pool,
    Stage,
    Step,
    TensorSource,
    Terms,
    Trainer,
    Update,
)
from multigen.engine.evaluation import Evaluation
from multigen.engine.optimisers import Optimiser
from multigen.engine.schedules import Cosine, WarmUp
from multigen.errors import ConfigError
from multigen.losses.adversarial import at_least_float32
from multigen.losses.policy_gradient import group_scaled, kl_divergence, leave_one_out, policy_gradient, returns
from multigen.runs.card import Card
from multigen.storage.model_folder import ModelFolder
from multigen.text.datasets import TextConfig, given_tokenizer, open_corpus
from multigen.text.decoding import chosen, log_probs, sample, valid
from multigen.text.networks.discriminators import PUBLISHED, Convolutional, Recurrent
from multigen.text.networks.generators import Generator, build_generator
from multigen.text.synthesis.evaluation import report
from multigen.text.synthesis.evaluator import Evaluator
from multigen.text.synthesis.rollout import rewards
from multigen.text.synthesis.writer import Writer, load_writer

__all__ = ["PRESETS", "SeqGANConfig", "SeqGANTrainer"]

TOGETHER = 512  # texts that are drawn or judged at a time


@dataclass(frozen=True)
class SeqGANConfig(TextConfig):
    network: Literal["lstm", "transformer", "pretrained"] = "lstm"
    """G: an LSTM, a transformer of GPT-2's shape, or a trained causal model (`pretrained`)."""
    pretrained: str = ""
    """A causal model of the transformers library by name or folder; its tokenizer is taken where `tokenizer` names none."""
    embedding: int = 64
    """Dimensions of an LSTM's token embedding."""
    width: int = 256
    """Units of the LSTM, or dimensions of the transformer."""
    layers: int = 1
    heads: int = 4
    """Of the transformer's attention."""
    mle_steps: int = 3_000
    """Steps of maximum likelihood."""
    mle_lr: tuple[float, float] = (3e-3, 3e-4)
    """Its learning rate at the beginning and at the end; in between a cosine. A transformer's warms up."""
    patience: int = 0
    """Validations without a better likelihood that end it early; 0: all steps are made."""
    begin_from: Literal["best", "last"] = "best"
    """Which model of maximum likelihood, by the validation texts, the stages after it start from (last in the paper)."""
    clip_norm: float = 5.0
    """Largest norm of G's gradient."""
    reward: Literal["rollout", "dense"] = "rollout"
    """rollout: D reads whole texts, and Monte-Carlo search values their beginnings. dense: D judges at each token, and a token's
    value is what D gives from there on (de Masson d'Autume et al. 2019, arXiv:1905.09922)."""
    rollouts: int = 16
    """N: continuations of each beginning."""
    follow: float = 1.0
    """The share by which the policy that continues moves towards G each step; 1: it is G itself."""
    discount: float = 0.95
    """gamma, of dense rewards."""
    baseline: Literal["none", "mean", "critic"] = "none"
    """What is subtracted from values: nothing, as in the paper; the mean of the other texts of the batch; a learned critic."""
    scale_rewards: bool = False
    """Values less their mean over the batch, over their deviation (Shao et al. 2024, GRPO, arXiv:2402.03300)."""
    kl: float = 0.0
    """Weight of KL(G || the model of maximum likelihood), nats a token."""
    discriminator_steps: int = 300
    """Steps of D before the adversarial stage."""
    control_steps: int = 100
    """Steps of each control; 0: no controls."""
    steps: int = 100
    """Adversarial steps."""
    critic_steps: int = 5
    """Updates of D in an adversarial step."""
    negatives: int = 2_000
    """Texts of G that D learns from at a time."""
    refill: int = 100
    """Updates of D after which G writes new ones."""
    lr: float = 1e-3
    """Of G in the adversarial stage and the controls."""
    discriminator_lr: float = 1e-3
    discriminator_embedding: int = 64
    filters: tuple[tuple[int, int], ...] = ((1, 50), (2, 100), (3, 100), (4, 100), (6, 50), (8, 50))
    """D's filters: width in tokens, and how many."""
    dropout: float = 0.25
    """Share of D's features that are dropped while it is trained."""
    weight_decay: float = 0.2
    """Weight of half the squared norm of D's last layer."""

    ranges = TextConfig.ranges | {
        **{"embedding": 1, "width": 1, "layers": (1, 1_000), "heads": 1, "discriminator_embedding": 1},
        **{"mle_steps": 1, "patience": 0, "discriminator_steps": 0, "control_steps": 0, "steps": 0, "critic_steps": 0},
        **{"mle_lr": 0, "lr": 0, "discriminator_lr": 0, "clip_norm": 0, "weight_decay": 0, "dropout": (0, 1)},
        **{"rollouts": 1, "follow": (0, 1), "discount": (0, 1), "kl": 0, "negatives": 1, "refill": 1},
    }

    @property
    def policy_couples(self) -> bool:
        return self.baseline == "mean" or self.scale_rewards


PRESETS = {
    "tiny": SeqGANConfig(
        data="fables:200", embedding=8, width=16, mle_steps=20, discriminator_steps=5, control_steps=2, steps=2, critic_steps=1,
        rollouts=2, negatives=32, batch=16, samples=20, judge_steps=10, filters=((2, 8), (3, 8)),
    ),
    "laptop": SeqGANConfig(
        data="fables:40000", length=49, network="transformer", width=128, layers=2, mle_steps=4_500, mle_lr=(3e-3, 1e-4),
        reward="dense", baseline="mean", kl=0.1, discriminator_steps=200, control_steps=40, steps=60, lr=3e-5,
    ),
    "default": SeqGANConfig(tokenizer="bpe", width=512, mle_steps=20_000, steps=500, baseline="mean", patience=5),
    "paper": SeqGANConfig(
        data="oracle", length=20, embedding=32, width=32, mle_steps=18_840, mle_lr=(1e-2, 1e-2), begin_from="last",
        discriminator_steps=23_550, control_steps=200, steps=200, critic_steps=2_355, negatives=10_000, refill=471,
        lr=1e-2, discriminator_lr=1e-4, filters=PUBLISHED,
    ),
}  # fmt: skip


class SeqGANTrainer(Trainer[SeqGANConfig]):
    """Maximum likelihood, the controls, D, and the two against each other."""

    name = "seqgan"
    task = Writer.task

    def default_callbacks(self) -> Sequence[Callback]:
        return [Card()]

    budget = ("mle_steps", "discriminator_steps", "control_steps", "steps")
    G: Generator
    D: nn.Module

    # ------------------------------------------------------------------------------------------ data and networks

    def open_data(self) -> TensorSource:
        if self.config.policy_couples and self.run.accumulate > 1:  # said now, not after maximum likelihood
            raise ConfigError(
                f"accumulate {self.run.accumulate}: baseline mean and scale_rewards compare the texts of a batch; give "
                "--accumulate 1, or another --baseline"
            )
        given = given_tokenizer(self.config, self.run.start)
        self.corpus, self.config = open_corpus(self.config, given)
        self.evaluator = Evaluator(self.corpus, self.config, self.run.seed)
        return TensorSource({"tokens": self.corpus.train})

    def networks(self) -> dict[str, nn.Module]:
        c = self.config
        dense = c.reward == "dense"
        nets: dict[str, nn.Module] = {
            "G": build_generator(c),
            "D": Recurrent(c.tokens, c.discriminator_embedding, c.width)
            if dense
            else Convolutional(c.tokens, c.discriminator_embedding, c.filters, c.dropout),
        }
        if c.baseline == "critic":
            nets["V"] = Recurrent(c.tokens, c.embedding, c.width, before=True)
        return nets

    def optimisers(self) -> Mapping[str, Optimiser]:
        c = self.config
        lr = Cosine(*c.mle_lr) if c.network == "lstm" else WarmUp(0.03, Cosine(*c.mle_lr))
        return {"G": Adam(lr), "D": Adam(c.discriminator_lr), "V": Adam(c.lr)}

    def stages(self) -> list[Stage]:
        c = self.config
        starts = {"G": ("mle", c.begin_from)} | ({"V": ("mle", "last")} if c.baseline == "critic" else {})
        copies = {"reference": Copy("G")} if c.kl else {}
        lagged = {"lagged": Copy("G", c.follow)} if c.follow < 1 and c.reward == "rollout" else {}
        best, fresh = Best("nll_validation"), {"G": Adam(c.lr), "V": Adam(c.lr)}

        def policy(reward: Callable[[Tensor, Step], Tensor]) -> Update:
            loss = functools.partial(self.policy_loss, reward)
            trains = ["G", "V"] if c.baseline == "critic" else ["G"]
            return Update("policy", trains, loss, clip_norm=c.clip_norm, couples=c.policy_couples)

        def discriminator(repeat: int) -> Update:
            pool = Pool(self.negatives, c.refill)
            return Update("discriminator", ["D"], self.discriminator_loss, repeat=repeat, data=pool)

        def control(name: str, reward: Callable[[Tensor, Step], Tensor]) -> Stage:
            return Stage(name, c.control_steps, [policy(reward)], fresh, starts=starts, copies=copies)

        return [
            Stage("mle", c.mle_steps, [
                Update("likelihood", ["G"], self.likelihood_loss, clip_norm=c.clip_norm),
            ], best=best, until=EarlyStop(best.metric, patience=c.patience, restore=False) if c.patience else None),
            control("constant", self.constant_reward),
            control("random", self.random_reward),
            Stage("discriminator", c.discriminator_steps, [discriminator(1)], starts=starts),
            Stage("adversarial", c.steps, [
                policy(self.reward),
                *([discriminator(c.critic_steps)] if c.critic_steps else []),
            ], fresh, starts=starts, copies=copies | lagged, best=best),
        ]  # fmt: skip

    # ------------------------------------------------------------------------------------------ losses

    def likelihood_loss(self, batch: Batch, step: Step) -> Terms:
        """-log p of each token."""
        mask = valid(batch["tokens"], self.config.last)
        return {"nll": (-(log_probs(self.G, batch["tokens"]) * mask).sum(), mask.sum())}

    def discriminator_loss(self, batch: Batch, step: Step) -> Terms:
        """Equation 5 of the paper, and the L2 term on D's last layer."""
        real, fake = self.D(batch["real"]), self.D(batch["fake"])
        if self.config.reward == "dense":  # means over the tokens of all texts, which ranks share unevenly
            logits, last = {"real": -at_least_float32(real), "fake": at_least_float32(fake)}, self.config.last
            masks = {name: valid(batch[name], last) for name in logits}
            return {name: ((softplus(x) * masks[name]).sum(), masks[name].sum()) for name, x in logits.items()}
        penalty = self.config.weight_decay * self.nets["D"].penalty()  # pyright: ignore[reportCallIssue]
        return {"adversarial": losses.non_saturating.discriminator(real, fake), "l2": penalty}

    def policy_loss(self, reward: Callable[[Tensor, Step], Tensor], batch: Batch, step: Step) -> Terms:
        """Equation 7 of the paper, on texts of G, less the baseline."""
        c = self.config
        tokens = self.draw(self.G, step.rand("tokens", c.length))  # Y ~ G   (B, T)
        mask = valid(tokens, c.last)
        value = reward(tokens, step)  # Q(Y_1:t-1, y_t)   (B, T)
        step.log("reward", value[mask].mean())
        terms: dict[str, Tensor | tuple[Tensor, Tensor | int]] = {}
        if c.baseline == "mean":
            value = value - leave_one_out(value, mask)
        elif c.baseline == "critic":
            expected = at_least_float32(self.nets["V"](tokens))
            terms["critic"] = ((expected - value).square() * mask).sum(), mask.sum()
            value = value - expected.detach()
        if c.scale_rewards:
            value = group_scaled(value, mask)
        logits = self.G(tokens)  # (B, T, V)
        terms["policy"] = policy_gradient(chosen(logits, tokens), value, mask)
        if c.kl:
            with torch.no_grad():
                reference = self.copies["reference"](tokens)
            divergence, count = kl_divergence(logits, reference, mask)
            terms["kl"] = c.kl * divergence, count
        return terms

    # ------------------------------------------------------------------------------------------ rewards

    @torch.no_grad()
    def reward(self, tokens: Tensor, step: Step) -> Tensor:
        """What D gives each token of G's texts (B, T): by Monte-Carlo search, or at the token itself."""
        c = self.config
        mask = valid(tokens, c.last)
        if c.reward == "dense":
            return returns(2 * torch.sigmoid(at_least_float32(self.D(tokens))) - 1, mask, c.discount)
        uniform = step.rand("rollouts", c.rollouts, c.length - 1, c.length)
        policy: Any = self.copies.get("lagged", self.G)
        return rewards(policy, self.verdicts, tokens, uniform, c.last, c.pad)

    def verdicts(self, tokens: Tensor) -> Tensor:
        """P(real) of whole texts (M, T): (M,)."""
        D: Any = self.nets["D"]
        return torch.cat([D.score(part) for part in tokens.split(TOGETHER)])

    def constant_reward(self, tokens: Tensor, step: Step) -> Tensor:
        return torch.ones(tokens.shape, device=tokens.device)

    def random_reward(self, tokens: Tensor, step: Step) -> Tensor:
        return step.rand("reward", tokens.shape[1])

    # ------------------------------------------------------------------------------------------ texts of G

    def draw(self, G: Any, uniform: Tensor) -> Tensor:
        return sample(G, uniform, self.config.last, self.config.pad)

    def negatives(self, step: Step) -> Batch:
        """Texts of G, and as many real ones; drawn whole, the same on all ranks."""
        c, rng = self.config, step.rng("negatives")
        uniform = torch.rand(c.negatives, c.length, generator=rng).to(self.device)
        fake = torch.cat([self.draw(self.G, part) for part in uniform.split(TOGETHER)])
        real = self.corpus.train[torch.randint(len(self.corpus.train), (c.negatives,), generator=rng)]
        return {"real": real.to(self.device), "fake": fake}

    # ------------------------------------------------------------------------------------------ measurements

    def validate(self, nets: Mapping[str, nn.Module]) -> dict[str, float]:
        return {"nll_validation": self.evaluator.validation_nll(nets["G"])}

    def preview(self, nets: Mapping[str, nn.Module], folder: Path) -> None:
        text = "\n\n".join(self.evaluator.texts(nets["G"], 8))
        (folder / f"step-{self.step:09d}.txt").write_text(text + "\n", encoding="utf-8")

    def score(self) -> Evaluation:
        return report(self)

    def texts(self) -> dict[str, str]:
        found = {}
        if self.corpus.tokenizer is not None:
            found["tokenizer.json"] = self.corpus.tokenizer.to_json()
        if self.config.network == "pretrained":
            G: Any = self.nets["G"]
            found["transformer.json"] = G.model.config.to_json_string()
        return found

    @classmethod
    def load(cls, folder: ModelFolder) -> Writer:
        """The trained generator of a model folder, on the GPU if there is one. CheckpointError where its parts do not fit."""
        data = {name: value for name, value in folder.data.items() if name != "fingerprint"}
        return load_writer(cls.config_type(), folder.config | data, folder.weights, str(folder.path))
