// Pictures of the examples: binary PPM files of 8 bits.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

// Rows of 8-bit RGB, to be freed; NULL where it cannot be read.
static uint8_t *read_ppm(const char *path, int *width, int *height) {
    FILE *file = fopen(path, "rb");
    if (!file) return NULL;
    uint8_t *pixels = NULL;
    int depth = 0;
    if (fscanf(file, "P6 %d %d %d", width, height, &depth) == 3 && depth == 255 && fgetc(file) != EOF && *width > 0 &&
        *height > 0 && *width <= 16384 && *height <= 16384) {
        const size_t size = 3 * (size_t)*width * (size_t)*height;
        pixels = malloc(size);
        if (pixels && fread(pixels, 1, size, file) != size) {
            free(pixels);
            pixels = NULL;
        }
    }
    fclose(file);
    return pixels;
}
