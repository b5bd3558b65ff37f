"""Random models of many shapes: `rudolph logits` and `rudolph encode` against the upstream classes."""
import gc
import json
import math
import random
import shutil
import sys

import numpy
import torch
from PIL import Image

import checkpoints
import programs
import report
from checkpoints import SBER_VQGAN, VQGAN, Shape

# Largest difference of a logit, relative to the largest logit.
EXACT = {"f32": 1e-3, "f16": 1e-3}
# Root mean square of the differences, relative to that of the logits: quantized weights are near, misplaced ones are not.
NEAR = {"int8": 0.05, "int4": 0.4}
# Two codes whose logits are this close may change places.
MARGIN = 1e-3
# Share of image tokens that products of 16-bit integers leave as they are.
FAST = 0.985

SMALL = [
    Shape("plain"),
    Shape("one-layer", layers=1, last_kernel=3),
    Shape("no-specials", layers=3, text_specials=0, image_specials=0),
    Shape("odd-vocabulary", layers=4, bpe=517, text_specials=13, codes=131, image_specials=3),
    Shape("odd-heads", layers=4, hidden=60, heads=5, left=5, right=3),
    Shape("one-head", layers=2, hidden=40, heads=1, side=3, left=7, right=9),
    Shape("narrow-heads", layers=5, hidden=96, heads=32),
    Shape("wide-kernels", layers=6, side=8, kernel=7, last_kernel=9, left=16, right=12),
    Shape("even-kernels", layers=4, side=6, kernel=4, last_kernel=6),
    Shape("kernel-1", layers=4, side=5, kernel=1, last_kernel=1, hidden=72, heads=3),
    Shape("kernel-over-image", layers=4, side=4, kernel=11, last_kernel=15),
    Shape("long-texts", layers=5, left=70, side=2, right=50, hidden=128, heads=8),
    Shape("short-texts", layers=4, left=3, side=7, right=2, hidden=48, heads=2),
    Shape("350M-heads", layers=6, hidden=256, heads=4, left=32, right=32, side=8, kernel=7, last_kernel=9,
          vqgan=VQGAN(channels=64, residual_blocks=2, embedding=64)),
    Shape("2.7B-heads", layers=4, hidden=160, heads=2, left=24, right=8, side=6, kernel=7, last_kernel=9,
          vqgan=VQGAN(multipliers=(1, 2, 2, 3), residual_blocks=3, embedding=48)),
    Shape("odd-latents", layers=1, side=6, vqgan=VQGAN(embedding=40)),
]
SBER = Shape("sber-vqgan", layers=1, hidden=64, side=16, codes=8192, vqgan=SBER_VQGAN)
FULL = Shape(
    "350M", layers=24, hidden=1024, heads=16, left=64, side=16, right=64, kernel=7, last_kernel=9, bpe=16384, text_specials=384,
    codes=8192, image_specials=384, vqgan=SBER_VQGAN, preset="350M")


def random_ids(shape: Shape, chance: random.Random) -> list[int]:
    """A full sequence with pads, task tokens and special image tokens in it."""
    def text(length: int) -> list[int]:
        filled = chance.randint(min(2, length), length)
        ids = [chance.randrange(1, shape.bpe + shape.text_specials) for _ in range(filled)]
        return ids + [0] * (length - filled)

    image = [chance.randrange(shape.image_rows) for _ in range(shape.side**2)]
    return text(shape.left) + image + text(shape.right)


