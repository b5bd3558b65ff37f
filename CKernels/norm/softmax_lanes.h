// The softmax of rk_norm.h on sixteen lanes.
#ifndef SOFTMAX_LANES_H
#define SOFTMAX_LANES_H

#include "../lanes.h"

// The largest element, in all lanes. Where x `is_padded`, it has room for a multiple of sixteen.
RK_LANES_INLINE v16 softmax_maximum(const float *x, int n, const int is_padded) {
    v16 maxima = v16_splat(x[0]);
    int i = 0;
    for (; i + 16 <= n; i += 16) {
        v16 v = v16_load(x + i);
        maxima = v16_select(v > maxima, v, maxima);
    }
    if (i < n) {
        v16 v = is_padded ? v16_load(x + i) : v16_load_upto(x + i, n - i);
        v = v16_first(v, n - i, x[0]);
        maxima = v16_select(v > maxima, v, maxima);
    }
    return v16_splat(v16_max(maxima));
}

// Likewise; zeros are put behind the last element of a padded x.
RK_LANES_INLINE float softmax_of(float *x, int n, const int is_padded) {
    const v16 max = softmax_maximum(x, n, is_padded);
    v16 sum = {0};
    int i = 0;
    for (; i + 16 <= n; i += 16) {
        v16 v = v16_exp(v16_load(x + i) - max);
        v16_store(x + i, v);
        sum += v;
    }
    if (i < n) {
        v16 v = v16_first(v16_exp((is_padded ? v16_load(x + i) : v16_load_upto(x + i, n - i)) - max), n - i, 0);
        v16_store_upto(x + i, v, is_padded ? 16 : n - i);
        sum += v;
    }
    return v16_sum(sum);
}

#endif
