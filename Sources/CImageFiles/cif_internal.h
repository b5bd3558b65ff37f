#ifndef CIF_INTERNAL_H
#define CIF_INTERNAL_H

#include "cif_images.h"

// Where the stored pixel (x, y) belongs in the upright picture: byte origin + x * dx + y * dy.
typedef struct cif_placement {
    ptrdiff_t origin, dx, dy;
} cif_placement;

cif_placement cif_place(const cif_header *header);

// Writes the message, cut to its buffer; always returns -1.
__attribute__((format(printf, 2, 3))) int cif_fail(char message[CIF_MESSAGE], const char *format, ...);

// What is known of the orientation while a file's metadata is walked: -1 for not said, 0 for said but unusable.
typedef struct cif_orientation {
    int exif, xmp;
} cif_orientation;

void cif_note_exif(cif_orientation *orientation, const uint8_t *bytes, size_t size);
void cif_note_xmp(cif_orientation *orientation, const uint8_t *bytes, size_t size);

// Checks the sizes and fills in what follows from them and from the orientation.
int cif_finish_header(
    cif_header *header, uint32_t stored_width, uint32_t stored_height, cif_orientation orientation, char message[CIF_MESSAGE]);

int cif_png_header(const uint8_t *bytes, size_t size, cif_header *header, char message[CIF_MESSAGE]);
int cif_jpeg_header(const uint8_t *bytes, size_t size, cif_header *header, char message[CIF_MESSAGE]);
// Bytes of the stored pixels, where these are not decoded to their place; else 0.
size_t cif_jpeg_copy_size(const cif_header *header);
int cif_png_decode(const uint8_t *bytes, size_t size, const cif_header *header, uint8_t *rgb, char message[CIF_MESSAGE]);
int cif_jpeg_decode(const uint8_t *bytes, size_t size, const cif_header *header, uint8_t *rgb, char message[CIF_MESSAGE]);

static inline uint32_t cif_be16(const uint8_t *p) {
    return (uint32_t)p[0] << 8 | p[1];
}

static inline uint32_t cif_be32(const uint8_t *p) {
    return cif_be16(p) << 16 | cif_be16(p + 2);
}

#endif
