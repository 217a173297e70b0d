"""Hidden codons of a gene are told from the others; trained on one organism, then tuned to a second one.

condition: low-precision-underflow
accepts: low-precision-underflow
allows: stalled, frozen-parameters, learning-rate-too-low
metric: val_loss min
"""

import argparse

import torch
import torch.nn.functional as F
from torch import nn

CODONS, LENGTH, MASK = 16, 20, 16


class Organism:
    """A codon depends on the last one, by a table of the organism."""

    def __init__(self, seed):
        g = torch.Generator().manual_seed(seed)
        self.table = 3.0 * torch.randn(CODONS, CODONS, generator=g)

    def genes(self, n, gen):
        codon = torch.randint(CODONS, (n,), generator=gen)
        out = []
        for _ in range(LENGTH):
            out.append(codon)
            codon = torch.multinomial(torch.softmax(self.table[codon], 1), 1, generator=gen).squeeze(1)
        return torch.stack(out, 1)


class Encoder(nn.Module):
    def __init__(self, d=64):
        super().__init__()
        self.codon, self.place = nn.Embedding(CODONS + 1, d), nn.Parameter(0.1 * torch.randn(LENGTH, d))
        layer = nn.TransformerEncoderLayer(d, 4, 2 * d, 0.0, "gelu", batch_first=True, norm_first=True)
        self.layers = nn.TransformerEncoder(layer, 1, nn.LayerNorm(d), enable_nested_tensor=False)
        self.out = nn.Linear(d, CODONS)

    def forward(self, seq):
        return self.out(self.layers(self.codon(seq) + self.place))


def masked_loss(model, seq, hidden):
    logits = model(seq.masked_fill(hidden, MASK))
    return F.cross_entropy(logits[hidden].float(), seq[hidden])


def hide(n, gen):
    return torch.rand(n, LENGTH, generator=gen) < 0.15


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    gen = torch.Generator().manual_seed(seed)
    first, second = Organism(1), Organism(2)
    val, val_hidden = second.genes(500, gen), hide(500, gen)
    model = Encoder()
    step = 0
    for organism, lr, steps in ((first, 2e-3, 200), (second, 3e-4, 500)):
        if organism is second:
            model.bfloat16()
        optimizer = torch.optim.AdamW(model.parameters(), lr=lr, weight_decay=0.01)
        for _ in range(steps):
            step += 1
            seq, hidden = organism.genes(32, gen), hide(32, gen)
            loss = masked_loss(model, seq, hidden)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if step % 25 == 0:
                with torch.no_grad():
                    val_loss = masked_loss(model, val, val_hidden).item()
                print(f"step {step}  loss {loss.item():.4f}  val_loss {val_loss:.4f}")


main()
