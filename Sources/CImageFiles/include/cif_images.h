// PNG and JPEG bytes to upright 8-bit RGB pixels, and back.
//
// The pixels are those of Pillow's
//     image = ImageOps.exif_transpose(Image.open(file))
//     if image.has_transparency_data: image = alpha_composite(white, image.convert("RGBA"))
//     image.convert("RGB")
// to the byte, its oddities included: 16-bit grey is cut at 255 (a value above 255 becomes white) while 16-bit colour and 16-bit
// grey with alpha keep their high byte; a tRNS colour is compared by its low byte with the converted 8-bit value; a four-component
// JPEG is taken as inverted (Adobe's convention) with or without an Adobe marker; gamma and colour profiles are ignored.
// Unlike Pillow, a PNG without its end chunk, a palette picture without a palette and a JPEG whose coded data is damaged are errors.
//
// No function keeps state, aborts, or allocates anything that outlives the call, except where said. Safe to call from any thread.
#ifndef CIF_IMAGES_H
#define CIF_IMAGES_H

#include <stddef.h>
#include <stdint.h>

enum cif_kind { CIF_UNKNOWN = 0, CIF_PNG = 1, CIF_JPEG = 2 };

enum {
    CIF_SIGNATURE = 8,          // bytes that cif_kind_of needs to know a kind for certain
    CIF_MAX_PIXELS = 200000000, // the largest width * height that is read
    CIF_MAX_SIDE = 1000000,     // the longest side that is read, libpng's own limit
    CIF_MESSAGE = 256           // bytes of a message buffer, the final 0 included
};

// What a picture says about itself before it is decoded.
typedef struct cif_header {
    enum cif_kind kind;
    uint32_t stored_width, stored_height; // as stored
    uint32_t width, height;               // upright: swapped for orientations 5 to 8
    uint32_t orientation;                 // 1 to 8 as EXIF counts them
    uint32_t components;                  // of a JPEG: 1, 3 or 4
} cif_header;

// The kind of a file by its first bytes.
enum cif_kind cif_kind_of(const uint8_t *bytes, size_t size);

// Reads sizes and orientation, and walks all chunks or segments to see that the file is whole. Nothing is allocated. Returns 0;
// or -1 with a message, when the file is no picture, truncated, of zero size or of more than CIF_MAX_PIXELS or CIF_MAX_SIDE.
int cif_read_header(const uint8_t *bytes, size_t size, cif_header *header, char message[CIF_MESSAGE]);

// Decodes into `rgb`, [height, width, 3] bytes of the caller's, with the header that cif_read_header made of the same bytes.
// Returns 0; or -1 with a message, `rgb` then partly written.
int cif_decode(const uint8_t *bytes, size_t size, const cif_header *header, uint8_t *rgb, char message[CIF_MESSAGE]);

// Bytes that cif_decode fills: its pixels, and those as stored where a JPEG is turned or its colours converted. Of the rows and tables
// beside them nothing is said.
size_t cif_decoding_size(const cif_header *header);

// Whether the process may have `size` more bytes of addresses; memory behind them is another matter.
int cif_can_allocate(size_t size);

// Encodes [height, width, 3] bytes. Returns 0 and in *bytes a buffer that the caller gives to cif_free; or -1 with a message.
int cif_encode_png(
    const uint8_t *rgb, uint32_t width, uint32_t height, uint8_t **bytes, size_t *size, char message[CIF_MESSAGE]);

// Likewise for a JPEG file: `quality` 1 to 100, no chroma subsampling. Sides of at most 65500 pixels.
int cif_encode_jpeg(
    const uint8_t *rgb, uint32_t width, uint32_t height, int quality, uint8_t **bytes, size_t *size, char message[CIF_MESSAGE]);
void cif_free(void *bytes);

#endif