def compare_logits(made: checkpoints.Checkpoint, ids: list[int], weight_type: str) -> None:
    shape = made.shape
    model = programs.convert(made.folder, weight_type, shape.preset)
    ids_file, logits_file = programs.WORK / "ids.json", programs.WORK / "logits.f32"
    ids_file.write_text(json.dumps(ids))
    logits_file.unlink(missing_ok=True)
    programs.run("rudolph", "logits", "--model", model, "--ids", ids_file, "-o", logits_file)
    rows = shape.text_rows + shape.image_rows
    ours = numpy.fromfile(logits_file, dtype="<f4")
    model.unlink()
    if ours.size != shape.length * rows:
        report.check(False, f"{shape.name} {weight_type}: {ours.size} logits, expected {shape.length} x {rows}")
        return

    expected = checkpoints.logits(made.transformer, ids).numpy()
    ours = ours.reshape(expected.shape)
    difference = numpy.abs(ours - expected)
    largest = difference.max() / numpy.abs(expected).max()
    rms = ((difference**2).mean() / (expected**2).mean()) ** 0.5
    ends = [0, shape.left, shape.left + shape.side**2, shape.length]
    parts = ", ".join(f"{difference[a:b].max() / numpy.abs(expected).max():.1e}" for a, b in zip(ends, ends[1:]))
    same = (ours.argmax(1) == expected.argmax(1)).mean()
    # A comparison with a value that is no number fails.
    passed = largest <= EXACT[weight_type] if weight_type in EXACT else rms <= NEAR[weight_type]
    report.check(
        bool(passed),
        f"{shape.name} {weight_type}: logits differ by {parts} of the largest (left, image, right), rms {rms:.1e}, same arg-max {same:.1%}")


def compare_image_tokens(made: checkpoints.Checkpoint, weight_type: str, chance: random.Random, count: int = 4) -> None:
    shape = made.shape
    side = 8 * shape.side
    model = programs.convert(made.folder, weight_type, shape.preset)
    different, close, fast, total, seen = 0, 0, 0, 0, set()
    for index in range(count):
        state = numpy.random.default_rng(chance.randrange(2**32))
        blocks = state.integers(0, 256, (shape.side, shape.side, 3)).repeat(8, 0).repeat(8, 1)
        pixels = numpy.clip(blocks + state.normal(0, 20 * index, blocks.shape), 0, 255).astype(numpy.uint8)
        path = programs.WORK / "picture.png"
        Image.fromarray(pixels).save(path)
        tokens = programs.json_lines(programs.run("rudolph", "encode", "--model", model, "--json", path))[0]["tokens"]

        logits = checkpoints.code_logits(made.vqgan, torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 255)[0].flatten(1)
        best = logits.max(0)
        seen.update(best.indices.tolist())
        total += best.indices.numel()
        if len(tokens) != best.indices.numel() or not all(0 <= token < shape.codes for token in tokens):
            report.check(False, f"{shape.name} {weight_type}: {len(tokens)} image tokens, expected {best.indices.numel()} below {shape.codes}")
            return
        ours = torch.tensor(tokens)
        gap = best.values - logits.gather(0, ours[None])[0]
        close += int(((ours != best.indices) & (gap <= MARGIN)).sum())
        different += int((gap > MARGIN).sum())
        line = programs.run("rudolph", "encode", "--image-arithmetic", "fast", "--model", model, "--json", path)
        fast += int((torch.tensor(programs.json_lines(line)[0]["tokens"]) == best.indices).sum())
    model.unlink()
    report.check(
        different == 0 and close <= total // 100,
        f"{shape.name} {weight_type}: image tokens of {side} x {side} pixels: {total - different - close} of {total} equal,"
        f" {close} differ within the margin of {MARGIN:g}, {different} beyond it ({len(seen)} codes seen)")
    # Few tokens are enough for chance to be unkind.
    allowed = max(2, math.floor((1 - FAST) * total))
    report.check(
        total - fast <= allowed,
        f"{shape.name} {weight_type}: image tokens by the fast arithmetic: {fast} of {total} equal, {total - allowed} expected")


def main() -> None:
    full = sys.argv[1:] == ["full"]
    programs.WORK.mkdir(parents=True, exist_ok=True)
    chance = random.Random(350)
    for seed, shape in enumerate(SMALL + [SBER] + ([FULL] if full else [])):
        made = checkpoints.write(shape, programs.WORK / shape.name, seed)
        ids = random_ids(shape, chance)
        # The large model in the types that people run; the small ones in all.
        types = ["f16", "int8", "int4"] if shape is FULL else ["f32", "f16", "int8", "int4"]
        for weight_type in types:
            compare_logits(made, ids, weight_type)
        for weight_type in ["f16"] if shape is FULL else ["f32", "f16"]:
            compare_image_tokens(made, weight_type, chance)
        shutil.rmtree(made.folder)
        del made
        gc.collect()
    report.finish()


if __name__ == "__main__":
    main()
