// The only file that knows OpenMP. It calls the runtime library directly, as the compiler would for `#pragma omp parallel`, so that
// no source needs -fopenmp. With RK_SERIAL defined there is one worker and no OpenMP symbol.
#define _GNU_SOURCE
#include <sched.h>
#include <stdatomic.h>
#if defined(__linux__)
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif
#include "internal.h"

// How long a worker spins in a barrier before it sleeps, in pauses: tens of microseconds, while the others come in that time. Where they do not,
// other processes probably have their cores, and spinning keeps another one from them.
enum { MAX_SPINS = 2000, MIN_SPINS = 300, SPIN_INCREMENT = 100 };

// How many chunks of a worker's share are taken.
typedef struct share {
    _Alignas(64) _Atomic int taken;
} share;

struct rk_team {
    rk_body body;
    void *context;
    share *shares; // of each worker
    _Alignas(64) _Atomic int arrived;
    _Alignas(64) _Atomic uint32_t generation;
    _Atomic int sleepers; // workers that wait for the next generation asleep
    _Atomic int spins;    // at most, of the next one that waits
};

#if defined(RK_SERIAL)

void rk_parallel(int threads, rk_body body, void *context) {
    (void)threads;
    share all = {0};
    struct rk_team team = {.body = body, .context = context, .shares = &all, .spins = MAX_SPINS};
    body(context, &(rk_worker){.team = &team, .index = 0, .count = 1});
}

#else

void GOMP_parallel(void (*function)(void *), void *data, unsigned threads, unsigned flags);
int omp_get_thread_num(void);
int omp_get_num_threads(void);
// Of libomp only; libgomp has an environment variable for it.
__attribute__((weak)) void kmp_set_blocktime(int milliseconds);

static void run_worker(void *data) {
    struct rk_team *team = data;
    // The runtime may grant fewer threads than were asked for.
    rk_worker worker = {.team = team, .index = omp_get_thread_num(), .count = omp_get_num_threads()};
    team->body(team->context, &worker);
}

void rk_parallel(int threads, rk_body body, void *context) {
    share shares[rk_max(1, threads)];
    memset(shares, 0, sizeof shares);
    struct rk_team team = {.body = body, .context = context, .shares = shares, .spins = MAX_SPINS};
    if (threads <= 1) {
        body(context, &(rk_worker){.team = &team, .index = 0, .count = 1});
    } else {
        // Workers spin for the next region, one token later, but not for the 200 ms that they would otherwise.
        if (kmp_set_blocktime) kmp_set_blocktime(1);
        GOMP_parallel(run_worker, &team, (unsigned)threads, 0);
    }
}

#endif

static void cpu_relax(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("isb"); // long enough to matter; yield is a no-op on most cores
#endif
}

// Until the generation is no longer `generation`. Spurious returns are harmless.
static void sleep_until_next(struct rk_team *team, uint32_t generation) {
#if defined(__linux__)
    atomic_fetch_add_explicit(&team->sleepers, 1, memory_order_seq_cst);
    syscall(SYS_futex, &team->generation, FUTEX_WAIT_PRIVATE, generation, NULL, NULL, 0);
    atomic_fetch_sub_explicit(&team->sleepers, 1, memory_order_relaxed);
#else
    (void)team, (void)generation;
    sched_yield();
#endif
}

static void wake_sleepers(struct rk_team *team) {
#if defined(__linux__)
    if (atomic_load_explicit(&team->sleepers, memory_order_seq_cst) > 0) {
        syscall(SYS_futex, &team->generation, FUTEX_WAKE_PRIVATE, INT32_MAX, NULL, NULL, 0);
    }
#else
    (void)team;
#endif
}

// Prefetches the next lines of worker->prefetch into L2. Returns whether there were any.
static int prefetch_some(rk_worker *worker) {
    enum { LINE = 64, LINES = 4 };
    if (worker->prefetch_bytes < LINE * LINES) return 0;
    for (int line = 0; line < LINES; line++) __builtin_prefetch(worker->prefetch + line * LINE, 0, 2);
    worker->prefetch += LINE * LINES;
    worker->prefetch_bytes -= LINE * LINES;
    return 1;
}

