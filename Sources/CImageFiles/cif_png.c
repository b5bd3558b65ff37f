#include "cif_internal.h"

#include <png.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

static int is_chunk(const uint8_t *chunk, const char name[5]) {
    return memcmp(chunk + 4, name, 4) == 0;
}

static void note_text(cif_orientation *orientation, const uint8_t *text, size_t size) {
    static const char keyword[] = "XML:com.adobe.xmp";
    // After the keyword and its 0 comes the compression flag.
    if (size > sizeof keyword && memcmp(text, keyword, sizeof keyword) == 0 && text[sizeof keyword] == 0)
        cif_note_xmp(orientation, text + sizeof keyword, size - sizeof keyword);
}

int cif_png_header(const uint8_t *bytes, size_t size, cif_header *header, char message[CIF_MESSAGE]) {
    enum { SIGNATURE = 8, IHDR_LENGTH = 13, OVERHEAD = 12 };
    cif_orientation orientation = {-1, -1};
    uint32_t width = 0, height = 0;
    // The header chunk alone decides whether the picture is refused for its size: that is said even of a truncated file.
    if (size >= SIGNATURE + 8 + IHDR_LENGTH && is_chunk(bytes + SIGNATURE, "IHDR")) {
        width = cif_be32(bytes + SIGNATURE + 8);
        height = cif_be32(bytes + SIGNATURE + 12);
        if (cif_finish_header(header, width, height, orientation, message) != 0) return -1;
    } else if (size >= SIGNATURE + 8) {
        return cif_fail(message, "damaged PNG: its first chunk is no complete IHDR");
    }
    for (size_t position = SIGNATURE; size - position >= OVERHEAD;) {
        const uint8_t *chunk = bytes + position;
        size_t length = cif_be32(chunk);
        if (length > size - position - OVERHEAD) break;
        if (is_chunk(chunk, "IEND")) return cif_finish_header(header, width, height, orientation, message);
        if (is_chunk(chunk, "eXIf")) cif_note_exif(&orientation, chunk + 8, length);
        if (is_chunk(chunk, "iTXt")) note_text(&orientation, chunk + 8, length);
        position += length + OVERHEAD;
    }
    return cif_fail(message, "truncated PNG: %zu bytes without an end chunk", size);
}

// All that must survive a longjmp out of libpng.
typedef struct session {
    png_structp png;
    png_infop info;
    png_bytep row;
    const uint8_t *source;
    size_t source_left;
    uint8_t *sink;
    size_t sink_size, sink_capacity;
    const char *failure; // how a message begins
    char *message;
} session;

static void on_error(png_structp png, png_const_charp text) {
    session *it = png_get_error_ptr(png);
    cif_fail(it->message, "%s: %s", it->failure, text);
    png_longjmp(png, 1);
}

static void on_warning(png_structp png, png_const_charp text) {
    (void)png, (void)text;
}

static void read_source(png_structp png, png_bytep to, size_t count) {
    session *it = png_get_io_ptr(png);
    if (count > it->source_left) png_error(png, "it ends too early");
    memcpy(to, it->source, count);
    it->source += count;
    it->source_left -= count;
}

// Colour c with alpha a over white: (c a + 255 (255 - a)) / 255, with the 7 fraction bits and the rounding of Pillow's alpha_composite.
static uint8_t over_white(uint32_t c, uint32_t a) {
    uint32_t sum = (c * a + 255 * (255 - a) + 128) << 7;
    return (uint8_t)(((sum >> 8) + sum) >> 15);
}

