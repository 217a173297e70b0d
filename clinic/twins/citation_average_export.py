"""Fields of papers from a citation graph with sixty known labels: graph convolution with dropout, averaged weights.

condition: healthy
metric: val_loss min
"""

import argparse
import io

import torch
import torch.nn.functional as F
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

PAPERS, FIELDS, WORDS = 400, 4, 120


def library(rng):
    """Papers cite their own field more often; a third of their words tells of it."""
    field = torch.randint(FIELDS, (PAPERS,), generator=rng)
    same = field[:, None] == field
    cites = (torch.rand(PAPERS, PAPERS, generator=rng) < torch.where(same, 0.016, 0.005)).float()
    links = ((cites + cites.T + torch.eye(PAPERS)) > 0).float()
    degree = links.sum(1)
    usual = 0.03 + 0.11 * (torch.rand(FIELDS, WORDS, generator=torch.Generator().manual_seed(3)) < 0.15)
    words = (torch.rand(PAPERS, WORDS, generator=rng) < usual[field]).float()
    return links / (degree[:, None] * degree).sqrt(), words / words.sum(1, keepdim=True).clamp(min=1), field


class CitationNet(nn.Module):
    def __init__(self, hidden=64, drop=0.7):
        super().__init__()
        self.drop = nn.Dropout(drop)
        self.first, self.second = nn.Linear(WORDS, hidden), nn.Linear(hidden, FIELDS)

    def forward(self, graph, words):
        h = F.relu(graph @ self.first(self.drop(words)))
        return graph @ self.second(self.drop(h))


def export(model, graph, words):
    """A snapshot of the weights, with a checksum of what they answer."""
    model.eval()
    with torch.no_grad():
        checksum = model(graph, words).abs().sum().item()
    file = io.BytesIO()
    torch.save({"weights": model.state_dict(), "checksum": checksum}, file)
    model.train()
    return file


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    graph, words, field = library(torch.Generator().manual_seed(seed))
    known, held = slice(0, 60), slice(100, None)
    model = CitationNet()
    average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.95))
    average.eval()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for step in range(1, 421):
        loss = F.cross_entropy(model(graph, words)[known], field[known])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        average.update_parameters(model)
        if step % 160 == 0:
            export(model, graph, words)
        if step % 14 == 0:
            with torch.no_grad():
                val_loss = F.cross_entropy(average(graph, words)[held], field[held]).item()
            print(f"step {step}  loss {loss.item():.4f}  val_loss {val_loss:.4f}")


if __name__ == "__main__":
    main()
