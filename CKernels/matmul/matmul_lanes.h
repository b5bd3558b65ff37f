// Products with float and half weights, one panel's rows in sixteen lanes. The includer defines RK_TARGET.
#include "../lanes.h"
#include "matmul.h"

RK_LANES_INLINE v16 load_weights(const void *w, rk_type type, int k) {
    return type == RK_F32 ? v16_load((const float *)w + k * RK_PANEL) : v16_load_half((const rk_f16 *)w + k * RK_PANEL);
}

RK_LANES_INLINE void float_rows(const rk_matmul_tile *tile, rk_type type, int panel, int first, const int rows) {
    const void *w = rk_tile_panel(tile, type, panel);
    const float *x = tile->x + tile->x_stride * (size_t)first;
    v16 acc[8];
    for (int t = 0; t < rows; t++) acc[t] = v16_all(0);
    for (int k = 0; k < tile->columns; k++) {
        const v16 weights = load_weights(w, type, k);
        RK_UNROLL
        for (int t = 0; t < rows; t++) acc[t] = v16_fma(weights, v16_all(x[tile->x_stride * (size_t)t + (size_t)k]), acc[t]);
    }
    const v16 bias = tile->bias ? v16_load(tile->bias + panel * RK_PANEL) : v16_all(0);
    for (int t = 0; t < rows; t++) v16_store(rk_tile_out(tile, panel, first + t), acc[t] + bias);
}
