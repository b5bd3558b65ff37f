// The products of convolutions as those of 16-bit integers; included after winograd_lanes.h by an instruction set that has defined what rounds,
// round_lanes(lanes) and store_int16(to, v16, v16), and madd16(sum, w, x), as in madd.h, on sixteen lanes.
#include "conv.h"

typedef int32_t int_lanes __attribute__((vector_size(4 * RK_WINOGRAD_LANES)));
typedef uint32_t bit_lanes __attribute__((vector_size(4 * RK_WINOGRAD_LANES)));

RK_LANES_INLINE lanes larger(lanes a, lanes b) {
    const int_lanes is_larger = a > b;
    return (lanes)((is_larger & (int_lanes)a) | (~is_larger & (int_lanes)b));
}

// What scales numbers to a norm, from the root of the sum of their squares.
RK_LANES_INLINE lanes scale_to(float norm, lanes squares, lanes root) {
    const int_lanes enough = squares > splat(RK_INT16_LEAST);
    return (lanes)(enough & (int_lanes)(splat(norm) / root));
}

// Two columns of some rows of weights, which their scales keep within 16 bits.
RK_LANES_INLINE void store_pair(float *to, lanes even, lanes odd) {
    const bit_lanes pair = (bit_lanes)round_lanes(odd) << 16 | ((bit_lanes)round_lanes(even) & 0xffff);
    memcpy(to, &pair, sizeof pair);
}

// For each row of a panel, of which RK_WINOGRAD_LANES begin at `at`: the sum of squares that its integers are scaled by.
RK_LANES_INLINE lanes squares_of_rows(const void *panel, rk_type type, int channels, int first, int count, int at) {
    lanes total = splat(0), most = splat(0);
    for (int c = 0; c < count; c++) {
        lanes e = splat(0);
        RK_UNROLL
        for (int tap = 0; tap < 9; tap++) {
            const lanes g = load_weights(panel, type, (tap * channels + first + c) * RK_PANEL + at);
            e = fma_lanes(g, g, e);
        }
        total += e;
        most = larger(e, most);
    }
    return larger(splat(4) * most, total);
}

// G with rows of norm 1.
RK_LANES_INLINE void transform_to_norms(lanes t[6], const lanes g[3]) {
    const lanes s = (g[0] + g[2]) * splat(RK_ROOT_THIRD), t3 = g[1] * splat(RK_ROOT_THIRD);
    const lanes u = fma_lanes(splat(4), g[2], g[0]) * splat(RK_ROOT_TWENTY_FIRST), v = g[1] * splat(2 * RK_ROOT_TWENTY_FIRST);
    t[0] = g[0];
    t[1] = -s - t3;
    t[2] = t3 - s;
    t[3] = u + v;
    t[4] = u - v;
    t[5] = g[2];
}

RK_LANES_INLINE void transform_scaled_columns(lanes columns[3][6], lanes scale, const void *panel, rk_type type, int channels, int at) {
    RK_UNROLL
    for (int x = 0; x < 3; x++) {
        const int w = x * channels * RK_PANEL + at, down = 3 * channels * RK_PANEL;
        const lanes g[3] = {load_weights(panel, type, w) * scale, load_weights(panel, type, w + down) * scale,
                            load_weights(panel, type, w + 2 * down) * scale};
        transform_to_norms(columns[x], g);
    }
}

RK_LANES_INLINE void quantize_panel(float *u, size_t stride, const void *panel, rk_type type, int channels, int first, int count) {
    for (int at = 0; at < RK_PANEL; at += RK_WINOGRAD_LANES) {
        const lanes squares = squares_of_rows(panel, type, channels, first, count, at), root = __builtin_elementwise_sqrt(squares);
        const lanes scale = scale_to(RK_INT16_WEIGHT_NORM, squares, root);
        for (int i = 0; i < RK_WINOGRAD_POSITIONS; i++)
            store(u + (size_t)i * stride + at, root * splat(1.0f / RK_INT16_WEIGHT_NORM * (rk_winograd_norms[i / 6] * rk_winograd_norms[i % 6])));
        for (int c = 0; c < count; c += 2) {
            lanes even[3][6], odd[3][6];
            transform_scaled_columns(even, scale, panel, type, channels, (first + c) * RK_PANEL + at);
            transform_scaled_columns(odd, scale, panel, type, channels, (first + c + 1) * RK_PANEL + at);
            RK_UNROLL
            for (int i = 0; i < 6; i++) {
                const lanes row0[3] = {even[0][i], even[1][i], even[2][i]}, row1[3] = {odd[0][i], odd[1][i], odd[2][i]};
                lanes t0[6], t1[6];
                transform_to_norms(t0, row0);
                transform_to_norms(t1, row1);
                RK_UNROLL
                for (int j = 0; j < 6; j++) store_pair(u + (size_t)(6 * i + j) * stride + RK_PANEL + c / 2 * RK_PANEL + at, t0[j], t1[j]);
            }
        }
    }
}