// Spins, then sleeps, until the generation is no longer `generation`.
static void wait_for_next(rk_worker *worker, uint32_t generation) {
    struct rk_team *team = worker->team;
    const int spins = atomic_load_explicit(&team->spins, memory_order_relaxed);
    int slept = 0;
    for (int i = 0; atomic_load_explicit(&team->generation, memory_order_acquire) == generation; i++) {
        if (i < spins) {
            if (!prefetch_some(worker)) cpu_relax();
        } else {
            sleep_until_next(team, generation);
            slept = 1;
        }
    }
    const int next = slept ? rk_max(MIN_SPINS, spins / 2) : rk_min(MAX_SPINS, spins + SPIN_INCREMENT);
    if (next != spins) atomic_store_explicit(&team->spins, next, memory_order_relaxed);
}

static void forget_chunks(const rk_worker *worker) {
    for (int i = 0; i < worker->count; i++) atomic_store_explicit(&worker->team->shares[i].taken, 0, memory_order_relaxed);
}

void rk_barrier(rk_worker *worker) {
    struct rk_team *team = worker->team;
    if (worker->count == 1) {
        forget_chunks(worker);
        return;
    }
    uint32_t generation = atomic_load_explicit(&team->generation, memory_order_relaxed);
    if (atomic_fetch_add_explicit(&team->arrived, 1, memory_order_acq_rel) == worker->count - 1) {
        atomic_store_explicit(&team->arrived, 0, memory_order_relaxed);
        forget_chunks(worker);
        atomic_store_explicit(&team->generation, generation + 1, memory_order_seq_cst);
        wake_sleepers(team);
    } else {
        wait_for_next(worker, generation);
    }
}

// Where the share of worker `index` begins: at a multiple of `step`.
static int share_start(const rk_worker *worker, int index, int chunks, int step) {
    return index == worker->count ? chunks : (int)((int64_t)chunks * index / worker->count) / step * step;
}

int rk_own_chunks(const rk_worker *worker, int chunks, int step, int *first) {
    *first = share_start(worker, worker->index, chunks, step);
    return share_start(worker, worker->index + 1, chunks, step) - *first;
}

// How many chunks a worker takes at once of the `left` ones of its own share, or of another's.
static int some_chunks(const rk_worker *worker, int left, int step, int is_own) {
    if (worker->count == 1) return left;
    const int some = is_own ? (int)((int64_t)left * 5 / 8) : left / (4 * worker->count);
    return rk_min(left, rk_max(step, some / step * step));
}

int rk_next_chunks(rk_worker *worker, int chunks, int step, int *first) {
    for (int i = 0; i < worker->count; i++) {
        const int owner = (worker->index + i) % worker->count, start = share_start(worker, owner, chunks, step);
        const int size = share_start(worker, owner + 1, chunks, step) - start;
        _Atomic int *taken = &worker->team->shares[owner].taken;
        int at = atomic_load_explicit(taken, memory_order_relaxed);
        while (at < size) {
            const int some = some_chunks(worker, size - at, step, i == 0);
            if (!atomic_compare_exchange_weak_explicit(taken, &at, at + some, memory_order_relaxed, memory_order_relaxed)) continue;
            *first = start + at;
            return some;
        }
    }
    return 0;
}

int rk_next_chunk(rk_worker *worker, int chunks) {
    for (int i = 0; i < worker->count; i++) {
        const int owner = (worker->index + i) % worker->count, start = share_start(worker, owner, chunks, 1);
        const int size = share_start(worker, owner + 1, chunks, 1) - start;
        _Atomic int *taken = &worker->team->shares[owner].taken;
        if (atomic_load_explicit(taken, memory_order_relaxed) >= size) continue;
        const int at = atomic_fetch_add_explicit(taken, 1, memory_order_relaxed);
        if (at < size) return start + at;
    }
    return -1;
}
