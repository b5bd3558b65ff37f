#include "conv.h"

rk_conv_kernels rk_conv_kernels_for(uint32_t features, rk_conv_algorithm algorithm) {
    const int integers = algorithm == RK_CONV_INT16;
    rk_conv_kernels kernels = integers ? rk_conv_scalar_int16 : rk_conv_scalar;
#if defined(__x86_64__)
    if (features & RK_CPU_AVX2) kernels = integers ? rk_conv_avx2_int16 : rk_conv_avx2;
    if (features & RK_CPU_AVXVNNI && integers) kernels = rk_conv_avxvnni_int16;
    if (features & RK_CPU_AVX512) kernels = integers ? rk_conv_avx512_int16 : rk_conv_avx512;
#elif defined(__aarch64__)
    if (features & RK_CPU_NEON && !integers) kernels = rk_conv_neon;
#endif
    (void)features;
    return kernels;
}

rk_conv_algorithm rk_conv_fastest(uint32_t features) {
    const int integers = features & (RK_CPU_AVXVNNI | RK_CPU_AVX512) || (features & RK_CPU_AVX2 && features & RK_CPU_MADD);
    return integers ? RK_CONV_INT16 : RK_CONV_WINOGRAD;
}

// Pixels whose patches a worker gathers at a time: as many as half of its L2 holds, or PATCH_BYTES where that is more.
enum { PATCH_BYTES = 256 << 10, TILE_STEP = 12 };

// A whole image is its own matrix of patches: nothing to gather.
static int is_pointwise(const rk_conv *conv) {
    return conv->kernel == 1 && conv->stride == 1 && conv->padding == 0 && !conv->upsample && !conv->scale;
}

// Sixteen floats more than a patch, so that neighbouring patches do not fall on the same cache sets.
static size_t patch_stride(const rk_conv *conv) { return (size_t)conv->weights.columns + 16; }

static int most_pixels(const rk_conv *conv, int pointwise) {
    const size_t half = rk_cpu_l2_bytes() / 2, bytes = half > PATCH_BYTES ? half : PATCH_BYTES;
    const int fitting = pointwise ? RK_CONV_PIXELS : (int)(bytes / (patch_stride(conv) * sizeof(float)));
    return rk_max(TILE_STEP, rk_min(RK_CONV_PIXELS, fitting) / TILE_STEP * TILE_STEP);
}

int rk_conv_tile(int pixels, int groups, int workers, int most, int step) {
    const int fewest = rk_divide_up(2 * workers, groups), tiles = rk_max(fewest, rk_divide_up(pixels, most));
    return rk_min(most, (pixels + tiles * step - 1) / (tiles * step) * step);
}

static size_t worker_scratch(const rk_conv *conv) {
    const size_t sums = RK_CONV_GROUP * RK_PANEL, gathered = (size_t)most_pixels(conv, 0) * (patch_stride(conv) + sums);
    const size_t pointwise = (size_t)most_pixels(conv, 1) * sums;
    return gathered > pointwise ? gathered : pointwise;
}

int rk_conv_is_winograd(const rk_conv *conv) {
    return conv->algorithm != RK_CONV_DIRECT && conv->kernel == 3 && conv->stride == 1 && conv->padding == 1 && conv->in_channels % 16 == 0;
}

int rk_conv_is_int16(const rk_conv *conv) { return conv->algorithm == RK_CONV_INT16 && conv->in_channels % 32 == 0; }

size_t rk_conv_scratch(uint32_t features, const rk_conv *conv, int workers) {
    if (rk_conv_is_winograd(conv)) return rk_winograd_scratch(features, conv, workers);
    if (rk_conv_is_int16(conv)) return rk_conv_int16_scratch(features, conv, workers);
    return (size_t)workers * worker_scratch(conv);
}

void rk_conv_read(const rk_conv *conv, const rk_norm_kernels *norm, float *to, const float *from, int pixels) {
    if (conv->scale) norm->scale_shift(to, from, conv->scale, conv->shift, pixels, conv->in_channels, 1);
    else memcpy(to, from, (size_t)pixels * (size_t)conv->in_channels * sizeof *to);
}

