// RUDOLPH in C: open a model file, caption pictures, answer questions, draw, continue texts, classify pictures. Captions as
// `rudolph caption --greedy` gives them:
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
//             options.template_text = NULL;
//             status = rudolph_caption(session, rgb, width, height, &options, text, sizeof text, error, sizeof error);
//         }
//         if (status == RUDOLPH_OK) printf("%s\n", text);
//         else fprintf(stderr, "%s\n", error);
//         rudolph_session_close(session);
//         rudolph_model_close(model);
//         return status;
//     }
//
// Errors: every function that can fail returns RUDOLPH_OK or a negative status and then writes a message in UTF-8, cut to error_size and
// ended by a zero, to `error` (which may be NULL). After any status a session can be used again. Only three things end the process: the system
// refuses a small allocation, or a thread (ulimit -u, a container's limit of pids) while a task runs, or libomp cannot do what its environment
// variables say (OMP_NUM_THREADS, OMP_STACKSIZE, KMP_...).
// Opening a session fails where its threads cannot be had at that time; the OpenMP runtime starts them at the first task, others for each thread
// that runs tasks, and knows no error.
//
// Ownership: nothing that is passed in is kept or changed after a function returns, but for the handles; what comes out lies in the
// caller's buffers, or in the library's for as long as a callback runs. Texts are UTF-8 and end with a zero. With any status but RUDOLPH_OK and
// RUDOLPH_NO_ROOM the caller's buffers, but for `error`, stay as they were.
//
// Pictures that are read are 8-bit RGB, rows from top to bottom without padding, width * height * 3 bytes: 1 to 268,435,456 pixels. Only the
// central square is read, of the shorter side, and resized to the model's pictures.
//
// Threads: a model is immutable and may be shared between threads; a session is one caller's working memory and runs one call at a time. Another
// one that is begun meanwhile, on another thread or in a callback, fails with RUDOLPH_IN_USE and changes nothing; only rudolph_session_stop and
// rudolph_session_resume are for that time. Handles are closed once, when no call on them runs.
//
// The model file stays mapped until the model and all its sessions are closed. Replace it by renaming another file over it: one that is
// written over or cut short meanwhile gives wrong results or ends the process with SIGBUS.
//
// Options: set them to their defaults first, by the function that goes with each, then change fields. The reserved ones stay zero: later
// versions put new fields there, whose zero means what is done now, so structures keep their size. Others are refused.
#ifndef RUDOLPH_H
#define RUDOLPH_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

// The version of this interface, the first number of the library's. rudolph_version() says which one the library was built with.
#define RUDOLPH_VERSION 1
int32_t rudolph_version(void);

enum {
    RUDOLPH_OK = 0,
    RUDOLPH_INVALID_ARGUMENT = -1, // what was passed in cannot be, or asks for what the model has not
    RUDOLPH_STOPPED = -2,          // the progress callback returned 0, or rudolph_session_stop was called
    RUDOLPH_NO_ROOM = -3,          // the text, picture or tokens do not fit into the buffer
    RUDOLPH_INVALID_FILE = -4,     // a model file of another kind or damaged; that its weights are is found only by a task
    RUDOLPH_OUT_OF_MEMORY = -5,    // the system gives no more memory
    RUDOLPH_SYSTEM = -6,           // the system refuses something else: a file that cannot be opened, threads
    RUDOLPH_IN_USE = -7,           // another call runs on the session
};

typedef struct rudolph_model rudolph_model;
typedef struct rudolph_session rudolph_session;

// Maps a model file. On success *model is the caller's, to be closed; on failure it is NULL.
int32_t rudolph_model_open(const char *path, rudolph_model **model, char *error, size_t error_size);
void rudolph_model_close(rudolph_model *model); // NULL is allowed

// The task tokens of a model, such as <LT_I2T>, which options may name: how many there are, 0 for NULL and for the first release of 350M, and the
// name of one, 0 <= index < that number. With RUDOLPH_NO_ROOM as rudolph_caption.
int32_t rudolph_task_token_count(const rudolph_model *model);
int32_t rudolph_task_token(const rudolph_model *model, int32_t index, char *text, size_t text_size, char *error, size_t error_size);

