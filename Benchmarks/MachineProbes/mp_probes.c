#define _GNU_SOURCE
#include "mp_probes.h"
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>
#include "internal.h"

enum { STREAM_BYTES = 256 << 20, CALL_BYTES = 8 << 20, PIECE_BYTES = 128 << 10, ROUNDS = 20000, ACCUMULATORS = 12, TRIPS = 2000 };

typedef uint64_t words __attribute__((vector_size(64)));

typedef struct stream {
    const words *data;
    size_t next; // byte that the next call starts at
    words sums[64];
} stream;

static void read_stream(void *context, rk_worker *worker) {
    stream *s = context;
    enum { WORDS = PIECE_BYTES / sizeof(words), QUARTER = WORDS / 4 }; // four streams, each followed by the hardware prefetcher
    words a = {0}, b = {0}, c = {0}, d = {0};
    for (int piece; (piece = rk_next_chunk(worker, CALL_BYTES / PIECE_BYTES)) >= 0;) {
        const words *p = s->data + s->next / sizeof(words) + (size_t)piece * WORDS;
        for (int i = 0; i < QUARTER; i++) {
            a ^= p[i], b ^= p[QUARTER + i], c ^= p[2 * QUARTER + i], d ^= p[3 * QUARTER + i];
        }
    }
    s->sums[worker->index % 64] ^= a ^ b ^ c ^ d;
    rk_barrier(worker);
    if (worker->index == 0) s->next = (s->next + CALL_BYTES) % STREAM_BYTES;
}

#if defined(__x86_64__)

RK_TARGET_AVX512 static float dot_avx512(void) {
    __m512i sum[ACCUMULATORS], x = _mm512_set1_epi8(1);
    for (int i = 0; i < ACCUMULATORS; i++) sum[i] = _mm512_setzero_si512();
    for (int round = 0; round < ROUNDS; round++) {
        RK_UNROLL
        for (int i = 0; i < ACCUMULATORS; i++) sum[i] = _mm512_dpbusd_epi32(sum[i], x, x);
    }
    for (int i = 1; i < ACCUMULATORS; i++) sum[0] = _mm512_add_epi32(sum[0], sum[i]);
    return (float)_mm512_reduce_add_epi32(sum[0]);
}

RK_TARGET_AVX512 static float fma_avx512(void) {
    __m512 sum[ACCUMULATORS], x = _mm512_set1_ps(0.5f);
    for (int i = 0; i < ACCUMULATORS; i++) sum[i] = _mm512_setzero_ps();
    for (int round = 0; round < ROUNDS; round++) {
        RK_UNROLL
        for (int i = 0; i < ACCUMULATORS; i++) sum[i] = _mm512_fmadd_ps(sum[i], x, x);
    }
    for (int i = 1; i < ACCUMULATORS; i++) sum[0] = _mm512_add_ps(sum[0], sum[i]);
    return _mm512_reduce_add_ps(sum[0]);
}

RK_TARGET_AVX2 static float fma_avx2(void) {
    __m256 sum[ACCUMULATORS], x = _mm256_set1_ps(0.5f);
    for (int i = 0; i < ACCUMULATORS; i++) sum[i] = _mm256_setzero_ps();
    for (int round = 0; round < ROUNDS; round++) {
        RK_UNROLL
        for (int i = 0; i < ACCUMULATORS; i++) sum[i] = _mm256_fmadd_ps(sum[i], x, x);
    }
    for (int i = 1; i < ACCUMULATORS; i++) sum[0] = _mm256_add_ps(sum[0], sum[i]);
    return _mm256_cvtss_f32(sum[0]);
}

RK_TARGET_AVX2 static float maddubs_avx2(void) { // with the addition that each needs
    __m256i sum[ACCUMULATORS], x = _mm256_set1_epi8(1);
    for (int i = 0; i < ACCUMULATORS; i++) sum[i] = _mm256_set1_epi8((char)i);
    for (int round = 0; round < ROUNDS; round++) {
        RK_UNROLL
        for (int i = 0; i < ACCUMULATORS; i++) sum[i] = _mm256_add_epi16(_mm256_maddubs_epi16(sum[i], x), x);
    }
    for (int i = 1; i < ACCUMULATORS; i++) sum[0] = _mm256_add_epi16(sum[0], sum[i]);
    return (float)_mm256_extract_epi32(sum[0], 0);
}

#elif defined(__aarch64__)

static float fma_neon(void) {
    float32x4_t sum[ACCUMULATORS], x = vdupq_n_f32(0.5f);
    for (int i = 0; i < ACCUMULATORS; i++) sum[i] = vdupq_n_f32(0);
    for (int round = 0; round < ROUNDS; round++) {
        RK_UNROLL
        for (int i = 0; i < ACCUMULATORS; i++) sum[i] = vfmaq_f32(x, sum[i], x);
    }
    for (int i = 1; i < ACCUMULATORS; i++) sum[0] = vaddq_f32(sum[0], sum[i]);
    return vaddvq_f32(sum[0]);
}

static float smlal_neon(void) {
    int16x8_t sum[ACCUMULATORS];
    const int8x8_t x = vdup_n_s8(1);
    for (int i = 0; i < ACCUMULATORS; i++) sum[i] = vdupq_n_s16(0);
    for (int round = 0; round < ROUNDS; round++) {
        RK_UNROLL
        for (int i = 0; i < ACCUMULATORS; i++) sum[i] = vmlal_s8(sum[i], vreinterpret_s8_s16(vget_low_s16(sum[i])), x);
    }
    for (int i = 1; i < ACCUMULATORS; i++) sum[0] = vaddq_s16(sum[0], sum[i]);
    return (float)vaddvq_s16(sum[0]);
}

