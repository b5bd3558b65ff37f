// How the kernels of x86-64 read weights that no cache holds: few rows of x in streams, and any number by asking for lines, with prefetch
// instructions, before they read them. Few rows ask for weights of their own panels, some bytes ahead; many rows, which pass a panel several times,
// ask for the panels that come next, each register tile for its share. What is asked for past the end of the weights does no harm.
#ifndef MATMUL_AHEAD_H
#define MATMUL_AHEAD_H

#include "matmul.h"

// Few rows of x wait for memory. The processor fetches ahead in each of several streams by itself, and two cores read 1.1 times as much from
// four streams each as from one (Zen 3; fetching by instruction reads less than either). So the panels are taken `streams` at once, in turns of one
// or a few cache lines of each: `panel` and those that lie `apart` panels after it and after each other. CALL(tile, panel, apart, streams, ...), and
// CALL(tile, panel, 1, 1, ...) for those that are left.
#define RK_FOR_STREAMS(tile, streams, CALL, ...)                                                                                 \
    {                                                                                                                            \
        const int apart = (tile)->panels / (streams);                                                                            \
        for (int panel = 0; panel < apart; panel++) CALL(tile, panel, apart, streams, ##__VA_ARGS__);                            \
        for (int panel = (streams) * apart; panel < (tile)->panels; panel++) CALL(tile, panel, 1, 1, ##__VA_ARGS__);             \
    }

// Likewise with a last argument, a constant: whether the kernel asks for weights ahead. Tested within its loop, that would part the loop's body.
#define RK_FOR_STREAMS_AHEAD(tile, streams, CALL)                                                                                \
    if ((tile)->ahead) RK_FOR_STREAMS(tile, streams, CALL, 1)                                                                    \
    else RK_FOR_STREAMS(tile, streams, CALL, 0)

// Which cache a line is asked into: the first level or the second, which leaves the first to what is being multiplied.
enum { RK_NEAR, RK_FAR };

RK_INLINE void rk_ask(const void *line, const int far) {
    if (far) _mm_prefetch((const char *)line, _MM_HINT_T1);
    else _mm_prefetch((const char *)line, _MM_HINT_T0);
}

// The biases of these panels, which no cache holds either and which are wanted last.
RK_INLINE void rk_ask_for_biases(const rk_matmul_tile *tile, int panel, int apart, int panels) {
    for (int p = 0; p < panels && tile->bias; p++) rk_ask(tile->bias + (panel + p * apart) * RK_PANEL, RK_NEAR);
}

// How far ahead few rows of x ask on AVX-512, in each of `panels` streams. Near: 8 KB in all together, as more would push x out of that cache.
RK_INLINE int rk_ahead(const rk_matmul_tile *tile, int panels, const int far) {
    return far ? tile->ahead : rk_min(tile->ahead, (8 << 10) / panels);
}

// Then nothing asks for the first rk_ahead() bytes of the weights w of the first panels: all at once.
RK_INLINE void rk_ask_for_start(const rk_matmul_tile *tile, const void *w, size_t stream, int panel, int panels, const int far) {
    if (panel > 0) return;
    const int bytes = rk_ahead(tile, panels, far);
    for (int line = 0; line < bytes; line += 64) {
        for (int p = 0; p < panels; p++) rk_ask((const char *)w + stream * (size_t)p + line, far);
    }
}

// A line that is asked for each time round a loop: `step` bytes after the one before.
typedef struct rk_request {
    const char *line;
    int step;
} rk_request;

// In each of `panels` panels that lie `stream` bytes apart.
RK_INLINE void rk_ask_for(rk_request *request, size_t stream, int panels, const int far) {
    for (int p = 0; p < panels; p++) rk_ask(request->line + stream * (size_t)p, far);
    request->line += request->step;
}

// Many rows of x: several register tiles together ask for what comes after the `panels` from `panel` on, so that memory never rests. This is the
// share of the rows first ..< first + rows, for every `part` bytes of their own. After the last panel nothing comes that this worker would read.
RK_INLINE rk_request rk_request_share(const rk_matmul_tile *tile, rk_type type, int panel, int panels, int first, int rows, int part) {
    const char *own = rk_tile_panel(tile, type, panel);
    const size_t bytes = rk_panel_bytes(type, tile->columns);
    if (panel + panels >= tile->panels) return (rk_request){own, 0};
    return (rk_request){own + bytes * (size_t)panels + bytes * (size_t)first / (size_t)tile->count, rk_divide_up(part * rows, tile->count)};
}

// Of int4, whose groups are no whole lines: at every group the lines from ..< to of those that begin there.
typedef struct rk_group_request {
    const uint8_t *panel;
    int from, to;
} rk_group_request;
enum { RK_GROUP_LINES = (RK_GROUP_BYTES + 63) / 64 };

RK_INLINE void rk_ask_for_group(const rk_group_request *request, size_t group, size_t stream, int panels, const int far) {
    for (int line = request->from; line < request->to; line++) {
        for (int p = 0; p < panels; p++) rk_ask(request->panel + stream * (size_t)p + RK_GROUP_BYTES * group + 64 * line, far);
    }
}

// The share of a register tile of `rows` rows of x from `first` on. The first tile of all asks for its own panels, ahead, and none for the next ones.
RK_INLINE rk_group_request rk_request_group_share(const rk_matmul_tile *tile, int panel, int panels, int first, int rows) {
    const uint8_t *own = rk_tile_panel(tile, RK_INT4, panel);
    const int cold = panel == 0, tiles = rk_divide_up(tile->count, rows) - cold, at = rk_divide_up(first, rows) - cold;
    if (at < 0) return (rk_group_request){own + tile->ahead, 0, RK_GROUP_LINES};
    if (panel + panels >= tile->panels) return (rk_group_request){own, 0, 0};
    return (rk_group_request){own + rk_panel_bytes(RK_INT4, tile->columns) * (size_t)panels, RK_GROUP_LINES * at / tiles,
                              RK_GROUP_LINES * (at + 1) / tiles};
}

// Where many rows of x share the unpacking, they ask between them for what is unpacked next, each for so much of it:
RK_INLINE size_t rk_row_share(size_t bytes, int rows) { return (bytes + (size_t)rows - 1) / (size_t)rows; }

// The shares of the rows first ..< end of x.
RK_INLINE void rk_ask_for_shares(const uint8_t *next, size_t share, int first, int end) {
    for (size_t line = share * (size_t)first / 64 * 64; line < share * (size_t)end; line += 64) rk_ask(next + line, RK_NEAR);
}

#endif
