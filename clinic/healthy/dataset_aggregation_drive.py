"""Keeping a lane by imitation: the learner drives, the instructor says what he would have done, the data grows (DAgger).

condition: healthy
metric: drift min
"""

import argparse

import torch
from torch import nn
from torch.utils.data import ConcatDataset, DataLoader, TensorDataset

HORIZON, LOOK = 50, 5


class Road:
    """Curvature ahead as a slow random wave; the state is the offset from the lane and the angle to it."""

    def __init__(self, cars, rng):
        self.rng = rng
        bends = torch.randn(cars, 3, generator=rng)[:, :, None]
        phase = 6.28 * torch.rand(cars, 3, generator=rng)[:, :, None]
        t = torch.arange(HORIZON + LOOK).float()
        self.bend = (0.5 * bends * torch.sin(torch.tensor([0.08, 0.15, 0.27])[None, :, None] * t + phase)).sum(1)
        self.offset = 0.5 * torch.randn(cars, generator=rng)
        self.angle = 0.2 * torch.randn(cars, generator=rng)
        self.t = 0

    def view(self):
        return torch.cat([self.offset[:, None], 2 * self.angle[:, None], self.bend[:, self.t : self.t + LOOK]], 1)

    def instructor(self):
        ahead = self.bend[:, self.t : self.t + 3].mean(1)
        grip = 1 / (1 + 0.3 * self.bend[:, self.t] ** 2)
        return torch.tanh(-0.9 * self.offset - 1.8 * self.angle + 0.9 * ahead * grip)

    def steer(self, wheel):
        self.angle = self.angle + 0.2 * (wheel - 0.8 * self.bend[:, self.t] / (1 + 0.3 * self.bend[:, self.t] ** 2))
        self.angle = self.angle + 0.02 * torch.randn(len(wheel), generator=self.rng)
        self.offset = (self.offset + 0.25 * torch.sin(self.angle)).clamp(-4, 4)
        self.t += 1


def drive(model, cars, rng, share=0.0):
    """Views and the instructor's answers; `share` of the cars are driven by the instructor."""
    road, views, answers, drift = Road(cars, rng), [], [], 0.0
    for _ in range(HORIZON):
        view, answer = road.view(), road.instructor()
        with torch.no_grad():
            own = model(view)[:, 0]
        road.steer(torch.where(torch.arange(cars) < share * cars, answer, own))
        views.append(view)
        answers.append(answer)
        drift += road.offset.abs().mean().item() / HORIZON
    return TensorDataset(torch.cat(views), torch.cat(answers)), drift


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    rng = torch.Generator().manual_seed(seed)
    model = nn.Sequential(nn.Linear(2 + LOOK, 48), nn.Tanh(), nn.Linear(48, 48), nn.Tanh(), nn.Linear(48, 1), nn.Tanh())
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    rounds, seen = 18, []
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, rounds, eta_min=1e-4)
    for turn in range(1, rounds + 1):
        data, _ = drive(model, 4, rng, share=0.6 ** (turn - 1))
        seen.append(data)
        for _ in range(5):
            for view, answer in DataLoader(ConcatDataset(seen), batch_size=64, shuffle=True):
                loss = nn.functional.smooth_l1_loss(model(view)[:, 0], answer, beta=0.1)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
        schedule.step()
        _, drift = drive(model, 200, torch.Generator().manual_seed(99))
        print(f"round {turn}  loss {loss.item():.5f}  drift {drift:.4f}")


if __name__ == "__main__":
    main()