// Sample -> RGB of a grey (up to 8 bits) or palette picture, transparency already over white.
static void make_table(const session *it, int is_palette, int depth, uint8_t table[256][3]) {
    png_bytep alpha = NULL;
    int alphas = 0;
    png_color_16p transparent = NULL;
    png_get_tRNS(it->png, it->info, &alpha, &alphas, &transparent);
    memset(table, 0, 256 * 3);
    if (is_palette) {
        png_colorp palette = NULL;
        int colours = 0;
        png_get_PLTE(it->png, it->info, &palette, &colours);
        for (int i = 0; i < colours && i < 256; i++) {
            uint32_t a = alpha && i < alphas ? alpha[i] : 255;
            table[i][0] = over_white(palette[i].red, a);
            table[i][1] = over_white(palette[i].green, a);
            table[i][2] = over_white(palette[i].blue, a);
        }
        return;
    }
    uint32_t last = depth >= 8 ? 255 : (1u << depth) - 1;
    uint32_t hidden = transparent ? (depth == 1 ? (transparent->gray ? 255u : 0u) : transparent->gray & 0xffu) : 256;
    for (uint32_t i = 0; i <= last; i++) {
        uint32_t grey = i * 255 / last;
        memset(table[i], grey == hidden ? 255 : (int)grey, 3);
    }
}

typedef struct row_format {
    int channels, bytes; // samples of a pixel, bytes of a sample
    int is_table;
    int has_hidden;
    uint8_t hidden[3];
    uint8_t table[256][3];
} row_format;

// To be called before png_read_update_info, after which libpng says 8 bits of a packed sample.
static row_format describe_rows(const session *it) {
    int colour = png_get_color_type(it->png, it->info), depth = png_get_bit_depth(it->png, it->info);
    row_format format = {.channels = png_get_channels(it->png, it->info), .bytes = depth == 16 ? 2 : 1};
    format.is_table = colour == PNG_COLOR_TYPE_PALETTE || colour == PNG_COLOR_TYPE_GRAY;
    if (format.is_table) make_table(it, colour == PNG_COLOR_TYPE_PALETTE, depth, format.table);
    png_color_16p transparent = NULL;
    if (colour == PNG_COLOR_TYPE_RGB && png_get_tRNS(it->png, it->info, NULL, NULL, &transparent) && transparent) {
        format.has_hidden = 1;
        format.hidden[0] = (uint8_t)transparent->red;
        format.hidden[1] = (uint8_t)transparent->green;
        format.hidden[2] = (uint8_t)transparent->blue;
    }
    return format;
}

static void convert_pixel(const row_format *format, const uint8_t *from, uint8_t *to) {
    if (format->is_table) {
        uint32_t sample = format->bytes == 1 ? from[0] : from[0] ? 255 : from[1];
        memcpy(to, format->table[sample], 3);
        return;
    }
    int colours = format->channels >= 3 ? 3 : 1, step = format->bytes;
    uint8_t rgb[3] = {from[0], from[colours == 3 ? step : 0], from[colours == 3 ? 2 * step : 0]};
    if (format->channels != colours) {
        uint32_t alpha = from[colours * step];
        for (int i = 0; i < 3; i++) rgb[i] = over_white(rgb[i], alpha);
    } else if (format->has_hidden && memcmp(rgb, format->hidden, 3) == 0) {
        memset(rgb, 255, 3);
    }
    memcpy(to, rgb, 3);
}

