// Parallel regions: one body, run by every worker, with barriers between the steps.
//
// The runtime opens ONE region per token or per picture (rk_parallel) and calls the steps inside it from every worker with the
// same arguments. A step takes its chunks with rk_next_chunk and ends with rk_barrier, so a slow core simply takes fewer.
#ifndef RK_PARALLEL_H
#define RK_PARALLEL_H

#include <stddef.h>

typedef struct rk_team rk_team;

typedef struct rk_worker {
    rk_team *team;
    int index; // 0 ..< count
    int count;
    const char *prefetch; // what it prefetches into L2 while it waits at barriers, as it will read that first, and how much of it
    size_t prefetch_bytes;
} rk_worker;

typedef void (*rk_body)(void *context, rk_worker *worker);

// Runs body on `threads` workers (at least 1; the caller is worker 0) and returns when all are done. Steps need up to 128 KB of each one's stack.
// Where the runtime is libomp, its threads stop spinning 1 ms after a region (kmp_set_blocktime), those of the caller's own regions too.
void rk_parallel(int threads, rk_body body, void *context);

// Every worker of the team waits here for the others; also starts a new count of chunks.
void rk_barrier(rk_worker *worker);

// The chunks of a step are shared out: each worker has as many, side by side, and takes those of the others when its own are all taken. So what a
// worker wrote in one pass or step it mostly writes and reads again in the next: from another core's cache that would take far longer, most of all
// where these share no cache.

// The next chunk of the current step in 0 ..< chunks, or -1 when none is left. Each chunk goes to exactly one worker.
int rk_next_chunk(rk_worker *worker, int chunks);

// Likewise several at once: returns how many, from *first on, or 0. Of its own share a worker takes most of what is left, of another's a small part,
// so that all finish together, in multiples of `step` (all if it is alone). A step uses this or rk_next_chunk.
int rk_next_chunks(rk_worker *worker, int chunks, int step, int *first);

// How many chunks are a worker's own share, from *first on.
int rk_own_chunks(const rk_worker *worker, int chunks, int step, int *first);

#endif
