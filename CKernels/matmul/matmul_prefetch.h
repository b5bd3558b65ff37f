// How the kernels of x86-64 read weights from memory: few rows of x in several streams, and any number with software prefetch. Few rows prefetch
// weights of their own panels at a distance of some bytes; many rows, which pass a panel several times, prefetch the panels that come next, each
// register tile its share. Prefetching past the end of the weights does no harm.
#ifndef MATMUL_PREFETCH_H
#define MATMUL_PREFETCH_H

#include "matmul.h"

// Panels that are multiplied together: `count` of them from `first` on, each `apart` panels after the one before.
typedef struct rk_panels {
    int first, apart, count;
} rk_panels;

// Few rows of x are memory-bound. The hardware prefetcher runs ahead in each of several streams, and two cores read 1.1 times as much from
// four streams each as from one (Zen 3; software prefetch reads less than either). So the panels are taken `streams` at once, in turns of one
// or a few cache lines of each: CALL(tile, those panels, ...), and the same one at a time for those that are left.
#define RK_FOR_STREAMS(tile, streams, CALL, ...)                                                                                 \
    {                                                                                                                            \
        const int apart = (tile)->panels / (streams);                                                                            \
        for (int panel = 0; panel < apart; panel++) CALL(tile, (rk_panels){panel, apart, streams}, ##__VA_ARGS__);               \
        for (int panel = (streams) * apart; panel < (tile)->panels; panel++)                                                     \
            CALL(tile, (rk_panels){panel, 1, 1}, ##__VA_ARGS__);                                                                 \
    }

// Likewise with a last argument, a constant: whether the kernel prefetches weights. Tested within its loop, that would part the loop's body.
#define RK_FOR_STREAMS_PREFETCH(tile, streams, CALL)                                                                             \
    if ((tile)->prefetch_distance) RK_FOR_STREAMS(tile, streams, CALL, 1)                                                        \
    else RK_FOR_STREAMS(tile, streams, CALL, 0)

// Into which cache: L1, or L2, which leaves L1 to what is being multiplied.
enum { RK_PREFETCH_L1, RK_PREFETCH_L2 };

RK_INLINE void rk_prefetch(const void *line, const int level) {
    if (level) _mm_prefetch((const char *)line, _MM_HINT_T1);
    else _mm_prefetch((const char *)line, _MM_HINT_T0);
}

// The biases of these panels, which no cache holds either and which are needed last.
RK_INLINE void rk_prefetch_biases(const rk_matmul_tile *tile, const rk_panels panels) {
    for (int p = 0; p < panels.count && tile->bias; p++)
        rk_prefetch(tile->bias + (panels.first + p * panels.apart) * RK_PANEL, RK_PREFETCH_L1);
}

// The prefetch distance of few rows of x on AVX-512, in each of `panels` streams. Into L1: 8 KB in all together, as more would evict x.
RK_INLINE int rk_prefetch_distance(const rk_matmul_tile *tile, int panels, const int level) {
    return level ? tile->prefetch_distance : rk_min(tile->prefetch_distance, (8 << 10) / panels);
}

// The first rk_prefetch_distance() bytes of the weights w of the first panels, which nothing else prefetches: all at once.
RK_INLINE void rk_prefetch_start(const rk_matmul_tile *tile, const void *w, size_t stream, const rk_panels panels, const int level) {
    if (panels.first > 0) return;
    const int bytes = rk_prefetch_distance(tile, panels.count, level);
    for (int line = 0; line < bytes; line += 64) {
        for (int p = 0; p < panels.count; p++) rk_prefetch((const char *)w + stream * (size_t)p + line, level);
    }
}

// A line to be prefetched in each iteration of a loop: `step` bytes after the one before.
typedef struct rk_prefetch_cursor {
    const char *line;
    int step;
} rk_prefetch_cursor;

// In each of `panels` panels that lie `stream` bytes apart.
RK_INLINE void rk_prefetch_next(rk_prefetch_cursor *cursor, size_t stream, int panels, const int level) {
    for (int p = 0; p < panels; p++) rk_prefetch(cursor->line + stream * (size_t)p, level);
    cursor->line += cursor->step;
}

// Many rows of x: several register tiles together prefetch what comes after the `panels` from `panel` on, so that memory never idles. This is the
// share of the rows first ..< first + rows, for every `part` bytes of their own. After a tile's last panel comes what this worker mostly takes next.
RK_INLINE rk_prefetch_cursor rk_next_panels_cursor(const rk_matmul_tile *tile, rk_type type, int panel, int panels, int first, int rows, int part) {
    const char *own = rk_tile_panel(tile, type, panel);
    const size_t bytes = rk_panel_bytes(type, tile->columns);
    return (rk_prefetch_cursor){own + bytes * (size_t)panels + bytes * (size_t)first / (size_t)tile->count, rk_divide_up(part * rows, tile->count)};
}

// Of int4, whose groups are no whole lines: at every group the lines from ..< to of those that begin there.
typedef struct rk_prefetch_group_cursor {
    const uint8_t *panel;
    int from, to;
} rk_prefetch_group_cursor;
enum { RK_GROUP_LINES = (RK_GROUP_BYTES + 63) / 64 };

RK_INLINE void rk_prefetch_group(const rk_prefetch_group_cursor *cursor, size_t group, size_t stream, int panels, const int level) {
    for (int line = cursor->from; line < cursor->to; line++) {
        for (int p = 0; p < panels; p++) rk_prefetch(cursor->panel + stream * (size_t)p + RK_GROUP_BYTES * group + 64 * line, level);
    }
}

// The share of a register tile of `rows` rows of x from `first` on. The first tile of all prefetches its own panels, and none the next ones.
RK_INLINE rk_prefetch_group_cursor rk_next_panels_group_cursor(const rk_matmul_tile *tile, int panel, int panels, int first, int rows) {
    const uint8_t *own = rk_tile_panel(tile, RK_INT4, panel);
    const int cold = panel == 0, tiles = rk_divide_up(tile->count, rows) - cold, at = rk_divide_up(first, rows) - cold;
    if (at < 0) return (rk_prefetch_group_cursor){own + tile->prefetch_distance, 0, RK_GROUP_LINES};
    return (rk_prefetch_group_cursor){own + rk_panel_bytes(RK_INT4, tile->columns) * (size_t)panels, RK_GROUP_LINES * at / tiles,
                                      RK_GROUP_LINES * (at + 1) / tiles};
}

// Where many rows of x share the unpacking, they prefetch between them what is unpacked next, each so much of it:
RK_INLINE size_t rk_row_share(size_t bytes, int rows) { return (bytes + (size_t)rows - 1) / (size_t)rows; }

// The shares of the rows first ..< end of x.
RK_INLINE void rk_prefetch_row_shares(const uint8_t *next, size_t share, int first, int end) {
    for (size_t line = share * (size_t)first / 64 * 64; line < share * (size_t)end; line += 64) rk_prefetch(next + line, RK_PREFETCH_L1);
}

#endif
