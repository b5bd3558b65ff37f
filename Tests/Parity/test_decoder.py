"""Random VQGANs of many shapes: `rudolph decode` against the upstream class, the plain decoder and the wavelet one."""
import gc
import json
import shutil

import numpy
import torch
from PIL import Image

import api
import checkpoints
import programs
import report
from checkpoints import SBER_VQGAN, VQGAN, Shape

SHAPES = [
    (Shape("decoder-plain", layers=1), ["f32", "f16"]),
    (Shape("decoder-odd-latents", layers=1, side=6, vqgan=VQGAN(embedding=40)), ["f32", "f16"]),
    (Shape("decoder-narrow-latents", layers=1, side=3, codes=131, vqgan=VQGAN(embedding=8)), ["f32", "f16"]),
    (Shape("decoder-many-blocks", layers=1, side=5, vqgan=VQGAN(multipliers=(1, 2, 2, 3), residual_blocks=3, embedding=48)), ["f32", "f16"]),
    (Shape("decoder-wavelet", layers=1, vqgan=VQGAN(dwt=True)), ["f32", "f16", "int8"]),
    (Shape("decoder-wavelet-odd-latents", layers=1, side=7, vqgan=VQGAN(embedding=40, residual_blocks=2, dwt=True)), ["f32", "f16"]),
    (Shape("decoder-sber", layers=1, side=16, codes=8192, vqgan=SBER_VQGAN), ["f16"]),
]
# Upstream's byte is its value cut off after a multiplication with 255: ours may be another where that value is this close to the next.
SLACK = 0.02
FAST = 45  # dB, of pictures decoded with products of 16-bit integers


@torch.no_grad()
def compare(made: checkpoints.Checkpoint, weight_type: str, seed: int) -> None:
    shape = made.shape
    model = programs.convert(made.folder, weight_type)
    vae = api.picture_decoder(made.vqgan, shape.vqgan.parameters(shape.codes))
    generator = torch.Generator().manual_seed(seed)
    side = (16 if shape.vqgan.dwt else 8) * shape.side
    outside, clipped, total, furthest, squares = 0, 0, 0, 0.0, 0.0
    tokens_file, picture_file = programs.WORK / "tokens.json", programs.WORK / "decoded.png"
    for _ in range(1 if shape.side == 16 else 3):
        tokens = torch.randint(shape.codes, (1, shape.side**2), generator=generator)
        tokens_file.write_text(json.dumps(tokens[0].tolist()))
        picture_file.unlink(missing_ok=True)
        programs.run("rudolph", "decode", "--model", model, "--tokens", tokens_file, "-o", picture_file)
        ours = numpy.asarray(Image.open(picture_file))
        expected = vae.decode(tokens)[0].permute(1, 2, 0).double().numpy() * 255
        if ours.shape != expected.shape:
            report.check(False, f"{shape.name} {weight_type}: a picture of {ours.shape}, expected {expected.shape}")
            return
        # 0 ... 1 where the byte is the cut-off value.
        rest = expected - ours
        distance = numpy.maximum(-rest, rest - 1)
        furthest = max(furthest, distance.max())
        outside += int((~(distance <= SLACK)).sum())
        clipped += int(((expected <= 0) | (expected >= 255)).sum())
        total += expected.size
        picture_file.unlink()
        programs.run("rudolph", "decode", "--image-arithmetic", "fast", "--model", model, "--tokens", tokens_file, "-o", picture_file)
        fast = numpy.asarray(Image.open(picture_file)).astype(float)
        squares += float(((fast - numpy.clip(numpy.floor(expected), 0, 255)) ** 2).sum())
    model.unlink()
    report.check(
        outside == 0 and clipped < total // 2,
        f"{shape.name} {weight_type}: {side} x {side} pixels: {outside} of {total} bytes beyond upstream's value + {SLACK} of 255"
        f" (furthest {furthest:.1e} of 255; {clipped / total:.0%} clipped)")
    psnr = 10 * numpy.log10(255**2 * total / max(squares, 1))
    report.check(psnr >= FAST, f"{shape.name} {weight_type}: by the fast arithmetic {psnr:.1f} dB from upstream's, {FAST} expected")


def main() -> None:
    programs.WORK.mkdir(parents=True, exist_ok=True)
    for seed, (shape, types) in enumerate(SHAPES):
        made = checkpoints.write(shape, programs.WORK / shape.name, seed + 100)
        for weight_type in types:
            compare(made, weight_type, seed)
        shutil.rmtree(made.folder)
        del made
        gc.collect()
    report.finish()


if __name__ == "__main__":
    main()