// Allocates the buffers to run a model on `threads` threads: 1 to 1024, or 0 for one on each physical core that this process may use. Fails where the
// system lets this process have fewer, and says how many; the OpenMP runtime may use fewer (OMP_THREAD_LIMIT). The session keeps the model, which may
// be closed first. On success *session is the caller's; on failure it is NULL.
int32_t rudolph_session_open(rudolph_model *model, int32_t threads, rudolph_session **session, char *error, size_t error_size);

// How pictures become tokens and back.
enum {
    RUDOLPH_IMAGES_DEFAULT = 0,  // fast where the model's weights are int8 or int4, else winograd
    RUDOLPH_IMAGES_FAST = 1,     // on most x86-64 processors rounded to 16-bit integers: about one token in a thousand is another
    RUDOLPH_IMAGES_WINOGRAD = 2, // floats, the same tokens and pictures on every CPU
    RUDOLPH_IMAGES_DIRECT = 3,   // likewise, in the order of the definition: about half as fast
};

// How finely what int8 weights multiply is quantized. Other weights know one way only.
enum {
    RUDOLPH_ACTIVATIONS_DEFAULT = 0, // int8
    RUDOLPH_ACTIVATIONS_INT8 = 1,    // 8 bits: fastest
    RUDOLPH_ACTIVATIONS_MIXED = 2,   // 8 bits, but 16 for the second matrix of each MLP, where 8 err most
    RUDOLPH_ACTIVATIONS_INT16 = 3,   // 16 bits: up to twice the time for a picture or a prompt, the same for a token
};

// How keys and values of earlier positions are kept.
enum {
    RUDOLPH_CACHE_DEFAULT = 0, // int8 for int4 and int8 models, else f16
    RUDOLPH_CACHE_F16 = 1,
    RUDOLPH_CACHE_INT8 = 2,    // about half the memory, a little less exact
};

typedef struct rudolph_session_options {
    int32_t threads;                 // as above
    int32_t cache;                   // RUDOLPH_CACHE_...
    int32_t release_image_tokenizer; // 1: what turns pictures into tokens and back is freed after each picture, before captions and
                                     //    answers are generated: the least memory at once, some time for the next picture
    int32_t image_arithmetic;        // RUDOLPH_IMAGES_...
    int32_t activations;             // RUDOLPH_ACTIVATIONS_...
    int32_t reserved_number;
    uint64_t reserved[6];
} rudolph_session_options;

// All zero: what rudolph_session_open takes for 0 threads.
void rudolph_session_options_default(rudolph_session_options *options);

// As rudolph_session_open. `options` may be NULL for the defaults.
int32_t rudolph_session_open_with(rudolph_model *model, const rudolph_session_options *options, rudolph_session **session, char *error,
                                  size_t error_size);
void rudolph_session_close(rudolph_session *session); // NULL is allowed

// Ends what runs on the session within one layer's work, and whatever is begun later, with RUDOLPH_STOPPED, until rudolph_session_resume.
// From any thread or a signal handler; NULL is allowed.
void rudolph_session_stop(rudolph_session *session);
void rudolph_session_resume(rudolph_session *session);

// What a task is doing.
enum {
    RUDOLPH_ENCODING_IMAGE = 0, // the picture becomes tokens
    RUDOLPH_READING = 1,        // prompt and picture go through the transformer
    RUDOLPH_GENERATING = 2,     // tokens are generated; fewer than `total` where texts end earlier
    RUDOLPH_RANKING = 3,        // candidates are scored
};

// Called on the calling thread as a task advances: `done` of at most `total` steps of a stage. Return 0 to stop, anything else to go on. It may
// call rudolph_session_stop on the task's session, and nothing else on it, as all callbacks.
typedef int32_t (*rudolph_progress)(int32_t stage, int32_t done, int32_t total, void *user_data);

// Called on the calling thread with each new piece of a text as soon as it is decided: whole characters, ended by a zero. Joined, the pieces are the
// text, what it begins with included: of several candidates that of the first one that is generated, whichever is given in the end.
typedef void (*rudolph_partial_text)(const char *piece, void *user_data);

