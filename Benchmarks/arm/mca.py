#!/usr/bin/env python3
"""What llvm-mca says of the ARM kernels' inner loops: cycles, products per cycle, share of the core's multiply peak.

    python3 Benchmarks/arm/mca.py                 the table
    python3 Benchmarks/arm/mca.py --summary       and llvm-mca's summary of each loop
    python3 Benchmarks/arm/mca.py --code NAME     and the instructions of the loops whose name has NAME in it

Needs clang and Debian's llvm-19. loops.c, which includes the kernels, is compiled as the package compiles them; of a function, the
innermost loop with the most multiplications (the shortest of several) is cut out and given to llvm-mca, which takes every load for one
from L1. The script fails if that loop does not multiply as many numbers as the table below expects of it.
"""
import argparse
import functools
import os
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
CLANG = os.environ.get("CLANG", "clang")
MCA = os.environ.get("LLVM_MCA", "llvm-mca-19")
ITERATIONS = 200

# The multiplication of a loop: what it looks like in assembly, products of one, an example to measure its peak with.
WIDEN = (r"(?:smull2?|smlal2?)\s+v\d+\.8h", 8, "smlal v{}.8h, v30.8b, v31.8b")
WIDEN16 = (r"smlal2?\s+v\d+\.4s", 4, "smlal v{}.4s, v30.4h, v31.4h")
PAIRED16 = (WIDEN16[0], 8, WIDEN16[2])  # of two sums: each stands for two products
DOT = (r"sdot\s", 16, "sdot v{}.4s, v30.16b, v31.4b[0]")
SQUARE = (r"smmla\s", 32, "smmla v{}.4s, v30.16b, v31.16b")
# 16-bit x is two bytes here: half of the products count.
DOT16 = (r"sdot\s", 8, "sdot v{}.4s, v30.16b, v31.4b[0]")
SQUARE16 = (r"smmla\s", 16, "smmla v{}.4s, v30.16b, v31.16b")
FLOAT = (r"fmla\s", 4, "fmla v{}.4s, v30.4s, v31.4s")
F16 = (r"fcvtl2?\s", 4, FLOAT[2])  # by the conversions, one for each multiplication
STARTED = (r"f(?:mla|mul)\s", 4, FLOAT[2])  # sums that start with a product, and the scale of each
NONE = (r"(?:ushr|fcvt[a-z]*|frint[a-z]*)\s", 0, None)  # to find the loop by

