#include "cif_internal.h"

#include <stdlib.h>
#include <string.h>
#include <turbojpeg.h>

enum { TEM = 0x01, SOF0 = 0xc0, DHT = 0xc4, JPG = 0xc8, DAC = 0xcc, SOF15 = 0xcf, RST0 = 0xd0, SOI = 0xd8, EOI = 0xd9, APP1 = 0xe1 };

int cif_jpeg_header(const uint8_t *bytes, size_t size, cif_header *header, char message[CIF_MESSAGE]) {
    static const char xmp[] = "http://ns.adobe.com/xap/1.0/";
    cif_orientation orientation = {-1, -1};
    uint32_t width = 0, height = 0;
    size_t position = 2;
    for (;;) {
        // Coded data is passed over here as well: in it 0xff is followed by 0 or a restart marker.
        const uint8_t *marker = memchr(bytes + position, 0xff, size - position);
        if (!marker) break;
        while (marker < bytes + size && *marker == 0xff) marker++;
        if (marker == bytes + size) break;
        position = (size_t)(marker - bytes) + 1;
        int code = *marker;
        if (code == 0 || code == TEM || (code >= RST0 && code <= SOI)) continue;
        if (code == EOI) {
            if (header->components == 0) return cif_fail(message, "damaged JPEG: it has no frame header");
            return cif_finish_header(header, width, height, orientation, message);
        }

        if (size - position < 2) break;
        size_t length = cif_be16(bytes + position);
        if (length < 2)
            return cif_fail(message, "damaged JPEG: segment 0x%02x at byte %zu has length %zu; expected 2 or more", code, position - 2, length);
        if (length > size - position) break;
        const uint8_t *segment = bytes + position + 2;
        size_t payload = length - 2;
        position += length;

        if (code >= SOF0 && code <= SOF15 && code != DHT && code != JPG && code != DAC && header->components == 0) {
            if (payload < 6) return cif_fail(message, "damaged JPEG: its frame header has %zu bytes; expected 6 or more", payload);
            height = cif_be16(segment + 1);
            width = cif_be16(segment + 3);
            header->components = segment[5];
            if (segment[5] != 1 && segment[5] != 3 && segment[5] != 4)
                return cif_fail(message, "a JPEG with %u components; expected 1, 3 or 4", segment[5]);
        } else if (code == APP1 && payload >= 6 && memcmp(segment, "Exif\0\0", 6) == 0) {
            if (orientation.exif < 0) cif_note_exif(&orientation, segment, payload);
        } else if (code == APP1 && payload >= sizeof xmp && memcmp(segment, xmp, sizeof xmp) == 0) {
            cif_note_xmp(&orientation, segment + sizeof xmp, payload - sizeof xmp);
        }
    }
    return cif_fail(message, "truncated JPEG: %zu bytes without an end marker", size);
}

// Warnings after which the pixels are as good as ever. libjpeg keeps the text of the first warning only.
static int is_harmless(const char *warning) {
    return strstr(warning, "extraneous bytes before marker") || strstr(warning, "Unknown Adobe color transform code");
}

static int decompress(
    const uint8_t *bytes, size_t size, const cif_header *header, uint8_t *pixels, int format, char message[CIF_MESSAGE]) {
    tjhandle decoder = tjInitDecompress();
    if (!decoder) return cif_fail(message, "%s", tjGetErrorStr2(NULL));
    int result = tjDecompress2(
        decoder, bytes, (unsigned long)size, pixels, (int)header->stored_width, 0, (int)header->stored_height, format,
        TJFLAG_ACCURATEDCT | TJFLAG_LIMITSCANS);
    if (result != 0) {
        const char *reason = tjGetErrorStr2(decoder);
        if (tjGetErrorCode(decoder) == TJERR_WARNING && is_harmless(reason)) result = 0;
        else result = cif_fail(message, "damaged JPEG: %s", reason);
    }
    tjDestroy(decoder);
    return result;
}

// Round(a * b / 255), as Pillow's MULDIV255.
static uint32_t scale(uint32_t a, uint32_t b) {
    uint32_t product = a * b + 128;
    return ((product >> 8) + product) >> 8;
}

// From inverted cyan, magenta, yellow and black, as Adobe stores them, to what Pillow makes of them.
static void convert_cmyk(const uint8_t *cmyk, uint8_t *rgb) {
    uint32_t white = cmyk[3];
    for (int i = 0; i < 3; i++) rgb[i] = (uint8_t)(white - scale(255u - cmyk[i], white));
}

size_t cif_jpeg_copy_size(const cif_header *header) {
    int is_cmyk = header->components == 4;
    if (!is_cmyk && header->orientation == 1) return 0;
    return (size_t)header->stored_width * header->stored_height * (is_cmyk ? 4 : 3);
}

int cif_jpeg_decode(const uint8_t *bytes, size_t size, const cif_header *header, uint8_t *rgb, char message[CIF_MESSAGE]) {
    size_t copy = cif_jpeg_copy_size(header);
    if (copy == 0) return decompress(bytes, size, header, rgb, TJPF_RGB, message);

    int is_cmyk = header->components == 4, channels = is_cmyk ? 4 : 3;
    uint8_t *stored = malloc(copy);
    if (!stored) return cif_fail(message, "out of memory: %zu bytes for its pixels", copy);
    int result = decompress(bytes, size, header, stored, is_cmyk ? TJPF_CMYK : TJPF_RGB, message);
    if (result == 0) {
        cif_placement place = cif_place(header);
        const uint8_t *from = stored;
        for (uint32_t y = 0; y < header->stored_height; y++) {
            uint8_t *to = rgb + place.origin + (ptrdiff_t)y * place.dy;
            for (uint32_t x = 0; x < header->stored_width; x++, from += channels, to += place.dx) {
                if (is_cmyk) convert_cmyk(from, to);
                else memcpy(to, from, 3);
            }
        }
    }
    free(stored);
    return result;
}

int cif_encode_jpeg(
    const uint8_t *rgb, uint32_t width, uint32_t height, int quality, uint8_t **bytes, size_t *size, char message[CIF_MESSAGE]) {
    enum { LARGEST_SIDE = 65500 };
    *bytes = NULL;
    *size = 0;
    cif_header header = {0};
    if (cif_finish_header(&header, width, height, (cif_orientation){-1, -1}, message) != 0) return -1;
    if (width > LARGEST_SIDE || height > LARGEST_SIDE)
        return cif_fail(message, "a JPEG of %u x %u pixels; expected sides of at most %d", width, height, LARGEST_SIDE);
    unsigned long length = tjBufSize((int)width, (int)height, TJSAMP_444);
    if (length == (unsigned long)-1) return cif_fail(message, "%s", tjGetErrorStr2(NULL));
    uint8_t *file = malloc(length);
    if (!file) return cif_fail(message, "out of memory: %lu bytes for a JPEG", length);
    tjhandle encoder = tjInitCompress();
    int result = encoder ? tjCompress2(
                               encoder, rgb, (int)width, 0, (int)height, TJPF_RGB, &file, &length, TJSAMP_444, quality,
                               TJFLAG_ACCURATEDCT | TJFLAG_NOREALLOC)
                         : -1;
    if (result != 0) {
        cif_fail(message, "cannot encode a JPEG: %s", tjGetErrorStr2(encoder));
        free(file);
    } else {
        *bytes = file;
        *size = length;
    }
    if (encoder) tjDestroy(encoder);
    return result != 0 ? -1 : 0;
}