// [kernel][kernel][in_channels], zeros outside the image.
static void gather(const rk_conv *conv, const rk_norm_kernels *norm, float *patch, const rk_conv_images *images, int pixel) {
    const int kernel = conv->kernel, shift = conv->upsample ? 1 : 0;
    const int y0 = pixel / images->out_width * conv->stride - conv->padding, x0 = pixel % images->out_width * conv->stride - conv->padding;
    const int first = rk_min(kernel, rk_max(0, -x0)), last = rk_max(first, rk_min(kernel, (images->width << shift) - x0));
    const size_t channels = (size_t)conv->in_channels, row = channels * (size_t)kernel;

    for (int ky = 0; ky < kernel; ky++, patch += row) {
        const int iy = y0 + ky;
        if (iy < 0 || iy >= images->height << shift || first == last) {
            memset(patch, 0, row * sizeof *patch);
            continue;
        }
        const float *source = images->x + (size_t)(iy >> shift) * (size_t)images->width * channels;
        memset(patch, 0, (size_t)first * channels * sizeof *patch);
        if (shift) {
            for (int kx = first; kx < last; kx++)
                rk_conv_read(conv, norm, patch + (size_t)kx * channels, source + (size_t)((x0 + kx) >> 1) * channels, 1);
        } else {
            rk_conv_read(conv, norm, patch + (size_t)first * channels, source + (size_t)(x0 + first) * channels, last - first);
        }
        memset(patch + (size_t)last * channels, 0, (size_t)(kernel - last) * channels * sizeof *patch);
    }
}

const float *rk_conv_patch(const rk_conv *conv, const rk_norm_kernels *norm, float *patch, const rk_conv_images *images, int pixel) {
    if (is_pointwise(conv)) return images->x + (size_t)pixel * (size_t)conv->in_channels;
    gather(conv, norm, patch, images, pixel);
    return patch;
}

// A chunk is a tile of output pixels times a group of panels. All tiles pass one group before the next one comes, so that the group's
// weights stay in the caches that the cores share; gathering a patch again costs a hundredth of its products.
void rk_conv_run(rk_worker *worker, uint32_t features, const rk_conv *conv, const rk_conv_images *images, float *scratch) {
    if (rk_conv_is_winograd(conv)) return rk_winograd_run(worker, features, conv, images, scratch);
    if (rk_conv_is_int16(conv)) return rk_conv_int16_run(worker, features, conv, images, scratch);
    const rk_matrix *weights = &conv->weights;
    const rk_matmul_kernel multiply = rk_matmul_kernels_for(features).tile[weights->type];
    const rk_norm_kernels norm = rk_norm_kernels_for(features);
    const int pointwise = is_pointwise(conv);
    const int panels = rk_divide_up(weights->rows, RK_PANEL), groups = rk_divide_up(panels, RK_CONV_GROUP);
    const int pixels = images->out_height * images->out_width, most = most_pixels(conv, pointwise);
    const int tile = rk_conv_tile(pixels, groups, worker->count, most, TILE_STEP), tiles = rk_divide_up(pixels, tile);
    const size_t panel_bytes = rk_panel_bytes(weights->type, weights->columns), out_stride = images->out_stride;
    float *patches = scratch + (size_t)worker->index * worker_scratch(conv);
    float *sums = patches + (pointwise ? 0 : (size_t)tile * patch_stride(conv));

    for (int chunk; (chunk = rk_next_chunk(worker, tiles * groups)) >= 0;) {
        const int first = chunk % tiles * tile, panel = chunk / tiles * RK_CONV_GROUP;
        const size_t channel = (size_t)panel * RK_PANEL;
        float *result = images->out + (size_t)first * out_stride + channel;
        rk_matmul_tile product = {
            .weights = (const char *)weights->data + (size_t)panel * panel_bytes,
            .panels = rk_min(RK_CONV_GROUP, panels - panel),
            .columns = weights->columns,
            .x = pointwise ? images->x + (size_t)first * (size_t)conv->in_channels : patches,
            .x_stride = pointwise ? (size_t)conv->in_channels : patch_stride(conv),
            .count = rk_min(tile, pixels - first),
            .bias = conv->bias ? conv->bias + channel : NULL,
            .out = images->residual ? sums : result,
            .out_stride = images->residual ? RK_CONV_GROUP * RK_PANEL : out_stride,
        };
        if (!pointwise)
            for (int p = 0; p < product.count; p++) gather(conv, &norm, patches + (size_t)p * product.x_stride, images, first + p);
        multiply(&product);
        if (images->residual) {
            const int count = rk_min(RK_CONV_GROUP * RK_PANEL, weights->rows - (int)channel);
            const float *added = images->residual + (size_t)first * out_stride + channel;
            for (int p = 0; p < product.count; p++)
                for (int c = 0; c < count; c++)
                    result[(size_t)p * out_stride + (size_t)c] =
                        sums[p * RK_CONV_GROUP * RK_PANEL + c] + added[(size_t)p * out_stride + (size_t)c];
        }
    }
    rk_barrier(worker);
}
