#define _GNU_SOURCE
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>
#include "harness.h"

enum { STEPS = 2000, MAX_CHUNKS = 40 };

typedef struct steps {
    _Atomic int taken[STEPS][MAX_CHUNKS];
    _Atomic int early;  // workers that passed a barrier before all had arrived
    _Atomic int arrived[STEPS];
    _Atomic int odd; // numbers of chunks taken at once that are not what was asked for
    _Atomic int workers;
} steps;

static int chunks_of(int step) { return step % (MAX_CHUNKS + 1); }

static void take_chunks(void *context, rk_worker *worker) {
    steps *s = context;
    if (worker->index == 0) {
        s->workers = worker->count;
    }
    for (int step = 0; step < STEPS; step++) {
        int chunks = chunks_of(step);
        if (step % 2 == 0) {
            for (int chunk; (chunk = rk_next_chunk(worker, chunks)) >= 0;) {
                atomic_fetch_add(&s->taken[step][chunk], 1);
            }
        } else {
            const int multiple = 1 + step / 2 % 5;
            for (int chunk, some; (some = rk_next_chunks(worker, chunks, multiple, &chunk)) > 0;) {
                if (some % multiple != 0 && chunk + some != chunks) atomic_fetch_add(&s->odd, 1);
                if (worker->count == 1 && some != chunks) atomic_fetch_add(&s->odd, 1);
                for (int i = 0; i < some; i++) atomic_fetch_add(&s->taken[step][chunk + i], 1);
            }
        }
        atomic_fetch_add(&s->arrived[step], 1);
        rk_barrier(worker);
        if (atomic_load(&s->arrived[step]) != worker->count) {
            atomic_fetch_add(&s->early, 1);
        }
    }
}

// Steps of which each worker takes chunks only once: some of its own share.
typedef struct own_shares {
    int chunks, step;
    _Atomic int first[MAX_CHUNKS], count[MAX_CHUNKS]; // of each worker's share
    _Atomic int others; // took something else
    _Atomic int workers;
} own_shares;

static void take_once(void *context, rk_worker *worker) {
    own_shares *o = context;
    int first = -1, taken = -1;
    const int own = rk_own_chunks(worker, o->chunks, o->step, &first);
    o->first[worker->index] = first;
    o->count[worker->index] = own;
    if (worker->index == 0) o->workers = worker->count;
    rk_barrier(worker);
    if (own > 0) {
        const int some = rk_next_chunks(worker, o->chunks, o->step, &taken);
        if (taken != first || some < 1 || some > own) atomic_fetch_add(&o->others, 1);
        rk_barrier(worker);
        if (o->step == 1 && rk_next_chunk(worker, o->chunks) != first) atomic_fetch_add(&o->others, 1);
    } else {
        rk_barrier(worker);
    }
    rk_barrier(worker);
}

static void test_own_shares(int threads, int chunks, int step) {
    static own_shares o;
    memset(&o, 0, sizeof o);
    o.chunks = chunks;
    o.step = step;
    test_begin("parallel", "own shares", "any", "%d threads, %d chunks, multiples of %d", threads, chunks, step);
    rk_parallel(threads, take_once, &o);
    int next = 0;
    for (int i = 0; i < o.workers; i++) {
        test_expect(o.first[i] == next && o.count[i] >= 0 && o.first[i] % step == 0, "worker %d has %d from %d", i, o.count[i], o.first[i]);
        next += o.count[i];
    }
    test_expect(next == chunks, "shares end at %d", next);
    test_expect(o.others == 0, "%d times chunks of another's share came first", o.others);
}

// Regions of several callers at once, as of two sessions: each cell of a step needs its neighbours of the step before, so that a chunk that is left
// out or a barrier that lets a worker through, be it another caller's, gives other numbers.
enum { CELLS = 37, GENERATIONS = 25, CALLERS = 2, REGIONS = 60, SECONDS = 300 };

typedef struct caller {
    pthread_t thread;
    pthread_barrier_t *start;
    int threads;
    uint32_t seed;
    uint32_t cells[GENERATIONS + 1][CELLS];
    int wrong; // regions
} caller;

