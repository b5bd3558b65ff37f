// Continues a text by its most probable words, and shows it as it grows: complete MODEL TEXT
#include <rudolph.h>
#include <stdio.h>

static void print_piece(const char *piece, void *user_data) {
    (void)user_data;
    fputs(piece, stdout);
    fflush(stdout);
}

int main(int argc, char **argv) {
    if (argc != 3) {
        fprintf(stderr, "usage: %s MODEL TEXT\n", argv[0]);
        return 64;
    }
    char error[512], text[1024];
    rudolph_model *model = NULL;
    rudolph_session *session = NULL;
    int status = rudolph_model_open(argv[1], &model, error, sizeof error);
    if (status == RUDOLPH_OK) status = rudolph_session_open(model, 0, &session, error, sizeof error);
    if (status == RUDOLPH_OK) {
        rudolph_complete_options options;
        rudolph_complete_options_default(&options);
        options.candidates = 1;
        options.top_k = 1;
        options.partial = print_piece;
        status = rudolph_complete(session, argv[2], &options, text, sizeof text, error, sizeof error);
    }
    if (status == RUDOLPH_OK) printf("\n");
    else fprintf(stderr, "%s\n", error);
    rudolph_session_close(session);
    rudolph_model_close(model);
    return status == RUDOLPH_OK ? 0 : 1;
}