// Called on the calling thread, before the function returns, with each different text, best first: how many candidates gave it, and its score, of
// which smaller is better: of captions that are ranked by image how well they explain it, of continued texts the perplexity, else 0.
typedef void (*rudolph_candidate)(const char *text, int32_t count, float score, void *user_data);

// The tokens of a picture, for image_tokens of options: who asks several things of one picture encodes it once. rudolph_image_length() of them
// (0 for NULL), in reading order, are written to `tokens`, which has room for `count`; RUDOLPH_NO_ROOM comes before any work.
int32_t rudolph_image_length(const rudolph_model *model);
int32_t rudolph_encode(rudolph_session *session, const uint8_t *rgb, int32_t width, int32_t height, int32_t *tokens, int32_t count, char *error,
                       size_t error_size);

typedef struct rudolph_caption_options {
    const char *left_text;     // a question or instruction before the picture; NULL for none
    const char *template_text; // what the caption begins with, also where greedy is 1; NULL for none
    int32_t candidates;        // texts to generate, 1 to 4096; equal ones are counted
    int32_t greedy;            // 1: one candidate, always the most probable token, whatever the other fields say
    int32_t rank_by_image;     // 1: candidates are ranked by how well they explain the picture, 0: by count
    float temperature;         // 0.000001 or more
    int32_t top_k;             // draw from the k most probable tokens; 0: all
    float top_p;               // 0 to 1: draw from the most probable tokens that together reach this probability
    uint64_t seed;             // the same seed gives the same captions on every CPU, unless RUDOLPH_IMAGES_FAST reads the picture otherwise
    rudolph_progress progress; // or NULL
    void *user_data;
    int32_t max_tokens;        // tokens of the caption at most, begin, task token and template among them, also where greedy is 1; 0: as many as fit
    int32_t image_token_count; // of image_tokens
    const int32_t *image_tokens; // the picture as rudolph_encode gave it, in place of rgb, which is NULL then; or NULL
    rudolph_partial_text partial; // or NULL
    rudolph_candidate candidate; // or NULL
    uint64_t reserved[4];
} rudolph_caption_options;

// The reference's defaults: 48 candidates ranked by image, template "на картинке", temperature 0.9, top-k 64, top-p 0.8, seed 0.
void rudolph_caption_options_default(rudolph_caption_options *options);

// The best caption of a picture. `options`, which are checked before the picture is looked at, may be NULL for the defaults. With RUDOLPH_NO_ROOM
// `text` holds as many whole characters of it as fit, and `error` says how many bytes it takes.
int32_t rudolph_caption(rudolph_session *session, const uint8_t *rgb, int32_t width, int32_t height,
                        const rudolph_caption_options *options, char *text, size_t text_size, char *error, size_t error_size);

typedef struct rudolph_ask_options {
    const char *left_task;     // task token of the question; NULL: <LT_UNK>, with which the public instruction model is asked
    const char *right_task;    // task token of the answer; NULL: <RT_UNK>
    int32_t candidates;        // answers to generate, 1 to 4096; the most frequent one is given
    int32_t top_k;             // as above; 1: always the most probable token
    float top_p;               // as above
    float temperature;         // as above
    uint64_t seed;
    rudolph_progress progress; // or NULL
    void *user_data;
    int32_t max_tokens;        // tokens of the answer at most, begin and task token among them; 0: as many as fit
    int32_t image_token_count; // of image_tokens
    const int32_t *image_tokens; // the picture as rudolph_encode gave it, in place of rgb, which is NULL then; or NULL
    rudolph_partial_text partial; // or NULL
    rudolph_candidate candidate; // or NULL
    uint64_t reserved[4];
} rudolph_ask_options;

// One answer of the most probable tokens. (`rudolph ask` draws with top-k 32, top-p 0.8 and temperature 1.)
void rudolph_ask_options_default(rudolph_ask_options *options);

// The answer to a question about a picture, or about nothing where rgb and image_tokens are NULL. Otherwise as rudolph_caption.
int32_t rudolph_ask(rudolph_session *session, const char *question, const uint8_t *rgb, int32_t width, int32_t height,
                    const rudolph_ask_options *options, char *text, size_t text_size, char *error, size_t error_size);

