"""Writes the pictures of this folder and, as NAME.ppm beside each, the pixels that Pillow makes of it.

    python make.py        (made with Pillow 13.0.0 and its libjpeg-turbo 3.2.0)

Most PNG files are put together here byte by byte: Pillow writes neither interlaced ones nor most sample formats.
"""
import io
import pathlib
import struct
import zlib

import numpy as np
from PIL import Image, ImageOps

HERE = pathlib.Path(__file__).parent
random = np.random.default_rng(2022)


def save(name, data):
    image = Image.open(io.BytesIO(data))
    image.load()
    image = ImageOps.exif_transpose(image)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    image = image.convert("RGB")
    (HERE / name).write_bytes(data)
    (HERE / f"{name}.ppm").write_bytes(b"P6\n%d %d\n255\n" % image.size + image.tobytes())


# PNG

def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def rows(samples, depth):
    """Filtered rows (all unfiltered) of samples [height, width, channels]."""
    height, width, channels = samples.shape
    out = bytearray()
    for row in samples.reshape(height, -1):
        out.append(0)
        if depth == 16:
            out += row.astype(">u2").tobytes()
        elif depth == 8:
            out += row.astype("u1").tobytes()
        else:
            bits = ((row[:, None] >> np.arange(depth - 1, -1, -1)) & 1).astype("u1").ravel()
            out += np.packbits(bits).tobytes()
    return bytes(out)


def png(samples, depth, colour, before=(), after=(), interlaced=False):
    samples = np.asarray(samples)
    if samples.ndim == 2:
        samples = samples[..., None]
    if interlaced:
        passes = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]
        parts = [samples[y::dy, x::dx] for x, y, dx, dy in passes]
        data = b"".join(rows(part, depth) for part in parts if part.size)
    else:
        data = rows(samples, depth)
    height, width = samples.shape[:2]
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, int(interlaced))
    chunks = [(b"IHDR", header), *before, (b"IDAT", zlib.compress(data, 9)), *after, (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*c) for c in chunks)


def exif(orientation, big=True, kind=3):
    order = ">" if big else "<"
    value = struct.pack(order + ("HH" if kind == 3 else "I"), *([orientation, 0] if kind == 3 else [orientation]))
    entries = struct.pack(order + "HHI", 0x0100, 4, 1) + struct.pack(order + "I", 7)
    entries += struct.pack(order + "HHI", 0x0112, kind, 1) + value
    return (b"MM\0*" if big else b"II*\0") + struct.pack(order + "IH", 8, 2) + entries + b"\0\0\0\0"


def xmp(text):
    return b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description ' + text + b"/></x:xmpmeta>"


GREY, RGB, PALETTE, GREY_ALPHA, RGBA = 0, 2, 3, 4, 6


def noise(bits, channels=1, height=7, width=13):
    return random.integers(0, 1 << bits, (height, width, channels))


def pngs():
    for depth in (1, 2, 4, 8):
        save(f"grey{depth}.png", png(noise(depth), depth, GREY))
        palette = (b"PLTE", random.integers(0, 256, 3 << depth).astype("u1").tobytes())
        save(f"palette{depth}.png", png(noise(depth), depth, PALETTE, [palette]))
        alphas = (b"tRNS", random.integers(0, 256, (1 << depth) - (depth > 1)).astype("u1").tobytes())
        save(f"palette{depth}_alpha.png", png(noise(depth), depth, PALETTE, [palette, alphas]))
    palette = (b"PLTE", bytes(range(30, 60)))
    save("palette_hidden.png", png(noise(3), 8, PALETTE, [palette, (b"tRNS", b"\xff\xff\0")]))
    save("palette_short.png", png(noise(4), 8, PALETTE, [palette]))  # indices past its end

    edges = np.array([[0, 1, 127, 128, 254, 255, 256, 257, 300, 32767, 32768, 65279, 65280, 65535]])
    save("grey16.png", png(edges, 16, GREY))
    save("rgb16.png", png(np.concatenate([edges[..., None], noise(16, 3, 1, 14)[..., :2]], 2), 16, RGB))
    save("greyalpha8.png", png(noise(8, 2), 8, GREY_ALPHA))
    save("greyalpha16.png", png(noise(16, 2), 16, GREY_ALPHA))
    save("rgb8.png", png(noise(8, 3), 8, RGB))
    save("rgba8.png", png(noise(8, 4), 8, RGBA))
    save("rgba16.png", png(noise(16, 4), 16, RGBA))
    colours = np.minimum(np.arange(258), 255).reshape(1, 86, 3).repeat(256, 0)
    alphas = np.arange(256).reshape(256, 1, 1).repeat(86, 1)
    save("every_alpha.png", png(np.concatenate([colours, alphas], 2), 8, RGBA))

    def hidden(*values):
        return [(b"tRNS", struct.pack(f">{len(values)}H", *values))]

    few = random.integers(0, 2, (5, 6, 3))
    save("grey1_hidden0.png", png(noise(1), 1, GREY, hidden(0)))
    save("grey1_hidden1.png", png(noise(1), 1, GREY, hidden(1)))
    save("grey2_hidden.png", png(noise(2), 2, GREY, hidden(1)))
    save("grey4_hidden.png", png(noise(4), 4, GREY, hidden(0x22)))
    save("grey8_hidden.png", png(noise(2), 8, GREY, hidden(2)))
    save("grey16_hidden.png", png(edges, 16, GREY, hidden(254)))
    save("grey16_hidden_white.png", png(edges, 16, GREY, hidden(32768)))
    save("rgb8_hidden.png", png(few, 8, RGB, hidden(1, 0, 1)))
    save("rgb16_hidden.png", png(few * 0x1234, 16, RGB, hidden(0x1212, 0, 0x12)))

    for width, height in ((1, 1), (2, 3), (5, 1), (1, 9), (13, 11)):
        save(f"interlaced_rgba8_{width}x{height}.png", png(noise(8, 4, height, width), 8, RGBA, interlaced=True))
    save("interlaced_grey1.png", png(noise(1, 1, 10, 19), 1, GREY, interlaced=True))
    save("interlaced_rgb16.png", png(noise(16, 3, 9, 6), 16, RGB, interlaced=True))
    palette = (b"PLTE", random.integers(0, 256, 48).astype("u1").tobytes())
    save("interlaced_palette4.png", png(noise(4, 1, 10, 11), 4, PALETTE, [palette], interlaced=True))

    for orientation in range(0, 10):
        name = f"orientation{orientation}.png"
        save(name, png(noise(8, 3, 3, 5), 8, RGB, [(b"eXIf", exif(orientation, orientation % 2 == 0))], interlaced=orientation == 7))
    save("orientation_long.png", png(noise(8, 3, 3, 5), 8, RGB, [(b"eXIf", exif(6, kind=4))]))
    save("orientation_late.png", png(noise(8, 4, 3, 5), 8, RGBA, after=[(b"eXIf", b"Exif\0\0" + exif(8))]))
    text = b"XML:com.adobe.xmp\0\0\0\0\0" + xmp(b'tiff:Orientation="5"')
    save("orientation_xmp.png", png(noise(8, 3, 3, 5), 8, RGB, [(b"iTXt", text)]))
    save("orientation_exif_over_xmp.png", png(noise(8, 3, 3, 5), 8, RGB, [(b"iTXt", text), (b"eXIf", exif(1))]))
    profiles = [(b"gAMA", struct.pack(">I", 100000)), (b"iCCP", b"broken\0\0not a profile"), (b"tEXt", b"Comment\0text")]
    save("ignored_chunks.png", png(noise(8, 3), 8, RGB, profiles))
    save("trailing.png", png(noise(8, 3), 8, RGB) + b"more bytes")


