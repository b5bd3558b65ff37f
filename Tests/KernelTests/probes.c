#include <stdio.h>
#include "harness.h"
#include "mp_probes.h"

void bench_machine(void) {
    for (int all = 0; all < 2; all++) {
        const int threads = all ? test_threads : 1;
        char shape[32];
        snprintf(shape, sizeof shape, "%d threads", threads);
        test_report("machine", "read", "any", shape, 1, "GB", 1e9 / mp_read_rate(threads), 0);
        for (int i = 0; i < mp_probe_count(); i++) {
            const double rate = mp_product_rate(i, threads);
            if (rate > 0) test_report("machine", mp_probe_at(i).instruction, "any", shape, 1, "GMAC", 1e9 / rate, 0);
        }
    }
}
