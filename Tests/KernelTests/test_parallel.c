#include <stdatomic.h>
#include <string.h>
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
    test_begin("parallel", "default", "any", "threads");
    test_expect(rk_default_threads() >= 1, "%d", rk_default_threads());
}
