"""Container codes read by a GRU: which of five firms owns it; later a second port joins with codes of its own pattern.

condition: healthy
metric: val_error min
"""

import argparse

import torch
from torch import nn

SIGNS, LENGTH, FIRMS = 20, 10, 5


def codes(n, port, g):
    """The firm follows from two signs; which two depends on the port's way to write."""
    code = torch.randint(SIGNS, (n, LENGTH), generator=g)
    first, second = (2, 5) if port == 0 else (6, 3)
    firm = (code[:, first] // 4 + (port + 1) * (code[:, second] // 10)) % FIRMS
    return code, firm, torch.full((n,), port)


class Clerk(nn.Module):
    def __init__(self, size=48):
        super().__init__()
        self.sign, self.port = nn.Embedding(SIGNS, size), nn.Embedding(2, size)
        self.place = nn.Parameter(0.5 * torch.randn(LENGTH, size))
        self.gru = nn.GRU(size, size, batch_first=True, bidirectional=True)
        self.firm = nn.Linear(2 * size, FIRMS)

    def forward(self, code, port):
        h, _ = self.gru(self.sign(code) + self.place + self.port(port)[:, None])
        return self.firm(h.amax(1))


def stage(model, optimizer, ports, steps, exams, g, done):
    loss_fn = nn.CrossEntropyLoss()
    for step in range(1, steps + 1):
        parts = [codes(64 // len(ports), port, g) for port in ports]
        code, firm, port = (torch.cat(t) for t in zip(*parts))
        loss = loss_fn(model(code, port), firm)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 20 == 0:
            with torch.no_grad():
                wrong = [(model(c, p).argmax(1) != f).float().mean().item() for c, f, p in exams]
            print(f"step {done + step}  loss {loss.item():.4f}  val_error {sum(wrong) / len(wrong):.4f}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    g = torch.Generator().manual_seed(seed)
    exams = [codes(300, port, g) for port in (0, 1)]
    model = Clerk()
    stage(model, torch.optim.Adam(model.parameters(), lr=3e-3), [0], 240, exams, g, 0)
    stage(model, torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=0.01), [0, 1], 360, exams, g, 240)


if __name__ == "__main__":
    main()
