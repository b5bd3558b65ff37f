// Captions one picture, made up here, and stops after some tokens. Calls mark() wherever a stage begins: count_plugin.c counts between.
//
//     count MODEL TOKENS
#include <rudolph.h>
#include <stdio.h>
#include <stdlib.h>

enum { SIDE = 128, MARKS = 64 };

typedef struct marks {
    int count, tokens;
    int32_t stage[MARKS], done[MARKS], total[MARKS];
} marks;

__attribute__((noinline)) void mark(void) { __asm__ volatile(""); }

static int32_t advance(int32_t stage, int32_t done, int32_t total, void *user_data) {
    marks *m = user_data;
    mark();
    m->stage[m->count] = stage;
    m->done[m->count] = done;
    m->total[m->count] = total;
    m->count++;
    return m->count < MARKS && !(done > 0 && done > m->tokens);
}

int main(int argc, char **argv) {
    if (argc != 3) {
        fprintf(stderr, "usage: %s MODEL TOKENS\n", argv[0]);
        return 64;
    }
    static uint8_t pixels[SIDE * SIDE * 3];
    for (int i = 0; i < SIDE * SIDE * 3; i++) pixels[i] = (uint8_t)(i * 7 + i / 300 * 3);
    char error[512], text[4096];
    rudolph_model *model = NULL;
    rudolph_session *session = NULL;
    marks m = {.tokens = atoi(argv[2])};
    int status = rudolph_model_open(argv[1], &model, error, sizeof error);
    if (status == RUDOLPH_OK) status = rudolph_session_open(model, 1, &session, error, sizeof error);
    if (status == RUDOLPH_OK) {
        rudolph_caption_options options;
        rudolph_caption_options_default(&options);
        options.greedy = 1;
        options.template_text = NULL;
        options.progress = advance;
        options.user_data = &m;
        status = rudolph_caption(session, pixels, SIDE, SIDE, &options, text, sizeof text, error, sizeof error);
        mark();
    }
    // What begins at each mark; at the last one nothing does where it was told to stop.
    for (int i = 0; i < m.count - (status == RUDOLPH_STOPPED); i++) printf("%d %d %d\n", m.stage[i], m.done[i], m.total[i]);
    rudolph_session_close(session);
    rudolph_model_close(model);
    if (status == RUDOLPH_OK || status == RUDOLPH_STOPPED) return 0;
    fprintf(stderr, "%s\n", error);
    return 1;
}
