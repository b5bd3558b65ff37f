#!/usr/bin/env python3
"""Writes checkpoints with random weights in the shapes, names and file formats of the published models, to measure with.

    python3 Benchmarks/synthetic.py --preset 2.7B --output folder

puts pytorch_model.bin (torch.save's zip format, half precision, mask buffers included), vqgan.ckpt (the 8192-code VQGAN) and
bpe.model (16384 ids) into the folder. Weights are written as they are drawn, so any preset needs little memory. Needs numpy, not torch.
"""
import argparse
import collections
import io
import math
import pathlib
import pickle
import sys
import types
import zipfile

import numpy as np

# layers, hidden, heads, left text, image side, right text, kernel, last kernel, text specials, image specials
PRESETS = {
    "350M": (24, 1024, 16, 64, 16, 64, 7, 9, 384, 384),
    "350M-v1": (24, 1024, 16, 64, 16, 64, 7, 9, 0, 0),
    "1.3B": (24, 2048, 16, 128, 32, 128, 9, 11, 2048, 64),
    "2.7B": (32, 2560, 32, 384, 24, 128, 7, 9, 1024, 1024),
    "2.7B-FBC2": (32, 2560, 32, 384, 24, 128, 7, 9, 1024, 1024),
}
BPE_IDS, CODES = 16384, 8192
EOS = 3
CHUNK = 1 << 22  # values drawn at a time


def stand_in(module, name):
    """An object that pickles as the global `module.name`, without the package being there."""
    made = type(name, (), {"__module__": module})
    parent = sys.modules.setdefault(module, types.ModuleType(module))
    setattr(parent, name, made)
    return made


for package in ("torch", "torch._utils"):
    sys.modules[package] = types.ModuleType(package)
HALF_STORAGE = stand_in("torch", "HalfStorage")
BOOL_STORAGE = stand_in("torch", "BoolStorage")
REBUILD = stand_in("torch._utils", "_rebuild_tensor_v2")


class Tensor:
    """A tensor of the checkpoint: its shape and how to draw its bytes, a chunk at a time."""

    def __init__(self, shape, chunks, storage_class=HALF_STORAGE):
        self.shape, self.chunks, self.storage_class = tuple(shape), chunks, storage_class
        self.count = math.prod(self.shape)
        self.key = None

    def __reduce__(self):
        strides = [math.prod(self.shape[i + 1:]) for i in range(len(self.shape))]
        return REBUILD, (Storage(self), 0, self.shape, tuple(strides), False, collections.OrderedDict())


class Storage:
    def __init__(self, tensor):
        self.tensor = tensor


class Pickler(pickle.Pickler):
    def persistent_id(self, value):
        if isinstance(value, Storage):
            return "storage", value.tensor.storage_class, value.tensor.key, "cpu", value.tensor.count
        return None


def save(path, tensors, wrap=lambda state: state):
    """What torch.save(wrap(tensors), path) would write."""
    for key, tensor in enumerate(tensors.values()):
        tensor.key = str(key)
    buffer = io.BytesIO()
    Pickler(buffer, protocol=2).dump(wrap(collections.OrderedDict(tensors)))
    root = path.stem
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
        archive.writestr(f"{root}/data.pkl", buffer.getvalue())
        archive.writestr(f"{root}/byteorder", "little")
        for tensor in tensors.values():
            with archive.open(f"{root}/data/{tensor.key}", "w", force_zip64=True) as entry:
                for chunk in tensor.chunks():
                    entry.write(chunk.tobytes())
        archive.writestr(f"{root}/version", "3\n")


class Weights:
    def __init__(self, seed):
        self.random = np.random.default_rng(seed)
        self.tensors = {}

    def normal(self, name, shape, deviation):
        def chunks(left=math.prod(shape)):
            while left > 0:
                count = min(left, CHUNK)
                yield (self.random.standard_normal(count, np.float32) * np.float32(deviation)).astype(np.float16)
                left -= count
        self.tensors[name] = Tensor(shape, chunks)

    def change(self, name, indices, value):
        """Elements of a vector that is there, without another use of random numbers."""
        vector = self.tensors[name]

        def chunks():
            values = np.concatenate(list(vector.chunks()))
            values[indices] = value
            yield values
        self.tensors[name] = Tensor(vector.shape, chunks)

    def constant(self, name, size, value):
        self.tensors[name] = Tensor([size], lambda: [np.full(size, value, np.float16)])

    def norm(self, name, size):
        self.constant(name + ".weight", size, 1)
        self.constant(name + ".bias", size, 0)

    def linear(self, name, rows, columns, deviation):
        self.normal(name + ".weight", [rows, columns], deviation)
        self.normal(name + ".bias", [rows], 0.01)

    def convolution(self, name, columns, rows, kernel=3):
        self.normal(name + ".weight", [rows, columns, kernel, kernel], (columns * kernel * kernel) ** -0.5)
        self.normal(name + ".bias", [rows], 0.01)


