"""How many people has a rumour reached? Ten rounds of messages over a network of acquaintances, then a sum.

condition: vanishing-gradient
accepts: vanishing-gradient
allows: stalled, learning-rate-too-low
metric: val_loss min
"""

import argparse

import torch
from torch import nn

PEOPLE, ROUNDS, WIDTH = 16, 10, 32


def towns(count):
    """People with a source among them; each passes a rumour on if he is talkative enough."""
    links = (torch.rand(count, PEOPLE, PEOPLE) < 0.12).float()
    links = ((links + links.transpose(1, 2)) > 0).float() * (1 - torch.eye(PEOPLE))
    talk = torch.rand(count, PEOPLE)
    knows = torch.zeros(count, PEOPLE)
    knows[:, 0] = 1
    features = torch.stack([knows, talk], 2)
    for _ in range(4):
        heard = torch.einsum("bij,bj->bi", links, knows * (talk > 0.35))
        knows = torch.maximum(knows, (heard > 0).float())
    return features, links, (knows.mean(1) - 0.4) / 0.25


class Gossip(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Linear(2, WIDTH)
        self.own = nn.ModuleList(nn.Linear(WIDTH, WIDTH) for _ in range(ROUNDS))
        self.heard = nn.ModuleList(nn.Linear(WIDTH, WIDTH, bias=False) for _ in range(ROUNDS))
        self.read = nn.Linear(WIDTH, 1)

    def forward(self, features, links):
        x = self.embed(features)
        links = links / links.sum(2, keepdim=True).clamp_min(1)
        for own, heard in zip(self.own, self.heard, strict=True):
            x = torch.sigmoid(own(x) + heard(torch.bmm(links, x)))
        return self.read(x).mean(1).squeeze(1)


def main(seed):
    torch.manual_seed(seed)
    model = Gossip()
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    loss_fn = nn.MSELoss()
    *val, reached = towns(300)
    for step in range(1, 301):
        features, links, target = towns(48)
        loss = loss_fn(model(features, links), target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 15 == 0:
            with torch.no_grad():
                val_loss = loss_fn(model(*val), reached).item()
            print(f"step {step}  loss {loss.item():.4f}  val_loss {val_loss:.4f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    main(parser.parse_args().seed)