RK_TARGET_DOTPROD static float dot_dotprod(void) {
    int32x4_t sum[ACCUMULATORS];
    const int8x16_t x = vdupq_n_s8(1);
    for (int i = 0; i < ACCUMULATORS; i++) sum[i] = vdupq_n_s32(0);
    for (int round = 0; round < ROUNDS; round++) {
        RK_UNROLL
        for (int i = 0; i < ACCUMULATORS; i++) sum[i] = vdotq_s32(sum[i], vreinterpretq_s8_s32(sum[i]), x);
    }
    for (int i = 1; i < ACCUMULATORS; i++) sum[0] = vaddq_s32(sum[0], sum[i]);
    return (float)vaddvq_s32(sum[0]);
}

RK_TARGET_I8MM static float dot_i8mm(void) {
    int32x4_t sum[ACCUMULATORS];
    const int8x16_t x = vdupq_n_s8(1);
    for (int i = 0; i < ACCUMULATORS; i++) sum[i] = vdupq_n_s32(0);
    for (int round = 0; round < ROUNDS; round++) {
        RK_UNROLL
        for (int i = 0; i < ACCUMULATORS; i++) sum[i] = vmmlaq_s32(sum[i], vreinterpretq_s8_s32(sum[i]), x);
    }
    for (int i = 1; i < ACCUMULATORS; i++) sum[0] = vaddq_s32(sum[0], sum[i]);
    return (float)vaddvq_s32(sum[0]);
}

#endif

static const struct probe {
    mp_probe is;
    uint32_t feature;
    float (*run)(void);
} probes[] = {
#if defined(__x86_64__)
    {{"maddubs+add", MP_INT8, 32}, RK_CPU_AVX2, maddubs_avx2},
    {{"fma 256", MP_F32, 8}, RK_CPU_AVX2, fma_avx2},
    {{"fma 512", MP_F32, 16}, RK_CPU_AVX512, fma_avx512},
    {{"dpbusd 512", MP_INT8, 64}, RK_CPU_AVX512, dot_avx512},
#elif defined(__aarch64__)
    {{"fmla", MP_F32, 4}, RK_CPU_NEON, fma_neon},
    {{"smlal", MP_INT8, 8}, RK_CPU_NEON, smlal_neon},
    {{"sdot", MP_INT8, 16}, RK_CPU_DOTPROD, dot_dotprod},
    {{"smmla", MP_INT8, 32}, RK_CPU_I8MM, dot_i8mm},
#else
    {{"none", MP_F32, 0}, ~0u, NULL},
#endif
};

int mp_probe_count(void) { return sizeof probes / sizeof probes[0]; }

mp_probe mp_probe_at(int index) { return probes[index].is; }

static double seconds_of(clockid_t clock) {
    struct timespec time;
    clock_gettime(clock, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

static double now(void) { return seconds_of(CLOCK_MONOTONIC); }

double mp_cpu_seconds(void) { return seconds_of(CLOCK_PROCESS_CPUTIME_ID); }

static int by_size(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

// Seconds of the median call, of those that a fifth of a second holds.
static double seconds_of_call(int threads, rk_body body, void *context) {
    enum { MOST = 8192 };
    static double seconds[MOST];
    int count = 0;
    for (double start = now(), before = start, after; count < MOST && before - start < 0.2; before = after) {
        rk_parallel(threads, body, context);
        after = now();
        seconds[count++] = after - before;
    }
    qsort(seconds, (size_t)count, sizeof *seconds, by_size);
    return seconds[count / 2];
}

static void run_probe(void *context, rk_worker *worker) {
    (void)worker;
    volatile float result = ((const struct probe *)context)->run();
    (void)result;
}

double mp_product_rate(int index, int threads) {
    const struct probe *probe = &probes[index];
    if ((rk_cpu_features() & probe->feature) != probe->feature) return 0;
    const double products = (double)ROUNDS * ACCUMULATORS * probe->is.products * threads;
    return products / seconds_of_call(threads, run_probe, (void *)probe);
}

double mp_read_rate(int threads) {
    stream s = {.data = aligned_alloc(64, STREAM_BYTES)};
    if (!s.data) return 0;
    memset((void *)s.data, 1, STREAM_BYTES);
    const double seconds = seconds_of_call(threads, read_stream, &s);
    free((void *)s.data);
    return CALL_BYTES / seconds;
}

// Two workers increment a number in turn.
typedef struct turns {
    _Alignas(128) _Atomic int number;
} turns;

static void take_turns(void *context, rk_worker *worker) {
    turns *t = context;
    if (worker->count < 2 || worker->index > 1) return;
    for (int turn = worker->index; turn < 2 * TRIPS; turn += 2) {
        for (int spins = 1; atomic_load_explicit(&t->number, memory_order_acquire) != turn; spins++) {
            if (spins % 4096 == 0) sched_yield(); // both may have the same core
        }
        atomic_store_explicit(&t->number, turn + 1, memory_order_release);
    }
    rk_barrier(worker);
    if (worker->index == 0) t->number = 0;
}

double mp_round_trip(int threads) {
    turns t = {0};
    return threads < 2 ? 0 : seconds_of_call(2, take_turns, &t) / TRIPS;
}
