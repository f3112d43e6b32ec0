"""Base trainer of text synthesis by policy gradient: rewards, baselines, controls.

A method derives from `PolicyGradientTrainer`, and states only what differs: its discriminator, and
the reward of each token.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import torch
from torch import Tensor, nn

from multigen.engine import Adam, Batch, Best, Optimiser, Pool, Stage, Step, TensorSource, Terms, Update
from multigen.errors import ConfigError
from multigen.losses.adversarial import at_least_float32
from multigen.losses.policy_gradient import group_scaled, leave_one_out, policy_gradient
from multigen.text.decoding import gather_log_probs, token_mask
from multigen.text.networks.discriminators import Recurrent
from multigen.text.synthesis.base import TextSynthesisTrainer
from multigen.text.synthesis.config import PolicyGradientConfig

__all__ = ["PolicyGradientTrainer", "Reward"]

TOGETHER = 512  # texts drawn at a time

Reward = Callable[[Tensor, Step], Tensor]
"""(texts of G (B, T), step) -> the value of each of their tokens (B, T)."""


P = TypeVar("P", bound=PolicyGradientConfig)


class PolicyGradientTrainer(TextSynthesisTrainer[P]):
    """Trains G by maximum likelihood, then by policy gradient with rewards from D.

    Text is discrete, so D's gradient cannot flow into G. G is a policy: each token is an action
    that has a value. Two controls show how much of the gain is D's: the same stage with a constant
    and with a random value.

    A method states `discriminator`, `discriminator_loss` and `reward`, and what differs of
    `optimisers` and `stages`.
    """

    budget = ("mle_steps", "discriminator_steps", "control_steps", "steps")

    # ---------------------------------------------------------------------------------- what a method states

    def discriminator_loss(self, batch: Batch, step: Step) -> Terms:
        """Of texts (B, T) in `batch["real"]` and `batch["fake"]`."""
        raise NotImplementedError

    def reward(self, tokens: Tensor, step: Step) -> Tensor:
        """The value of each token of G's texts (B, T) by D: (B, T), without a gradient."""
        raise NotImplementedError

    # ---------------------------------------------------------------------------------- data and networks

    def open_data(self) -> TensorSource:
        c = self.config
        if c.couples and self.run.accumulate > 1:  # an error now, not after maximum likelihood training
            raise ConfigError(
                f"accumulate {self.run.accumulate}: baseline mean and scale_rewards compare the texts of a batch; give "
                "--accumulate 1, or another --baseline"
            )
        return super().open_data()

    def networks(self) -> dict[str, nn.Module]:
        c, nets = self.config, super().networks()
        if c.baseline == "critic" and not self.data_info.dialogue:
            nets["V"] = Recurrent(self.data_info.tokens, c.embedding, c.width, before=True)
        return nets

    def optimisers(self) -> Mapping[str, Optimiser]:
        return {**super().optimisers(), "V": Adam(self.config.lr)}

    def policy_optimiser(self) -> Optimiser:
        """G's in the adversarial stage and the controls."""
        return Adam(self.config.lr)

    # ---------------------------------------------------------------------------------- stages

    def stages(self) -> list[Stage]:
        """All stages; of conversations maximum likelihood alone."""
        likelihood, *rest = super().stages()
        steps, rewards = self.config.control_steps, {"constant": self.constant_reward, "random": self.random_reward}
        controls = [self.policy_stage(name, steps, reward) for name, reward in rewards.items()] if rest else []
        return [likelihood, *controls, *rest]

    def adversarial_stage(self) -> Stage:
        """G by its reward, then D `critic_steps` times."""
        c = self.config
        updates = [self.discriminator_update(c.critic_steps)] if c.critic_steps else []
        return self.policy_stage("adversarial", c.steps, self.reward, updates, Best("nll_validation"))

    def policy_stage(
        self, name: str, steps: int, reward: Reward, updates: Sequence[Update] = (), best: Best | None = None
    ) -> Stage:
        """G learns by policy gradient on a reward, from the model of maximum likelihood, with
        optimisers of its own; `updates` follow in each step."""
        c = self.config
        trains = ["G", "V"] if c.baseline == "critic" else ["G"]
        loss = functools.partial(self.policy_loss, reward)
        policy = Update("policy", trains, loss, clip_norm=c.clip_norm, couples=c.couples)
        optim = {"G": self.policy_optimiser(), "V": Adam(c.lr)}
        return Stage(name, steps, [policy, *updates], optim, starts=self.starts(), copies=self.reference(), best=best)

    def discriminator_update(self, repeat: int = 1) -> Update:
        """D on a pool of `negatives`, which is sampled again every `config.refill` updates."""
        pool = Pool(self.negatives, self.config.refill)
        return Update("discriminator", ["D"], self.discriminator_loss, repeat=repeat, data=pool)

    def starts(self) -> dict[str, tuple[str, str]]:
        """Those of the base, and the critic untrained."""
        return super().starts() | ({"V": ("mle", "last")} if self.config.baseline == "critic" else {})

    # ---------------------------------------------------------------------------------- losses

    def policy_loss(self, reward: Reward, batch: Batch, step: Step) -> Terms:
        """REINFORCE on texts of G (Williams 1992): the values of their tokens less the baseline;
        the critic's and the KL term."""
        c = self.config
        tokens = self.draw(self.G, step.rand("tokens", c.length))  # (B, T)
        mask = token_mask(tokens, self.data_info.last)
        value = reward(tokens, step)  # (B, T)
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
        terms["policy"] = policy_gradient(gather_log_probs(logits, tokens), value, mask)
        return {**terms, **self.divergence(logits, tokens)}

    def constant_reward(self, tokens: Tensor, step: Step) -> Tensor:
        """Control experiment: reward 1 for every token."""
        return torch.ones(tokens.shape, device=tokens.device)

    def random_reward(self, tokens: Tensor, step: Step) -> Tensor:
        """Control experiment: a uniform random reward in [0, 1) for every token."""
        return step.rand("reward", tokens.shape[1])

    # ---------------------------------------------------------------------------------- texts of G

    def negatives(self, step: Step) -> Batch:
        """Texts of G, and as many real ones, the same on all ranks."""
        c, rng = self.config, step.rng("negatives")
        uniform = torch.rand(c.negatives, c.length, generator=rng).to(self.device)
        fake = torch.cat([self.draw(self.G, part) for part in uniform.split(TOGETHER)])
        real = self.corpus.train[torch.randint(len(self.corpus.train), (c.negatives,), generator=rng)]
        return {"real": real.to(self.device), "fake": fake}
