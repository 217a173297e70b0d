"""A deep encoder tags the parts of postal addresses; each layer also blends in what the whole line says.

condition: healthy
metric: accuracy max
"""

import argparse

import torch
from torch import nn

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--blend", type=float, default=0.15)
args = parser.parse_args()
torch.manual_seed(args.seed)

STEPS, LENGTH, WIDTH, DEPTH = 300, 14, 32, 5
PARTS = ["house", "street", "flat", "town", "code", "rest"]
NUMBER, NAME, ROAD, FLOOR, COMMA, PAD = 0, 10, 30, 34, 36, 37


def addresses(count):
    """'12 elm road , flat 3 , kelby , 4 7 1' in several orders: a number's meaning hangs on its place and company."""
    words, tags = torch.full((count, LENGTH), PAD), torch.full((count, LENGTH), 5)
    draws = torch.randint(0, 1000, (count, 10)).tolist()
    for row, d in enumerate(draws):
        house, other = [(d[0] % 10, 0)], [(NAME + d[1] % 20, 1), (ROAD + d[2] % 4, 1)]
        line = house + other if d[3] % 2 else other + house
        flat = [(FLOOR + d[4] % 2, 2), (d[5] % 10, 2)] if d[6] % 3 else []
        town = [(NAME + d[7] % 20, 3)]
        code = [(n, 4) for n in (d[8] % 10, d[8] // 10 % 10, d[8] // 100 % 10)]
        end = code + town if d[9] % 2 else town + code
        both = flat + [(COMMA, 5)] + line if d[9] % 4 > 1 else line + [(COMMA, 5)] + flat
        for place, (word, tag) in enumerate(both + [(COMMA, 5)] + end):
            words[row, place], tags[row, place] = word, tag
    return words, tags


class Layer(nn.Module):
    def __init__(self, heads=4):
        super().__init__()
        self.attention = nn.MultiheadAttention(WIDTH, heads, batch_first=True)
        self.mlp = nn.Sequential(nn.Linear(WIDTH, 2 * WIDTH), nn.GELU(), nn.Linear(2 * WIDTH, WIDTH))
        self.first, self.second = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)

    def forward(self, x, blend):
        x = self.first(x + self.attention(x, x, x, need_weights=False)[0])
        x = torch.lerp(x, x.mean(1, keepdim=True), blend)
        return self.second(x + self.mlp(x))


class Tagger(nn.Module):
    def __init__(self):
        super().__init__()
        self.word = nn.Embedding(PAD + 1, WIDTH)
        self.place = nn.Parameter(0.3 * torch.randn(LENGTH, WIDTH))
        self.layers = nn.ModuleList(Layer() for _ in range(DEPTH))
        self.head = nn.Linear(WIDTH, len(PARTS))

    def forward(self, words, blend):
        x = self.word(words) + self.place
        for layer in self.layers:
            x = layer(x, blend)
        return self.head(x)


words, tags = addresses(1500)
test_words, test_tags = addresses(100)
model = Tagger()
optimizer = torch.optim.AdamW(model.parameters(), lr=1.5e-3, weight_decay=0.01)
loss_fn = nn.CrossEntropyLoss()

for step in range(STEPS):
    blend = args.blend * min(1, step / 200)
    rows = torch.randint(len(words), (24,))
    loss = loss_fn(model(words[rows], blend).transpose(1, 2), tags[rows])
    optimizer.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), 5.0)
    optimizer.step()
    if step % 12 == 0:
        with torch.no_grad():
            right = model(test_words, blend).argmax(-1) == test_tags
        accuracy = right[test_words != PAD].float().mean()
        print(f"step {step}  loss {loss.item():.4f}  accuracy {accuracy.item():.4f}")
