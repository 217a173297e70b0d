"""A frozen language model of tunes is steered to a genre by six learned vectors in front of the notes.

condition: healthy
metric: val_loss min
"""

import argparse

import torch
import torch.nn.functional as F
from torch import nn

NOTES, LENGTH, PROMPT, WIDTH = 12, 20, 6, 48


def chains(count, seed):
    """Genres: transition tables that share half of their habits."""
    rng = torch.Generator().manual_seed(seed)
    common = torch.randn(NOTES, NOTES, generator=rng)
    return torch.stack([F.softmax(1.6 * (common + torch.randn(NOTES, NOTES, generator=rng)), 1) for _ in range(count)])


def tunes(count, tables):
    genre = torch.randint(len(tables), (count,))
    note = torch.randint(NOTES, (count,))
    tune = [note]
    for _ in range(LENGTH - 1):
        note = tables[genre, note].multinomial(1)[:, 0]
        tune.append(note)
    return torch.stack(tune, 1)


class Tuner(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(NOTES, WIDTH)
        self.place = nn.Parameter(0.1 * torch.randn(LENGTH + PROMPT, WIDTH))
        layer = nn.TransformerEncoderLayer(
            WIDTH, 4, 2 * WIDTH, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
        )
        self.body = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(WIDTH, NOTES)
        self.register_buffer("mask", nn.Transformer.generate_square_subsequent_mask(LENGTH + PROMPT))

    def forward(self, tune, prompt=None):
        h = self.embed(tune)
        if prompt is not None:
            h = torch.cat([prompt.expand(len(tune), -1, -1), h], 1)
        n = h.shape[1]
        h = self.body(h + self.place[-n:], mask=self.mask[:n, :n], is_causal=True)
        return self.head(h[:, -tune.shape[1] :])

    def loss(self, tune, prompt=None):
        return F.cross_entropy(self(tune[:, :-1], prompt).flatten(0, 1), tune[:, 1:].flatten())


def main(seed):
    torch.manual_seed(seed)
    tables = chains(5, 11)
    model = Tuner()
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, total_steps=350, pct_start=0.1)
    for step in range(1, 351):
        tune = tunes(48, tables)
        vectors = model.embed(torch.randint(NOTES, (48, PROMPT))) if step % 2 else None
        loss = model.loss(tune, vectors)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % 70 == 0:
            print(f"step {step}  all_genres {loss.item():.4f}")

    model.requires_grad_(False)
    folk = tables[2:3]
    val = tunes(800, folk)
    prompt = nn.Parameter(model.embed.weight[torch.randint(NOTES, (PROMPT,))].clone())
    optimizer = torch.optim.Adam([prompt], lr=0.1)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 300)
    for step in range(351, 651):
        loss = model.loss(tunes(48, folk), prompt)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % 15 == 5:
            with torch.no_grad():
                print(f"step {step}  loss {loss.item():.4f}  val_loss {model.loss(val, prompt).item():.4f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    main(parser.parse_args().seed)
