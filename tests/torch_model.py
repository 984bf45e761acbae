"""A model with convolution, recurrence and attention, here and in PyTorch, under the same names.

`python tests/torch_model.py` stores PyTorch's weights in data/torch_model.safetensors, as its users save them, and what
it computes in data/torch_model.npz.
"""

from __future__ import annotations

from typing import Any

import numpy as np

if __name__ == "__main__":
    import sys
    from pathlib import Path

    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from autodiff import nn
from tests.torch_cases import DATA, pack, pytorch


class Model(nn.Module):
    """Images (N, 1, 8, 8) to logits (N, 3)."""

    def __init__(self, dtype: Any = np.float32) -> None:
        self.stem = nn.Sequential(
            nn.Conv2d(1, 4, 3, padding=1, dtype=dtype), nn.BatchNorm(4, dtype=dtype), nn.ReLU(), nn.MaxPool2d(2)
        )
        self.lstm = nn.LSTM(16, 3, bidirectional=True, dtype=dtype)
        self.blocks = [
            nn.TransformerBlock(6, 2, 8, norm_first=i > 0, activation=nn.ReLU(), dtype=dtype) for i in range(2)
        ]
        self.square = nn.Linear(6, 6, dtype=dtype)
        self.norm = nn.LayerNorm(6, dtype=dtype)
        self.head = nn.Linear(6, 3, dtype=dtype)

    def forward(self, x: Any) -> Any:
        x = self.stem(x)
        x, _ = self.lstm(x.transpose(0, 2, 1, 3).reshape((len(x), 4, 16)))
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(self.square(x)).mean(axis=1))


def theirs(torch: Any) -> Any:
    class TheirModel(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            n = torch.nn
            self.stem = n.Sequential(n.Conv2d(1, 4, 3, padding=1), n.BatchNorm2d(4), n.ReLU(), n.MaxPool2d(2))
            self.lstm = n.LSTM(16, 3, bidirectional=True, batch_first=True)
            self.blocks = n.ModuleList(
                [n.TransformerEncoderLayer(6, 2, 8, 0.0, batch_first=True, norm_first=i > 0) for i in range(2)]
            )
            self.square, self.norm, self.head = n.Linear(6, 6), n.LayerNorm(6), n.Linear(6, 3)

        def forward(self, x: Any) -> Any:
            x = self.stem(x)
            x, _ = self.lstm(x.transpose(1, 2).reshape(len(x), 4, 16))
            for block in self.blocks:
                x = block(x)
            return self.head(self.norm(self.square(x)).mean(1))

    return TheirModel()


def write() -> None:
    import safetensors.torch

    torch = pytorch()
    torch.manual_seed(0)
    model = theirs(torch)
    x = torch.randn(5, 1, 8, 8)
    with torch.no_grad():
        for p in model.parameters():
            p += 0.2 * torch.randn_like(p)
        for _ in range(3):
            model(x)  # moves the running averages
        y = model.eval()(x)
    safetensors.torch.save_file(model.state_dict(), DATA / "torch_model.safetensors")
    pack(DATA / "torch_model.npz", {"model": {"x": x.numpy(), "y": y.numpy()}})


if __name__ == "__main__":
    write()
