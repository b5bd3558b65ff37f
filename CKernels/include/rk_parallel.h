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

// The next chunk of the current step in 0 ..< chunks, or -1 when none is left. Each chunk goes to exactly one worker.
int rk_next_chunk(rk_worker *worker, int chunks);

// Likewise several at once: returns how many, from *first on, or 0. This is guided scheduling: a worker takes half of its share of those that are
// left, in multiples of `step` (all if it is alone), so that all finish together. A step uses this or rk_next_chunk.
int rk_next_chunks(rk_worker *worker, int chunks, int step, int *first);

#endif
