import CKernels

/// Chooses the next tokens of several sequences at once. Each worker has a sampler of its own, whose buffers are all that it keeps: which of them
/// chooses for a sequence changes nothing.
final class Samplers {
    private let threads: Int
    private let samplers: UnsafeMutablePointer<Sampler>

    init(_ options: SamplingOptions, logits: Int, isGuided: Bool = false, threads: Int) {
        self.threads = threads
        samplers = .allocate(capacity: threads)
        for index in 0..<threads { (samplers + index).initialize(to: Sampler(options, logits: logits, isGuided: isGuided)) }
    }

    deinit {
        samplers.deinitialize(count: threads)
        samplers.deallocate()
    }

    /// Calls `choose` once for each of 0 ..< `count`, at the same time from several workers where there are several.
    func forEach(_ count: Int, _ choose: (inout Sampler, Int) -> Void) {
        if count == 1 || threads == 1 {
            for index in 0..<count { choose(&samplers[0], index) }
            return
        }
        inParallel(threads) { worker in
            while true {
                let index = Int(rk_next_chunk(worker, Int32(count)))
                if index < 0 { return }
                choose(&samplers[Int(worker.pointee.index)], index)
            }
        }
    }
}
