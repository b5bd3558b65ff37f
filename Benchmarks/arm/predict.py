#!/usr/bin/env python3
"""Predicts what RUDOLPH-350M does on a Raspberry Pi 4 and 5 from counted instructions (count.sh) and llvm-mca's cycles (mca.py).

    python3 Benchmarks/arm/predict.py [FOLDER]        FOLDER (build/arm) holds 350M-int4-cortex-a72.txt and so on

Compute: of each function, its instructions times the cycles per instruction of its inner loop as llvm-mca sees it, one instruction per
cycle where it has no such loop, over four cores. Memory: bytes that a stage must read over the board's bandwidth. The bound of a stage is
the longer of the two; the prediction adds what the same code loses on a machine where both were measured (LOSS).
"""
import collections
import pathlib
import re
import sys

import mca

LOSS = 1.3  # "Predictions for Raspberry Pi 4 and 5" in Docs/PERFORMANCE.md says what it rests on
CORES = 4
# board, core under QEMU, core of llvm-mca, GHz, GB/s
BOARDS = [("Pi 4", "cortex-a72", "cortex-a72", 1.8, 3.5), ("Pi 5", "cortex-a76", "neoverse-n1", 2.4, 10.0)]
SHARED = {"f32": ("NEON", "float_6"), "f16": ("NEON", "float_6"), "row": ("QUANTIZE", "row"), "row16": ("QUANTIZE", "row16")}
SHARED["multiply"] = ("CONV", "multiply")
SHARED |= {name: ("ATTENTION", name) for name in ("share_keys_f16", "score_keys_f16", "share_values_f16", "add_values_f16")}
VALUES = ("share_values_int8", "add_values_int8")
PRODUCTS = {  # by core and whether a stage has many rows of x
    "cortex-a72": {
        "int4": {False: ("NEON", "int4_1"), True: ("NEON", "int4_many_2")}, "int8": {False: ("NEON", "int8_1"), True: ("NEON", "int8_2")},
        "int16": {False: ("NEON", "int16_1"), True: ("NEON", "paired_2")},
        **{name: dict.fromkeys((False, True), ("ATTENTION", name)) for name in (*VALUES, "share_keys_int8")}},
    "neoverse-n1": {
        "int4": {False: ("DOTPROD", "int4_1"), True: ("DOTPROD", "int4_many_4")},
        "int8": {False: ("DOTPROD", "int8_1"), True: ("DOTPROD", "int8_4")},
        "int16": {False: ("DOTPROD", "int16_1"), True: ("DOTPROD", "int16_2")},
        **{name: dict.fromkeys((False, True), ("ATTENTION_DOTPROD", name)) for name in VALUES}},
}

HIDDEN, LAYERS, HEADS, HEAD_ROWS = 1024, 24, 16, 16384 + 384
LAYER_WEIGHTS = 12 * HIDDEN * HIDDEN * LAYERS
BYTES = {"int4": 4.25 / 8, "int8": 1.0}  # of a weight
KEYS_VALUES = 2 * (HIDDEN + 4 * HEADS) * LAYERS  # bytes of a position, in the int8 cache


def image_encoder_bytes():
    """What Winograd's convolutions read of transformed tiles, every panel of 16 channels all of them, if nothing stays in a cache."""
    convolutions = [(128, 128, 128)] * 4 + [(64, 128, 128)] * 4 + [(32, 128, 256)] + [(32, 256, 256)] * 3 + [(16, 256, 512)]
    convolutions += [(16, 512, 512)] * 7 + [(16, 512, 256)]
    return sum(side * side * 36 / 16 * (inside + 16) * 4 * (1 + outside / 16) for side, inside, outside in convolutions)


def stage_bytes(model, stage):
    weights = LAYER_WEIGHTS * BYTES[model] + HEAD_ROWS * HIDDEN
    if stage == "image":
        return image_encoder_bytes()
    if stage.startswith("token"):
        return weights + KEYS_VALUES * (64 + 256 + 2 + int(stage.split("-")[1]))
    rows = int(stage.split("-")[1])
    blocks = {columns: -(-rows // max(48, (128 << 10) // columns)) for columns in (1024, 4096)}  # as matmul.c cuts x
    return LAYER_WEIGHTS * BYTES[model] * (2 / 3 * blocks[1024] + 1 / 3 * blocks[4096])


def cycles(core, stage, function, instructions):
    many = stage.startswith("read")
    loop = PRODUCTS[core].get(function, {}).get(many) or SHARED.get(function)
    if not loop:
        return instructions
    code = mca.loop_of(core, *loop)
    return instructions * mca.analyse(code, core)[1] / len(code)


def main():
    folder = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else mca.ROOT / "build/arm")
    for model in ("int4", "int8"):
        for board, counted, core, clock, bandwidth in BOARDS:
            path = folder / f"350M-{model}-{counted}.txt"
            if not path.exists():
                print(f"{path} is not there\n")
                continue
            counts = collections.defaultdict(lambda: collections.defaultdict(int))
            for line in path.read_text().splitlines():
                _, stage, function, instructions = re.fullmatch(r"(\d+) (\S+) (.*) (\d+)", line).groups()
                counts[stage][function] += int(instructions)
            print(f"{model}, {board} ({counted}, {CORES} cores at {clock} GHz, {bandwidth} GB/s)\n")
            print("| stage | instructions | most of them in | cycles, one core | compute | memory | bound | predicted |")
            print("|---|---|---|---|---|---|---|---|")
            caption, last = 0, 0
            for stage, functions in counts.items():
                total = sum(functions.values())
                most = ", ".join(f"{name} {share / total:.0%}" for name, share in sorted(functions.items(), key=lambda f: -f[1])[:3])
                spent = sum(cycles(core, stage, name, n) for name, n in functions.items())
                compute, memory = spent / (CORES * clock * 1e9), stage_bytes(model, stage) / (bandwidth * 1e9)
                bound = max(compute, memory)
                caption += bound * LOSS
                last = bound * LOSS
                if not stage.startswith("token") or stage in ("token-1", "token-3", "token-30"):
                    print(f"| {stage} | {total / 1e6:,.1f} M | {most} | {spent / 1e6:,.1f} M | {compute * 1e3:,.1f} ms | {memory * 1e3:,.1f} ms"
                          f" | {bound * 1e3:,.1f} ms | {bound * LOSS * 1e3:,.0f} ms |")
            tokens = sum(stage.startswith("token") for stage in counts)
            caption += (30 - tokens) * last  # where fewer were counted
            print(f"\ncaption of 30 tokens: {caption:.2f} s\n")


if __name__ == "__main__":
    main()
