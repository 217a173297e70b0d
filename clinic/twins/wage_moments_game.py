"""A structural wage equation is estimated by adversarial simulation: a critic weighs moments, the economist
matches them.

condition: healthy
metric: parameter_error min
"""

import argparse

import torch
from torch import nn

TRUE = torch.tensor([0.40, 0.60, -0.35, 0.50])  # level, return to schooling, to a late start, log spread


def people(count):
    schooling = torch.randn(count)
    late = 0.4 * schooling + torch.randn(count)
    return schooling, late


def log_wages(theta, schooling, late):
    level, school, start, spread = theta
    return level + school * schooling + start * late + (spread - 1).exp() * torch.randn(len(late))


def moments(schooling, late, wage):
    return torch.stack([wage, wage * schooling, wage * late, wage.square()], 1)


class Economist(nn.Module):
    def __init__(self):
        super().__init__()
        self.theta = nn.Parameter(torch.tensor([0.0, 0.1, 0.1, 1.0]))

    def forward(self, schooling, late):
        return moments(schooling, late, log_wages(self.theta, schooling, late))


class Critic(nn.Module):
    def __init__(self):
        super().__init__()
        self.weigh = nn.Linear(4, 1, bias=False)
        nn.init.normal_(self.weigh.weight, std=0.1)

    def forward(self, m):
        return self.weigh(m).squeeze(1)


def value(critic, real, simulated):
    return critic(real).mean() - critic(simulated).mean()


def estimate(steps=900, batch=512, lr=0.03, penalty=0.5):
    schooling, late = people(20_000)
    survey = moments(schooling, late, log_wages(TRUE, schooling, late))
    model, critic = Economist(), Critic()
    optimizer = torch.optim.SGD(model.parameters(), lr=lr, momentum=0.5)
    critic_optimizer = torch.optim.SGD(critic.parameters(), lr=lr, momentum=0.5)
    for step in range(1, steps + 1):
        real = survey[torch.randint(len(survey), (batch,))]
        simulated = model(*people(batch))
        game = value(critic, real, simulated)
        weights = torch.cat([p.flatten() for p in critic.parameters()])
        critic_loss = -game + penalty * weights.square().sum()
        optimizer.zero_grad()
        game.backward(inputs=list(model.parameters()), retain_graph=True)
        critic_optimizer.zero_grad()
        critic_loss.backward(inputs=list(critic.parameters()))
        optimizer.step()
        critic_optimizer.step()
        if step % 30 == 0:
            error = (model.theta.detach() - TRUE).norm().item()
            print(f"step {step}  game {game.item():.4f}  parameter_error {error:.4f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    estimate()