# kernels, function, what it is, multiplication, rows of x, rows of the panel, columns; bytes of weights where a row of x is decoded
NEON = [
    ("NEON", "int8_1", "int8 with int8 x, one row", WIDEN, 1, 16, 8, 128),
    ("NEON", "int8_2", "int8 with int8 x, two rows; many", WIDEN, 2, 16, 8, 128),
    ("NEON", "int16_1", "int8 with int16 x, one row", WIDEN16, 1, 8, 4, 32),
    ("NEON", "int16_2", "int8 with int16 x, two rows", WIDEN16, 2, 8, 4, 0),
    ("NEON", "paired_2", "int8 with int16 x, many rows", PAIRED16, 2, 8, 8, 0),
    ("NEON", "int4_1", "int4, one row", WIDEN, 1, 16, 32, 272),
    ("NEON", "int4_2", "int4, few rows", WIDEN, 2, 16, 32, 272),
    ("NEON", "int4_many_2", "int4, many rows", WIDEN, 2, 16, 32, 0),
    ("NEON", "int4_unpack", "int4, unpacking for many rows", NONE, 0, 16, 32, 0),
    ("ATTENTION", "share_keys_int8", "int8 scores, 4 queries with 4 keys of a tile", WIDEN16, 4, 4, 8, 0),
    ("ATTENTION", "share_values_int8", "int8 values, 8 queries with 4 keys", WIDEN16, 8, 8, 4, 0),
    ("ATTENTION", "add_values_int8", "int8 values, 1 query with 4 keys", WIDEN16, 1, 64, 4, 0),
]
FLOATS = [
    ("NEON", "float_6", "f32 and f16, many rows", FLOAT, 6, 16, 4, 0),
    ("CONV", "multiply", "Winograd's products, six tiles", FLOAT, 6, 16, 4, 0),
    ("ATTENTION", "share_keys_f16", "scores, 2 queries with 4 keys of a tile", STARTED, 2, 4, 64, 0),
    ("ATTENTION", "score_keys_f16", "scores, 1 query with 4 keys", FLOAT, 1, 4, 16, 0),
    ("ATTENTION", "share_values_f16", "values, 8 queries with 4 keys", FLOAT, 8, 8, 4, 0),
    ("ATTENTION", "add_values_f16", "values, 1 query", F16, 1, 64, 1, 0),
    ("QUANTIZE", "row", "quantizing 32 activations to int8", NONE, 1, 1, 32, 0),
    ("QUANTIZE", "row16", "quantizing 16 activations to int16", NONE, 1, 1, 16, 0),
]
DOTPROD = [
    ("DOTPROD", "int8_1", "int8 with int8 x, one row", DOT, 1, 16, 16, 256),
    ("DOTPROD", "int8_2", "int8 with int8 x, two rows", DOT, 2, 16, 16, 256),
    ("DOTPROD", "int8_4", "int8 with int8 x, many rows", DOT, 4, 16, 16, 0),
    ("DOTPROD", "int16_1", "int8 with int16 x, one row", DOT16, 1, 16, 16, 256),
    ("DOTPROD", "int16_2", "int8 with int16 x, many rows", DOT16, 2, 16, 16, 0),
    ("DOTPROD", "int4_1", "int4, one row", DOT, 1, 16, 32, 272),
    ("DOTPROD", "int4_2", "int4, two rows", DOT, 2, 16, 32, 272),
    ("DOTPROD", "int4_many_4", "int4, many rows", DOT, 4, 8, 32, 0),
    ("DOTPROD", "int4_unpack", "int4, unpacking for many rows", NONE, 0, 16, 32, 0),
    ("ATTENTION_DOTPROD", "share_values_int8", "int8 values, a byte of their weights, 8 queries with 4 keys", DOT, 8, 8, 4, 0),
    ("ATTENTION_DOTPROD", "add_values_int8", "int8 values, a byte of their weights, 1 query with 4 keys", DOT, 1, 64, 4, 0),
]
I8MM = [
    ("I8MM", "int8_many_6", "int8 with int8 x, many rows", SQUARE, 6, 16, 8, 0),
    ("I8MM", "int16_1", "int8 with int16 x, one row", SQUARE16, 1, 8, 8, 64),
    ("I8MM", "int16_4", "int8 with int16 x, many rows", SQUARE16, 4, 8, 8, 0),
    ("I8MM", "int4_many_4", "int4, many rows", SQUARE, 4, 8, 32, 0),
    ("I8MM", "int4_unpack", "int4, unpacking for many rows", NONE, 0, 16, 32, 0),
]
# The core's model in LLVM, the board's clock in GHz, its loops
CORES = [("cortex-a72", "Pi 4", 1.8, NEON + FLOATS), ("neoverse-n1", "Pi 5", 2.4, DOTPROD + FLOATS), ("neoverse-v1", "", 0, I8MM)]


def run(command, text=""):
    result = subprocess.run(command, input=text, text=True, capture_output=True)
    if result.returncode:
        sys.exit(f"{' '.join(command)}: {result.stderr.strip()}")
    return result.stdout


@functools.cache
def assembly(kernels):
    return run([CLANG, "--target=aarch64-linux-gnu", "-O2", "-fPIC", "-I", str(ROOT / "CKernels"), f"-DKERNELS_{kernels}", "-S", "-o", "-",
                str(ROOT / "Benchmarks/arm/loops.c")])


