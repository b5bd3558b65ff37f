// Draws texts, all of them at once, as binary PPM pictures: draw MODEL SEED TEXT... writes 1.ppm, 2.ppm and so on.
#include <rudolph.h>
#include <stdio.h>
#include <stdlib.h>

static int write_ppm(int number, const uint8_t *pixels, int side) {
    char name[32];
    snprintf(name, sizeof name, "%d.ppm", number);
    FILE *file = fopen(name, "wb");
    if (!file) return 0;
    const size_t size = 3 * (size_t)side * (size_t)side;
    int written = fprintf(file, "P6 %d %d 255\n", side, side) > 0 && fwrite(pixels, 1, size, file) == size;
    written &= fclose(file) == 0;
    if (written) printf("%s\n", name);
    return written;
}

int main(int argc, char **argv) {
    if (argc < 4) {
        fprintf(stderr, "usage: %s MODEL SEED TEXT...\n", argv[0]);
        return 64;
    }
    const char *const *texts = (const char *const *)argv + 3;
    const int count = argc - 3;
    char error[512] = "out of memory";
    rudolph_model *model = NULL;
    rudolph_session *session = NULL;
    uint8_t *pixels = NULL;
    int status = rudolph_model_open(argv[1], &model, error, sizeof error);
    if (status == RUDOLPH_OK) status = rudolph_session_open(model, 0, &session, error, sizeof error);
    const int side = rudolph_drawing_side(model);
    const size_t size = 3 * (size_t)side * (size_t)side;
    if (status == RUDOLPH_OK) {
        rudolph_draw_options options;
        rudolph_draw_options_default(&options);
        options.seed = strtoull(argv[2], NULL, 10);
        pixels = malloc((size_t)count * size + 1);
        status = pixels ? rudolph_draw_each(session, texts, NULL, count, &options, pixels, (size_t)count * size, error, sizeof error)
                        : RUDOLPH_OUT_OF_MEMORY;
    }
    if (status != RUDOLPH_OK) fprintf(stderr, "%s\n", error);
    int written = status == RUDOLPH_OK;
    for (int i = 0; written && i < count; i++) {
        written = write_ppm(i + 1, pixels + (size_t)i * size, side);
        if (!written) fprintf(stderr, "%d.ppm: cannot be written\n", i + 1);
    }
    free(pixels);
    rudolph_session_close(session);
    rudolph_model_close(model);
    return written ? 0 : 1;
}