def masks(left, side, right, kernel, last_kernel):
    """The reference's four mask buffers."""
    length = left + side * side + right
    positions = np.arange(length)
    causal = positions[None, :] <= positions[:, None]
    image = (positions >= left) & (positions < left + side * side)
    both = image[:, None] & image[None, :]
    distance = positions[:, None] - positions[None, :]
    row, column = np.divmod(positions - left, side)

    def window(size):
        near = (abs(row[:, None] - row[None, :]) <= size // 2) & (abs(column[:, None] - column[None, :]) <= size // 2)
        return causal & (~both | near)

    return {
        "row_mask": causal & (~both | (distance <= side)),
        "col_mask": causal & (~both | (distance % side == 0)),
        "conv_mask": window(kernel),
        "last_conv_mask": window(last_kernel),
    }


def transformer(preset, seed):
    layers, hidden, _, left, side, right, kernel, last_kernel, text_specials, image_specials = PRESETS[preset]
    text_rows, image_rows = BPE_IDS + left + text_specials, CODES + image_specials
    weights = Weights(seed)
    for name, rows in [
        ("text", text_rows), ("image", image_rows), ("l_text_pos", left + 1), ("r_text_pos", right + 1), ("image_row", side),
        ("image_col", side),
    ]:
        weights.normal(f"{name}_embeddings.weight", [rows, hidden], 0.02)
    weights.norm("to_logits.0", hidden)
    weights.linear("to_logits.1", text_rows + image_rows, hidden, 0.02)
    # No text ends before its length: of what is measured, all sequences run from beginning to end.
    weights.change("to_logits.1.bias", [EOS, *range(BPE_IDS, text_rows)], -1000)
    for name, mask in masks(left, side, right, kernel, last_kernel).items():
        weights.tensors[f"transformer.{name}"] = Tensor(mask.shape, lambda mask=mask: [mask], BOOL_STORAGE)
    for layer in range(layers):
        name = f"transformer.layers.{layer}."
        for norm in ("input", "before_first_addition", "before_second_addition", "post_attention"):
            weights.norm(f"{name}{norm}_layernorm", hidden)
        weights.linear(name + "attention.query_key_value", 3 * hidden, hidden, 0.02)
        weights.linear(name + "attention.dense", hidden, hidden, 0.02)
        weights.linear(name + "mlp.dense_h_to_4h", 4 * hidden, hidden, 0.02)
        weights.linear(name + "mlp.dense_4h_to_h", hidden, 4 * hidden, 0.02)
    weights.norm("transformer.final_layernorm", hidden)
    return weights.tensors


def vqgan(seed, channels=128, multipliers=(1, 1, 2, 4), blocks=2, z=256):
    weights = Weights(seed)

    def block(name, inside, outside):
        weights.norm(name + ".norm1", inside)
        weights.convolution(name + ".conv1", inside, outside)
        weights.norm(name + ".norm2", outside)
        weights.convolution(name + ".conv2", outside, outside)
        if inside != outside:
            weights.convolution(name + ".nin_shortcut", inside, outside, 1)

    def attention(name, width):
        weights.norm(name + ".norm", width)
        for part in ("q", "k", "v", "proj_out"):
            weights.convolution(f"{name}.{part}", width, width, 1)

    def middle(name, width):
        block(name + ".block_1", width, width)
        attention(name + ".attn_1", width)
        block(name + ".block_2", width, width)

    width, last = channels, len(multipliers) - 1
    weights.convolution("encoder.conv_in", 3, width)
    for level, multiplier in enumerate(multipliers):
        for index in range(blocks):
            block(f"encoder.down.{level}.block.{index}", width, channels * multiplier)
            width = channels * multiplier
            if level == last:
                attention(f"encoder.down.{level}.attn.{index}", width)
        if level < last:
            weights.convolution(f"encoder.down.{level}.downsample.conv", width, width)
    middle("encoder.mid", width)
    weights.norm("encoder.norm_out", width)
    weights.convolution("encoder.conv_out", width, z)
    weights.convolution("decoder.conv_in", z, width)
    middle("decoder.mid", width)
    for level, multiplier in reversed(list(enumerate(multipliers))):
        for index in range(blocks + 1):
            block(f"decoder.up.{level}.block.{index}", width, channels * multiplier)
            width = channels * multiplier
            if level == last:
                attention(f"decoder.up.{level}.attn.{index}", width)
        if level > 0:
            weights.convolution(f"decoder.up.{level}.upsample.conv", width, width)
    weights.norm("decoder.norm_out", width)
    weights.convolution("decoder.conv_out", width, 3)
    weights.convolution("quantize.proj", z, CODES, 1)
    weights.normal("quantize.embed.weight", [CODES, z], 1)
    weights.convolution("quant_conv", z, z, 1)
    weights.convolution("post_quant_conv", z, z, 1)
    return weights.tensors


def tokenizer(seed):
    """A valid YouTokenToMe model: Russian letters and random merges of what is already there."""
    random = np.random.default_rng(seed)
    characters = [0x2581] + [ord(c) for c in "абвгдежзийклмнопрстуфхцчшщъыьэюяё0123456789abcdefghijklmnopqrstuvwxyz.,:;!?-«»()\"'/%"]
    lines = [f"{codepoint} {4 + index}" for index, codepoint in enumerate(characters)]
    seen, known = set(), 4 + len(characters)
    first = known
    while known < BPE_IDS:
        pair = tuple(int(x) for x in random.integers(4, min(known, 2 * first), 2))
        if pair not in seen:
            seen.add(pair)
            lines.append(f"{pair[0]} {pair[1]} {known}")
            known += 1
    return f"{len(characters)} {known - first}\n" + "\n".join(lines) + "\n1 0 2 3\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", choices=PRESETS, required=True)
    parser.add_argument("--output", type=pathlib.Path, required=True, help="folder, made if it is not there")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    (arguments.output / "bpe.model").write_text(tokenizer(arguments.seed))
    save(arguments.output / "vqgan.ckpt", vqgan(arguments.seed), lambda state: {"state_dict": state})
    save(arguments.output / "pytorch_model.bin", transformer(arguments.preset, arguments.seed))


if __name__ == "__main__":
    main()