typedef struct rudolph_draw_options {
    int32_t candidates;        // pictures to draw, 1 to 4096; the one that explains the text best is given
    int32_t batch;             // pictures drawn at the same time, 1 to 64; each takes keys and values of its own
    int32_t top_k;             // as above
    float top_p;               // as above
    float temperature;         // as above
    int32_t reserved_integer;
    uint64_t seed;
    rudolph_progress progress; // or NULL
    void *user_data;
    uint64_t reserved[8];
} rudolph_draw_options;

// One picture, batches of 8, temperature 1, top-k 768, top-p 0.99, seed 0.
void rudolph_draw_options_default(rudolph_draw_options *options);

// Width and height in pixels of what a model draws; 0 for a file without image decoder, which cannot draw, and for NULL.
int32_t rudolph_drawing_side(const rudolph_model *model);

// Draws a text as 8-bit RGB rows, side * side * 3 bytes where side is rudolph_drawing_side(). `options` may be NULL for the defaults. rgb stays as
// it is but with RUDOLPH_OK; with RUDOLPH_NO_ROOM, which comes before any work, `error` says how many bytes it takes.
int32_t rudolph_draw(rudolph_session *session, const char *text, const rudolph_draw_options *options, uint8_t *rgb, size_t rgb_size,
                     char *error, size_t error_size);

// Draws `count` texts, 1 or more, which may be equal, options->batch of them at the same time: several pictures take far less time together than one
// after the other. seeds[i] is that of texts[i], and each picture is the one that rudolph_draw draws with it; where `seeds` is NULL they are
// options->seed, the next number for the next text and so on. options->candidates is 1. Pictures come one behind the other in `rgb`, count * side *
// side * 3 bytes, all of them or none. Otherwise as rudolph_draw.
int32_t rudolph_draw_each(rudolph_session *session, const char *const *texts, const uint64_t *seeds, int32_t count,
                          const rudolph_draw_options *options, uint8_t *rgb, size_t rgb_size, char *error, size_t error_size);

typedef struct rudolph_complete_options {
    const char *task;          // task token that the text begins with; NULL: <LT_T2T>
    int32_t candidates;        // texts to generate, 1 to 4096; the least perplexing one is given
    int32_t max_tokens;        // tokens of the text at most, begin, task token and what it begins with among them; 0: as many as fit
    int32_t top_k;             // as above
    float top_p;               // as above
    float temperature;         // as above
    int32_t reserved_integer;
    uint64_t seed;             // the same seed gives the same text on every CPU
    rudolph_progress progress; // or NULL
    void *user_data;
    rudolph_partial_text partial; // or NULL
    rudolph_candidate candidate;  // or NULL
    uint64_t reserved[6];
} rudolph_complete_options;

// The reference's defaults: 48 candidates, temperature 0.9, top-k 64, top-p 0.8, seed 0.
void rudolph_complete_options_default(rudolph_complete_options *options);

// Continues a text, "" for one from nothing. `text` holds the whole of it, in lower case, what it begins with included. Otherwise as rudolph_caption.
int32_t rudolph_complete(rudolph_session *session, const char *beginning, const rudolph_complete_options *options, char *text,
                         size_t text_size, char *error, size_t error_size);

typedef struct rudolph_classify_options {
    const char *left_template;  // the text before the picture, in which {} stands for the class; NULL for none
    const char *right_template; // the text behind the picture, likewise; NULL: {}, the class alone
    rudolph_progress progress;  // or NULL
    void *user_data;
    const int32_t *image_tokens; // as above
    int32_t image_token_count;   // as above
    int32_t reserved_integer;
    uint64_t reserved[6];
} rudolph_classify_options;

// All zero: the class alone, as a caption.
void rudolph_classify_options_default(rudolph_classify_options *options);

// How well each of `count` classes, texts in Russian, fits a picture: perplexities[i] is that of the text of classes[i], 1 or more, and the smallest
// one fits best. `classes` has `count` pointers and `perplexities` room for `count` numbers, 1 or more. They compare classes of one picture, not
// pictures. `options` may be NULL for the defaults.
int32_t rudolph_classify(rudolph_session *session, const uint8_t *rgb, int32_t width, int32_t height, const char *const *classes,
                         int32_t count, const rudolph_classify_options *options, float *perplexities, char *error, size_t error_size);

#ifdef __cplusplus
}
#endif

#endif
