// What this machine can do at most: memory read as a stream, multiply-add instructions from registers. Each figure is the median of short calls
// over a fifth of a second, as a machine that others share is slower at times: set it against medians from the same minutes. Not safe to call
// from several threads.
#ifndef MP_PROBES_H
#define MP_PROBES_H

typedef enum mp_kind { MP_INT8, MP_F32 } mp_kind;

// A multiply-add instruction.
typedef struct mp_probe {
    const char *instruction;
    mp_kind kind;
    int products; // of one instruction
} mp_probe;

int mp_probe_count(void);
mp_probe mp_probe_at(int index);

// Products a second on `threads` cores together, 0 where rk_cpu_features() lacks the instruction.
double mp_product_rate(int index, int threads);

// Bytes a second that `threads` cores read together from memory that no cache holds; 0 without 256 MiB to read.
double mp_read_rate(int threads);

// Seconds that a cache line takes from one core to another and back; 0 where there is one thread. Cores that share a cache take tens of
// nanoseconds, others several hundred.
double mp_round_trip(int threads);

// Processor time of this process so far.
double mp_cpu_seconds(void);

#endif
