// RUDOLPH in C: open a model file, caption pictures.
//
//     #include <rudolph.h>
//     #include <stdio.h>
//
//     int caption(const uint8_t *rgb, int width, int height) {
//         char error[512], text[512];
//         rudolph_model *model = NULL;
//         rudolph_session *session = NULL;
//         int status = rudolph_model_open("rudolph.gguf", &model, error, sizeof error);
//         if (status == RUDOLPH_OK) status = rudolph_session_open(model, 0, &session, error, sizeof error);
//         if (status == RUDOLPH_OK) {
//             rudolph_caption_options options;
//             rudolph_caption_options_default(&options);
//             options.greedy = 1;
//             status = rudolph_caption(session, rgb, width, height, &options, text, sizeof text, error, sizeof error);
//         }
//         if (status == RUDOLPH_OK) printf("%s\n", text);
//         else fprintf(stderr, "%s\n", error);
//         rudolph_session_close(session);
//         rudolph_model_close(model);
//         return status;
//     }
//
// A model is immutable and may be shared between threads; a session is one caller's working memory and may not. No function aborts
// or exits. Every function that can fail returns RUDOLPH_OK or a negative status and then writes a message in UTF-8, cut to
// error_size and ended by a zero, to `error` (which may be NULL). Texts are UTF-8 and end with a zero.
#ifndef RUDOLPH_H
#define RUDOLPH_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

// The version of this interface. rudolph_version() says which one the library was built with.
#define RUDOLPH_VERSION 1
int32_t rudolph_version(void);

enum {
    RUDOLPH_OK = 0,
    RUDOLPH_ERROR = -1,    // bad input or a damaged file: `error` says what
    RUDOLPH_STOPPED = -2,  // the progress callback returned 0
    RUDOLPH_NO_ROOM = -3,  // the text does not fit into the buffer
};

typedef struct rudolph_model rudolph_model;
typedef struct rudolph_session rudolph_session;

// Maps a model file. On success *model is the caller's, to be closed after its sessions; on failure it is NULL.
int32_t rudolph_model_open(const char *path, rudolph_model **model, char *error, size_t error_size);
void rudolph_model_close(rudolph_model *model); // NULL is allowed

// Allocates the buffers to run a model on `threads` threads (0: the cores that this process may use). The session keeps the model
// alive. On success *session is the caller's; on failure it is NULL.
int32_t rudolph_session_open(rudolph_model *model, int32_t threads, rudolph_session **session, char *error, size_t error_size);

typedef struct rudolph_session_options {
    int32_t threads;      // 0: the cores that this process may use
    int32_t int8_cache;   // 1: keys and values of earlier positions in 8 bits: about half the memory, a little less exact
    uint64_t reserved[8]; // zero
} rudolph_session_options;

// All zero: what rudolph_session_open takes for 0 threads.
void rudolph_session_options_default(rudolph_session_options *options);

// As rudolph_session_open. `options` may be NULL for the defaults.
int32_t rudolph_session_open_with(rudolph_model *model, const rudolph_session_options *options, rudolph_session **session, char *error,
                                  size_t error_size);
void rudolph_session_close(rudolph_session *session); // NULL is allowed

// Called on the calling thread as a task advances: `done` of at most `total` steps of a stage. Return 0 to stop, anything else to go on.
typedef int32_t (*rudolph_progress)(int32_t done, int32_t total, void *user_data);

typedef struct rudolph_caption_options {
    const char *left_text;     // a question or instruction before the picture; NULL for none
    const char *template_text; // what the caption begins with; NULL for none
    int32_t candidates;        // texts to generate; equal ones are counted
    int32_t greedy;            // 1: one candidate, always the most probable token
    int32_t rank_by_image;     // 1: candidates are ranked by how well they explain the picture, 0: by count
    float temperature;
    int32_t top_k;
    float top_p;
    uint64_t seed;             // the same seed gives the same captions on every CPU
    rudolph_progress progress; // or NULL
    void *user_data;
    uint64_t reserved[8];      // zero
} rudolph_caption_options;

// The reference's defaults: 48 candidates ranked by image, template "на картинке", temperature 0.9, top-k 64, top-p 0.8, seed 0.
void rudolph_caption_options_default(rudolph_caption_options *options);

// The best caption of a picture of 8-bit RGB rows, width * height * 3 bytes. `options` may be NULL for the defaults.
int32_t rudolph_caption(rudolph_session *session, const uint8_t *rgb, int32_t width, int32_t height,
                        const rudolph_caption_options *options, char *text, size_t text_size, char *error, size_t error_size);

#ifdef __cplusplus
}
#endif

#endif
