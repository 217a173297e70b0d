"""A small encoder reads lines of invoices: masked tokens first, then which account a line is booked on.

condition: healthy
metric: val_loss min
"""

import argparse

import torch
import torch.nn.functional as F
from torch import nn

TOKENS, LENGTH, ACCOUNTS, MASK = 60, 10, 6, 60


class Encoder(nn.Module):
    def __init__(self, width=48):
        super().__init__()
        self.token, self.place = nn.Embedding(TOKENS + 1, width), nn.Parameter(0.1 * torch.randn(LENGTH, width))
        layer = nn.TransformerEncoderLayer(width, 4, 96, dropout=0.1, batch_first=True, norm_first=True)
        self.layers = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.words, self.account = nn.Linear(width, TOKENS), nn.Linear(width, ACCOUNTS)

    def forward(self, x):
        return self.layers(self.token(x) + self.place)


class Invoices:
    """Goods have a kind; a line names two goods, an amount and a tax; the kinds of the goods tell the account."""

    def __init__(self, rng):
        self.rng = rng
        self.table = torch.tensor([[0, 1, 2, 0], [1, 3, 4, 2], [2, 4, 5, 3], [0, 2, 3, 5]])

    def lines(self, count):
        kind = torch.randint(0, 4, (count, 2), generator=self.rng)
        goods = kind * 10 + torch.randint(0, 10, (count, 2), generator=self.rng)
        repeated = goods.repeat(1, 3)
        other = torch.randint(40, TOKENS, (count, 4), generator=self.rng)
        other[:, 1] = 40 + (other[:, 0] * 3 + kind[:, 0]) % 20
        text = torch.cat([repeated, other], 1)
        typo = torch.rand(text.shape, generator=self.rng) < 0.15
        text = torch.where(typo, torch.randint(0, TOKENS, text.shape, generator=self.rng), text)
        account = self.table[kind[:, 0], kind[:, 1]]
        wrong = torch.rand(count, generator=self.rng) < 0.1
        return text, torch.where(wrong, torch.randint(0, ACCOUNTS, (count,), generator=self.rng), account)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    invoices = Invoices(torch.Generator().manual_seed(seed))
    model = Encoder()
    val_text, val_account = invoices.lines(600)
    hidden = torch.rand(val_text.shape, generator=invoices.rng) < 0.2
    text, account = invoices.lines(12000)
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=0.01)
    for step in range(1, 601):
        if step == 201:
            optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.01)
        model.train()
        if step <= 200:
            lines, _ = invoices.lines(64)
            masked = torch.rand(lines.shape, generator=invoices.rng) < 0.2
            loss = F.cross_entropy(model.words(model(lines.masked_fill(masked, MASK)))[masked], lines[masked])
        else:
            optimizer.param_groups[0]["lr"] = 1e-3 * (1.05 - (step - 200) / 400)
            rows = torch.randint(0, len(text), (32,), generator=invoices.rng)
            loss = F.cross_entropy(model.account(model(text[rows]).mean(1)), account[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 20 == 0:
            model.eval()
            with torch.no_grad():
                if step <= 200:
                    scores = model.words(model(val_text.masked_fill(hidden, MASK)))[hidden]
                    val_loss = F.cross_entropy(scores, val_text[hidden]).item()
                else:
                    val_loss = F.cross_entropy(model.account(model(val_text).mean(1)), val_account).item()
            print(f"step {step}  loss {loss.item():.4f}  val_loss {val_loss:.4f}")


main()
