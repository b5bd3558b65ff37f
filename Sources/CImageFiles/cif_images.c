#include "cif_internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int cif_fail(char message[CIF_MESSAGE], const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, CIF_MESSAGE, format, arguments);
    va_end(arguments);
    return -1;
}

enum cif_kind cif_kind_of(const uint8_t *bytes, size_t size) {
    static const uint8_t png[8] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'};
    static const uint8_t jpeg[3] = {0xff, 0xd8, 0xff};
    if (size >= sizeof png && memcmp(bytes, png, sizeof png) == 0) return CIF_PNG;
    if (size >= sizeof jpeg && memcmp(bytes, jpeg, sizeof jpeg) == 0) return CIF_JPEG;
    return CIF_UNKNOWN;
}

int cif_read_header(const uint8_t *bytes, size_t size, cif_header *header, char message[CIF_MESSAGE]) {
    *header = (cif_header){.kind = cif_kind_of(bytes, size)};
    switch (header->kind) {
    case CIF_PNG: return cif_png_header(bytes, size, header, message);
    case CIF_JPEG: return cif_jpeg_header(bytes, size, header, message);
    case CIF_UNKNOWN: break;
    }
    return cif_fail(message, "neither PNG nor JPEG");
}

int cif_decode(const uint8_t *bytes, size_t size, const cif_header *header, uint8_t *rgb, char message[CIF_MESSAGE]) {
    switch (header->kind) {
    case CIF_PNG: return cif_png_decode(bytes, size, header, rgb, message);
    case CIF_JPEG: return cif_jpeg_decode(bytes, size, header, rgb, message);
    case CIF_UNKNOWN: break;
    }
    return cif_fail(message, "neither PNG nor JPEG");
}

int cif_finish_header(
    cif_header *header, uint32_t stored_width, uint32_t stored_height, cif_orientation orientation, char message[CIF_MESSAGE]) {
    if (stored_width == 0 || stored_height == 0)
        return cif_fail(message, "the picture is %u x %u pixels; expected at least 1 x 1", stored_width, stored_height);
    uint64_t pixels = (uint64_t)stored_width * stored_height;
    if (pixels > CIF_MAX_PIXELS)
        return cif_fail(
            message, "the picture is %u x %u pixels, %.0f million; expected at most %d million", stored_width, stored_height,
            (double)pixels / 1e6, CIF_MAX_PIXELS / 1000000);
    if (stored_width > CIF_MAX_SIDE || stored_height > CIF_MAX_SIDE)
        return cif_fail(
            message, "the picture is %u x %u pixels; expected sides of at most %d", stored_width, stored_height, CIF_MAX_SIDE);
    int said = orientation.exif >= 0 ? orientation.exif : orientation.xmp;
    header->orientation = said >= 1 && said <= 8 ? (uint32_t)said : 1;
    header->stored_width = stored_width;
    header->stored_height = stored_height;
    header->width = header->orientation >= 5 ? stored_height : stored_width;
    header->height = header->orientation >= 5 ? stored_width : stored_height;
    return 0;
}

cif_placement cif_place(const cif_header *header) {
    ptrdiff_t column = 3, row = (ptrdiff_t)header->width * 3;
    ptrdiff_t right = row - column, bottom = (ptrdiff_t)(header->height - 1) * row;
    switch (header->orientation) {
    case 2: return (cif_placement){right, -column, row};
    case 3: return (cif_placement){right + bottom, -column, -row};
    case 4: return (cif_placement){bottom, column, -row};
    case 5: return (cif_placement){0, row, column};
    case 6: return (cif_placement){right, row, -column};
    case 7: return (cif_placement){right + bottom, -row, -column};
    case 8: return (cif_placement){bottom, -row, column};
    default: return (cif_placement){0, column, row};
    }
}

static uint32_t read16(const uint8_t *p, int big) {
    return big ? cif_be16(p) : (uint32_t)p[1] << 8 | p[0];
}

static uint32_t read32(const uint8_t *p, int big) {
    return big ? cif_be32(p) : read16(p + 2, 0) << 16 | read16(p, 0);
}

void cif_note_exif(cif_orientation *orientation, const uint8_t *bytes, size_t size) {
    enum { ORIENTATION = 0x0112, SHORT = 3, LONG = 4 };
    while (size >= 6 && memcmp(bytes, "Exif\0\0", 6) == 0) bytes += 6, size -= 6;
    if (size < 8) return;
    int big = memcmp(bytes, "MM\0*", 4) == 0;
    if (!big && memcmp(bytes, "II*\0", 4) != 0) return;
    uint32_t directory = read32(bytes + 4, big);
    if (directory > size - 2) return;
    uint32_t entries = read16(bytes + directory, big);
    size_t room = (size - directory - 2) / 12;
    const uint8_t *entry = bytes + directory + 2;
    for (size_t i = 0; i < entries && i < room; i++, entry += 12) {
        if (read16(entry, big) != ORIENTATION) continue;
        uint32_t type = read16(entry + 2, big), count = read32(entry + 4, big), value = 0;
        if (count == 1 && type == SHORT) value = read16(entry + 8, big);
        if (count == 1 && type == LONG) value = read32(entry + 8, big);
        orientation->exif = value <= 8 ? (int)value : 0;
        return;
    }
}

void cif_note_xmp(cif_orientation *orientation, const uint8_t *bytes, size_t size) {
    static const char name[] = "tiff:Orientation";
    const size_t length = sizeof name - 1;
    for (size_t i = 0; i + length + 2 <= size; i++) {
        if (memcmp(bytes + i, name, length) != 0) continue;
        const uint8_t *next = bytes + i + length, *end = bytes + size;
        if (*next == '>') next += 1;
        else if (next[0] == '=' && next[1] == '"') next += 2;
        else continue;
        if (next < end && *next >= '0' && *next <= '9') {
            orientation->xmp = *next - '0';
            return;
        }
    }
}

size_t cif_decoding_size(const cif_header *header) {
    size_t pixels = (size_t)header->width * header->height;
    return pixels * 3 + (header->kind == CIF_JPEG ? cif_jpeg_copy_size(header) : 0);
}

int cif_can_allocate(size_t size) {
    void *volatile memory = malloc(size ? size : 1); // what is only compared and freed, the compiler would take as given
    const int is_there = memory != NULL;
    free(memory);
    return is_there;
}

void cif_free(void *bytes) {
    free(bytes);
}
