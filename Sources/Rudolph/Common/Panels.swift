import CKernels

/// The next multiple of a panel's rows: the kernels write whole panels, so rows of floats have room for them.
package func paddedToPanel(_ count: Int) -> Int { (count + Int(RK_PANEL) - 1) / Int(RK_PANEL) * Int(RK_PANEL) }