RK_TARGET static void weights_int16(float *u, size_t stride, const void *panel, rk_type type, int channels, int first, int count) {
    if (type == RK_F32) quantize_panel(u, stride, panel, RK_F32, channels, first, count);
    else quantize_panel(u, stride, panel, RK_F16, channels, first, count);
}

RK_LANES_INLINE void quantize_tile(float *v, size_t stride, int t, const float *const pixels[RK_WINOGRAD_POSITIONS], int channels,
                                   const int upsampled) {
    enum { ROUNDED_UP = 48 };
    _Alignas(64) float transformed[RK_WINOGRAD_POSITIONS * RK_INT16_SLICE];
    float squares[ROUNDED_UP] = {0}, scales[ROUNDED_UP], backs[ROUNDED_UP];
    const size_t n = (size_t)channels;
    for (int i = 0; upsampled && i < RK_WINOGRAD_POSITIONS; i++) {
        if (i / 6 == 2 || i % 6 == 2) memset(transformed + (size_t)i * n, 0, n * sizeof *transformed);
    }
    for (int c = 0; c < channels; c += RK_WINOGRAD_LANES) transform_channels(transformed + c, n, pixels, c, upsampled);
    for (int i = 0; i < RK_WINOGRAD_POSITIONS; i += 4) {
        const float *from = transformed + (size_t)i * n;
        v16 sums[4] = {v16_splat(0), v16_splat(0), v16_splat(0), v16_splat(0)};
        for (size_t c = 0; c < n; c += 16) {
            RK_UNROLL
            for (size_t k = 0; k < 4; k++) {
                const v16 x = v16_load(from + k * n + c);
                sums[k] = v16_fma(x, x, sums[k]);
            }
        }
        const v4 four = v16_sum4(sums[0], sums[1], sums[2], sums[3]);
        memcpy(squares + i, &four, sizeof four);
    }
    for (int i = 0; i < ROUNDED_UP; i += RK_WINOGRAD_LANES) {
        const lanes root = __builtin_elementwise_sqrt(load(squares + i));
        store(scales + i, scale_to(RK_INT16_X_NORM, load(squares + i), root));
        store(backs + i, root * splat(1.0f / RK_INT16_X_NORM));
    }
    for (int i = 0; i < RK_WINOGRAD_POSITIONS; i++) {
        if (upsampled && (i / 6 == 2 || i % 6 == 2)) continue;
        float *block = v + (size_t)i * stride;
        const v16 scale = v16_splat(scales[i]);
        for (size_t c = 0; c < n; c += 32) {
            const float *from = transformed + (size_t)i * n + c;
            store_int16(block + (c * RK_WINOGRAD_ROWS + (size_t)t * 32) / 2, v16_load(from) * scale, v16_load(from + 16) * scale);
        }
        block[n * RK_WINOGRAD_ROWS / 2 + (size_t)t] = backs[i];
    }
}

RK_TARGET static void input_int16(float *v, size_t stride, int t, const float *const pixels[RK_WINOGRAD_POSITIONS], int channels, int upsampled) {
    if (upsampled) quantize_tile(v, stride, t, pixels, channels, 1);
    else quantize_tile(v, stride, t, pixels, channels, 0);
}

// A patch is not transformed, nor are its weights.
RK_TARGET static void patch(float *v, int t, const float *x, int columns) {
    v16 sums = v16_splat(0);
    for (int c = 0; c < columns; c += 16) sums = v16_fma(v16_load(x + c), v16_load(x + c), sums);
    const float squares = v16_sum(sums), root = sqrtf(squares);
    const v16 scale = v16_splat(squares > RK_INT16_LEAST ? RK_INT16_X_NORM / root : 0);
    for (int c = 0; c < columns; c += 32)
        store_int16(v + (c * RK_WINOGRAD_ROWS + t * 32) / 2, v16_load(x + c) * scale, v16_load(x + c + 16) * scale);
    v[columns * RK_WINOGRAD_ROWS / 2 + t] = root * (1.0f / RK_INT16_X_NORM);
}