def innermost_loops(kernels, function):
    """The instructions of each loop of a function that has no loop in it: from a label to the branch back to it."""
    body = re.search(rf"^{function}:.*?\n(.*?)^\.Lfunc_end", assembly(kernels), re.S | re.M)
    if not body:
        sys.exit(f"{kernels} has no function {function}")
    lines = body.group(1).split("\n")
    labels = {line.split(":")[0]: i for i, line in enumerate(lines) if re.match(r"\.LBB\w+:", line)}
    spans = set()
    for i, line in enumerate(lines):
        branch = re.match(r"\s+(?:b|b\.\w+|cbn?z|tbn?z)\s.*?(\.LBB\w+)$", line)
        if branch and labels.get(branch.group(1), len(lines)) <= i:
            spans.add((labels[branch.group(1)], i))
    for span in sorted(spans):
        if not any(other != span and span[0] <= other[0] and other[1] <= span[1] for other in spans):
            yield [line.split("//")[0].rstrip() for line in lines[span[0]:span[1] + 1] if re.match(r"\s+[a-z]", line)]


@functools.cache
def loop_of(core, kernels, function):
    """The instructions of the loop that CORES lists for a function."""
    pattern = next(loop[3][0] for name, _, _, loops in CORES if name == core for loop in loops if loop[:2] == (kernels, function))
    return tuple(max(innermost_loops(kernels, function), key=lambda loop: (multiplications(pattern, loop), -len(loop))))


def multiplications(pattern, loop):
    return sum(bool(re.match(r"\s+" + pattern, line)) for line in loop)


@functools.cache
def analyse(instructions, core):
    """llvm-mca's summary and the cycles of one iteration."""
    report = run([MCA, "-mtriple=aarch64", f"-mcpu={core}", "-mattr=+dotprod,+i8mm", f"-iterations={ITERATIONS}",
                  "-instruction-info=0", "-resource-pressure=0"], "\n".join(instructions) + "\n")
    return report.strip(), int(re.search(r"Total Cycles:\s+(\d+)", report).group(1)) / ITERATIONS


def multiplications_per_cycle(example, core):
    """Of sixteen that do not depend on each other."""
    return 16 / analyse(tuple(example.format(register) for register in range(16)), core)[1]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--summary", action="store_true")
    parser.add_argument("--code", metavar="NAME")
    arguments = parser.parse_args()
    for core, board, clock, loops in CORES:
        print(f"{core}{f', the core of a {board}' if board else ''}")
        for pattern, products, example in dict.fromkeys(loop[3] for loop in loops):
            if example:
                rate = multiplications_per_cycle(example, core)
                print(f"  {example.split()[0]}: {rate:.2f} per cycle, {products} products each: at most {rate * products:.0f} products per cycle")
        print("\n| loop | function | rows of x | tile: panel rows x columns | cycles | products per cycle | of the peak |" + " reads |")
        print("|---|---|---|---|---|---|---|---|")
        reports = []
        for kernels, function, what, (pattern, products, example), rows, panel_rows, columns, read in loops:
            loop = loop_of(core, kernels, function)
            summary, cycles = analyse(loop, core)
            expected = rows * panel_rows * columns
            found = multiplications(pattern, loop)
            scaled = rows * panel_rows if pattern == STARTED[0] else 0
            if products and found * products != expected + scaled:
                sys.exit(f"{kernels} {function}: {found} multiplications of {products}, expected {expected} products")
            rate, share, speed = "", "", ""
            if products:
                rate = f"{expected / cycles:.1f}"
                share = f"{expected / cycles / products / multiplications_per_cycle(example, core):.0%}"
            if read and clock:
                speed = f"{read / cycles * clock:.1f} GB/s"
            print(f"| {what} | {kernels.lower()} {function} | {rows or ''} | {panel_rows} x {columns} | {cycles:.1f} | {rate} | {share} | {speed} |")
            if arguments.summary:
                reports.append(f"{function}\n{summary}")
            if arguments.code and arguments.code in function:
                reports.append("\n".join(loop))
        print()
        for report in reports:
            print(report + "\n")


if __name__ == "__main__":
    main()
