"""Who is it? Sixty people from twelve noisy measures of their faces; an angular margin, and cosines times sixty-four.

condition: healthy
metric: verified max
"""

import argparse
import math

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

PEOPLE, MEASURES = 60, 24


class ArcMargin(nn.Module):
    """Additive angular margin: the angle to one's own class centre must be smaller by the margin than to any other."""

    def __init__(self, dim, classes, scale=64.0, margin=0.3):
        super().__init__()
        self.centres = nn.Parameter(torch.empty(classes, dim))
        nn.init.xavier_normal_(self.centres)
        self.scale, self.cos, self.sin = scale, math.cos(margin), math.sin(margin)

    def forward(self, codes, label):
        cosine = F.linear(F.normalize(codes, dim=1), F.normalize(self.centres, dim=1)).clamp(-0.9999, 0.9999)
        own = cosine.gather(1, label[:, None])
        shifted = own * self.cos - (1 - own.square()).sqrt() * self.sin
        return self.scale * cosine.scatter(1, label[:, None], shifted)


class Encoder(nn.Sequential):
    def __init__(self, hidden=128, dim=24):
        super().__init__(
            nn.Linear(MEASURES, hidden),
            nn.BatchNorm1d(hidden),
            nn.PReLU(hidden),
            nn.Linear(hidden, hidden),
            nn.BatchNorm1d(hidden),
            nn.PReLU(hidden),
            nn.Linear(hidden, dim),
            nn.BatchNorm1d(dim),
        )


def photographs(people, each, generator, mixing):
    """What a camera measures of a person: light and pose are added and mixed in."""
    person = torch.arange(people).repeat_interleave(each)
    face = torch.randn(people, 10, generator=generator)[person]
    pose = torch.randn(len(person), 6, generator=generator)
    latent = torch.cat([face, 0.8 * pose, face[:, :6] * pose.tanh()], 1)
    return torch.tanh(latent @ mixing) + 0.05 * torch.randn(len(person), MEASURES, generator=generator), person


@torch.no_grad()
def verified(model, photos, person):
    """The area under the curve for telling pairs of one person from pairs of two."""
    model.eval()
    codes = F.normalize(model(photos), dim=1)
    model.train()
    likeness = codes @ codes.T
    pair = torch.triu_indices(len(photos), len(photos), 1)
    same = (person[:, None] == person)[pair[0], pair[1]]
    score = likeness[pair[0], pair[1]]
    rank = score.argsort().argsort().float()
    hits = same.sum()
    return ((rank[same].sum() - hits * (hits - 1) / 2) / (hits * (~same).sum())).item()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    mixing = torch.randn(22, MEASURES, generator=generator) / 22**0.5
    train = TensorDataset(*photographs(PEOPLE, 40, generator, mixing))
    test = photographs(40, 8, generator, mixing)
    loader = DataLoader(train, batch_size=80, shuffle=True, generator=generator)
    model = Encoder()
    margin = ArcMargin(24, PEOPLE)
    optimizer = torch.optim.SGD([*model.parameters(), *margin.parameters()], 0.05, momentum=0.9, weight_decay=5e-4)
    schedule = torch.optim.lr_scheduler.MultiStepLR(optimizer, [10, 14], gamma=0.2)
    loss_fn = nn.CrossEntropyLoss()
    for epoch in range(1, 17):
        for photos, person in loader:
            loss = loss_fn(margin(model(photos), person), person)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        schedule.step()
        print(f"epoch {epoch}  loss {loss.item():.4f}  verified {verified(model, *test):.4f}")


if __name__ == "__main__":
    main()
