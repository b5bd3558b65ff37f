"""Image preparation (`rudolph encode --prepared-pixels`) against Pillow, and pictures of many kinds."""
import io
import random
import struct
import sys
import zlib

import numpy
from PIL import Image, ImageOps

import programs
import report

SIDE = 64  # of the demo model
SIZES = [
    (1, 1), (1, 2), (2, 1), (1, 500), (500, 1), (2, 2), (3, 2), (2, 5), (7, 7), (8, 9), (9, 8), (31, 64), (63, 63), (64, 64), (64, 65),
    (65, 64), (66, 64), (64, 67), (65, 65), (127, 128), (128, 128), (129, 128), (100, 333), (640, 480), (481, 640), (1000, 999),
    (1023, 1025), (1920, 1080), (17, 2048), (3001, 19),
]


def reference(path, side: int) -> numpy.ndarray:
    """What the reference makes of a picture: [side, side, 3] bytes."""
    image = ImageOps.exif_transpose(Image.open(path))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, (255, 255, 255, 255)), image)
    image = image.convert("RGB")
    left, top, square = crop(image.width, image.height)
    image = image.crop((left, top, left + square, top + square)).resize((side, side), Image.Resampling.BILINEAR)
    return numpy.asarray(image)


def crop(width: int, height: int) -> tuple[int, int, int]:
    """torchvision.transforms.RandomResizedCrop.get_params with scale and ratio (1, 1), random offsets taken as 0."""
    square = int(round((width * height) ** 0.5))
    if 0 < square <= width and 0 < square <= height:
        return 0, 0, square
    square = min(width, height)  # the central crop: in_ratio is below or above 1
    return (width - square) // 2, (height - square) // 2, square


def noise(chance: random.Random, width: int, height: int, channels: int) -> numpy.ndarray:
    """Waves and noise, so that both smooth and hard edges are there."""
    state = numpy.random.default_rng(chance.randrange(2**32))
    y, x = numpy.mgrid[0:height, 0:width][..., None] / max(width, height)
    waves = numpy.sin(x * state.uniform(1, 40, channels) + y * state.uniform(1, 40, channels)) * 127 + 128
    grains = state.integers(0, 256, (height, width, channels))
    return numpy.where(state.random((height, width, 1)) < 0.3, grains, waves).astype(numpy.uint8)


def png16(chance: random.Random, width: int, height: int, colour_type: int, channels: int) -> bytes:
    """A 16-bit PNG; Pillow writes only grey ones."""
    samples = numpy.random.default_rng(chance.randrange(2**32)).integers(0, 65536, (height, width * channels), dtype=numpy.uint16)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in samples)

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 16, colour_type, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def encoded(image: Image.Image, kind: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def pictures(chance: random.Random):
    """(name, bytes of the file, exact?): JPEG decoders may differ by a little."""
    for width, height in SIZES + [(chance.randint(1, 300), chance.randint(1, 300)) for _ in range(120)]:
        yield f"rgb-{width}x{height}.png", encoded(Image.fromarray(noise(chance, width, height, 3)), "PNG"), True

    for width, height in [(1, 1), (50, 37), (64, 64), (130, 200)]:
        size = f"{width}x{height}"
        grey = Image.fromarray(noise(chance, width, height, 1)[..., 0])
        rgb = Image.fromarray(noise(chance, width, height, 3))
        rgba = Image.fromarray(noise(chance, width, height, 4))
        yield f"grey-{size}.png", encoded(grey, "PNG"), True
        yield f"grey-1-bit-{size}.png", encoded(grey.convert("1"), "PNG"), True
        yield f"grey-alpha-{size}.png", encoded(Image.fromarray(noise(chance, width, height, 2), "LA"), "PNG"), True
        yield f"alpha-{size}.png", encoded(rgba, "PNG"), True
        for colours in (2, 4, 16, 256):
            yield f"palette-{colours}-{size}.png", encoded(rgb.quantize(colours), "PNG"), True
        yield f"palette-clear-{size}.png", encoded(rgb.quantize(16), "PNG", transparency=3), True
        yield f"palette-alpha-{size}.png", encoded(rgb.quantize(16), "PNG", transparency=bytes(range(0, 256, 16))), True
        yield f"rgb-key-{size}.png", encoded(rgb, "PNG", transparency=rgb.getpixel((0, 0))), True
        yield f"grey-key-{size}.png", encoded(grey, "PNG", transparency=grey.getpixel((0, 0))), True
        for name, colour_type, channels in [("grey", 0, 1), ("rgb", 2, 3), ("grey-alpha", 4, 2), ("alpha", 6, 4)]:
            yield f"16-bit-{name}-{size}.png", png16(chance, width, height, colour_type, channels), True

        cmyk = Image.fromarray(noise(chance, width, height, 4), "CMYK")
        for name, image in [("rgb", rgb), ("grey", grey), ("cmyk", cmyk)]:
            yield f"{name}-{size}.jpg", encoded(image, "JPEG", quality=90), False
            yield f"{name}-progressive-{size}.jpg", encoded(image, "JPEG", quality=80, progressive=True), False
        yield f"rgb-444-{size}.jpg", encoded(rgb, "JPEG", quality=95, subsampling=0), False
        for orientation in range(1, 9):
            exif = Image.Exif()
            exif[0x0112] = orientation
            yield f"rotated-{orientation}-{size}.jpg", encoded(rgb, "JPEG", quality=90, exif=exif), False
            yield f"rotated-{orientation}-{size}.png", encoded(rgb, "PNG", exif=exif), True


def main() -> None:
    folder = programs.WORK / "pictures"
    folder.mkdir(parents=True, exist_ok=True)
    model = programs.convert(programs.ROOT / "Models" / "demo" / "float", "f16")
    chance = random.Random(9 if sys.argv[1:] != ["full"] else 10)
    counts = {True: [0, 0], False: [0, 0]}
    largest = 0
    for name, data, exact in pictures(chance):
        path = folder / name
        path.write_bytes(data)
        out = folder / "prepared.ppm"
        programs.run("rudolph", "encode", "--model", model, "--prepared-pixels", out, path)
        ours = numpy.asarray(Image.open(out)).astype(int)
        difference = int(numpy.abs(ours - reference(path, SIDE)).max())
        good = ours.shape == (SIDE, SIDE, 3) and difference <= (0 if exact else 2)
        counts[exact][0] += good
        counts[exact][1] += 1
        if not exact:
            largest = max(largest, difference)
        if good:
            path.unlink()
        else:
            report.note(f"{path}: a byte differs by {difference}")
    for exact, what in [(True, "PNG pictures equal to the byte"), (False, f"JPEG pictures within 2 (largest difference {largest})")]:
        report.check(counts[exact][0] == counts[exact][1], f"image preparation: {counts[exact][0]} of {counts[exact][1]} {what}")
    report.finish()


if __name__ == "__main__":
    main()