static void next_cell(uint32_t (*cells)[CELLS], int generation, int cell) {
    const uint32_t *before = cells[generation];
    cells[generation + 1][cell] = before[cell] * 3 + before[(cell + 1) % CELLS] * 5 + before[(cell + CELLS - 1) % CELLS] * 7 + (uint32_t)cell;
}

static void run_cells(void *context, rk_worker *worker) {
    caller *c = context;
    for (int generation = 0; generation < GENERATIONS; generation++) {
        if (generation % 2 == 0) {
            for (int cell; (cell = rk_next_chunk(worker, CELLS)) >= 0;) next_cell(c->cells, generation, cell);
        } else {
            for (int first, some; (some = rk_next_chunks(worker, CELLS, 4, &first)) > 0;) {
                for (int i = 0; i < some; i++) next_cell(c->cells, generation, first + i);
            }
        }
        rk_barrier(worker);
    }
}

static void *open_regions(void *context) {
    caller *c = context;
    uint32_t expected[GENERATIONS + 1][CELLS];
    pthread_barrier_wait(c->start);
    for (int region = 0; region < REGIONS; region++) {
        memset(c->cells, 0, sizeof c->cells);
        memset(expected, 0, sizeof expected);
        for (int cell = 0; cell < CELLS; cell++) c->cells[0][cell] = expected[0][cell] = c->seed++;
        rk_parallel(c->threads, run_cells, c);
        for (int generation = 0; generation < GENERATIONS; generation++) {
            for (int cell = 0; cell < CELLS; cell++) next_cell(expected, generation, cell);
        }
        c->wrong += memcmp(expected, c->cells, sizeof expected) != 0;
    }
    return NULL;
}

static void test_callers(int threads, int threads_of_other) {
    static caller callers[CALLERS];
    pthread_barrier_t start;
    test_begin("parallel", "callers", "any", "%d at once, of %d and %d threads", CALLERS, threads, threads_of_other);
    pthread_barrier_init(&start, NULL, CALLERS);
    alarm(SECONDS); // a deadlock would last longer
    for (int i = 0; i < CALLERS; i++) {
        callers[i] = (caller){.start = &start, .threads = i ? threads_of_other : threads, .seed = test_random()};
        if (!test_expect(pthread_create(&callers[i].thread, NULL, open_regions, &callers[i]) == 0, "no thread")) return;
    }
    for (int i = 0; i < CALLERS; i++) pthread_join(callers[i].thread, NULL);
    alarm(0);
    pthread_barrier_destroy(&start);
    for (int i = 0; i < CALLERS; i++) test_expect(callers[i].wrong == 0, "%d of %d regions of caller %d wrong", callers[i].wrong, REGIONS, i);
}

void test_parallel(void) {
    static steps s;
    const int threads[] = {1, 2, 3, 7};
    for (size_t i = 0; i < sizeof threads / sizeof threads[0]; i++) {
        test_begin("parallel", "chunks", "any", "%d threads", threads[i]);
        memset(&s, 0, sizeof s);
        rk_parallel(threads[i], take_chunks, &s);
        test_expect(s.workers >= 1 && s.workers <= threads[i], "%d workers", s.workers);
        test_expect(s.early == 0, "%d workers left a barrier early", s.early);
        test_expect(s.odd == 0, "%d times chunks were taken in other numbers than asked for", s.odd);
        int wrong = 0;
        for (int step = 0; step < STEPS; step++) {
            for (int chunk = 0; chunk < MAX_CHUNKS; chunk++) {
                wrong += s.taken[step][chunk] != (chunk < chunks_of(step));
            }
        }
        test_expect(wrong == 0, "%d chunks not taken exactly once", wrong);
    }
    for (size_t i = 0; i < sizeof threads / sizeof threads[0]; i++) {
        for (int step = 1; step <= 4; step += 3) {
            for (int chunks = 0; chunks <= MAX_CHUNKS; chunks += 13) test_own_shares(threads[i], chunks, step);
        }
    }
    test_callers(2, 2);
    test_callers(1, 3);
    test_callers(3, 3);
}