# JPEG

def photograph(width, height, mode="RGB"):
    y, x = np.mgrid[0:height, 0:width]
    channels = [128 + 90 * np.sin(x / (3 + i) + i) + 40 * np.cos(y / (5 - i)) for i in range(len(mode))]
    pixels = np.stack(channels, 2) + random.normal(0, 6, (height, width, len(mode)))
    pixels = np.clip(pixels, 0, 255).astype("u1")
    return Image.frombytes(mode, (width, height), pixels.tobytes())


def jpeg(image, **options):
    out = io.BytesIO()
    image.save(out, "JPEG", **options)
    return out.getvalue()


def segment(code, data):
    return struct.pack(">BBH", 0xFF, code, len(data) + 2) + data


def with_segment(data, extra):
    return data[:2] + extra + data[2:]


def jpegs():
    for name, subsampling in (("444", "4:4:4"), ("422", "4:2:2"), ("420", "4:2:0"), ("411", "4:1:1"), ("440", (1, 2))):
        if name == "440":  # Pillow does not write it: the factors of a 4:2:2 file of a turned picture are swapped
            data = bytearray(jpeg(photograph(16, 16), quality=90, subsampling="4:2:2"))
            frame = data.index(b"\xff\xc0")
            data[frame + 11] = 0x12
            data = bytes(data)
        else:
            data = jpeg(photograph(43, 29), quality=90, subsampling=subsampling)
        save(f"jpeg{name}.jpg", data)
    save("progressive.jpg", jpeg(photograph(43, 29), quality=75, progressive=True))
    save("restarts.jpg", jpeg(photograph(43, 29), quality=75, restart_marker_blocks=2))
    save("tiny.jpg", jpeg(photograph(1, 1), quality=75))
    save("grey.jpg", jpeg(photograph(21, 30, "L"), quality=80))
    save("rgb.jpg", jpeg(photograph(21, 30), quality=80, keep_rgb=True))
    cmyk = jpeg(photograph(21, 30, "CMYK"), quality=90)
    save("cmyk.jpg", cmyk)
    adobe = cmyk.index(b"Adobe")
    save("ycck.jpg", cmyk[: adobe + 11] + b"\x02" + cmyk[adobe + 12 :])
    save("cmyk_no_marker.jpg", cmyk[: adobe - 4] + cmyk[adobe + 12 :])

    small = jpeg(photograph(19, 11), quality=85)
    for orientation in range(1, 9):
        extra = segment(0xE1, b"Exif\0\0" + exif(orientation, orientation % 2 == 0))
        save(f"orientation{orientation}.jpg", with_segment(small, extra))
    save("orientation6_grey.jpg", with_segment(jpeg(photograph(9, 17, "L")), segment(0xE1, b"Exif\0\0" + exif(6))))
    save("orientation7_cmyk.jpg", with_segment(jpeg(photograph(9, 17, "CMYK")), segment(0xE1, b"Exif\0\0" + exif(7))))
    packet = segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + xmp(b"><tiff:Orientation>3</tiff:Orientation"))
    save("orientation_xmp.jpg", with_segment(small, packet))
    save("orientation_broken_exif.jpg", with_segment(small, segment(0xE1, b"Exif\0\0MM\0*\0\0\xff\xff")))
    save("extraneous.jpg", small[:-2] + b"\x12\x34\x56" + small[-2:])
    save("trailing.jpg", small + small[:100])
    save("thumbnail.jpg", with_segment(small, segment(0xE2, jpeg(photograph(8, 8)))))


pngs()
jpegs()
