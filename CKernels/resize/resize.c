#include "../internal.h"

// Pillow's fixed point: 8 bits of pixel and 2 of headroom leave 22 for a coefficient.
enum { PRECISION_BITS = 32 - 8 - 2 };

// The source pixels of one output pixel and their coefficients.
typedef struct window {
    int first, count;
} window;

static double filter_scale(int in_side, int out_side) {
    double scale = (double)in_side / out_side;
    return scale < 1.0 ? 1.0 : scale;
}

static int window_capacity(int in_side, int out_side) { return (int)ceil(filter_scale(in_side, out_side)) * 2 + 1; }

static size_t rounded_to_16(size_t bytes) { return (bytes + 15) & ~(size_t)15; }

static size_t window_bytes(int out_side) { return rounded_to_16((size_t)out_side * sizeof(window)); }

static size_t coefficient_bytes(int in_side, int out_side) {
    return rounded_to_16((size_t)out_side * (size_t)window_capacity(in_side, out_side) * sizeof(int32_t));
}

// scratch: windows[out_side], coefficients[out_side][capacity], rows[in_side][out_side][3]
size_t rk_resize_scratch(int in_side, int out_side) {
    return window_bytes(out_side) + coefficient_bytes(in_side, out_side) + (size_t)in_side * (size_t)out_side * 3;
}

static double triangle(double x) {
    x = fabs(x);
    return x < 1.0 ? 1.0 - x : 0.0;
}

// Pillow's precompute_coeffs and normalize_coeffs_8bpc, operation by operation.
static void make_windows(window *windows, int32_t *coefficients, int in_side, int out_side) {
    const double scale = (double)in_side / out_side, support = filter_scale(in_side, out_side);
    const double inverse = 1.0 / support;
    const int capacity = window_capacity(in_side, out_side);
    for (int o = 0; o < out_side; o++, coefficients += capacity) {
        const double center = (o + 0.5) * scale;
        const int first = rk_max(0, (int)(center - support + 0.5));
        const int count = rk_min(in_side, (int)(center + support + 0.5)) - first;
        double sum = 0;
        for (int i = 0; i < count; i++) sum += triangle((i + first - center + 0.5) * inverse);
        for (int i = 0; i < count; i++) {
            double weight = triangle((i + first - center + 0.5) * inverse) / sum;
            coefficients[i] = (int32_t)(0.5 + weight * (1 << PRECISION_BITS));
        }
        windows[o] = (window){first, count};
    }
}

static uint8_t rounded_byte(int32_t sum) {
    return (uint8_t)rk_max(0, rk_min(255, (sum + (1 << (PRECISION_BITS - 1))) >> PRECISION_BITS));
}

void rk_resize_rgb(uint8_t *out, int out_side, const uint8_t *in, size_t row_bytes, int in_side, void *scratch) {
    const int capacity = window_capacity(in_side, out_side);
    const size_t out_row = (size_t)out_side * 3;
    window *windows = scratch;
    int32_t *coefficients = (int32_t *)((char *)scratch + window_bytes(out_side));
    uint8_t *rows = (uint8_t *)coefficients + coefficient_bytes(in_side, out_side);
    make_windows(windows, coefficients, in_side, out_side);

    for (int y = 0; y < in_side; y++)
        for (int o = 0; o < out_side; o++) {
            const uint8_t *pixel = in + (size_t)y * row_bytes + (size_t)windows[o].first * 3;
            const int32_t *weights = coefficients + (size_t)o * (size_t)capacity;
            int32_t red = 0, green = 0, blue = 0;
            for (int i = 0; i < windows[o].count; i++, pixel += 3) {
                red += pixel[0] * weights[i];
                green += pixel[1] * weights[i];
                blue += pixel[2] * weights[i];
            }
            uint8_t *to = rows + (size_t)y * out_row + (size_t)o * 3;
            to[0] = rounded_byte(red);
            to[1] = rounded_byte(green);
            to[2] = rounded_byte(blue);
        }

    for (int o = 0; o < out_side; o++) {
        const int32_t *weights = coefficients + (size_t)o * (size_t)capacity;
        for (size_t j = 0; j < out_row; j++) {
            int32_t sum = 0;
            for (int i = 0; i < windows[o].count; i++) sum += rows[(size_t)(windows[o].first + i) * out_row + j] * weights[i];
            out[(size_t)o * out_row + j] = rounded_byte(sum);
        }
    }
}
