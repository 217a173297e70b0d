"""Which of six lifts answers a call? A policy is trained by its rewards in float16; some lifts are under repair
later on.

condition: healthy
metric: share_best max
"""

import argparse

import torch
from torch import nn

LIFTS, FLOORS = 6, 20


def calls(count, repair):
    """Floor and direction of the call; floor, direction and load of each lift; which lifts are in service."""
    floor = torch.randint(FLOORS, (count, 1)).float()
    wanted = torch.randint(2, (count, 1)) * 2.0 - 1
    at = torch.randint(FLOORS, (count, LIFTS)).float()
    moving = torch.randint(2, (count, LIFTS)) * 2.0 - 1
    load = torch.rand(count, LIFTS)
    away = (floor - at) * moving < 0
    wait = (floor - at).abs() + 8 * away + 6 * (load > 0.8) + 3 * (moving != wanted)
    in_service = torch.rand(count, LIFTS) >= repair
    in_service[:, 0] |= ~in_service.any(1)
    seen = torch.cat([floor / 10 - 1, wanted, at / 10 - 1, moving, 2 * load - 1, in_service.float()], 1)
    return seen, wait, in_service


class Dispatcher(nn.Module):
    def __init__(self, width=96):
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(2 + 4 * LIFTS, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU(), nn.Linear(width, LIFTS)
        )

    def forward(self, seen, in_service):
        return self.net(seen).float().masked_fill(~in_service, float("-inf"))


def entropy(probs):
    return -(probs * probs.clamp(min=1e-12).log()).sum(1).mean()


def policy_loss(model, seen, wait, in_service):
    with torch.autocast("cpu", torch.float16):
        logits = model(seen, in_service)
    probs = logits.softmax(1)
    lift = torch.multinomial(probs.detach(), 1)
    reward = -wait.gather(1, lift).squeeze(1)
    expected = (probs.detach() * -wait).sum(1)
    advantage = (reward - expected) / 5
    chosen = probs.gather(1, lift).squeeze(1).clamp(min=1e-6).log()
    return -(advantage * chosen).mean() - 0.01 * entropy(probs)


@torch.no_grad()
def examine(model, repair):
    seen, wait, in_service = calls(1000, repair)
    lift = model(seen, in_service).argmax(1, keepdim=True)
    best = wait.masked_fill(~in_service, 1e6).amin(1, keepdim=True)
    return (wait.gather(1, lift) <= best).float().mean().item()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    model = Dispatcher()
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**12)
    for step in range(1, 701):
        repair = 0.0 if step <= 120 else 0.3
        loss = policy_loss(model, *calls(256, repair))
        optimizer.zero_grad()
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
        if step % 20 == 0:
            print(f"step {step}  repair {repair}  share_best {examine(model, repair):.4f}")