// Rows are converted as they come; an interlaced picture's seven passes are scattered to their places.
static int decode_rows(session *it, const cif_header *header, uint8_t *rgb) {
    if (setjmp(png_jmpbuf(it->png))) return -1;
    png_set_read_fn(it->png, it, read_source);
    png_set_user_limits(it->png, CIF_MAX_SIDE, CIF_MAX_SIDE);
    png_set_crc_action(it->png, PNG_CRC_ERROR_QUIT, PNG_CRC_ERROR_QUIT);
    png_set_keep_unknown_chunks(it->png, PNG_HANDLE_CHUNK_NEVER, NULL, -1);
    png_read_info(it->png, it->info);
    if (png_get_image_width(it->png, it->info) != header->stored_width || png_get_image_height(it->png, it->info) != header->stored_height)
        png_error(it->png, "its size changed while it was read");
    const row_format format = describe_rows(it);
    png_set_packing(it->png);
    int passes = png_get_interlace_type(it->png, it->info) == PNG_INTERLACE_ADAM7 ? PNG_INTERLACE_ADAM7_PASSES : 1;
    png_read_update_info(it->png, it->info);
    it->row = malloc(png_get_rowbytes(it->png, it->info));
    if (!it->row) png_error(it->png, "out of memory for a row");

    const cif_placement place = cif_place(header);
    const size_t stride = (size_t)(format.channels * format.bytes);
    for (int pass = 0; pass < passes; pass++) {
        uint32_t x0 = 0, y0 = 0, dx = 1, dy = 1;
        if (passes > 1) {
            x0 = PNG_PASS_START_COL(pass), y0 = PNG_PASS_START_ROW(pass);
            dx = 1u << PNG_PASS_COL_SHIFT(pass), dy = 1u << PNG_PASS_ROW_SHIFT(pass);
        }
        if (x0 >= header->stored_width) continue;
        for (uint32_t y = y0; y < header->stored_height; y += dy) {
            png_read_row(it->png, it->row, NULL);
            const uint8_t *from = it->row;
            uint8_t *line = rgb + place.origin + (ptrdiff_t)y * place.dy;
            for (uint32_t x = x0; x < header->stored_width; x += dx, from += stride)
                convert_pixel(&format, from, line + (ptrdiff_t)x * place.dx);
        }
    }
    return 0;
}

int cif_png_decode(const uint8_t *bytes, size_t size, const cif_header *header, uint8_t *rgb, char message[CIF_MESSAGE]) {
    session it = {.source = bytes, .source_left = size, .failure = "damaged PNG", .message = message};
    it.png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &it, on_error, on_warning);
    it.info = it.png ? png_create_info_struct(it.png) : NULL;
    int result = it.info ? decode_rows(&it, header, rgb) : cif_fail(message, "out of memory for the PNG reader");
    free(it.row);
    png_destroy_read_struct(&it.png, &it.info, NULL);
    return result;
}

static void write_sink(png_structp png, png_bytep from, size_t count) {
    session *it = png_get_io_ptr(png);
    if (count > it->sink_capacity - it->sink_size) {
        size_t capacity = it->sink_capacity + (it->sink_capacity > count ? it->sink_capacity : count);
        uint8_t *larger = realloc(it->sink, capacity);
        if (!larger) png_error(png, "out of memory");
        it->sink = larger;
        it->sink_capacity = capacity;
    }
    memcpy(it->sink + it->sink_size, from, count);
    it->sink_size += count;
}

static void flush_sink(png_structp png) {
    (void)png;
}

static int encode_rows(session *it, const uint8_t *rgb, uint32_t width, uint32_t height) {
    if (setjmp(png_jmpbuf(it->png))) return -1;
    png_set_write_fn(it->png, it, write_sink, flush_sink);
    png_set_user_limits(it->png, CIF_MAX_SIDE, CIF_MAX_SIDE);
    png_set_IHDR(
        it->png, it->info, width, height, 8, PNG_COLOR_TYPE_RGB, PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT,
        PNG_FILTER_TYPE_DEFAULT);
    png_write_info(it->png, it->info);
    for (uint32_t y = 0; y < height; y++) png_write_row(it->png, rgb + (size_t)y * width * 3);
    png_write_end(it->png, it->info);
    return 0;
}

int cif_encode_png(
    const uint8_t *rgb, uint32_t width, uint32_t height, uint8_t **bytes, size_t *size, char message[CIF_MESSAGE]) {
    *bytes = NULL;
    *size = 0;
    cif_header header = {0};
    if (cif_finish_header(&header, width, height, (cif_orientation){-1, -1}, message) != 0) return -1;
    session it = {.failure = "cannot encode a PNG", .message = message};
    it.png = png_create_write_struct(PNG_LIBPNG_VER_STRING, &it, on_error, on_warning);
    it.info = it.png ? png_create_info_struct(it.png) : NULL;
    int result = it.info ? encode_rows(&it, rgb, width, height) : cif_fail(message, "out of memory for the PNG writer");
    png_destroy_write_struct(&it.png, &it.info);
    if (result != 0) {
        free(it.sink);
        return result;
    }
    *bytes = it.sink;
    *size = it.sink_size;
    return 0;
}
