// Products of many rows of x with int4: GROUPS groups of a panel are unpacked into the first-level cache, once for all of them. The includer defines
// RK_TARGET, GROUPS, `unpacked`, unpack(), unpacked_rows() and RK_UNPACKED_ROWS, the rows of x in a register tile.
#define UNPACKED(n)                                                                                                              \
    unpacked_rows(tile, &u, panel, from, count, first, n);                                                                       \
    rk_prefetch_share(blocks + (from + count) * RK_GROUP_BYTES, count * RK_GROUP_BYTES, first, first + n, tile->count)

RK_TARGET static void int4_many(const rk_matmul_tile *tile) {
    unpacked u;
    const size_t groups = (size_t)tile->columns / RK_GROUP;
    for (int panel = 0; panel < tile->panels; panel++) {
        const uint8_t *blocks = rk_tile_panel(tile, RK_INT4, panel);
        for (size_t from = 0; from < groups; from += GROUPS) {
            const size_t count = groups - from < GROUPS ? groups - from : GROUPS;
            unpack(&u, blocks, from, count);
            RK_FOR_ROWS(tile->count, RK_UNPACKED_ROWS, UNPACKED)
        }
    }
}
