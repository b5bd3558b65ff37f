// Says which of some texts fits a binary PPM picture best: classify MODEL PICTURE.ppm CLASS...
#include <rudolph.h>
#include <stdio.h>
#include <stdlib.h>

#include "ppm.h"

int main(int argc, char **argv) {
    if (argc < 4) {
        fprintf(stderr, "usage: %s MODEL PICTURE.ppm CLASS...\n", argv[0]);
        return 64;
    }
    const char *const *classes = (const char *const *)argv + 3;
    const int count = argc - 3;
    int width = 0, height = 0;
    uint8_t *pixels = read_ppm(argv[2], &width, &height);
    float *perplexities = malloc((size_t)count * sizeof *perplexities);
    if (!pixels || !perplexities) {
        fprintf(stderr, "%s: cannot be read as a binary PPM of 8 bits\n", argv[2]);
        free(pixels);
        free(perplexities);
        return 1;
    }
    char error[512];
    rudolph_model *model = NULL;
    rudolph_session *session = NULL;
    int status = rudolph_model_open(argv[1], &model, error, sizeof error);
    if (status == RUDOLPH_OK) status = rudolph_session_open(model, 0, &session, error, sizeof error);
    if (status == RUDOLPH_OK)
        status = rudolph_classify(session, pixels, width, height, classes, count, NULL, perplexities, error, sizeof error);
    if (status == RUDOLPH_OK) {
        int best = 0;
        for (int i = 1; i < count; i++)
            if (perplexities[i] < perplexities[best]) best = i;
        printf("%s\n", classes[best]);
    } else {
        fprintf(stderr, "%s\n", error);
    }
    rudolph_session_close(session);
    rudolph_model_close(model);
    free(perplexities);
    free(pixels);
    return status == RUDOLPH_OK ? 0 : 1;
}