RK_LANES_INLINE void quantize_columns(float *u, const void *panel, rk_type type, int first, int count) {
    for (int at = 0; at < RK_PANEL; at += RK_WINOGRAD_LANES) {
        const int from = first * RK_PANEL + at;
        lanes total = splat(0), most = splat(0);
        for (int c = 0; c < count; c++) {
            const lanes g = load_weights(panel, type, from + c * RK_PANEL);
            total = fma_lanes(g, g, total);
            most = larger(g * g, most);
        }
        const lanes squares = larger(splat(4) * most, total), root = __builtin_elementwise_sqrt(squares);
        const lanes scale = scale_to(RK_INT16_WEIGHT_NORM, squares, root);
        store(u + at, root * splat(1.0f / RK_INT16_WEIGHT_NORM));
        for (int c = 0; c < count; c += 2) {
            const int w = from + c * RK_PANEL;
            store_pair(u + RK_PANEL + c / 2 * RK_PANEL + at, load_weights(panel, type, w) * scale, load_weights(panel, type, w + RK_PANEL) * scale);
        }
    }
}

RK_TARGET static void columns(float *u, const void *panel, rk_type type, int first, int count) {
    if (type == RK_F32) quantize_columns(u, panel, RK_F32, first, count);
    else quantize_columns(u, panel, RK_F16, first, count);
}

RK_LANES_INLINE v16_int two_channels(const float *pair) {
    int32_t both;
    memcpy(&both, pair, sizeof both);
    return both - (v16_int){0};
}

// `block` of tiles, of which `rows` are multiplied from `first` on.
RK_LANES_INLINE void multiply_integers(float *m, const float *block, const int first, const float *u, const int panels, int channels, int more,
                                       const int rows) {
    const float *backs = block + channels * RK_WINOGRAD_ROWS / 2 + first, *v = block + first * 16;
    const size_t panel = RK_PANEL + (size_t)channels / 2 * RK_PANEL;
    const float *w = u + RK_PANEL;
    v16_int sums[RK_WINOGRAD_ROWS * RK_WINOGRAD_PANELS];
    RK_UNROLL
    for (int i = 0; i < rows * panels; i++) sums[i] = (v16_int){0};
    for (int c = 0; c < channels; c += 32, v += RK_WINOGRAD_ROWS * 16, w += 16 * RK_PANEL) {
        RK_NO_UNROLL
        for (int k = 0; k < 16; k++) {
            v16_int pairs[RK_WINOGRAD_PANELS];
            for (int p = 0; p < panels; p++) memcpy(&pairs[p], w + panel * (size_t)p + k * RK_PANEL, sizeof pairs[p]);
            RK_UNROLL
            for (int t = 0; t < rows; t++) {
                const v16_int x = two_channels(v + 16 * t + k);
                for (int p = 0; p < panels; p++) sums[t * panels + p] = madd16(sums[t * panels + p], pairs[p], x);
            }
        }
    }
    RK_UNROLL
    for (int i = 0; i < rows * panels; i++) {
        const v16 factor = v16_load(u + panel * (size_t)(i % panels)) * v16_splat(backs[i / panels]);
        const v16 before = more ? v16_load(m + i * RK_PANEL) : v16_splat(0);
        v16_store(m + i * RK_PANEL, v16_fma(__builtin_convertvector(sums[i], v16), factor, before));
    }
}

RK_TARGET static void pixels(float *out, size_t stride, const float *added, const float *m, int panels, int count, const float *bias) {
    for (int at = 0; at < panels * RK_PANEL; at += RK_PANEL) {
        const v16 constant = bias ? v16_load(bias + at) : v16_splat(0);
        for (int p = 0; p < count; p++) {
            const size_t pixel = (size_t)p * stride + (size_t)at;
            const v16 sum = v16_load(m + p * panels * RK_PANEL + at) + constant;
            v16_store(out + pixel, added ? sum + v16_load(added + pixel) : sum);
        }
    }
}

#define ONE_PANEL_INT16(n) multiply_integers(m + first * RK_PANEL, v, first, u, 1, channels, more, n)
#define ALL_PANELS_INT16(n) multiply_integers(m + first * RK_WINOGRAD_PANELS * RK_PANEL, v, first, u, RK_WINOGRAD_PANELS, channels, more, n)

RK_TARGET static void multiply_int16(float *m, const float *v, size_t stride, const float *u, int panels, int channels, int tiles, int more) {
    for (int block = 0; block < tiles; block += RK_WINOGRAD_ROWS, v += stride, m += RK_WINOGRAD_ROWS * panels * RK_PANEL) {
        const int count = rk_min(RK_WINOGRAD_ROWS, tiles - block);
        if (RK_WINOGRAD_PANELS == 1 || panels == 1) RK_FOR_ROWS(count, RK_WINOGRAD_ROWS, ONE_PANEL_INT16)
        else RK_FOR_ROWS(count, RK_WINOGRAD_ROWS, ALL_PANELS_INT16)
    }
}

#define RK_WINOGRAD_INT16_KERNELS(name)                                                                                          \
    {name, RK_WINOGRAD_ROWS, RK_WINOGRAD_PANELS, RK_INT16_SLICE, weights_int16, input_int16, multiply_int16, output,             \
     columns, patch, pixels}
