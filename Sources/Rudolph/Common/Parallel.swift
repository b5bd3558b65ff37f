import CKernels

/// Runs `body` on every worker of a parallel region of `threads`, the caller among them.
func inParallel(_ threads: Int, _ body: (UnsafeMutablePointer<rk_worker>) -> Void) {
    withoutActuallyEscaping(body) { body in
        withUnsafePointer(to: body) { pointer in
            rk_parallel(Int32(threads), { context, worker in
                guard let context, let worker else { return }
                context.assumingMemoryBound(to: ((UnsafeMutablePointer<rk_worker>) -> Void).self).pointee(worker)
            }, UnsafeMutableRawPointer(mutating: pointer))
        }
    }
}
