"""A machine's log: a GRU foretells which of eight events comes next and after how many seconds.

condition: healthy
metric: accuracy max
"""

import argparse
from dataclasses import dataclass

import torch
from torch import nn

EVENTS = 8


@dataclass
class Log:
    event: torch.Tensor
    wait: torch.Tensor

    def __getitem__(self, rows):
        return Log(self.event[rows], self.wait[rows])


def record(n, length, rng):
    """What follows depends on the last two events; how long it takes on the last one."""
    follow = torch.randint(EVENTS, (EVENTS, EVENTS), generator=torch.Generator().manual_seed(7))
    usual = torch.linspace(20, 400, EVENTS)
    events = torch.randint(EVENTS, (n, length), generator=rng)
    odd = torch.rand(n, length, generator=rng) < 0.15
    for i in range(2, length):
        events[:, i] = torch.where(odd[:, i], events[:, i], follow[events[:, i - 2], events[:, i - 1]])
    wait = usual[events] * (0.6 + 0.8 * torch.rand(n, length, generator=rng))
    return Log(events, wait)


class EventModel(nn.Module):
    def __init__(self, width=48):
        super().__init__()
        self.embed = nn.Embedding(EVENTS, 16)
        self.gru = nn.GRU(17, width, batch_first=True)
        self.heads = nn.ModuleDict({"event": nn.Linear(width, EVENTS), "wait": nn.Linear(width, 1)})

    def forward(self, log):
        minutes = log.wait.unsqueeze(2) / 60
        states, _ = self.gru(torch.cat([self.embed(log.event), minutes], dim=2))
        return self.heads["event"](states), self.heads["wait"](states).squeeze(2)


def losses(model, log):
    scores, wait = model(log[:, :-1])
    event_loss = nn.functional.cross_entropy(scores.flatten(0, 1), log.event[:, 1:].flatten())
    wait_loss = nn.functional.mse_loss(wait, log.wait[:, 1:] / 200)
    hits = (scores.argmax(2) == log.event[:, 1:]).float()
    return event_loss, wait_loss, hits.mean().item()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    rng = torch.Generator().manual_seed(seed)
    train, val = record(1500, 16, rng), record(200, 16, rng)
    model = EventModel()
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    for step in range(1, 401):
        event_loss, wait_loss, _ = losses(model, train[torch.randint(1500, (32,), generator=rng)])
        loss = event_loss + wait_loss
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimizer.step()
        if step % 16 == 0:
            with torch.no_grad():
                accuracy = losses(model, val)[2]
            print(f"step {step}  event {event_loss.item():.3f}  wait {wait_loss.item():.3f}  accuracy {accuracy:.4f}")


if __name__ == "__main__":
    main()
