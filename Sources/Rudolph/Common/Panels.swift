import CKernels

/// The next multiple of a panel's rows: the kernels write whole panels, so rows of floats have room for them.
package func paddedToPanel(_ count: Int) -> Int { (count + Int(RK_PANEL) - 1) / Int(RK_PANEL) * Int(RK_PANEL) }

extension rk_matrix {
    /// Without sums of blocks, which only rows of x with offsets need.
    package init(data: UnsafeRawPointer?, type: rk_type, rows: Int32, columns: Int32) {
        self.init(data: data, type: type, rows: rows, columns: columns, block_sums: nil, block_sums_stride: 0)
    }
}
