// add_offsets of matmul_scalar.c in sixteen lanes; RK_TARGET is the includer's.
#include "../lanes.h"
#include "matmul.h"

RK_TARGET static void add_offsets(const rk_matmul_tile *tile, const rk_matmul_offsets *o) {
    for (int panel = 0; panel < tile->panels; panel++) {
        const float *offset = o->offsets;
        for (int t = 0; t < tile->count; t++) {
            const float *sums = o->sums + panel * RK_PANEL;
            float *out = rk_tile_out(tile, panel, t);
            v16 acc = v16_load(out);
            for (int block = 0; block < o->blocks; block++, sums += o->stride) acc = v16_fma(v16_splat(*offset++), v16_load(sums), acc);
            v16_store(out, acc);
        }
    }
}
