"""Wine cultivars by a population of networks: the worst copy the best and shake its rate; later all rates cool.

condition: healthy
metric: best_loss min
"""

import argparse
import copy

import torch
import torch.nn.functional as F
from sklearn.datasets import load_wine
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler
from torch import nn


class Worker:
    def __init__(self, rate, decay):
        self.model = nn.Sequential(nn.Linear(13, 24), nn.Tanh(), nn.Dropout(0.3), nn.Linear(24, 3))
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=rate, weight_decay=decay)

    def train(self, x, y, steps):
        self.model.train()
        for _ in range(steps):
            rows = torch.randint(len(x), (24,))
            loss = F.cross_entropy(self.model(x[rows] + 0.3 * torch.randn(24, 13)), y[rows])
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()

    @torch.no_grad()
    def score(self, x, y):
        self.model.eval()
        return F.cross_entropy(self.model(x), y).item()

    def copy_from(self, other, rng):
        self.model.load_state_dict(other.model.state_dict())
        self.optimizer.load_state_dict(copy.deepcopy(other.optimizer.state_dict()))
        group = self.optimizer.param_groups[0]
        for key in ("lr", "weight_decay"):
            group[key] *= 0.7 if torch.rand((), generator=rng) < 0.5 else 1.3


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    rng = torch.Generator().manual_seed(seed)
    x, y = load_wine(return_X_y=True)
    x, x_val, y, y_val = train_test_split(x, y, test_size=0.45, random_state=0, stratify=y)
    scaler = StandardScaler().fit(x)
    x, x_val = (torch.tensor(scaler.transform(a), dtype=torch.float32) for a in (x, x_val))
    y, y_val = torch.tensor(y), torch.tensor(y_val)
    workers = [
        Worker(10 ** (-3.2 + 1.0 * k / 5), 10 ** (-3 + 2 * torch.rand((), generator=rng).item())) for k in range(6)
    ]
    for turn in range(1, 21):
        for worker in workers:
            worker.train(x, y, 15)
        scores = [w.score(x_val, y_val) for w in workers]
        order = sorted(range(6), key=scores.__getitem__)
        rates = [workers[k].optimizer.param_groups[0]["lr"] for k in order]
        print(f"round {turn}  best_rate {rates[0]:.4f}  mean {sum(scores) / 6:.4f}  best_loss {scores[order[0]]:.4f}")
        workers[order[-1]].copy_from(workers[order[0]], rng)
        for worker in workers:
            worker.optimizer.param_groups[0]["lr"] *= 0.75 if turn > 10 else 1.0


if __name__ == "__main__":
    main()
