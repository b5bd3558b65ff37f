// Captions a binary PPM picture: caption MODEL PICTURE.ppm
#include <rudolph.h>
#include <stdio.h>
#include <stdlib.h>

#include "ppm.h"

int main(int argc, char **argv) {
    if (argc != 3) {
        fprintf(stderr, "usage: %s MODEL PICTURE.ppm\n", argv[0]);
        return 64;
    }
    int width = 0, height = 0;
    uint8_t *pixels = read_ppm(argv[2], &width, &height);
    if (!pixels) {
        fprintf(stderr, "%s: cannot be read as a binary PPM of 8 bits\n", argv[2]);
        return 1;
    }
    char error[512], text[512];
    rudolph_model *model = NULL;
    rudolph_session *session = NULL;
    int status = rudolph_model_open(argv[1], &model, error, sizeof error);
    if (status == RUDOLPH_OK) status = rudolph_session_open(model, 0, &session, error, sizeof error);
    if (status == RUDOLPH_OK) {
        rudolph_caption_options options;
        rudolph_caption_options_default(&options);
        options.greedy = 1;
        options.template_text = NULL;
        status = rudolph_caption(session, pixels, width, height, &options, text, sizeof text, error, sizeof error);
    }
    if (status == RUDOLPH_OK) printf("%s\n", text);
    else fprintf(stderr, "%s\n", error);
    rudolph_session_close(session);
    rudolph_model_close(model);
    free(pixels);
    return status == RUDOLPH_OK ? 0 : 1;
}
